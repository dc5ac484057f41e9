//! A thread's table of sites: where an allocation is counted.
//!
//! The records themselves lie in the recording, in chunks that belong to one thread, so that
//! counting is one increment of the thread's own memory, and survives the process. The index is
//! private memory: a power of two of words, each a record's address with 16 bits of the hash below
//! it. In front of them lies the mask, so that one load leads to both. A search begins at an even
//! word and goes from word to word. The hot path looks at two of them at a time, without a branch
//! between them: which of the two it is, the processor could not expect. (If both have the same 16
//! bits, it does not find the second one, which the longer way does.)
//!
//! [`Table::add`] makes the record of a new site, also at any moment: it needs neither a lock nor a
//! system call, as long as the thread's chunk and the index have room. Each step that matters is one
//! instruction, and a signal handler that adds sites comes before or after it: a place is taken by
//! moving [`Table::next`] on from where it was seen, and the index gets a site where a search for it
//! ended. A thread that is cancelled in between leaves a record that counts nothing.
//!
//! [`Table::find`] is the hot path, at any moment, also in a signal handler that interrupted it in
//! the same thread; an index that was replaced therefore stays readable. Such a handler may also fork,
//! and the child go on in the middle of a search: table and index read as zeros there, which is a
//! search that ends without a site.

use crate::process::Process;
use crate::recording::{Full, LARGEST_CHUNK};
use crate::settings::settings;
use crate::unwind::Frames;
use crate::{arch, deep, patch, sys};
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{Ordering::Release, compiler_fence, fence};
use skipheap_format::PAGE;
use skipheap_format::layout::{
    ChunkHeader, LIVE_SITE_LEN, LIVE_SITES_START, LiveRecord, NESTED_EPOCH, NESTED_THREAD,
    SiteRecord,
};

/// Slots of a thread's first index, 4 KiB.
const FIRST_SLOTS: usize = 512;
/// Bytes in front of an index, of which the last word is the mask.
const HEAD: usize = 64;
/// How far in front of an index its mask lies. For the assembly of the hot path.
pub(crate) const INDEX_HEAD: usize = size_of::<u64>();
/// Indexes of at most this many slots, 8 KiB, have four for each site.
const SPARSE: usize = 1024;
/// Replaced indexes of at least this many slots give their memory back.
const LARGE: usize = 8192;
/// How many words further on a growing index fetches what it will read.
const AHEAD: usize = 16;

/// The sites of one thread. All zeros is a table that was not made yet.
#[repr(C)]
pub(crate) struct Table {
    /// Invariant: null, or words with their mask in front, never unmapped. Of an index that was
    /// replaced, all of it may read as zeros.
    index: *mut u64,
    used: u64,
    /// What of a record's second word a site is known by: all of it, or of whole stacks, the upper half.
    known_by: u64,
    /// Where the next record goes, and the end of the chunk.
    next: usize,
    end: usize,
    /// Pages of the last chunk.
    pages: u32,
}

/// An index as it was found: replacing it leaves this one readable.
#[derive(Clone, Copy)]
struct Index {
    words: *mut u64,
    /// Leaves the place of a pair: an even number.
    mask: usize,
}

impl Index {
    /// Words in the index.
    fn slots(self) -> usize {
        self.mask + 2
    }

    /// The place behind another one.
    fn next(self, at: usize) -> usize {
        (at + 1) & (self.slots() - 1)
    }

    /// The word at a place.
    ///
    /// # Safety
    /// `at` was masked.
    #[inline(always)]
    unsafe fn word(self, at: usize) -> u64 {
        // SAFETY: masked places lie in the index.
        unsafe { self.words.add(at).read_volatile() }
    }

    /// The record that is looked for, or the place of the free word that ended the search.
    ///
    /// # Safety
    /// It is an index of the calling thread's.
    #[inline(always)]
    unsafe fn search(
        self,
        hash: u64,
        is_it: impl Fn(*mut SiteRecord) -> bool,
    ) -> Result<*mut SiteRecord, usize> {
        let mut at = home(hash) & self.mask;
        loop {
            // SAFETY: masked just now.
            let word = unsafe { self.word(at) };
            let record: *mut SiteRecord = ptr::with_exposed_provenance_mut((word >> 16) as usize);
            if word as u16 == tag(hash) && is_it(record) {
                return Ok(record);
            }
            if word == 0 {
                return Err(at);
            }
            at = self.next(at);
        }
    }
}

