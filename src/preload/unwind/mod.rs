//! From the stack pointer at an allocation to the four frames that asked for it.
//!
//! [`walk`] reads rules and the program's stack, both without locks. What it
//! meets only now and then goes to [`careful`]; rules are made by [`mod@derive`] of what [`cfi`]
//! finds in the object files that [`modules`] keeps track of. What no rule can say, a [`row`] says.

pub(crate) mod call;
mod careful;
mod cfi;
mod compiled;
mod derive;
pub(crate) mod guess;
mod jit_dump;
mod module_file;
pub(crate) mod modules;
mod red_zone;
pub(crate) mod registers;
pub(crate) mod row;
mod row_table;
mod rule;
mod second;
mod table;
#[cfg(test)]
mod verify;
pub(crate) mod walk;

pub(crate) use crate::arch::rule::step;
pub(crate) use careful::{Climb, rule_for, walk_anywhere as careful_walk};
pub(crate) use derive::Registry;
#[cfg(not(test))]
pub(crate) use modules::find;
pub(crate) use modules::{
    Found, Place, each_segment, find_by_iteration, is_code, place_of, with_unlisted,
};
pub(crate) use red_zone::may_be_used as may_use_red_zone;
pub(crate) use row_table::{is_from_sp, saved_bp, saved_ra};
pub(crate) use rule::{Rule, Special};
pub(crate) use second::{Seen, Wanted, frames as by_libgcc};
pub(crate) use table::{GENERATION, HEAD as TABLE_HEAD, TABLE, generation, view as rules};
pub(crate) use walk::{Astray, Regs};

use crate::c_library;
use crate::process::{self, Process};
use crate::thread::cold_section;
use core::sync::atomic::Ordering::*;
use skipheap_symbolize::ObjectId;
use skipheap_symbolize::bytes::MappedFile;

/// Set in a key when the address is of an interrupted instruction and not a return address. No
/// address of the program has this bit.
const EXACT: u64 = 1 << 63;
/// Most frames that a walk looks at. Deep recursion that collapses into one frame would else be
/// paid for at each allocation.
pub(crate) const LONGEST_WALK: u32 = 256;

/// Opens the file of a module that is not at its path, for names: it is mapped, or was when the module was
/// unloaded.
pub(crate) fn find_elsewhere(module: &ObjectId<'_>) -> Option<MappedFile> {
    let removed = || registry(process::process()?)?.modules.removed(module);
    module_file::find_mapped(module).or_else(removed)
}

/// Four frame ids, innermost first, in two words: the record's layout, in which the root of a
/// shorter stack is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frames {
    pub(crate) first: u64,
    pub(crate) second: u64,
}

/// Starts in a process that has just begun.
pub(crate) fn begin(process: &Process) {
    table::reset();
    c_library::begin();
    process
        .registry
        .store(Box::into_raw(Box::new(Registry::new())), Release);
}

/// Keeps a rule.
#[cfg(test)]
pub(crate) use table::insert as insert_for_tests;

/// Forgets all rules.
#[cfg(test)]
pub(crate) use table::reset as reset_for_tests;

/// Forgets a rule.
#[cfg(test)]
pub(crate) fn forget_for_tests(lock: &crate::heap::SpinLock, key: u64) {
    table::forget(lock, key, key);
}

fn registry(process: &Process) -> Option<&'static Registry> {
    // SAFETY: null or a box that is never freed.
    unsafe { process.registry.load(Acquire).as_ref() }
}

/// The frame of a function's first instruction, where it is one of a mapped object. Cold section.
pub(crate) fn function(process: &Process, address: u64) -> Option<u32> {
    registry(process)?.function(process, address)
}

/// Forgets the rules of code that is about to be unmapped. Cold section.
pub(crate) fn forget(process: &Process, start: u64, end: u64) {
    table::forget(&process.rules_lock, start, end);
}

/// Runs the program's `dlclose` so that no rule of an unloaded module is used for another that
/// takes its place.
pub(crate) fn around_unload<T>(process: &Process, unload: impl FnOnce() -> T) -> T {
    cold_section(|| {
        if let Some(registry) = registry(process) {
            registry.modules.keep_removed();
        }
        table::suspend(&process.rules_lock);
    });
    let result = unload();
    cold_section(|| {
        if let Some(registry) = registry(process) {
            registry.modules.forget_unloaded(process);
        }
    });
    cold_section(|| table::resume(&process.rules_lock));
    result
}
