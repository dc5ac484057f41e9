//! The rules that were derived so far, by return address: one table for all threads.
//!
//! A reader takes no lock and writes nothing. A slot's key is written once and stays; its rule is
//! one atomic word that can be emptied (the module was unloaded) and set again. A table that gets
//! too full is copied into a larger one; the old one stays mapped, since a thread may be reading
//! it: all old ones together are smaller than the current one. While the loader unmaps a module, an
//! empty table stands in, so that every lookup goes the careful way.
//!
//! `View::lookup` runs on the hot path, at any moment; the rest in cold sections.

use super::rule::Rule;
use crate::heap::SpinLock;
use crate::sys;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering::*};

/// A slot. A key of 0 is free: no function returns to address 0.
#[repr(C, align(16))]
pub(crate) struct Slot {
    key: AtomicU64,
    rule: AtomicU64,
}

/// What lies in front of a table's first slot.
#[repr(C, align(64))]
struct Head {
    /// Words of the slots, less one slot's: a mask for indexes of words. (Counted in words, an index
    /// is scaled by the load itself, and one shift less lies in the chain of a walk's loads.)
    mask: u64,
    len: AtomicU64,
}

/// How far in front of the first slot the mask lies.
pub(crate) const HEAD: usize = size_of::<Head>() - offset_of!(Head, mask);

#[repr(C)]
struct Empty {
    head: Head,
    slots: [Slot; 1],
}

static EMPTY: Empty = Empty {
    head: Head {
        mask: 0,
        len: AtomicU64::new(0),
    },
    slots: [Slot {
        key: AtomicU64::new(0),
        rule: AtomicU64::new(0),
    }],
};

/// The slots of the table without any, by way of the whole: the head in front is read through it.
const NO_SLOTS: *mut Slot = (&raw const EMPTY)
    .wrapping_byte_add(offset_of!(Empty, slots))
    .cast::<Slot>()
    .cast_mut();

/// What walks read. Invariant: points at the first slot of a table that is never unmapped.
pub(crate) static TABLE: AtomicPtr<Slot> = AtomicPtr::new(NO_SLOTS);
/// The table that holds the rules; the same as TABLE but while a module is being unloaded. Same
/// invariant.
static MAIN: AtomicPtr<Slot> = AtomicPtr::new(NO_SLOTS);
/// How many threads are unloading a module right now.
static SUSPENDED: AtomicU32 = AtomicU32::new(0);

/// How often rules were forgotten, or the table taken away or given back: what was found by rules before
/// may be found no more.
pub(crate) static GENERATION: AtomicU64 = AtomicU64::new(0);

/// Changes whenever a rule that was found once may have become another.
#[inline(always)]
pub(crate) fn generation() -> u64 {
    GENERATION.load(Acquire)
}

/// Slots of the first table: 64 KiB, of which only what is used becomes real.
const FIRST_SLOTS: u64 = 4096;
/// At most this many slots (256 MiB): programs that make code without end are served the careful
/// way from there on.
const MOST_SLOTS: u64 = 1 << 24;

/// A table and its mask, for the time of one walk.
#[derive(Clone, Copy)]
pub(crate) struct View {
    slots: *const Slot,
    mask: u64,
}

/// The table for a walk.
#[inline(always)]
pub(crate) fn view() -> View {
    view_of(&TABLE)
}

#[inline(always)]
fn view_of(table: &AtomicPtr<Slot>) -> View {
    let slots = table.load(Acquire);
    // SAFETY: by the invariant of the tables a Head lies in front of the slots.
    let mask = unsafe { (*slots.cast::<Head>().sub(1)).mask };
    View { slots, mask }
}

impl View {
    /// The index, in words, of a key's own slot.
    #[inline(always)]
    fn home(self, key: u64) -> u64 {
        // The low bits of return addresses are spread well enough; a multiplication would lengthen
        // the chain of dependent loads of a walk.
        key & self.mask
    }

