//! Moving to another host: at the source a VM is sent, at the destination one arrives.
//!
//! Between the end of Perform and the end of Finish and Confirm the guest stands still: these are never held. What
//! comes after a beginning of the same provider's is a step of the same migration, not another one.

use serde_json::{Value, json};

use super::call::{Call, said};
use super::parameters::{number_of, text_of};
use super::{Pace, Secrecy, Subject, Treatment, Why};
use crate::doors::rpc::xdr::{ReadXdrError, STRING_MAX};
use crate::model::{Action, Operation, Resource};

// *Source*: `virDomainMigrateFlags`.
const LIVE: u64 = 1;
const PEER2PEER: u64 = 2;
const PERSIST_DEST: u64 = 8;
const UNDEFINE_SOURCE: u64 = 16;
const PAUSED: u64 = 32;
const UNSAFE: u64 = 512;
const OFFLINE: u64 = 1024;

/// *Source*: `VIR_MIGRATE_PARAM_URI` and its like.
const URI: &str = "migrate_uri";
const DESTINATION_NAME: &str = "destination_name";
const DESTINATION_XML: &str = "destination_xml";
const BANDWIDTH: &str = "bandwidth";

pub(super) fn decode(mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    match call.name() {
        "domain_migrate_begin3" => {
            call.optional_text()?;
            let flags = call.u64()?;
            Ok(begin(&call, subject, flags))
        }
        "domain_migrate_begin3_params" => {
            call.parameters()?;
            let flags = call.u32()?;
            Ok(begin(&call, subject, flags.into()))
        }
        "domain_migrate_perform" => {
            cookie(&mut call)?;
            let uri = call.text()?.to_owned();
            let flags = call.u64()?;
            let (name, bandwidth) = (call.optional_text()?, call.u64()?);
            let sending = Sending { flags, to: Some(uri), through: None, bandwidth, renamed: name.is_some() };
            Ok(perform(&call, subject, &sending))
        }
        "domain_migrate_perform3" => {
            let xml = call.optional_text()?;
            cookie(&mut call)?;
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let (to, through, flags) = (owned(call.optional_text()?), owned(call.optional_text()?), call.u64()?);
            let (name, bandwidth) = (call.optional_text()?, call.u64()?);
            let renamed = name.is_some() || xml.is_some();
            Ok(perform(&call, subject, &Sending { flags, to, through, bandwidth, renamed }))
        }
        "domain_migrate_perform3_params" => {
            let to = call.optional_text()?.map(str::to_owned);
            let parameters = call.parameters()?;
            cookie(&mut call)?;
            let flags = call.u32()?.into();
            let text = |name: &str| text_of(&parameters, name).map(str::to_owned);
            let sending = Sending {
                flags,
                to,
                through: text(URI),
                bandwidth: number_of(&parameters, BANDWIDTH).unwrap_or(0),
                renamed: text(DESTINATION_NAME).is_some() || text(DESTINATION_XML).is_some(),
            };
            Ok(perform(&call, subject, &sending))
        }
        "domain_migrate_confirm3" => {
            cookie(&mut call)?;
            let flags = call.u64()?;
            Ok(confirm(&call, subject, flags))
        }
        "domain_migrate_confirm3_params" => {
            call.parameters()?;
            cookie(&mut call)?;
            let flags = call.u32()?;
            Ok(confirm(&call, subject, flags.into()))
        }
        "domain_migrate_finish" | "domain_migrate_finish2" | "domain_migrate_finish3" => {
            let name = Some(call.text()?.to_owned());
            Ok(arriving(&call, name, None, Pace::Never))
        }
        "domain_migrate_finish3_params" => {
            let parameters = call.parameters()?;
            let name = text_of(&parameters, DESTINATION_NAME).map(str::to_owned);
            Ok(arriving(&call, name, None, Pace::Never))
        }
        "domain_migrate_prepare3_params" | "domain_migrate_prepare_tunnel3_params" => {
            let parameters = call.parameters()?;
            let Some(xml) = text_of(&parameters, DESTINATION_XML) else {
                return Ok(Treatment::Refuse(Why::Ambiguous));
            };
            let name = text_of(&parameters, DESTINATION_NAME).map(str::to_owned);
            Ok(described(&call, name, xml))
        }
        name if name.starts_with("domain_migrate_prepare") => prepare(call),
        // The speed, the longest pause, the cache: of what is under way.
        "domain_migrate_set_max_downtime"
        | "domain_migrate_set_max_speed"
        | "domain_migrate_set_compression_cache"
        | "domain_migrate_start_post_copy" => {
            Ok(Treatment::change(subject, call.relayed(Action::MigrateBegin, []), Pace::Steers))
        }
        // Whichever job it is that runs.
        _ => {
            let operation = said(Action::MigrateAbort, Value::Null);
            let operation = operation.unwrap_or_else(|| call.relayed(Action::MigrateAbort, []));
            Ok(Treatment::change(subject, operation, Pace::Aborts))
        }
    }
}

