//! A thread's table of sites: where an allocation is counted.
//!
//! The records themselves lie in the recording, in chunks that belong to one thread, so that
//! counting is one increment of the thread's own memory, and survives the process. The index is
//! private memory: a power of two of words, each a record's address with 16 bits of the hash below
//! it.
//!
//! [`Table::find`] is the hot path, at any moment, also in a signal handler that interrupted it in
//! the same thread; an index that was replaced therefore stays readable. Such a handler may also fork,
//! and the child go on in the middle of a search: table and index read as zeros there, which is a
//! search that ends without a site.

use crate::deep;
use crate::patch;
use crate::process::Process;
use crate::record::PAGE;
use crate::record::layout::{
    ChunkHeader, LIVE_SITE_LEN, LIVE_SITES_START, LiveRecord, NESTED_EPOCH, NESTED_THREAD,
    SiteRecord,
};
use crate::recording::{Full, LARGEST_CHUNK};
use crate::settings::settings;
use crate::sys;
use crate::unwind::Frames;
use core::mem::offset_of;
use core::ptr;

/// Slots of a thread's first index, 4 KiB.
const FIRST_SLOTS: usize = 512;

/// The sites of one thread. All zeros is a table that was not made yet.
#[repr(C)]
pub(crate) struct Table {
    /// Invariant: `mask + 1` words, or null with a mask of 0.
    index: *mut u64,
    mask: usize,
    used: usize,
    /// What of a record's second word a site is known by: all of it, or of whole stacks, the upper half.
    known_by: u64,
    /// Where the next record goes, and the bytes from there to the end of the chunk.
    next: *mut u8,
    room: usize,
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
    /// The record of a site; null when the site is new.
    ///
    /// # Safety
    /// The table belongs to the calling thread and was begun.
    #[inline(always)]
    pub(crate) unsafe fn find(&self, frames: Frames, size: u64) -> *mut SiteRecord {
        let hash = hash(frames, size);
        let index = self.index;
        if index.is_null() {
            return ptr::null_mut();
        }
        let mut at = home(hash) & self.mask;
        loop {
            // SAFETY: masked offsets lie in the index; a word that is not 0 holds the address of a
            // record of this thread, which stays mapped. The mask never shrinks but to 0.
            unsafe {
                let word = *index.add(at);
                if word as u16 == tag(hash) {
                    let record = (word >> 16) as *mut u64;
                    if *record == frames.first
                        && *record.add(1) & self.known_by == frames.second
                        && *record.add(2) == size
                    {
                        return record.cast();
                    }
                }
                if word == 0 {
                    return ptr::null_mut();
                }
            }
            at = (at + 1) & self.mask;
        }
    }

