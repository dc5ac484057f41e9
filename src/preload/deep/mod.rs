//! Whole stacks: each site is a stack up to its root, and a size, not four frames and a size.
//!
//! Where it is asked for, the hooks go on in [`crate::arch::deep_hot`] and not in [`crate::hot`], whose own check of
//! the stack's bounds fails: the state of a thread keeps them in [`Last`]. A call that was recorded
//! lately with the same stack is found there ([`calls`]); else [`record_call`] walks. A walk ([`walk`]) finds most of
//! the stack as the last one left it; what a stack is known by is a hash, and the stack itself is
//! written to the recording once ([`nodes`]).
//!
//! [`record_call`] may run at any moment, also in a signal handler that interrupted it. Such a handler works in
//! the same [`Last`]; the interrupted call notices and starts over.

pub(crate) mod calls;
mod last;
mod nodes;
#[cfg(all(test, target_arch = "x86_64"))] // Frames are made up as they lie there.
mod tests;
mod walk;

pub(crate) use last::Last;
pub(crate) use nodes::Nodes;

use crate::process::{self, Process};
use crate::recording::{Full, Recording};
use crate::settings::settings;
use crate::sites::Table;
use crate::thread::{self, Thread};
use crate::unwind::Frames;
use crate::{control, sample, stack, verify};
use core::ffi::c_void;
use core::ptr;
use nodes::Stop;
use skipheap_format::layout::{MOST_FRAMES, SiteRecord};
use skipheap_format::loss::Loss;

/// Most frames that are looked at, wrappers included.
const MOST: usize = MOST_FRAMES as usize;

/// A stack, as its walk left it in [`Last`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stack {
    hash: u64,
    /// Where the innermost frame lies, counted from the root: how many there are.
    depth: usize,
}

impl Stack {
    /// What its sites are found by. The lower half of the second word is for the node's id.
    ///
    /// Two stacks are taken for one if they have the same depth and the same hash of 64 bits, of
    /// which stacks that differ in one frame only never do ([`last::mix`]). Among a million stacks the odds of any
    /// such pair are below 3 in 10^8.
    fn key(self) -> Frames {
        Frames {
            first: self.hash,
            second: (self.depth as u64) << 32,
        }
    }

    /// What its sites' records have in place of frames.
    fn known(self, node: u32) -> Frames {
        let key = self.key();
        Frames {
            second: key.second | u64::from(node),
            ..key
        }
    }
}

/// Returns whether whole stacks are recorded.
pub(crate) fn is_on() -> bool {
    settings().stack_depth > 4
}

/// Records an allocation with its whole stack: [`thread::record_rest`] where whole stacks are asked for.
///
/// May be unwound through: a thread that is cancelled at any instruction is unwound from here, which
/// a frame of the C ABI that the compiler closes against unwinding would end by `abort`.
///
/// # Safety
/// `entry` points at the return address of the call being recorded, `bp` is the caller's rbp.
pub(crate) unsafe extern "C-unwind" fn record_call(
    size: u64,
    entry: *const u64,
    bp: u64,
    block: *mut c_void,
) -> *mut c_void {
    if control::is_stopped() {
        return block;
    }
    // SAFETY: the state is this thread's; `entry` lies in the thread's own stack, which is readable
    // from there to its end.
    unsafe {
        if let Some(thread) = thread::own() {
            let last = thread.last_stack();
            if !sample::is_on() && !last.is_null() && (*last).is_on_own_stack(entry) {
                let walk = |last| walk::own(last, entry, bp);
                if let Some((stack, record)) = record_stack(thread, last, size, entry, block, walk)
                {
                    if !record.is_null() {
                        Last::remember(last, (entry, bp), size, stack, record);
                    }
                    return block;
                }
            }
        }
        thread::record_elsewhere(size, entry, bp, block);
    }
    block
}

/// Records an allocation of a thread whose stack's bounds are not known, or that is on another stack.
///
/// # Safety
/// As [`record_call`]; the state is the calling thread's.
pub(crate) unsafe fn record_rest(
    thread: &Thread,
    size: u64,
    entry: *const u64,
    bp: u64,
    block: *mut c_void,
) {
    let last = thread.last_stack();
    if last.is_null() {
        // A child that was forked in the midst of this; its own first allocation makes the state anew.
        return;
    }
    // SAFETY: the state's last stack is never unmapped and this thread's alone; as the caller promises.
    unsafe {
        let own = stack::own_bounds(entry as usize);
        if let Some(bounds) = own {
            (*last).set_bounds(bounds, !verify::is_on());
        }
        let walk = |last| match own {
            Some(_) => walk::own(last, entry, bp),
            None => walk::any(last, entry, bp),
        };
        let stack = record_stack(thread, last, size, entry, block, walk);
        if let Some((stack, _)) = stack.filter(|_| verify::is_on()) {
            verify::whole(
                || {
                    Last::is_claimed(last, entry)
                        .then(|| ((*last).ids(stack.depth), walk::ids_afresh(entry, bp)))
                },
                entry,
            );
        }
    }
}

