//! What is hooked at this moment, for all threads to read.
//!
//! It changes at the start and when the loader brings or takes libraries. Each change publishes a
//! new value; readers take no lock. Kept across fork, as the changed code is.

use super::builtin::SETS;
use super::install::{Hooked, Region};
use super::trampoline::{self, SLOT, Told, Unwinding};
use super::wanted::{AskedBy, Target};
use crate::process::Process;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::SeqCst};
use skipheap_config::hook_spec::{HookSpec, Nested};
use skipheap_format::layout::{FUNCTION_ALL, FUNCTION_FOLLOWED, FUNCTION_NAMES};
use skipheap_format::messages;
use skipheap_format::note::{Kind, Note};

/// Most functions that are hooked: a glob that matches more is a mistake.
const MOST_FUNCTIONS: usize = 2000;

/// How much was written of [`Hooks`].
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    hooked: usize,
    objects: usize,
    notes: usize,
}

/// Everything that is hooked, and what is to be said of it.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    functions: Vec<Function>,
    /// Those of which one was hooked, in the order in which that happened.
    hooked: Vec<u16>,
    objects: Vec<HookedObject>,
    /// Code of hooked functions, sorted.
    ranges: Vec<(u64, u64)>,
    /// Entries of hooked functions with their indices, sorted.
    entries: Vec<(u64, u16)>,
    /// Code of functions that have pages of an ObStack made.
    page_makers: Vec<(u64, u64)>,
    pub(super) notes: Vec<Note<String>>,
    pub(super) complaints: Vec<String>,
}

/// A function that is to be hooked, wherever it is found.
#[derive(Clone)]
struct Function {
    index: u16,
    /// Nested calls count too.
    all: bool,
    /// Its objects are followed.
    follows: bool,
    name: Vec<u8>,
}

/// A loaded object with hooks in it.
#[derive(Clone)]
struct HookedObject {
    /// Its dynamic section.
    dynamic: usize,
    region: Option<Region>,
    ranges: Vec<(u64, u64)>,
    entries: Vec<(u64, u16)>,
    /// Its trampolines, and where the displaced instructions of each were.
    slots: Vec<(u64, Vec<u64>)>,
}

/// Invariant: null, or a box that is freed only by [`publish`], when nobody reads.
static NOW: AtomicPtr<Hooks> = AtomicPtr::new(ptr::null_mut());
/// Calls of [`with`] under way. In a child of fork it may count threads that are not there: then
/// nothing is freed any more.
static READERS: AtomicUsize = AtomicUsize::new(0);

/// Hands what is hooked now to `f`. `None` before anything was published.
pub(super) fn with<T>(f: impl FnOnce(&Hooks) -> T) -> Option<T> {
    READERS.fetch_add(1, SeqCst);
    // SAFETY: by the invariant, and because this reader was counted before it looked.
    let result = unsafe { NOW.load(SeqCst).as_ref() }.map(f);
    READERS.fetch_sub(1, SeqCst);
    result
}

/// What was replaced and could not be freed yet.
pub(super) struct Retired {
    hooks: Vec<*mut Hooks>,
    /// Trampolines of objects that are no longer mapped.
    regions: Vec<Region>,
}

impl Retired {
    pub(super) const fn new() -> Self {
        Self {
            hooks: Vec::new(),
            regions: Vec::new(),
        }
    }
}

/// Replaces what [`with`] sees. Frees what nobody can see any more. One call at a time.
pub(super) fn publish(hooks: Hooks, retired: &mut Retired) {
    let old = NOW.swap(Box::into_raw(Box::new(hooks)), SeqCst);
    if !old.is_null() {
        retired.hooks.push(old);
    }
    if READERS.load(SeqCst) == 0 {
        for region in retired.regions.drain(..) {
            region.unmap();
        }
        for old in retired.hooks.drain(..) {
            // SAFETY: it came from a box of this process's heap, and was replaced before nobody was
            // seen reading: who reads now was counted later, and so has found what replaced it.
            drop(unsafe { Box::from_raw(old) });
        }
    }
}

/// Has a child of fork use a copy in its own heap.
pub(super) fn adopt() {
    if let Some(copy) = with(Hooks::clone) {
        // What it replaces lies in the heap of another process, which knows nothing of this one's.
        NOW.store(Box::into_raw(Box::new(copy)), SeqCst);
    }
}

