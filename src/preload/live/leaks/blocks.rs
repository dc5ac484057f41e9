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
    /// Bytes, and [`MARKED`].
    len: u64,
    /// Offset of its site's record in the recording; 0 where its calls are nested, which no report
    /// shows.
    site: u64,
}

/// The block was reached.
const MARKED: u64 = 1 << 63;

/// All blocks.
pub(super) struct Blocks {
    /// Sorted by address.
    blocks: &'static mut [Block],
    /// Those that were reached and not scanned yet, by index.
    to_scan: &'static mut [u32],
    scan: usize,
}

/// Room for `len` values that are zeros; not in the private heap, which may be scanned.
fn room<T>(len: usize) -> Option<&'static mut [T]> {
    let bytes = len.max(1).checked_mul(size_of::<T>())?;
    let start = sys::map_wiped_on_fork(bytes);
    // SAFETY: a fresh mapping of that many bytes, aligned to a page, never unmapped; zeros are valid
    // values of the two types that this is used for.
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
        })
    }

    /// Index of the first block that ends behind `address`.
    pub(super) fn first_behind(&self, address: usize) -> usize {
        self.blocks.partition_point(|block| block.end() <= address)
    }

    /// Start and length of a block.
    pub(super) fn get(&self, index: usize) -> Option<(usize, usize)> {
        let block = self.blocks.get(index)?;
        Some((block.start, block.end() - block.start))
    }

    /// Marks the block that `word` is an address in, if there is one. The address just behind its last
    /// byte is none; that of a block of no bytes is.
    #[inline]
    pub(super) fn mark(&mut self, word: u64) {
        let word = word as usize;
        let (Some(first), Some(last)) = (self.blocks.first(), self.blocks.last()) else {
            return;
        };
        if word < first.start || word >= last.end() {
            return;
        }
        let index = self.first_behind(word);
        let Some(block) = self.blocks.get_mut(index) else {
            return;
        };
        if block.start > word || block.len & MARKED != 0 {
            return;
        }
        block.len |= MARKED;
        if let Some(slot) = self.to_scan.get_mut(self.scan) {
            *slot = index as u32;
            self.scan += 1;
        }
    }

    /// A block that was reached and not yet scanned.
    pub(super) fn next_to_scan(&mut self) -> Option<(usize, usize)> {
        self.scan = self.scan.checked_sub(1)?;
        let index = *self.to_scan.get(self.scan)?;
        self.get(index as usize)
    }

    /// The sites of blocks that were not reached, each with how many there are.
    pub(super) fn unmarked(&mut self) -> impl Iterator<Item = (u64, u64)> {
        self.blocks
            .sort_unstable_by_key(|block| (block.len & MARKED, block.site));
        let end = self.blocks.partition_point(|block| block.len & MARKED == 0);
        let unmarked = self.blocks.get(..end).unwrap_or(&[]);
        unmarked
            .chunk_by(|a, b| a.site == b.site)
            .filter_map(|same| Some((same.first()?.site, same.len() as u64)))
            .filter(|&(site, _)| site != 0)
    }
}

impl Block {
    fn end(&self) -> usize {
        self.start + ((self.len & !MARKED) as usize).max(1)
    }
}