/// Walks and counts: which stack it was, and its site's record, which is null when none could be
/// made. `None` when there is no state of this thread any more, because this is a child that was
/// forked meanwhile.
///
/// # Safety
/// The state and its last stack are the calling thread's; `walk` may be called.
#[inline(always)]
unsafe fn record_stack(
    thread: &Thread,
    last: *mut Last,
    size: u64,
    entry: *const u64,
    block: *mut c_void,
    walk: impl Fn(*mut Last) -> Stack,
) -> Option<(Stack, *mut SiteRecord)> {
    loop {
        // SAFETY: as the caller promises. What was walked holds as long as nobody else has claimed the
        // last stack since.
        unsafe {
            Last::claim(last, entry);
            let stack = walk(last);
            if !Last::is_claimed(last, entry) {
                Last::clear(last);
                continue;
            }
            let mut record = (*thread.sites()).find(stack.key(), size);
            if record.is_null() {
                record = match new_site(thread, last, stack, size, entry) {
                    Made::Site(record) => record,
                    Made::Nothing | Made::Lost(_) => return Some((stack, record)),
                    Made::Again => {
                        Last::clear(last);
                        continue;
                    }
                    Made::Elsewhere => return None,
                };
            }
            thread::count_at(thread, record, block);
            return Some((stack, record));
        }
    }
}

/// What came of making a site.
enum Made {
    Site(*mut SiteRecord),
    /// None was made, which was counted where there is something to count in.
    Nothing,
    /// None was made: the loss, which was counted.
    Lost(Loss),
    /// A signal handler has walked here since.
    Again,
    /// The state is no more: a child of fork.
    Elsewhere,
}

/// Makes the record of a site, and writes the stack where it is new: in a cold section only where room
/// is to be made for them.
///
/// # Safety
/// The state and its last stack are the calling thread's, and the stack was walked there.
#[cold]
#[inline(never)]
unsafe fn new_site(
    thread: &Thread,
    last: *mut Last,
    stack: Stack,
    size: u64,
    entry: *const u64,
) -> Made {
    let Some(process) = process::process() else {
        return Made::Nothing;
    };
    // SAFETY: as the caller promises.
    unsafe {
        if let Some(open) = process.nodes.open(&process.recording) {
            // From here on, what was opened is of the process that the state is of.
            if !ptr::eq(thread.last_stack(), last) {
                return Made::Elsewhere;
            }
            let intern = || open.intern(last, stack.depth);
            let node = Last::while_interning(last, entry, intern);
            if !Last::is_claimed(last, entry) {
                return Made::Again;
            }
            if let Ok(node) = node
                && ptr::eq(thread.last_stack(), last)
                && let Some(record) = add(thread, stack, node, size)
            {
                return Made::Site(record);
            }
        }
        new_site_with_room(thread, process, last, stack, size, entry)
    }
}

/// Makes the record of a site where the thread has room for it.
///
/// # Safety
/// The state is the calling thread's.
#[inline(always)]
unsafe fn add(thread: &Thread, stack: Stack, node: u32, size: u64) -> Option<*mut SiteRecord> {
    // SAFETY: as the caller promises.
    unsafe { Table::add(thread.sites(), thread.number(), stack.known(node), size) }
}

/// Makes the record of a site in a cold section, which first makes room for it and for its stack.
///
/// # Safety
/// The state and its last stack are the calling thread's, and the stack was walked there.
#[cold]
#[inline(never)]
unsafe fn new_site_with_room(
    thread: &Thread,
    process: &Process,
    last: *mut Last,
    stack: Stack,
    size: u64,
    entry: *const u64,
) -> Made {
    let made = thread::cold_section(|| {
        if !ptr::eq(thread.last_stack(), last) {
            return Made::Elsewhere;
        }
        // SAFETY: table and last stack are this thread's, and signals are blocked.
        unsafe {
            if !Last::is_claimed(last, entry) {
                return Made::Again;
            }
            let (nodes, recording) = (&process.nodes, &process.recording);
            let made = node_with_room(nodes, recording, last, stack.depth).and_then(|node| {
                let (number, known) = (thread.number(), stack.known(node));
                (*thread.sites()).insert(process, number, known, size)
            });
            made.map_or_else(|full| Made::Lost(full.loss()), Made::Site)
        }
    })
    .unwrap_or_else(|| Made::Lost(thread::why_not_cold()));
    if let Made::Lost(why) = made {
        process.recording.lose(why, 1);
    }
    made
}

/// The node of a stack, with room made where there is none. Cold section.
///
/// # Safety
/// The last stack is the calling thread's, and has so many frames.
unsafe fn node_with_room(
    nodes: &Nodes,
    recording: &Recording,
    last: *mut Last,
    depth: usize,
) -> Result<u32, Full> {
    loop {
        let open = nodes.open(recording);
        // SAFETY: as the caller promises.
        match open.map(|open| unsafe { open.intern(last, depth) }) {
            Some(Ok(node)) => return Ok(node),
            Some(Err(Stop::FrameLost)) => return Err(recording.why_full()),
            Some(Err(Stop::NoRoom)) | None => nodes.make_room(recording)?,
        }
    }
}
