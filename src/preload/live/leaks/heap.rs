//! What glibc's malloc itself says of its chunks: which are in use that nobody has told us of, and which are
//! free that we take for blocks.
//!
//! A library that was loaded with `RTLD_DEEPBIND` calls the C library's malloc and free by a way of its own, and
//! so do those who call `__libc_malloc`. What they have allocated counts as memory of the program; what they
//! have freed is no leak.
//!
//! The layout is that of glibc's malloc/malloc.c (`malloc_chunk`, `malloc_state`, `tcache_perthread_struct`) and
//! malloc/arena.c (`heap_info`). A chunk begins two words in front of its block; the second has its size and, in
//! the lowest bit, whether the chunk in front of it is in use. Free chunks of two kinds look used: those in a
//! thread's cache, which have a key in their second word, and those of the arenas' fast lists. Where these
//! cannot be found, nothing is known of chunks that are as small.

use super::super::chunk::size_of_chunk;
use super::blocks::{Blocks, room};
use super::memory::{Mapping, PAGE, Reader};
use core::ops::Range;
use std::collections::HashSet;

/// Bytes of a chunk in front of its block.
const HEAD: usize = 16;
/// What chunks are aligned to.
const ALIGNMENT: usize = 16;
/// Bytes of a chunk that a fast list may have, at most.
const LARGEST_FAST: usize = 0x80;
/// Bytes of a chunk that a thread's cache may have, at most.
const LARGEST_CACHED: usize = 0x410;
/// Where an arena (`malloc_state`) has its fast lists and its other ones, in words, and how many they are.
const FAST: usize = 2;
const FAST_LISTS: usize = 10;
const BINS: usize = 14;
const PAIRS: usize = 127;
/// Chunks that hold the cache of a thread, with their sizes in glibc 2.26, 2.30 and 2.42.
const CACHES: [usize; 3] = [0x250, 0x290, 0x300];
/// Chunks that are followed in a list at most.
const LONGEST: usize = 1 << 20;

/// The chunks that are free and look used.
#[derive(Default)]
pub(super) struct FreeLists {
    /// What chunks in the threads' caches have in their second word.
    key: Option<u64>,
    /// Those in the fast lists, by where their blocks would be; `None` where the main arena was not found.
    fast: Option<HashSet<usize>>,
}

/// A heap of glibc's malloc.
pub(super) struct Heap {
    /// Where it lies in its mapping.
    pub(super) range: Range<usize>,
    /// What is in use there, and is none of our blocks.
    pub(super) unseen: Vec<Range<usize>>,
}

/// Whether a chunk is in use.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Free,
    Used,
    Unknown,
}

fn word_at(at: usize, reader: &mut Reader) -> Option<u64> {
    let mut found = None;
    if at.is_multiple_of(8) {
        reader.words(at, 8, |_, word| found = Some(word));
    }
    found
}

impl FreeLists {
    /// Finds them. `libc`: the C library's file.
    pub(super) fn find(mappings: &[Mapping], libc: u64, reader: &mut Reader) -> Self {
        let mut lists = Self::default();
        if let Some(heap) = mappings.iter().find(|mapping| mapping.is_main_heap) {
            let is_only_heap = !mappings.iter().any(Mapping::may_be_arena);
            lists.key = key(heap.start, is_only_heap, reader);
        }
        let of_libc = |mapping: &&Mapping| libc != 0 && mapping.file == libc;
        let main = mappings.iter().filter(of_libc).find_map(|mapping| {
            let words = room((mapping.end - mapping.start) / 8)?;
            reader.words(mapping.start, mapping.end - mapping.start, |at, word| {
                if let Some(slot) = words.get_mut((at - mapping.start) / 8) {
                    *slot = word;
                }
            });
            main_arena(mapping.start, words)
        });
        let Some(main) = main else { return lists };
        let mut fast = HashSet::new();
        let others = mappings.iter().filter(|mapping| mapping.may_be_arena());
        let others = others.filter_map(|mapping| {
            let arena = word_at(mapping.start, reader)? as usize;
            (mapping.start..mapping.end)
                .contains(&arena)
                .then_some(arena)
        });
        let arenas: Vec<usize> = others.chain([main]).collect();
        for arena in arenas {
            for list in (0..FAST_LISTS).map(|list| arena + 8 * (FAST + list)) {
                follow_fast(list, &mut fast, reader);
            }
        }
        lists.fast = Some(fast);
        lists
    }

