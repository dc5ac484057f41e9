//! The walk to the root of a stack, which ends where the last stack of the thread has not changed.
//!
//! Steps are those of [`crate::unwind::walk`], and of the careful walk where they are not plain.
//!
//! May run at any moment, also in a signal handler that interrupted it.

use super::last::{Found, Last, NEVER, NO_ROOM, Seen};
use super::{MOST, Stack};
use crate::record::layout::{CUT_NO_UNWIND_INFO, CUT_TOO_DEEP};
use crate::unwind::{self, Climb, Regs, Rule, Special};

/// Walks the thread's own stack.
///
/// `entry` points at the return address into the caller, `bp` is its frame pointer.
///
/// # Safety
/// The memory from `entry` to the end of the stack, which `last` knows, is readable; `last` is
/// this thread's.
#[inline(always)]
pub(super) unsafe fn own(last: *mut Last, entry: *const u64, bp: u64) -> Stack {
    // SAFETY: as the caller promises; a signal handler that changes what `last` points to leaves the memory in
    // place, and the caller does not use the result then.
    unsafe {
        let rules = unwind::generation();
        let table = unwind::rules();
        let hi = (*last).hi();
        let mut regs = Regs {
            ra: *entry,
            sp: entry as u64 + 8,
            bp,
        };
        let mut taken = 0;
        let mut depth = (*last).depth(rules);
        let mut usable = rules;
        let marker = loop {
            depth = (*last).not_below(depth, regs.sp);
            match (*last).compare(depth, regs, taken) {
                Some(Found::Rest(depth)) => {
                    if taken == 0 {
                        return (*last).stack(depth);
                    }
                    return (*last).keep(depth, taken, usable);
                }
                Some(Found::Changed { same }) => {
                    (regs, taken) = take_over(last, depth, same, regs, taken);
                    depth = depth.saturating_sub(same + 1);
                }
                None => {}
            }
            if taken >= MOST {
                break CUT_TOO_DEEP;
            }
            let rule = table.lookup(regs.ra).unwrap_or(Rule(0));
            let seen = Seen {
                sp: regs.sp,
                ra: regs.ra,
                bp: regs.bp,
                rule,
            };
            (*last).take(taken, seen);
            taken += 1;
            if rule.is_special() && !rule.is_transparent() {
                match special(last, &mut regs, entry, hi, &mut taken, &mut usable) {
                    Ok(()) => continue,
                    Err(marker) => break marker,
                }
            }
            if let Err(stuck) = unwind::step(&mut regs, rule, hi) {
                break stuck.marker();
            }
        };
        (*last).start_from(marker);
        (*last).keep(0, taken, usable)
    }
}

/// Takes frames of the last stack for those of this walk, and goes on behind them. Where rbp is not used, it may be
/// another than it was, so the steps are made again; the rules need not be looked up.
///
/// # Safety
/// As [`own`]; `depth` is at most [`MOST`], and `same` less.
#[cold]
#[inline(never)]
unsafe fn take_over(
    last: *mut Last,
    depth: usize,
    same: usize,
    mut regs: Regs,
    mut taken: usize,
) -> (Regs, usize) {
    for i in 0..same.min(MOST - taken) {
        // SAFETY: as the caller promises; no more are taken than there is room for.
        unsafe {
            let rule = (*last).seen(depth - i).rule;
            let Regs { ra, sp, bp } = regs;
            if rule.kind().is_some() || unwind::step(&mut regs, rule, (*last).hi()).is_err() {
                break;
            }
            (*last).take(taken, Seen { sp, ra, bp, rule });
            taken += 1;
        }
    }
    (regs, taken)
}

/// What of a rule is kept with a frame.
fn kept(rule: Rule) -> Rule {
    if rule.kind() == Some(Special::Signal) {
        rule.with_frame(0)
    } else if rule.frame() == 0 && !rule.is_transparent() {
        rule.with_frame(NO_ROOM)
    } else {
        rule
    }
}

