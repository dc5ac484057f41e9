//! The leak check: which blocks the program can still reach at its end.
//!
//! A conservative mark, as LeakSanitizer's: every aligned word of the program's memory that looks like an
//! address within a live block keeps that block, and what the block holds is looked at likewise. Roots are
//! all mappings that were written: data of objects, stacks, thread-local memory, memory that the program has
//! mapped itself; and the registers of its threads, which are stopped meanwhile ([`stopped`]). No roots are
//!
//! - the library's own data and heap, and its mappings, which a child of fork would find wiped and the kernel marks
//!   so;
//! - what is free in glibc's heaps, where freed blocks keep stale addresses ([`heap`]), and in musl's
//!   ([`musl_heap`]);
//! - what glibc's malloc has in the C library's data ([`Blocks::mark_of_libc`]);
//! - stacks below their stack pointers, those of threads that have ended ([`stacks`]), and in the exiting
//!   thread the frames of `exit` and of what runs below it ([`caller`]).
//!
//! A block is called unreachable only when no such word was found. What this cannot see: addresses that
//! are stored in disguise.
//!
//! One cold section at the end. Where other threads run on they may unmap memory, so nothing is read
//! directly.

mod blocks;
mod caller;
mod heap;
mod memory;
mod musl_heap;
mod pages;
mod stacks;
mod stopped;

use crate::c_library::{self, CLibrary, Malloc};
use crate::process::Process;
use crate::settings::settings;
use crate::{arch, log, patch, real, wiped};
use blocks::Blocks;
pub(crate) use blocks::Unreached;
use caller::Caller;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use heap::{FreeLists, Heap};
use memory::{Mapping, Reader};
use skipheap_format::messages;
use skipheap_format::note::{Kind, Note, Reason};
use stacks::{Dead, Thread};
use std::io;
use stopped::Others;

/// Blocks that are longer are read page by page, and only where there are pages.
const LONG: usize = 1 << 16;
/// Blocks that are as long may have been given to threads as their stacks.
const STACK: usize = 1 << 14;
/// How often the memory is read where other threads run on: what they move about is found in one place or
/// another.
const READINGS: usize = 20;

/// Finds the unreachable blocks and writes them into the recording, or why that could not be done. `sp`: the
/// program's stack is in use from there. `handlers_run`: the process ends by `exit` or its like.
pub(super) fn check(process: &Process, sp: usize, handlers_run: bool) {
    if let Err(error) = find(process, sp, handlers_run) {
        miss(process, &error.note());
    }
}

/// Says why leaks may have been missed, and that they may.
fn miss(process: &Process, why: &Note<String>) {
    process.recording.miss_leaks();
    say(process, why);
}

/// Says something that a reader of the leaks has to know.
fn say(process: &Process, note: &Note<String>) {
    if settings().session.get().is_empty() {
        log::line(&[b"heap profiler: ", messages::note(note).as_bytes()]);
    }
    // Where there is no room, that is said anyway.
    let _ = process.recording.add_note(note);
}

/// Why no leak check was made.
enum Fault {
    /// The program's memory cannot be told from ours.
    MemoryNotTold,
    /// It cannot be read.
    Io(io::Error),
}

impl Fault {
    fn note(&self) -> Note<String> {
        match self {
            Self::MemoryNotTold => Note::because(Kind::NoLeakCheck, Reason::MemoryNotTold, []),
            Self::Io(error) => Note::new(Kind::NoLeakCheck, [error.to_string()]),
        }
    }
}

impl<E: Into<io::Error>> From<E> for Fault {
    fn from(error: E) -> Self {
        Self::Io(error.into())
    }
}

fn find(process: &Process, sp: usize, handlers_run: bool) -> Result<(), Fault> {
    if wiped::is_left_to_us() {
        // Our own tables would be taken for the program's memory, in which each block is found.
        return Err(Fault::MemoryNotTold);
    }
    let caller = caller::find(sp, handlers_run);
    let others = Others::stop();
    let mut blocks = Blocks::collect(process).ok_or(io::ErrorKind::OutOfMemory)?;
    let mut roots = Roots::new(process, caller, &others, &mut blocks)?;
    let readings = if others.is_ok() { 1 } else { READINGS };
    for _ in 0..readings {
        blocks.scan_again();
        roots.mark(&mut blocks, &others);
        roots.follow(&mut blocks, |blocks, word| blocks.mark(word));
    }
    roots.keep_tables(&mut blocks);
    let mut next = 0;
    while let Some(lost) = blocks.next_lost(next) {
        roots.follow(&mut blocks, |blocks, word| {
            blocks.mark_lost_with(lost, word)
        });
        next = lost + 1;
    }
    let unread = roots.reader.unread;
    let why = others.as_ref().err().copied();
    // What has the threads wait ends here.
    drop(others);
    if let Some(why) = why {
        say(process, &Note::because(Kind::ThreadsRan, why, []));
    }
    if unread > 0 {
        say(
            process,
            &Note::new(Kind::MemoryUnread, [unread.to_string()]),
        );
    }
    if roots.malloc == Malloc::Foreign {
        miss(process, &Note::new(Kind::OtherMalloc, []));
    }
    if patch::hooks_allocators() {
        miss(process, &Note::new(Kind::HookedNotChecked, []));
    }
    process.recording.add_leaks(blocks.unreached());
    Ok(())
}

