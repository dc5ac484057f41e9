//! Which pages of the program's memory are there, in memory or swapped out.
//!
//! Where the kernel can say which there are (Linux 6.7), a mapping of terabytes takes no time; else a word for
//! each page is read, which takes one or two seconds a terabyte.

use super::memory::PAGE;
use crate::sys;
use core::ops::Range;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Pages that are asked about at once where each has a word.
const WORDS: usize = 4096;
/// Runs of pages that are asked for at once.
const RUNS: usize = 256;

/// The process's pages.
pub(super) struct Pages {
    /// The kernel's list of them, `/proc/self/pagemap`.
    list: Option<File>,
    can_scan: bool,
    runs: Vec<Range<usize>>,
    words: Vec<u8>,
}

impl Pages {
    /// `can_scan`: try to have the kernel look which there are.
    pub(super) fn new(can_scan: bool) -> Self {
        Self {
            list: File::open("/proc/self/pagemap").ok(),
            can_scan,
            runs: Vec::new(),
            words: Vec::new(),
        }
    }

    /// The runs of pages that are there from `start`, a multiple of a page, to the address that is returned
    /// with them, which is `end` or in front of it.
    pub(super) fn runs(&mut self, start: usize, end: usize) -> (Vec<Range<usize>>, usize) {
        self.runs.clear();
        let end = end.next_multiple_of(PAGE);
        let next = self
            .scan(start, end)
            .or_else(|| self.read(start, end))
            .unwrap_or_else(|| {
                // All of them may be.
                self.runs.push(start..end);
                end
            });
        (core::mem::take(&mut self.runs), next)
    }

    fn scan(&mut self, start: usize, end: usize) -> Option<usize> {
        let list = self.list.as_ref().filter(|_| self.can_scan)?;
        let mut found = [sys::PageRun::default(); RUNS];
        let scanned = sys::scan_pages(list.as_raw_fd(), start..end, &mut found);
        self.can_scan = scanned.is_some();
        let (count, next) = scanned?;
        for run in found.iter().take(count) {
            self.runs.push(run.start as usize..run.end as usize);
        }
        // Without any progress it would be asked for ever.
        Some(if next > start { next } else { end })
    }

    fn read(&mut self, start: usize, end: usize) -> Option<usize> {
        /// Present, or in swap (the kernel's `Documentation/admin-guide/mm/pagemap.rst`).
        const THERE: u64 = 3 << 62;
        let list = self.list.as_ref()?;
        let count = ((end - start) / PAGE).min(WORDS);
        self.words.resize(count * 8, 0);
        list.read_exact_at(&mut self.words, (start / PAGE * 8) as u64)
            .ok()?;
        for (i, word) in self.words.chunks_exact(8).enumerate() {
            let word = word.try_into().map_or(0, u64::from_ne_bytes);
            if word & THERE == 0 {
                continue;
            }
            let page = start + i * PAGE;
            match self.runs.last_mut().filter(|run| run.end == page) {
                Some(run) => run.end += PAGE,
                None => self.runs.push(page..page + PAGE),
            }
        }
        Some(start + count * PAGE)
    }
}