    /// The records of all sites.
    pub(crate) fn records(&self) -> impl Iterator<Item = *mut SiteRecord> + '_ {
        let words = if self.index.is_null() {
            0
        } else {
            self.mask + 1
        };
        (0..words).filter_map(|at| {
            // SAFETY: within the index, whose words are addresses of records or 0.
            let record = unsafe { *self.index.add(at) >> 16 } as *mut SiteRecord;
            (!record.is_null()).then_some(record)
        })
    }

    pub(crate) const OFFSET_INDEX: usize = offset_of!(Table, index);
    pub(crate) const OFFSET_MASK: usize = offset_of!(Table, mask);

    /// Makes the first index. Cold section.
    pub(crate) fn begin(&mut self) -> Result<(), Full> {
        self.known_by = if deep::is_on() { !0 << 32 } else { !0 };
        if self.index.is_null() {
            self.grow(FIRST_SLOTS)
        } else {
            Ok(())
        }
    }

    /// The same for frames as a record has them.
    ///
    /// # Safety
    /// As [`Self::find`].
    pub(crate) unsafe fn find_known(&self, frames: Frames, size: u64) -> *mut SiteRecord {
        // SAFETY: as the caller promises.
        unsafe { self.find(self.key(frames), size) }
    }

    /// What of a record's frames a site is known by.
    fn key(&self, frames: Frames) -> Frames {
        Frames {
            second: frames.second & self.known_by,
            ..frames
        }
    }

    /// Makes the record of a site, with a count of 0. Of whole stacks `frames` has the node's id in the lower half
    /// of the second word. Cold section.
    pub(crate) fn insert(
        &mut self,
        process: &Process,
        thread: u32,
        frames: Frames,
        size: u64,
    ) -> Result<*mut SiteRecord, Full> {
        // A signal handler may have made the site, or replaced the index, since the look-up.
        // SAFETY: the table is the calling thread's.
        let known = unsafe { self.find(self.key(frames), size) };
        if !known.is_null() {
            return Ok(known);
        }
        if self.index.is_null() {
            // The state of a parent, in a child that was forked in the midst of this.
            return Err(Full::NoMemory);
        }
        if self.used * 3 >= (self.mask + 1) * 2 {
            // A fuller index is slower, no more; the last slot stays free so that searches end.
            if self.grow((self.mask + 1) * 2).is_err() && self.used >= self.mask {
                return Err(Full::NoMemory);
            }
        }
        let live = settings().live;
        let len = if live {
            LIVE_SITE_LEN
        } else {
            size_of::<SiteRecord>()
        };
        if self.room < len {
            let pages = (self.pages * 2).clamp(1, LARGEST_CHUNK);
            let chunk = process.recording.sites_chunk(pages, thread)?;
            debug_assert!(chunk.len < (u64::from(pages) * PAGE) as usize);
            let skipped = if live {
                LIVE_SITES_START - size_of::<ChunkHeader>()
            } else {
                0
            };
            self.pages = pages;
            self.next = chunk.records.wrapping_add(skipped);
            self.room = chunk.len - skipped;
        }
        let record: *mut SiteRecord = self.next.cast();
        if live {
            // SAFETY: the record lies in this thread's chunk, with room for a live record behind it.
            unsafe { process.numbers.add(record)? };
        }
        self.next = self.next.wrapping_add(len);
        self.room -= len;
        // SAFETY: the record lies in this thread's chunk. What it counts comes last: that is what
        // makes the record visible.
        unsafe {
            let key = record.cast::<u64>();
            key.write_volatile(frames.first);
            key.add(1).write_volatile(frames.second);
            key.add(2).write_volatile(size);
            if live {
                let behind: *mut LiveRecord = record.add(1).cast();
                let is_nested = patch::is_nested(&process.recording, frames, size);
                let thread = if is_nested { NESTED_THREAD } else { thread };
                (&raw mut (*behind).thread).write_volatile(thread);
                if is_nested {
                    (&raw mut (*behind).epoch).write_volatile(NESTED_EPOCH);
                }
            }
            core::sync::atomic::fence(core::sync::atomic::Ordering::Release);
        }
        self.used += 1;
        self.put(record, hash(self.key(frames), size));
        Ok(record)
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
        let fresh: *mut u64 = sys::map_wiped_on_fork(slots * size_of::<u64>()).cast();
        if fresh.is_null() {
            return Err(Full::NoMemory);
        }
        let (old, old_len) = (
            self.index,
            if self.index.is_null() {
                0
            } else {
                self.mask + 1
            },
        );
        self.index = fresh;
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
                    self.put(record, hash(self.key(frames), *key.add(2)));
                }
            }
        }
        Ok(())
    }
}

