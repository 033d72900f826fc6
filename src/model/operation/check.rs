//! What arguments of several actions must look like.

use std::collections::BTreeSet;

use crate::model::device::is_target;

/// The longest a command may ask anybody to be given. *Units*: seconds.
pub const TIMEOUT_MAX_S: u32 = 3600;

/// How long a job is open at most unless its provider says otherwise. *Units*: seconds.
pub(super) const JOB_LEASE_DEFAULT_S: u32 = 24 * 60 * 60;
/// The longest that a provider may say. *Units*: seconds.
pub(super) const JOB_LEASE_MAX_S: u32 = 30 * JOB_LEASE_DEFAULT_S;

pub(super) fn check_lease(seconds: Option<u32>) -> Result<(), String> {
    let odd = seconds.filter(|seconds| !(1..=JOB_LEASE_MAX_S).contains(seconds));
    odd.map_or(Ok(()), |odd| Err(format!("lease_s is 1 to {JOB_LEASE_MAX_S}, not {odd}")))
}

pub(super) fn check_timeout(field: &str, seconds: u32) -> Result<(), String> {
    if (1..=TIMEOUT_MAX_S).contains(&seconds) {
        Ok(())
    } else {
        Err(format!("{field} is 1 to {TIMEOUT_MAX_S}, not {seconds}"))
    }
}

/// A name that libvirt and file systems take: of a snapshot, of a checkpoint.
pub(super) fn check_name(field: &str, name: &str) -> Result<(), String> {
    let fits = (1..=64).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if fits {
        Ok(())
    } else {
        Err(format!("{field} is 1 to 64 letters, digits, '.', '_' or '-', not beginning with '.' or '-'"))
    }
}

pub(super) fn check_text(field: &str, text: &str, limit: usize) -> Result<(), String> {
    if text.len() > limit {
        return Err(format!("{field} is at most {limit} bytes"));
    }
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return Err(format!("{field} holds a control character"));
    }
    Ok(())
}

pub(super) fn check_target(target: &str) -> Result<(), String> {
    if is_target(target) { Ok(()) } else { Err(format!("{target:?} is no disk's target, such as vda")) }
}

pub(super) fn check_disks(disks: &BTreeSet<String>) -> Result<(), String> {
    disks.iter().try_for_each(|target| check_target(target))
}

/// A file that QEMU is to open on the host.
pub(super) fn check_path(field: &str, path: &str) -> Result<(), String> {
    check_text(field, path, 1024)?;
    if !path.starts_with('/') || path.contains(['\n', '\t']) || path.split('/').any(|part| part == "..") {
        return Err(format!("{field} is an absolute path without \"..\""));
    }
    Ok(())
}
