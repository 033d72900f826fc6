//! How fast devices may be, and everything else that is tuned.

use serde_json::{Map, Value as Json, json};

use super::call::{CONFIG, Call, LIVE, said};
use super::parameters::{Parameter, Value, number_of};
use super::{Pace, Treatment};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::device::is_target;
use crate::model::{Action, DeviceName, Operation, Resource};

/// libvirt's limits that the catalogue has, too; what is set of one group sets the rest of the group to none.
const LIMITS: [[&str; 3]; 2] =
    [["total_bytes_sec", "read_bytes_sec", "write_bytes_sec"], ["total_iops_sec", "read_iops_sec", "write_iops_sec"]];
const DIRECTIONS: [&str; 2] = ["inbound", "outbound"];
const BANDWIDTH: [&str; 3] = ["average", "peak", "burst"];

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    let operation = match call.name() {
        "domain_set_interface_parameters" => {
            let (device, parameters, flags) = (call.text()?, call.parameters()?, call.u32()?);
            of_device(&call, &format!("nic:{device}"), qos(device, &parameters), flags)
        }
        "domain_set_block_io_tune" => {
            let (disk, parameters, flags) = (call.text()?, call.parameters()?, call.u32()?);
            of_device(&call, &format!("disk:{disk}"), iotune(disk, &parameters), flags)
        }
        "domain_block_job_set_speed" => {
            let touched = tuned(&format!("disk:{}", call.text()?));
            return Ok(Treatment::change(subject, call.relayed(action, touched), Pace::Steers));
        }
        "domain_set_block_threshold" => {
            // `vda`, or `vda[2]` for an image below.
            let device = call.text()?;
            let target = device.split_once('[').map_or(device, |(target, _)| target);
            call.relayed(action, tuned(&format!("disk:{target}")))
        }
        // What becomes of the VM when its guest goes.
        "domain_set_lifecycle_action" => call.relayed(action, [Resource::Definition]),
        "domain_agent_set_response_timeout" => call.relayed(action, [Resource::GuestAgent]),
        "domain_set_memory_parameters" | "domain_set_memory_stats_period" => call.relayed(action, [Resource::Memory]),
        "domain_pin_vcpu" | "domain_pin_vcpu_flags" => call.relayed(action, [Resource::Cpu]),
        _ => call.relayed(action, []),
    };
    Ok(Treatment::held(subject, operation))
}

/// What is tuned when this device is.
fn tuned(device: &str) -> Option<Resource> {
    device.parse::<DeviceName>().ok().map(Resource::Tuning)
}

fn of_device(call: &Call<'_>, device: &str, args: Option<(Action, Json)>, flags: u32) -> Operation {
    let canonical = args.filter(|_| flags == LIVE | CONFIG).and_then(|(action, args)| said(action, args));
    canonical.unwrap_or_else(|| {
        let action = if device.starts_with("nic:") { Action::NicQos } else { Action::DiskIotune };
        call.relayed(action, tuned(device))
    })
}

/// A parameter that is left out is none; a floor the catalogue has not.
fn qos(mac: &str, parameters: &[Parameter<'_>]) -> Option<(Action, Json)> {
    let name_of = |direction: &str, what: &str| format!("{direction}.{what}");
    let mut args = Map::from_iter([("mac".to_owned(), json!(mac))]);
    let mut known = 0;
    for direction in DIRECTIONS {
        let mut side = Map::new();
        for what in BANDWIDTH {
            if let Some(number) = number_of(parameters, &name_of(direction, what)) {
                side.insert(what.to_owned(), json!(number));
                known += 1;
            }
        }
        if !side.is_empty() {
            args.insert(direction.to_owned(), Json::Object(side));
        }
    }
    (known == parameters.len()).then_some((Action::NicQos, Json::Object(args)))
}

fn iotune(disk: &str, parameters: &[Parameter<'_>]) -> Option<(Action, Json)> {
    let is_known = |parameter: &Parameter<'_>| {
        LIMITS.as_flattened().contains(&parameter.name) && matches!(parameter.value, Value::Unsigned(_))
    };
    if !is_target(disk) || !parameters.iter().all(is_known) {
        return None;
    }
    let mut args = Map::from_iter([("disk".to_owned(), json!(disk))]);
    for group in LIMITS {
        let numbers = group.map(|limit| number_of(parameters, limit));
        if numbers.iter().any(Option::is_some) {
            args.extend(group.iter().zip(numbers).map(|(limit, number)| {
                let number = number.unwrap_or(0);
                ((*limit).to_owned(), json!(number))
            }));
        }
    }
    Some((Action::DiskIotune, Json::Object(args)))
}
