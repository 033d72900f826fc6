//! What is open on a VM that runs: libvirt's one background job, and a block job for each disk.
//!
//! These questions wait for the lock that every change of a VM holds, for half a minute at most. So libvirt is first
//! asked whether somebody holds it, which waits for nobody; while somebody does, what is open stays unanswered here,
//! and whoever looks comes again. *Source*: libvirt, `virDomainGetControlInfo`.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::raw::c_int;

use virt::connect::Connect;
use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use super::core::look_up;
use super::failure::Fault;
use super::gather;
use super::stats::numbers;
use crate::discovery;
use crate::hypervisor::JobProgress;
use crate::model::{HoldKey, VmId};

/// What a VM that is busy says to a question that would have to wait.
pub(super) const BUSY: &str = "the VM is busy with another request, so that what is open on it cannot be asked now";

/// An answer, or that the VM is busy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer<T> {
    Given(T),
    Busy,
}

/// libvirt's background job on a VM: a migration, a save, a backup, … at most one at a time. libvirt shows it from when
/// it takes the VM's job lock until it gives that back, so that one which is being wound up, after its end or when it was
/// aborted, is a job still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Background {
    kind: sys::virDomainJobType,
    operation: sys::virDomainJobOperation,
    /// Memory that a migration has to send, as far as it knows. *Units*: bytes.
    memory_total: u64,
    /// *Units*: bytes.
    done: u64,
    total: u64,
    /// *Units*: milliseconds.
    elapsed: u64,
    left: Option<u64>,
}

impl Background {
    /// What it holds open; a job that ends with its own call holds nothing.
    pub(super) fn hold(&self) -> Option<HoldKey> {
        match self.operation {
            sys::VIR_DOMAIN_JOB_OPERATION_BACKUP => Some(HoldKey::Backup),
            sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT => Some(HoldKey::Migration),
            _ => None,
        }
    }

    /// Whether it moves the VM to another host.
    pub(super) const fn is_migration_out(&self) -> bool {
        self.operation == sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT
    }

    /// Whether QEMU is at it or done. Before, libvirt has yet to reach the target host, which may refuse; after a
    /// failure it is not said any more.
    pub(super) const fn sends_memory(&self) -> bool {
        let goes_well = matches!(
            self.kind,
            sys::VIR_DOMAIN_JOB_BOUNDED | sys::VIR_DOMAIN_JOB_UNBOUNDED | sys::VIR_DOMAIN_JOB_COMPLETED
        );
        goes_well && self.memory_total > 0
    }

    fn progress(&self) -> Option<JobProgress> {
        let Self { done, total, elapsed, .. } = *self;
        // Where libvirt has no estimate: as fast as until now.
        let at_this_pace = || {
            let left = u128::from(total.saturating_sub(done)) * u128::from(elapsed);
            left.checked_div(u128::from(done)).and_then(|left| u64::try_from(left).ok())
        };
        let left = self.left.or_else(|| (total > 0).then(at_this_pace).flatten());
        let seconds_left = left.map(|left| left.div_ceil(1000));
        Some(JobProgress { hold: self.hold()?, done, total, seconds_left, elapsed_s: Some(elapsed / 1000) })
    }
}

/// A disk's block job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockJob {
    pub(super) kind: u32,
    /// *Units*: bytes; a mirror that is ready has done all of it.
    pub(super) done: u64,
    pub(super) total: u64,
    /// The most it may write; none when there is no limit. *Units*: bytes per second.
    limit: Option<u64>,
}

impl BlockJob {
    /// Whether it is somebody's own job on the disk rather than a backup's part.
    pub(super) const fn holds(&self) -> bool {
        self.kind != sys::VIR_DOMAIN_BLOCK_JOB_TYPE_BACKUP
    }
}

/// Whether somebody holds the lock of a VM that runs.
pub(super) fn is_busy(domain: &Domain) -> Result<bool, Error> {
    let mut info = MaybeUninit::<sys::virDomainControlInfo>::uninit();
    // SAFETY: the domain is open and libvirt fills the struct if it returns zero. Needed because the safe binding does
    // not have the question.
    if unsafe { sys::virDomainGetControlInfo(domain.as_ptr(), info.as_mut_ptr(), 0) } == 0 {
        // SAFETY: filled, see above.
        return Ok(unsafe { info.assume_init() }.state != sys::VIR_DOMAIN_CONTROL_OK);
    }
    let error = Error::last_error();
    match error.code().to_raw() {
        // It has stopped, or the driver has no such lock.
        sys::VIR_ERR_OPERATION_INVALID | sys::VIR_ERR_NO_SUPPORT => Ok(false),
        _ => Err(error),
    }
}

