//! Stacks made of random frames, which change as those of programs do and as they do not: a walk that uses the
//! last stack again must see what one from scratch sees.

use super::last::{Found, Last};
use super::nodes::Nodes;
use super::walk::{ids_afresh, own};
use super::{MOST, Stack};
use crate::heap::SpinLock;
use crate::recording::Recording;
use crate::stack::Bounds;
use crate::testing;
use crate::unwind::{self, Regs, Rule, Special};
use proptest::prelude::*;
use skipheap_format::layout::{CUT_TOO_DEEP, CUT_UNREADABLE, FIRST_FRAME_ID};
use skipheap_format::reader;
use std::collections::HashMap;

/// Words of the stack.
const WORDS: usize = 1 << 14;

/// How a function finds its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// From rsp; rbp is left alone.
    Plain,
    /// From rsp; rbp is saved.
    Saves,
    /// Along rbp.
    FramePointer,
    /// As `Plain`, an allocation wrapper.
    Wrapper,
    /// From a word beside rbp.
    Aligned,
    /// A frame pointer that was set up late.
    Late,
}

const KINDS: [Kind; 6] = [
    Kind::Plain,
    Kind::Saves,
    Kind::FramePointer,
    Kind::Wrapper,
    Kind::Aligned,
    Kind::Late,
];

/// A frame: how it is unwound, its words, which of the functions of that shape it is, and what it has in rbp where that
/// is no frame pointer.
#[derive(Clone, Copy, Debug)]
struct Frame {
    kind: Kind,
    words: u64,
    function: u64,
    junk: u64,
}

/// Of each shape there are so many functions.
const FUNCTIONS: u64 = 3;
const LEAST_WORDS: u64 = 6;
const MOST_WORDS: u64 = 9;

impl Frame {
    fn return_address(self) -> u64 {
        let shape = (self.kind as u64) * 16 + self.words;
        0x10_0000 + (shape * 16 + self.function) * 64
    }

    fn rule(self) -> Rule {
        let len = self.words * 8;
        let rule = match self.kind {
            Kind::Plain => Rule::from_sp(len, None).unwrap(),
            Kind::Saves => Rule::from_sp(len, Some(24)).unwrap(),
            Kind::FramePointer => Rule::from_bp(),
            Kind::Wrapper => return Rule::from_sp(len, None).unwrap().transparent(),
            Kind::Aligned => Rule::special(Special::Deref(-8)),
            Kind::Late => Rule::special(Special::LateBp(24)),
        };
        rule.with_frame((self.return_address() / 64) as u32)
    }

    /// Where rbp points in a frame that ends at `cfa`, if it has to point there.
    fn needs_bp(self, cfa: u64) -> Option<u64> {
        match self.kind {
            Kind::FramePointer => Some(cfa - 16),
            Kind::Aligned => Some(cfa - 24),
            Kind::Late => Some(cfa - 24),
            _ => None,
        }
    }
}

/// The return address of the root.
const ROOT: u64 = 0x9_0000;

fn all_rules(lock: &SpinLock) {
    for kind in KINDS {
        for words in LEAST_WORDS..=MOST_WORDS {
            for function in 0..FUNCTIONS {
                let frame = Frame {
                    kind,
                    words,
                    function,
                    junk: 0,
                };
                unwind::insert_for_tests(lock, frame.return_address(), frame.rule());
            }
        }
    }
    let root = Rule::special(Special::End).with_frame(FIRST_FRAME_ID);
    unwind::insert_for_tests(lock, ROOT, root);
}

/// The memory of a stack, and what a thread keeps of it.
struct Machine {
    memory: Vec<u64>,
    last: *mut Last,
}

impl Machine {
    fn new() -> Self {
        let mut machine = Self {
            memory: vec![0; WORDS],
            last: Last::map(),
        };
        machine.forget();
        machine
    }

    fn hi(&self) -> u64 {
        self.memory.as_ptr_range().end as u64
    }

    /// Makes the last stack one that was never used.
    fn forget(&mut self) {
        let lo = self.memory.as_ptr() as usize;
        let hi = self.hi() as usize;
        // SAFETY: mapped in `new`, and nobody else's.
        unsafe {
            Last::begin(self.last);
            (*self.last).set_bounds(Bounds { lo, hi }, true);
        }
    }

    fn put(&mut self, address: u64, value: u64) {
        let at = (address as usize - self.memory.as_ptr() as usize) / 8;
        self.memory[at] = value;
    }

