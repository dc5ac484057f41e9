//! The library's private heap: what `Vec`, `String` and the maps of the cold paths use.
//!
//! Through the default allocator they would call `malloc`, which is the hook. dlmalloc on pages of
//! its own serves instead, behind a spin lock: contention is rare (cold paths), and a lock that
//! sleeps would need more of std. All state lies in the [`Process`](crate::process::Process) page,
//! which a child of fork finds zeroed: a lock that another thread held at the time of the fork is
//! free there, and the child starts a heap of its own.
//!
//! May run at any moment, but not in a signal handler that interrupted it: cold paths block
//! signals.

use crate::{arch, process, sys};
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};
use dlmalloc::{Allocator, Dlmalloc};
use skipheap_format::PAGE;

/// A lock for short sections of the cold paths. All zeros is unlocked.
#[repr(transparent)]
pub(crate) struct SpinLock(AtomicU32);

impl SpinLock {
    /// An unlocked lock.
    #[cfg(test)]
    pub(crate) const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Waits for the lock; it is given back when the guard is dropped.
    pub(crate) fn lock(&self) -> SpinGuard<'_> {
        while self
            .0
            .compare_exchange_weak(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            sys::yield_now();
        }
        SpinGuard(self)
    }
}

/// Holds a [`SpinLock`].
pub(crate) struct SpinGuard<'l>(&'l SpinLock);

impl Drop for SpinGuard<'_> {
    fn drop(&mut self) {
        self.0.0.store(0, Ordering::Release);
    }
}

/// Mappings that are remembered.
const REMEMBERED: usize = 64;

/// Where the heap's memory comes from. Its mappings are remembered, as far as there is room: the leak check
/// does not take what they hold for the program's.
struct Pages(UnsafeCell<[Range<usize>; REMEMBERED]>);

// SAFETY: it is used by who holds the heap's lock.
unsafe impl Send for Pages {}

impl Pages {
    const fn new() -> Self {
        Self(UnsafeCell::new([const { 0..0 }; REMEMBERED]))
    }

    #[allow(clippy::mut_from_ref)] // One thread at a time is here.
    fn mappings(&self) -> &mut [Range<usize>; REMEMBERED] {
        // SAFETY: the heap's lock is held, and no other reference is kept.
        unsafe { &mut *self.0.get() }
    }

    fn add(&self, start: *mut u8, len: usize) {
        let mut mappings = self.mappings().iter_mut();
        if let Some(slot) = mappings.find(|mapping| mapping.start >= mapping.end) {
            *slot = start as usize..start as usize + len;
        }
    }

    /// Forgets a part of the memory, which may be of several mappings.
    fn remove(&self, start: *mut u8, len: usize) {
        let (start, end) = (start as usize, start as usize + len);
        let mut behind = None;
        for mapping in self.mappings() {
            if mapping.start >= end || mapping.end <= start {
                continue;
            }
            if mapping.start < start && end < mapping.end {
                behind = Some(end..mapping.end);
            }
            if mapping.start < start {
                mapping.end = start;
            } else {
                mapping.start = end.min(mapping.end);
            }
        }
        if let Some(behind) = behind {
            self.add(behind.start as *mut u8, behind.len());
        }
    }
}

// SAFETY: what is handed out is a fresh mapping, or one that has moved with its content.
unsafe impl Allocator for Pages {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let start = sys::map_private(size);
        if start.is_null() {
            return (start, 0, 0);
        }
        self.add(start, size);
        (start, size, 0)
    }

    fn remap(&self, start: *mut u8, old: usize, new: usize, can_move: bool) -> *mut u8 {
        // SAFETY: the caller's own mapping.
        let moved = unsafe { sys::remap(start, old, new, can_move) };
        if !moved.is_null() {
            self.remove(start, old);
            self.add(moved, new);
        }
        moved
    }

    fn free_part(&self, start: *mut u8, old: usize, new: usize) -> bool {
        self.free(start.wrapping_add(new), old - new)
    }

    fn free(&self, start: *mut u8, size: usize) -> bool {
        self.remove(start, size);
        // SAFETY: the caller gives the memory up.
        unsafe { sys::unmap(start, size) };
        true
    }

    fn can_release_part(&self, _flags: u32) -> bool {
        true
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE as usize
    }
}

/// The heap's state. All zeros is a heap that was not used yet.
#[repr(C)]
pub(crate) struct Heap {
    lock: SpinLock,
    begun: UnsafeCell<u32>,
    state: UnsafeCell<MaybeUninit<Dlmalloc<Pages>>>,
}

impl Heap {
    /// Hands the mappings of the heap to `f`.
    pub(crate) fn each_mapping(&self, f: impl FnMut(Range<usize>)) {
        let mappings = self.with(|heap| heap.allocator().mappings().clone());
        mappings.into_iter().for_each(f);
    }

    fn with<T>(&self, f: impl FnOnce(&mut Dlmalloc<Pages>) -> T) -> T {
        let _guard = self.lock.lock();
        // SAFETY: the lock makes this the only reference; `state` is initialised before `begun`
        // says so, and both become zero together in a child of fork.
        unsafe {
            if *self.begun.get() == 0 {
                (*self.state.get()).write(Dlmalloc::new_with_allocator(Pages::new()));
                *self.begun.get() = 1;
            }
            f((*self.state.get()).assume_init_mut())
        }
    }
}

/// A request that was not served: std would abort the program for it. Instead the cold section is
/// left as it stands, and none is entered any more.
fn served(block: *mut u8) -> *mut u8 {
    if block.is_null() {
        arch::escape();
    }
    block
}

struct PrivateHeap;

#[cfg_attr(not(miri), global_allocator)] // Miri knows no assembly.
static PRIVATE_HEAP: PrivateHeap = PrivateHeap;

// SAFETY: dlmalloc keeps the contract of GlobalAlloc for any layout; the heap's lock serialises.
unsafe impl GlobalAlloc for PrivateHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        served(process::process().map_or(core::ptr::null_mut(), |p| {
            // SAFETY: the caller passes a layout of non-zero size.
            p.heap
                .with(|h| unsafe { h.malloc(layout.size(), layout.align()) })
        }))
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        served(process::process().map_or(core::ptr::null_mut(), |p| {
            // SAFETY: the caller passes a layout of non-zero size.
            p.heap
                .with(|h| unsafe { h.calloc(layout.size(), layout.align()) })
        }))
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(p) = process::process() {
            // SAFETY: the caller passes a block of this heap with its layout.
            p.heap
                .with(|h| unsafe { h.free(block, layout.size(), layout.align()) });
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        served(process::process().map_or(core::ptr::null_mut(), |p| {
            // SAFETY: the caller passes a block of this heap with its layout.
            p.heap
                .with(|h| unsafe { h.realloc(block, layout.size(), layout.align(), new_size) })
        }))
    }
}
