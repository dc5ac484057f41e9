//! The live blocks at the end, in the order of their addresses, and which of them were reached.
//!
//! They lie in memory of their own that the scan knows not to read: else each would be found there.

use super::super::count::site_of;
use super::super::shadow::BLOCKS;
use crate::process::Process;
use crate::sys;

/// A block.
#[derive(Clone, Copy)]
struct Block {
    start: usize,
    /// Bytes, and [`MARKED`] or [`INDIRECT`].
    len: u64,
    /// Offset of its site's record in the recording; 0 where its calls are nested, which no report
    /// shows.
    site: u64,
}

/// The block was reached.
const MARKED: u64 = 1 << 63;
/// It was not, but by another one that was not.
const INDIRECT: u64 = 1 << 62;
/// It was freed, and nobody told us.
const FREED: u64 = 1 << 61;
/// All of these.
const FLAGS: u64 = MARKED | INDIRECT | FREED;
/// Bytes that `new T[n]` puts in front of the elements that have a destructor: their number.
const COOKIE: usize = 8;

/// Blocks of a site that were not reached.
pub(crate) struct Unreached {
    /// Offset of the site's record in the recording.
    pub(crate) site: u64,
    /// How many there are.
    pub(crate) blocks: u64,
    /// Those among them that another one leads to.
    pub(crate) indirect: u64,
}

/// All blocks.
pub(super) struct Blocks {
    /// Sorted by address.
    blocks: &'static mut [Block],
    /// Those that were reached and not scanned yet, by index.
    to_scan: &'static mut [u32],
    scan: usize,
    /// A filter of system calls may kill for reading memory by one.
    is_filtered: bool,
}

/// Room for `len` values that are zeros; not in the private heap, which may be scanned.
pub(super) fn room<T>(len: usize) -> Option<&'static mut [T]> {
    let bytes = len.max(1).checked_mul(size_of::<T>())?;
    let start = sys::map_wiped_on_fork(bytes);
    // SAFETY: a fresh mapping of that many bytes, aligned to a page, never unmapped; zeros are valid
    // values of the types that this is used for.
    (!start.is_null()).then(|| unsafe { core::slice::from_raw_parts_mut(start.cast(), len) })
}

impl Blocks {
    /// Collects them. `None` when there is no memory for it.
    pub(super) fn collect(process: &Process) -> Option<Self> {
        let mut count = 0;
        BLOCKS.each(|_, _| count += 1);
        let blocks: &mut [Block] = room(count)?;
        let mut taken = 0;
        // Other threads may have changed some since.
        BLOCKS.each(|start, entry| {
            if let Some(slot) = blocks.get_mut(taken) {
                let (site, len) = site_of(process, entry);
                let site = site.unwrap_or(0);
                *slot = Block { start, len, site };
                taken += 1;
            }
        });
        let blocks = blocks.get_mut(..taken)?;
        blocks.sort_unstable_by_key(|block| block.start);
        Some(Self {
            blocks,
            to_scan: room(count)?,
            scan: 0,
            is_filtered: sys::is_filtered(),
        })
    }

    /// Index of the first block that ends behind `address`.
    pub(super) fn first_behind(&self, address: usize) -> usize {
        self.blocks.partition_point(|block| block.end() <= address)
    }

    /// Index of the first block that begins at `address` or behind it.
    pub(super) fn first_from(&self, address: usize) -> usize {
        self.blocks.partition_point(|block| block.start < address)
    }

    /// Start and length of a block.
    pub(super) fn get(&self, index: usize) -> Option<(usize, usize)> {
        let block = self.blocks.get(index)?;
        Some((block.start, block.end() - block.start))
    }

    /// The block that `word` is an address in, if there is one. The address just behind its last byte is none;
    /// that of a block of no bytes is.
    #[inline]
    fn index_of(&self, word: u64) -> Option<usize> {
        let word = word as usize;
        let (first, last) = (self.blocks.first()?, self.blocks.last()?);
        if word < first.start || word > last.end() {
            return None;
        }
        let index = self.first_behind(word);
        let block = self.blocks.get(index);
        if block.is_some_and(|block| block.start <= word) {
            return Some(index);
        }
        // `new T[0]` gives the address behind its cookie, in which there is a 0.
        let before = index.checked_sub(1)?;
        let block = self.blocks.get(before)?;
        let may_be_cookie = block.end() == word && word - block.start == COOKIE;
        (may_be_cookie && self.is_zero(block.start)).then_some(before)
    }

    /// Returns whether the word at `address` is 0, or cannot be read.
    #[cold]
    fn is_zero(&self, address: usize) -> bool {
        let mut word = [0];
        self.is_filtered || sys::read_own(address, &mut word, 8) != 8 || word == [0]
    }

