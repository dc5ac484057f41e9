//! Hooks on functions that are no dynamic symbols: allocators that are linked statically, and
//! whatever the user names.
//!
//! The function's entry is replaced by a jump to a trampoline ([`trampoline`]) that records the
//! call ([`crate::hot::record_at_entry`]), runs the instructions that made room for the jump, and
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
//! Runs in cold sections but where said otherwise.

mod builtin;
mod find;
mod install;
mod memory;
mod plan;
mod trampoline;
mod wanted;

use crate::process::Process;
use crate::record::hook_spec::{self, HookSpec, Nested};
use crate::record::layout::{FRAME_CALLEE_SHIFT, FRAME_HOOKED, FUNCTION_NAMES, SIZE_BITS};
use crate::record::settings::{ALLOCATORS, ALLOCATORS_VALUES, AllocatorKind, HOOKS};
use crate::settings::settings;
use crate::unwind::is_code;
use crate::{elf, hooks, real, sys};
use builtin::SETS;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::*};
use install::Hooked;
use wanted::{AskedBy, Builtin, Found};

/// What was hooked in this program. Kept across fork, as the changed code is.
pub(crate) struct Hooks {
    functions: Vec<Function>,
    /// Code of hooked functions, sorted.
    ranges: Vec<(u64, u64)>,
    /// Entries of hooked functions with their indices, sorted.
    entries: Vec<(u64, u16)>,
    notes: Vec<String>,
    complaints: Vec<String>,
}

struct Function {
    index: u16,
    all: bool,
    name: Vec<u8>,
}

/// Invariant: null, or a box that is never freed.
static HOOKS_NOW: AtomicPtr<Hooks> = AtomicPtr::new(ptr::null_mut());
/// Calls of the interposed functions are not reported.
static MALLOC_IS_LEFT_OUT: AtomicBool = AtomicBool::new(false);

/// A function is hooked at its entry.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// Most functions that are hooked: a glob that matches more is a mistake.
const MOST_HOOKS: usize = 2000;

fn hooks() -> Option<&'static Hooks> {
    // SAFETY: by the invariant.
    unsafe { HOOKS_NOW.load(Acquire).as_ref() }
}

/// Is a call, by the function's index above its size, to be left out? May run at any moment.
pub(crate) fn leaves_out(size: u64) -> bool {
    MALLOC_IS_LEFT_OUT.load(Relaxed) && ((size >> SIZE_BITS) as usize) < FUNCTION_NAMES.len()
}

/// Have cold sections to leave the wide registers as they are? May be asked at any moment.
pub(crate) fn keeps_vectors() -> bool {
    // (Without XSAVE there are no wider registers than those that the entries save themselves. What
    // the machine has is asked once and remembered.)
    IN_USE.load(Relaxed) && std::arch::is_x86_feature_detected!("xsave")
}

/// Hooks what the settings and the program's contents ask for. Once, at start.
pub(crate) fn begin() {
    let s = settings();
    let mut state = Hooks {
        functions: Vec::new(),
        ranges: Vec::new(),
        entries: Vec::new(),
        notes: Vec::new(),
        complaints: Vec::new(),
    };
    if s.bad_allocators {
        state.complaints.push(format!(
            "{ALLOCATORS} must be one of: {ALLOCATORS_VALUES}; taking the default, auto"
        ));
    }
    let specs = state.read_specs();
    let builtin = Builtin::new();
    let objects = find::loaded();
    let mut found: Vec<Found> = objects
        .iter()
        .map(|object| {
            if object.is_executable || object.exports_obstack || !specs.is_empty() {
                wanted::search(object, &specs, &builtin)
            } else {
                Found::default()
            }
        })
        .collect();
    let is_skip = found.iter().any(Found::is_skip);
    for (object, found) in objects.iter().zip(&mut found) {
        found.choose(object, s.allocators, is_skip);
        found
            .targets
            .retain(|target| !real::is_interposed(target.start));
    }
    state.note_unmatched(&specs, &found);
    let threads = sys::threads();
    let mut room = MOST_HOOKS;
    let mut index = FUNCTION_NAMES.len() as u16;
    for (object, found) in objects.iter().zip(found) {
        let mut targets = found.targets;
        if targets.is_empty() {
            continue;
        }
        if threads != 1 {
            let label = object.label();
            state.notes.push(format!(
                "nothing is hooked in {label}: other threads run before the profiler could begin"
            ));
            continue;
        }
        if targets.len() > room {
            let more = targets.len() - room;
            state.notes.push(format!(
                "{more} functions are not hooked: there are too many"
            ));
            targets.truncate(room);
        }
        room -= targets.len();
        IN_USE.store(true, Relaxed);
        let all = install::install(object, targets, index);
        index += all.len() as u16;
        state.take(&object.label(), all);
    }
    if !s.allocators.has(AllocatorKind::Malloc, is_skip) {
        if silence_malloc() {
            MALLOC_IS_LEFT_OUT.store(true, Relaxed);
        } else {
            let why = "malloc is reported too: its hook cannot be taken out";
            state.notes.push(why.to_owned());
        }
    }
    state.ranges.sort_unstable();
    state.entries.sort_unstable();
    HOOKS_NOW.store(Box::into_raw(Box::new(state)), Release);
}

/// Writes into a new recording what is hooked.
pub(crate) fn describe(process: &Process) {
    let Some(hooks) = hooks() else {
        return;
    };
    // A recording that has no room says so itself.
    for function in &hooks.functions {
        let _ = process
            .recording
            .add_function(function.index, function.all, &function.name);
    }
    for note in &hooks.notes {
        let _ = process.recording.add_note(note.as_bytes());
    }
}

/// What standard error has to be told.
pub(crate) fn complaints() -> &'static [String] {
    hooks().map_or(&[], |hooks| &hooks.complaints)
}

