//! In place of `patch` on architectures on which functions cannot be hooked by name: says so where it
//! is asked for, and answers everything else as where nothing is hooked.
//!
//! Runs in cold sections but where said otherwise.

use crate::elf;
use crate::process::Process;
use crate::recording::Recording;
use crate::settings::settings;
use crate::unwind::{Frames, Rule};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use skipheap_config::settings::{ALLOCATORS, HOOKS, NO_HOOKS_BY_NAME};
use skipheap_format::note::{Kind, Note, Reason};

/// Nothing is hooked at its entry. May run at any moment.
pub(crate) fn is_in_use() -> bool {
    false
}

/// No blocks are counted that are not followed.
pub(crate) fn hooks_allocators() -> bool {
    false
}

/// No call is left out. May run at any moment.
pub(crate) fn leaves_out(_: u64) -> bool {
    false
}

/// Cold sections are entered by calls alone, which preserve what they have to. May run at any moment.
pub(crate) fn keeps_vectors() -> bool {
    false
}

/// The program, or a library in front of this one, defines `malloc`, whose calls do not come here.
static HAS_MALLOC_IN_FRONT: AtomicBool = AtomicBool::new(false);

/// Looks at the program. Once, at start.
pub(crate) fn begin(_: &Process) {
    HAS_MALLOC_IN_FRONT.store(elf::is_defined_in_front(c"malloc"), Relaxed);
}

/// Notes in a new recording that what was asked for, or has to be, is not hooked.
pub(crate) fn describe(process: &Process) {
    if !asked_for().is_empty() || HAS_MALLOC_IN_FRONT.load(Relaxed) {
        let program = String::from_utf8_lossy(settings().exe.get()).into_owned();
        let (kind, why) = (Kind::ObjectNotHooked, Reason::NotOnThisArchitecture);
        // Without room for the note, the recording says that it is full.
        let _ = process
            .recording
            .add_note(&Note::because(kind, why, [program]));
    }
}

/// What standard error has to be told.
pub(crate) fn complaints() -> Vec<String> {
    let own =
        "the program defines its own malloc, whose calls are not recorded on this architecture";
    let own = HAS_MALLOC_IN_FRONT.load(Relaxed).then(|| own.to_owned());
    asked_for()
        .into_iter()
        .map(|what| format!("{what}: {NO_HOOKS_BY_NAME}"))
        .chain(own)
        .collect()
}

/// Each setting that asks for hooks, with its value.
fn asked_for() -> Vec<String> {
    let s = settings();
    let hooks = String::from_utf8_lossy(s.hooks.get());
    let mut asked = Vec::new();
    if !hooks.is_empty() || s.hooks_too_long {
        asked.push(format!("{HOOKS}={hooks}"));
    }
    if s.allocators.needs_hooks() || s.bad_allocators {
        asked.push(ALLOCATORS.to_owned());
    }
    asked
}

/// There are no trampolines.
pub(crate) fn rule_at(_: u64, _: impl FnOnce(u64) -> Option<Rule>) -> Option<Rule> {
    None
}

/// No site is one of nested calls.
pub(crate) fn is_nested(_: &Recording, _: Frames, _: u64) -> bool {
    false
}

/// No function is known that has pages of an ObStack made.
pub(crate) fn makes_pages(_: &Recording, _: Frames) -> bool {
    false
}

/// What the frame of a return address says about hooks: nothing.
#[derive(Clone, Copy)]
pub(crate) struct Flags {
    /// The call was made in a hooked function.
    pub(crate) inside: bool,
}

impl Flags {
    /// Of a return address, or of an interrupted one (`exact`).
    pub(crate) fn of(_: u64, _exact: bool) -> Self {
        Self { inside: false }
    }

    /// As they stand in a frame's record.
    pub(crate) fn bits(self) -> u32 {
        0
    }
}
