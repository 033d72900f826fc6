//! The job that libvirt has under way on a VM: a migration, a save, a backup, … at most one at a time.

use std::collections::BTreeMap;
use std::os::raw::c_int;

use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use super::stats::named_number;

/// A job. libvirt shows it from when it takes the VM's job lock until it gives that back, so that one which is being
/// wound up, after its end or when it was aborted, is a job still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Job {
    kind: sys::virDomainJobType,
    operation: sys::virDomainJobOperation,
    memory_total: u64,
}

impl Job {
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
}

/// The job under way; none also when the VM is off or the driver knows no jobs.
///
/// *Errors*: libvirt's, among them that another call holds the VM for so long that it could not be asked.
pub(super) fn current(domain: &Domain) -> Result<Option<Job>, Error> {
    let (mut kind, mut count): (c_int, c_int) = (0, 0);
    let mut params: sys::virTypedParameterPtr = std::ptr::null_mut();
    // SAFETY: the domain is open; libvirt sets all three when it returns zero, the array perhaps to null. Needed because
    // the safe binding does not read which operation the job is, and takes over an array that may be null.
    let asked =
        unsafe { sys::virDomainGetJobStats(domain.as_ptr(), &raw mut kind, &raw mut params, &raw mut count, 0) };
    if asked != 0 {
        let error = Error::last_error();
        return match error.code().to_raw() {
            sys::VIR_ERR_OPERATION_INVALID | sys::VIR_ERR_NO_SUPPORT => Ok(None),
            _ => Err(error),
        };
    }
    let figures: BTreeMap<_, u64> = match usize::try_from(count) {
        Ok(count) if !params.is_null() => {
            // SAFETY: the array has this many parameters and lives until it is freed below.
            let read = unsafe { std::slice::from_raw_parts(params, count) };
            read.iter().filter_map(named_number).map(|(name, value)| (name.to_owned(), value)).collect()
        }
        Ok(_) | Err(_) => BTreeMap::new(),
    };
    // SAFETY: the array came from libvirt, or is null, and is not used again.
    unsafe { sys::virTypedParamsFree(params, count) };
    let number = |name| figures.get(name).copied().unwrap_or_default();
    let kind = sys::virDomainJobType::try_from(kind).unwrap_or(sys::VIR_DOMAIN_JOB_NONE);
    Ok((kind != sys::VIR_DOMAIN_JOB_NONE).then(|| Job {
        kind,
        operation: number(sys::VIR_DOMAIN_JOB_OPERATION).try_into().unwrap_or(sys::VIR_DOMAIN_JOB_OPERATION_UNKNOWN),
        memory_total: number(sys::VIR_DOMAIN_JOB_MEMORY_TOTAL),
    }))
}

/// Asks libvirt to give the job up.
pub(super) fn abort(domain: &Domain) -> Result<(), Error> {
    // SAFETY: the domain is open. Needed because the safe binding lacks the call.
    if unsafe { sys::virDomainAbortJob(domain.as_ptr()) } == 0 { Ok(()) } else { Err(Error::last_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_is_under_way_once_memory_is_sent_and_until_it_fails() {
        let job =
            |kind, memory_total| Job { kind, operation: sys::VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT, memory_total };
        assert!(!job(sys::VIR_DOMAIN_JOB_UNBOUNDED, 0).sends_memory(), "the target is being prepared");
        assert!(job(sys::VIR_DOMAIN_JOB_UNBOUNDED, 1).sends_memory());
        assert!(job(sys::VIR_DOMAIN_JOB_COMPLETED, 1).sends_memory());
        assert!(!job(sys::VIR_DOMAIN_JOB_CANCELLED, 1).sends_memory());
        assert!(!job(sys::VIR_DOMAIN_JOB_FAILED, 1).sends_memory());
    }
}
