//! The program's writable memory: what is mapped, and its words.

use super::super::chunk::size_of_chunk;
use super::blocks::Blocks;
use super::pages::Pages;
use crate::sys;
use core::ops::Range;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;

/// Bytes of a page of the supported machines.
pub(super) const PAGE: usize = 4096;
/// Where glibc puts a heap of a thread: at a multiple of this (`HEAP_MAX_SIZE`).
const ARENA: usize = 64 << 20;
/// Bytes that are read at once.
const BATCH: usize = 64 * PAGE;

/// A mapping that may hold addresses of blocks.
pub(super) struct Mapping {
    pub(super) start: usize,
    pub(super) end: usize,
    is_main_heap: bool,
    is_anonymous: bool,
}

impl Mapping {
    /// Where what is in use begins: in the stack that `sp` lies in, there.
    pub(super) fn used_from(&self, sp: usize) -> usize {
        match (self.start..self.end).contains(&sp) {
            true => sp & !7,
            false => self.start,
        }
    }

    /// The part of the mapping that is a heap of glibc's malloc, and holds nothing but blocks, freed ones too; empty at the
    /// mapping's start if there is none. What lies behind it the kernel may have joined to it.
    pub(super) fn heap_of_glibc(&self, blocks: &Blocks, reader: &mut Reader) -> Range<usize> {
        let none = self.start..self.start;
        let first = blocks.get(blocks.first_behind(self.start));
        let Some((first, _)) = first.filter(|&(start, _)| start < self.end) else {
            return none;
        };
        if self.is_main_heap {
            // Usually all of it is one. What the program took for itself before the first block is none.
            let (end, is_on_way) = end_of_chunks(self.start, first, self.end, reader);
            return if is_on_way {
                self.start..end
            } else {
                first..end_of_chunks(first - HEAD, first, self.end, reader).0
            };
        }
        if !self.is_anonymous || !self.start.is_multiple_of(ARENA) {
            return none;
        }
        // Its head (`heap_info` of malloc/arena.c): the arena, which lies in the head of a heap; the heap before;
        // bytes in use, and bytes that may be.
        let mut head = [0; 4];
        let mut words = head.iter_mut();
        reader.words(self.start, 32, |word| {
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
            && usable <= ARENA.min(self.end - self.start);
        if is_heap {
            self.start..self.start + usable
        } else {
            none
        }
    }
}

/// Bytes of a chunk in front of its block: two words, of which the second has its size.
const HEAD: usize = 16;

/// Follows the chunks of glibc's malloc from `start` on, each of which says where the next one begins (the second word of
/// `struct malloc_chunk`, malloc/malloc.c), as far as they are such: the program, or another allocator, may have moved the
/// break too. Returns the end, and whether the chunk of `block` was among them.
fn end_of_chunks(start: usize, block: usize, end: usize, reader: &mut Reader) -> (usize, bool) {
    const ALIGNMENT: u64 = 16;
    let (mut at, mut chunk) = (start, start);
    let (mut is_intact, mut has_block) = (true, false);
    reader.words(start, end - start, |word| {
        if is_intact && at == chunk + 8 {
            let size = size_of_chunk(word).filter(|&size| {
                size != 0 && size.is_multiple_of(ALIGNMENT) && size <= (end - chunk) as u64
            });
            is_intact = size.is_some();
            has_block |= is_intact && chunk + HEAD == block;
            chunk += size.unwrap_or(0) as usize;
        }
        at += 8;
    });
    // If a word was passed over, all behind it lie elsewhere than said.
    if at == end {
        (chunk, has_block)
    } else {
        (start, false)
    }
}

/// The mappings that were written and have pages, but for our own and those of devices, as proc(5)'s `smaps` lists
/// them.
///
/// # Errors
/// When the list cannot be read to its end: a mapping that is not looked at makes leaks of what it holds.
pub(super) fn mappings() -> io::Result<Vec<Mapping>> {
    let file = File::open("/proc/self/smaps")?;
    let mut found: Vec<Mapping> = Vec::new();
    let (mut is_wanted, mut has_pages) = (false, false);
    for line in BufReader::new(file).lines() {
        let line = line?;
        if let Some(mapping) = parse(&line) {
            (is_wanted, has_pages) = (mapping.is_some(), false);
            found.extend(mapping);
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            // Wiped on fork: ours. Of devices: reading may do something.
            let is_out = |flag| matches!(flag, "wf" | "io" | "pf");
            if is_wanted && (!has_pages || flags.split_whitespace().any(is_out)) {
                found.pop();
            }
        } else {
            has_pages |= is_of_pages(&line);
        }
    }
    Ok(found)
}

/// Does the line say that a mapping has pages, in memory or swapped out?
fn is_of_pages(line: &str) -> bool {
    const SIZES: [&str; 4] = ["Rss:", "Swap:", "Shared_Hugetlb:", "Private_Hugetlb:"];
    let mut fields = line.split_whitespace();
    fields.next().is_some_and(|name| SIZES.contains(&name))
        && fields.next().is_some_and(|size| size != "0")
}

/// A mapping's first line; `Some(None)` for one that is not looked at, `None` for another line.
fn parse(line: &str) -> Option<Option<Mapping>> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let access = fields.next()?;
    let path = fields.nth(3).unwrap_or("");
    let is_anonymous = path.is_empty() || path.starts_with("[anon:");
    // What is anonymous and cannot be written was written once.
    let is_wanted = (access.starts_with("rw") || access.starts_with('r') && is_anonymous)
        && !path.ends_with(".skipheap-rec");
    Some(is_wanted.then(|| Mapping {
        start,
        end,
        is_main_heap: path == "[heap]",
        is_anonymous,
    }))
}

/// Reads words of this process by way of the kernel, which reports what cannot be read.
pub(super) struct Reader {
    buffer: &'static mut [u64],
    source: Source,
    pages: Pages,
}

/// How memory is read.
enum Source {
    /// By a system call that copies from one process to another.
    Copied,
    /// From the file of the process's memory: slower, and no more than any program does.
    File(File),
}

impl Reader {
    /// # Errors
    /// When there is no memory for it, or the kernel does not let the process read its own.
    pub(super) fn new() -> io::Result<Self> {
        let buffer = sys::map_wiped_on_fork(BATCH);
        if buffer.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        // SAFETY: a fresh mapping of that many bytes, aligned to a page and never unmapped.
        let buffer =
            unsafe { core::slice::from_raw_parts_mut(buffer.cast(), BATCH / size_of::<u64>()) };
        // A filter that the program was started under may forbid the call, or kill for it.
        let is_filtered = sys::is_filtered();
        let word = 0_u64;
        let mut can_copy = || {
            sys::read_own((&raw const word) as usize, buffer, size_of::<u64>()) == size_of::<u64>()
        };
        let source = if !is_filtered && can_copy() {
            Source::Copied
        } else {
            Source::File(File::open("/proc/self/mem")?)
        };
        Ok(Self {
            buffer,
            source,
            pages: Pages::new(!is_filtered),
        })
    }