/// The older ways to prepare, which differ in what comes first and whether the XML comes at all.
fn prepare(mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let whole = call.name();
    if whole.contains('3') {
        cookie(&mut call)?;
    }
    if !whole.contains("tunnel") {
        call.optional_text()?;
    }
    call.u64()?;
    let name = call.optional_text()?.map(str::to_owned);
    call.u64()?;
    if whole == "domain_migrate_prepare" {
        return Ok(arriving(&call, name, None, Pace::Held));
    }
    let xml = call.text()?;
    Ok(described(&call, name, xml))
}

fn described(call: &Call<'_>, name: Option<String>, xml: &str) -> Treatment {
    Treatment::described(xml, arriving(call, name, Some(xml.to_owned()), Pace::Held))
}

fn cookie(call: &mut Call<'_>) -> Result<(), ReadXdrError> {
    // *Source*: `REMOTE_MIGRATE_COOKIE_MAX`, which is as much as a string may be.
    const { assert!(STRING_MAX == 4_194_304) };
    call.skip_text()
}

/// A VM that comes from another host begins to run here, as what the other host says it is.
fn arriving(call: &Call<'_>, name: Option<String>, xml: Option<String>, pace: Pace) -> Treatment {
    let touches = [Resource::Cpu, Resource::Memory, Resource::Disks, Resource::Devices, Resource::Definition];
    Treatment::change(Subject::Arriving { name, xml }, call.relayed(Action::PowerStart, touches), pace)
}

/// A migration whose steps the client makes begins.
fn begin(call: &Call<'_>, subject: Subject, flags: u64) -> Treatment {
    offline(call, &subject, flags).unwrap_or_else(|| Treatment::held(subject, call.relayed(Action::MigrateBegin, [])))
}

/// What went is gone from here: the guest, the definition, or nothing where that was only copied.
fn confirm(call: &Call<'_>, subject: Subject, flags: u64) -> Treatment {
    let gone = match (flags & OFFLINE, flags & UNDEFINE_SOURCE) {
        (0, _) => Action::MigrateBegin,
        (_, 0) => return Treatment::Look { subject, secret: Secrecy::Open },
        (_, _) => Action::DefinitionUndefine,
    };
    Treatment::change(subject, call.relayed(gone, []), Pace::Never)
}

/// Nothing but the definition goes: here it is read, with all that is in it, or removed.
fn offline(call: &Call<'_>, subject: &Subject, flags: u64) -> Option<Treatment> {
    let subject = subject.clone();
    match (flags & OFFLINE, flags & UNDEFINE_SOURCE) {
        (0, _) => None,
        (_, 0) => Some(Treatment::Look { subject, secret: Secrecy::Secret }),
        (_, _) => Some(Treatment::held(subject, call.relayed(Action::DefinitionUndefine, []))),
    }
}

/// What a VM's sending is asked with.
struct Sending {
    flags: u64,
    to: Option<String>,
    through: Option<String>,
    /// *Units*: MiB per second.
    bandwidth: u64,
    renamed: bool,
}

fn perform(call: &Call<'_>, subject: Subject, sending: &Sending) -> Treatment {
    if let Some(treatment) = offline(call, &subject, sending.flags) {
        return treatment;
    }
    // libvirtd makes all steps itself, or this is one of its client's.
    let pace = match sending.flags & PEER2PEER {
        0 => Pace::Steers,
        _ => Pace::Held,
    };
    let operation = whole(sending).unwrap_or_else(|| call.relayed(Action::MigrateBegin, []));
    Treatment::change(subject, operation, pace)
}

/// The catalogue's migration, which libvirtd makes from its beginning to its end.
fn whole(sending: &Sending) -> Option<Operation> {
    let flags = sending.flags;
    let persistent = match (flags & PERSIST_DEST, flags & UNDEFINE_SOURCE) {
        (0, 0) => false,
        (PERSIST_DEST, UNDEFINE_SOURCE) => true,
        _ => return None,
    };
    if flags & PEER2PEER == 0 || flags & PAUSED != 0 || sending.renamed {
        return None;
    }
    let args: Value = json!({
        "to": sending.to.as_deref()?,
        "through": sending.through,
        "live": flags & LIVE != 0,
        "persistent": persistent,
        "unsafe": flags & UNSAFE != 0,
        "bandwidth": sending.bandwidth,
    });
    said(Action::MigrateBegin, args)
}
