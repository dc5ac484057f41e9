//! Which path records the calls of functions hooked by name.

use crate::arch::{self, deep_hot, hot};
use crate::{deep, live, sample};

/// The path that trampolines take to record the call of a function hooked by name
/// ([`crate::patch`]).
pub(crate) fn at_entry() -> unsafe extern "C" fn() {
    match (deep::is_on(), live::is_on()) {
        _ if sample::is_on() => arch::sample::record_at_entry,
        (false, false) => hot::record_at_entry,
        (false, true) => hot::record_at_entry_and_sum_up,
        (true, false) => deep_hot::record_at_entry,
        (true, true) => deep_hot::record_at_entry_and_sum_up,
    }
}

/// The path that trampolines take to record the call of a function that allocates objects which
/// [`crate::live::regions`] follows.
pub(crate) fn at_entry_of_object() -> unsafe extern "C" fn() {
    if sample::is_on() {
        arch::sample::record_at_entry
    } else if deep::is_on() {
        deep_hot::record_object_at_entry
    } else {
        hot::record_object_at_entry
    }
}
