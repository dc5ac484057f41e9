//! Hooks on functions that are no dynamic symbols: allocators that are linked statically, and
//! whatever the user names.
//!
//! The function's entry is replaced by a jump to a trampoline ([`trampoline`]) that records the
//! call ([`crate::arch::hot::record_at_entry`]), runs the instructions that made room for the jump, and
//! jumps on to the rest. It leaves no frame behind, so exceptions and backtraces pass as before.
//!
//! # Nested calls
//!
//! An allocator's entry points call each other: only the outermost call counts. Calls are recorded
//! all the same, at the cost of any other, and readers leave the nested ones out, told by their
//! frames: the frame of a return address in a hooked function says so ([`Flags::inside`]). Two more
//! cases leave no such frame. A hooked function that ends in a jump to another one: the jump itself
//! is redirected past the other's hook ([`install`]), whatever way the first was called. Where that
//! cannot be (a jump of two bytes, one through a pointer or another object), the call instruction
//! before the return address tells, if it is a direct one: its target is a hooked function, but
//! another than the one that was reached ([`Flags::callee`]).
//!
//! What remains is counted twice: a call through a pointer to a hooked function that passes it on
//! by a jump through a pointer. What is called more than four frames below a hooked function is
//! taken for an outermost call.
//!
//! # Libraries that are loaded later
//!
//! [`watch`] hears from the loader when a library comes or goes.
//!
//! Runs in cold sections but where said otherwise.

mod builtin;
mod clone_size;
mod find;
mod frames;
mod hooked;
mod install;
mod leads;
mod memory;
mod nested;
mod obstack;
mod paths;
mod plan;
mod trampoline;
mod wanted;
mod watch;

pub(crate) use frames::Flags;
pub(crate) use nested::{is_nested, makes_pages};
pub(crate) use watch::loader_changed;

use crate::live::regions;
use crate::process::{self, Process};
use crate::settings::settings;
use crate::unwind::Rule;
use crate::{elf, hooks, real, sys};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering::*};
use find::Object;
use hooked::{Hooks, Retired};
use skipheap_config::hook_spec::{self, HookSpec};
use skipheap_config::settings::{ALLOCATORS, ALLOCATORS_VALUES, AllocatorKind, Allocators, HOOKS};
use skipheap_format::layout::{FUNCTION_NAMES, SIZE_BITS};
use skipheap_format::note::{Kind, Note, Reason};
use trampoline::Unwinding;
use wanted::{Builtin, Found};
use watch::Change;

/// Calls of the interposed functions are not reported.
static MALLOC_IS_LEFT_OUT: AtomicBool = AtomicBool::new(false);

/// A function is hooked at its entry.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// Returns whether a function is hooked at its entry: calls may be nested.
pub(crate) fn is_in_use() -> bool {
    IN_USE.load(Relaxed)
}

/// A function is hooked whose blocks are not followed, and are no objects of an ObStack either.
static HOOKS_ALLOCATORS: AtomicBool = AtomicBool::new(false);

/// Returns whether blocks are counted that are not followed.
pub(crate) fn hooks_allocators() -> bool {
    HOOKS_ALLOCATORS.load(Relaxed)
}

/// While the program starts: objects of an ObStack are followed, as far as they can be. Later it is
/// too late to see the pages.
static FOLLOWS: AtomicBool = AtomicBool::new(false);

/// Returns whether a call, by the function's index above its size, is to be left out. May run at any moment.
pub(crate) fn leaves_out(size: u64) -> bool {
    MALLOC_IS_LEFT_OUT.load(Relaxed) && ((size >> SIZE_BITS) as usize) < FUNCTION_NAMES.len()
}

/// Returns whether cold sections must preserve the vector registers. May be called at any moment.
pub(crate) fn keeps_vectors() -> bool {
    // (Without XSAVE there are no wider registers than those that the entries save themselves. What
    // the machine has is asked once and remembered.)
    IN_USE.load(Relaxed) && std::arch::is_x86_feature_detected!("xsave")
}

