//! The walk where it is not plain: the root of the stack, signal frames, frames that need more
//! registers than rsp and rbp, code without unwind information, changes of the stack, and stacks that
//! are not the thread's own.
//!
//! On the thread's own stack the bounds are known. Elsewhere (coroutines, alternate signal stacks)
//! each further page is first asked about (`is_readable`), so that a wrong frame pointer
//! leads to a shorter stack and not to a fault. In a program that has given up even that call
//! ([`crate::confined`]) such a stack ends at the first page that would have to be asked about.
//!
//! May run at any moment; deriving a rule opens a cold section of its own.

use super::call::{self, is_readable};
use super::guess::Guess;
use super::registers::{self, FP, Registers};
use super::row::{Fault, Saved};
use super::rule::{Rule, Special};
use super::walk::{Regs, pack};
use super::{EXACT, Frames, LONGEST_WALK, registry, row_table, table};
use crate::arch::code;
use crate::arch::rule::strip;
use crate::{process, stack, thread};
use skipheap_format::layout::{
    CUT_NO_UNWIND_INFO, CUT_TOO_DEEP, CUT_UNPROVED, CUT_UNREADABLE, CUT_UNSUPPORTED, MOST_FRAMES,
};

const PAGE: u64 = 4096;

/// The rule for a key, derived when it is new.
#[cold]
#[inline(never)]
pub(crate) fn rule_for(key: u64) -> Rule {
    if let Some(rule) = table::lookup_anywhere(key) {
        return rule;
    }
    thread::cold_section(|| {
        let process = process::process()?;
        Some(registry(process)?.derive(process, key))
    })
    .flatten()
    .unwrap_or(Rule::special(Special::Cut))
}

/// Memory of the stack being walked.
struct Memory {
    /// Readable without asking: from here ...
    lo: u64,
    /// ... to here.
    hi: u64,
    /// Whether `lo..hi` are the bounds of the thread's own stack.
    own: bool,
}

impl Memory {
    /// Around a stack pointer that is itself in use, and so readable.
    fn around(sp: u64) -> Self {
        match stack::own_bounds(sp as usize) {
            Some(bounds) => Self {
                lo: sp,
                hi: bounds.hi as u64,
                own: true,
            },
            None => Self {
                lo: sp,
                hi: (sp | (PAGE - 1)) + 1,
                own: false,
            },
        }
    }

    fn read(&mut self, address: u64) -> Option<u64> {
        if address < self.lo || !address.is_multiple_of(8) {
            return None;
        }
        if address >= self.hi {
            if self.own || !is_readable(address) {
                return None;
            }
            // Only upwards and page by page, so that a gap in between is noticed.
            if address >= self.hi + PAGE {
                // SAFETY: the page was just found readable; nothing is remembered about it.
                return Some(unsafe { *(address as *const u64) });
            }
            self.hi += PAGE;
        }
        // SAFETY: lo <= address < hi, aligned, and that range is readable: it is the live part of a
        // stack, in whole words.
        Some(unsafe { *(address as *const u64) })
    }

    /// Reads a word at any address.
    fn read_anywhere(&mut self, address: u64) -> Option<u64> {
        self.read(address).or_else(|| call::word_at(address))
    }
}

/// Goes on from where the hot path stopped, on the thread's own stack. `entry` is that of the
/// recorded call.
#[cold]
#[inline(never)]
pub(crate) fn go_on(
    regs: Regs,
    entry: *const u64,
    hi: u64,
    ids: [u64; 4],
    taken: usize,
    last: u64,
) -> Frames {
    Walk {
        climb: Climb::on_own_stack(regs, entry, hi),
        ids,
        taken,
        last,
    }
    .run()
}

/// Walks a stack that need not be the thread's own.
///
/// # Safety
/// `entry` points at the return address of a call that has not returned.
#[cold]
#[inline(never)]
pub(crate) unsafe fn walk_anywhere(entry: *const u64, bp: u64) -> Frames {
    Walk {
        // SAFETY: as the caller promises.
        climb: unsafe { Climb::anywhere(entry, bp) },
        ids: [0; 4],
        taken: 0,
        last: 0,
    }
    .run()
}

/// The innermost four frames, as they are met on a climb.
struct Walk {
    climb: Climb,
    ids: [u64; 4],
    taken: usize,
    /// The key before, of which direct recursion is a repetition.
    last: u64,
}

