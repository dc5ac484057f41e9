//! The program's writable memory: what is mapped, and its words.

use super::pages::Pages;
use crate::sys;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Bytes of a page of the supported machines.
pub(super) const PAGE: usize = 4096;
/// Bytes that are read at once.
const BATCH: usize = 64 * PAGE;

/// A mapping that may hold addresses of blocks.
pub(super) struct Mapping {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The stack of the first thread.
    pub(super) is_main_stack: bool,
    /// The stack of another thread may be in it.
    pub(super) may_be_stack: bool,
    /// What stands for its file; 0 without one.
    pub(super) file: u64,
    /// What the break has grown to.
    pub(super) is_main_heap: bool,
    is_anonymous: bool,
    needs: Needs,
}

/// What makes a mapping one that is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Pages.
    Pages,
    /// Pages that are no longer those of the file: what cannot be written was written once.
    OwnPages,
}

impl Mapping {
    /// Where glibc puts a heap of a thread: at a multiple of this (`HEAP_MAX_SIZE`).
    pub(super) const ARENA: usize = 64 << 20;

    /// Returns whether one of glibc's per-thread heaps may begin at the mapping's start.
    pub(super) fn may_be_arena(&self) -> bool {
        self.is_anonymous && !self.is_main_heap && self.start.is_multiple_of(Self::ARENA)
    }
}

/// The mappings that were written and have pages, readable or not, but for our own and those of devices, as
/// proc(5)'s `smaps` lists them.
///
/// # Errors
/// When the list cannot be read to its end: a mapping that is not looked at makes leaks of what it holds.
pub(super) fn mappings() -> io::Result<Vec<Mapping>> {
    let file = File::open("/proc/self/smaps")?;
    let mut found: Vec<Mapping> = Vec::new();
    let mut is_wanted = false;
    let mut pages = [false; 2];
    for line in BufReader::new(file).lines() {
        let line = line?;
        if let Some(mapping) = parse(&line) {
            (is_wanted, pages) = (mapping.is_some(), [false; 2]);
            found.extend(mapping);
        } else if let Some(flags) = line.strip_prefix("VmFlags:") {
            // Wiped on fork: ours. Of devices: reading may do something.
            let is_out = |flag| matches!(flag, "wf" | "io" | "pf");
            let has_pages = found.last().is_some_and(|mapping| match mapping.needs {
                Needs::Pages => pages[0],
                Needs::OwnPages => pages[1],
            });
            if is_wanted && (!has_pages || flags.split_whitespace().any(is_out)) {
                found.pop();
            }
        } else {
            pages[0] |= is_of_pages(&line);
            pages[1] |= is_of_own_pages(&line);
        }
    }
    Ok(found)
}

/// Returns whether the line of `smaps` gives a size above 0 for pages in memory or swapped out.
fn is_of_pages(line: &str) -> bool {
    has_some(
        line,
        &["Rss:", "Swap:", "Shared_Hugetlb:", "Private_Hugetlb:"],
    )
}

/// Returns whether the line of `smaps` gives a size above 0 for pages that are not the file's own.
fn is_of_own_pages(line: &str) -> bool {
    has_some(line, &["Anonymous:", "Swap:"])
}

fn has_some(line: &str, sizes: &[&str]) -> bool {
    let mut fields = line.split_whitespace();
    fields.next().is_some_and(|name| sizes.contains(&name))
        && fields.next().is_some_and(|size| size != "0")
}

/// A mapping's first line; `Some(None)` for one that is not looked at, `None` for another line.
fn parse(line: &str) -> Option<Option<Mapping>> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let start = usize::from_str_radix(start, 16).ok()?;
    let end = usize::from_str_radix(end, 16).ok()?;
    let access = fields.next()?;
    let _offset = fields.next()?;
    let device = fields.next()?;
    let inode: u64 = fields.next()?.parse().ok()?;
    let path = fields.next().unwrap_or("");
    let is_anonymous = path.is_empty() || path.starts_with("[anon:");
    let is_shared = access.ends_with('s');
    let needs = if is_anonymous || access.starts_with("rw") {
        Some(Needs::Pages)
    } else if !is_shared && !path.starts_with('[') {
        Some(Needs::OwnPages)
    } else {
        None
    };
    let device = device.bytes().fold(0_u64, |sum, c| sum * 31 + u64::from(c));
    let needs = needs.filter(|_| !path.ends_with(".skipheap-rec"));
    Some(needs.map(|needs| Mapping {
        start,
        end,
        is_main_stack: path == "[stack]",
        may_be_stack: is_anonymous && access.starts_with("rw"),
        file: if inode == 0 { 0 } else { device << 40 ^ inode },
        is_main_heap: path == "[heap]",
        is_anonymous,
        needs,
    }))
}