/// What the frame of a return address says about hooks.
#[derive(Clone, Copy)]
pub(crate) struct Flags {
    /// The call was made in a hooked function.
    pub(crate) inside: bool,
    /// The hooked function that was called there, 0 for none.
    callee: u16,
}

impl Flags {
    /// Of a return address, or of an interrupted one (`exact`).
    pub(crate) fn of(address: u64, exact: bool) -> Self {
        let mut flags = Self {
            inside: false,
            callee: 0,
        };
        let Some(hooks) = hooks() else {
            return flags;
        };
        let lookup = if exact { address } else { address - 1 };
        let behind = hooks.ranges.partition_point(|range| range.0 <= lookup);
        flags.inside = behind
            .checked_sub(1)
            .and_then(|i| hooks.ranges.get(i))
            .is_some_and(|range| lookup < range.1);
        if !exact && !hooks.entries.is_empty() {
            flags.callee = called_before(address)
                .and_then(|target| {
                    let at = hooks.entries.binary_search_by_key(&target, |entry| entry.0);
                    hooks.entries.get(at.ok()?)
                })
                .map_or(0, |entry| entry.1);
        }
        flags
    }

    /// As they stand in a frame's record.
    pub(crate) fn bits(self) -> u32 {
        let inside = if self.inside { FRAME_HOOKED } else { 0 };
        inside | u32::from(self.callee) << FRAME_CALLEE_SHIFT
    }
}

/// Where the direct call before a return address leads, through a stub of the procedure linkage
/// table too.
fn called_before(address: u64) -> Option<u64> {
    // call rel32
    let call: [u8; 5] = read_code(address.checked_sub(5)?)?;
    if let [0xe8, displacement @ ..] = call {
        let target = relative(address, displacement);
        return Some(behind_stub(target).unwrap_or(target));
    }
    // call [rip + rel32]
    let call: [u8; 6] = read_code(address - 6)?;
    match call {
        [0xff, 0x15, displacement @ ..] => read_word(relative(address, displacement)),
        _ => None,
    }
}

/// Where a stub leads: `[endbr64] [bnd] jmp [rip + rel32]`.
fn behind_stub(mut at: u64) -> Option<u64> {
    if read_code(at)? == [0xf3, 0x0f, 0x1e, 0xfa] {
        at += 4;
    }
    if read_code(at)? == [0xf2] {
        at += 1;
    }
    let jump: [u8; 6] = read_code(at)?;
    match jump {
        [0xff, 0x25, displacement @ ..] => read_word(relative(at + 6, displacement)),
        _ => None,
    }
}

fn relative(next: u64, displacement: [u8; 4]) -> u64 {
    next.wrapping_add_signed(i64::from(i32::from_le_bytes(displacement)))
}

fn read_code<const N: usize>(at: u64) -> Option<[u8; N]> {
    let end = at.checked_add(N as u64)?;
    // SAFETY: the range lies in an executable, readable segment of a mapped object.
    is_code(at, end).then(|| unsafe { *(at as *const [u8; N]) })
}

fn read_word(at: u64) -> Option<u64> {
    // SAFETY: the kernel was asked whether the word can be read.
    (at.is_multiple_of(8) && sys::is_readable(at as usize)).then(|| unsafe { *(at as *const u64) })
}

impl Hooks {
    fn read_specs(&mut self) -> Vec<HookSpec> {
        let s = settings();
        if s.hooks_too_long {
            self.complaints
                .push(format!("{HOOKS} is too long and is not heeded"));
        }
        let list = String::from_utf8_lossy(s.hooks.get());
        let mut specs = Vec::new();
        for spec in hook_spec::parse(&list) {
            match spec {
                Ok(spec) => specs.push(spec),
                Err(error) => self.complaints.push(error.to_string()),
            }
        }
        specs
    }

    fn note_unmatched(&mut self, specs: &[HookSpec], found: &[Found]) {
        for (number, spec) in specs.iter().enumerate() {
            let matched = found
                .iter()
                .flat_map(|found| &found.targets)
                .any(|target| target.asked_by == AskedBy::User(number));
            if !matched {
                let name = spec.name.escape_debug();
                let line =
                    format!("hook \"{name}\": no function of that name, or only hooked ones");
                self.notes.push(line.clone());
                self.complaints.push(line);
            }
        }
    }

    /// Takes in what became of an object's targets.
    fn take(&mut self, label: &str, all: Vec<Hooked>) {
        for (number, set) in SETS.iter().enumerate() {
            let of_set = || {
                all.iter()
                    .filter(|hooked| hooked.target.asked_by == AskedBy::Set(number))
            };
            let hooked = of_set().filter(|hooked| hooked.outcome.is_ok()).count();
            if of_set().next().is_some() {
                self.notes.push(format!(
                    "{label} has {}, hooked {hooked} of {} entry points",
                    set.title,
                    of_set().count()
                ));
            }
        }
        for hooked in all {
            let name = hooked.target.name.escape_ascii();
            if let Err(why) = hooked.outcome {
                self.notes
                    .push(format!("cannot hook {name} in {label}: {why}"));
                continue;
            }
            if let AskedBy::User(_) = hooked.target.asked_by {
                self.notes.push(format!("hooked {name} in {label}"));
            }
            for copy in hooked.copies {
                self.notes.push(format!(
                    "calls of {} in {label} are not seen: a copy of {name} that the compiler made",
                    copy.escape_ascii()
                ));
            }
            self.entries.push((hooked.target.start, hooked.index));
            self.ranges.extend(hooked.ranges);
            self.functions.push(Function {
                index: hooked.index,
                all: hooked.target.nested == Nested::All,
                name: hooked.target.name,
            });
        }
    }
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