impl Walk {
    fn run(mut self) -> Frames {
        for _ in 0..LONGEST_WALK {
            let key = self.climb.key();
            let rule = rule_for(key);
            let counts =
                !rule.is_transparent() && rule.kind() != Some(Special::Signal) && key != self.last;
            self.last = key;
            if counts && !self.take(rule) {
                return pack(self.ids);
            }
            if let Err(marker) = self.climb.step(rule) {
                self.end(rule, u64::from(marker));
                return pack(self.ids);
            }
        }
        if let Some(slot) = self.ids.get_mut(self.taken) {
            *slot = u64::from(CUT_TOO_DEEP);
        }
        pack(self.ids)
    }

    /// Notes how a stack of fewer than four frames ends: `marker` says where it was cut. Behind a
    /// root, its own id fills the rest, as [`crate::hot`] sees it, which finds a root's caller in the
    /// root again.
    fn end(&mut self, rule: Rule, marker: u64) {
        let (taken, rest) = self.ids.split_at_mut(self.taken.min(4));
        if marker != 0 {
            if let Some(slot) = rest.first_mut() {
                *slot = marker;
            }
        } else if rule.kind() == Some(Special::End)
            && let Some(&root) = taken.last()
        {
            rest.fill(root);
        }
    }

    /// Counts the frame; false when it was the last one that is wanted.
    fn take(&mut self, rule: Rule) -> bool {
        if let Some(slot) = self.ids.get_mut(self.taken) {
            *slot = rule.frame();
        }
        self.taken += 1;
        self.taken < self.ids.len()
    }
}

/// The way up a stack, of any kind of steps.
///
/// rsp and rbp are followed, and the other registers only once a frame needs one: the climb begins
/// anew then, with all registers of the recorded call.
pub(crate) struct Climb {
    regs: Registers,
    memory: Memory,
    /// The return address was interrupted by a signal: it is the address of an instruction.
    exact: bool,
    start: Start,
}

/// Where all registers are known.
#[derive(Clone, Copy)]
enum Start {
    /// In the recorded call, whose return address lies there.
    Call(*const u64),
    /// In the code that a signal interrupted, of which this is the kernel's frame.
    Signal(u64),
    /// They are known here, as far as that can be.
    Here,
}

impl Climb {
    /// On the thread's own stack, which ends at `hi`. `entry` points at the return address of the
    /// recorded call.
    pub(crate) fn on_own_stack(regs: Regs, entry: *const u64, hi: u64) -> Self {
        Self {
            regs: Registers::of_frame(regs.ra, regs.sp, regs.bp),
            memory: Memory {
                lo: entry as u64,
                hi,
                own: true,
            },
            exact: false,
            start: Start::Call(entry),
        }
    }

    /// On a stack that need not be the thread's own.
    ///
    /// # Safety
    /// `entry` points at the return address of a call that has not returned.
    pub(crate) unsafe fn anywhere(entry: *const u64, bp: u64) -> Self {
        // SAFETY: `entry` is readable, as the caller promises.
        let ra = unsafe { *entry };
        Self {
            regs: Registers::of_frame(ra, entry as u64 + 8, bp),
            memory: Memory::around(entry as u64),
            exact: false,
            start: Start::Call(entry),
        }
    }

    /// The registers of the frame that it has come to.
    pub(crate) fn regs(&self) -> Regs {
        Regs {
            ra: self.regs.ra(),
            sp: self.regs.sp(),
            bp: self.regs.bp(),
        }
    }

    /// The key of the frame's rule.
    fn key(&self) -> u64 {
        if self.exact {
            self.regs.ra() | EXACT
        } else {
            self.regs.ra()
        }
    }

    /// The frame's rule.
    pub(crate) fn rule(&self) -> Rule {
        rule_for(self.key())
    }

