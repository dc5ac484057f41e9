//! The mappings that a child of fork is to find empty, where the kernel does not see to it: before
//! Linux 4.14, in gVisor, and under a filter that forbids the advice.
//!
//! The handler that [`crate::lifecycle`] registers with `pthread_atfork` empties them in the child.
//! (A child that a raw system call or `_Fork` makes goes on counting in its parent's recording
//! there.) On other kernels the list is empty.
//!
//! Runs in cold sections. The list itself is kept across fork, and takes no lock: the thread that
//! held it might not exist in the child.

use crate::sys;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::*};

/// Mappings in a part of the list, which is a page.
const IN_A_PART: usize = 255;

/// A mapping; a start of 0 is none.
struct Mapping {
    start: AtomicUsize,
    len: AtomicUsize,
}

/// A part of the list. All zeros is an empty one.
#[repr(C)]
struct Part {
    next: AtomicPtr<Part>,
    taken: AtomicUsize,
    mappings: [Mapping; IN_A_PART],
}

/// Invariant: null, or a part that is never unmapped.
static LIST: AtomicPtr<Part> = AtomicPtr::new(ptr::null_mut());

fn parts() -> impl Iterator<Item = &'static Part> {
    let mut next = LIST.load(Acquire);
    core::iter::from_fn(move || {
        // SAFETY: null, or a part, by the invariant.
        let part = unsafe { next.as_ref() }?;
        next = part.next.load(Acquire);
        Some(part)
    })
}

/// Returns whether the kernel leaves it to the library to empty mappings in a child.
pub(crate) fn is_left_to_us() -> bool {
    !LIST.load(Relaxed).is_null()
}

/// Has the mapping emptied in children from now on; false when there is no memory for that.
pub(crate) fn remember(start: *mut u8, len: usize) -> bool {
    loop {
        let first = LIST.load(Acquire);
        // SAFETY: null, or a part, by the invariant.
        if let Some(part) = unsafe { first.as_ref() }
            && let Some(slot) = part.mappings.get(part.taken.fetch_add(1, Relaxed))
        {
            slot.len.store(len, Relaxed);
            slot.start.store(start as usize, Release);
            return true;
        }
        let part: *mut Part = sys::map_private(size_of::<Part>()).cast();
        // SAFETY: null, or a fresh mapping of zeros of that size.
        let Some(fresh) = (unsafe { part.as_ref() }) else {
            return false;
        };
        fresh.next.store(first, Relaxed);
        if LIST.compare_exchange(first, part, AcqRel, Relaxed).is_err() {
            // SAFETY: our own mapping, which nobody else has seen.
            unsafe { sys::unmap(part.cast(), size_of::<Part>()) };
        }
    }
}

/// The mapping that begins at `start`, if it is one of these, is about to be unmapped.
pub(crate) fn forget(start: *mut u8) {
    if start.is_null() {
        return;
    }
    for slot in parts().flat_map(|part| &part.mappings) {
        if slot
            .start
            .compare_exchange(start as usize, 0, AcqRel, Relaxed)
            .is_ok()
        {
            return;
        }
    }
}

/// Empties all of them, in a child of fork.
pub(crate) fn empty_all() {
    for slot in parts().flat_map(|part| &part.mappings) {
        let start = slot.start.load(Acquire);
        if start != 0 {
            // SAFETY: the mapping is private memory of ours, and zeros are a state that each user of
            // wiped memory expects in a child.
            unsafe { sys::discard(start as *mut u8, slot.len.load(Relaxed)) };
        }
    }
}

const _: () = assert!(size_of::<Part>() == 4096);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_emptied_unless_it_was_forgotten() {
        const LEN: usize = 2 * 4096;
        let maps: Vec<*mut u8> = (0..2 * IN_A_PART).map(|_| sys::map_private(LEN)).collect();
        let last = |map: *mut u8| map.wrapping_add(LEN - 1);
        for &map in &maps {
            assert!(!map.is_null() && remember(map, LEN));
            // SAFETY: within the mapping, which is ours.
            unsafe { last(map).write_volatile(1) };
        }
        assert!(is_left_to_us());
        forget(maps[7]);
        empty_all();
        for (i, &map) in maps.iter().enumerate() {
            // SAFETY: within the mapping, which was not unmapped yet.
            let is_kept = unsafe { last(map).read_volatile() } == 1;
            assert_eq!(is_kept, i == 7, "{i}");
            // SAFETY: the mapping is ours, and nobody else uses it.
            unsafe { sys::unmap(map, LEN) };
        }
        assert!(parts().flat_map(|part| &part.mappings).all(|slot| {
            let start = slot.start.load(Relaxed) as *mut u8;
            !maps.contains(&start)
        }));
    }
}