/// Reads words of this process by way of the kernel, which reports what cannot be read.
pub(super) struct Reader {
    buffer: &'static mut [u64],
    source: Source,
    /// Other ways for what cannot be read so.
    others: Vec<Source>,
    pages: Pages,
    /// Bytes that could not be read in any way.
    pub(super) unread: usize,
}

/// How memory is read.
enum Source {
    /// By a system call that copies from one process to another.
    Copied,
    /// From the file of the process's memory: slower, and no more than any program does.
    File(File),
    /// By way of a file in memory, to which the kernel writes it as this process sees it.
    Through(OwnedFd),
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
        let file = File::open("/proc/self/mem").map(Source::File);
        let (source, others) = if !is_filtered && can_copy() {
            let file = file.ok();
            (Source::Copied, file.into_iter().chain(through()).collect())
        } else {
            (file?, Vec::new())
        };
        Ok(Self {
            buffer,
            source,
            others,
            pages: Pages::new(!is_filtered).ok_or(io::ErrorKind::OutOfMemory)?,
            unread: 0,
        })
    }

    /// Hands the aligned words of `[start, start + len)` to `f`, each with its address.
    #[inline]
    pub(super) fn words(&mut self, start: usize, len: usize, mut f: impl FnMut(usize, u64)) {
        let end = start + len;
        let mut at = start.next_multiple_of(8);
        while at + 8 <= end {
            let len = (end - at).min(BATCH) & !7;
            let read = self.read(at, len);
            for (&word, at) in self.buffer.iter().take(read / 8).zip((at..).step_by(8)) {
                f(at, word);
            }
            // Behind a page that cannot be read the next one may be readable. Whether a page can be read in
            // another way is seen when it is the first one.
            at = match read & !7 {
                0 => {
                    let next = (at + 1).next_multiple_of(PAGE);
                    self.unread += next.min(end) - at;
                    next
                }
                read => at + read,
            };
        }
    }

    /// Hands the words of those pages to `f` that are there: of a mapping or a block of terabytes mostly few
    /// are.
    #[inline]
    pub(super) fn present(&mut self, start: usize, end: usize, mut f: impl FnMut(usize, u64)) {
        let mut at = start / PAGE * PAGE;
        while at < end {
            let next = self.pages.look(at, end);
            let mut number = 0;
            while let Some(run) = self.pages.run(number) {
                let (from, to) = (run.start.max(start), run.end.min(end));
                self.words(from, to.saturating_sub(from), &mut f);
                number += 1;
            }
            at = next;
        }
    }

    /// Reads into the buffer, as far as that can be read.
    fn read(&mut self, at: usize, len: usize) -> usize {
        let read = self.source.read(at, self.buffer, len);
        if read >= 8 {
            return read;
        }
        // Whether the memory behind its first page can be read so is seen then.
        let len = len.min(PAGE - at % PAGE);
        self.others
            .iter()
            .map(|source| source.read(at, self.buffer, len))
            .find(|&read| read >= 8)
            .unwrap_or(0)
    }
}

impl Source {
    fn read(&self, at: usize, buffer: &mut [u64], len: usize) -> usize {
        let file = match self {
            Self::Copied => return sys::read_own(at, buffer, len),
            Self::Through(fd) => return sys::read_by_file(fd.as_raw_fd(), at, buffer, len),
            Self::File(file) => file,
        };
        // SAFETY: any bytes are words; the buffer is as long as said.
        let bytes = unsafe {
            core::slice::from_raw_parts_mut(buffer.as_mut_ptr().cast::<u8>(), size_of_val(buffer))
        };
        bytes
            .get_mut(..len)
            .and_then(|room| file.read_at(room, at as u64).ok())
            .unwrap_or(0)
    }
}

/// A way through a file in memory.
fn through() -> Option<Source> {
    let fd = sys::memory_file();
    // SAFETY: the descriptor was made just now, and is nobody else's.
    (fd >= 0).then(|| Source::Through(unsafe { OwnedFd::from_raw_fd(fd) }))
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
                through().unwrap(),
            ] {
                let mut reader = Reader::new().unwrap();
                reader.source = source;
                reader.pages = Pages::new(can_scan).unwrap();
                let (mut found, mut words) = (0, 0);
                reader.present(start + 16, start + len, |place, word| {
                    words += 1;
                    found += u64::from(word == 77 && place == at);
                });
                assert_eq!(found, 1);
                assert!(words <= 512 * PAGE / 8, "{words}");
            }
        }
    }
}
