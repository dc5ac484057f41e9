//! The last stack that a thread walked, with what proves that it is still there.
//!
//! Where a walk goes from a frame depends on the frame's return address, on rsp, on rbp if
//! that is used before it is loaded again, on the rules, and on the words of the stack that it reads. Each frame of
//! the last stack is kept with these, and the words that were read on the way from it to the root: when
//! a walk comes to a frame with the same registers and these words are the same, so is the rest of the stack. The comparison
//! is of independent loads, where a walk is a chain of dependent ones.
//!
//! May be used at any moment, also in a signal handler that interrupted a use in the same thread. What is found
//! in the midst of a change may be wrong, but leads nowhere but to the thread's own stack.

use super::calls::{Calls, Recorded};
use super::{MOST, Stack};
use crate::arch::rule::word_of_ra;
use crate::stack::Bounds;
use crate::sys;
use crate::unwind::{self, Regs, Rule, Special};
use core::mem::offset_of;
use core::ops::Range;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicPtr, compiler_fence};
use skipheap_format::layout::{CUT_TOO_DEEP, SiteRecord};

/// A word of the stack, as a walk found it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Word {
    address: u64,
    value: u64,
}

impl Word {
    pub(super) fn new(address: u64, value: u64) -> Self {
        Self { address, value }
    }
}

/// A frame that a walk came to.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct Seen {
    pub(super) sp: u64,
    pub(super) ra: u64,
    pub(super) bp: u64,
    /// The rule for `ra`. Its frame id is 0 for what does not count as a frame, and [`NO_ROOM`].
    pub(super) rule: Rule,
}

impl Seen {
    /// The registers of the frame.
    #[inline(always)]
    pub(super) fn regs(self) -> Regs {
        let Self { sp, ra, bp, .. } = self;
        Regs { ra, sp, bp }
    }
}

/// Frame id of a frame that the recording has no room for.
pub(crate) const NO_ROOM: u32 = u32::MAX;

/// A frame of the last stack.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    seen: Seen,
    /// Hash of the stack from the root to here.
    hash: u64,
    /// Id of the node of the stack from the root to here; 0 when that was not asked for yet.
    pub(super) node: u32,
    /// How many words, of those kept, were read between here and the root.
    words: u16,
    /// Whether rbp is used before it is loaded again.
    uses_bp: bool,
}

impl Kept {
    /// Returns whether a walk has come to the same frame.
    #[inline(always)]
    fn is_at(&self, regs: Regs) -> bool {
        self.seen.sp == regs.sp
            && self.seen.ra == regs.ra
            && (self.seen.bp == regs.bp || !self.uses_bp)
    }

    /// The rule by which the walk went on from here.
    pub(super) fn rule(&self) -> Rule {
        self.seen.rule
    }

    /// The frame's id, or the marker of a cut; 0 for none.
    pub(super) fn frame(&self) -> u32 {
        self.seen.rule.frame() as u32
    }
}

/// sp of what stands in place of the root's caller.
const NOWHERE: u64 = u64::MAX;
/// Number of no state of the rules: what was kept is not to be used again.
pub(super) const NEVER: u64 = u64::MAX;

/// The last stack of a thread. All zeros is none.
#[repr(C, align(64))]
pub(crate) struct Last {
    /// Bounds of the thread's own stack, as far as they are known: a length of 0 if not.
    lo: usize,
    len: usize,
    hi: usize,
    /// Who walks or walked last: the address of its return address.
    walker: usize,
    /// While node ids are noted in the frames: the walker for whom. Else 0.
    interner: usize,
    /// State of the rules by which the stack was walked.
    rules: u64,
    /// How many frames there are. While they change, 0.
    depth: usize,
    /// From the root on. The first is no frame but what comes behind the root: an end or a cut.
    kept: [Kept; MOST + 1],
    /// From the root on.
    words: [Word; 3 * MOST],
    /// A walk's frames until they are kept, from the innermost on.
    fresh: [Seen; MOST],
    calls: Calls,
    /// The one that was mapped before.
    mapped_before: *mut Last,
}

/// The one that was mapped last: the head of a list that also has those of a process from which
/// this one was forked.
static MAPPED: AtomicPtr<Last> = AtomicPtr::new(ptr::null_mut());

/// What a walk that has come to a frame of the last stack finds there.
pub(super) enum Found {
    /// From here on all is as it was.
    Rest { depth: usize },
    /// So many frames are as they were; behind them something has changed.
    Changed { depth: usize, same: usize },
}