    /// Gives a block that has none of the two yet a flag, and has it scanned.
    fn flag(&mut self, index: usize, flag: u64) {
        let Some(block) = self.blocks.get_mut(index) else {
            return;
        };
        if block.len & (MARKED | INDIRECT) == 0 {
            block.len |= flag;
            self.push(index);
        }
    }

    fn push(&mut self, index: usize) {
        if let Some(slot) = self.to_scan.get_mut(self.scan) {
            *slot = index as u32;
            self.scan += 1;
        }
    }

    /// Says that a block was freed unseen. It is none any more when [`Self::leave_out_freed`] is called.
    pub(super) fn forget(&mut self, index: usize) {
        if let Some(block) = self.blocks.get_mut(index) {
            block.len |= FREED;
        }
    }

    /// Leaves out the blocks that were freed unseen.
    pub(super) fn leave_out_freed(&mut self) {
        let mut kept = 0;
        for index in 0..self.blocks.len() {
            if self
                .blocks
                .get(index)
                .is_some_and(|block| block.len & FREED == 0)
            {
                self.blocks.swap(kept, index);
                kept += 1;
            }
        }
        let blocks = core::mem::take(&mut self.blocks);
        self.blocks = blocks.split_at_mut(kept).0;
    }

    /// Marks the block that `word` is an address in, if there is one, and does not have it scanned. Its start
    /// and length.
    pub(super) fn keep(&mut self, word: u64) -> Option<(usize, usize)> {
        let index = self.index_of(word)?;
        self.blocks.get_mut(index)?.len |= MARKED;
        self.get(index)
    }

    /// Marks the block that `word` is an address in, if there is one.
    #[inline]
    pub(super) fn mark(&mut self, word: u64) {
        if let Some(index) = self.index_of(word) {
            self.flag(index, MARKED);
        }
    }

    /// Marks the block that a word of the C library's own data leads to, unless it is where the chunk behind
    /// the block begins, in the last bytes that may be used of the block itself. glibc's malloc keeps such
    /// addresses.
    #[inline]
    pub(super) fn mark_of_libc(&mut self, word: u64) {
        if let Some(index) = self.index_of(word)
            && let Some(block) = self.blocks.get(index)
            && word as usize != block.next_chunk()
        {
            self.flag(index, MARKED);
        }
    }

    /// Has all marked blocks scanned once more.
    pub(super) fn scan_again(&mut self) {
        for index in 0..self.blocks.len() {
            if self
                .blocks
                .get(index)
                .is_some_and(|block| block.len & MARKED != 0)
            {
                self.push(index);
            }
        }
    }

    /// Has the first block from `index` on scanned that nothing has led to; its index. All that it leads to is
    /// lost with it. (If something that is lost leads to it is seen later.)
    pub(super) fn next_lost(&mut self, index: usize) -> Option<usize> {
        let mut blocks = self.blocks.iter().skip(index);
        let found = index + blocks.position(|block| block.len & (MARKED | INDIRECT) == 0)?;
        self.push(found);
        Some(found)
    }

    /// Says of the block that `word` is an address in, if there is one, that a block that is lost leads to it:
    /// `lost`, or one that is lost with it.
    #[inline]
    pub(super) fn mark_lost_with(&mut self, lost: usize, word: u64) {
        if let Some(index) = self.index_of(word).filter(|&index| index != lost) {
            self.flag(index, INDIRECT);
        }
    }

    /// A block that was reached and not yet scanned.
    pub(super) fn next_to_scan(&mut self) -> Option<(usize, usize)> {
        self.scan = self.scan.checked_sub(1)?;
        let index = *self.to_scan.get(self.scan)?;
        self.get(index as usize)
    }

    /// The blocks that were not reached, by site.
    pub(super) fn unreached(&mut self) -> impl Iterator<Item = Unreached> {
        self.blocks
            .sort_unstable_by_key(|block| (block.len & MARKED, block.site));
        let end = self.blocks.partition_point(|block| block.len & MARKED == 0);
        let unreached = self.blocks.get(..end).unwrap_or(&[]);
        let sites = unreached.chunk_by(|a, b| a.site == b.site);
        let sites = sites.filter_map(|same| {
            let is_indirect = |block: &&Block| block.len & INDIRECT != 0;
            Some(Unreached {
                site: same.first()?.site,
                blocks: same.len() as u64,
                indirect: same.iter().filter(is_indirect).count() as u64,
            })
        });
        sites.filter(|unreached| unreached.site != 0)
    }
}

impl Block {
    fn end(&self) -> usize {
        self.start + ((self.len & !FLAGS) as usize).max(1)
    }

    /// Where glibc's malloc has the next chunk, which begins with a word that is the block's: the chunk
    /// begins 16 bytes in front of the block, and has a word in front of it, and 32 bytes at least.
    fn next_chunk(&self) -> usize {
        let len = (self.len & !FLAGS) as usize;
        self.start - 16 + (len + 8).next_multiple_of(16).max(32)
    }
}