    /// Hands the aligned words of `[start, start + len)` to `f`.
    pub(super) fn words(&mut self, start: usize, len: usize, mut f: impl FnMut(u64)) {
        let end = start + len;
        let mut at = start.next_multiple_of(8);
        while at + 8 <= end {
            let len = (end - at).min(BATCH) & !7;
            let read = self.read(at, len);
            for &word in self.buffer.iter().take(read / 8) {
                f(word);
            }
            // Behind a page that cannot be read the next one may be readable.
            at = match read & !7 {
                read if read == len => at + len,
                read => (at + read + 1).next_multiple_of(PAGE),
            };
        }
    }

    /// The same for those pages only that are there: of a mapping or a block of terabytes mostly few are.
    pub(super) fn present_words(&mut self, start: usize, end: usize, mut f: impl FnMut(u64)) {
        let mut at = start / PAGE * PAGE;
        while at < end {
            let (runs, next) = self.pages.runs(at, end);
            for run in runs {
                let (from, to) = (run.start.max(start), run.end.min(end));
                self.words(from, to - from, &mut f);
            }
            at = next;
        }
    }

    /// Reads into the buffer, as far as that can be read.
    fn read(&mut self, at: usize, len: usize) -> usize {
        let file = match &self.source {
            Source::Copied => return sys::read_own(at, self.buffer, len),
            Source::File(file) => file,
        };
        // SAFETY: any bytes are words; the buffer is as long as said.
        let bytes = unsafe {
            core::slice::from_raw_parts_mut(
                self.buffer.as_mut_ptr().cast::<u8>(),
                size_of_val(self.buffer),
            )
        };
        bytes
            .get_mut(..len)
            .and_then(|room| file.read_at(room, at as u64).ok())
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_page_is_not_looked_at() {
        assert!(is_of_pages("Rss:                   4 kB"));
        assert!(is_of_pages("Swap:                  8 kB"));
        assert!(is_of_pages("Private_Hugetlb:    2048 kB"));
        for line in [
            "Rss:                   0 kB",
            "Size:                132 kB",
            "SwapPss:               8 kB",
            "VmFlags: rd wr",
            "",
        ] {
            assert!(!is_of_pages(line), "{line}");
        }
    }

    /// Each way of reading, over memory of which a page in the middle is there.
    #[test]
    fn the_words_of_pages_that_are_there_are_read() {
        let _ = crate::testing::process();
        let len = 3000 * PAGE;
        let start = sys::map_private(len) as usize;
        let at = start + 1700 * PAGE + 8;
        // SAFETY: within the mapping just made.
        unsafe { (at as *mut u64).write(77) };
        for can_scan in [true, false] {
            for source in [
                Source::Copied,
                Source::File(File::open("/proc/self/mem").unwrap()),
            ] {
                let mut reader = Reader::new().unwrap();
                reader.source = source;
                reader.pages = Pages::new(can_scan);
                let (mut found, mut words) = (0, 0);
                reader.present_words(start + 16, start + len, |word| {
                    words += 1;
                    found += u64::from(word == 77);
                });
                assert_eq!(found, 1);
                assert!(words <= 512 * PAGE / 8, "{words}");
            }
        }
    }
}
