//! An allocator that counts, for each thread, so that a judge can say what a message may cost.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counted.
pub struct Counting;

fn grow(by: usize) {
    let live = LIVE.get().saturating_add_unsigned(by);
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
}

fn shrink(by: usize) {
    LIVE.set(LIVE.get().saturating_sub_unsigned(by));
}

// SAFETY: every call is the system's own; the counters are plain numbers without a destructor, which allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it is moved, both are there.
        grow(size);
        shrink(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(memory, layout, size) }
    }
}

/// What this thread has now. *Units*: bytes; less than nothing where it freed what another made.
#[must_use]
pub fn live() -> isize {
    LIVE.get()
}

/// What a deed comes to, and the most that it had at once beyond what was there before. *Units*: bytes.
pub fn peak_of<T>(deed: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let result = deed();
    (result, usize::try_from(PEAK.get() - before).unwrap_or(0))
}
