//! The leak check: which blocks can the program still reach at its end?
//!
//! A conservative mark, as LeakSanitizer's: every aligned word of the program's writable memory that looks like an
//! address within a live block keeps that block, and what the block holds is looked at likewise. Roots are
//! all mappings that were written: data of objects, stacks, thread-local memory, memory that the program has
//! mapped itself. Not the library's own mappings, which a child of fork would find wiped and the kernel
//! marks so; and not what lies between the blocks of glibc's heaps, where freed blocks keep stale
//! addresses, unless blocks are there that are not followed, or what others than glibc have put there.
//!
//! A block is called unreachable only when no such word was found. What this cannot see: addresses that
//! are stored in disguise, and those that another thread holds in nothing but a register at that moment.
//!
//! One cold section at the end. Other threads may run and unmap memory, so nothing is read directly.

mod blocks;
mod memory;
mod pages;

use crate::process::Process;
use crate::settings::settings;
use crate::{elf, log, real, wiped};
use blocks::Blocks;
use core::ops::Range;
use core::sync::atomic::Ordering::Relaxed;
use memory::Reader;
use std::io;

/// Blocks that are longer are read page by page, and only where there are pages.
const LONG: usize = 1 << 16;

/// Finds the unreachable blocks and writes them into the recording, or why that could not be done. `sp`: the
/// program's stack is in use from there.
pub(super) fn check(process: &Process, sp: usize) {
    let Err(error) = find(process, sp) else {
        return;
    };
    let note = format!("no leak check: the memory of the process cannot be read: {error}");
    if settings().session.get().is_empty() {
        log::line(&[b"heap profiler: ", note.as_bytes()]);
    }
    // Where there is no room, that is said anyway.
    let _ = process.recording.add_note(note.as_bytes());
}

fn find(process: &Process, sp: usize) -> io::Result<()> {
    if wiped::is_left_to_us() {
        // Our own tables would be taken for the program's memory, in which each block is found.
        let text = "the kernel does not tell the profiler's memory from the program's";
        return Err(io::Error::other(text));
    }
    let mut blocks = Blocks::collect(process).ok_or(io::ErrorKind::OutOfMemory)?;
    let mut reader = Reader::new()?;
    let all_are_followed = process.recording.follows_all()
        && settings().sample_bytes == 0
        && elf::is_malloc_of_libc(real::MALLOC.load(Relaxed) as usize);
    for mapping in memory::mappings()? {
        let mut from = mapping.used_from(sp);
        if all_are_followed {
            let heap = mapping.heap_of_glibc(&blocks, &mut reader);
            scan(from..heap.start, &mut blocks, &mut reader);
            from = from.max(heap.end);
        }
        scan(from..mapping.end, &mut blocks, &mut reader);
    }
    while let Some((start, len)) = blocks.next_to_scan() {
        if len > LONG {
            reader.present_words(start, start + len, |word| blocks.mark(word));
        } else {
            reader.words(start, len, |word| blocks.mark(word));
        }
    }
    process.recording.add_leaks(blocks.unmarked());
    Ok(())
}

/// Marks what the words of a part of the memory lead to, those in blocks left out.
fn scan(part: Range<usize>, blocks: &mut Blocks, reader: &mut Reader) {
    let mut from = part.start;
    let mut block = blocks.first_behind(from);
    while from < part.end {
        let (start, len) = blocks.get(block).unwrap_or((usize::MAX, 0));
        let end = start.min(part.end);
        if from < end {
            reader.present_words(from, end, |word| blocks.mark(word));
        }
        from = start.saturating_add(len).max(from);
        block += 1;
    }
}
