//! Snapshots. What a snapshot is called and holds is in its XML; what else happens with it is in the flags.

use serde_json::json;

use super::call::{Call, has, only, said};
use super::{Treatment, xml};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::{Action, Operation, Resource};

// *Source*: `virDomainSnapshotCreateFlags`.
const CREATE_REDEFINE: u32 = 1;
const CREATE_CURRENT: u32 = 2;
const CREATE_HALT: u32 = 8;
const CREATE_DISK_ONLY: u32 = 16;
const CREATE_REUSE_EXT: u32 = 32;
const CREATE_QUIESCE: u32 = 64;
const CREATE_ATOMIC: u32 = 128;
const CREATE_LIVE: u32 = 256;
const CREATE_VALIDATE: u32 = 512;
/// How it is made, not what it is.
const CREATE_PLAIN: u32 =
    CREATE_CURRENT | CREATE_DISK_ONLY | CREATE_REUSE_EXT | CREATE_ATOMIC | CREATE_LIVE | CREATE_VALIDATE;

/// Running or halted afterwards, by force, with the firmware's variables reset: what a revert leaves is looked at
/// anyhow. *Source*: `virDomainSnapshotRevertFlags`.
const REVERT_KNOWN: u32 = 1 | 2 | 4 | 8;

/// The longest description that is kept. *Units*: bytes.
const DESCRIPTION_MAX: usize = 1024;

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    if call.name() == "domain_snapshot_create_xml" {
        let subject = call.subject()?;
        let (xml, flags) = (call.text()?, call.u32()?);
        return Ok(Treatment::held(subject, create(&call, xml, flags)));
    }
    let (subject, name) = (call.place()?, call.text()?);
    call.vm()?;
    let flags = call.u32()?;
    let named = |known: u32| only(flags, known).then(|| said(action, json!({ "name": name }))).flatten();
    let operation = match call.name() {
        "domain_revert_to_snapshot" => named(REVERT_KNOWN),
        // With its children, or only what libvirt knows of it: neither is what deleting one is.
        "domain_snapshot_delete" => named(0),
        _ => None,
    };
    Ok(Treatment::held(subject, operation.unwrap_or_else(|| call.relayed(action, []))))
}

fn create(call: &Call<'_>, xml: &str, flags: u32) -> Operation {
    let canonical = only(flags, CREATE_PLAIN).then(|| named(xml, flags)).flatten();
    canonical.unwrap_or_else(|| {
        let halts = has(flags, CREATE_HALT) && !has(flags, CREATE_REDEFINE);
        let touched =
            [(has(flags, CREATE_QUIESCE), Resource::GuestAgent), (halts, Resource::Power), (halts, Resource::Process)];
        call.relayed(Action::SnapshotCreate, touched.into_iter().filter(|(is, _)| *is).map(|(_, what)| what))
    })
}

/// The snapshot that the XML names. Which disks a snapshot of disks is of depends on the VM's own description, too: it
/// is taken to be of every disk.
fn named(xml: &str, flags: u32) -> Option<Operation> {
    let document = xml::parse(xml)?;
    let root = document.root_element();
    if xml::name(root) != Some("domainsnapshot") {
        return None;
    }
    let disk_only = has(flags, CREATE_DISK_ONLY);
    let without_memory = match xml::child(root, "memory") {
        Some(memory) => xml::attribute(memory, "snapshot").is_some_and(|how| how == "no"),
        None => xml::has(root, "memory"),
    };
    if without_memory && !disk_only {
        return None;
    }
    let name = xml::child_text(root, "name")?;
    let kind = if disk_only { "disk-only" } else { "full" };
    let description = xml::child_text(root, "description").filter(|text| is_text(text));
    said(Action::SnapshotCreate, json!({ "name": name, "kind": kind, "description": description }))
}

fn is_text(text: &str) -> bool {
    text.len() <= DESCRIPTION_MAX && !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'))
}