impl Last {
    pub(crate) const OFFSET_WALKER: usize = offset_of!(Self, walker);
    pub(crate) const OFFSET_CALLS: usize = offset_of!(Self, calls) + Calls::OFFSET_SETS;

    /// Memory for one; null when there is none. A child of fork inherits it with what was there, so that
    /// a walk which was interrupted by the fork comes to its end.
    pub(crate) fn map() -> *mut Self {
        let fresh: *mut Self = sys::map_private(size_of::<Self>()).cast();
        if fresh.is_null() {
            return fresh;
        }
        let mut head = MAPPED.load(Relaxed);
        loop {
            // SAFETY: it was just mapped, and nobody else knows it.
            unsafe { (*fresh).mapped_before = head };
            match MAPPED.compare_exchange_weak(head, fresh, Release, Relaxed) {
                Ok(_) => return fresh,
                Err(now) => head = now,
            }
        }
    }

    /// Hands the memory of all that were mapped to `f`. They hold words of the program's stacks.
    pub(crate) fn each_mapping(mut f: impl FnMut(Range<usize>)) {
        let mut next = MAPPED.load(Acquire);
        while !next.is_null() {
            let start = next as usize;
            f(start..start + size_of::<Self>());
            // SAFETY: what is in the list is never unmapped, and written before it gets there.
            next = unsafe { (*next).mapped_before };
        }
    }

    /// Begins for another thread.
    ///
    /// # Safety
    /// The calling thread owns it.
    pub(crate) unsafe fn begin(this: *mut Self) {
        // SAFETY: as the caller promises.
        unsafe {
            (&raw mut (*this).len).write_volatile(0);
            (&raw mut (*this).interner).write_volatile(0);
            Self::clear(this);
            (*this).calls.clear();
            (*this).start_from(0);
        }
    }

    /// The thread's own stack has been found. `use_them`: the next walks may rely on it.
    pub(crate) fn set_bounds(&mut self, bounds: Bounds, use_them: bool) {
        self.lo = bounds.lo;
        self.hi = bounds.hi;
        compiler_fence(SeqCst);
        self.len = if use_them { bounds.hi - bounds.lo } else { 0 };
    }

    /// Returns whether this lies on the thread's own stack.
    #[inline(always)]
    pub(super) fn is_on_own_stack(&self, entry: *const u64) -> bool {
        (entry as usize).wrapping_sub(self.lo) < self.len
    }

    /// End of the thread's own stack.
    #[inline(always)]
    pub(super) fn hi(&self) -> u64 {
        self.hi as u64
    }

    /// Begins a walk.
    ///
    /// # Safety
    /// The calling thread owns it.
    #[inline(always)]
    pub(super) unsafe fn claim(this: *mut Self, entry: *const u64) {
        // SAFETY: the calling thread owns it, so that only its own signal handlers come between.
        unsafe {
            (&raw mut (*this).walker).write_volatile(entry as usize);
            compiler_fence(SeqCst);
            if (&raw const (*this).interner).read_volatile() != 0 {
                Self::claim_from_interner(this, entry);
            }
        }
    }

    /// Keeps a signal handler from using frames in which the call that it interrupted notes node
    /// ids: that call goes on to write the ids of its own stack there, whatever the handler has
    /// walked meanwhile.
    ///
    /// # Safety
    /// The calling thread owns it.
    #[cold]
    #[inline(never)]
    unsafe fn claim_from_interner(this: *mut Self, entry: *const u64) {
        // SAFETY: the calling thread owns it.
        unsafe {
            Self::clear(this);
            let interner = (&raw const (*this).interner).read_volatile() as *const u64;
            let is_below = (*this).is_on_own_stack(interner) && entry < interner;
            if (*this).is_on_own_stack(entry) && !is_below {
                // The handler was left by a jump, and the call that it interrupted with it.
                (&raw mut (*this).interner).write_volatile(0);
            }
        }
    }

    /// Runs `intern`, which notes node ids in the frames that were walked for `entry`.
    ///
    /// # Safety
    /// The calling thread owns it, and has claimed it for `entry`.
    #[inline(always)]
    pub(super) unsafe fn while_interning<T>(
        this: *mut Self,
        entry: *const u64,
        intern: impl FnOnce() -> T,
    ) -> T {
        // SAFETY: the calling thread owns it, so that only its own signal handlers come between.
        unsafe {
            let interner = &raw mut (*this).interner;
            let outer = interner.read_volatile();
            interner.write_volatile(entry as usize);
            compiler_fence(SeqCst);
            let result = intern();
            compiler_fence(SeqCst);
            interner.write_volatile(outer);
            result
        }
    }