/// Hooks what the settings and the program's contents ask for. Once, at start.
pub(crate) fn begin(process: &Process) {
    process.owns_hooks.store(true, Relaxed);
    let s = settings();
    let mut state = Hooks::default();
    if s.bad_allocators {
        state.complaints.push(format!(
            "{ALLOCATORS} must be one of: {ALLOCATORS_VALUES}; taking the default, auto"
        ));
    }
    let specs = read_specs(&mut state.complaints);
    let owner_of_new = find::owner_of_new();
    let objects: Vec<Object> = elf::objects()
        .enumerate()
        .filter_map(|(i, entry)| find::object(entry, i == 0, owner_of_new))
        .collect();
    let builtin = Builtin::new();
    let found: Vec<Found> = objects
        .iter()
        .map(|object| search(object, &specs, &builtin))
        .collect();
    let is_skip = found.iter().any(Found::is_skip);
    FOLLOWS.store(
        s.live && !s.allocators.has(AllocatorKind::Malloc, is_skip),
        Relaxed,
    );
    let found: Vec<Found> = objects
        .iter()
        .zip(found)
        .map(|(object, found)| chosen(&mut state, object, found, is_skip))
        .collect();
    let alone = sys::threads() == 1;
    // A program with a heap of its own may load a Skip runtime, as Node and Python do.
    let is_asked = !specs.is_empty() || s.allocators.has(AllocatorKind::Obstack, is_skip);
    let more_may_come = is_asked || s.allocators == Allocators::Auto;
    let watched = match more_may_come.then_some(alone) {
        None => Ok(()),
        Some(true) => watch::begin(),
        Some(false) => Err(Reason::OtherThreads),
    };
    if let Err(why) = watched
        && is_asked
    {
        state.note(Note::because(Kind::LaterNotHooked, why, []));
    }
    let is_matched = |spec| found.iter().any(|found| found.matches(spec));
    state.note_unmatched(&specs, is_matched, watched.is_ok());
    for (object, found) in objects.iter().zip(found) {
        if !alone && !found.targets.is_empty() {
            let (kind, why) = (Kind::ObjectNotHooked, Reason::OtherThreads);
            state.note(Note::because(kind, why, [object.label()]));
            continue;
        }
        hook(&mut state, object, found);
    }
    let follows = FOLLOWS.swap(false, Relaxed) && state.follows();
    if follows {
        regions::begin(&state.followed());
        MALLOC_IS_LEFT_OUT.store(true, Relaxed);
    } else if !s.allocators.has(AllocatorKind::Malloc, is_skip) {
        if silence_malloc() {
            MALLOC_IS_LEFT_OUT.store(true, Relaxed);
        } else {
            state.note(Note::new(Kind::MallocReported, []));
        }
    }
    hooked::publish(state, &mut Retired::new());
}

/// Follows a change of what is loaded. The loader holds its lock, and nobody runs new code yet.
fn change(change: &Change, retired: &mut Retired) {
    let Some(mut state) = hooked::with(Hooks::clone) else {
        return;
    };
    let before = state.progress();
    for &dynamic in &change.gone {
        state.remove(dynamic, retired);
    }
    // What was wrong with them was said at the start.
    let specs = read_specs(&mut Vec::new());
    let builtin = Builtin::new();
    for entry in &change.come {
        // What comes later is behind what has them.
        let Some(object) = find::object(entry, false, 0) else {
            continue;
        };
        let found = search(&object, &specs, &builtin);
        // In a program that is none itself, its ObStack counts beside malloc.
        let is_skip = found.is_skip();
        let found = chosen(&mut state, &object, found, is_skip);
        if object.has_text_relocations && !found.targets.is_empty() {
            let (kind, why) = (Kind::ObjectNotHooked, Reason::LoaderChangesCode);
            state.note(Note::because(kind, why, [object.label()]));
            continue;
        }
        for (number, spec) in specs.iter().enumerate() {
            if found.matches(number) {
                state.note_matched(spec);
            }
        }
        hook(&mut state, &object, found);
    }
    if state.progress() == before && change.gone.is_empty() {
        return;
    }
    // (A child of fork that has not begun to record will write it all.)
    if let Some(process) = process::process().filter(|process| process.is_ready()) {
        state.write(process, before);
    }
    hooked::publish(state, retired);
}

/// Collects what an object has that may be asked for.
fn search(object: &Object, specs: &[HookSpec], builtin: &Builtin) -> Found {
    if object.is_executable || object.exports_obstack || object.owns_new || !specs.is_empty() {
        wanted::search(object, specs, builtin)
    } else {
        Found::default()
    }
}

