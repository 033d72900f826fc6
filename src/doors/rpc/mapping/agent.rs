//! The raw socket of the guest's agent. What there is an action for is that action, so that nobody gets around it by
//! another way to say the same; what cannot be read without doubt is the monitor's business, which nobody has by default.

use serde::Deserialize;
use serde_json::{Value, json};

use super::Treatment;
use super::call::{Call, said};
use super::guest::freeze;
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::operation::TIMEOUT_MAX_S;
use crate::model::{Action, Operation, Resource};

/// A command of the agent's. Doubled and foreign keys are refused: the agent might take the other one.
///
/// *Source*: QEMU guest agent protocol reference.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    execute: String,
    #[serde(default)]
    arguments: Value,
    #[serde(default, rename = "id")]
    _id: Value,
}

pub(super) fn decode(mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    let (command, timeout_s) = (call.text()?, call.i32()?);
    let operation = match serde_json::from_str::<Command>(command) {
        Ok(command) => known(&call, &command, timeout_s),
        Err(_) => call.relayed(Action::MonitorCommand, [Resource::GuestAgent]),
    };
    Ok(Treatment::held(subject, operation))
}

fn known(call: &Call<'_>, command: &Command, timeout_s: i32) -> Operation {
    let agent = |action| call.relayed(action, [Resource::GuestAgent]);
    let plain = |action, args| said(action, args).unwrap_or_else(|| agent(action));
    match command.execute.as_str() {
        "guest-fsfreeze-freeze" => freeze(&json!([])).unwrap_or_else(|| agent(Action::GuestFreeze)),
        "guest-fsfreeze-freeze-list" => {
            let mountpoints = command.arguments.get("mountpoints").cloned().unwrap_or(json!([]));
            freeze(&mountpoints).unwrap_or_else(|| agent(Action::GuestFreeze))
        }
        "guest-fsfreeze-thaw" => plain(Action::GuestThaw, Value::Null),
        "guest-fstrim" => {
            let minimum = command.arguments.get("minimum").cloned().unwrap_or(json!(0));
            plain(Action::GuestTrim, json!({ "minimum": minimum }))
        }
        "guest-set-time" => {
            let nanoseconds = command.arguments.get("time").and_then(Value::as_i64);
            let seconds = nanoseconds.map(|nanoseconds| nanoseconds / 1_000_000_000);
            plain(Action::GuestSetTime, json!({ "seconds": seconds }))
        }
        "guest-set-user-password" | "guest-ssh-add-authorized-keys" | "guest-ssh-remove-authorized-keys" => {
            agent(Action::GuestSetPassword)
        }
        "guest-shutdown" => match command.arguments.get("mode").and_then(Value::as_str) {
            Some("reboot") => agent(Action::PowerReboot),
            Some(_) | None => agent(Action::PowerShutdown),
        },
        // It comes back from disk by a boot.
        "guest-suspend-disk" => agent(Action::PowerShutdown),
        suspend if suspend.starts_with("guest-suspend-") => agent(Action::PowerSuspend),
        "guest-set-vcpus" => agent(Action::CpuSet),
        "guest-set-memory-blocks" => agent(Action::MemorySet),
        // What its arguments hold is the client's affair and no journal's.
        execute => plain(Action::GuestCommand, json!({ "execute": execute, "timeout_s": seconds(timeout_s) })),
    }
}

/// How long the agent is given: libvirt's own words for "for ever" and "as usual" are negative.
fn seconds(timeout_s: i32) -> u32 {
    u32::try_from(timeout_s).unwrap_or(TIMEOUT_MAX_S).clamp(1, TIMEOUT_MAX_S)
}
