//! The leak check: which blocks can the program still reach at its end?
//!
//! A conservative mark, as LeakSanitizer's: every aligned word of the program's writable memory that looks like an
//! address within a live block keeps that block, and what the block holds is looked at likewise. Roots are
//! all writable mappings: data of objects, stacks, thread-local memory, memory that the program has
//! mapped itself. Not the library's own mappings, which a child of fork would find wiped and the kernel
//! marks so; and not what lies between the blocks of glibc's heaps, where freed blocks keep stale
//! addresses, unless blocks are there that are not followed.
//!
//! A block is called unreachable only when no such word was found. What this cannot see: addresses that
//! are stored in disguise, and those that another thread holds in nothing but a register at that moment.
//!
//! One cold section at the end. Other threads may run and unmap memory, so nothing is read directly.

mod blocks;
mod memory;

use crate::process::Process;
use crate::record::loss::Loss;
use crate::settings::settings;
use blocks::Blocks;
use memory::{Mapping, Reader};

/// Finds the unreachable blocks and writes them into the recording. `sp`: the program's stack is in use
/// from there.
pub(super) fn check(process: &Process, sp: usize) {
    let Some(mut blocks) = Blocks::collect(process) else {
        process.recording.lose(Loss::NoMemory, 1);
        return;
    };
    let Some(mut reader) = Reader::new() else {
        return;
    };
    let all_are_followed = process.recording.follows_all() && settings().sample_bytes == 0;
    for mapping in memory::mappings() {
        let from = mapping.used_from(sp);
        let is_heap = all_are_followed && mapping.is_heap_of_glibc(&blocks);
        scan_mapping(&mapping, from, is_heap, &mut blocks, &mut reader);
    }
    while let Some((start, len)) = blocks.next_to_scan() {
        reader.words(start, len, |word| blocks.mark(word));
    }
    process.recording.add_leaks(blocks.unmarked());
}

/// Marks what the words of a mapping lead to, those in blocks left out.
fn scan_mapping(
    mapping: &Mapping,
    mut from: usize,
    is_heap: bool,
    blocks: &mut Blocks,
    reader: &mut Reader,
) {
    if is_heap {
        return;
    }
    let mut block = blocks.first_behind(from);
    while from < mapping.end {
        let (start, len) = blocks.get(block).unwrap_or((usize::MAX, 0));
        let end = start.min(mapping.end);
        if from < end {
            reader.present_words(from, end, |word| blocks.mark(word));
        }
        from = start.saturating_add(len).max(from);
        block += 1;
    }
}