    /// Moves to the caller. Error: what to write in place of the next frame.
    pub(crate) fn step(&mut self, rule: Rule) -> Result<(), u32> {
        match rule.kind() {
            None | Some(Special::LateBp(_) | Special::Deref(_))
                if matches!(self.start, Start::Here) && self.has_row() =>
            {
                self.by_row()
            }
            None => self.plain(rule),
            Some(Special::End) => Err(0),
            Some(Special::Cut) => Err(CUT_UNSUPPORTED),
            Some(Special::Row) => self.by_row(),
            Some(Special::Guess) => self.along_frame_pointer(false),
            Some(Special::FramePointer) => self.along_frame_pointer(true),
            Some(Special::Signal) => self.signal(),
            Some(Special::LateBp(offset)) => {
                let cfa = self.regs.bp().wrapping_add_signed(offset);
                let ra_at = cfa.wrapping_sub(8);
                self.look_at(cfa, ra_at)?;
                let bp = self.read(cfa.wrapping_sub(16))?;
                self.arrive(cfa, ra_at, bp)
            }
            Some(Special::Deref(offset)) => {
                let cfa = self.read(self.regs.bp().wrapping_add_signed(offset))?;
                let bp = self.read(self.regs.bp())?;
                let ra_at = cfa.wrapping_sub(8);
                self.look_at(cfa, ra_at)?;
                self.arrive(cfa, ra_at, bp)
            }
        }
    }

    fn read(&mut self, address: u64) -> Result<u64, u32> {
        self.memory.read(address).ok_or(CUT_UNREADABLE)
    }

    /// Prepares for the frame that ends at `cfa`, with its return address at `ra_at`, if that is on another
    /// stack: unwind information may lead there, as it does from a stack that a function has changed to
    /// and back.
    fn look_at(&mut self, cfa: u64, ra_at: u64) -> Result<(), u32> {
        let is_outward = cfa > self.regs.sp() && (!self.memory.own || cfa <= self.memory.hi);
        if is_outward {
            return Ok(());
        }
        let lo = cfa.wrapping_sub(16).min(ra_at.wrapping_sub(8));
        if !cfa.is_multiple_of(8) || !is_readable(lo) || !is_readable(cfa - 8) {
            return Err(CUT_UNREADABLE);
        }
        self.memory = Memory::around(lo);
        // A wild frame pointer leads nowhere.
        let ra = strip(self.read(ra_at)?);
        if call::is_before(ra) {
            Ok(())
        } else {
            Err(CUT_UNREADABLE)
        }
    }

    fn arrive(&mut self, cfa: u64, ra_at: u64, bp: u64) -> Result<(), u32> {
        let ra = strip(self.read(ra_at)?);
        self.regs = Registers::of_frame(ra, cfa, bp);
        self.exact = false;
        // Some start routines push a return address of zero as the end of the stack.
        if ra == 0 { Err(0) } else { Ok(()) }
    }

    fn plain(&mut self, rule: Rule) -> Result<(), u32> {
        let cfa = rule.cfa(self.regs.sp(), self.regs.bp());
        let (ra_at, bp_at) = rule.places(self.regs(), cfa);
        self.look_at(cfa, ra_at)?;
        let bp = if rule.saves_bp() {
            self.read(bp_at)?
        } else {
            self.regs.bp()
        };
        self.arrive(cfa, ra_at, bp)
    }

    fn has_row(&self) -> bool {
        row_table::of(self.key()).is_some()
    }

    /// Steps by the row of the frame, with all registers.
    #[inline(never)]
    fn by_row(&mut self) -> Result<(), u32> {
        let row = row_table::of(self.key()).ok_or(CUT_UNSUPPORTED)?;
        let memory = &mut self.memory;
        let caller = match row.caller(&self.regs, &mut |at| memory.read_anywhere(at)) {
            Err(Fault::UnknownRegister) if !matches!(self.start, Start::Here) => {
                self.begin_anew()?;
                return self.by_row();
            }
            Err(Fault::NoCaller) => return Err(0),
            Err(Fault::Unreadable) => return Err(CUT_UNREADABLE),
            Err(Fault::UnknownRegister | Fault::Unsupported) => return Err(CUT_UNSUPPORTED),
            Ok(caller) => caller,
        };
        // It may be kept in a register that was not followed.
        let lacks_bp = caller.get(FP).is_none() && row.saved[FP as usize] != Saved::Undefined;
        if lacks_bp && !matches!(self.start, Start::Here) {
            self.begin_anew()?;
            return self.by_row();
        }
        let sp = caller.sp();
        let is_outward = sp > self.regs.sp() && (!self.memory.own || sp <= self.memory.hi);
        if !is_outward {
            if !is_readable(sp.wrapping_sub(8)) || !call::is_before(caller.ra()) {
                return Err(CUT_UNREADABLE);
            }
            self.memory = Memory::around(sp.wrapping_sub(8));
        }
        self.regs = caller;
        self.exact = false;
        if caller.ra() == 0 { Err(0) } else { Ok(()) }
    }

