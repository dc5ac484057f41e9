//! The hot path: from the return of the real allocation function to the count of its site, where
//! everything is as it mostly is. About a hundred instructions in assembly; the compiler's best
//! version of the same took forty more, half of them to save registers.
//!
//! In Rust it would read:
//!
//! ```text
//! if control != 0 { return }                  // recording is stopped
//! let thread = tls_word;                      // 0: no state; 1: a cold section, or not profiled
//! if rsp not in thread.stack { rest }
//! let (mut ra, mut sp, mut bp) = (*rsp, rsp + 8, rbp);
//! for i in 0..4 {
//!     let rule = rules[ra] or rest;
//!     ids[i] = rule.id;
//!     if i < 3 { step(ra, sp, bp, rule) }     // as walk::step, or rest
//! }
//! let site = index[hash(ids, size)] or rest;
//! site.count += 1;
//! ```
//!
//! `rest` is [`crate::thread::record_rest`], which starts over. What kind of rule was met is hardly
//! tested: a walk over anything but plain steps ends in frames that no site has
//! ([`crate::unwind`]'s rule says why).
//!
//! Each architecture has it in a file `hot.rs` ([`crate::arch`]), where one text makes [`record`] and
//! [`record_and_follow`], which are reached after the real function has returned, and the paths of
//! functions hooked by name (`crate::patch`), which are reached before.
//!
//! May run at any moment, also in a signal handler that interrupted it: it writes one count, in one
//! instruction.

use crate::arch::hot::{record, record_and_follow};
use crate::{arch, deep, live, sample};
use core::ffi::c_void;
use core::mem::offset_of;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use skipheap_format::layout::{LiveRecord, NESTED_THREAD, SiteRecord};

/// Where the hooks of allocation functions go on when memory was given: [`record`], or another
/// function of the same contract where more than the count of four frames is wanted. Set before the
/// first allocation is recorded.
pub(crate) static RECORD: AtomicPtr<c_void> = AtomicPtr::new(record as *mut c_void);

/// Chooses the path, before the first allocation is recorded.
pub(crate) fn begin() {
    let path: unsafe extern "C" fn() = if live::regions::is_on() {
        arch::pages::record_page
    } else if sample::is_on() {
        arch::sample::record
    } else if deep::is_on() && live::is_on() {
        arch::deep_hot::record_and_follow
    } else if deep::is_on() {
        arch::deep_hot::record
    } else if live::is_on() {
        record_and_follow
    } else {
        record
    };
    RECORD.store(path as *mut c_void, Relaxed);
}

/// Where the counters behind a site's record lie.
pub(crate) const SITE_THREAD: usize = size_of::<SiteRecord>() + offset_of!(LiveRecord, thread);
pub(crate) const SITE_EPOCH: usize = size_of::<SiteRecord>() + offset_of!(LiveRecord, epoch);
const _: () = assert!(NESTED_THREAD == u32::MAX);
