//! The rows that were needed so far, by address.
//!
//! A reader takes no lock and writes nothing: nodes are added at the head of a bucket and never
//! freed. A row of code that was unloaded is marked, and passed over from then on. There are few:
//! rows are for what [`Rule`](super::Rule) cannot say.
//!
//! [`of`] may run at any moment; a row is derived in a cold section of its own.

use super::registers::{FP, RA};
use super::row::{Row, Saved};
use super::{EXACT, cfi, modules};
use crate::thread;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::*};

struct Node {
    key: u64,
    /// `None` where no usable unwind information covers the address.
    row: Option<Row>,
    /// The code was unloaded.
    gone: AtomicBool,
    next: *const Node,
}

const BUCKETS: usize = 1024;

/// Invariant: each is null, or a node that is never freed.
static HEADS: [AtomicPtr<Node>; BUCKETS] = [const { AtomicPtr::new(ptr::null_mut()) }; BUCKETS];

fn bucket(key: u64) -> &'static AtomicPtr<Node> {
    let mixed = key.wrapping_mul(crate::sites::HASH_FACTOR) >> 32;
    &HEADS[mixed as usize % BUCKETS]
}

fn nodes(bucket: &AtomicPtr<Node>) -> impl Iterator<Item = &'static Node> {
    let mut next: *const Node = bucket.load(Acquire);
    core::iter::from_fn(move || {
        // SAFETY: by the invariant of HEADS.
        let node = unsafe { next.as_ref() }?;
        next = node.next;
        Some(node)
    })
}

fn known(key: u64) -> Option<&'static Node> {
    nodes(bucket(key)).find(|node| node.key == key && !node.gone.load(Relaxed))
}

/// The row for a return address, or with [`EXACT`] for an interrupted instruction. `None` where no
/// unwind information covers it, or none that can be used.
pub(crate) fn of(key: u64) -> Option<&'static Row> {
    match known(key) {
        Some(node) => node.row.as_ref(),
        None => thread::cold_section(|| derive(key)).flatten(),
    }
}

/// Returns whether the caller of a return address is found from rsp and by words of the frame alone,
/// as in frames that are too large for a rule.
pub(crate) fn is_from_sp(ra: u64) -> bool {
    known(ra)
        .and_then(|node| node.row.as_ref())
        .is_some_and(Row::is_from_sp)
}

/// Where the frame of a return address, which ends at `cfa`, has saved the frame pointer.
pub(crate) fn saved_bp(ra: u64, cfa: u64) -> Option<u64> {
    saved(ra, cfa, FP)
}

/// Where the frame of a return address, which ends at `cfa`, has its own return address.
pub(crate) fn saved_ra(ra: u64, cfa: u64) -> Option<u64> {
    saved(ra, cfa, RA)
}

fn saved(ra: u64, cfa: u64, register: u8) -> Option<u64> {
    match *known(ra)?.row.as_ref()?.saved.get(usize::from(register))? {
        Saved::At(offset) => Some(cfa.wrapping_add_signed(offset)),
        _ => None,
    }
}

fn derive(key: u64) -> Option<&'static Row> {
    let lookup = if key & EXACT == 0 {
        key.wrapping_sub(1)
    } else {
        key & !EXACT
    };
    let row = modules::eh_frame_at(lookup).and_then(|eh| match cfi::look_up(&eh, lookup) {
        cfi::Entry::Row(row) => Some(row),
        _ => None,
    });
    let head = bucket(key);
    let node = Box::into_raw(Box::new(Node {
        key,
        row,
        gone: AtomicBool::new(false),
        next: head.load(Acquire),
    }));
    loop {
        // SAFETY: the node is ours until it is linked in, and never freed.
        let expected = unsafe { (*node).next };
        match head.compare_exchange(expected.cast_mut(), node, AcqRel, Acquire) {
            // SAFETY: see above.
            Ok(_) => return unsafe { &*node }.row.as_ref(),
            // SAFETY: see above.
            Err(now) => unsafe { (*node).next = now },
        }
    }
}

/// Forgets the rows of code that is no longer there.
pub(crate) fn forget(start: u64, end: u64) {
    for node in HEADS.iter().flat_map(nodes) {
        // A return address may be one past the last byte of a module's code.
        if (start..=end).contains(&(node.key & !EXACT)) {
            node.gone.store(true, Relaxed);
        }
    }
}