    /// Returns the state of a chunk whose successor marks it as in use: glibc leaves that mark on
    /// chunks in a thread's cache and in fast lists.
    fn state(&self, chunk: usize, size: usize, second_word: u64) -> Use {
        if size <= LARGEST_CACHED {
            match self.key {
                None => return Use::Unknown,
                Some(key) if key == second_word => return Use::Free,
                Some(_) => {}
            }
        }
        if size <= LARGEST_FAST {
            match &self.fast {
                None => return Use::Unknown,
                Some(fast) if fast.contains(&(chunk + HEAD)) => return Use::Free,
                Some(_) => {}
            }
        }
        Use::Used
    }
}

/// The key of the threads' caches, by what the first thread's cache leads to: it is the first chunk of the
/// heap.
fn key(heap: usize, is_only_heap: bool, reader: &mut Reader) -> Option<u64> {
    let size = size_of_chunk(word_at(heap + 8, reader)?)? as usize;
    if !CACHES.contains(&size) {
        return None;
    }
    let mut blocks = Vec::new();
    reader.words(heap + HEAD, size - HEAD, |_, word| {
        let block = word as usize;
        if block > heap && block - heap < 1 << 40 && block.is_multiple_of(ALIGNMENT) {
            blocks.push(block);
        }
    });
    let keys: Vec<u64> = blocks
        .into_iter()
        .filter_map(|block| word_at(block + 8, reader))
        .filter(|&key| key != 0)
        .collect();
    let same = |key: &u64| keys.iter().filter(|&other| other == key).count();
    // An empty one has no entries: while there are no other arenas, no chunk is in a cache.
    let nobody = (keys.is_empty() && is_only_heap).then_some(u64::MAX);
    keys.iter().copied().max_by_key(same).or(nobody)
}

/// Where the main arena lies in the C library's data that begins at `start`: its lists are pairs of words, and
/// those of an empty list have the address two words in front of it. The last pair is always empty.
fn main_arena(start: usize, words: &[u64]) -> Option<usize> {
    let is_empty = |index: usize| {
        let own = (start + 8 * index).wrapping_sub(16) as u64;
        words.get(index..index + 2) == Some(&[own, own])
    };
    let last = (0..words.len()).rev().find(|&index| is_empty(index))?;
    let first = last.checked_sub(2 * (PAIRS - 1))?;
    let empty = (first..=last)
        .step_by(2)
        .filter(|&index| is_empty(index))
        .count();
    (empty >= PAIRS / 4).then(|| Some(start + 8 * first.checked_sub(BINS)?))?
}

/// Adds the chunks of a fast list. Since glibc 2.32, the address of the next one is hidden by where it stands.
fn follow_fast(list: usize, fast: &mut HashSet<usize>, reader: &mut Reader) {
    let mut chunk = word_at(list, reader).unwrap_or(0) as usize;
    for _ in 0..LONGEST {
        if chunk == 0 || !chunk.is_multiple_of(ALIGNMENT) || !fast.insert(chunk + HEAD) {
            return;
        }
        let at = chunk + HEAD;
        let Some(word) = word_at(at, reader) else {
            return;
        };
        let hidden = word as usize ^ at >> 12;
        chunk = if hidden.is_multiple_of(ALIGNMENT) {
            hidden
        } else {
            word as usize
        };
    }
}

