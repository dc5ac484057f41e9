//! Real stacks: the rules, framehop and libgcc must see the same frames, and the walks and the
//! assembly of the hot path must record the first four of them.

use super::chains::{Link, chains, run};
use crate::testing;
use crate::unwind::modules::Module;
use crate::unwind::rule::{Rule, Special};
use crate::unwind::walk::{self, Regs};
use crate::unwind::{self, EXACT, Frames, LONGEST_WALK, careful, careful_walk, registry};
use crate::{stack, thread};
use framehop::x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64};
use framehop::{ExplicitModuleSectionInfo, FrameAddress, MustNotAllocateDuringUnwind, Unwinder};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use skipheap_format::layout::CUT_TOO_DEEP;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Jumps to `inspect(entry, bp, data)` as a hook goes on to the recording: `entry` points at the
/// return address into the caller, `bp` is the caller's rbp.
#[unsafe(naked)]
unsafe extern "C" fn enter(
    inspect: unsafe extern "C" fn(*const u64, u64, *mut c_void),
    data: *mut c_void,
) {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "mov rax, rdi",
        "mov rdx, rsi",
        "mov rdi, rsp",
        "mov rsi, rbp",
        "jmp rax",
        ".cfi_endproc",
    )
}

/// Has the hot path record an allocation of `size` bytes by the caller; leaves the return address in
/// `ra` and returns it.
#[unsafe(naked)]
unsafe extern "C" fn allocate(ra: *mut u64, size: u64) -> *mut u64 {
    core::arch::naked_asm!(
        ".cfi_startproc",
        "mov rax, qword ptr [rsp]",
        "mov qword ptr [rdi], rax",
        "mov rax, rdi",
        "mov rdi, rsi",
        "jmp {record}",
        ".cfi_endproc",
        record = sym crate::arch::hot::record,
    )
}

/// A frame as an unwinder sees it: the address, whether that is of an interrupted instruction, and
/// rsp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Frame {
    address: u64,
    exact: bool,
    sp: u64,
}

unsafe extern "C" {
    fn _Unwind_Backtrace(
        callback: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
        data: *mut c_void,
    ) -> c_int;
    fn _Unwind_GetIPInfo(context: *mut c_void, exact: *mut c_int) -> usize;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
}

/// What libgcc sees, from its own caller on.
fn by_libgcc() -> Vec<Frame> {
    unsafe extern "C" fn visit(context: *mut c_void, frames: *mut c_void) -> c_int {
        let mut exact = 0;
        // SAFETY: the context is libgcc's own, and `frames` is the vector below.
        unsafe {
            let address = _Unwind_GetIPInfo(context, &raw mut exact) as u64;
            let sp = _Unwind_GetCFA(context) as u64;
            (*frames.cast::<Vec<Frame>>()).push(Frame {
                address,
                exact: exact != 0,
                sp,
            });
        }
        0
    }
    let mut frames: Vec<Frame> = Vec::new();
    // SAFETY: `visit` keeps the contract of the callback.
    unsafe { _Unwind_Backtrace(visit, (&raw mut frames).cast()) };
    frames
}

/// What the rules lead to: the frames, the registers of each, and its rule.
#[derive(Default)]
struct Walked {
    frames: Vec<Frame>,
    regs: Vec<Regs>,
    rules: Vec<Rule>,
}

/// The registers as they are compared.
fn words(regs: Regs) -> [u64; 3] {
    [regs.ra, regs.sp, regs.bp]
}

/// Follows the rules from `regs` to the root. `own` is the end of the thread's own stack, if that is
/// the one.
fn by_rules(mut regs: Regs, mut own: Option<u64>) -> Result<Walked, TestCaseError> {
    let process = testing::process();
    let registry = registry(process).unwrap();
    let mut walked = Walked::default();
    let mut exact = false;
    loop {
        let key = if exact { regs.ra | EXACT } else { regs.ra };
        let rule = registry.derive(process, key);
        walked.frames.push(Frame {
            address: regs.ra,
            exact,
            sp: regs.sp,
        });
        walked.regs.push(regs);
        walked.rules.push(rule);
        let careful = careful::step_for_tests(regs, exact, rule, None);
        // Of plain steps there are two versions, for the thread's own stack and for any other.
        if let (Some(hi), false) = (own, rule.is_special()) {
            let mut plain = regs;
            // SAFETY: the frame lies on the thread's own stack, which ends at hi.
            let done = unsafe { unwind::step(&mut plain, rule, hi) };
            prop_assert_eq!(
                done.ok().map(|()| words(plain)),
                careful.ok().map(|(next, _)| words(next))
            );
        }
        match careful {
            Ok((next, interrupted)) => {
                // What was interrupted may be on another stack.
                if interrupted {
                    own = None;
                }
                (regs, exact) = (next, interrupted);
            }
            Err(marker) => {
                prop_assert_eq!(marker, 0, "cut short at {:x?} by {:?}", regs, rule);
                return Ok(walked);
            }
        }
    }
}

