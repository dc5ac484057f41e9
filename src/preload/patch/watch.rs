//! Hooks in libraries that are loaded later, and their end when those are unloaded.
//!
//! The loader calls an empty function before and after each change of its list, on which debuggers
//! set a breakpoint (`_r_debug.r_brk`, `<link.h>`; glibc's elf/dl-debug.c). Its entry is replaced by
//! a jump here. The call after a library was mapped comes before it is relocated and before its
//! constructors run, so nobody can be in the code that is changed, whatever threads run.
//!
//! `dlopen` itself cannot be wrapped without changing what it does: it looks at its caller.

use super::hooked::{self, Retired};
use super::{memory, plan};
use crate::elf::{LinkMap, debugger_entry, objects};
use crate::unwind::{is_code, place_of, with_unlisted};
use crate::{arch, confined, process, thread};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering::*};
use core::{mem, ptr};
use skipheap_format::note::Reason;
use skipheap_symbolize::hash::FastHasher;
use std::collections::HashSet;
use std::hash::BuildHasherDefault;

/// An object in the loader's list.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Entry {
    map: usize,
    dynamic: usize,
}

/// What changed in the list.
pub(super) struct Change {
    pub(super) come: Vec<&'static LinkMap>,
    /// Dynamic sections.
    pub(super) gone: Vec<usize>,
}

/// What is known of the list. One thread at a time uses it.
struct Watch {
    is_busy: AtomicBool,
    /// What the list had when it was looked at last.
    seen: UnsafeCell<Vec<Entry>>,
    retired: UnsafeCell<Retired>,
}

// SAFETY: the cells are reached only by who set `is_busy`.
unsafe impl Sync for Watch {}

static WATCH: Watch = Watch {
    is_busy: AtomicBool::new(false),
    seen: UnsafeCell::new(Vec::new()),
    retired: UnsafeCell::new(Retired::new()),
};

/// Bytes of `jmp rel32`.
const JUMP: usize = 5;

/// Begins to watch the loader. Cold section, while the program has one thread.
pub(super) fn begin() -> Result<(), Reason> {
    let entry = debugger_entry() as u64;
    let place = place_of(entry).ok_or(Reason::LoaderNotFound)?;
    let at = room_at(entry).ok_or(Reason::LoaderNotEmpty)?;
    let Some(stub) = memory::map_near(place.start, place.end, 4096) else {
        return Err(Reason::NoMemoryNearLoader);
    };
    // jmp [rip]; the address
    let mut code = [0xff, 0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let target = arch::loader_changed as *const () as u64;
    code[6..].copy_from_slice(&target.to_le_bytes());
    // SAFETY: the mapping is ours, and longer.
    unsafe {
        ptr::copy_nonoverlapping(code.as_ptr(), stub, code.len());
    }
    let mut jump = [0xe9, 0, 0, 0, 0];
    let distance = (stub as u64).wrapping_sub(at + JUMP as u64) as i32;
    jump[1..].copy_from_slice(&distance.to_le_bytes());
    // SAFETY: the function does nothing, and its `ret` with the padding behind it gives room for
    // the jump, to code that returns to the caller with all registers unchanged.
    let written =
        memory::make_executable(stub, 4096) && unsafe { memory::write_code_by_kernel(at, &jump) };
    if !written {
        memory::unmap(stub, 4096);
        return Err(Reason::LoaderNotWritable);
    }
    update(|_, _| ());
    Ok(())
}

/// Where in an empty function a jump fits: `[endbr64] ret` and padding. Nothing else, no breakpoint
/// either.
fn room_at(entry: u64) -> Option<u64> {
    const LONGEST: usize = 4 + JUMP + 16;
    if !is_code(entry, entry + LONGEST as u64) {
        return None;
    }
    // SAFETY: readable code.
    let code = unsafe { &*(entry as *const [u8; LONGEST]) };
    let pad = if code.starts_with(&[0xf3, 0x0f, 0x1e, 0xfa]) {
        4
    } else {
        0
    };
    let at = entry + pad as u64;
    let (&ret, behind) = code.get(pad..)?.split_first()?;
    let room = 1 + plan::padding_len(behind);
    (ret == 0xc3 && room >= JUMP as u64).then_some(at)
}

/// The loader calls this before and after each change of its list, under its lock. All registers but
/// the wide ones, which cold sections keep, are saved by [`arch::loader_changed`].
pub(crate) extern "C" fn loader_changed() {
    if !confined::is_confined() {
        thread::cold_section(|| with_unlisted(|| update(super::change)));
    }
}

/// Returns whether a change is under way. In a child that was forked meanwhile it will be so for good.
pub(super) fn is_busy() -> bool {
    WATCH.is_busy.load(Acquire)
}

/// Hands what changed since the last call to `f`.
fn update(f: impl FnOnce(&Change, &mut Retired)) {
    // The loader's lock allows one call at a time. But a child that another thread forked meanwhile
    // finds the word set, and what it guards half changed. So does who comes after a panic.
    if WATCH.is_busy.swap(true, AcqRel) {
        return;
    }
    // SAFETY: `is_busy` was not set.
    let (seen, retired) = unsafe { (&mut *WATCH.seen.get(), &mut *WATCH.retired.get()) };
    if !process::process().is_some_and(|process| process.owns_hooks.swap(true, Relaxed)) {
        // Both lie in the heap of the process that this one was forked from.
        let copy = seen.clone();
        mem::forget(mem::replace(seen, copy));
        mem::forget(mem::replace(retired, Retired::new()));
        hooked::adopt();
    }
    let now: Vec<_> = objects().map(|map| (Entry::of(map), map)).collect();
    if !now.iter().map(|(entry, _)| entry).eq(seen.iter()) {
        f(&Change::between(seen, &now), retired);
        *seen = now.into_iter().map(|(entry, _)| entry).collect();
    }
    WATCH.is_busy.store(false, Release);
}

impl Entry {
    fn of(map: &LinkMap) -> Self {
        Self {
            map: ptr::from_ref(map) as usize,
            dynamic: map.l_ld as usize,
        }
    }
}

impl Change {
    fn between(before: &[Entry], now: &[(Entry, &'static LinkMap)]) -> Self {
        let mut left: HashSet<Entry, BuildHasherDefault<FastHasher>> =
            before.iter().copied().collect();
        let come = now
            .iter()
            .filter(|(entry, _)| !left.remove(entry))
            .map(|(_, map)| *map)
            .collect();
        Self {
            come,
            gone: left.into_iter().map(|entry| entry.dynamic).collect(),
        }
    }
}