const _: () = assert!(offset_of!(SiteRecord, size) == 16 && offset_of!(SiteRecord, count) == 24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn table() -> (&'static Process, Table) {
        // SAFETY: a process and a table of zeros are ones before anything happened.
        let (process, mut table) = unsafe { (testing::zeroed::<Process>(), std::mem::zeroed()) };
        testing::create(&process.recording);
        Table::begin(&mut table).unwrap();
        (process, table)
    }

    /// Counts one allocation as a thread does; the model is a map of std.
    fn allocate(
        (process, table): (&Process, &mut Table),
        model: &mut HashMap<([u32; 4], u64), u64>,
        site: ([u32; 4], u64),
    ) -> Result<(), Full> {
        let ([a, b, c, d], size) = site;
        let frames = Frames {
            first: u64::from(a) | u64::from(b) << 32,
            second: u64::from(c) | u64::from(d) << 32,
        };
        // SAFETY: the table was begun, and is this thread's.
        let mut record = unsafe { table.find(frames, size) };
        assert_eq!(!record.is_null(), model.contains_key(&site));
        if record.is_null() {
            record = table.insert(process, 1, frames, size)?;
        }
        // SAFETY: a record of this table.
        unsafe { crate::arch::increment_count(record) };
        *model.entry(site).or_insert(0) += 1;
        Ok(())
    }

    #[test]
    fn a_table_that_a_fork_has_wiped_takes_no_site() {
        let (process, _) = table();
        // SAFETY: a table of zeros is one before anything happened.
        let mut table: Table = unsafe { std::mem::zeroed() };
        let frames = Frames {
            first: 1,
            second: 0,
        };
        assert!(table.insert(process, 1, frames, 8).is_err());
    }

    /// Sites as programs have them: few frames in many combinations, small sizes.
    fn site(random: &mut u64, frames: u32) -> ([u32; 4], u64) {
        let mut next = |below: u64| {
            *random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            (*random >> 33) % below
        };
        let mut ids = [0; 4].map(|_: u32| 256 + next(u64::from(frames)) as u32);
        for i in 1..4 {
            // Twice in a row, an id is that of a root.
            ids[i] += u32::from(ids[i] == ids[i - 1]) * frames;
        }
        (ids, next(3) * 8)
    }

    #[test]
    fn tens_of_thousands_of_sites_are_counted_apart() {
        let (process, mut table) = table();
        let mut model = HashMap::new();
        let mut random = 7;
        for _ in 0..200_000 {
            allocate((process, &mut table), &mut model, site(&mut random, 14)).unwrap();
        }
        assert!(model.len() > 50_000 && model.values().any(|&count| count > 3));
        assert_eq!(table.used, model.len());
        assert_eq!(testing::site_counts(&process.recording), model);
        let (mean, longest) = probes(&table);
        assert!(mean < 2.2 && longest < 120, "{mean} {longest}");
    }

    /// Mean and longest number of words of the index that a search for a site reads.
    fn probes(table: &Table) -> (f64, usize) {
        let (mut sum, mut longest) = (0, 0);
        for at in 0..=table.mask {
            // SAFETY: within the index, whose words are addresses of records or 0.
            unsafe {
                let record = (*table.index.add(at) >> 16) as *const u64;
                if !record.is_null() {
                    let frames = Frames {
                        first: *record,
                        second: *record.add(1),
                    };
                    let home = home(hash(table.key(frames), *record.add(2)));
                    let read = (at.wrapping_sub(home) & table.mask) + 1;
                    sum += read;
                    longest = longest.max(read);
                }
            }
        }
        (sum as f64 / table.used as f64, longest)
    }

    #[test]
    fn a_full_recording_stops_new_sites_alone() {
        let (process, mut table) = table();
        process.recording.limit_for_tests(40 * PAGE);
        let mut model = HashMap::new();
        let (mut random, mut refused) = (3, 0);
        for _ in 0..40_000 {
            let site = site(&mut random, 12);
            refused += u32::from(allocate((process, &mut table), &mut model, site).is_err());
        }
        assert!(model.len() > 3000 && refused > 3000);
        assert_eq!(testing::site_counts(&process.recording), model);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn any_frames_and_sizes_are_told_apart(
            sites in prop::collection::vec((any::<[u32; 4]>(), any::<u64>()), 0..800),
            again in prop::collection::vec(any::<prop::sample::Index>(), 0..800),
        ) {
            let (process, mut table) = table();
            let mut model = HashMap::new();
            for &site in &sites {
                allocate((process, &mut table), &mut model, site).unwrap();
            }
            for at in again.iter().filter(|_| !sites.is_empty()) {
                allocate((process, &mut table), &mut model, *at.get(&sites)).unwrap();
            }
            prop_assert_eq!(testing::site_counts(&process.recording), model);
        }
    }
}