type FramehopUnwinder = UnwinderX86_64<&'static [u8], MustNotAllocateDuringUnwind>;

/// What framehop makes of a module.
fn framehop_unwinder(module: &Module) -> FramehopUnwinder {
    let mut unwinder = UnwinderX86_64::new();
    let eh = module.eh_frame.unwrap();
    let range = |start: u64, bytes: &[u8]| start..start + bytes.len() as u64;
    // With addresses in memory as the file's own addresses no conversion is needed.
    let sections = ExplicitModuleSectionInfo {
        base_svma: module.found.start,
        eh_frame_hdr: Some(eh.hdr),
        eh_frame_hdr_svma: Some(range(eh.hdr_address, eh.hdr)),
        eh_frame: Some(eh.frame),
        eh_frame_svma: Some(range(eh.frame_address, eh.frame)),
        ..Default::default()
    };
    unwinder.add_module(framehop::Module::new(
        String::new(),
        module.found.start..module.found.end,
        module.found.start,
        sections,
    ));
    unwinder
}

/// Compares each step with that of framehop, up to a signal frame, which it does not follow. How
/// many there were.
fn check_framehop(walked: &Walked) -> Result<usize, TestCaseError> {
    let process = testing::process();
    let registry = registry(process).unwrap();
    let mut cache: CacheX86_64<MustNotAllocateDuringUnwind> = CacheX86_64::new_in();
    let mut unwinders = HashMap::new();
    let mut compared = 0;
    for (i, (regs, rule)) in walked.regs.iter().zip(&walked.rules).enumerate() {
        if rule.kind() == Some(Special::Signal) {
            break;
        }
        let module = registry.modules.at(process, regs.ra - 1).unwrap();
        let mut theirs = UnwindRegsX86_64::new(regs.ra, regs.sp, regs.bp);
        let at = FrameAddress::from_return_address(regs.ra).unwrap();
        // SAFETY: framehop reads words of frames that are on the stack.
        let mut read = |at: u64| Ok(unsafe { *(at as *const u64) });
        let caller = unwinders
            .entry(module.found.start)
            .or_insert_with(|| framehop_unwinder(&module))
            .unwind_frame(at, &mut theirs, &mut cache, &mut read)
            .unwrap()
            .map(|ra| [ra, theirs.sp(), theirs.bp()]);
        let ours = walked.regs.get(i + 1).copied().map(words);
        prop_assert_eq!(ours, caller, "the caller of {:x?}", regs);
        compared += 1;
    }
    Ok(compared)
}

/// The first four frames as a walk must see them.
fn first_four(walked: &Walked) -> Frames {
    let mut ids = [0_u64; 4];
    let mut taken = 0;
    let mut last = None;
    // A walk begins to count anew where it meets the first rule that is not plain.
    let mut steps = 0;
    let mut plain = true;
    for (frame, rule) in walked.frames.iter().zip(&walked.rules) {
        if plain && rule.kind().is_some() {
            (plain, steps) = (false, 0);
        }
        if steps == LONGEST_WALK {
            ids[taken] = u64::from(CUT_TOO_DEEP);
            break;
        }
        steps += 1;
        let this = Some((frame.address, frame.exact));
        let counts = rule.kind() != Some(Special::Signal) && !rule.is_transparent() && this != last;
        last = this;
        if counts {
            ids[taken] = rule.frame();
            taken += 1;
            if taken == 4 {
                break;
            }
        }
    }
    // The root is repeated.
    let is_whole = walked
        .rules
        .last()
        .is_some_and(|rule| rule.kind() == Some(Special::End));
    if is_whole && taken > 0 && taken < 4 && ids[taken] == 0 {
        let root = ids[taken - 1];
        ids[taken..].fill(root);
    }
    walk::pack(ids)
}

/// What was seen so far.
struct Findings {
    /// Frames that libgcc and framehop saw as we did.
    libgcc: usize,
    framehop: usize,
    /// The last stack.
    walked: Walked,
    /// Whether it was the thread's own.
    own: bool,
    /// The first difference.
    result: Result<(), TestCaseError>,
}

impl Findings {
    fn none() -> Self {
        Self {
            libgcc: 0,
            framehop: 0,
            walked: Walked::default(),
            own: false,
            result: Ok(()),
        }
    }

