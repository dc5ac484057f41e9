//! What threads have counted that have ended or go by another name now, by name.
//!
//! A thread counts in the table of its state, and the next thread goes on in the same table. So
//! that each call keeps the name of the thread that made it, the counts are moved to records of
//! that name when a thread ends or takes another name. All threads of a name share these records:
//! memory follows the names and their sites, not the threads that ever were.
//!
//! Runs in cold sections.

use crate::heap::{SpinGuard, SpinLock};
use crate::live;
use crate::process::Process;
use crate::recording::LARGEST_CHUNK;
use crate::settings::settings;
use crate::sites::Table;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::*};
use skipheap_format::layout::*;
use skipheap_symbolize::hash::FastMap;

/// What a thread's calls are reported under: a name, or what tells a thread without one apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(C)]
pub(crate) struct Label {
    /// Ended by NUL or the end.
    pub(crate) name: [u8; 16],
    /// As [`ThreadRecord::start`].
    pub(crate) start: u32,
    /// As [`ThreadRecord::how`]; 0 for that of no thread.
    pub(crate) how: u32,
}

impl Label {
    /// Of a thread that has a name of its own.
    pub(crate) fn named(name: [u8; 16]) -> Self {
        Self {
            name,
            start: 0,
            how: THREAD_NAMED,
        }
    }

    /// Whether it was given a name.
    pub(crate) fn has_name(self) -> bool {
        self.how == THREAD_NAMED
    }

    /// Of a state that no thread has.
    pub(crate) const NONE: Self = Self {
        name: [0; 16],
        start: 0,
        how: 0,
    };
}

/// The counts by name, and the lock under which names of threads change. All zeros is none.
#[repr(C)]
pub(crate) struct Ended {
    lock: SpinLock,
    /// Null, or a box that is never freed.
    books: AtomicPtr<Books>,
}

#[derive(Default)]
struct Books {
    /// Numbers in the recording, without [`ENDED_THREADS`].
    numbers: FastMap<Label, u32>,
    sites: FastMap<Key, Record>,
    next: usize,
    room: usize,
    pages: u32,
}

/// Number of the name, the frames of a record, and its size.
type Key = (u32, u64, u64, u64);

/// Address of a record in the recording.
type Record = usize;

impl Ended {
    /// Waits until nobody changes the name of a thread or moves counts, and keeps that so.
    pub(crate) fn lock(&self) -> SpinGuard<'_> {
        self.lock.lock()
    }

    /// Moves what was counted in a table to the records of a name. Where there is no room for
    /// them, it stays in the table. With the lock held.
    ///
    /// # Safety
    /// Nobody else counts in the table.
    pub(crate) unsafe fn take(&self, process: &Process, table: &Table, label: Label) {
        if label.how == 0 {
            return;
        }
        let mut books = self.books.load(Acquire);
        if books.is_null() {
            books = Box::into_raw(Box::default());
            self.books.store(books, Release);
        }
        // SAFETY: a box that is never freed, and the lock makes this the only reference.
        let books = unsafe { &mut *books };
        let mut number = None;
        for from in table.records() {
            // SAFETY: records of the table, which nobody else changes.
            unsafe {
                let has_counted = if settings().live {
                    live::has_counted(from)
                } else {
                    (*from).count != 0
                };
                if !has_counted {
                    continue;
                }
                let number = *number.get_or_insert_with(|| books.number(process, label));
                let Some(to) = books.record(process, number, from) else {
                    return;
                };
                if settings().live {
                    live::move_counts(process, from, to);
                } else {
                    (*to).count += (*from).count;
                    (&raw mut (*from).count).write_volatile(0);
                }
            }
        }
    }
}

impl Books {
    /// What the recording knows a name by.
    fn number(&mut self, process: &Process, label: Label) -> u32 {
        let next = self.numbers.len() as u32;
        let number = *self.numbers.entry(label).or_insert(next) | ENDED_THREADS;
        if self.numbers.len() as u32 > next {
            process.recording.add_thread(number, label);
        }
        number
    }

    /// The record of a name for the site of another record. `None` when there is no room.
    ///
    /// # Safety
    /// `like` is a record of this process's recording.
    unsafe fn record(
        &mut self,
        process: &Process,
        number: u32,
        like: *const SiteRecord,
    ) -> Option<*mut SiteRecord> {
        let words = like.cast::<u64>();
        // SAFETY: as the caller promises; a record's key does not change.
        let (first, second, size) = unsafe { (*words, *words.add(1), *words.add(2)) };
        let key = (number, first, second, size);
        if let Some(&known) = self.sites.get(&key) {
            return Some(ptr::with_exposed_provenance_mut(known));
        }
        let (head, len) = if settings().live {
            (LIVE_SITES_START, LIVE_SITE_LEN)
        } else {
            (size_of::<ChunkHeader>(), ENDED_SITE_LEN)
        };
        if self.room < len {
            let pages = (self.pages * 2).clamp(1, LARGEST_CHUNK);
            let chunk = process.recording.sites_chunk(pages, ENDED_THREADS).ok()?;
            let skipped = head - size_of::<ChunkHeader>();
            self.pages = pages;
            self.next = chunk.records.wrapping_add(skipped).expose_provenance();
            self.room = chunk.len - skipped;
        }
        let record: *mut SiteRecord = ptr::with_exposed_provenance_mut(self.next);
        self.next += len;
        self.room -= len;
        // SAFETY: the record lies in the chunk, which is ours alone. What it counts comes later:
        // that is what makes it visible.
        unsafe {
            let words = record.cast::<u64>();
            words.write_volatile(first);
            words.add(1).write_volatile(second);
            words.add(2).write_volatile(size);
            if settings().live {
                live::set_thread(record, number);
            } else {
                record.add(1).cast::<u32>().write_volatile(number);
            }
        }
        core::sync::atomic::fence(Release);
        self.sites.insert(key, record.expose_provenance());
        Some(record)
    }
}
