//! libvirt's calls that the safe binding lacks: those with typed parameters, backups, block jobs, the end of the background
//! job, and those of the guest's agent.

use std::ffi::CString;
use std::os::raw::{c_char, c_int, c_uint};

use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

/// Names with numbers, as libvirt's calls take them.
#[derive(Default)]
pub(super) struct Parameters(Vec<sys::virTypedParameter>);

impl Parameters {
    /// Adds a number of 32 bits; each call has a type for each name.
    pub(super) fn add_u32(&mut self, name: &str, number: u32) {
        self.add(name, sys::VIR_TYPED_PARAM_UINT, sys::_virTypedParameter__bindgen_ty_1 { ui: number });
    }

    /// Adds a number of 64 bits.
    pub(super) fn add_u64(&mut self, name: &str, number: u64) {
        self.add(name, sys::VIR_TYPED_PARAM_ULLONG, sys::_virTypedParameter__bindgen_ty_1 { ul: number });
    }

    fn add(&mut self, name: &str, kind: sys::virTypedParameterType, value: sys::_virTypedParameter__bindgen_ty_1) {
        let mut field: [c_char; 80] = [0; 80];
        // The last byte stays zero and ends the name.
        for (to, from) in field.iter_mut().take(79).zip(name.bytes()) {
            *to = c_char::from_ne_bytes([from]);
        }
        self.0.push(sys::virTypedParameter { field, type_: kind.cast_signed(), value });
    }

    fn count(&self) -> c_int {
        c_int::try_from(self.0.len()).unwrap_or(c_int::MAX)
    }
}

/// Sets an interface's bandwidth; the interface is named by its MAC or the host's device.
pub(super) fn set_interface_parameters(
    domain: &Domain,
    interface: &str,
    mut parameters: Parameters,
    impact: sys::virDomainModificationImpact,
) -> Result<(), Error> {
    let interface = CString::new(interface)?;
    let (count, params) = (parameters.count(), parameters.0.as_mut_ptr());
    // SAFETY: the domain is open, the name ends with a zero byte, and there are `count` parameters, each with the member
    // written that its type says; libvirt keeps none of it.
    done(unsafe {
        sys::virDomainSetInterfaceParameters(domain.as_ptr(), interface.as_ptr(), params, count, impact as c_uint)
    })
}

/// Sets a disk's limits; the disk is named by its target.
pub(super) fn set_block_iotune(
    domain: &Domain,
    disk: &str,
    mut parameters: Parameters,
    impact: sys::virDomainModificationImpact,
) -> Result<(), Error> {
    let disk = CString::new(disk)?;
    let (count, params) = (parameters.count(), parameters.0.as_mut_ptr());
    // SAFETY: as above.
    done(unsafe { sys::virDomainSetBlockIoTune(domain.as_ptr(), disk.as_ptr(), params, count, impact as c_uint) })
}

/// Begins a backup, and makes a checkpoint with it where there is XML for one.
pub(super) fn backup_begin(domain: &Domain, backup: &str, checkpoint: Option<&str>) -> Result<(), Error> {
    let (backup, checkpoint) = (CString::new(backup)?, optional(checkpoint)?);
    // SAFETY: the domain is open; each text ends with a zero byte and outlives the call; one that is not given is null.
    done(unsafe { sys::virDomainBackupBegin(domain.as_ptr(), backup.as_ptr(), pointer(checkpoint.as_ref()), 0) })
}

/// Asks libvirt to give up the background job, whatever it is: a backup, a migration, a save.
pub(super) fn abort_job(domain: &Domain) -> Result<(), Error> {
    // SAFETY: the domain is open.
    done(unsafe { sys::virDomainAbortJob(domain.as_ptr()) })
}

/// Begins to merge a disk's images from `top` down into `base`. *Units*: `bandwidth`: as the flags say.
pub(super) fn block_commit(
    domain: &Domain,
    disk: &str,
    base: Option<&str>,
    top: Option<&str>,
    bandwidth: u64,
    flags: c_uint,
) -> Result<(), Error> {
    let (disk, base, top) = (CString::new(disk)?, optional(base)?, optional(top)?);
    let (base, top) = (pointer(base.as_ref()), pointer(top.as_ref()));
    // SAFETY: as in `backup_begin`.
    done(unsafe { sys::virDomainBlockCommit(domain.as_ptr(), disk.as_ptr(), base, top, bandwidth, flags) })
}