/// Where addresses of blocks are looked for.
struct Roots {
    mappings: Vec<Mapping>,
    dead: Dead,
    reader: Reader,
    caller: Caller,
    /// Whose malloc the blocks are.
    malloc: Malloc,
    /// What stands for the file of the C library, if that is glibc.
    libc: u64,
    /// The heaps of glibc's malloc.
    heaps: Vec<Heap>,
}

impl Roots {
    fn new(
        process: &Process,
        caller: Caller,
        others: &Result<Option<Others>, Reason>,
        blocks: &mut Blocks,
    ) -> io::Result<Self> {
        let mut reader = Reader::new()?;
        let mappings = memory::mappings()?;
        let mut threads = vec![Thread {
            sp: caller.sp,
            tp: arch::thread_pointer(),
        }];
        for other in others.iter().flatten().flat_map(Others::each) {
            threads.push(Thread {
                sp: other.sp,
                tp: other.tp,
            });
        }
        let mut dead = Dead::find(&threads, others.is_ok(), process, &mappings, &mut reader);
        let malloc = c_library::owner_of_malloc(real::MALLOC.load(Relaxed) as usize);
        let libc = match c_library::kind() {
            CLibrary::Glibc => c_library::object().map_or(0, |libc| libc.l_ld as usize),
            CLibrary::Musl => 0,
        };
        let of_libc = |mapping: &&Mapping| (mapping.start..mapping.end).contains(&libc);
        let libc = mappings.iter().find(of_libc).map_or(0, |found| found.file);
        let mut heaps = Vec::new();
        match malloc {
            Malloc::Glibc => {
                let lists = FreeLists::find(&mappings, libc, &mut reader);
                for mapping in &mappings {
                    heaps.extend(Heap::find(mapping, &lists, blocks, &mut reader));
                }
            }
            Malloc::Musl => dead.add(musl_heap::dead_parts(blocks, &mut reader)),
            Malloc::Foreign => {}
        }
        blocks.leave_out_freed();
        Ok(Self {
            mappings,
            dead,
            reader,
            caller,
            malloc,
            libc,
            heaps,
        })
    }

    /// Marks what the roots lead to.
    fn mark(&mut self, blocks: &mut Blocks, others: &Result<Option<Others>, Reason>) {
        for word in self.caller.registers {
            blocks.mark(word);
        }
        for other in others.iter().flatten().flat_map(Others::each) {
            for &word in other.words.into_iter().flatten() {
                blocks.mark(word);
            }
        }
        let (reader, dead) = (&mut self.reader, &self.dead);
        let mut scan = |part: Range<usize>, is_of_libc: bool| {
            let mark = if is_of_libc {
                Blocks::mark_of_libc
            } else {
                Blocks::mark
            };
            scan(part, blocks, reader, dead, mark);
        };
        for mapping in &self.mappings {
            let is_of_libc = self.libc != 0 && mapping.file == self.libc;
            let mut from = mapping.start;
            let within = |heap: &&Heap| (mapping.start..mapping.end).contains(&heap.range.start);
            for heap in self.heaps.iter().filter(within) {
                scan(from..heap.range.start, false);
                for part in &heap.unseen {
                    scan(part.clone(), false);
                }
                from = from.max(heap.range.end);
            }
            scan(from..mapping.end, is_of_libc);
        }
    }

    /// Marks the tables of thread-local memory that glibc keeps, and the blocks to which they lead.
    fn keep_tables(&mut self, blocks: &mut Blocks) {
        for &table in &self.dead.tables {
            if let Some((start, len)) = blocks.keep(table) {
                self.reader.words(start, len, |_, word| {
                    blocks.keep(word);
                });
            }
        }
    }

    /// Hands the words of the blocks that are to be scanned to `f`, which may have more of them scanned.
    fn follow(&mut self, blocks: &mut Blocks, mut f: impl FnMut(&mut Blocks, u64)) {
        while let Some((start, len)) = blocks.next_to_scan() {
            if len < STACK {
                self.reader.words(start, len, |_, word| f(blocks, word));
                continue;
            }
            self.dead.around(start..start + len, |part| {
                if len > LONG {
                    let reader = &mut self.reader;
                    reader.present(part.start, part.end, |_, word| f(blocks, word));
                } else {
                    let len = part.end - part.start;
                    self.reader
                        .words(part.start, len, |_, word| f(blocks, word));
                }
            });
        }
    }
}

/// Hands the words of a part of the memory to `f`, those in blocks and in dead stacks left out.
fn scan(
    part: Range<usize>,
    blocks: &mut Blocks,
    reader: &mut Reader,
    dead: &Dead,
    mut f: impl FnMut(&mut Blocks, u64),
) {
    dead.around(part, |part| {
        let mut from = part.start;
        let mut block = blocks.first_behind(from);
        while from < part.end {
            let (start, len) = blocks.get(block).unwrap_or((usize::MAX, 0));
            let end = start.min(part.end);
            if from < end {
                reader.present(from, end, |_, word| f(blocks, word));
            }
            from = start.saturating_add(len).max(from);
            block += 1;
        }
    });
}
