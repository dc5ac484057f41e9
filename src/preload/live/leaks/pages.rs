//! Which pages of the program's memory are there, in memory or swapped out.
//!
//! Where the kernel can say which there are (Linux 6.7), a mapping of terabytes takes no time; else a word for
//! each page is read, which takes one or two seconds a terabyte.

use super::blocks::room;
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
    /// Starts and ends.
    runs: &'static mut [[usize; 2]],
    used: usize,
    words: Vec<u8>,
}

impl Pages {
    /// `can_scan`: try to have the kernel look which there are.
    /// `None` when there is no memory for it.
    pub(super) fn new(can_scan: bool) -> Option<Self> {
        Some(Self {
            list: File::open("/proc/self/pagemap").ok(),
            can_scan,
            runs: room(WORDS)?,
            used: 0,
            words: Vec::new(),
        })
    }

    /// Looks for the runs of pages that are there from `start`, a multiple of a page, to the address that is
    /// returned, which is `end` or in front of it. [`Self::run`] has them.
    pub(super) fn look(&mut self, start: usize, end: usize) -> usize {
        self.used = 0;
        let end = end.next_multiple_of(PAGE);
        let found = self.scan(start, end).or_else(|| self.read(start, end));
        found.unwrap_or_else(|| {
            // All of them may be.
            self.add(start..end);
            end
        })
    }

    /// The run of this number, from 0, if there are so many.
    pub(super) fn run(&self, number: usize) -> Option<Range<usize>> {
        let &[start, end] = self.runs.get(..self.used)?.get(number)?;
        Some(start..end)
    }

    fn add(&mut self, run: Range<usize>) {
        if let Some(slot) = self.runs.get_mut(self.used) {
            *slot = [run.start, run.end];
            self.used += 1;
        }
    }

    fn scan(&mut self, start: usize, end: usize) -> Option<usize> {
        let list = self.list.as_ref().filter(|_| self.can_scan)?;
        let mut found = [sys::PageRun::default(); RUNS];
        let scanned = sys::scan_pages(list.as_raw_fd(), start..end, &mut found);
        self.can_scan = scanned.is_some();
        let (count, next) = scanned?;
        for run in found.iter().take(count) {
            self.add(run.start as usize..run.end as usize);
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
        for i in 0..count {
            let word = self.words.get(8 * i..8 * i + 8);
            let word = word.and_then(|word| word.try_into().ok());
            if word.map_or(0, u64::from_ne_bytes) & THERE == 0 {
                continue;
            }
            let page = start + i * PAGE;
            let last = self
                .used
                .checked_sub(1)
                .and_then(|last| self.runs.get_mut(last));
            match last.filter(|run| run[1] == page) {
                Some(run) => run[1] += PAGE,
                None => self.add(page..page + PAGE),
            }
        }
        Some(start + count * PAGE)
    }
}
