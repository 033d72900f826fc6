//! The persistent definition.

use serde_json::json;

use super::call::{Call, has, only, said};
use super::{Subject, Treatment, Why, xml};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::{Action, Operation, Resource};

/// It is held against the schema first. *Source*: `VIR_DOMAIN_DEFINE_VALIDATE`.
const DEFINE_VALIDATE: u32 = 1;

// *Source*: `virDomainUndefineFlagsValues`.
const UNDEFINE_MANAGED_SAVE: u32 = 1;
const UNDEFINE_SNAPSHOTS_METADATA: u32 = 2;
const UNDEFINE_NVRAM: u32 = 4;
const UNDEFINE_KEEP_NVRAM: u32 = 8;
const UNDEFINE_CHECKPOINTS_METADATA: u32 = 16;
const UNDEFINE_KNOWN: u32 = UNDEFINE_MANAGED_SAVE
    | UNDEFINE_SNAPSHOTS_METADATA
    | UNDEFINE_NVRAM
    | UNDEFINE_KEEP_NVRAM
    | UNDEFINE_CHECKPOINTS_METADATA;

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    let (subject, operation) = match call.name() {
        "domain_define_xml" => {
            let xml = call.text()?.to_owned();
            return Ok(define(&call, xml, 0));
        }
        "domain_define_xml_flags" => {
            let (xml, flags) = (call.text()?.to_owned(), call.u32()?);
            return Ok(define(&call, xml, flags));
        }
        "domain_undefine" => (subject, undefine(&call, 0)),
        "domain_undefine_flags" => {
            let flags = call.u32()?;
            (subject, undefine(&call, flags))
        }
        "domain_rename" => {
            let (name, flags) = (call.optional_text()?, call.u32()?);
            let canonical = only(flags, 0).then(|| said(action, json!({ "name": name }))).flatten();
            (subject, canonical.unwrap_or_else(|| call.relayed(action, [])))
        }
        "domain_save_image_define_xml" => {
            let path = call.text()?.to_owned();
            let xml = Some(call.text()?.to_owned());
            (Subject::SavedImage { path, xml }, call.relayed(action, [Resource::SavedImage]))
        }
        _ => (subject, call.relayed(action, [Resource::SavedImage])),
    };
    Ok(Treatment::held(subject, operation))
}

fn define(call: &Call<'_>, xml: String, flags: u32) -> Treatment {
    let Some(known) = xml::domain(&xml) else { return Treatment::Refuse(Why::Ambiguous) };
    // What holds a password is not journalled.
    let plain = only(flags, DEFINE_VALIDATE) && !xml::may_hold_secret(&xml) && known.vm.is_some();
    let canonical = plain.then(|| said(Action::DefinitionDefine, json!({ "xml": xml }))).flatten();
    let operation = canonical.unwrap_or_else(|| call.relayed(Action::DefinitionDefine, []));
    Treatment::held(Subject::DomainXml(xml), operation)
}

/// What goes with it is part of the wish; what the catalogue does not know of (a TPM's state), too.
fn undefine(call: &Call<'_>, flags: u32) -> Operation {
    let args = json!({
        "saved_image": has(flags, UNDEFINE_MANAGED_SAVE),
        "snapshots_metadata": has(flags, UNDEFINE_SNAPSHOTS_METADATA),
        "checkpoints_metadata": has(flags, UNDEFINE_CHECKPOINTS_METADATA),
        "nvram": has(flags, UNDEFINE_NVRAM),
    });
    let canonical = only(flags, UNDEFINE_KNOWN).then(|| said(Action::DefinitionUndefine, args)).flatten();
    canonical.unwrap_or_else(|| {
        let image = has(flags, UNDEFINE_MANAGED_SAVE).then_some(Resource::SavedImage);
        call.relayed(Action::DefinitionUndefine, image)
    })
}