/// A random odd number.
pub(crate) const HASH_FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;
/// One that has room in an instruction.
pub(crate) const SIZE_FACTOR: u64 = 0x4F1B_BCDD;

/// Mixes frames and size; 40 bits. [`crate::hot`] computes the same.
#[inline(always)]
fn hash(frames: Frames, size: u64) -> u64 {
    let mixed = size.wrapping_mul(SIZE_FACTOR) ^ frames.first;
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

/// Returns whether a record is that of a site.
///
/// # Safety
/// It is a record of the calling thread's table.
#[inline(always)]
unsafe fn is_of(record: *mut SiteRecord, frames: Frames, size: u64, known_by: u64) -> bool {
    let words = record.cast::<u64>();
    // SAFETY: as the caller promises: a record that is in the index is complete.
    unsafe {
        let second = (*words.add(1) ^ frames.second) & known_by;
        (*words ^ frames.first) | second | (*words.add(2) ^ size) == 0
    }
}

impl Table {
    /// The record of a site; null when the site is new.
    ///
    /// # Safety
    /// The table belongs to the calling thread and was begun.
    #[inline(always)]
    pub(crate) unsafe fn find(&self, frames: Frames, size: u64) -> *mut SiteRecord {
        // SAFETY: as the caller promises.
        unsafe {
            let Some(index) = Self::index(self) else {
                return ptr::null_mut();
            };
            let is_it = |record| is_of(record, frames, size, self.known_by);
            index
                .search(hash(frames, size), is_it)
                .unwrap_or(ptr::null_mut())
        }
    }

    /// The index as it is now.
    ///
    /// # Safety
    /// The table belongs to the calling thread and was begun.
    #[inline(always)]
    unsafe fn index(this: *const Self) -> Option<Index> {
        // SAFETY: as the caller promises. A word with the mask lies in front of each index.
        unsafe {
            let words = (&raw const (*this).index).read_volatile();
            (!words.is_null()).then(|| Index {
                words,
                mask: words.sub(1).read_volatile() as usize,
            })
        }
    }

    /// The records of all sites.
    pub(crate) fn records(&self) -> impl Iterator<Item = *mut SiteRecord> + '_ {
        // SAFETY: nobody changes the table while it is borrowed.
        let index = unsafe { Self::index(self) };
        let places = index.map_or(0, Index::slots);
        (0..places).filter_map(move |at| {
            // SAFETY: within the index.
            let word = index.map_or(0, |index| unsafe { index.word(at) });
            let record: *mut SiteRecord = ptr::with_exposed_provenance_mut((word >> 16) as usize);
            (!record.is_null()).then_some(record)
        })
    }

    pub(crate) const OFFSET_INDEX: usize = offset_of!(Table, index);

    /// Makes the first index. Cold section.
    pub(crate) fn begin(&mut self) -> Result<(), Full> {
        self.known_by = if deep::is_on() { !0 << 32 } else { !0 };
        if self.index.is_null() {
            self.grow(FIRST_SLOTS)
        } else {
            Ok(())
        }
    }

    /// The record of a site, known by frames as a record has them; null when the site is new.
    ///
    /// # Safety
    /// The table belongs to the calling thread and was begun.
    pub(crate) unsafe fn find_known(&self, frames: Frames, size: u64) -> *mut SiteRecord {
        // SAFETY: as the caller promises.
        unsafe { self.find(key(frames, self.known_by), size) }
    }

    /// The record of a site, which is made, with a count of 0, where there is none. Of whole stacks
    /// `frames` has the node's id in the lower half of the second word. `None` where a cold section has to
    /// make room first. At any moment.
    ///
    /// # Safety
    /// The table belongs to the calling thread.
    #[inline(always)]
    pub(crate) unsafe fn add(
        this: *mut Self,
        thread: u32,
        frames: Frames,
        size: u64,
    ) -> Option<*mut SiteRecord> {
        let live = settings().live;
        // Whether a call is nested, hooks in the heap say.
        if live && patch::is_in_use() {
            return None;
        }
        // SAFETY: as the caller promises.
        unsafe {
            let used = (&raw const (*this).used).read_volatile();
            if is_full(used, Self::index(this)?.slots()) {
                return None;
            }
            Self::add_with(this, frames, size, live.then_some(thread), false)
        }
    }

    /// Makes the record of a site in an index with room. `thread` is the number of the thread, and is
    /// stored only where blocks are followed.
    ///
    /// # Safety
    /// The table belongs to the calling thread and was begun.
    #[inline(always)]
    unsafe fn add_with(
        this: *mut Self,
        frames: Frames,
        size: u64,
        thread: Option<u32>,
        is_nested: bool,
    ) -> Option<*mut SiteRecord> {
        // SAFETY: the fields are this thread's. A signal handler may change them between any two
        // instructions, and a child of fork that it makes finds zeros: each is read once.
        unsafe {
            let mut index = Self::index(this)?;
            let known_by = (&raw const (*this).known_by).read_volatile();
            let known = key(frames, known_by);
            let hash = hash(known, size);
            let is_it = |record| is_of(record, known, size, known_by);
            let mut free = match index.search(hash, is_it) {
                Ok(record) => return Some(record),
                Err(at) => at,
            };
            let len = record_len(thread.is_some());
            let place = Self::take_place(this, len)?;
            let record: *mut SiteRecord = ptr::with_exposed_provenance_mut(place);
            let words = record.cast::<u64>();
            words.write_volatile(frames.first);
            words.add(1).write_volatile(frames.second);
            words.add(2).write_volatile(size);
            if let Some(thread) = thread {
                let behind: *mut LiveRecord = record.add(1).cast();
                let thread = if is_nested { NESTED_THREAD } else { thread };
                (&raw mut (*behind).thread).write_volatile(thread);
                if is_nested {
                    (&raw mut (*behind).epoch).write_volatile(NESTED_EPOCH);
                }
            }
            // What the record counts comes later: that is what makes it visible to readers.
            fence(Release);
            loop {
                let word = (place as u64) << 16 | u64::from(tag(hash));
                let slot = index.words.add(free).cast::<usize>();
                if !arch::replace(slot, 0, word as usize) {
                    // A handler has put a site there, perhaps this one.
                    match index.search(hash, is_it) {
                        Ok(known) => {
                            arch::replace(&raw mut (*this).next, place + len, place);
                            return Some(known);
                        }
                        Err(at) => free = at,
                    }
                    continue;
                }
                arch::increment_at::<{ offset_of!(Table, used) }, _>(this);
                // A handler may have replaced the index, with a site less in it.
                let now = Self::index(this)?;
                if now.words == index.words {
                    return Some(record);
                }
                index = now;
                match index.search(hash, is_it) {
                    Ok(known) => return Some(known),
                    Err(at) => free = at,
                }
            }
        }
    }

    /// Takes the next `len` bytes of the thread's chunk; `None` where it has not as many.
    ///
    /// # Safety
    /// The table belongs to the calling thread and was begun.
    #[inline(always)]
    unsafe fn take_place(this: *mut Self, len: usize) -> Option<usize> {
        // SAFETY: as the caller promises.
        unsafe {
            let next = &raw mut (*this).next;
            loop {
                // In this order: another chunk has another place, which no longer is the one seen.
                let place = next.read_volatile();
                let end = (&raw const (*this).end).read_volatile();
                if end.wrapping_sub(place) < len || end < place {
                    return None;
                }
                if arch::replace(next, place, place + len) {
                    return Some(place);
                }
            }
        }
    }

    /// Makes the record of a site, with a larger index or a new chunk where there is no room. Cold
    /// section.
    pub(crate) fn insert(
        &mut self,
        process: &Process,
        thread: u32,
        frames: Frames,
        size: u64,
    ) -> Result<*mut SiteRecord, Full> {
        // A signal handler may have made the site, or replaced the index, since the look-up.
        // SAFETY: the table is the calling thread's.
        let known = unsafe { self.find_known(frames, size) };
        if !known.is_null() {
            return Ok(known);
        }
        // SAFETY: the table is borrowed, and is the calling thread's.
        let Some(index) = (unsafe { Self::index(self) }) else {
            // The state of a parent, in a child that was forked in the midst of this.
            return Err(Full::NoMemory);
        };
        if is_full(self.used, index.slots())
            && self.grow(index.slots() * 2).is_err()
            && self.used as usize >= index.mask
        {
            // A fuller index is slower, no more; the last slot stays free so that searches end.
            return Err(Full::NoMemory);
        }
        let live = settings().live;
        if self.end - self.next < record_len(live) {
            self.take_chunk(process, thread, live)?;
        }
        let is_nested = live && patch::is_nested(&process.recording, frames, size);
        // SAFETY: the table is the calling thread's, and there is room.
        unsafe { Self::add_with(self, frames, size, live.then_some(thread), is_nested) }
            .ok_or(Full::NoMemory)
    }

    /// Takes a chunk for the next records.
    fn take_chunk(&mut self, process: &Process, thread: u32, live: bool) -> Result<(), Full> {
        let pages = (self.pages * 2).clamp(1, LARGEST_CHUNK);
        let chunk = process.recording.sites_chunk(pages, thread)?;
        debug_assert!(chunk.len < (u64::from(pages) * PAGE) as usize);
        let skipped = if live {
            LIVE_SITES_START - size_of::<ChunkHeader>()
        } else {
            0
        };
        let first = chunk.records.wrapping_add(skipped);
        let room = chunk.len - skipped;
        if live {
            let len = record_len(live);
            // SAFETY: the places lie in this thread's chunk.
            unsafe { process.numbers.add_all(first, len, room / len)? };
        }
        self.pages = pages;
        self.next = first.expose_provenance();
        self.end = self.next + room;
        Ok(())
    }

    fn grow(&mut self, slots: usize) -> Result<(), Full> {
        let fresh = sys::map_table(HEAD + slots * size_of::<u64>());
        if fresh.is_null() {
            return Err(Full::NoMemory);
        }
        let fresh = Index {
            words: fresh.wrapping_add(HEAD).cast(),
            mask: slots - 2,
        };
        // SAFETY: the head lies in front of the new words.
        unsafe { fresh.words.sub(1).write(fresh.mask as u64) };
        // SAFETY: the table is borrowed.
        let old = unsafe { Self::index(self) };
        if let Some(old) = old {
            for at in 0..old.slots() {
                // SAFETY: within the old index, whose words are addresses of records or 0, and the
                // new one has more room than that.
                unsafe {
                    let ahead = old.word((at + AHEAD) & (old.slots() - 1)) >> 16;
                    arch::prefetch(ahead as usize);
                    let word = old.word(at);
                    let record = (word >> 16) as *const u64;
                    if !record.is_null() {
                        let frames = Frames {
                            first: *record,
                            second: *record.add(1),
                        };
                        let hash = hash(key(frames, self.known_by), *record.add(2));
                        let mut to = home(hash) & fresh.mask;
                        while fresh.word(to) != 0 {
                            to = fresh.next(to);
                        }
                        fresh.words.add(to).write(word);
                    }
                }
            }
        }
        compiler_fence(Release);
        self.index = fresh.words;
        if let Some(old) = old.filter(|old| old.slots() >= LARGE) {
            // What a signal handler has interrupted may still search there: it finds nothing, and
            // looks once more before it makes a site.
            // SAFETY: the mapping is this table's, and stays.
            unsafe {
                sys::discard(
                    old.words.wrapping_byte_sub(HEAD).cast(),
                    HEAD + old.slots() * size_of::<u64>(),
                );
            }
        }
        Ok(())
    }
}

