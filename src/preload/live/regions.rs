//! The ObStack of Skip programs. Its objects are not freed one by one: they lie on pages, and die
//! with their page.
//!
//! A page is a block that the runtime gets from malloc while it allocates an object or begins an
//! ObStack ([`crate::arch::pages`]); [`free`] tells when it dies. Objects lie on the page that is the
//! thread's *current* one: the last that it was given, unless the runtime has gone back to an older
//! one since ([`event`]). The object for which a page was made lies on the new page.
//!
//! An allocation costs four instructions more than one that is only counted: the first one of a site
//! on a page leaves the hot path and notes the site's count ([`on_call`]). How much that has grown,
//! and so how many objects of the site the page has, is found out when the thread's page changes
//! ([`settle`]). Between two pages that die, the live bytes of a thread only grow, so the peak is
//! exact although they are summed up no earlier.
//!
//! Lists are kept in cold sections, behind a lock.

use super::count::{behind, keep_share};
use super::{Sums, clock};
use crate::heap::SpinLock;
use crate::process::{self, Process};
use crate::thread::{self, Thread, cold_section};
use crate::unwind::{Frames, careful_walk};
use crate::{arch, hooks, patch, real, sample};
use core::cell::UnsafeCell;
use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::*};
use skipheap_format::layout::*;
use skipheap_format::loss::Loss;
use std::collections::{BTreeMap, HashMap};

/// Objects are followed.
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Words of [`OBJECTS`].
const WORDS: usize = 64;
/// Bit i: the function of index i allocates objects.
static OBJECTS: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];

/// Most pages that are followed at a time, less a half.
const SLOTS: usize = 1 << 14;
/// Where pages begin, for [`free`] to find: 0 ends a search, [`GONE`] does not.
static STARTS: [AtomicUsize; SLOTS] = [const { AtomicUsize::new(0) }; SLOTS];
/// A page that is no more.
const GONE: usize = 1;

/// `LiveThread::last_object`: the next block may be a page.
pub(crate) const EXPECTED: u64 = 1;

/// What the runtime does to a thread's pages, by the index above an event's address.
pub(crate) const EVENTS: [(&str, &str); 5] = [
    ("SKIP_new_Obstack", ""),
    ("SKIP_destroy_Obstack", "0"),
    ("SKIP_destroy_Obstack_with_value", "0"),
    ("SKIP_switch_to_parent", "0"),
    ("SKIP_restore_from_parent", "1"),
];

/// The pages of a process. All zeros is that of a process without any.
#[repr(C)]
pub(crate) struct Regions {
    lock: SpinLock,
    /// Null, or a box of this process's heap.
    state: UnsafeCell<*mut State>,
    /// Objects that live, as far as they are on their pages.
    bytes: AtomicI64,
    blocks: AtomicI64,
}

#[derive(Default)]
struct State {
    /// By their first address. At 0 lies what is on no page that is known.
    pages: BTreeMap<usize, Page>,
    /// By the number of the thread's state.
    threads: HashMap<u32, Current>,
    /// Bytes of the smallest page. One that is larger is for a single object.
    usual: usize,
}

#[derive(Default)]
struct Page {
    end: usize,
    thread: u32,
    /// Sites, and how many objects of theirs lie here. A site may occur several times.
    objects: Vec<(*mut SiteRecord, u64)>,
}

/// A thread's ObStack.
#[derive(Default)]
struct Current {
    page: usize,
    /// Its usual pages, the last one at the end.
    pages: Vec<usize>,
    /// Sites that the thread has allocated objects of since the last [`settle`], and their counts then.
    journal: Vec<(*mut SiteRecord, u64)>,
}

/// Has objects followed, those of the functions with these indices. Once, before any call.
pub(crate) fn begin(functions: &[u16]) {
    for &index in functions {
        if let Some(word) = OBJECTS.get(usize::from(index) / 64) {
            word.fetch_or(1 << (index % 64), Relaxed);
        }
    }
    IS_ON.store(true, Relaxed);
    take_over();
}

/// Has `free` lead here. Cold section.
pub(super) fn take_over() {
    hooks::FREE.store(free as *mut c_void, Relaxed);
    hooks::REALLOC.store(arch::realloc_counted as *mut c_void, Relaxed);
}

