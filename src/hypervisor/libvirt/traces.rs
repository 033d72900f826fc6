//! What a backup, a resize or a block job leaves to be seen beyond the VM's state, for calls whose answer was lost.

use std::ffi::CStr;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use super::chain::{Image, chain_of};
use super::{jobs, surroundings};
use crate::hypervisor::evidence::{Seen, seen_in};
use crate::model::operation::{
    BackupBeginArgs, BackupMode, BlockCommitArgs, BlockCopyArgs, BlockPullArgs, DiskResizeArgs,
};
use crate::model::xml::parse;
use crate::model::{HoldKey, Operation, VmState};

/// A disk is only ever made larger, so that one that is larger still was as large as was asked.
pub(super) fn of_resize(domain: &Domain, args: &DiskResizeArgs) -> Result<Seen, Error> {
    let size = surroundings::disk_size(domain, &args.disk)?;
    Ok(Seen::when(size.capacity >= args.capacity))
}

/// A backup that is open was begun by this call only if it is written, or served, where the call said.
pub(super) fn of_backup(domain: &Domain, state: &VmState, args: &BackupBeginArgs) -> Result<Seen, Error> {
    if !state.jobs.contains(&HoldKey::Backup) {
        return Ok(seen_in(state, &Operation::BackupBegin(args.clone())));
    }
    Ok(if is_as_asked(&open_backup(domain)?, args) {
        Seen::Yes
    } else {
        match &args.checkpoint {
            Some(name) => Seen::when(state.checkpoints.contains(name)),
            None => Seen::Never,
        }
    })
}

pub(super) fn of_commit(domain: &Domain, args: &BlockCommitArgs) -> Result<Seen, Error> {
    let kinds = [sys::VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT, sys::VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT];
    of_job(domain, &args.disk, &kinds, |images| match args.top.as_deref().filter(|top| top.starts_with('/')) {
        // What was merged down is no part of the disk any more.
        Some(top) => !images.iter().any(|image| image.is(&args.disk, top)),
        None => false,
    })
}

pub(super) fn of_pull(domain: &Domain, args: &BlockPullArgs) -> Result<Seen, Error> {
    of_job(domain, &args.disk, &[sys::VIR_DOMAIN_BLOCK_JOB_TYPE_PULL], |images| match (&args.base, images.get(1)) {
        (None, below) => below.is_none(),
        (Some(base), Some(below)) => below.path.as_ref() == Some(base),
        (Some(_), None) => false,
    })
}

pub(super) fn of_copy(domain: &Domain, args: &BlockCopyArgs) -> Result<Seen, Error> {
    of_job(domain, &args.disk, &[sys::VIR_DOMAIN_BLOCK_JOB_TYPE_COPY], |images| {
        images.first().is_some_and(|active| active.path.as_ref() == Some(&args.to))
    })
}

/// A job that is open is this call's; one that is not may have begun and be over, which only its effect shows.
fn of_job(
    domain: &Domain,
    disk: &str,
    kinds: &[u32],
    took_effect: impl FnOnce(&[Image]) -> bool,
) -> Result<Seen, Error> {
    if jobs::block_job(domain, disk)?.is_some_and(|job| kinds.contains(&job.kind)) {
        return Ok(Seen::Yes);
    }
    let images = chain_of(&domain.xml_desc(0)?, disk);
    Ok(if !images.is_empty() && took_effect(&images) { Seen::Yes } else { Seen::Never })
}

fn open_backup(domain: &Domain) -> Result<String, Error> {
    // SAFETY: the domain is open; libvirt gives a text of ours, or null. Needed because the safe binding has no backups.
    let text = unsafe { sys::virDomainBackupGetXMLDesc(domain.as_ptr(), 0) };
    if text.is_null() {
        let error = Error::last_error();
        // It has ended since it was seen.
        let is_over = error.code().to_raw() == sys::VIR_ERR_NO_DOMAIN_BACKUP;
        return if is_over { Ok(String::new()) } else { Err(error) };
    }
    // SAFETY: it ends with a zero byte and lives until it is freed below.
    let xml = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: libvirt allocates the text with malloc and asks its callers to free it so.
    unsafe { super::owned::free(text.cast()) };
    Ok(xml)
}

fn is_as_asked(xml: &str, args: &BackupBeginArgs) -> bool {
    let Ok(document) = parse(xml) else { return false };
    let attribute_of = |tag, name| {
        document.descendants().filter(move |node| node.has_tag_name(tag)).filter_map(move |node| node.attribute(name))
    };
    match args.mode {
        BackupMode::Pull => attribute_of("server", "socket").any(|socket| Some(socket) == args.socket.as_deref()),
        BackupMode::Push => args.files.values().all(|file| attribute_of("target", "file").any(|there| there == file)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn another_backup_is_not_taken_for_ours() {
        let pull: BackupBeginArgs = serde_json::from_value(json!({ "mode": "pull", "socket": "/a" })).unwrap();
        let served =
            |socket| format!("<domainbackup mode='pull'><server transport='unix' socket='{socket}'/></domainbackup>");
        assert!(is_as_asked(&served("/a"), &pull));
        assert!(!is_as_asked(&served("/b"), &pull));
        let push: BackupBeginArgs =
            serde_json::from_value(json!({ "mode": "push", "files": { "vda": "/f" } })).unwrap();
        let xml = "<domainbackup mode='push'><disks><disk name='vda'><target file='/f'/></disk></disks></domainbackup>";
        assert!(is_as_asked(xml, &push));
        assert!(!is_as_asked(&served("/f"), &push));
        assert!(!is_as_asked("", &push));
    }
}