    /// Returns whether no signal handler has walked since [`Self::claim`].
    ///
    /// # Safety
    /// The calling thread owns it.
    #[inline(always)]
    pub(super) unsafe fn is_claimed(this: *mut Self, entry: *const u64) -> bool {
        compiler_fence(SeqCst);
        // SAFETY: as the caller promises.
        unsafe { (&raw const (*this).walker).read_volatile() == entry as usize }
    }

    /// Nothing of it is to be used again.
    ///
    /// # Safety
    /// The calling thread owns it.
    pub(super) unsafe fn clear(this: *mut Self) {
        // SAFETY: as the caller promises.
        unsafe {
            (&raw mut (*this).depth).write_volatile(0);
            (&raw mut (*this).rules).write_volatile(NEVER);
        }
        compiler_fence(SeqCst);
    }

    /// How many frames may be used again by a walk under these rules.
    #[inline(always)]
    pub(super) fn depth(&self, rules: u64) -> usize {
        if self.rules == rules { self.depth } else { 0 }
    }

    /// The frame at a depth.
    ///
    /// # Safety
    /// The depth is at most [`MOST`].
    #[inline(always)]
    pub(super) unsafe fn at(&self, depth: usize) -> *const Kept {
        // SAFETY: as the caller promises.
        unsafe { self.kept.as_ptr().add(depth) }
    }

    /// From a frame towards the root, the first that is not inside of `sp`.
    ///
    /// # Safety
    /// `kept` is a frame of a last stack.
    #[inline(always)]
    pub(super) unsafe fn not_below(mut kept: *const Kept, sp: u64) -> *const Kept {
        // SAFETY: as the caller promises. What stands behind the root is below nothing.
        unsafe {
            while (*kept).seen.sp < sp {
                kept = kept.sub(1);
            }
        }
        kept
    }

    /// Compares a walk that has taken `taken` frames with the last stack, at one of its frames.
    ///
    /// # Safety
    /// `kept` is a frame in here, and the thread's own stack is readable from `regs.sp - 8` on.
    #[inline(always)]
    pub(super) unsafe fn compare(
        &self,
        kept: *const Kept,
        regs: Regs,
        taken: usize,
    ) -> Option<Found> {
        // SAFETY: as the caller promises. The words of a frame lie above its sp.
        unsafe {
            if !(*kept).is_at(regs) {
                return None;
            }
            let depth = kept.offset_from(self.kept.as_ptr()) as usize;
            let changed = self.innermost_change(usize::from((*kept).words));
            if changed != 0 {
                let mut outer = depth;
                while usize::from((*self.at(outer - 1)).words) >= changed {
                    outer -= 1;
                }
                let same = depth - outer;
                return Some(Found::Changed { depth, same });
            }
            // A stack that was cut because of its length is cut elsewhere if its length changes.
            let all = taken + depth;
            let was_cut = self.kept[0].frame() == CUT_TOO_DEEP;
            (all == MOST || all < MOST && !was_cut).then_some(Found::Rest { depth })
        }
    }

    /// Of the first `count` words, the number of the last one that has changed; 0 for none.
    ///
    /// # Safety
    /// They were kept, and lie where the stack is readable.
    #[inline(always)]
    unsafe fn innermost_change(&self, mut count: usize) -> usize {
        // SAFETY: as the caller promises. The words of other frames change as the program likes.
        unsafe {
            let difference = |at: usize| {
                let word = self.words.get_unchecked(at);
                (word.address as *const u64).read_unaligned() ^ word.value
            };
            while count >= 4 {
                let some = difference(count - 1)
                    | difference(count - 2)
                    | difference(count - 3)
                    | difference(count - 4);
                if some != 0 {
                    break;
                }
                count -= 4;
            }
            while count > 0 && difference(count - 1) == 0 {
                count -= 1;
            }
        }
        count
    }

    /// The stack up to a depth.
    ///
    /// # Safety
    /// The depth is at most [`MOST`].
    #[inline(always)]
    pub(super) unsafe fn stack(&self, depth: usize) -> Stack {
        Stack {
            // SAFETY: as the caller promises.
            hash: unsafe { self.kept.get_unchecked(depth).hash },
            depth,
        }
    }

    /// Notes a frame of a walk, of which `taken` were noted before.
    ///
    /// # Safety
    /// These are less than [`MOST`].
    #[inline(always)]
    pub(super) unsafe fn take(&mut self, taken: usize, seen: Seen) {
        // SAFETY: as the caller promises.
        unsafe { *self.fresh.get_unchecked_mut(taken) = seen };
    }