/// Leaves what is asked for. `is_skip`: the ObStack is, by default.
fn chosen(state: &mut Hooks, object: &Object, mut found: Found, is_skip: bool) -> Found {
    found.choose(object, settings().allocators, is_skip);
    found
        .targets
        .retain(|target| !real::is_interposed(target.start));
    let note = obstack::settle(object, &mut found.targets, Found::is_of_runtime);
    note.into_iter().for_each(|line| state.note(line));
    found
}

/// Says what is not known of the ObStack where blocks are followed.
fn note_regions(state: &mut Hooks, follows: bool) {
    if settings().live && !follows {
        let kind = match FOLLOWS.load(Relaxed) {
            true => Kind::PagesNotFollowed,
            false => Kind::PagesSeenTooLate,
        };
        state.note(Note::new(kind, []));
    }
    if settings().leak_check {
        state.note(Note::new(Kind::ObstackNotChecked, []));
    }
}

/// Puts the hooks of one object in place.
fn hook(state: &mut Hooks, object: &Object, found: Found) {
    let mut found = found;
    let has_runtime = found.targets.iter().any(Found::is_of_runtime);
    let has_others = !found.targets.iter().all(Found::is_of_runtime);
    let follows = found.follow(FOLLOWS.load(Relaxed));
    let targets = state.number(found.targets);
    if targets.is_empty() {
        return;
    }
    if has_runtime {
        note_regions(state, follows);
    }
    IN_USE.store(true, Relaxed);
    HOOKS_ALLOCATORS.fetch_or(has_others, Relaxed);
    let (all, region) = install::install(object, targets);
    state.add(object.dynamic, &object.label(), region, all);
}

/// Writes into a new recording what is hooked.
pub(crate) fn describe(process: &Process) {
    hooked::with(|hooks| hooks.write(process, hooked::Progress::default()));
    if watch::is_busy() {
        let note = Note::because(Kind::LaterNotHooked, Reason::ForkedWhileLoading, []);
        let _ = process.recording.add_note(&note);
    }
}

/// The rule of a place in a trampoline to which something returns, or which was interrupted. `of_code` is
/// asked for that of a place in a hooked function. Cold section.
pub(crate) fn rule_at(address: u64, of_code: impl FnOnce(u64) -> Option<Rule>) -> Option<Rule> {
    match hooked::with(|hooks| hooks.unwinding_at(address)).flatten()? {
        Unwinding::Cfa(offset) => Rule::from_sp(offset, None),
        Unwinding::AsAt(original) => of_code(original),
    }
}

/// What standard error has to be told.
pub(crate) fn complaints() -> Vec<String> {
    hooked::with(|hooks| hooks.complaints.clone()).unwrap_or_default()
}

fn read_specs(complaints: &mut Vec<String>) -> Vec<HookSpec> {
    let s = settings();
    if s.hooks_too_long {
        complaints.push(format!("{HOOKS} is too long and is not heeded"));
    }
    let list = String::from_utf8_lossy(s.hooks.get());
    let mut specs = Vec::new();
    for spec in hook_spec::parse(&list) {
        match spec {
            Ok(spec) => specs.push(spec),
            Err(error) => complaints.push(error.to_string()),
        }
    }
    specs
}

/// Has the interposed functions pass straight to the next ones: each begins with `endbr64`, behind
/// which there is room for `jmp [rip + slot]`.
fn silence_malloc() -> bool {
    hooks::ENTRIES.iter().all(|&(name, slot)| {
        // Not the address of the function here: that is the executable's, if it has one.
        let entry = elf::own_definition(name);
        if entry.is_null() {
            return false;
        }
        let at = entry as u64 + 4;
        let distance = (ptr::from_ref(slot) as u64).wrapping_sub(at + 6) as i32;
        let mut jump = [0xff, 0x25, 0, 0, 0, 0];
        jump[2..].copy_from_slice(&distance.to_le_bytes());
        // SAFETY: the entry begins with the landing pad and with instructions that are longer than
        // the jump; a call that is in them now has got past them. It is in our own code, so it can
        // only be written where the kernel does it.
        unsafe { memory::write_code_by_kernel(at, &jump) }
    })
}
