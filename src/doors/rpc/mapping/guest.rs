//! What the guest does at its agent's word, and what is put into it from outside.

use serde_json::{Value, json};

use super::Treatment;
use super::call::{Call, has, only, said};
use crate::doors::rpc::xdr::{LIST_MAX, ReadXdrError};
use crate::model::operation::FREEZE_LEASE_MAX_S;
use crate::model::{Action, Operation, Resource};

/// *Source*: `VIR_DOMAIN_TIME_SYNC`.
const TIME_SYNC: u32 = 1;
/// *Source*: `VIR_DOMAIN_PASSWORD_ENCRYPTED`.
const PASSWORD_ENCRYPTED: u32 = 1;

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    let canonical = match call.name() {
        "domain_fsfreeze" => {
            let mountpoints = call.texts(LIST_MAX)?;
            only(call.u32()?, 0).then(|| freeze(&json!(mountpoints))).flatten()
        }
        // All or some: a lane knows only whether the guest's file systems stand still.
        "domain_fsthaw" => said(action, Value::Null),
        "domain_fstrim" => {
            let (mountpoint, minimum) = (call.optional_text()?, call.u64()?);
            mountpoint.is_none().then(|| said(action, json!({ "minimum": minimum }))).flatten()
        }
        "domain_set_time" => {
            let (seconds, _nanoseconds, flags) = (call.i64()?, call.u32()?, call.u32()?);
            let seconds = (!has(flags, TIME_SYNC)).then_some(seconds);
            only(flags, TIME_SYNC).then(|| said(action, json!({ "seconds": seconds }))).flatten()
        }
        "domain_set_user_password" => {
            let (user, password, flags) = (call.optional_text()?, call.optional_text()?, call.u32()?);
            let encrypted = has(flags, PASSWORD_ENCRYPTED);
            let args = json!({ "user": user, "password": password, "encrypted": encrypted });
            only(flags, PASSWORD_ENCRYPTED).then(|| said(action, args)).flatten()
        }
        _ => None,
    };
    let operation = canonical.unwrap_or_else(|| call.relayed(action, touched(&call)));
    Ok(Treatment::held(subject, operation))
}

/// A libvirt client cannot say how long its guest is to stand still at most; it is given the longest there is.
pub(super) fn freeze(mountpoints: &Value) -> Option<Operation> {
    said(Action::GuestFreeze, json!({ "mountpoints": mountpoints, "lease_s": FREEZE_LEASE_MAX_S }))
}

fn touched(call: &Call<'_>) -> Option<Resource> {
    match call.name() {
        "domain_pm_wakeup" | "domain_send_process_signal" => Some(Resource::Power),
        "domain_set_launch_security_state" => Some(Resource::Memory),
        _ => None,
    }
}