    /// Lays the frames out, from the root (the last of them) on; the registers at the innermost.
    fn lay_out(&mut self, frames: &[Frame]) -> Regs {
        let mut regs = Regs {
            ra: ROOT,
            sp: self.hi() - 64,
            bp: 0,
        };
        for frame in frames.iter().rev() {
            let cfa = regs.sp;
            self.put(cfa - 8, regs.ra);
            let saves = !matches!(frame.kind, Kind::Plain | Kind::Wrapper);
            let bp = frame
                .needs_bp(cfa)
                .unwrap_or(if saves { frame.junk } else { regs.bp });
            match frame.kind {
                Kind::Plain | Kind::Wrapper => {}
                Kind::Saves => self.put(cfa - 24, regs.bp),
                Kind::FramePointer | Kind::Late => self.put(cfa - 16, regs.bp),
                Kind::Aligned => {
                    self.put(cfa - 24, regs.bp);
                    self.put(cfa - 32, cfa);
                }
            }
            regs = Regs {
                ra: frame.return_address(),
                sp: cfa - frame.words * 8,
                bp,
            };
        }
        self.put(regs.sp - 8, regs.ra);
        regs
    }

    /// Walks: the stack and its frames.
    fn walk(&mut self, regs: Regs) -> (Stack, Vec<u32>) {
        let entry = (regs.sp - 8) as *const u64;
        // SAFETY: the entry lies in our memory, whose bounds were set.
        unsafe {
            let stack = own(self.last, entry, regs.bp);
            (stack, (*self.last).ids(stack.depth))
        }
    }

    /// Returns whether the whole stack is found where the last walk left it.
    fn is_known(&self, regs: Regs, stack: Stack) -> bool {
        // SAFETY: the stack that was walked lies in our memory, whose bounds were set.
        let found = unsafe { (*self.last).compare((*self.last).at(stack.depth), regs, 0) };
        matches!(found, Some(Found::Rest { depth }) if depth == stack.depth)
    }
}

fn frame() -> impl Strategy<Value = Frame> {
    let kind = prop::sample::select(KINDS.to_vec());
    let parts = (kind, LEAST_WORDS..=MOST_WORDS, 0..FUNCTIONS, 0..4_u64);
    parts.prop_map(|(kind, words, function, junk)| Frame {
        kind,
        words,
        function,
        junk,
    })
}

/// What happens to a stack.
#[derive(Clone, Debug)]
enum Change {
    /// So many functions return, and others are called.
    Calls(usize, Vec<Frame>),
    /// A frame becomes that of another function of the same shape, and all below stay where they are.
    Replaces(prop::sample::Index, u64),
    /// A frame becomes another of the same length.
    Changes(prop::sample::Index, Kind),
    /// A word is overwritten.
    Overwrites(prop::sample::Index, u64),
}