/// The background job, if there is one; none also when the VM is off or the driver knows no jobs. It may wait for the
/// lock.
pub(super) fn background(domain: &Domain) -> Result<Option<Background>, Error> {
    let (mut kind, mut count): (c_int, c_int) = (0, 0);
    let mut parameters: sys::virTypedParameterPtr = std::ptr::null_mut();
    // SAFETY: the domain is open; libvirt sets `parameters` to an array of `count`. Needed because the safe binding
    // frees the array with another allocator, takes a null for an array and does not read which operation the job is.
    let asked =
        unsafe { sys::virDomainGetJobStats(domain.as_ptr(), &raw mut kind, &raw mut parameters, &raw mut count, 0) };
    if asked != 0 {
        let error = Error::last_error();
        return match error.code().to_raw() {
            // Not running any more, a driver without jobs, or a migration that comes in.
            sys::VIR_ERR_OPERATION_INVALID | sys::VIR_ERR_NO_SUPPORT | sys::VIR_ERR_OPERATION_UNSUPPORTED => Ok(None),
            _ => Err(error),
        };
    }
    // SAFETY: the array lives until it is freed below, and nothing borrowed from it leaves this function.
    let values = unsafe { numbers(parameters, count) };
    let number = |name| values.get(name).copied();
    let of_disks = || (number(sys::VIR_DOMAIN_JOB_DISK_PROCESSED), number(sys::VIR_DOMAIN_JOB_DISK_TOTAL));
    let (done, total) = match number(sys::VIR_DOMAIN_JOB_DATA_TOTAL) {
        Some(total) => (number(sys::VIR_DOMAIN_JOB_DATA_PROCESSED), Some(total)),
        None => of_disks(),
    };
    let operation = number(sys::VIR_DOMAIN_JOB_OPERATION).and_then(|operation| operation.try_into().ok());
    let job = Background {
        kind: kind.try_into().unwrap_or(sys::VIR_DOMAIN_JOB_NONE),
        operation: operation.unwrap_or(sys::VIR_DOMAIN_JOB_OPERATION_UNKNOWN),
        memory_total: number(sys::VIR_DOMAIN_JOB_MEMORY_TOTAL).unwrap_or(0),
        done: done.unwrap_or(0),
        total: total.unwrap_or(0),
        elapsed: number(sys::VIR_DOMAIN_JOB_TIME_ELAPSED).unwrap_or(0),
        left: number(sys::VIR_DOMAIN_JOB_TIME_REMAINING).filter(|left| *left > 0),
    };
    drop(values);
    // SAFETY: the array came from libvirt and is not used again; null is allowed.
    unsafe { sys::virTypedParamsFree(parameters, count) };
    Ok(Some(job).filter(|job| job.kind != sys::VIR_DOMAIN_JOB_NONE))
}

/// A disk's block job, if there is one. It may wait for the lock.
pub(super) fn block_job(domain: &Domain, target: &str) -> Result<Option<BlockJob>, Error> {
    let name = CString::new(target)?;
    let flags = sys::VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES;
    let mut info = MaybeUninit::<sys::virDomainBlockJobInfo>::uninit();
    // SAFETY: the domain is open, the name ends with a zero byte, and libvirt fills the struct if it returns one.
    // Needed because the safe binding does not have the question.
    match unsafe { sys::virDomainGetBlockJobInfo(domain.as_ptr(), name.as_ptr(), info.as_mut_ptr(), flags) } {
        0 => Ok(None),
        1 => {
            // SAFETY: filled, see above.
            let info = unsafe { info.assume_init() };
            Ok(Some(BlockJob {
                kind: u32::try_from(info.type_).unwrap_or(sys::VIR_DOMAIN_BLOCK_JOB_TYPE_UNKNOWN),
                done: info.cur,
                total: info.end,
                limit: Some(info.bandwidth).filter(|limit| *limit > 0),
            }))
        }
        _ => {
            let error = Error::last_error();
            match error.code().to_raw() {
                // Not running any more, a driver without block jobs, or a disk that went meanwhile.
                sys::VIR_ERR_OPERATION_INVALID | sys::VIR_ERR_NO_SUPPORT | sys::VIR_ERR_INVALID_ARG => Ok(None),
                _ => Err(error),
            }
        }
    }
}

/// What is open on a VM that runs and has these disks.
pub(super) fn open_on(domain: &Domain, disks: &[String]) -> Result<Answer<BTreeSet<HoldKey>>, Error> {
    unless_busy(domain, || {
        let background = background(domain)?.and_then(|job| job.hold());
        let mut open: BTreeSet<HoldKey> = background.into_iter().collect();
        for disk in disks {
            if block_job(domain, disk)?.is_some_and(|job| job.holds()) {
                open.insert(HoldKey::Block(disk.clone()));
            }
        }
        Ok(open)
    })
}