impl Hooks {
    /// Returns whether an address lies in the code of a hooked function.
    pub(super) fn covers(&self, address: u64) -> bool {
        let behind = self.ranges.partition_point(|range| range.0 <= address);
        behind
            .checked_sub(1)
            .and_then(|i| self.ranges.get(i))
            .is_some_and(|range| address < range.1)
    }

    /// Returns whether an address lies in a function that has pages of an ObStack made.
    pub(super) fn makes_pages(&self, address: u64) -> bool {
        let mut makers = self.page_makers.iter();
        makers.any(|&(start, end)| (start..end).contains(&address))
    }

    /// How to unwind from an address in a trampoline.
    pub(super) fn unwinding_at(&self, address: u64) -> Option<Unwinding> {
        let (slot, originals) = self
            .objects
            .iter()
            .flat_map(|object| &object.slots)
            .find(|(slot, _)| (*slot..*slot + SLOT as u64).contains(&address))?;
        // SAFETY: the trampoline is mapped and readable while it can be found here.
        let code = unsafe { &*(*slot as *const [u8; SLOT]) };
        trampoline::unwinding_at(code, *slot, originals, address)
    }

    /// Returns whether the runtime's pages are heard of.
    pub(super) fn follows(&self) -> bool {
        !self.page_makers.is_empty()
    }

    /// The indices of functions of which objects are followed.
    pub(super) fn followed(&self) -> Vec<u16> {
        let all = self.functions.iter();
        all.filter(|function| function.follows)
            .map(|function| function.index)
            .collect()
    }

    /// Returns whether nested calls of the function with this index count too.
    pub(super) fn counts_always(&self, index: u16) -> bool {
        let is_it = |function: &Function| function.index == index && function.all;
        self.functions.iter().any(is_it)
    }

    pub(super) fn has_entries(&self) -> bool {
        !self.entries.is_empty()
    }

