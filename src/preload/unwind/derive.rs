//! Derives the rule of a return address, once.
//!
//! What the module's unwind information says ([`cfi`]) is put into one word where it fits
//! ([`rule_of`]). Where no information covers the address, made code may say itself where it
//! returns to, and a frame pointer may lead on.
//!
//! Runs in cold sections.

use super::cfi::Entry;
use super::jit_dump::JitDump;
use super::modules::{EhFrame, Map, Module, Modules, get, get_or_put, map};
use super::registers::{FP, RA, SP};
use super::row::Row;
use super::rule::{Rule, Special};
use super::{EXACT, call, cfi, compiled, modules, table};
use crate::arch::code;
use crate::arch::rule::rule_of;
use crate::c_library;
use crate::patch;
use crate::process::Process;
use skipheap_format::layout::{FRAME_EXACT, FrameRecord};

/// What all threads share about modules and frames.
pub(crate) struct Registry {
    pub(crate) modules: Modules,
    /// Frame ids by what the frame is, so that several threads, and a module that is loaded again,
    /// get the same one.
    frames: Map<(u32, u32, u64), u32>,
    jit_dump: JitDump,
}

impl Registry {
    /// Nothing known yet.
    pub(crate) fn new() -> Self {
        Self {
            modules: Modules::new(),
            frames: map(),
            jit_dump: JitDump::new(),
        }
    }

    /// Derives the rule for `key` (a return address, or an interrupted address with [`EXACT`]) and
    /// keeps it.
    pub(crate) fn derive(&self, process: &Process, key: u64) -> Rule {
        let exact = key & EXACT != 0;
        let address = key & !EXACT;
        let lookup = if exact {
            address
        } else {
            address.wrapping_sub(1)
        };
        let module = self.modules.at(process, lookup);
        let svma = module
            .as_ref()
            .map_or(address, |m| address.wrapping_sub(m.bias));
        let of_trampoline = match &module {
            Some(_) => None,
            None => patch::rule_at(address, |original| {
                let module = self.modules.at(process, original)?;
                Some(Self::step(&module, original, original, true))
            }),
        };
        let step = match &module {
            Some(module) => Self::step(module, address, lookup, exact),
            None => of_trampoline.unwrap_or_else(|| code::rule_of_made_code(address, exact)),
        };
        let wrapped = match &module {
            Some(module) => module.is_wrapper(if exact { svma } else { svma.wrapping_sub(1) }),
            // It is no function that anybody called.
            None => of_trampoline.is_some(),
        };
        let flags = patch::Flags::of(address, exact);
        // What is returned to there is the function at the address, not the one in front of it.
        let names_itself = exact
            || step.kind() == Some(Special::End)
                && module
                    .as_ref()
                    .is_some_and(|module| is_root(module.eh_frame.as_ref(), address));
        // In a hooked function the frame has to say so, wrapper or not.
        let rule = if wrapped && !flags.inside && step.transparent().is_transparent() {
            step.transparent().with_frame(0)
        } else {
            let frame = FrameRecord {
                module: match &module {
                    Some(module) => module.id,
                    None => self.jit_dump.id(process),
                },
                flags: flags.bits() | if names_itself { FRAME_EXACT } else { 0 },
                address: svma,
            };
            let Some(id) = self.frame_id(process, frame) else {
                // No room for the frame: not kept, so that nothing is recorded under a wrong name.
                return step.with_frame(0);
            };
            step.with_frame(id)
        };
        table::insert(&process.rules_lock, key, rule);
        rule
    }

    /// The frame of a function's first instruction; `None` where no object file holds it as code.
    pub(crate) fn function(&self, process: &Process, address: u64) -> Option<u32> {
        if !modules::is_code(address, address.checked_add(1)?) {
            return None;
        }
        let module = self.modules.at(process, address)?;
        let frame = FrameRecord {
            module: module.id,
            flags: FRAME_EXACT,
            address: address.wrapping_sub(module.bias),
        };
        self.frame_id(process, frame)
    }

    fn frame_id(&self, process: &Process, frame: FrameRecord) -> Option<u32> {
        let key = (frame.module, frame.flags, frame.address);
        if let Some(id) = get(&self.frames, &key) {
            return Some(id);
        }
        let id = process.recording.add_frame(frame).ok()?;
        Some(get_or_put(&self.frames, &key, id))
    }

    /// The step of a rule, without the frame.
    pub(crate) fn step(module: &Module, address: u64, lookup: u64, exact: bool) -> Rule {
        let eh_frame = module.eh_frame.as_ref();
        let entry = match eh_frame.map(|eh| (eh, compiled::look_up(eh, lookup))) {
            Some((_, Some(Some(state)))) => {
                let [ra, bp, sp] = [RA, FP, SP].map(|register| state.saved(register));
                return rule_of(&state.cfa(), &ra, &bp, &sp);
            }
            Some((eh, None)) => cfi::look_up_any(eh, lookup),
            Some((_, Some(None))) | None => Entry::Uncovered,
        };
        match entry {
            Entry::Row(Row { cfa, saved }) => {
                let [ra, bp, sp] = [RA, FP, SP].map(|register| &saved[register as usize]);
                rule_of(&cfa, ra, bp, sp)
            }
            Entry::Signal => Rule::special(Special::Signal),
            Entry::Unsupported => Rule::special(Special::Cut),
            Entry::Uncovered if !exact && is_root(eh_frame, address) => Rule::special(Special::End),
            Entry::Uncovered => by_code(address, exact),
        }
    }
}

/// The rule for code of an object file that no unwind information covers.
fn by_code(address: u64, exact: bool) -> Rule {
    if !exact && returns_from_signal(address) {
        return Rule::special(Special::Signal);
    }
    if !exact && is_root_of_libc(address) {
        return Rule::special(Special::End);
    }
    // What no call returns to was put there by hand.
    if !exact && !call::is_before(address) {
        return Rule::special(Special::Guess);
    }
    code::rule_of_object_code(address)
}

/// Returns whether a signal handler returns there: to the system call `rt_sigreturn`, in the one form in which
/// C libraries have it, and by which libgcc's unwinder knows it too. (musl's has no unwind information.)
fn returns_from_signal(address: u64) -> bool {
    const LEN: usize = code::SIGNAL_RETURN.len();
    modules::is_code(address, address.saturating_add(LEN as u64))
        // SAFETY: all of it was just found to be readable code.
        && unsafe { *(address as *const [u8; LEN]) } == code::SIGNAL_RETURN
}

/// Returns whether a program, or a thread, returns there from its first function.
fn is_root_of_libc(address: u64) -> bool {
    let end = address.saturating_add(c_library::ROOT_LEN as u64);
    // SAFETY: all of it was just found to be readable code.
    modules::is_code(address, end)
        && c_library::is_root(address, unsafe {
            &*(address as *const [u8; c_library::ROOT_LEN])
        })
}

/// Returns whether a return address that no unwind information covers is the root of a stack: the
/// start of a function, or code that ends the process, and behind no call. Such an address is put at
/// the base of a stack that was made by hand, for its first function to return to. glibc's
/// `makecontext` puts `__start_context` there.
fn is_root(eh_frame: Option<&EhFrame>, address: u64) -> bool {
    let begin = || eh_frame.and_then(|eh_frame| cfi::last_begin(eh_frame, address));
    !call::is_before(address) && (begin() == Some(address) || code::ends_the_process(address))
}