/// Returns whether objects are followed; then blocks of malloc are not reported.
#[inline(always)]
pub(crate) fn is_on() -> bool {
    IS_ON.load(Relaxed)
}

/// Returns whether what the function of this index allocates is followed.
pub(super) fn has(size: u64) -> bool {
    let index = (size >> SIZE_BITS) as usize;
    OBJECTS
        .get(index / 64)
        .is_some_and(|word| word.load(Relaxed) >> (index % 64) & 1 != 0)
}

/// What stands in a record in place of the first lifetime: lifetimes are not known of objects.
const GENERATION: usize = offset_of!(LiveRecord, times);
/// Where that is in a site's record, for the hot path.
pub(crate) const SITE_GENERATION: usize = size_of::<SiteRecord>() + GENERATION;

fn generation(record: *mut SiteRecord) -> *mut u32 {
    behind(record).wrapping_byte_add(GENERATION).cast()
}

/// A call that allocates an object is about to be counted, or was found to be the first since
/// something has changed. May run at any moment.
///
/// # Safety
/// The state and the record are the calling thread's.
pub(super) unsafe fn on_call(thread: &Thread, process: &Process, record: *mut SiteRecord) {
    // SAFETY: as the caller promises.
    unsafe {
        let live = thread.live();
        keep_share(record, process.total.epoch());
        if *generation(record) != (*live).generation {
            let noted = cold_section(|| {
                process.regions.with(|state| {
                    meet(process, state, thread);
                    let current = state.threads.entry(thread.number()).or_default();
                    current.journal.push((record, (*record).count));
                    *generation(record) = (*live).generation;
                });
                tick(process, 0);
            });
            if noted.is_none() {
                process.recording.lose(Loss::NotFollowed, 1);
            }
        }
        (*live).last_object = record as u64;
    }
}

/// Takes a point of the timeline if one is due, once all objects are known. What lives has just
/// changed by `change`. Cold section.
fn tick(process: &Process, change: i64) {
    if let Some(now) = clock::ticks()
        && process.timeline.is_due(now)
    {
        settle_all(process);
        process.timeline.tick(process, now, change);
    }
}

impl Regions {
    /// Adds what is known of the objects that live.
    pub(crate) fn add_to(&self, sums: &mut Sums) {
        sums.bytes += self.bytes.load(Relaxed);
        sums.blocks += self.blocks.load(Relaxed);
    }

    /// Counts objects that have come or, below zero, gone.
    fn count(&self, process: &Process, bytes: i64, blocks: i64) {
        if (bytes, blocks) == (0, 0) {
            return;
        }
        self.bytes.fetch_add(bytes, Relaxed);
        self.blocks.fetch_add(blocks, Relaxed);
        process.total.add_exactly(bytes, process);
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let _guard = self.lock.lock();
        // SAFETY: the lock makes this the only reference; the box is never freed.
        unsafe {
            let state = self.state.get();
            if (*state).is_null() {
                *state = Box::into_raw(Box::default());
            }
            f(&mut **state)
        }
    }
}

/// Finds out how many objects the calling thread has allocated since the last time, puts them on its
/// current page, and has its sites noted anew: what comes now lies on the page that is current then.
fn settle(process: &Process, state: &mut State, thread: &Thread) {
    meet(process, state, thread);
    put_on_page(process, state, thread.number());
    if let Some(current) = state.threads.get_mut(&thread.number()) {
        current.journal.clear();
    }
    // SAFETY: the state is the calling thread's.
    unsafe { (*thread.live()).generation += 1 };
}

/// Has a thread that has its state from another one begin with an ObStack of its own. What the other
/// one has not given back stays alive.
fn meet(process: &Process, state: &mut State, thread: &Thread) {
    // SAFETY: the state is the calling thread's.
    let is_new = unsafe { core::mem::take(&mut (*thread.live()).is_new) != 0 };
    if is_new {
        put_on_page(process, state, thread.number());
        state.threads.remove(&thread.number());
    }
}

