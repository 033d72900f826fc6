//! Backups and checkpoints. A checkpoint's name is its client's own: no unmodified tool begins it with its provider's
//! name. Admission takes that from a libvirt client, as long as it is no other provider's.

use std::collections::BTreeSet;

use roxmltree::Node;
use serde_json::{Map, Value, json};

use super::call::{Call, has, only, said};
use super::{Treatment, xml};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::device::is_target;
use crate::model::{Action, Operation, Resource};

/// *Source*: `VIR_DOMAIN_CHECKPOINT_CREATE_QUIESCE`.
const CHECKPOINT_QUIESCE: u32 = 2;

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    if action == Action::CheckpointDelete {
        let (subject, name) = (call.place()?, call.text()?);
        call.vm()?;
        // With its children, or only what libvirt knows of it: neither is what deleting one is.
        let canonical = only(call.u32()?, 0).then(|| said(action, json!({ "name": name }))).flatten();
        return Ok(Treatment::held(subject, canonical.unwrap_or_else(|| call.relayed(action, []))));
    }
    let subject = call.subject()?;
    if action == Action::CheckpointCreate {
        let (xml, flags) = (call.text()?, call.u32()?);
        // One that is defined again is none that is made.
        let canonical = only(flags, 0).then(|| name_of(xml)).flatten();
        let canonical = canonical.and_then(|name| said(action, json!({ "name": name })));
        let agent = has(flags, CHECKPOINT_QUIESCE).then_some(Resource::GuestAgent);
        return Ok(Treatment::held(subject, canonical.unwrap_or_else(|| call.relayed(action, agent))));
    }
    let (backup, checkpoint, flags) = (call.text()?, call.optional_text()?, call.u32()?);
    let checkpoint = match checkpoint {
        None => Some(None),
        Some(xml) => name_of(xml).map(Some),
    };
    // Onto files that are there already nothing can be concluded from their being there.
    let canonical = checkpoint.filter(|_| flags == 0).and_then(|checkpoint| begin(backup, checkpoint));
    let operation = canonical.unwrap_or_else(|| {
        let disks = about(backup).unwrap_or_default();
        call.relayed(action, disks.into_iter().map(Resource::Disk))
    });
    Ok(Treatment::held(subject, operation))
}

/// What a checkpoint is called. Of which disks it is depends on the VM's own description, too: it is taken to be of all.
fn name_of(checkpoint: &str) -> Option<String> {
    let document = xml::parse(checkpoint)?;
    let root = document.root_element();
    if xml::name(root) == Some("domaincheckpoint") { xml::child_text(root, "name") } else { None }
}

/// The disks that a backup is of; none when it is of all of them, or cannot be told. *Source*: libvirt's backup XML: when
/// disks are listed, the backup is of the listed ones.
fn about(backup: &str) -> Option<BTreeSet<String>> {
    let document = xml::parse(backup)?;
    disks_of(document.root_element())?.into_iter().map(|disk| target_of(disk).map(str::to_owned)).collect()
}

/// The disks that are listed and not left out; none when something has two meanings.
fn disks_of<'a, 'input>(backup: Node<'a, 'input>) -> Option<Vec<Node<'a, 'input>>> {
    let Some(list) = xml::child(backup, "disks") else {
        return (!xml::has(backup, "disks")).then(Vec::new);
    };
    let disks = xml::children(list, "disk")?;
    Some(disks.into_iter().filter(|disk| xml::attribute(*disk, "backup") != Some("no")).collect())
}

fn target_of<'a>(disk: Node<'a, '_>) -> Option<&'a str> {
    xml::attribute(disk, "name").filter(|target| is_target(target))
}

fn begin(backup: &str, checkpoint: Option<String>) -> Option<Operation> {
    let document = xml::parse(backup)?;
    let root = document.root_element();
    let listed = disks_of(root)?;
    let targets = listed.iter().map(|disk| target_of(*disk)).collect::<Option<Vec<_>>>()?;
    let mode = match (xml::name(root)?, xml::attribute(root, "mode")) {
        ("domainbackup", None | Some("push")) => "push",
        ("domainbackup", Some("pull")) => "pull",
        _ => return None,
    };
    let mut args = Map::from_iter([("mode".to_owned(), json!(mode)), ("disks".to_owned(), json!(targets))]);
    if let Some(checkpoint) = checkpoint {
        args.insert("checkpoint".to_owned(), json!(checkpoint));
    }
    match xml::child_text(root, "incremental") {
        Some(from) => args.insert("incremental".to_owned(), json!(from)),
        None if xml::has(root, "incremental") => return None,
        None => None,
    };
    let (where_to, element) = if mode == "push" { ("files", "target") } else { ("scratch", "scratch") };
    let files = listed.iter().filter_map(|disk| Some((target_of(*disk)?.to_owned(), file_of(*disk, element)?)));
    args.insert(where_to.to_owned(), Value::Object(files.collect()));
    if mode == "pull" {
        let server = xml::child(root, "server")?;
        let is_unix = xml::attribute(server, "transport") == Some("unix");
        args.insert("socket".to_owned(), json!(xml::attribute(server, "socket").filter(|_| is_unix)?));
    }
    said(Action::BackupBegin, Value::Object(args))
}

/// The file where a disk's data goes.
fn file_of(disk: Node<'_, '_>, element: &str) -> Option<Value> {
    let is_file = matches!(xml::attribute(disk, "type"), None | Some("file"));
    xml::attribute(xml::child(disk, element)?, "file").filter(|_| is_file).map(|file| json!(file))
}