    /// Compares all views of the stack whose first return address is at `entry`.
    ///
    /// # Safety
    /// `entry` points at the return address of a call that has not returned, `bp` is the rbp of its
    /// caller.
    unsafe fn inspect(&mut self, entry: *const u64, bp: u64) -> Result<(), TestCaseError> {
        // SAFETY: as the caller promises.
        let ra = unsafe { *entry };
        let sp = entry as u64 + 8;
        let own = stack::own_bounds(sp as usize).map(|bounds| bounds.hi as u64);
        self.own = own.is_some();
        let walked = by_rules(Regs { ra, sp, bp }, own)?;

        let theirs = by_libgcc();
        let start = theirs.iter().position(|frame| frame.sp == sp).unwrap();
        // It goes on to the root's caller, at address 0.
        let end = theirs.iter().position(|frame| frame.address == 0).unwrap();
        let theirs = &theirs[start..end];
        for (ours, theirs) in walked.frames.iter().zip(theirs) {
            prop_assert_eq!(ours, theirs);
        }
        prop_assert_eq!(walked.frames.len(), theirs.len());
        self.libgcc += theirs.len();
        self.framehop += check_framehop(&walked)?;

        let expected = first_four(&walked);
        // SAFETY: `entry` is as the caller promises, and `own` the end of its stack.
        unsafe {
            prop_assert_eq!(careful_walk(entry, bp), expected);
            if let Some(hi) = own {
                prop_assert_eq!(walk::walk(entry, bp, hi), expected);
            }
        }
        self.walked = walked;
        Ok(())
    }

    /// Looks at what was recorded for allocations of `size` bytes, which differ from the stack that
    /// was inspected in the innermost return address only.
    fn check_recorded(&mut self, ra: u64, size: u64) -> Result<(), TestCaseError> {
        let process = testing::process();
        self.walked.frames[0].address = ra;
        self.walked.rules[0] = registry(process).unwrap().derive(process, ra);
        let ids = first_four(&self.walked);
        let ids = [ids.first, ids.first >> 32, ids.second, ids.second >> 32].map(|id| id as u32);
        let mut counts = testing::site_counts(&process.recording);
        counts.retain(|site, _| site.1 == size);
        prop_assert_eq!(counts, [((ids, size), CALLS)].into());
        Ok(())
    }
}

unsafe extern "C" fn inspect(entry: *const u64, bp: u64, findings: *mut c_void) {
    // SAFETY: `check` passes its findings, and `enter` where they were called from.
    unsafe {
        let findings = &mut *findings.cast::<Findings>();
        findings.result = findings.inspect(entry, bp);
    }
}

/// Allocations at each stack.
const CALLS: u64 = 5;

/// Compares all views of the stack from here on, and what the hot path records here.
#[inline(never)]
fn check(findings: &mut Findings) {
    // SAFETY: `inspect` gets what it expects.
    unsafe { enter(inspect, std::ptr::from_mut(findings).cast()) };
    if findings.own && findings.result.is_ok() {
        static SIZE: AtomicU64 = AtomicU64::new(1 << 40);
        let size = SIZE.fetch_add(1, Relaxed);
        let state = thread::state_for_tests(testing::process());
        let mut ra = 0;
        // The first one makes the site, by the longer way.
        for _ in 0..black_box(CALLS) {
            let before = ra;
            // SAFETY: the thread has a state; `allocate` writes the return address alone.
            let block = unsafe { allocate(&raw mut ra, size) };
            assert!(block == &raw mut ra && (before == 0 || before == ra));
        }
        drop(state);
        findings.result = findings.check_recorded(ra, size);
    }
    black_box(findings);
}

/// Runs `f` on a stack that is long enough for all chains.
fn on_a_long_stack(f: impl FnOnce() + Send + 'static) {
    let builder = std::thread::Builder::new().stack_size(64 << 20);
    if let Err(panic) = builder.spawn(f).unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

fn check_chain(chain: &[Link], findings: &mut Findings) -> Result<(), TestCaseError> {
    let mut inspected = 0;
    run(chain, &mut || {
        inspected += 1;
        check(findings);
    });
    prop_assert_eq!(inspected, 1);
    findings.result.clone()
}

#[test]
fn random_chains_of_calls_look_the_same_to_all() {
    let _turn = testing::rules_in_turn();
    on_a_long_stack(|| {
        let findings = RefCell::new(Findings::none());
        let mut runner = TestRunner::new(ProptestConfig::with_cases(300));
        let result = runner.run(&chains(), |chain| {
            check_chain(&chain, &mut findings.borrow_mut())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
        let Findings {
            libgcc, framehop, ..
        } = findings.into_inner();
        println!("frames compared with libgcc: {libgcc}, with framehop: {framehop}");
        assert!(libgcc > 1000 && framehop > 1000);
    });
}

#[test]
fn each_shape_of_frame_looks_the_same_to_all() {
    let _turn = testing::rules_in_turn();
    on_a_long_stack(|| {
        let mut findings = Findings::none();
        for link in [
            Link::Frame160k,
            Link::Aligned,
            Link::Sort,
            Link::Qsort,
            Link::Display,
            Link::Thread,
            Link::Signal { alternate: false },
            Link::Signal { alternate: true },
            Link::Recursion(255),
            Link::PingPong(20_000),
        ] {
            let result = check_chain(&[link, Link::Call, link], &mut findings);
            assert!(result.is_ok(), "{link:?}: {result:?}");
        }
        assert!(findings.libgcc > 40_000 && findings.framehop > 40_000);
    });
}