    /// The walk has come to the root, or what is in its place; no frame of the last stack is used again.
    #[inline(always)]
    pub(super) fn start_from(&mut self, marker: u32) {
        self.depth = 0;
        self.kept[0] = Kept {
            seen: Seen {
                sp: NOWHERE,
                ra: 0,
                bp: 0,
                rule: Rule::special(Special::End).with_frame(marker),
            },
            hash: mix(0, marker),
            node: 0,
            words: 0,
            uses_bp: false,
        };
    }

    /// Puts the `taken` frames of a walk on top of the first `depth` that are there.
    ///
    /// # Safety
    /// Together they are no more than [`MOST`].
    #[inline(always)]
    pub(super) unsafe fn keep(&mut self, depth: usize, taken: usize, rules: u64) -> Stack {
        self.depth = 0;
        compiler_fence(SeqCst);
        // SAFETY: as the caller promises. Of each frame three words are kept at most.
        unsafe {
            let mut to = depth;
            let outer = self.kept.get_unchecked(depth);
            let (mut hash, mut words) = (outer.hash, usize::from(outer.words));
            let mut uses_bp = outer.uses_bp;
            let Seen {
                mut sp,
                mut ra,
                mut bp,
                ..
            } = outer.seen;
            for at in (0..taken).rev() {
                let seen = *self.fresh.get_unchecked(at);
                let rule = seen.rule;
                if rule.is_special() && !rule.is_transparent() {
                    (words, uses_bp) =
                        self.keep_special(words, seen, (sp, ra), uses_bp.then_some(bp));
                } else {
                    if sp != NOWHERE {
                        let (ra_at, bp_at) = rule.places(seen.regs(), sp);
                        self.keep_word(words, ra_at, word_of_ra(ra_at, ra));
                        // Of use only if the frame pointer is used.
                        self.keep_word(words + 1, bp_at, bp);
                        words += 1 + usize::from(rule.saves_bp() & uses_bp);
                    }
                    uses_bp = rule.is_bp_based() | (uses_bp & !rule.saves_bp());
                }
                let frame = rule.frame() as u32;
                if frame != 0 {
                    hash = mix(hash, frame);
                }
                Seen { sp, ra, bp, .. } = seen;
                to += 1;
                let kept: *mut Kept = self.kept.get_unchecked_mut(to);
                (*kept).seen = seen;
                (*kept).hash = hash;
                (*kept).node = 0;
                (*kept).words = words as u16;
                (*kept).uses_bp = uses_bp;
            }
            compiler_fence(SeqCst);
            self.rules = rules;
            self.depth = to;
            Stack { hash, depth: to }
        }
    }

    /// # Safety
    /// There is room for `at` words and one more.
    #[inline(always)]
    unsafe fn keep_word(&mut self, at: usize, address: u64, value: u64) {
        // SAFETY: as the caller promises.
        unsafe { *self.words.get_unchecked_mut(at) = Word { address, value } };
    }

    /// The words that a step read which is not plain, with what it led to (rbp only if that is used from there on): how
    /// many there are now, and whether it used rbp.
    ///
    /// # Safety
    /// There is room for `words` and three more.
    #[cold]
    #[inline(never)]
    unsafe fn keep_special(
        &mut self,
        words: usize,
        seen: Seen,
        (sp, ra): (u64, u64),
        bp: Option<u64>,
    ) -> (usize, bool) {
        let (cfa_at, bp_at) = match seen.rule.kind() {
            Some(Special::End | Special::Cut) => return (words, false),
            _ if sp == NOWHERE => return (words, true),
            Some(Special::Deref(offset)) => {
                (Some(seen.bp.wrapping_add_signed(offset)), Some(seen.bp))
            }
            Some(Special::LateBp(_)) => (None, Some(sp.wrapping_sub(16))),
            Some(Special::Guess | Special::FramePointer) => (None, Some(seen.bp)),
            Some(Special::Row) => (None, unwind::saved_bp(seen.ra, sp)),
            // Nothing is used again of a stack with a signal frame.
            _ => return (words, true),
        };
        let mut count = words + 1;
        let ra_at = match seen.rule.kind() {
            Some(Special::Row) => unwind::saved_ra(seen.ra, sp),
            _ => None,
        };
        let ra_at = ra_at.unwrap_or(sp.wrapping_sub(8));
        // SAFETY: as the caller promises; the step read the return address there.
        unsafe {
            self.keep_word(words, ra_at, word_of_ra(ra_at, ra));
            if let Some(cfa_at) = cfa_at {
                self.keep_word(count, cfa_at, sp);
                count += 1;
            }
            if let (Some(bp), Some(bp_at)) = (bp, bp_at) {
                self.keep_word(count, bp_at, bp);
                count += 1;
            }
        }
        (count, true)
    }

