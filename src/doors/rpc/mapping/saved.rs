//! Memory in a file: saving a VM, going on from what was saved, and throwing it away.

use super::call::{Call, only, said};
use super::parameters::text_of;
use super::{Subject, Treatment, Why};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::{Action, Resource};

/// How the file is written, not what becomes of the VM. *Source*: `VIR_DOMAIN_SAVE_BYPASS_CACHE`.
const BYPASS_CACHE: u32 = 1;

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    // A file of the caller's is none that libvirt starts the VM from; what it is to go on with is another VM's
    // description in the place of its own.
    let described = [Resource::Cpu, Resource::Memory, Resource::Devices];
    let (subject, operation) = match call.name() {
        "domain_managed_save" | "domain_managed_save_remove" => {
            // Whether it runs or is halted when it goes on is part of the wish.
            let known = if call.name() == "domain_managed_save" { BYPASS_CACHE } else { 0 };
            let plain = only(call.u32()?, known).then(|| said(action, serde_json::Value::Null)).flatten();
            (subject, plain.unwrap_or_else(|| call.relayed(action, [Resource::SavedImage])))
        }
        "domain_restore" => {
            (Subject::SavedImage { path: call.text()?.to_owned(), xml: None }, call.relayed(action, described))
        }
        "domain_restore_flags" => {
            let path = call.text()?.to_owned();
            let xml = call.optional_text()?.map(str::to_owned);
            (Subject::SavedImage { path, xml }, call.relayed(action, described))
        }
        "domain_restore_params" => {
            let parameters = call.parameters()?;
            let text = |name: &str| text_of(&parameters, name).map(str::to_owned);
            let Some(path) = text("file") else { return Ok(Treatment::Refuse(Why::Ambiguous)) };
            (Subject::SavedImage { path, xml: text("dxml") }, call.relayed(action, described))
        }
        _ => (subject, call.relayed(action, [])),
    };
    Ok(Treatment::held(subject, operation))
}
