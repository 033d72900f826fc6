//! What libvirt's C library gives away and its caller must free.

use std::os::raw::c_int;

use virt::error::Error;

/// An array of pointers that libvirt gave away, each to be freed, and the array after them.
pub(super) struct OwnedArray<T> {
    start: *mut *mut T,
    count: usize,
    free: unsafe fn(*mut T),
}

impl<T> OwnedArray<T> {
    /// What a call gave: where it put the array, and how many it says there are; fewer than none is an error.
    pub(super) fn of(start: *mut *mut T, count: c_int, free: unsafe fn(*mut T)) -> Result<Self, Error> {
        let count = usize::try_from(count).map_err(|_| Error::last_error())?;
        Ok(Self { start, count: if start.is_null() { 0 } else { count }, free })
    }

    pub(super) fn items(&self) -> &[*mut T] {
        if self.count == 0 {
            return &[];
        }
        // SAFETY: libvirt said that the array has this many pointers, and it is freed only on drop.
        unsafe { std::slice::from_raw_parts(self.start, self.count) }
    }
}

impl<T> Drop for OwnedArray<T> {
    fn drop(&mut self) {
        for item in self.items() {
            // SAFETY: each came from libvirt, which gave it away, and is freed with its own function, once.
            unsafe { (self.free)(*item) };
        }
        // SAFETY: libvirt allocates the array with malloc and asks its callers to free it so; null is allowed.
        unsafe { free(self.start.cast()) };
    }
}

unsafe extern "C" {
    pub(super) fn free(pointer: *mut std::os::raw::c_void);
}