    /// The slot at an index.
    #[inline(always)]
    fn slot(self, index: u64) -> &'static Slot {
        // SAFETY: a masked index is that of a slot of the table, which is never unmapped.
        unsafe { &*self.slots.byte_add(index as usize * 8) }
    }

    /// The index of the slot behind another.
    #[inline(always)]
    fn next(self, index: u64) -> u64 {
        (index + 2) & self.mask
    }

    /// The rule for a return address.
    #[inline(always)]
    pub(crate) fn lookup(self, key: u64) -> Option<Rule> {
        let mut index = self.home(key);
        loop {
            let slot = self.slot(index);
            match slot.key.load(Acquire) {
                found if found == key => return Some(Rule(slot.rule.load(Relaxed))),
                0 => return None,
                // A table is never full, so a free slot ends the search.
                _ => index = self.next(index),
            }
        }
    }

    /// The slot of `key`, or the free one where it would go; `None` in a full table.
    fn find(self, key: u64) -> Option<&'static Slot> {
        let mut index = self.home(key);
        for _ in 0..=self.mask / 2 {
            let slot = self.slot(index);
            let found = slot.key.load(Acquire);
            if found == key || found == 0 {
                return Some(slot);
            }
            index = self.next(index);
        }
        None
    }

    fn slots(self) -> &'static [Slot] {
        // SAFETY: a table has mask / 2 + 1 slots and is never unmapped.
        unsafe { core::slice::from_raw_parts(self.slots, (self.mask / 2 + 1) as usize) }
    }

    fn len(self) -> &'static AtomicU64 {
        // SAFETY: as in `view`.
        unsafe { &(*self.slots.cast::<Head>().sub(1)).len }
    }
}

/// The rule for a return address, wherever in the table it lies; `None` when there is none (yet, or
/// no more), or when it cannot be trusted because a module is just being unloaded.
pub(crate) fn lookup_anywhere(key: u64) -> Option<Rule> {
    if SUSPENDED.load(Acquire) != 0 {
        return None;
    }
    let slot = view_of(&MAIN).find(key)?;
    let rule = slot.rule.load(Acquire);
    (slot.key.load(Acquire) == key && rule != 0).then_some(Rule(rule))
}

fn make(slots: u64) -> Option<View> {
    let head =
        sys::map_private(size_of::<Head>() + slots as usize * size_of::<Slot>()).cast::<Head>();
    if head.is_null() {
        return None;
    }
    // SAFETY: the mapping is fresh, zeroed and large enough.
    unsafe {
        (*head).mask = (slots - 1) * 2;
        Some(View {
            slots: head.add(1).cast(),
            mask: (*head).mask,
        })
    }
}

/// Keeps `rule` for `key`. Without memory for a larger table the rule is not kept, and derived anew
/// each time.
pub(crate) fn insert(lock: &SpinLock, key: u64, rule: Rule) {
    let _guard = lock.lock();
    let mut table = view_of(&MAIN);
    let slots = table.mask / 2 + 1;
    if ptr::eq(table.slots, NO_SLOTS) || table.len().load(Relaxed) * 2 >= slots {
        let larger = (slots * 2).max(FIRST_SLOTS);
        if larger > MOST_SLOTS {
            return;
        }
        let Some(new) = make(larger) else { return };
        let mut len = 0;
        for slot in table.slots() {
            let (key, rule) = (slot.key.load(Relaxed), slot.rule.load(Relaxed));
            if rule != 0
                && let Some(to) = new.find(key)
            {
                to.rule.store(rule, Relaxed);
                to.key.store(key, Relaxed);
                len += 1;
            }
        }
        new.len().store(len, Relaxed);
        MAIN.store(new.slots.cast_mut(), Release);
        if SUSPENDED.load(Relaxed) == 0 {
            TABLE.store(new.slots.cast_mut(), Release);
        }
        table = new;
    }
    if let Some(slot) = table.find(key) {
        slot.rule.store(rule.0, Release);
        if slot.key.swap(key, AcqRel) != key {
            table.len().fetch_add(1, Relaxed);
        }
    }
}

/// Empties the rules of all return addresses in `start..end`.
pub(crate) fn forget(lock: &SpinLock, start: u64, end: u64) {
    let _guard = lock.lock();
    for slot in view_of(&MAIN).slots() {
        // A return address may be one past the last byte of a module's code.
        let key = slot.key.load(Relaxed) & !super::EXACT;
        if start <= key && key <= end {
            slot.rule.store(0, Release);
        }
    }
    super::row_table::forget(start, end);
    GENERATION.fetch_add(1, AcqRel);
}

/// Sends every walk the careful way until [`resume`].
pub(crate) fn suspend(lock: &SpinLock) {
    let _guard = lock.lock();
    SUSPENDED.fetch_add(1, AcqRel);
    TABLE.store(NO_SLOTS, Release);
    GENERATION.fetch_add(1, AcqRel);
}

