//! The program's writable memory: what is mapped, and its words.

use super::blocks::Blocks;
use crate::sys;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::FileExt;

/// Bytes of a page of the supported machines.
const PAGE: usize = 4096;
/// Where glibc puts a heap of a thread: at a multiple of this (`HEAP_MAX_SIZE`).
const ARENA: usize = 64 << 20;
/// Bytes that are read at once.
const BATCH: usize = 64 * PAGE;

/// A writable mapping that may hold addresses of blocks.
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

    /// Is this a heap of glibc's malloc, which holds nothing but blocks, freed ones too?
    pub(super) fn is_heap_of_glibc(&self, blocks: &Blocks) -> bool {
        let has_block = || {
            let first = blocks.get(blocks.first_behind(self.start));
            first.is_some_and(|(start, _)| start < self.end)
        };
        self.is_main_heap || self.is_anonymous && self.start.is_multiple_of(ARENA) && has_block()
    }
}

/// The writable mappings, but for our own and those of devices, as proc(5)'s `smaps` lists them.
pub(super) fn mappings() -> Vec<Mapping> {
    let Ok(file) = File::open("/proc/self/smaps") else {
        return Vec::new();
    };
    let mut found: Vec<Mapping> = Vec::new();
    let mut is_wanted = false;
    for line in BufReader::new(file).lines().map_while(io::Result::ok) {
        if let Some(mapping) = parse(&line) {
            is_wanted = mapping.is_some();
            found.extend(mapping);
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            // Wiped on fork: ours. Of devices: reading may do something.
            let is_out = |flag| matches!(flag, "wf" | "io" | "pf");
            if is_wanted && flags.split_whitespace().any(is_out) {
                found.pop();
            }
        }
    }
    found
}

/// A mapping's first line; `Some(None)` for one that is not looked at, `None` for another line.
fn parse(line: &str) -> Option<Option<Mapping>> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let access = fields.next()?;
    let path = fields.nth(3).unwrap_or("");
    let is_wanted = access.starts_with("rw") && !path.ends_with(".skipheap-rec");
    Some(is_wanted.then(|| Mapping {
        start,
        end,
        is_main_heap: path == "[heap]",
        is_anonymous: path.is_empty(),
    }))
}

/// Reads words of this process by way of the kernel, which reports what cannot be read.
pub(super) struct Reader {
    buffer: &'static mut [u64],
    /// Says which pages there are.
    pages: Option<File>,
}

impl Reader {
    /// `None` when there is no memory for it.
    pub(super) fn new() -> Option<Self> {
        let buffer = sys::map_wiped_on_fork(BATCH);
        if buffer.is_null() {
            return None;
        }
        Some(Self {
            // SAFETY: a fresh mapping of that many bytes, aligned to a page and never unmapped.
            buffer: unsafe {
                core::slice::from_raw_parts_mut(buffer.cast(), BATCH / size_of::<u64>())
            },
            pages: File::open("/proc/self/pagemap").ok(),
        })
    }

    /// Hands the aligned words of `[start, start + len)` to `f`.
    pub(super) fn words(&mut self, start: usize, len: usize, mut f: impl FnMut(u64)) {
        let end = start + len;
        let mut at = start.next_multiple_of(8);
        while at + 8 <= end {
            let len = (end - at).min(BATCH) & !7;
            let read = sys::read_own(at, self.buffer, len);
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

    /// The same for those pages only that are there: of a mapping of terabytes mostly few are.
    pub(super) fn present_words(&mut self, start: usize, end: usize, mut f: impl FnMut(u64)) {
        /// Present, or in swap (the kernel's `Documentation/admin-guide/mm/pagemap.rst`).
        const THERE: u64 = 3 << 62;
        let mut page = start / PAGE * PAGE;
        while page < end {
            let mut entries = [0; 512 * 8];
            let wanted = entries.len().min((end - page).div_ceil(PAGE) * 8);
            let known = self
                .pages
                .as_ref()
                .and_then(|pages| {
                    let room = entries.get_mut(..wanted)?;
                    pages.read_exact_at(room, (page / PAGE * 8) as u64).ok()
                })
                .is_some();
            for entry in entries.get(..wanted).unwrap_or(&[]).chunks_exact(8) {
                let entry = entry.try_into().map_or(0, u64::from_ne_bytes);
                if !known || entry & THERE != 0 {
                    let from = page.max(start);
                    self.words(from, (page + PAGE).min(end) - from, &mut f);
                }
                page += PAGE;
            }
        }
    }
}
