//! A thread's table of sites: where an allocation is counted.
//!
//! The records themselves lie in the recording, in chunks that belong to one thread, so that
//! counting is one increment of the thread's own memory, and survives the process. The index is
//! private memory: a power of two of words, each a record's address with 16 bits of the hash below
//! it.
//!
//! [`Table::count`] is the hot path, at any moment, also in a signal handler that interrupted it in
//! the same thread; an index that was replaced therefore stays readable.

use crate::arch;
use crate::process::Process;
use crate::record::PAGE;
use crate::record::layout::{CHUNK_SITES, SiteRecord};
use crate::recording::{Full, LARGEST_CHUNK};
use crate::unwind::Frames;
use core::mem::offset_of;

/// Slots of a thread's first index, 4 KiB.
const FIRST_SLOTS: usize = 512;

/// The sites of one thread. All zeros is a table that was not made yet.
#[repr(C)]
pub(crate) struct Table {
    /// Invariant: `mask + 1` words, or null with a mask of 0.
    index: *mut u64,
    mask: usize,
    used: usize,
    /// Where the next record goes, and the end of the chunk.
    next: *mut SiteRecord,
    end: *mut SiteRecord,
    /// Pages of the last chunk.
    pages: u32,
}

/// A random odd number.
pub(crate) const HASH_FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// Mixes frames and size; 40 bits. [`crate::hot`] computes the same.
#[inline(always)]
fn hash(frames: Frames, size: u64) -> u64 {
    let mixed = size.wrapping_mul(HASH_FACTOR) ^ frames.first;
    let mixed = mixed.wrapping_mul(HASH_FACTOR) ^ frames.second;
    mixed.wrapping_mul(HASH_FACTOR) >> 24
}

/// Where in the index the search begins.
#[inline(always)]
fn home(hash: u64) -> usize {
    (hash >> 16) as usize
}

/// What an index word says of the hash. Never 0, so that a free word matches nothing.
#[inline(always)]
fn tag(hash: u64) -> u16 {
    hash as u16 | 1
}

impl Table {
    /// Counts one allocation; false when the site is new.
    ///
    /// # Safety
    /// The table belongs to the calling thread and was begun.
    #[inline(always)]
    pub(crate) unsafe fn count(&self, frames: Frames, size: u64) -> bool {
        let hash = hash(frames, size);
        let mut at = home(hash) & self.mask;
        loop {
            // SAFETY: masked offsets lie in the index; a word that is not 0 holds the address of a
            // record of this thread, which stays mapped.
            unsafe {
                let word = *self.index.add(at);
                if word as u16 == tag(hash) {
                    let record = (word >> 16) as *mut u64;
                    if *record == frames.first
                        && *record.add(1) == frames.second
                        && *record.add(2) == size
                    {
                        arch::increment_count(record);
                        return true;
                    }
                }
                if word == 0 {
                    return false;
                }
            }
            at = (at + 1) & self.mask;
        }
    }

    pub(crate) const OFFSET_INDEX: usize = offset_of!(Table, index);
    pub(crate) const OFFSET_MASK: usize = offset_of!(Table, mask);

    /// Makes the first index. Cold section.
    pub(crate) fn begin(&mut self) -> Result<(), Full> {
        if self.index.is_null() {
            self.grow(FIRST_SLOTS)
        } else {
            Ok(())
        }
    }

    /// Counts the first allocation of a site. Cold section.
    pub(crate) fn insert(
        &mut self,
        process: &Process,
        frames: Frames,
        size: u64,
    ) -> Result<(), Full> {
        // A signal handler may have made the site, or replaced the index, since the look-up.
        // SAFETY: the table is the calling thread's.
        if unsafe { self.count(frames, size) } {
            return Ok(());
        }
        if self.used * 3 >= (self.mask + 1) * 2 {
            // A fuller index is slower, no more; the last slot stays free so that searches end.
            if self.grow((self.mask + 1) * 2).is_err() && self.used >= self.mask {
                return Err(Full);
            }
        }
        if self.next == self.end {
            let pages = (self.pages * 2).clamp(1, LARGEST_CHUNK);
            let (chunk, len) = process.recording.chunk(CHUNK_SITES, pages)?;
            debug_assert!(len < (u64::from(pages) * PAGE) as usize);
            self.pages = pages;
            self.next = chunk.cast();
            self.end = self.next.wrapping_add(len / size_of::<SiteRecord>());
        }
        let record = self.next;
        self.next = record.wrapping_add(1);
        // SAFETY: the record lies in this thread's chunk. The count comes last: it is what makes
        // the record visible.
        unsafe {
            let key = record.cast::<u64>();
            key.write_volatile(frames.first);
            key.add(1).write_volatile(frames.second);
            key.add(2).write_volatile(size);
            core::sync::atomic::fence(core::sync::atomic::Ordering::Release);
            key.add(3).write_volatile(1);
        }
        self.used += 1;
        self.put(record, hash(frames, size));
        Ok(())
    }

    fn put(&mut self, record: *mut SiteRecord, hash: u64) {
        let mut at = home(hash) & self.mask;
        // SAFETY: masked offsets lie in the index, which has a free word.
        unsafe {
            while *self.index.add(at) != 0 {
                at = (at + 1) & self.mask;
            }
            self.index
                .add(at)
                .write_volatile((record as u64) << 16 | u64::from(tag(hash)));
        }
    }

    fn grow(&mut self, slots: usize) -> Result<(), Full> {
        let fresh: Box<[u64]> = {
            let mut words = Vec::new();
            if words.try_reserve_exact(slots).is_err() {
                return Err(Full);
            }
            words.resize(slots, 0);
            words.into_boxed_slice()
        };
        let (old, old_len) = (
            self.index,
            if self.index.is_null() {
                0
            } else {
                self.mask + 1
            },
        );
        self.index = Box::into_raw(fresh).cast();
        self.mask = slots - 1;
        for i in 0..old_len {
            // SAFETY: within the old index, whose words are addresses of records or 0. The old
            // index is not freed: a count that a signal handler interrupted may still be reading
            // it.
            unsafe {
                let record = (*old.add(i) >> 16) as *mut SiteRecord;
                if !record.is_null() {
                    let key = record.cast::<u64>();
                    let frames = Frames {
                        first: *key,
                        second: *key.add(1),
                    };
                    self.put(record, hash(frames, *key.add(2)));
                }
            }
        }
        Ok(())
    }
}

const _: () = assert!(offset_of!(SiteRecord, size) == 16 && offset_of!(SiteRecord, count) == 24);