/// How far everything is that is open on a VM.
pub(super) fn progress(connect: &Connect, vm: VmId) -> Result<Vec<JobProgress>, Fault> {
    let fault = Fault::harmless(connect);
    let domain = look_up(connect, vm)?;
    if domain.id().is_none() {
        return Ok(Vec::new());
    }
    let disks = disks_of(&gather::parsed(&domain.xml_desc(0).map_err(fault)?)?);
    let asked = unless_busy(&domain, || {
        let mut all: Vec<JobProgress> = background(&domain)?.and_then(|job| job.progress()).into_iter().collect();
        for disk in disks {
            if let Some(job) = block_job(&domain, &disk)?.filter(BlockJob::holds) {
                let BlockJob { done, total, limit, .. } = job;
                let seconds_left = limit.map(|limit| total.saturating_sub(done).div_ceil(limit));
                all.push(JobProgress { hold: HoldKey::Block(disk), done, total, seconds_left, elapsed_s: None });
            }
        }
        Ok(all)
    });
    match asked.map_err(fault)? {
        Answer::Given(all) => Ok(all),
        Answer::Busy => Err(Fault::Failed(BUSY.to_owned())),
    }
}

/// The disks that can have a block job: an empty drive has none.
pub(super) fn disks_of(domain: &discovery::Domain) -> Vec<String> {
    domain.disks.iter().filter(|disk| disk.source.is_some()).map(|disk| disk.target.clone()).collect()
}

fn unless_busy<T>(domain: &Domain, ask: impl FnOnce() -> Result<T, Error>) -> Result<Answer<T>, Error> {
    if is_busy(domain)? {
        return Ok(Answer::Busy);
    }
    match ask() {
        Err(error) if is_passing(&error) => Ok(Answer::Busy),
        other => other.map(Answer::Given),
    }
}

/// Whether it was said because of what is being done just now: somebody took the lock between the questions, or a backup
/// is at its end and its figures are gone before its job is (libvirt 9.0 calls that internal).
fn is_passing(error: &Error) -> bool {
    matches!(error.code().to_raw(), sys::VIR_ERR_OPERATION_TIMEOUT | sys::VIR_ERR_INTERNAL_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backup(done: u64, elapsed: u64, left: Option<u64>) -> Background {
        let (kind, operation) = (sys::VIR_DOMAIN_JOB_UNBOUNDED, sys::VIR_DOMAIN_JOB_OPERATION_BACKUP);
        Background { kind, operation, memory_total: 0, done, total: 1000, elapsed, left }
    }

    #[test]
    fn a_migration_is_under_way_once_memory_is_sent_and_until_it_fails() {
        let job = |kind, memory_total| Background { kind, memory_total, ..backup(0, 0, None) };
        assert!(!job(sys::VIR_DOMAIN_JOB_UNBOUNDED, 0).sends_memory(), "the target is being prepared");
        assert!(job(sys::VIR_DOMAIN_JOB_UNBOUNDED, 1).sends_memory());
        assert!(job(sys::VIR_DOMAIN_JOB_COMPLETED, 1).sends_memory());
        assert!(!job(sys::VIR_DOMAIN_JOB_CANCELLED, 1).sends_memory());
        assert!(!job(sys::VIR_DOMAIN_JOB_FAILED, 1).sends_memory());
    }

    #[test]
    fn what_is_left_is_libvirts_estimate_or_goes_on_as_until_now() {
        let left = |job: Background| job.progress().unwrap().seconds_left;
        assert_eq!(left(backup(250, 4000, None)), Some(12));
        assert_eq!(left(backup(250, 4000, Some(500))), Some(1));
        assert_eq!(left(backup(0, 4000, None)), None);
        // A backup that is pulled has no size: whoever reads it ends it.
        assert_eq!(left(Background { total: 0, ..backup(0, 4000, None) }), None);
    }

    #[test]
    fn only_backups_and_migrations_to_elsewhere_stay_open() {
        let hold = |operation| Background { operation, ..backup(0, 0, None) }.hold();
        assert_eq!(hold(sys::VIR_DOMAIN_JOB_OPERATION_BACKUP), Some(HoldKey::Backup));
        assert_eq!(hold(sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT), Some(HoldKey::Migration));
        assert_eq!(hold(sys::VIR_DOMAIN_JOB_OPERATION_SNAPSHOT), None);
    }
}
