//! The walk where it is not plain: the root of the stack, signal frames, realigned frames, code
//! without unwind information, and stacks that are not the thread's own.
//!
//! On the thread's own stack the bounds are known. Elsewhere (coroutines, alternate signal stacks)
//! each further page is first asked about ([`sys::is_readable`]), so that a wrong frame pointer
//! leads to a shorter stack and not to a fault. In a program that has given up even that call
//! ([`crate::confined`]) such a stack ends at the first page that would have to be asked about.
//!
//! May run at any moment; deriving a rule opens a cold section of its own.

use super::rule::{Rule, Special};
use super::walk::{Regs, pack};
use super::{EXACT, Frames, LONGEST_WALK, modules, registry, table};
use crate::record::layout::{CUT_NO_UNWIND_INFO, CUT_TOO_DEEP, CUT_UNREADABLE};
use crate::{confined, process, stack, sys, thread};

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
    /// Are `lo..hi` the bounds of the thread's own stack?
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
}

/// Goes on from where the hot path stopped, on the thread's own stack.
#[cold]
#[inline(never)]
pub(crate) fn go_on(regs: Regs, hi: u64, ids: [u64; 4], taken: usize, last: u64) -> Frames {
    Walk {
        climb: Climb::on_own_stack(regs, regs.sp, hi),
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
pub(crate) struct Climb {
    regs: Regs,
    memory: Memory,
    /// `regs.ra` was interrupted by a signal: it is not a return address.
    exact: bool,
}

impl Climb {
    /// On the thread's own stack, which is readable from `lo` to its end `hi`.
    pub(crate) fn on_own_stack(regs: Regs, lo: u64, hi: u64) -> Self {
        let memory = Memory { lo, hi, own: true };
        Self {
            regs,
            memory,
            exact: false,
        }
    }

    /// On a stack that need not be the thread's own.
    ///
    /// # Safety
    /// `entry` points at the return address of a call that has not returned.
    pub(crate) unsafe fn anywhere(entry: *const u64, bp: u64) -> Self {
        let memory = Memory::around(entry as u64);
        // SAFETY: `entry` is readable, as the caller promises.
        let ra = unsafe { *entry };
        let sp = entry as u64 + 8;
        let regs = Regs { ra, sp, bp };
        Self {
            regs,
            memory,
            exact: false,
        }
    }

    /// The registers of the frame that it has come to.
    pub(crate) fn regs(&self) -> Regs {
        self.regs
    }

    /// The key of the frame's rule.
    fn key(&self) -> u64 {
        if self.exact {
            self.regs.ra | EXACT
        } else {
            self.regs.ra
        }
    }

    /// The frame's rule.
    pub(crate) fn rule(&self) -> Rule {
        rule_for(self.key())
    }

    /// Moves to the caller. Error: what to write in place of the next frame.
    pub(crate) fn step(&mut self, rule: Rule) -> Result<(), u32> {
        self.exact = false;
        match rule.kind() {
            None => self.plain(rule),
            Some(Special::End) => Err(0),
            Some(Special::Cut) => Err(CUT_NO_UNWIND_INFO),
            Some(Special::Guess) => self.guess(),
            Some(Special::Signal) => self.signal(),
            Some(Special::LateBp(offset)) => {
                let cfa = self.regs.bp.wrapping_add_signed(offset);
                let bp = self.read(cfa.wrapping_sub(16))?;
                self.arrive(cfa, bp)
            }
            Some(Special::Deref(offset)) => {
                let cfa = self.read(self.regs.bp.wrapping_add_signed(offset))?;
                let bp = self.read(self.regs.bp)?;
                self.arrive(cfa, bp)
            }
        }
    }

    fn read(&mut self, address: u64) -> Result<u64, u32> {
        self.memory.read(address).ok_or(CUT_UNREADABLE)
    }

    fn arrive(&mut self, cfa: u64, bp: u64) -> Result<(), u32> {
        if cfa <= self.regs.sp {
            return Err(CUT_UNREADABLE);
        }
        let ra = self.read(cfa.wrapping_sub(8))?;
        self.regs = Regs { ra, sp: cfa, bp };
        // Some start routines push a return address of zero as the end of the stack.
        if ra == 0 { Err(0) } else { Ok(()) }
    }

    fn plain(&mut self, rule: Rule) -> Result<(), u32> {
        let base = if rule.is_bp_based() {
            self.regs.bp
        } else {
            self.regs.sp
        };
        let cfa = base.wrapping_add(rule.offset());
        if cfa <= self.regs.sp {
            return Err(CUT_UNREADABLE);
        }
        let bp = if rule.saves_bp() {
            self.read(cfa.wrapping_sub(rule.saved_bp_below_cfa()))?
        } else {
            self.regs.bp
        };
        self.arrive(cfa, bp)
    }

    /// Without unwind information only a chain of frame pointers is left. It is followed where it
    /// proves itself: on the thread's own stack, to an address just behind a call instruction of
    /// known code.
    fn guess(&mut self) -> Result<(), u32> {
        const NO_INFO: u32 = CUT_NO_UNWIND_INFO;
        let frame = self.regs.bp;
        if frame < self.regs.sp {
            return Err(NO_INFO);
        }
        let caller = self.memory.read(frame.wrapping_add(8)).ok_or(NO_INFO)?;
        let bp = self.memory.read(frame).ok_or(NO_INFO)?;
        if !follows_a_call(caller) {
            return Err(NO_INFO);
        }
        self.regs = Regs {
            ra: caller,
            sp: frame + 16,
            bp,
        };
        Ok(())
    }

    /// The kernel's frame (`struct rt_sigframe` of arch/x86/include/asm/sigframe.h): rsp points at
    /// the ucontext, whose registers lie where the ABI fixed them. The interrupted code may have
    /// been on another stack.
    fn signal(&mut self) -> Result<(), u32> {
        const RBP: u64 = 120;
        const RSP: u64 = 160;
        const RIP: u64 = 168;
        let frame = self.regs.sp;
        let bp = self.read(frame + RBP)?;
        let sp = self.read(frame + RSP)?;
        let ra = self.read(frame + RIP)?;
        if sp == 0 || ra == 0 || !sp.is_multiple_of(8) || !is_readable(sp) {
            return Err(CUT_UNREADABLE);
        }
        self.memory = Memory::around(sp);
        self.regs = Regs { ra, sp, bp };
        self.exact = true;
        Ok(())
    }
}

/// One step by any rule, on the stack that `regs` are on or up to `hi`: the registers, and whether
/// they are those of an interrupted instruction.
#[cfg(test)]
pub(crate) fn step_for_tests(regs: Regs, rule: Rule, hi: Option<u64>) -> Result<(Regs, bool), u32> {
    let memory = hi.map_or_else(
        || Memory::around(regs.sp),
        |hi| Memory {
            lo: regs.sp,
            hi,
            own: true,
        },
    );
    let mut climb = Climb {
        regs,
        memory,
        exact: false,
    };
    climb.step(rule)?;
    Ok((climb.regs, climb.exact))
}

/// Can the word at an address be read, as far as anybody may be asked?
fn is_readable(address: u64) -> bool {
    !confined::is_strict() && sys::is_readable(address as usize)
}

/// Is there a call instruction that returns to this address?
fn follows_a_call(address: u64) -> bool {
    const LONGEST_CALL: u64 = 7;
    let Some(start) = address.checked_sub(LONGEST_CALL) else {
        return false;
    };
    let is_code = match modules::find(start) {
        Some(_) => modules::is_code(start, address),
        // Code that was made at run time; it may have been unmade since the address was left on the stack.
        None => {
            let words = [start & !7, (address - 1) & !7];
            words.into_iter().all(is_readable)
        }
    };
    if !is_code {
        return false;
    }
    // SAFETY: the seven bytes in front of the address were just found readable.
    let before = unsafe { *(start as *const [u8; LONGEST_CALL as usize]) };
    // E8 rel32, or FF /2 with a ModRM byte of register, memory, disp8 or disp32 form.
    before[2] == 0xe8
        || (2..=7).any(|len| {
            let start = before.len() - len;
            before.get(start) == Some(&0xff)
                && before
                    .get(start + 1)
                    .is_some_and(|modrm| modrm >> 3 & 7 == 2)
        })
}