    /// The index of the hooked function that begins at an address.
    pub(super) fn entered_at(&self, address: u64) -> Option<u16> {
        let at = self.entries.binary_search_by_key(&address, |entry| entry.0);
        self.entries.get(at.ok()?).map(|entry| entry.1)
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            hooked: self.hooked.len(),
            objects: self.objects.len(),
            notes: self.notes.len(),
        }
    }

    /// Writes what is more than `before` into the recording. One that has no room says so itself.
    pub(super) fn write(&self, process: &Process, before: Progress) {
        for &index in self.hooked.iter().skip(before.hooked) {
            if let Some(function) = self.functions.iter().find(|f| f.index == index) {
                let Function {
                    all, follows, name, ..
                } = function;
                let all = if *all { FUNCTION_ALL } else { 0 };
                let follows = if *follows { FUNCTION_FOLLOWED } else { 0 };
                let _ = process.recording.add_function(index, all | follows, name);
            }
        }
        for note in self.notes.iter().skip(before.notes) {
            let _ = process.recording.add_note(note);
        }
    }

    /// Adds a note for the summary, once.
    pub(super) fn note(&mut self, note: Note<String>) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Gives each target the index of its function; leaves out those that are too many. A library
    /// that is loaded again finds its functions known.
    pub(super) fn number(&mut self, targets: Vec<Target>) -> Vec<(u16, Target)> {
        let all = targets.len();
        let numbered: Vec<_> = targets
            .into_iter()
            .filter_map(|target| Some((self.index_of(&target)?, target)))
            .collect();
        let missing = all - numbered.len();
        if missing != 0 {
            self.note(Note::new(Kind::TooManyFunctions, [missing.to_string()]));
        }
        numbered
    }

    fn index_of(&mut self, target: &Target) -> Option<u16> {
        if let AskedBy::Event(number) = target.asked_by {
            return Some(number);
        }
        let all = target.nested == Nested::All;
        let known = self
            .functions
            .iter()
            .find(|function| function.all == all && function.name == target.name);
        if let Some(function) = known {
            return Some(function.index);
        }
        if self.functions.len() >= MOST_FUNCTIONS {
            return None;
        }
        let index = (FUNCTION_NAMES.len() + self.functions.len()) as u16;
        self.functions.push(Function {
            index,
            all,
            follows: target.told == Told::ObjectRecorder,
            name: target.name.clone(),
        });
        Some(index)
    }

    /// Takes in what became of the targets of an object.
    pub(super) fn add(
        &mut self,
        dynamic: usize,
        label: &str,
        region: Option<Region>,
        all: Vec<Hooked>,
    ) {
        self.note_sets(label, &all);
        let mut object = HookedObject {
            dynamic,
            region,
            ranges: Vec::new(),
            entries: Vec::new(),
            slots: Vec::new(),
        };
        for hooked in all {
            let name = hooked.target.name.escape_ascii().to_string();
            let about = [name.clone(), label.to_owned()];
            if let Err(why) = hooked.outcome {
                self.note(Note::because(Kind::NotHooked, why, about));
                continue;
            }
            if let AskedBy::User(_) = hooked.target.asked_by {
                self.note(Note::new(Kind::Hooked, about));
            }
            for copy in &hooked.copies {
                let copy = copy.escape_ascii().to_string();
                let about = [copy, label.to_owned(), name.clone()];
                self.note(Note::new(Kind::CopyNotSeen, about));
            }
            if hooked.target.told == Told::ObjectRecorder
                || hooked.target.asked_by == AskedBy::Event(0)
            {
                self.page_makers.extend(hooked.ranges.iter().copied());
            }
            object.slots.push((hooked.slot, hooked.originals));
            if hooked.target.told == Told::Listener {
                continue;
            }
            object.entries.push((hooked.target.start, hooked.index));
            object.ranges.extend(hooked.ranges);
            if !self.hooked.contains(&hooked.index) {
                self.hooked.push(hooked.index);
            }
        }
        self.objects.push(object);
        self.gather();
    }

    fn note_sets(&mut self, label: &str, all: &[Hooked]) {
        for (number, set) in SETS.iter().enumerate() {
            let of_set = || {
                all.iter()
                    .filter(|hooked| hooked.target.asked_by == AskedBy::Set(number))
            };
            let hooked = of_set().filter(|hooked| hooked.outcome.is_ok()).count();
            if of_set().next().is_some() {
                let (hooked, all) = (hooked.to_string(), of_set().count().to_string());
                let about = [label.to_owned(), set.title.to_owned(), hooked, all];
                self.note(Note::new(Kind::AllocatorHooked, about));
            }
        }
    }

    /// Forgets the object with this dynamic section, which is no longer mapped. Its trampolines go
    /// when nobody reads them any more.
    pub(super) fn remove(&mut self, dynamic: usize, retired: &mut Retired) {
        self.objects.retain(|object| {
            let gone = object.dynamic == dynamic;
            if gone {
                retired.regions.extend(object.region.clone());
            }
            !gone
        });
        self.gather();
    }

    fn gather(&mut self) {
        let objects = &self.objects;
        self.ranges = objects.iter().flat_map(|o| &o.ranges).copied().collect();
        self.entries = objects.iter().flat_map(|o| &o.entries).copied().collect();
        self.ranges.sort_unstable();
        self.entries.sort_unstable();
    }

    /// Says which specifications match nothing in what was loaded at the start.
    pub(super) fn note_unmatched(
        &mut self,
        specs: &[HookSpec],
        matched: impl Fn(usize) -> bool,
        later: bool,
    ) {
        let kind = match later {
            true => Kind::HookUnmatchedSoFar,
            false => Kind::HookUnmatched,
        };
        for (number, spec) in specs.iter().enumerate() {
            if !matched(number) {
                let note = Note::new(kind, [name_of(spec)]);
                self.complaints.push(messages::note(&note));
                self.note(note);
            }
        }
    }

    /// Takes that back for one that a library matches that came later.
    pub(super) fn note_matched(&mut self, spec: &HookSpec) {
        let name = name_of(spec);
        let said = [Kind::HookUnmatched, Kind::HookUnmatchedSoFar]
            .map(|kind| Note::new(kind, [name.clone()]));
        if self.notes.iter().any(|note| said.contains(note)) {
            self.note(Note::new(Kind::HookMatchedLater, [name]));
        }
    }
}

/// What notes call a specification.
fn name_of(spec: &HookSpec) -> String {
    spec.name.escape_debug().to_string()
}