impl Heap {
    /// The heap in a mapping, if there is one. Blocks that are free are marked. What lies behind it the
    /// kernel may have joined to it.
    pub(super) fn find(
        mapping: &Mapping,
        lists: &FreeLists,
        blocks: &mut Blocks,
        reader: &mut Reader,
    ) -> Option<Self> {
        let first = blocks.get(blocks.first_from(mapping.start));
        let (first, _) = first.filter(|&(start, _)| start < mapping.end)?;
        let mut heap = Self {
            range: mapping.start..mapping.end,
            unseen: Vec::new(),
        };
        if mapping.is_main_heap {
            // Usually all of it is one. What the program took for itself before the first block is none.
            let walk = heap.walk(mapping.start, first, lists, blocks, reader);
            heap.range.end = match walk {
                (end, true) => end,
                (_, false) => {
                    heap.range.start = first - HEAD;
                    heap.unseen.clear();
                    heap.walk(first - HEAD, first, lists, blocks, reader).0
                }
            };
        } else if mapping.may_be_arena() {
            heap.range.end = end_of_arena(mapping, reader)?;
            heap.walk(first - HEAD, first, lists, blocks, reader);
        } else {
            return None;
        }
        Some(heap)
    }

    /// Follows the chunks from `start` on, each of which says where the next one begins, as far as they are
    /// such: the program, or another allocator, may have moved the break too. Returns the end, and whether the
    /// chunk of `block` was among them.
    fn walk(
        &mut self,
        start: usize,
        block: usize,
        lists: &FreeLists,
        blocks: &mut Blocks,
        reader: &mut Reader,
    ) -> (usize, bool) {
        let end = self.range.end;
        let (mut chunk, mut has_block, mut is_intact) = (start, false, true);
        // The chunk whose words come now, its size, and its second word.
        let mut last: Option<(usize, usize, u64)> = None;
        let mut expected = start;
        reader.words(start, end - start, |at, word| {
            // If a word was passed over, a chunk may have been.
            is_intact &= at == expected;
            expected = at + 8;
            if !is_intact {
                return;
            }
            if let Some((start, _, second)) = last.as_mut()
                && at == *start + HEAD + 8
            {
                *second = word;
            }
            if at != chunk + 8 {
                return;
            }
            let size = size_of_chunk(word)
                .map(|size| size as usize)
                .filter(|&size| {
                    size >= 2 * HEAD && size.is_multiple_of(ALIGNMENT) && size <= end - chunk
                });
            let Some(size) = size else {
                is_intact = false;
                return;
            };
            if let Some((start, size, second)) = last.take() {
                let state = match word & 1 {
                    0 => Use::Free,
                    _ => lists.state(start, size, second),
                };
                self.add(start, size, state, blocks);
            }
            has_block |= chunk + HEAD == block;
            last = Some((chunk, size, 0));
            chunk += size;
        });
        // The last one is that from which glibc takes the next ones, if it ends where the memory does.
        if let Some((start, size, _)) = last.filter(|_| is_intact && chunk == end) {
            self.add(start, size, Use::Free, blocks);
        }
        (chunk, has_block)
    }

    fn add(&mut self, chunk: usize, size: usize, state: Use, blocks: &mut Blocks) {
        let block = chunk + HEAD;
        let behind = chunk + size + 8;
        let mut is_ours = false;
        let mut index = blocks.first_from(chunk);
        while let Some((start, len)) = blocks.get(index).filter(|&(start, _)| start < chunk + size)
        {
            // Where a chunk is, no other block begins than its own.
            if start == block && state != Use::Free && len <= size && !is_ours {
                is_ours = true;
            } else {
                blocks.forget(index);
            }
            index += 1;
        }
        if !is_ours && state == Use::Used {
            match self.unseen.last_mut().filter(|last| last.end + 8 >= block) {
                Some(last) => last.end = behind,
                None => self.unseen.push(block..behind),
            }
        }
    }
}

/// Where the heap of a thread's arena ends that begins with a mapping: its head has the arena, which lies in the
/// head of a heap, the heap before, bytes in use, and bytes that may be.
fn end_of_arena(mapping: &Mapping, reader: &mut Reader) -> Option<usize> {
    const ARENA: usize = Mapping::ARENA;
    let mut head = [0; 4];
    let mut words = head.iter_mut();
    reader.words(mapping.start, 32, |_, word| {
        if let Some(slot) = words.next() {
            *slot = word as usize;
        }
    });
    let [arena, before, used, usable] = head;
    let is_heap = arena != 0
        && arena % ARENA < PAGE
        && before.is_multiple_of(ARENA)
        && used <= usable
        && usable.is_multiple_of(PAGE)
        && usable <= ARENA.min(mapping.end - mapping.start);
    is_heap.then_some(mapping.start + usable)
}