/// Puts the objects that a thread has allocated since the last time on its current page.
fn put_on_page(process: &Process, state: &mut State, number: u32) {
    let Some(current) = state.threads.get_mut(&number) else {
        return;
    };
    let page = state.pages.entry(current.page).or_default();
    let (mut bytes, mut blocks) = (0, 0);
    for (record, before) in &mut current.journal {
        // SAFETY: records are never unmapped, and words are read whole.
        let (count, size) = unsafe {
            let count = (&raw const (**record).count).read_volatile();
            (count, size_of_objects(*record))
        };
        let objects = count.saturating_sub(*before);
        if objects != 0 {
            *before = count;
            page.objects.push((*record, objects));
            bytes += sample::weight(size).wrapping_mul(objects) as i64;
            blocks += objects as i64;
        }
    }
    process.regions.count(process, bytes, blocks);
}

/// # Safety
/// A record of this process's recording.
unsafe fn size_of_objects(record: *mut SiteRecord) -> u64 {
    // SAFETY: as the caller promises; it never changes.
    unsafe { (*record).size & ((1 << SIZE_BITS) - 1) }
}

/// Brings the sums up to date. Cold section.
pub(super) fn settle_all(process: &Process) {
    if is_on() {
        process.regions.with(|state| {
            let numbers: Vec<u32> = state.threads.keys().copied().collect();
            for number in numbers {
                put_on_page(process, state, number);
            }
        });
    }
}

impl State {
    /// The page that an address lies on, 0 for none.
    fn page_of(&self, address: usize) -> usize {
        self.pages
            .range(..=address)
            .next_back()
            .filter(|(_, page)| address < page.end)
            .map_or(0, |(&start, _)| start)
    }

    /// A thread was given a page; `last` is the site of the object for which that was, or null.
    fn add(&mut self, number: u32, start: usize, len: usize, last: *mut SiteRecord) {
        if self.usual == 0 || len < self.usual {
            self.usual = len;
        }
        let current = self.threads.entry(number).or_default();
        let mut page = Page {
            end: start + len,
            thread: number,
            objects: Vec::new(),
        };
        if let Some(old) = self.pages.get_mut(&current.page)
            && let Some(at) = old.objects.iter().rposition(|object| object.0 == last)
            && let Some(object) = old.objects.get_mut(at)
        {
            object.1 -= 1;
            if object.1 == 0 {
                old.objects.swap_remove(at);
            }
            page.objects.push((last, 1));
        }
        if len <= self.usual {
            current.page = start;
            current.pages.push(start);
        }
        self.pages.insert(start, page);
    }

    /// Removes a page and returns it. Its thread goes on with an older one, if it was the current one.
    fn remove(&mut self, start: usize) -> Option<Page> {
        let page = self.pages.remove(&start)?;
        if let Some(current) = self.threads.get_mut(&page.thread) {
            current.pages.retain(|&other| other != start);
            if current.page == start {
                current.page = current.pages.last().copied().unwrap_or(0);
            }
        }
        Some(page)
    }
}

/// # Safety
/// As [`thread::record_rest`].
pub(crate) unsafe extern "C" fn page_rest(
    size: u64,
    entry: *const u64,
    bp: u64,
    block: *mut c_void,
) -> *mut c_void {
    let (Some(thread), Some(process)) = (thread::own(), process::process()) else {
        return block;
    };
    // SAFETY: the state is this thread's; `entry` is readable, as the caller promises.
    unsafe {
        let last = core::mem::take(&mut (*thread.live()).last_object);
        let frames: Frames = careful_walk(entry, bp);
        if !patch::makes_pages(&process.recording, frames) {
            return block;
        }
        let last = if last == EXPECTED {
            ptr::null_mut()
        } else {
            last as *mut SiteRecord
        };
        let bytes = (size & ((1 << SIZE_BITS) - 1)) as usize;
        cold_section(|| {
            process.regions.with(|state| {
                settle(process, state, thread);
                if put(block as usize) {
                    state.add(thread.number(), block as usize, bytes, last);
                } else {
                    process.recording.lose(Loss::NotFollowed, 1);
                }
            });
        });
    }
    block
}