    /// Remembers a call that was recorded with a stack that is here, so that the next one like it
    /// need not be walked.
    ///
    /// # Safety
    /// The calling thread owns it, `entry` points at the return address of the call, and `record` is
    /// that of its site in the thread's table.
    #[inline(always)]
    pub(super) unsafe fn remember(
        this: *mut Self,
        (entry, bp): (*const u64, u64),
        size: u64,
        stack: Stack,
        record: *mut SiteRecord,
    ) {
        let rules = unwind::generation();
        // SAFETY: as the caller promises.
        unsafe {
            let is_new = !(*this).calls.is_seen(mix(stack.hash, size as u32));
            if is_new || (*this).depth(rules) < stack.depth {
                return;
            }
            let innermost = (&raw const (*this).kept).cast::<Kept>().add(stack.depth);
            let call = Recorded {
                entry: entry as u64,
                ra: *entry,
                size,
                bp,
                uses_bp: (*innermost).uses_bp,
                rules,
                record,
            };
            let words = (&raw const (*this).words).cast::<Word>();
            let words = core::slice::from_raw_parts(words, usize::from((*innermost).words));
            let holds = move || {
                let (sp, hash) = ((*innermost).seen.sp, (*innermost).hash);
                sp == call.entry + 8 && hash == stack.hash && Self::is_claimed(this, entry)
            };
            Calls::keep(&raw mut (*this).calls, call, words, holds);
        }
    }

    /// From what comes behind the root to the innermost frame of a stack.
    pub(super) fn frames(&self, depth: usize) -> &[Kept] {
        self.kept.get(..=depth).unwrap_or(&[])
    }

    /// Returns the node id of the frame at a depth, which a signal handler may change at any moment.
    ///
    /// # Safety
    /// The depth is at most [`MOST`], and `this` the calling thread's.
    #[inline(always)]
    pub(super) unsafe fn node(this: *const Self, depth: usize) -> u32 {
        // SAFETY: as the caller promises.
        unsafe { (&raw const (*Self::kept(this, depth)).node).read_volatile() }
    }

    /// Notes the node of a frame. After a signal handler has walked, what is noted here is not used.
    ///
    /// # Safety
    /// `this` is the calling thread's, and `depth` is at most [`MOST`].
    #[inline(always)]
    pub(super) unsafe fn set_node(this: *mut Self, depth: usize, node: u32) {
        // SAFETY: as the caller promises.
        unsafe {
            let kept = Self::kept(this, depth).cast_mut();
            (&raw mut (*kept).node).write_volatile(node);
        }
    }

    /// Returns the frame id at a depth, which a signal handler may change at any moment.
    ///
    /// # Safety
    /// `this` is the calling thread's, and `depth` is at most [`MOST`].
    #[inline(always)]
    pub(super) unsafe fn frame_id(this: *const Self, depth: usize) -> u32 {
        // SAFETY: as the caller promises.
        unsafe { (&raw const (*Self::kept(this, depth)).seen.rule).read_volatile() }.frame() as u32
    }

    /// # Safety
    /// `this` is the calling thread's, and `depth` is at most [`MOST`].
    #[inline(always)]
    unsafe fn kept(this: *const Self, depth: usize) -> *const Kept {
        // SAFETY: as the caller promises.
        unsafe { (&raw const (*this).kept).cast::<Kept>().add(depth) }
    }

    /// The ids of a stack's frames, innermost first, with the marker where it was cut.
    pub(crate) fn ids(&self, depth: usize) -> Vec<u32> {
        let ids = self.frames(depth).iter().rev().map(Kept::frame);
        ids.filter(|&id| id != 0).collect()
    }
}

/// The hash of a stack with one more frame. For the same frame each hash leads to another one, and so does each frame
/// for the same hash: stacks of the same depth that differ in one frame never have the same.
#[inline(always)]
pub(super) fn mix(hash: u64, frame: u32) -> u64 {
    let mixed = (hash ^ u64::from(frame)).wrapping_mul(crate::sites::HASH_FACTOR);
    mixed ^ mixed >> 32
}

const _: () = assert!(size_of::<Kept>() == 48 && 3 * MOST <= u16::MAX as usize);
