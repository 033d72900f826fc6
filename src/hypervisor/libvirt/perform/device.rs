//! Devices that come and go, what they are, and how fast they may be.
//!
//! A VM that runs and has a definition has two descriptions, and one call changes both. A device that somebody added to
//! one of them only is changed where it is.

use std::time::Instant;

use serde_json::Value;
use virt::sys;

use super::{Begun, Impact, Target, missing};
use crate::hypervisor::libvirt::core::Driver;
use crate::hypervisor::libvirt::detach::{Definition, Detaching};
use crate::hypervisor::libvirt::element::{self, Element};
use crate::hypervisor::libvirt::failure::Fault;
use crate::hypervisor::libvirt::raw::{self, Parameters};
use crate::model::operation::{Bandwidth, DeviceDetachArgs, DeviceXmlArgs, DiskIotuneArgs, NicQosArgs};
use crate::model::{DeviceName, Operation};

/// What QEMU says when the guest was told before and has not obeyed yet.
const UNDER_WAY: &str = "already in the process of unplug";
/// What libvirt says when the guest answered that it does not let go.
const REFUSED: &str = "rejected by the guest";

/// Makes the call, once.
pub(super) fn perform(target: &Target<'_>, operation: &Operation) -> Result<Begun, Fault> {
    let done = |()| Begun::Complete(Value::Null);
    match operation {
        Operation::DeviceAttach(args) => attach(target, args).map(done),
        Operation::DeviceDetach(args) => detach(target, args),
        Operation::DeviceUpdate(args) => update(target, args).map(done),
        Operation::NicQos(args) => set_qos(target, args).map(done),
        Operation::DiskIotune(args) => set_iotune(target, args).map(done),
        other => Err(Fault::Forbidden(format!("{} is about no device", other.action()))),
    }
}

/// Where a device is described, and how.
struct Found {
    /// By the process if it has it, else by the definition.
    element: Element,
    impact: Impact,
}

fn find(target: &Target<'_>, device: &DeviceName) -> Result<Found, Fault> {
    look_for(target, device)?.ok_or_else(|| missing(device))
}

fn look_for(target: &Target<'_>, device: &DeviceName) -> Result<Option<Found>, Fault> {
    let in_xml = |flags| element::find(&target.ask(|domain| domain.xml_desc(flags))?, device);
    let (live, defined) = match target.impact {
        Impact::Live => (in_xml(0)?, None),
        Impact::Definition => (None, in_xml(sys::VIR_DOMAIN_XML_INACTIVE)?),
        Impact::Both => (in_xml(0)?, in_xml(sys::VIR_DOMAIN_XML_INACTIVE)?),
    };
    Ok(match (live, defined) {
        (Some(element), Some(_)) => Some(Found { element, impact: Impact::Both }),
        (Some(element), None) => Some(Found { element, impact: Impact::Live }),
        (None, Some(element)) => Some(Found { element, impact: Impact::Definition }),
        (None, None) => None,
    })
}

/// libvirt adds the device to the description and says so by its event before the call returns; it takes a second
/// interface of the same MAC, which then no name would tell from the first.
fn attach(target: &Target<'_>, args: &DeviceXmlArgs) -> Result<(), Fault> {
    let device = named(args)?;
    if look_for(target, &device)?.is_some() {
        return Err(Fault::Forbidden(format!("the VM has {device} already")));
    }
    target.send(|domain| domain.attach_device_flags(&args.xml, target.impact.flags()))
}

fn detach(target: &Target<'_>, args: &DeviceDetachArgs) -> Result<Begun, Fault> {
    let device = args.device.clone();
    let Found { element, impact } = find(target, &device)?;
    let since = Instant::now();
    target.pass()?;
    let detached = match target.domain.detach_device_flags(&element.bare, impact.flags()) {
        Err(error) if error.message().contains(REFUSED) => {
            return Err(Fault::GuestTimeout(format!("the guest did not let go of {device}: it refused")));
        }
        // Somebody told the guest before, or a call did whose answer was lost. libvirt then leaves the definition alone.
        Err(error) if error.message().contains(UNDER_WAY) && impact == Impact::Both => {
            target.domain.detach_device_flags(&element.bare, Impact::Definition.flags())
        }
        Err(error) if error.message().contains(UNDER_WAY) => Ok(()),
        other => other,
    };
    detached.map_err(|error| target.perhaps(&error))?;
    let definition = match (impact, target.driver) {
        (Impact::Definition, _) | (_, Driver::Mock) => return Ok(Begun::Complete(Value::Null)),
        (Impact::Both, Driver::Real) => Definition::Without,
        (Impact::Live, Driver::Real) => Definition::Untouched,
    };
    Ok(Begun::UntilDetached(Detaching { device, alias: element.alias, since, timeout_s: args.timeout_s, definition }))
}

fn update(target: &Target<'_>, args: &DeviceXmlArgs) -> Result<(), Fault> {
    let Found { impact, .. } = find(target, &named(args)?)?;
    target.send(|domain| domain.update_device_flags(&args.xml, impact.flags()))
}

