//! The walk to the root of a stack, which ends where the last stack of the thread has not changed.
//!
//! Steps are those of [`crate::unwind::walk`], and of the careful walk where they are not plain.
//!
//! May run at any moment, also in a signal handler that interrupted it.

use super::last::{Found, Last, NEVER, NO_ROOM, Seen};
use super::{MOST, Stack};
use crate::unwind::{self, Climb, Regs, Rule, Special};
use skipheap_format::layout::{CUT_TOO_DEEP, CUT_UNSUPPORTED};

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
        let mut old = (*last).at((*last).depth(rules));
        let mut usable = rules;
        let marker = loop {
            old = Last::not_below(old, regs.sp);
            match (*last).compare(old, regs, taken) {
                Some(Found::Rest { depth }) if taken == 0 => return (*last).stack(depth),
                Some(Found::Rest { depth }) => return (*last).keep(depth, taken, usable),
                Some(Found::Changed { depth, same }) => {
                    (regs, taken) = take_over(last, depth, same, regs, taken);
                    old = (*last).at(depth.saturating_sub(same + 1));
                }
                None => {}
            }
            if taken >= MOST {
                break CUT_TOO_DEEP;
            }
            let Regs { ra, sp, bp } = regs;
            let rule = table.lookup(ra).unwrap_or(Rule(0));
            (*last).take(taken, Seen { sp, ra, bp, rule });
            taken += 1;
            if rule.is_special() && !rule.is_transparent() {
                let step = special(last, regs, entry, hi, taken);
                taken = step.taken;
                if !step.is_usable {
                    usable = NEVER;
                }
                match step.to {
                    Ok(caller) => regs = caller,
                    Err(marker) => break marker,
                }
            } else if unwind::step(&mut regs, rule, hi).is_err() {
                usable = NEVER;
                break elsewhere(last, regs, rule, entry, hi, &mut taken);
            }
        };
        from_root(last, marker, taken, usable)
    }
}

/// Keeps a stack of which nothing is as it was.
///
/// # Safety
/// `last` is this thread's, and `taken` frames were taken.
#[inline(never)]
unsafe fn from_root(last: *mut Last, marker: u32, taken: usize, usable: u64) -> Stack {
    // SAFETY: as the caller promises.
    unsafe {
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
            let rule = (*(*last).at(depth - i)).rule();
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

/// Takes what lies behind a frame whose caller is not on the thread's own stack, or nowhere; what
/// stands at the root.
///
/// # Safety
/// As [`own`]; `taken` frames were taken.
#[cold]
#[inline(never)]
unsafe fn elsewhere(
    last: *mut Last,
    regs: Regs,
    rule: Rule,
    entry: *const u64,
    hi: u64,
    taken: &mut usize,
) -> u32 {
    let mut climb = Climb::on_own_stack(regs, entry, hi);
    match climb.step(rule) {
        // SAFETY: as the caller promises.
        Ok(()) => unsafe { to_the_root(last, climb, taken) },
        Err(marker) => marker,
    }
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

/// A step that was not plain.
struct Step {
    /// The caller, or what stands in place of the next frame.
    to: Result<Regs, u32>,
    /// Frames taken so far.
    taken: usize,
    /// Whether the stack can be used again.
    is_usable: bool,
}

/// Makes a step that is not plain, or for which there is no rule yet, from the frame that was taken last.
///
/// # Safety
/// As [`own`]; `taken` frames were taken.
#[cold]
#[inline(never)]
unsafe fn special(
    last: *mut Last,
    mut regs: Regs,
    entry: *const u64,
    hi: u64,
    mut taken: usize,
) -> Step {
    let Regs { ra, sp, bp } = regs;
    // Some start routines push a return address of zero as the end of the stack.
    let rule = match ra {
        0 => Rule::special(Special::End),
        _ => unwind::rule_for(ra),
    };
    let shown = if ra == 0 { rule } else { kept(rule) };
    let seen = Seen {
        sp,
        ra,
        bp,
        rule: shown,
    };
    // SAFETY: in place of what was taken last.
    unsafe { (*last).take(taken - 1, seen) };
    let mut climb = Climb::on_own_stack(regs, entry, hi);
    let (to, is_usable) = match rule.kind() {
        // SAFETY: as the caller promises.
        None => match unsafe { unwind::step(&mut regs, rule, hi) } {
            Ok(()) => (Ok(regs), true),
            Err(_) => {
                // SAFETY: as the caller promises.
                let marker = unsafe { elsewhere(last, regs, rule, entry, hi, &mut taken) };
                (Err(marker), false)
            }
        },
        Some(Special::End) => (Err(0), true),
        Some(Special::Cut) => (Err(CUT_UNSUPPORTED), true),
        Some(Special::Signal) => {
            // What was interrupted may be on another stack.
            let marker = match climb.step(rule) {
                // SAFETY: as the caller promises.
                Ok(()) => unsafe { to_the_root(last, climb, &mut taken) },
                Err(marker) => marker,
            };
            (Err(marker), false)
        }
        Some(kind) => {
            let reads_from = match kind {
                Special::Deref(offset) => bp.min(bp.wrapping_add_signed(offset)),
                Special::LateBp(offset) => bp.wrapping_add_signed(offset).wrapping_sub(16),
                Special::Row if unwind::is_from_sp(ra) => sp,
                // Which words a row has read is not known.
                Special::Row => 0,
                _ => bp,
            };
            match climb.step(rule).map(|()| climb.regs()) {
                // Words are only compared where every later walk finds them readable: above its own
                // rsp.
                Ok(caller) if sp < caller.sp && caller.sp <= hi => (Ok(caller), reads_from >= sp),
                Ok(_) => {
                    // SAFETY: as the caller promises.
                    let marker = unsafe { to_the_root(last, climb, &mut taken) };
                    (Err(marker), false)
                }
                // What was not found says nothing about which words decided that.
                Err(marker) => (Err(marker), false),
            }
        }
    };
    Step {
        to,
        taken,
        is_usable,
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
