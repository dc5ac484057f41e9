//! The registers of a frame, as far as they are known.
//!
//! The hot path follows rsp and rbp alone. Where a frame needs another register, those of the
//! recorded call are found anew: the library's own frames, which lie between that call and here,
//! have kept them, and say where.
//!
//! May run at any moment.

use super::modules;
use super::row_table;
use crate::arch::{CAPTURED, RegisterSet, capture};
pub(crate) use crate::arch::{COUNT, FP, RA, SP};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The registers of a frame: those after the return to [`Registers::ra`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    values: [u64; COUNT],
    /// One bit for each register whose value is known. rsp and the return address always are.
    known: RegisterSet,
}

impl Registers {
    /// Nothing is known.
    pub(crate) const NONE: Self = Self {
        values: [0; COUNT],
        known: 0,
    };

    /// What plain unwinding knows of a frame.
    pub(crate) fn of_frame(ra: u64, sp: u64, bp: u64) -> Self {
        let mut regs = Self::NONE;
        regs.set(RA, ra);
        regs.set(SP, sp);
        regs.set(FP, bp);
        regs
    }

    /// The value of the register with this DWARF number.
    pub(crate) fn get(&self, number: u8) -> Option<u64> {
        let value = *self.values.get(usize::from(number))?;
        (self.known >> number & 1 != 0).then_some(value)
    }

    /// Notes a register's value.
    pub(crate) fn set(&mut self, number: u8, value: u64) {
        if let Some(place) = self.values.get_mut(usize::from(number)) {
            *place = value;
            self.known |= 1 << number;
        }
    }

    /// The return address.
    pub(crate) fn ra(&self) -> u64 {
        self.values[RA as usize]
    }

    /// The stack pointer.
    pub(crate) fn sp(&self) -> u64 {
        self.values[SP as usize]
    }

    /// The frame pointer; 0, which is no frame's, where it is not known.
    pub(crate) fn bp(&self) -> u64 {
        self.get(FP).unwrap_or(0)
    }
}

/// The registers of whoever called the function that is being recorded: all that a call preserves.
///
/// To be called below that call. `entry` points at its return address; null says that there is none.
#[inline(never)]
pub(crate) fn of_call(entry: *const u64) -> Option<Registers> {
    /// Most frames of our own in between.
    const MOST_OWN: u32 = 64;
    let own = own_code().filter(|_| !entry.is_null())?;
    let mut regs = Registers::NONE;
    // SAFETY: there is room for each register that it writes.
    unsafe { capture(&mut regs.values) };
    for number in CAPTURED {
        regs.known |= 1 << number;
    }
    for _ in 0..MOST_OWN {
        if !own.contains(&regs.ra()) {
            return None;
        }
        let row = row_table::of(regs.ra())?;
        // SAFETY: a frame of our own has saved registers where its unwind information says, on a
        // stack that is in use.
        let mut read = |at: u64| Some(unsafe { *(at as *const u64) });
        regs = row.caller(&regs, &mut read).ok()?;
        if regs.sp() == entry as u64 + 8 {
            return Some(regs);
        }
    }
    None
}

/// Where this library is mapped.
fn own_code() -> Option<core::ops::Range<u64>> {
    static START: AtomicU64 = AtomicU64::new(0);
    static END: AtomicU64 = AtomicU64::new(0);
    if END.load(Relaxed) == 0 {
        let found = modules::find(own_code as *const () as u64)?;
        START.store(found.start, Relaxed);
        END.store(found.end, Relaxed);
    }
    Some(START.load(Relaxed)..END.load(Relaxed))
}