/// Ends what [`suspend`] began.
pub(crate) fn resume(lock: &SpinLock) {
    let _guard = lock.lock();
    if SUSPENDED.fetch_sub(1, AcqRel) == 1 {
        TABLE.store(MAIN.load(Relaxed), Release);
    }
    GENERATION.fetch_add(1, AcqRel);
}

/// Starts with an empty table, in a process that has just begun.
pub(crate) fn reset() {
    SUSPENDED.store(0, Relaxed);
    GENERATION.fetch_add(1, AcqRel);
    for table in [&MAIN, &TABLE] {
        table.store(NO_SLOTS, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unwind::Special;

    #[test]
    fn rules_survive_growth_and_are_forgotten_by_range() {
        let _turn = crate::testing::rules_in_turn();
        let lock = SpinLock::new();
        reset();
        let rule = |key: u64| Rule::special(Special::LateBp(8)).with_frame(key as u32);
        // Keys that collide in their low bits, so that probing is exercised.
        let keys: Vec<u64> = (1..20_000_u64)
            .map(|i| (i % 300) + (i / 300) * 0x1_0000_0000)
            .collect();
        for &key in &keys {
            insert(&lock, key + 1, rule(key));
        }
        for &key in &keys {
            assert_eq!(lookup_anywhere(key + 1), Some(rule(key)));
            assert!(
                view()
                    .lookup(key + 1)
                    .is_none_or(|found| found == rule(key))
            );
        }
        assert_eq!(lookup_anywhere(0x7777_7777_7777), None);
        forget(&lock, 0x1_0000_0000, 0x1_ffff_ffff);
        for &key in &keys {
            let gone = (0x1_0000_0000..=0x1_ffff_ffff).contains(&(key + 1));
            assert_eq!(lookup_anywhere(key + 1), (!gone).then(|| rule(key)));
        }
        insert(&lock, 0x1_0000_0001, rule(5));
        assert_eq!(lookup_anywhere(0x1_0000_0001), Some(rule(5)));
        reset();
        assert_eq!(lookup_anywhere(0x1_0000_0001), None);
    }

    #[test]
    fn readers_never_see_the_rule_of_another_address() {
        const KEYS: u64 = if cfg!(miri) { 60 } else { 16_000 };
        const FORGOTTEN: core::ops::Range<u64> = 1 << 32..2 << 32;
        let rule =
            |key: u64| Rule::special(Special::LateBp((key % 64 * 8) as i64)).with_frame(key as u32);
        // Several in each place.
        let layer = KEYS / 4;
        let key = move |i: u64| (i % layer * 16 + 1) | (i / layer) << 32;
        let _turn = crate::testing::rules_in_turn();
        let lock = SpinLock::new();
        reset();
        let done = AtomicU32::new(0);
        let (lock, done) = (&lock, &done);
        let seen: u64 = std::thread::scope(|scope| {
            // One that adds, growing the table; one that forgets, and takes the table away.
            scope.spawn(move || {
                let rounds = if cfg!(miri) { 2 } else { 20 };
                for i in (0..rounds).flat_map(|_| 0..KEYS) {
                    insert(lock, key(i), rule(key(i)));
                }
                done.fetch_add(1, Release);
            });
            scope.spawn(move || {
                while done.load(Acquire) == 0 {
                    suspend(lock);
                    forget(lock, FORGOTTEN.start, FORGOTTEN.end);
                    std::thread::yield_now();
                    resume(lock);
                }
                done.fetch_add(1, Release);
            });
            let reader = move |first: u64| {
                let mut seen = 0;
                let mut i = first;
                let mut looks = 0;
                // Some of it when all is there to stay, so that something is seen in any case.
                while looks < KEYS {
                    looks += u64::from(done.load(Acquire) == 2);
                    i = (i + 7) % KEYS;
                    let wanted = rule(key(i));
                    for found in [view().lookup(key(i)), lookup_anywhere(key(i))] {
                        // What was forgotten reads as no rule.
                        assert!(found.is_none_or(|found| found == wanted || found.0 == 0));
                        seen += u64::from(found == Some(wanted));
                    }
                }
                seen
            };
            let readers = [0, 3].map(|first| scope.spawn(move || reader(first)));
            readers
                .map(|reader| reader.join().unwrap())
                .into_iter()
                .sum()
        });
        assert!(seen > 0);
        for i in 0..KEYS {
            let forgotten = FORGOTTEN.contains(&key(i));
            let found = lookup_anywhere(key(i));
            assert!(found == Some(rule(key(i))) || (forgotten && found.is_none()));
        }
        reset();
    }
}