/// Begins to bring up into a disk's active image what is above `base`, or everything. *Units*: as above.
pub(super) fn block_rebase(
    domain: &Domain,
    disk: &str,
    base: Option<&str>,
    bandwidth: u64,
    flags: c_uint,
) -> Result<(), Error> {
    let (disk, base) = (CString::new(disk)?, optional(base)?);
    // SAFETY: as in `backup_begin`.
    done(unsafe { sys::virDomainBlockRebase(domain.as_ptr(), disk.as_ptr(), pointer(base.as_ref()), bandwidth, flags) })
}

/// Begins to copy a disk to where the XML says.
pub(super) fn block_copy(
    domain: &Domain,
    disk: &str,
    to: &str,
    mut parameters: Parameters,
    flags: c_uint,
) -> Result<(), Error> {
    let (disk, to) = (CString::new(disk)?, CString::new(to)?);
    let (count, params) = (parameters.count(), parameters.0.as_mut_ptr());
    // SAFETY: as in `backup_begin` and in `set_interface_parameters`.
    done(unsafe { sys::virDomainBlockCopy(domain.as_ptr(), disk.as_ptr(), to.as_ptr(), params, count, flags) })
}

/// Ends a disk's block job, and goes over to what it made where the flags say so.
pub(super) fn block_job_abort(domain: &Domain, disk: &str, flags: c_uint) -> Result<(), Error> {
    let disk = CString::new(disk)?;
    // SAFETY: the domain is open and the name ends with a zero byte.
    done(unsafe { sys::virDomainBlockJobAbort(domain.as_ptr(), disk.as_ptr(), flags) })
}

/// Holds file systems still, all or those that are mounted there; how many.
pub(super) fn fs_freeze(domain: &Domain, mountpoints: &[String]) -> Result<u32, Error> {
    let texts = mountpoints.iter().map(|point| CString::new(point.as_str())).collect::<Result<Vec<_>, _>>()?;
    let mut pointers: Vec<*const c_char> = texts.iter().map(|text| text.as_ptr()).collect();
    let count = c_uint::try_from(pointers.len()).unwrap_or(c_uint::MAX);
    let list = if pointers.is_empty() { std::ptr::null_mut() } else { pointers.as_mut_ptr() };
    // SAFETY: the domain is open; the list is null, or `count` texts that end with a zero byte and outlive the call.
    counted(unsafe { sys::virDomainFSFreeze(domain.as_ptr(), list, count, 0) })
}

/// Lets all file systems go; how many stood still.
pub(super) fn fs_thaw(domain: &Domain) -> Result<u32, Error> {
    // SAFETY: the domain is open, and no list means all.
    counted(unsafe { sys::virDomainFSThaw(domain.as_ptr(), std::ptr::null_mut(), 0, 0) })
}

/// Has the guest give back the blocks that no file uses. *Units*: bytes; smaller free ranges are left.
pub(super) fn fs_trim(domain: &Domain, minimum: u64) -> Result<(), Error> {
    // SAFETY: the domain is open, and no mountpoint means all.
    done(unsafe { sys::virDomainFSTrim(domain.as_ptr(), std::ptr::null(), minimum, 0) })
}

/// How long libvirt waits for the agent of a VM in each call but such as say so themselves. *Units*: seconds, or one of
/// libvirt's words for none.
pub(super) fn set_agent_timeout(
    domain: &Domain,
    timeout: sys::virDomainAgentResponseTimeoutValues,
) -> Result<(), Error> {
    // SAFETY: the domain is open.
    done(unsafe { sys::virDomainAgentSetResponseTimeout(domain.as_ptr(), timeout, 0) })
}

fn done(result: c_int) -> Result<(), Error> {
    if result < 0 { Err(Error::last_error()) } else { Ok(()) }
}

fn counted(result: c_int) -> Result<u32, Error> {
    u32::try_from(result).map_err(|_| Error::last_error())
}

fn optional(text: Option<&str>) -> Result<Option<CString>, Error> {
    Ok(text.map(CString::new).transpose()?)
}

fn pointer(text: Option<&CString>) -> *const c_char {
    text.map_or(std::ptr::null(), |text| text.as_ptr())
}

/// Those of these flags that are wanted.
pub(super) fn flags(wanted: impl IntoIterator<Item = (bool, c_uint)>) -> c_uint {
    wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).fold(0, |flags, (_, flag)| flags | flag)
}