    /// Comes to the same frame with all registers that are known there.
    #[cold]
    #[inline(never)]
    fn begin_anew(&mut self) -> Result<(), u32> {
        let mut climb = match self.start {
            Start::Call(entry) => {
                let regs = registers::of_call(entry).ok_or(CUT_UNSUPPORTED)?;
                Self {
                    regs,
                    memory: Memory::around(entry as u64),
                    exact: false,
                    start: Start::Here,
                }
            }
            Start::Signal(frame) => {
                let mut climb = Self {
                    regs: Registers::of_frame(self.regs.ra(), frame, 0),
                    memory: Memory::around(frame),
                    exact: false,
                    start: Start::Here,
                };
                climb.signal()?;
                climb.start = Start::Here;
                climb
            }
            Start::Here => return Err(CUT_UNSUPPORTED),
        };
        for _ in 0..MOST_FRAMES {
            if climb.regs.sp() == self.regs.sp() && climb.key() == self.key() {
                *self = climb;
                return Ok(());
            }
            climb.step(climb.rule())?;
        }
        Err(CUT_TOO_DEEP)
    }

    /// Without unwind information only a chain of frame pointers is left. It is followed where the
    /// code says that it keeps one (`is_kept`), or where it proves itself ([`super::guess`]).
    fn along_frame_pointer(&mut self, is_kept: bool) -> Result<(), u32> {
        const NO_INFO: u32 = CUT_NO_UNWIND_INFO;
        let (address, sp, frame) = (self.regs.ra(), self.regs.sp(), self.regs.bp());
        if !code::RECORD_ENDS_FRAME || frame < sp || !frame.is_multiple_of(8) {
            return Err(NO_INFO);
        }
        // What no call returns to was put there by hand.
        if !self.exact && !call::is_before(address) {
            return Err(NO_INFO);
        }
        let caller = self.memory.read(frame.wrapping_add(8)).ok_or(NO_INFO)?;
        let bp = self.memory.read(frame).ok_or(NO_INFO)?;
        if !call::is_before(caller) {
            return Err(NO_INFO);
        }
        let guess = Guess {
            address,
            sp,
            bp: frame,
            caller,
        };
        let memory = &mut self.memory;
        if !is_kept && !guess.is_proved(&mut |at| memory.read(at)) {
            return Err(CUT_UNPROVED);
        }
        self.regs = Registers::of_frame(caller, frame + 16, bp);
        self.exact = false;
        Ok(())
    }

    /// The kernel's frame, in which registers lie where the ABI fixed them. The interrupted code may have
    /// been on another stack.
    fn signal(&mut self) -> Result<(), u32> {
        let frame = self.regs.sp();
        let mut regs = Registers::NONE;
        let places = (frame + code::SIGNAL_REGISTERS..).step_by(8);
        for (at, number) in places.zip(code::SIGNAL_ORDER) {
            regs.set(number, self.read(at)?);
        }
        let sp = regs.sp();
        if sp == 0 || regs.ra() == 0 || !sp.is_multiple_of(8) || !is_readable(sp) {
            return Err(CUT_UNREADABLE);
        }
        self.memory = Memory::around(sp);
        self.regs = regs;
        self.exact = true;
        self.start = Start::Signal(frame);
        Ok(())
    }
}

/// One step by any rule, on the stack that `regs` are on or up to `hi`: the registers, and whether
/// they are those of an interrupted instruction. `exact`: whether the given ones are.
#[cfg(test)]
pub(crate) fn step_for_tests(
    regs: Regs,
    exact: bool,
    rule: Rule,
    hi: Option<u64>,
) -> Result<(Regs, bool), u32> {
    let memory = hi.map_or_else(
        || Memory::around(regs.sp),
        |hi| Memory {
            lo: regs.sp,
            hi,
            own: true,
        },
    );
    let mut climb = Climb {
        regs: Registers::of_frame(regs.ra, regs.sp, regs.bp),
        memory,
        exact,
        start: Start::Call(core::ptr::null()),
    };
    climb.step(rule)?;
    Ok((climb.regs(), climb.exact))
}
