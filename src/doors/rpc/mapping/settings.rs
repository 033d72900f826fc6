//! vCPUs, memory, metadata and autostart. Only what is set for now and for every later start is the catalogue's setting;
//! what is set for one of them is another wish.

use serde_json::json;

use super::call::{CONFIG, Call, LIVE, has, only, said};
use super::{Subject, Treatment};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::{Action, Operation, Resource};

/// The most there may ever be. *Source*: `VIR_DOMAIN_VCPU_MAXIMUM`, `VIR_DOMAIN_MEM_MAXIMUM`.
const MAXIMUM: u32 = 4;
/// The guest is asked to use so many. *Source*: `VIR_DOMAIN_VCPU_GUEST`.
const VCPU_GUEST: u32 = 8;
/// *Source*: `virDomainMetadataType`.
const TITLE_OR_DESCRIPTION: [&str; 2] = ["description", "title"];
const ELEMENT: i32 = 2;

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    let operation = match call.name() {
        "domain_set_vcpus_flags" => {
            let (vcpus, flags) = (call.u32()?, call.u32()?);
            counted(&call, action, json!({ "vcpus": vcpus }), flags)
        }
        "domain_set_memory_flags" => {
            let (memory_kib, flags) = (call.u64()?, call.u32()?);
            counted(&call, action, json!({ "memory_kib": memory_kib }), flags)
        }
        // The most there may be is the definition's.
        "domain_set_max_memory" => call.relayed(action, [Resource::Definition]),
        "domain_set_guest_vcpus" => call.relayed(action, [Resource::GuestAgent]),
        "domain_set_metadata" => return metadata(call, subject),
        "domain_set_autostart" => {
            let enabled = call.i32()? != 0;
            said(action, json!({ "enabled": enabled })).unwrap_or_else(|| call.relayed(action, []))
        }
        // Of one vCPU, or only for now.
        _ => call.relayed(action, []),
    };
    Ok(Treatment::held(subject, operation))
}

fn counted(call: &Call<'_>, action: Action, args: serde_json::Value, flags: u32) -> Operation {
    let canonical = (flags == LIVE | CONFIG).then(|| said(action, args)).flatten();
    canonical.unwrap_or_else(|| {
        let defines = has(flags, MAXIMUM | CONFIG) || !only(flags, LIVE | CONFIG | MAXIMUM | VCPU_GUEST);
        let agent = (action == Action::CpuSet && has(flags, VCPU_GUEST)).then_some(Resource::GuestAgent);
        call.relayed(action, defines.then_some(Resource::Definition).into_iter().chain(agent))
    })
}

fn metadata(mut call: Call<'_>, subject: Subject) -> Result<Treatment, ReadXdrError> {
    let kind = call.i32()?;
    let (xml, key, uri) = (call.optional_text()?, call.optional_text()?, call.optional_text()?);
    let flags = call.u32()?;
    let canonical = (kind == ELEMENT && flags == LIVE | CONFIG)
        .then(|| said(Action::MetadataSet, json!({ "uri": uri, "key": key, "xml": xml })))
        .flatten();
    let operation = canonical.unwrap_or_else(|| {
        let text = usize::try_from(kind).ok().and_then(|kind| TITLE_OR_DESCRIPTION.get(kind));
        let named = match (kind, uri, text) {
            (ELEMENT, Some(uri), _) => Some(Resource::Metadata(uri.to_owned())),
            (_, _, Some(text)) => Some(Resource::Metadata((*text).to_owned())),
            _ => None,
        };
        call.relayed(Action::MetadataSet, named)
    });
    Ok(Treatment::held(subject, operation))
}