/// Makes a step that is not plain, or for which there is no rule yet, from the frame that was taken last. Error: what
/// stands in place of the next frame.
///
/// # Safety
/// As [`own`].
#[cold]
#[inline(never)]
unsafe fn special(
    last: *mut Last,
    regs: &mut Regs,
    entry: *const u64,
    hi: u64,
    taken: &mut usize,
    usable: &mut u64,
) -> Result<(), u32> {
    // Some start routines push a return address of zero as the end of the stack.
    let is_end = regs.ra == 0;
    let rule = if is_end {
        Rule::special(Special::End)
    } else {
        unwind::rule_for(regs.ra)
    };
    let seen = Seen {
        sp: regs.sp,
        ra: regs.ra,
        bp: regs.bp,
        rule: if is_end { rule } else { kept(rule) },
    };
    // SAFETY: in place of what was taken last.
    unsafe { (*last).take(*taken - 1, seen) };
    let reads_from = match rule.kind() {
        None => {
            // SAFETY: as the caller promises.
            return unsafe { unwind::step(regs, rule, hi) }.map_err(unwind::Stuck::marker);
        }
        Some(Special::End) => return Err(0),
        Some(Special::Cut) => return Err(CUT_NO_UNWIND_INFO),
        Some(Special::Guess) => regs.bp,
        Some(Special::LateBp(offset)) => regs.bp.wrapping_add_signed(offset).wrapping_sub(16),
        Some(Special::Deref(offset)) => regs.bp.min(regs.bp.wrapping_add_signed(offset)),
        Some(Special::Signal) => {
            // What was interrupted may be on another stack.
            *usable = NEVER;
            let mut climb = Climb::on_own_stack(*regs, entry as u64, hi);
            return Err(match climb.step(rule) {
                // SAFETY: as the caller promises.
                Ok(()) => unsafe { to_the_root(last, climb, taken) },
                Err(marker) => marker,
            });
        }
    };
    // Words are only compared where every later walk finds them readable: above its own rsp.
    if reads_from < regs.sp {
        *usable = NEVER;
    }
    let mut climb = Climb::on_own_stack(*regs, entry as u64, hi);
    match climb.step(rule) {
        Ok(()) => {
            *regs = climb.regs();
            Ok(())
        }
        Err(marker) => {
            // It says nothing about which words decided it.
            *usable = NEVER;
            Err(marker)
        }
    }
}

/// Takes all frames up to the root; what stands there.
///
/// # Safety
/// `last` is this thread's.
unsafe fn to_the_root(last: *mut Last, mut climb: Climb, taken: &mut usize) -> u32 {
    while *taken < MOST {
        let Regs { ra, sp, bp } = climb.regs();
        let rule = climb.rule();
        let seen = Seen {
            sp,
            ra,
            bp,
            rule: kept(rule),
        };
        // SAFETY: there is room, as just checked.
        unsafe { (*last).take(*taken, seen) };
        *taken += 1;
        if let Err(marker) = climb.step(rule) {
            return marker;
        }
    }
    CUT_TOO_DEEP
}

/// Walks a stack that need not be the thread's own. Nothing of it is used again.
///
/// # Safety
/// `entry` points at the return address of a call that has not returned; `last` is this thread's.
#[cold]
#[inline(never)]
pub(super) unsafe fn any(last: *mut Last, entry: *const u64, bp: u64) -> Stack {
    let mut taken = 0;
    // SAFETY: as the caller promises.
    unsafe {
        let marker = to_the_root(last, Climb::anywhere(entry, bp), &mut taken);
        (*last).start_from(marker);
        (*last).keep(0, taken, NEVER)
    }
}

/// The frame ids of any stack by careful steps alone, innermost first, with the marker where it was cut.
///
/// # Safety
/// `entry` points at the return address of a call that has not returned.
pub(crate) unsafe fn ids_afresh(entry: *const u64, bp: u64) -> Vec<u32> {
    // SAFETY: as the caller promises.
    let mut climb = unsafe { Climb::anywhere(entry, bp) };
    let mut ids = Vec::new();
    let mut end = CUT_TOO_DEEP;
    for _ in 0..MOST {
        let rule = climb.rule();
        ids.push(kept(rule).frame() as u32);
        if let Err(marker) = climb.step(rule) {
            end = marker;
            break;
        }
    }
    ids.push(end);
    ids.retain(|&id| id != 0);
    ids
}
