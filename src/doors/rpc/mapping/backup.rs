//! Backups and checkpoints.
//!
//! A checkpoint's name is its client's own here: no unmodified tool begins it with its provider's name, as the
//! catalogue wants it. So what makes or deletes a checkpoint is relayed, and what only begins at one is not.

use std::collections::BTreeSet;

use roxmltree::Node;
use serde_json::{Map, Value, json};

use super::call::{Call, said};
use super::{Treatment, xml};
use crate::doors::rpc::xdr::ReadXdrError;
use crate::model::device::is_target;
use crate::model::{Action, Operation, Resource};

pub(super) fn decode(action: Action, mut call: Call<'_>) -> Result<Treatment, ReadXdrError> {
    let subject = call.subject()?;
    if call.name() != "domain_backup_begin" {
        return Ok(Treatment::held(subject, call.relayed(action, [])));
    }
    let (backup, checkpoint, flags) = (call.text()?, call.optional_text()?, call.u32()?);
    // Onto files that are there already nothing can be concluded from their being there.
    let canonical = (checkpoint.is_none() && flags == 0).then(|| begin(&backup)).flatten();
    let operation = canonical.unwrap_or_else(|| {
        let disks = about(&backup).unwrap_or_default();
        call.relayed(action, disks.into_iter().map(Resource::Disk))
    });
    Ok(Treatment::held(subject, operation))
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

fn begin(backup: &str) -> Option<Operation> {
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
