//! Parts of the memory in which no word counts: what lies below the stack pointers of threads, and the
//! stacks of threads that have ended with the descriptor and the thread-local memory at their tops. glibc keeps
//! them for the next threads, musl until a thread that can be joined is.
//!
//! The stack of a thread is found by its descriptor, which begins where the thread pointer points and has its own
//! address in its first word.
//!
//! - glibc (`struct pthread` of nptl/descr.h): its own address is in the third word too. Somewhere in it
//!   stand the start and the size of the stack, and behind these the size of its guard.
//! - musl: see [`c_library::mapping_of`].

use super::memory::{Mapping, PAGE, Reader};
use crate::c_library::{self, CLibrary, mapping_of};
use crate::deep::Last;
use crate::process::Process;
use crate::unwind;
use core::ops::Range;

/// Words of a descriptor of glibc that are looked at; it has about 0x900 bytes in all versions so far.
const DESCRIPTOR: usize = 0x800 / 8;
/// Where the descriptor has its stack, in words, at the least.
const STACK: usize = 0x100 / 8;
/// Bytes between the start of the descriptor and the end of the stack at most.
const FARTHEST_END: usize = 1 << 16;
/// What descriptors are aligned to.
const ALIGNMENT: usize = 64;

/// Where a thread is: its stack pointer, and less what lies below that and is in use, and its thread pointer.
#[derive(Clone, Copy)]
pub(super) struct Thread {
    pub(super) sp: usize,
    pub(super) tp: usize,
}

/// What does not live.
pub(super) struct Dead {
    /// The parts that are left out, in order.
    parts: Vec<Range<usize>>,
    /// What glibc keeps for the next thread with the stack of one that has ended: addresses of the tables of
    /// thread-local memory. The blocks are no leaks, and what is in those to which they lead does not live.
    pub(super) tables: Vec<u64>,
}

impl Dead {
    /// Finds them. `others_stand`: `threads` are all of them. Else they may be anywhere, and all stacks count
    /// but those of which these threads are known.
    pub(super) fn find(
        threads: &[Thread],
        others_stand: bool,
        process: &Process,
        mappings: &[Mapping],
        reader: &mut Reader,
    ) -> Self {
        let (mut dead, mut tables) = (Vec::new(), Vec::new());
        // The library's own data and heap: where mappings lay that it has given up, the program has others.
        // (Not all of its pages: musl's malloc uses what is left of them in front of a segment and behind it.)
        unwind::each_segment(find_ended as *const () as u64, |segment| dead.push(segment));
        process.heap.each_mapping(|mapping| dead.push(mapping));
        // What was read of the program's stacks lies there still.
        Last::each_mapping(|mapping| dead.push(mapping));
        for thread in threads {
            let own = stack_below(thread.tp, reader);
            let main = || {
                let mapping = mappings.iter().find(|mapping| mapping.is_main_stack)?;
                Some(mapping.start..mapping.end)
            };
            let stack = own.filter(|stack| stack.contains(&thread.sp));
            let stack = stack.or_else(|| main().filter(|main| main.contains(&thread.sp)));
            if let Some(stack) = stack {
                dead.push(stack.start..thread.sp & !7);
            }
        }
        if others_stand {
            for mapping in mappings.iter().filter(|mapping| mapping.may_be_stack) {
                match c_library::kind() {
                    CLibrary::Glibc => {
                        find_ended(mapping, threads, reader, &mut dead, &mut tables);
                    }
                    CLibrary::Musl => find_ended_of_musl(mapping, threads, reader, &mut dead),
                }
            }
        }
        let mut found = Self {
            parts: Vec::new(),
            tables,
        };
        found.add(dead);
        found
    }

    /// Leaves out more parts.
    pub(super) fn add(&mut self, parts: Vec<Range<usize>>) {
        let parts = parts.into_iter().filter(|range| !range.is_empty());
        self.parts.extend(parts);
        self.parts.sort_unstable_by_key(|range| range.start);
        self.parts.dedup_by(|next, before| {
            let joins = next.start <= before.end;
            if joins {
                before.end = before.end.max(next.end);
            }
            joins
        });
    }