/// Remembers where a page begins; false where there are too many.
fn put(start: usize) -> bool {
    let mut free = slots(start).take(SLOTS / 2);
    free.any(|slot| {
        [0, GONE]
            .into_iter()
            .any(|empty| slot.compare_exchange(empty, start, AcqRel, Relaxed).is_ok())
    })
}

/// Forgets a page; false where none begins there. May run at any moment.
fn take(start: usize) -> bool {
    slots(start)
        .take(SLOTS / 2)
        .map_while(|slot| match slot.load(Acquire) {
            0 => None,
            known => Some((slot, known == start)),
        })
        .find(|found| found.1)
        .is_some_and(|(slot, _)| slot.compare_exchange(start, GONE, AcqRel, Relaxed).is_ok())
}

/// The slots in which a page may be found, in their order.
fn slots(start: usize) -> impl Iterator<Item = &'static AtomicUsize> {
    let first = (start >> 4).wrapping_mul(crate::sites::HASH_FACTOR as usize) >> 40;
    (first..).filter_map(|at| STARTS.get(at % SLOTS))
}

/// `free` of C, where blocks of malloc are not reported: one may be a page.
///
/// # Safety
/// As the C function.
pub(super) unsafe extern "C" fn free(block: *mut c_void) {
    if !block.is_null()
        && take(block as usize)
        && let Some(process) = process::process()
    {
        match thread::own() {
            Some(thread) => {
                cold_section(|| page_died(process, thread, block as usize));
            }
            None => thread::with_orphan(process, |orphan| {
                page_died(process, orphan, block as usize);
            }),
        }
    }
    // SAFETY: the caller's own block.
    unsafe { real::free(block) };
}

/// All objects of a page are dead. Cold section.
fn page_died(process: &Process, thread: &Thread, start: usize) {
    let bytes = process.regions.with(|state| {
        let Some(owner) = state.pages.get(&start).map(|page| page.thread) else {
            return 0;
        };
        if owner == thread.number() {
            settle(process, state, thread);
        } else {
            put_on_page(process, state, owner);
        }
        let Some(page) = state.remove(start) else {
            return 0;
        };
        let (mut bytes, mut blocks) = (0, 0);
        for (record, objects) in page.objects {
            // SAFETY: the state is the calling thread's, or the orphan's under its lock; the record is
            // one of this process's recording.
            unsafe {
                release(process, thread, record, objects);
                bytes += sample::weight(size_of_objects(record)).wrapping_mul(objects) as i64;
            }
            blocks += objects as i64;
        }
        process.regions.count(process, -bytes, -blocks);
        bytes
    });
    tick(process, -bytes);
}

/// Counts that so many objects of a site are dead.
///
/// # Safety
/// The state is the calling thread's.
unsafe fn release(process: &Process, thread: &Thread, owner: *mut SiteRecord, objects: u64) {
    // SAFETY: as the caller promises; records are never unmapped, and their keys do not change.
    unsafe {
        let record = if (*behind(owner)).thread == thread.number() {
            owner
        } else {
            let key = owner.cast::<u64>();
            let frames = Frames {
                first: *key,
                second: *key.add(1),
            };
            let Some(mirror) = thread::record_of(thread, process, frames, (*owner).size) else {
                process.recording.lose(Loss::NotFollowed, objects);
                return;
            };
            mirror
        };
        keep_share(record, process.total.epoch());
        arch::add_at::<{ offset_of!(LiveRecord, frees) }, _>(behind(record), objects);
    }
}

/// What a hooked function of [`EVENTS`] is about to do: its number above an address.
pub(crate) extern "C" fn event(word: u64) {
    let (number, address) = (word >> SIZE_BITS, (word & ((1 << SIZE_BITS) - 1)) as usize);
    let (Some(thread), Some(process)) = (thread::own_or_new(), process::process()) else {
        return;
    };
    // SAFETY: the state is the calling thread's.
    let live = unsafe { &mut *thread.live() };
    if number == 0 {
        live.last_object = EXPECTED;
        return;
    }
    live.last_object = 0;
    cold_section(|| {
        process.regions.with(|state| {
            settle(process, state, thread);
            let page = state.page_of(address);
            state.threads.entry(thread.number()).or_default().page = page;
        });
    });
}