fn set_qos(target: &Target<'_>, args: &NicQosArgs) -> Result<(), Fault> {
    let Found { impact, .. } = find(target, &DeviceName::Nic(args.mac))?;
    for flags in calls(impact, target.driver) {
        let mut parameters = Parameters::default();
        for (direction, asked) in [("inbound", args.inbound), ("outbound", args.outbound)] {
            let Some(Bandwidth { average, peak, burst }) = asked else { continue };
            for (name, number) in [("average", average), ("peak", peak), ("burst", burst)] {
                parameters.add_u32(&format!("{direction}.{name}"), number);
            }
        }
        let mac = args.mac.to_string();
        target.send(|domain| raw::set_interface_parameters(domain, &mac, parameters, flags))?;
    }
    Ok(())
}

fn set_iotune(target: &Target<'_>, args: &DiskIotuneArgs) -> Result<(), Fault> {
    let Found { element, impact } = find(target, &DeviceName::Disk(args.disk.clone()))?;
    let limits = with_what_stays(args, &element::limits(&element)?);
    for flags in calls(impact, target.driver) {
        let mut parameters = Parameters::default();
        for (name, limit) in &limits {
            parameters.add_u64(name, *limit);
        }
        target.send(|domain| raw::set_block_iotune(domain, &args.disk, parameters, flags))?;
    }
    Ok(())
}

/// The limits to set: those that were asked, with those that are to stay.
///
/// libvirt takes limits of bytes, and limits of operations, as a whole: what is left out of a group that is named in part
/// would be lifted. A total and a limit of one direction exclude each other, so that one gives way to the other.
fn with_what_stays(asked: &DiskIotuneArgs, now: &[(String, u64)]) -> Vec<(&'static str, u64)> {
    let asked: Vec<(&str, u64)> = asked.limits().collect();
    let mut limits = Vec::new();
    for [total, read, write] in [
        ["total_bytes_sec", "read_bytes_sec", "write_bytes_sec"],
        ["total_iops_sec", "read_iops_sec", "write_iops_sec"],
    ] {
        let named = |name| asked.iter().find(|(asked, _)| *asked == name).map(|(_, limit)| *limit);
        if [total, read, write].into_iter().all(|name| named(name).is_none()) {
            continue;
        }
        let stays = |name| now.iter().find(|(there, _)| there == name).map_or(0, |(_, limit)| *limit);
        let whole = named(total).is_some_and(|limit| limit > 0);
        let directed = [read, write].into_iter().filter_map(named).any(|limit| limit > 0);
        limits.push((total, named(total).unwrap_or(if directed { 0 } else { stays(total) })));
        for name in [read, write] {
            limits.push((name, named(name).unwrap_or(if whole { 0 } else { stays(name) })));
        }
    }
    limits
}

/// What each call of one that changes limits affects; the mock driver changes one description at a time.
fn calls(impact: Impact, driver: Driver) -> Vec<sys::virDomainModificationImpact> {
    match (impact, driver) {
        (Impact::Both, Driver::Mock) => vec![Impact::Live.flags(), Impact::Definition.flags()],
        (impact, _) => vec![impact.flags()],
    }
}

fn named(args: &DeviceXmlArgs) -> Result<DeviceName, Fault> {
    args.device().ok_or_else(|| Fault::Forbidden("the XML names no disk and no interface".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Action;
    use serde_json::json;

    fn limits(asked: Value, now: &[(&str, u64)]) -> Vec<(&'static str, u64)> {
        let Operation::DiskIotune(args) = Operation::parse(Action::DiskIotune, asked).unwrap() else { panic!() };
        let now: Vec<(String, u64)> = now.iter().map(|(name, limit)| ((*name).to_owned(), *limit)).collect();
        with_what_stays(&args, &now)
    }

    #[test]
    fn limits_that_are_left_out_stay() {
        let set =
            limits(json!({ "disk": "vda", "write_iops_sec": 400 }), &[("read_iops_sec", 500), ("read_bytes_sec", 1)]);
        assert_eq!(set, [("total_iops_sec", 0), ("read_iops_sec", 500), ("write_iops_sec", 400)]);
        let lifted = limits(json!({ "disk": "vda", "write_iops_sec": 0 }), &[("total_iops_sec", 9)]);
        assert_eq!(lifted, [("total_iops_sec", 9), ("read_iops_sec", 0), ("write_iops_sec", 0)]);
    }

    #[test]
    fn a_total_and_a_limit_of_one_direction_replace_each_other() {
        let total = limits(json!({ "disk": "vda", "total_bytes_sec": 7 }), &[("read_bytes_sec", 5)]);
        assert_eq!(total, [("total_bytes_sec", 7), ("read_bytes_sec", 0), ("write_bytes_sec", 0)]);
        let read = limits(json!({ "disk": "vda", "read_bytes_sec": 5 }), &[("total_bytes_sec", 7)]);
        assert_eq!(read, [("total_bytes_sec", 0), ("read_bytes_sec", 5), ("write_bytes_sec", 0)]);
    }
}