/// What of a record's frames a site is known by.
fn key(frames: Frames, known_by: u64) -> Frames {
    Frames {
        second: frames.second & known_by,
        ..frames
    }
}

/// Returns whether an index with so many sites needs more slots. A search that does not end at its
/// first word is a branch that the processor did not expect. That costs more than the second half of
/// an index, as long as that stays in the nearest cache.
#[inline(always)]
fn is_full(used: u64, slots: usize) -> bool {
    let sparse = if slots <= SPARSE { 4 } else { 2 };
    used * sparse >= slots as u64
}

/// Bytes of a record.
#[inline(always)]
fn record_len(live: bool) -> usize {
    if live {
        LIVE_SITE_LEN
    } else {
        size_of::<SiteRecord>()
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
        assert_eq!(table.used as usize, model.len());
        assert_eq!(testing::site_counts(&process.recording), model);
        let (mean, longest) = probes(&table);
        assert!(mean < 1.15 && longest < 20, "{mean} {longest}");
    }

    /// Mean and longest number of pairs of words of the index that a search for a site reads.
    fn probes(table: &Table) -> (f64, usize) {
        let (mut sum, mut longest) = (0, 0);
        // SAFETY: the table was begun.
        let index = unsafe { Table::index(table) }.unwrap();
        for at in 0..index.slots() {
            // SAFETY: within the index, whose words are addresses of records or 0.
            unsafe {
                let record = (index.word(at) >> 16) as *const u64;
                if !record.is_null() {
                    let frames = Frames {
                        first: *record,
                        second: *record.add(1),
                    };
                    let home = home(hash(key(frames, table.known_by), *record.add(2))) & index.mask;
                    let read = (at.wrapping_sub(home) & (index.slots() - 1)) / 2 + 1;
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
