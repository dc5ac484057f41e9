//! The calls that a thread recorded lately, with what proves that another one is the same.
//!
//! A program that allocates from some dozens of places in turn never asks twice in a row from the
//! same stack. A call that comes again with the same return address at the same place, the same size
//! and, if the walk used it, the same rbp, and that finds every word of the stack as the walk read
//! it, has the same stack: its site is known without a walk. See [`super::last`] for why that is a
//! proof.
//!
//! [`crate::arch::deep_hot`] finds a call and compares it. This file keeps them: a call is kept when its site
//! is recorded for the second time within some hundreds of others, so that programs whose stacks
//! hardly ever repeat do not pay for what they have no use for.
//!
//! May be used at any moment, also in a signal handler that interrupted a use in the same thread.

use super::last::Word;
use core::mem::offset_of;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence};
use skipheap_format::layout::SiteRecord;

/// Most words that a call is kept with: stacks of some 50 frames.
const WORDS: usize = 60;
/// How many words are compared at a time; the number of words is a multiple of it.
const STRIDE: usize = 4;
/// Two calls each, as many as `used` has bits.
const SETS: usize = 128;
/// Of the calls for which another one has to go, one in so many is kept. A program that has more
/// calls in turn than there is room for, as with blocks of all sizes, would copy words all the time,
/// and find them replaced when they are needed.
const CROWDED: u64 = 8;
/// Words of the filter.
const SEEN: usize = 512;

/// A call that was recorded. All zeros is none.
#[repr(C, align(1024))]
pub(crate) struct Call {
    /// Address of its return address; 0 for none, and while the rest changes.
    entry: u64,
    ra: u64,
    size: u64,
    bp: u64,
    /// All ones if the walk used rbp before it loaded it from the stack, else 0.
    bp_mask: u64,
    /// State of the rules by which the stack was walked.
    rules: u64,
    record: *mut SiteRecord,
    /// Bytes of the words that are compared.
    len: u64,
    words: [Word; WORDS],
}

impl Call {
    pub(crate) const OFFSET_ENTRY: usize = offset_of!(Self, entry);
    pub(crate) const OFFSET_RA: usize = offset_of!(Self, ra);
    pub(crate) const OFFSET_SIZE: usize = offset_of!(Self, size);
    pub(crate) const OFFSET_BP: usize = offset_of!(Self, bp);
    pub(crate) const OFFSET_BP_MASK: usize = offset_of!(Self, bp_mask);
    pub(crate) const OFFSET_RULES: usize = offset_of!(Self, rules);
    pub(crate) const OFFSET_RECORD: usize = offset_of!(Self, record);
    pub(crate) const OFFSET_LEN: usize = offset_of!(Self, len);
    pub(crate) const OFFSET_WORDS: usize = offset_of!(Self, words);
}

/// Calls whose places and sizes have the same hash.
#[repr(C, align(2048))]
struct Set([Call; 2]);

/// The calls of a thread. All zeros is none.
#[repr(C)]
pub(super) struct Calls {
    /// The address of the return address of the call that is being kept, or 0.
    keeper: u64,
    /// Bit i: set i was used.
    used: u128,
    /// Counts the calls that were kept.
    kept: u64,
    /// Counts the calls for which another one would have had to go.
    crowded: u64,
    /// Hashes of sites that were recorded lately.
    seen: [u32; SEEN],
    sets: [Set; SETS],
}

// What the hash of a call is made of; `super::hot` computes the same from the lower 32 bits of each.
// (Places are multiples of 16: the first factor is a random one when it has been shifted by four bits.)
pub(crate) const ENTRY_FACTOR: u32 = 0x09E3_779B;
pub(crate) const RA_FACTOR: u32 = 0x85EB_CA6B;
pub(crate) const SIZE_FACTOR: u32 = 0xC2B2_AE35;
/// How far to shift the hash for the number of a set.
pub(crate) const HASH_SHIFT: u32 = u32::BITS - SETS.ilog2();
/// How far to shift the number of a set for its place.
pub(crate) const SET_SHIFT: u32 = size_of::<Set>().ilog2();
/// How far behind the first call of a set the second one is.
pub(crate) const CALL_LEN: usize = size_of::<Call>();

const _: () = assert!(SETS == u128::BITS as usize && SET_SHIFT == 11 && CALL_LEN == 1024);
const _: () = assert!(WORDS.is_multiple_of(STRIDE) && size_of::<Word>() == 16);

