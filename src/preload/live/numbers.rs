//! The sites' records by number: what a shadow keeps of a block has no room for an address.
//!
//! A record has its number in itself ([`LiveRecord::number`]), which its place gets from 1 on when a
//! thread takes a chunk of places. The way back is an array of addresses, which is copied into one twice as large when it is
//! full; the old one stays mapped, since a thread may be reading it. So it does in a child of fork, where
//! what a signal handler interrupted may still look for its parent's records.
//!
//! [`Numbers::record`] may run at any moment, the rest in cold sections.

use super::clock::NUMBER_BITS;
use super::table::ENTRY_BITS;
use crate::heap::SpinLock;
use crate::recording::Full;
use crate::sys;
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::*};
use skipheap_format::layout::{LiveRecord, SiteRecord};

/// Addresses in the first array, 4 KiB.
const FIRST: usize = 512;
/// Records that a shadow has numbers for.
const MOST: usize = 1 << (ENTRY_BITS - NUMBER_BITS);

/// The records of a process by number. All zeros is none.
#[repr(C)]
pub(crate) struct Numbers {
    lock: SpinLock,
    /// Invariant: null, or addresses that are never unmapped, of the records up to the last number.
    records: AtomicPtr<*mut SiteRecord>,
    own: UnsafeCell<Room>,
}

struct Room {
    /// The last number.
    used: usize,
    /// Addresses that the array has room for.
    len: usize,
}

impl Numbers {
    /// The array in which a record of this process is found, see [`Self::record`].
    #[inline(always)]
    pub(super) fn array(&self) -> *const *mut SiteRecord {
        self.records.load(Relaxed)
    }

    /// The record of a number.
    ///
    /// # Safety
    /// The number is of a record of the process that the array is of.
    #[inline(always)]
    pub(super) unsafe fn record(array: *const *mut SiteRecord, number: u64) -> *mut SiteRecord {
        // SAFETY: by the invariant, for a number of that process.
        unsafe { *array.add(number as usize) }
    }

    /// Gives the places of a new chunk, which nobody else has seen, their numbers: a record that is
    /// made there later needs nothing that other threads have. `len` is that of a place.
    ///
    /// # Safety
    /// There are `count` places from `first` on, each with room for a [`LiveRecord`] behind the site's.
    pub(crate) unsafe fn add_all(
        &self,
        first: *mut u8,
        len: usize,
        count: usize,
    ) -> Result<(), Full> {
        let _guard = self.lock.lock();
        // SAFETY: the lock makes this the only reference.
        let room = unsafe { &mut *self.own.get() };
        if room.used + count >= MOST {
            return Err(Full::TooLong);
        }
        while room.used + count >= room.len {
            self.grow(room)?;
        }
        let array = self.records.load(Relaxed);
        for place in 0..count {
            let number = room.used + 1 + place;
            // SAFETY: the array has room for the number; the place is one of the caller's.
            unsafe {
                let record: *mut SiteRecord = first.add(place * len).cast();
                array.add(number).write(record);
                let live: *mut LiveRecord = record.add(1).cast();
                (&raw mut (*live).number).write_volatile(number as u32);
            }
        }
        room.used += count;
        Ok(())
    }

    fn grow(&self, room: &mut Room) -> Result<(), Full> {
        let len = (room.len * 2).max(FIRST);
        let fresh: *mut *mut SiteRecord = sys::map_private(len * size_of::<usize>()).cast();
        if fresh.is_null() {
            return Err(Full::NoMemory);
        }
        let old = self.records.load(Relaxed);
        if !old.is_null() {
            // SAFETY: the old array has that many addresses, the new one more.
            unsafe { ptr::copy_nonoverlapping(old, fresh, room.len) };
        }
        self.records.store(fresh, Release);
        room.len = len;
        Ok(())
    }
}

const _: () = assert!(MOST as u64 <= 1 << u32::BITS);
