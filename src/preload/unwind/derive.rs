//! Derives the rule of a return address, once.
//!
//! framehop unwinds one frame from registers that stand for themselves: rsp and rbp are numbers far
//! apart, and every word of the stack reads as its own address plus a constant. What comes back
//! says which register the CFA was found from, at which offset, and where rbp was saved; anything
//! that is no such rule shows as numbers that do not fit.
//!
//! Runs in cold sections.

use super::cfi::{Class, classify};
use super::jit_dump::JitDump;
use super::modules::{Map, Module, Modules, get, get_or_put, map};
use super::rule::{Rule, Special};
use super::{EXACT, made_code, table};
use crate::patch::{self, Unwinding};
use crate::process::Process;
use crate::record::layout::{FRAME_EXACT, FrameRecord};
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering::*};
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64};
use framehop::{FrameAddress, MustNotAllocateDuringUnwind, Unwinder};

/// What all threads share about modules and frames.
pub(crate) struct Registry {
    pub(crate) modules: Modules,
    /// Frame ids by what the frame is, so that several threads, and a module that is loaded again,
    /// get the same one.
    frames: Map<(u32, u32, u64), u32>,
    jit_dump: JitDump,
    scratch: AtomicPtr<Scratch>,
}

/// framehop's working memory: 33 kB, too much for a thread's stack. One thread at a time uses the
/// kept one; others make their own.
pub(crate) struct Scratch {
    cache: CacheX86_64<MustNotAllocateDuringUnwind>,
    era: u32,
}

/// Unwinders made so far, in units of [`ERA`].
static MODULES_MADE: AtomicU32 = AtomicU32::new(0);
/// framehop tells unwinders apart by a counter of 16 bits; caches are thrown away well before it
/// comes round.
const ERA: u32 = 1 << 14;

impl Scratch {
    fn era_now() -> u32 {
        MODULES_MADE.load(Relaxed) / ERA
    }

    /// One more unwinder was made.
    pub(crate) fn note_new_module() {
        MODULES_MADE.fetch_add(1, Relaxed);
    }

    fn new() -> Box<Self> {
        Box::new(Self {
            cache: CacheX86_64::new_in(),
            era: Self::era_now(),
        })
    }
}

impl Registry {
    /// Nothing known yet.
    pub(crate) fn new() -> Self {
        Self {
            modules: Modules::new(),
            frames: map(),
            jit_dump: JitDump::new(),
            scratch: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn with_scratch<T>(&self, f: impl FnOnce(&mut Scratch) -> T) -> T {
        let kept = self.scratch.swap(ptr::null_mut(), AcqRel);
        let mut scratch = if kept.is_null() {
            Scratch::new()
        } else {
            // SAFETY: came from `into_raw` below, and the swap made it ours.
            unsafe { Box::from_raw(kept) }
        };
        if scratch.era != Scratch::era_now() {
            scratch = Scratch::new();
        }
        let result = f(&mut scratch);
        let mine = Box::into_raw(scratch);
        if self
            .scratch
            .compare_exchange(ptr::null_mut(), mine, AcqRel, Relaxed)
            .is_err()
        {
            // SAFETY: not handed over, so still ours.
            drop(unsafe { Box::from_raw(mine) });
        }
        result
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
            None => patch::unwinding_at(address).and_then(|how| self.of_trampoline(process, how)),
        };
        let step = match &module {
            Some(module) => self.step(module, address, lookup, exact),
            None => of_trampoline
                .or_else(|| made_code::rule(address).filter(|_| !exact))
                .unwrap_or(Rule::special(Special::Guess)),
        };
        let wrapped = match &module {
            Some(module) => module.is_wrapper(if exact { svma } else { svma.wrapping_sub(1) }),
            // It is no function that anybody called.
            None => of_trampoline.is_some(),
        };
        let flags = patch::Flags::of(address, exact);
        // In a hooked function the frame has to say so, wrapper or not.
        let rule = if wrapped && !flags.inside && step.transparent().is_transparent() {
            step.transparent().with_frame(0)
        } else {
            let frame = FrameRecord {
                module: match &module {
                    Some(module) => module.id,
                    None => self.jit_dump.id(process),
                },
                flags: flags.bits() | if exact { FRAME_EXACT } else { 0 },
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

    fn of_trampoline(&self, process: &Process, how: Unwinding) -> Option<Rule> {
        match how {
            Unwinding::Cfa(offset) => Rule::from_sp(offset, None),
            Unwinding::AsAt(original) => {
                let module = self.modules.at(process, original)?;
                Some(self.step(&module, original, original, true))
            }
        }
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
    pub(crate) fn step(&self, module: &Module, address: u64, lookup: u64, exact: bool) -> Rule {
        let Some(eh_frame) = &module.eh_frame else {
            return Rule::special(Special::Guess);
        };
        let asked = self.with_scratch(|scratch| ask_framehop(module, scratch, address, exact));
        // What framehop does not cover ends, in its answer, with the frame pointer or nothing; a
        // rule from rsp can only come from the unwind information.
        if !asked.is_special() && !asked.is_bp_based() {
            return asked;
        }
        match classify(eh_frame, lookup) {
            Class::Uncovered => Rule::special(Special::Guess),
            Class::Signal => Rule::special(Special::Signal),
            Class::Unsupported => Rule::special(Special::Cut),
            Class::Deref(offset) => Rule::special(Special::Deref(offset)),
            Class::Ordinary => asked,
        }
    }
}

fn ask_framehop(module: &Module, scratch: &mut Scratch, address: u64, exact: bool) -> Rule {
    const SP: u64 = 1 << 40;
    const BP: u64 = 1 << 50;
    const MEMORY: u64 = 1 << 60;
    /// No frame is larger than the distance of the symbols.
    const FAR: u64 = 1 << 30;
    let at = if exact {
        Some(FrameAddress::from_instruction_pointer(address))
    } else {
        FrameAddress::from_return_address(address)
    };
    let Some(at) = at else {
        return Rule::special(Special::End);
    };
    let mut regs = UnwindRegsX86_64::new(address, SP, BP);
    let mut read = |slot: u64| Ok(slot.wrapping_add(MEMORY));
    let caller = match module
        .unwinder
        .unwind_frame(at, &mut regs, &mut scratch.cache, &mut read)
    {
        Ok(Some(caller)) => caller,
        Ok(None) => return Rule::special(Special::End),
        Err(_) => return Rule::special(Special::Cut),
    };
    let cfa = regs.sp();
    if caller != cfa.wrapping_sub(8).wrapping_add(MEMORY) {
        return Rule::special(Special::Cut);
    }
    let saved_bp = (regs.bp() != BP).then(|| cfa.wrapping_sub(regs.bp().wrapping_sub(MEMORY)));
    // A slot below rsp is no longer (or not yet) the frame's: an epilogue has restored rbp already,
    // and the table does not tell.
    let from_sp = cfa.wrapping_sub(SP);
    let saved_bp = saved_bp.filter(|&below| from_sp >= FAR || below <= from_sp);
    let from_bp = cfa.wrapping_sub(BP);
    if from_bp < FAR {
        return match (from_bp, saved_bp) {
            (16, Some(16)) => Rule::from_bp(),
            (_, Some(16)) => Rule::special(Special::LateBp(from_bp as i64)),
            _ => Rule::special(Special::Cut),
        };
    }
    Rule::from_sp(from_sp, saved_bp).unwrap_or(Rule::special(Special::Cut))
}