    /// Hands what is left of a part of the memory to `f`.
    pub(super) fn around(&self, part: Range<usize>, mut f: impl FnMut(Range<usize>)) {
        let mut from = part.start;
        let first = self.parts.partition_point(|dead| dead.end <= part.start);
        for dead in self.parts.get(first..).unwrap_or(&[]) {
            if dead.start >= part.end {
                break;
            }
            if from < dead.start {
                f(from..dead.start);
            }
            from = from.max(dead.end);
        }
        if from < part.end {
            f(from..part.end);
        }
    }
}

/// The stack of the thread whose descriptor is at `tp`.
fn stack_below(tp: usize, reader: &mut Reader) -> Option<Range<usize>> {
    match c_library::kind() {
        CLibrary::Glibc => Some(stack_of(tp, &descriptor(tp, reader)?)?.range),
        CLibrary::Musl => {
            let mapping = mapping_of(tp, &descriptor(tp, reader)?)?;
            Some(mapping.range.start..mapping.stack_end)
        }
    }
}

/// The mappings of ended threads that nobody has joined, in a mapping.
fn find_ended_of_musl(
    mapping: &Mapping,
    threads: &[Thread],
    reader: &mut Reader,
    dead: &mut Vec<Range<usize>>,
) {
    let mut found = Vec::new();
    reader.present(mapping.start, mapping.end, |at, word| {
        if word == at as u64 {
            found.push(at);
        }
    });
    for start in found {
        let is_alive = threads.iter().any(|thread| thread.tp == start);
        let words = descriptor(start, reader).filter(|_| !is_alive);
        if let Some(ended) = words.and_then(|words| mapping_of(start, &words)) {
            dead.push(ended.range);
        }
    }
}

/// The stacks of ended threads that glibc keeps in a mapping.
fn find_ended(
    mapping: &Mapping,
    threads: &[Thread],
    reader: &mut Reader,
    dead: &mut Vec<Range<usize>>,
    tables: &mut Vec<u64>,
) {
    let mut found = Vec::new();
    // Its first and its third word have its address.
    let mut before = [0_u64; 2];
    reader.present(mapping.start, mapping.end, |at, word| {
        let start = at - 16;
        if before[0] == start as u64 && word == start as u64 && start.is_multiple_of(ALIGNMENT) {
            found.push(start);
        }
        before = [before[1], word];
    });
    for start in found {
        let is_alive = threads.iter().any(|thread| thread.tp == start);
        let Some(words) = descriptor::<DESCRIPTOR>(start, reader).filter(|_| !is_alive) else {
            continue;
        };
        // What the program has given as a stack is its own again, and has no guard.
        if let Some(stack) = stack_of(start, &words).filter(|stack| stack.guard != 0) {
            dead.push(stack.range);
            // Between the two that have its own address (`tcbhead_t`).
            tables.push(words[1]);
        }
    }
}

struct Stack {
    range: Range<usize>,
    guard: usize,
}

fn descriptor<const WORDS: usize>(at: usize, reader: &mut Reader) -> Option<[u64; WORDS]> {
    let mut words = [0; WORDS];
    let mut read = 0;
    if at == 0 || !at.is_multiple_of(8) {
        return None;
    }
    reader.words(at, size_of_val(&words), |_, word| {
        if let Some(slot) = words.get_mut(read) {
            *slot = word;
        }
        read += 1;
    });
    (read == WORDS).then_some(words)
}

/// The stack on whose top a descriptor lies.
fn stack_of(descriptor: usize, words: &[u64; DESCRIPTOR]) -> Option<Stack> {
    let mut triples = words.windows(3).skip(STACK);
    triples.find_map(|words| {
        let &[start, size, guard] = words else {
            return None;
        };
        let (start, size, guard) = (start as usize, size as usize, guard as usize);
        let end = start.checked_add(size)?;
        let is_stack = start != 0
            && start.is_multiple_of(PAGE)
            && start < descriptor
            && descriptor < end
            && end - descriptor <= FARTHEST_END
            && guard < size;
        is_stack.then_some(Stack {
            range: start..end,
            guard,
        })
    })
}
