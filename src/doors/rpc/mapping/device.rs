//! Devices that come and go.
//!
//! Plugging one in is the catalogue's action when the VM that runs gets it; pulling and changing one only when its
//! definition follows, too: two equal wishes of these are one, and half of one is another.

use serde_json::json;

use super::call::{CONFIG, Call, LIVE, said};
use super::xml::{self, Device};
use super::{Treatment, block};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::device::named_in;
use crate::model::{Action, DeviceName, Operation, Resource};

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    let operation = match call.name() {
        "domain_attach_device" | "domain_detach_device" => {
            let xml = call.text()?;
            described(&call, action, xml, LIVE)
        }
        "domain_attach_device_flags" | "domain_detach_device_flags" | "domain_update_device_flags" => {
            let (xml, flags) = (call.text()?, call.u32()?);
            described(&call, action, xml, flags)
        }
        // An alias names a device of the running process; which one, its XML says. Descriptors are for disks to come.
        _ => call.relayed(action, [Resource::Devices, Resource::Disks]),
    };
    Ok(Treatment::held(subject, operation))
}

fn described(call: &Call<'_>, action: Action, xml: &str, flags: u32) -> Operation {
    let device = xml::device(xml);
    if let Device::Named(name) = &device
        && is_said(action, flags)
        && named_in(xml).as_ref() == Ok(name)
        && !xml::may_hold_secret(xml)
    {
        let args = if action == Action::DeviceDetach { json!({ "device": name }) } else { json!({ "xml": xml }) };
        if let Some(operation) = said(action, args) {
            return operation;
        }
    }
    call.relayed(action, touched(device))
}

/// Whether these flags are what the catalogue's action does.
fn is_said(action: Action, flags: u32) -> bool {
    match flags {
        0 | LIVE => action == Action::DeviceAttach,
        both if both == LIVE | CONFIG => true,
        _ => false,
    }
}

fn touched(device: Device) -> Vec<Resource> {
    match device {
        Device::Named(DeviceName::Disk(target)) => block::named(&target),
        Device::Named(nic @ DeviceName::Nic(_)) => vec![Resource::Device(nic)],
        Device::Memory => vec![Resource::Devices, Resource::Memory],
        Device::WithoutContents => vec![Resource::Devices],
        Device::Unknown => vec![Resource::Devices, Resource::Disks],
    }
}