fn change() -> impl Strategy<Value = Change> {
    let index = any::<prop::sample::Index>;
    prop_oneof![
        4 => (0..9_usize, prop::collection::vec(frame(), 0..9)).prop_map(|(n, new)| Change::Calls(n, new)),
        2 => (index(), 0..FUNCTIONS).prop_map(|(at, to)| Change::Replaces(at, to)),
        1 => (index(), prop::sample::select(KINDS.to_vec())).prop_map(|(at, to)| Change::Changes(at, to)),
        1 => (index(), any::<u64>()).prop_map(|(at, to)| Change::Overwrites(at, to)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_used_again_is_what_a_new_walk_finds(
        mut frames in prop::collection::vec(frame(), 0..60),
        changes in prop::collection::vec(change(), 1..40),
    ) {
        let _turn = testing::rules_in_turn();
        let lock = SpinLock::new();
        all_rules(&lock);
        let (mut machine, mut other) = (Machine::new(), Machine::new());
        // The other sees the same memory, and never what it saw before.
        let mut stacks: HashMap<(u64, usize), Vec<u32>> = HashMap::new();
        let mut regs = machine.lay_out(&frames);
        for change in changes {
            let mut is_stack = true;
            match change {
                Change::Calls(returns, calls) => {
                    frames.drain(..returns.min(frames.len()));
                    frames.splice(..0, calls);
                    regs = machine.lay_out(&frames);
                }
                Change::Replaces(at, to) if !frames.is_empty() => {
                    at.get_mut(&mut frames).function = to;
                    regs = machine.lay_out(&frames);
                }
                Change::Changes(at, to) if !frames.is_empty() => {
                    at.get_mut(&mut frames).kind = to;
                    regs = machine.lay_out(&frames);
                }
                Change::Overwrites(at, to) => {
                    let used = (machine.hi() - regs.sp) / 8;
                    let address = machine.hi() - 8 * (1 + at.index(used as usize) as u64);
                    machine.put(address, to);
                    // Some of the words are returned through. No code is at odd addresses.
                    is_stack = false;
                }
                _ => {}
            }
            if !is_stack {
                let lost = frames.clone();
                let known = |ra: u64| lost.iter().any(|frame| frame.return_address() == ra);
                // Only what the rules know: nothing is to be derived for an address that is none.
                let mut at = regs;
                let mut steps = 0;
                let mut sound = true;
                while sound && at.ra != ROOT && steps < 100 {
                    sound = known(at.ra);
                    let rule = unwind::rules().lookup(at.ra).unwrap_or(Rule(0));
                    if !sound || rule.kind().is_some() {
                        sound = false;
                        break;
                    }
                    // SAFETY: the frame lies in our memory, whose end is given.
                    sound = unsafe { unwind::step(&mut at, rule, machine.hi()) }.is_ok();
                    steps += 1;
                }
                if !sound {
                    regs = machine.lay_out(&frames);
                }
            }
            let (stack, ids) = machine.walk(regs);
            prop_assert!(machine.is_known(regs, stack));
            // From scratch, over the same memory.
            std::mem::swap(&mut machine.last, &mut other.last);
            machine.forget();
            let (expected, expected_ids) = machine.walk(regs);
            std::mem::swap(&mut machine.last, &mut other.last);
            prop_assert_eq!(&ids, &expected_ids);
            prop_assert_eq!(stack, expected);
            // SAFETY: the entry lies in our memory.
            let careful = unsafe { ids_afresh((regs.sp - 8) as *const u64, regs.bp) };
            prop_assert_eq!(&ids, &careful);
            let known = stacks.entry((stack.hash, stack.depth)).or_insert_with(|| ids.clone());
            prop_assert_eq!(known, &ids);
        }
        unwind::reset_for_tests();
    }
}

fn calls(count: usize, function: u64) -> Vec<Frame> {
    let frame = Frame {
        kind: Kind::FramePointer,
        words: LEAST_WORDS,
        function,
        junk: 0,
    };
    vec![frame; count]
}

#[test]
fn the_longest_stacks_are_cut_at_the_same_frame_however_they_are_found() {
    let _turn = testing::rules_in_turn();
    let lock = SpinLock::new();
    all_rules(&lock);
    let mut machine = Machine::new();
    // The root is a frame, too.
    for (depth, is_cut) in [
        (MOST - 1, false),
        (MOST, true),
        (MOST + 5, true),
        (MOST + 4, true),
        (MOST + 4, true),
        (MOST - 2, false),
        (MOST + 300, true),
        (MOST - 1, false),
    ] {
        let regs = machine.lay_out(&calls(depth, 1));
        let (stack, ids) = machine.walk(regs);
        assert_eq!(stack.depth, MOST.min(depth + 1));
        assert_eq!(ids.last() == Some(&CUT_TOO_DEEP), is_cut, "{depth}");
        assert_eq!(ids.len(), stack.depth + usize::from(is_cut));
        // SAFETY: the entry lies in our memory.
        let careful = unsafe { ids_afresh((regs.sp - 8) as *const u64, regs.bp) };
        assert_eq!(ids, careful);
    }
    unwind::reset_for_tests();
}

#[test]
fn a_stack_is_walked_anew_when_rules_were_forgotten() {
    let _turn = testing::rules_in_turn();
    let lock = SpinLock::new();
    all_rules(&lock);
    let mut machine = Machine::new();
    let regs = machine.lay_out(&calls(8, 1));
    let (before, _) = machine.walk(regs);
    let changed = calls(1, 1)[0];
    unwind::forget_for_tests(&lock, changed.return_address());
    let other = changed.rule().with_frame(FIRST_FRAME_ID + 7);
    unwind::insert_for_tests(&lock, changed.return_address(), other);
    let (after, ids) = machine.walk(regs);
    assert_ne!(before.hash, after.hash);
    assert_eq!(ids[..8], [FIRST_FRAME_ID + 7; 8]);
    unwind::reset_for_tests();
}

#[test]
fn a_frame_that_leads_astray_cuts_the_stack_each_time() {
    let _turn = testing::rules_in_turn();
    let lock = SpinLock::new();
    all_rules(&lock);
    let mut machine = Machine::new();
    let mut regs = machine.lay_out(&calls(8, 2));
    let sound = regs.bp;
    for bp in [sound, 8, sound, machine.hi(), machine.hi(), sound] {
        regs.bp = bp;
        let (_, ids) = machine.walk(regs);
        let expected = if bp == sound { 9 } else { 2 };
        assert_eq!(ids.len(), expected);
        assert_eq!(ids.last() == Some(&CUT_UNREADABLE), bp != sound);
    }
    unwind::reset_for_tests();
}

#[test]
fn stacks_share_their_nodes_and_are_read_as_they_were() {
    let _turn = testing::rules_in_turn();
    let lock = SpinLock::new();
    all_rules(&lock);
    // SAFETY: zeros are a recording before it was created, and nodes of which there are none.
    let (recording, nodes) =
        unsafe { (testing::zeroed::<Recording>(), testing::zeroed::<Nodes>()) };
    testing::create(recording);
    let mut machine = Machine::new();
    let mut random = 9_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (random >> 33) % below
    };
    let mut expected: Vec<(u32, Vec<u32>)> = Vec::new();
    let mut frames = calls(20, 0);
    for _ in 0..6000 {
        frames.drain(..next(6) as usize % (frames.len() + 1));
        for _ in 0..next(7) {
            frames.insert(0, calls(1, next(FUNCTIONS))[0]);
        }
        frames.truncate(40);
        let regs = machine.lay_out(&frames);
        let (stack, ids) = machine.walk(regs);
        // SAFETY: nobody else uses it.
        let node = unsafe { super::node_with_room(nodes, recording, machine.last, stack.depth) };
        let node = node.unwrap();
        expected.push((node, ids));
    }
    let bytes = recording.snapshot();
    let read = reader::Recording::parse(&bytes).unwrap();
    let by_node: HashMap<u32, &Vec<u32>> = expected.iter().map(|(id, ids)| (*id, ids)).collect();
    let by_stack: HashMap<&Vec<u32>, u32> = expected.iter().map(|(id, ids)| (ids, *id)).collect();
    assert_eq!(by_node.len(), by_stack.len());
    assert!(by_node.len() > 1000);
    for (node, ids) in &expected {
        assert_eq!(&read.stack_from(*node).unwrap(), ids);
    }
    unwind::reset_for_tests();
}

#[test]
fn a_handler_uses_no_frames_in_which_ids_are_being_noted() {
    let _turn = testing::rules_in_turn();
    all_rules(&SpinLock::new());
    let mut machine = Machine::new();
    let frames = [Frame {
        kind: Kind::Plain,
        words: 8,
        function: 0,
        junk: 0,
    }; 6];
    let regs = machine.lay_out(&frames);
    let entry = (regs.sp - 8) as *const u64;
    let (stack, _) = machine.walk(regs);
    let last = machine.last;
    // SAFETY: the last stack is this thread's, and the entry lies in the memory of the machine.
    unsafe {
        let rules = crate::unwind::generation();
        Last::claim(last, entry);
        assert_eq!((*last).depth(rules), stack.depth, "known before");
        Last::while_interning(last, entry, || {
            Last::claim(last, entry.sub(4));
            assert_eq!((*last).depth(rules), 0, "a handler's own walk");
            // The first handler has walked; another one comes before the interrupted call sees it.
            machine.walk(regs);
            Last::claim(last, entry.sub(4));
            assert_eq!((*last).depth(rules), 0, "a second handler's walk");
        });
        machine.walk(regs);
        Last::claim(last, entry);
        assert_eq!((*last).depth(rules), stack.depth, "known again");

        // A handler that is left by a jump never comes back to the call that noted ids.
        let noted = std::panic::catch_unwind(|| {
            Last::while_interning(last, entry, || std::panic::panic_any(()));
        });
        assert!(noted.is_err());
        Last::claim(last, entry);
        assert_eq!((*last).depth(rules), 0, "unknown what was noted");
        machine.walk(regs);
        Last::claim(last, entry);
        assert_eq!((*last).depth(rules), stack.depth, "the call is gone");
    }
}
