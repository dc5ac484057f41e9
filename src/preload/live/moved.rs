//! Moves the counts of a record to another of the same site, when its thread ends or takes another
//! name ([`crate::ended`]). Blocks that are alive go on leading to the first record: who frees them
//! counts that in a record of its own, as with blocks of other threads.
//!
//! Runs in cold sections.

use super::count::{behind, is_nested, keep_share};
use crate::process::Process;
use core::mem::take;
use skipheap_format::layout::{LiveRecord, SiteRecord};
use skipheap_format::loss::Loss;

/// Returns whether something was counted in this record that reports show.
///
/// # Safety
/// A record with a live record behind it, in which nobody counts now.
pub(crate) unsafe fn has_counted(record: *mut SiteRecord) -> bool {
    // SAFETY: as the caller promises.
    unsafe { ((*record).count != 0 || (*behind(record)).frees != 0) && !is_nested(record) }
}

/// Says which thread a new record belongs to.
///
/// # Safety
/// As [`has_counted`].
pub(crate) unsafe fn set_thread(record: *mut SiteRecord, number: u32) {
    // SAFETY: as the caller promises.
    unsafe { (&raw mut (*behind(record)).thread).write_volatile(number) };
}

/// Adds the counts of one record to another, and leaves none.
///
/// # Safety
/// As [`has_counted`], of both, which are of the same site.
pub(crate) unsafe fn move_counts(process: &Process, from: *mut SiteRecord, to: *mut SiteRecord) {
    let epoch = process.total.epoch();
    // SAFETY: as the caller promises; the live records are no part of the site records.
    unsafe {
        keep_share(from, epoch);
        keep_share(to, epoch);
        let is_full = add(&mut *behind(from), &mut *behind(to));
        if is_full {
            process.recording.lose(Loss::LifetimesFull, 1);
        }
        (*to).count = (*to).count.wrapping_add((*from).count);
        (&raw mut (*from).count).write_volatile(0);
    }
}

/// Adds the frees and lifetimes of the blocks. Returns whether a counter of lifetimes was full.
fn add(from: &mut LiveRecord, to: &mut LiveRecord) -> bool {
    to.frees = to.frees.wrapping_add(take(&mut from.frees));
    to.temporary = to.temporary.wrapping_add(take(&mut from.temporary));
    to.at_peak = to.at_peak.wrapping_add(take(&mut from.at_peak));
    to.grown = to.grown.wrapping_add(take(&mut from.grown));
    to.copied = to.copied.wrapping_add(take(&mut from.copied));
    to.slack = to.slack.wrapping_add(take(&mut from.slack));
    let mut is_full = false;
    let ages = from.ages.iter_mut().zip(&mut to.ages);
    let times = from.times.iter_mut().zip(&mut to.times);
    for (from, to) in ages.chain(times) {
        let sum = to.checked_add(take(from));
        is_full |= sum.is_none();
        *to = sum.unwrap_or(u32::MAX);
    }
    is_full
}
