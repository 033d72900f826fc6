//! The calls behind backups and checkpoints.

use std::collections::BTreeSet;

use super::{Begun, Target, check_disks};
use crate::discovery::{Disk, DiskDevice, DiskSource, Domain, Writes};
use crate::hypervisor::given;
use crate::hypervisor::libvirt::backup_xml::{backup_xml, checkpoint_xml};
use crate::hypervisor::libvirt::checkpoints::Checkpoint;
use crate::hypervisor::libvirt::failure::Fault;
use crate::hypervisor::libvirt::{chain, jobs, raw};
use crate::model::operation::{BackupBeginArgs, BackupMode, CheckpointCreateArgs, NoArgs};
use crate::model::{HoldKey, Operation};

/// Makes the call, once.
pub(super) fn perform(target: &Target<'_>, operation: &Operation) -> Result<Begun, Fault> {
    match operation {
        Operation::BackupBegin(args) => begin(target, args),
        Operation::BackupEnd(NoArgs {}) => end(target),
        Operation::CheckpointCreate(args) => create(target, args),
        Operation::CheckpointDelete(args) => {
            let found = target.ask(|domain| Checkpoint::look_up(domain, &args.name))?;
            target.send(|_| found.delete())?;
            Ok(Begun::Complete(given::checkpoint(&args.name)))
        }
        other => Err(Fault::Forbidden(format!("{} is no backup", other.action()))),
    }
}

fn begin(target: &Target<'_>, args: &BackupBeginArgs) -> Result<Begun, Fault> {
    // libvirt would wait for the other for half a minute and then say that it holds the VM.
    if is_open(target)? {
        return Err(Fault::Forbidden("a backup is open already".to_owned()));
    }
    let domain = target.described()?;
    let named = args.about();
    let disks = chosen(&domain, named.as_ref(), can_be_backed_up)?;
    let checkpoint = match &args.checkpoint {
        None => None,
        // One that names its disks is refused by libvirt where one of them cannot have it.
        Some(name) if named.is_some() => Some(checkpoint_xml(name, targets(&disks))),
        Some(name) => Some(checkpoint_xml(name, targets(&chosen(&domain, None, can_be_tracked)?))),
    };
    let args = &with_scratch(args, &disks)?;
    let paths: BTreeSet<&str> = args.files.values().chain(args.scratch.values()).map(String::as_str).collect();
    if let Some(used) = target.ask(|_| chain::in_use(target.connect, &paths, None))? {
        return Err(Fault::Forbidden(format!("{used}: a backup is not written there")));
    }
    let backup = backup_xml(args, targets(&disks));
    target.send(|domain| raw::backup_begin(domain, &backup, checkpoint.as_deref()))?;
    Ok(Begun::Complete(given::backup(args, targets(&disks))))
}

/// A backup that is read by others with a scratch file for each disk: beside the image, where nobody says where. libvirt
/// would choose only for disks that are not named.
fn with_scratch(args: &BackupBeginArgs, disks: &[&Disk]) -> Result<BackupBeginArgs, Fault> {
    let mut whole = args.clone();
    if args.mode == BackupMode::Pull {
        for disk in disks.iter().filter(|disk| !args.scratch.contains_key(&disk.target)) {
            let Some(DiskSource::File { path }) = &disk.source else {
                let target = &disk.target;
                return Err(Fault::Forbidden(format!(
                    "{target} is no file: scratch must say where its old data is kept"
                )));
            };
            whole.scratch.insert(disk.target.clone(), format!("{path}.scratch"));
        }
    }
    Ok(whole)
}

/// libvirt's call ends whatever background job there is, so it must be a backup.
fn end(target: &Target<'_>) -> Result<Begun, Fault> {
    if !is_open(target)? {
        return Err(Fault::Forbidden("no backup is open".to_owned()));
    }
    target.send(raw::abort_job)?;
    Ok(Begun::UntilClosed(HoldKey::Backup))
}

fn is_open(target: &Target<'_>) -> Result<bool, Fault> {
    let open = target.ask(jobs::background)?;
    Ok(open.and_then(|job| job.hold()) == Some(HoldKey::Backup))
}

fn create(target: &Target<'_>, args: &CheckpointCreateArgs) -> Result<Begun, Fault> {
    let domain = target.described()?;
    let named = Some(&args.disks).filter(|disks| !disks.is_empty());
    let xml = checkpoint_xml(&args.name, targets(&chosen(&domain, named, can_be_tracked)?));
    target.send(|domain| Checkpoint::create(domain, &xml))?;
    Ok(Begun::Complete(given::checkpoint(&args.name)))
}

/// The disks that are named, or all that can.
fn chosen<'a>(
    domain: &'a Domain,
    named: Option<&BTreeSet<String>>,
    can: fn(&Disk) -> bool,
) -> Result<Vec<&'a Disk>, Fault> {
    let found: Vec<&Disk> = match named {
        Some(named) => {
            check_disks(domain, named)?;
            domain.disks.iter().filter(|disk| named.contains(&disk.target)).collect()
        }
        None => domain.disks.iter().filter(|disk| can(disk)).collect(),
    };
    // libvirt would take none named for all.
    if found.is_empty() {
        return Err(Fault::Forbidden("the VM has no disk of which this can be made".to_owned()));
    }
    Ok(found)
}

fn can_be_backed_up(disk: &Disk) -> bool {
    let is_written = matches!(disk.writes, Writes::Exclusive | Writes::Shared);
    is_written && disk.source.is_some() && disk.device == DiskDevice::Disk
}

/// Whether what is written to it can be tracked over the VM's restarts: only qcow2 keeps bitmaps.
fn can_be_tracked(disk: &Disk) -> bool {
    can_be_backed_up(disk) && disk.format.as_deref() == Some("qcow2")
}

fn targets<'a>(disks: &[&'a Disk]) -> impl Iterator<Item = &'a str> {
    disks.iter().map(|disk| disk.target.as_str()).collect::<Vec<_>>().into_iter()
}