fn set_of(entry: u64, ra: u64, size: u64) -> usize {
    let entry = (entry as u32).wrapping_mul(ENTRY_FACTOR);
    let ra = (ra as u32).wrapping_mul(RA_FACTOR);
    let size = (size as u32).wrapping_mul(SIZE_FACTOR);
    (entry.wrapping_add(ra).wrapping_add(size) >> HASH_SHIFT) as usize
}

/// What a walk has found out about a call.
#[derive(Clone, Copy)]
pub(super) struct Recorded {
    pub(super) entry: u64,
    pub(super) ra: u64,
    pub(super) size: u64,
    pub(super) bp: u64,
    pub(super) uses_bp: bool,
    pub(super) rules: u64,
    pub(super) record: *mut SiteRecord,
}

impl Calls {
    pub(crate) const OFFSET_SETS: usize = offset_of!(Self, sets);

    /// Forgets all calls: another thread begins.
    pub(super) fn clear(&mut self) {
        for (at, Set(calls)) in self.sets.iter_mut().enumerate() {
            if self.used >> at & 1 != 0 {
                for call in calls {
                    // SAFETY: a field of our own.
                    unsafe { (&raw mut call.entry).write_volatile(0) };
                }
            }
        }
        self.used = 0;
        self.keeper = 0;
    }

    /// Returns whether a site was recorded lately, and notes that it is now. `hash` is that of its
    /// stack and size.
    #[inline(always)]
    pub(super) fn is_seen(&mut self, hash: u64) -> bool {
        let seen = &mut self.seen[(hash >> 40) as usize % SEEN];
        let tag = hash as u32 | 1;
        let is_seen = *seen == tag;
        *seen = tag;
        is_seen
    }

    /// Keeps a call with the words that prove its stack. `holds` is asked whether these are still
    /// the ones that the walk read when they have been copied.
    ///
    /// # Safety
    /// The calling thread owns it.
    #[inline(always)]
    pub(super) unsafe fn keep(
        this: *mut Self,
        call: Recorded,
        words: &[Word],
        holds: impl FnOnce() -> bool,
    ) {
        if words.len() > WORDS {
            return;
        }
        // SAFETY: as the caller promises; a hash has as many values as there are sets. While the
        // entry is 0, nobody reads the rest, and nobody else writes while there is a keeper.
        unsafe {
            let keeper = &raw mut (*this).keeper;
            if keeper.read_volatile() != 0 {
                // This is a signal handler, and what it interrupted is below.
                return;
            }
            keeper.write_volatile(call.entry);
            compiler_fence(SeqCst);
            let at = set_of(call.entry, call.ra, call.size);
            let Set(calls) = (*this).sets.get_unchecked_mut(at);
            let [first, second] = calls;
            if first.entry != 0 && second.entry != 0 {
                (*this).crowded += 1;
                if !(*this).crowded.is_multiple_of(CROWDED) {
                    keeper.write_volatile(0);
                    return;
                }
            }
            (*this).used |= 1 << at;
            (*this).kept += 1;
            let to: *mut Call = if first.entry != 0 && (second.entry == 0 || (*this).kept & 1 != 0)
            {
                second
            } else {
                first
            };
            (&raw mut (*to).entry).write_volatile(0);
            compiler_fence(SeqCst);
            (*to).ra = call.ra;
            (*to).size = call.size;
            (*to).bp = call.bp;
            (*to).bp_mask = if call.uses_bp { !0 } else { 0 };
            (*to).rules = call.rules;
            (*to).record = call.record;
            // Innermost first, which change most often; filled up with a word that is known to be there.
            let own = Word::new(call.entry, call.ra);
            let all = words.len().next_multiple_of(STRIDE);
            let kept = (*to).words.get_unchecked_mut(..all);
            let (copies, rest) = kept.split_at_mut_unchecked(words.len());
            for (copy, word) in copies.iter_mut().zip(words.iter().rev()) {
                *copy = *word;
            }
            rest.fill(own);
            (*to).len = (all * size_of::<Word>()) as u64;
            compiler_fence(SeqCst);
            if holds() {
                (&raw mut (*to).entry).write_volatile(call.entry);
            }
            compiler_fence(SeqCst);
            keeper.write_volatile(0);
        }
    }
}
