//! A domain's checkpoints, of which the safe binding knows nothing.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString};

use virt::domain::Domain;
use virt::error::Error;
use virt::sys;

use super::owned::OwnedArray;

/// One checkpoint's handle; it is freed with the value.
pub(super) struct Checkpoint(sys::virDomainCheckpointPtr);

impl Checkpoint {
    /// Makes one as the XML says.
    pub(super) fn create(domain: &Domain, xml: &str) -> Result<Self, Error> {
        let xml = CString::new(xml)?;
        // SAFETY: the domain is open and the text ends with a zero byte; libvirt gives a handle of ours, or null.
        Self::of(unsafe { sys::virDomainCheckpointCreateXML(domain.as_ptr(), xml.as_ptr(), 0) })
    }

    /// The one of this name.
    pub(super) fn look_up(domain: &Domain, name: &str) -> Result<Self, Error> {
        let name = CString::new(name)?;
        // SAFETY: as in `create`.
        Self::of(unsafe { sys::virDomainCheckpointLookupByName(domain.as_ptr(), name.as_ptr(), 0) })
    }

    /// Deletes it; what it tracked goes on to be tracked by the one before it.
    pub(super) fn delete(&self) -> Result<(), Error> {
        // SAFETY: the handle is valid until it is dropped.
        match unsafe { sys::virDomainCheckpointDelete(self.0, 0) } {
            0 => Ok(()),
            _ => Err(Error::last_error()),
        }
    }

    fn of(pointer: sys::virDomainCheckpointPtr) -> Result<Self, Error> {
        if pointer.is_null() { Err(Error::last_error()) } else { Ok(Self(pointer)) }
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and is not used again.
        unsafe { free_checkpoint(self.0) };
    }
}

/// The names of all; none of a driver that has no checkpoints.
pub(super) fn names(domain: &Domain) -> Result<BTreeSet<String>, Error> {
    let mut found: *mut sys::virDomainCheckpointPtr = std::ptr::null_mut();
    // SAFETY: the domain is open; libvirt sets `found` to an array of the length it returns.
    let count = unsafe { sys::virDomainListAllCheckpoints(domain.as_ptr(), &raw mut found, 0) };
    let all = match OwnedArray::of(found, count, free_checkpoint) {
        Err(error) if error.code().to_raw() == sys::VIR_ERR_NO_SUPPORT => return Ok(BTreeSet::new()),
        other => other?,
    };
    let names = all.items().iter().filter_map(|checkpoint| {
        // SAFETY: every pointer of the array is to a checkpoint that lives as long as the array; so does its name.
        let name = unsafe { sys::virDomainCheckpointGetName(*checkpoint) };
        // SAFETY: the name ends with a zero byte.
        (!name.is_null()).then(|| unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned())
    });
    Ok(names.collect())
}

unsafe fn free_checkpoint(checkpoint: sys::virDomainCheckpointPtr) {
    // SAFETY: the caller owns the handle and does not use it again.
    unsafe { sys::virDomainCheckpointFree(checkpoint) };
}
