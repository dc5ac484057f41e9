//! What musl's malloc says of its memory: which parts of it are free, where freed blocks keep stale addresses.
//!
//! The layout is that of mallocng, musl's malloc since 1.2.1 (`struct group`, `meta` and `meta_area` of its
//! meta.h). Blocks are slots of a group. In front of a block stands how far away the group begins, which begins
//! with the address of its description; there are masks of the slots that are free, and the address of the group.
//! Descriptions lie side by side in areas of a page.
//!
//! What is not found to be laid out so is taken for memory of the program, as it is with a musl that was
//! built with its older malloc: blocks to which freed memory leads are no leaks then.

use super::blocks::Blocks;
use super::memory::{PAGE, Reader};
use core::ops::Range;
use std::collections::HashSet;

/// What slots, and groups, are aligned to; a group has so many bytes in front of its slots.
const UNIT: usize = 16;
/// Bytes at the end of a slot that belong to the next one's head.
const HEAD: usize = 4;
/// Bytes of a description.
const META: usize = 40;
/// Bytes of an area in front of its descriptions.
const AREA_HEAD: usize = 24;
/// Units of a slot of each size class.
const CLASSES: [u16; 48] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 18, 20, 25, 31, 36, 42, 50, 63, 72, 84, 102, 127, 146,
    170, 204, 255, 292, 340, 409, 511, 584, 682, 818, 1023, 1169, 1364, 1637, 2047, 2340, 2730,
    3276, 4095, 4680, 5460, 6552, 8191,
];

/// A group of slots.
struct Group {
    start: usize,
    stride: usize,
    slots: usize,
    /// Bit i: slot i is free.
    free: u32,
}

impl Group {
    /// The group that is described at `meta`, if one is.
    fn described_at(meta: usize, reader: &mut Reader) -> Option<Self> {
        let [_, _, start, masks, layout] = words_at::<5>(meta, reader)?;
        let start = start as usize;
        let is_described = start != 0
            && start.is_multiple_of(UNIT)
            && words_at::<1>(start, reader)? == [meta as u64];
        // In its low bits, the number of the last slot, and behind a flag the size class; then the pages of a
        // mapping of its own.
        let (last, class, pages) = (layout & 31, layout >> 6 & 63, layout >> 12);
        let stride = if last == 0 && pages != 0 {
            (pages as usize).checked_mul(PAGE)? - UNIT
        } else {
            usize::from(*CLASSES.get(class as usize)?) * UNIT
        };
        is_described.then_some(Self {
            start,
            stride,
            slots: last as usize + 1,
            free: masks as u32 | (masks >> 32) as u32,
        })
    }

    fn slot(&self, index: usize) -> Range<usize> {
        let start = self.start + UNIT + index * self.stride;
        start..start + self.stride - HEAD
    }
}

fn words_at<const COUNT: usize>(at: usize, reader: &mut Reader) -> Option<[u64; COUNT]> {
    let mut words = [0; COUNT];
    let mut read = 0;
    if at.is_multiple_of(8) {
        reader.words(at, COUNT * 8, |_, word| {
            if let Some(slot) = words.get_mut(read) {
                *slot = word;
            }
            read += 1;
        });
    }
    (read == COUNT).then_some(words)
}

/// Where the description lies of the group that has a block; nonsense where the block is none of mallocng's.
fn meta_of(block: usize, reader: &mut Reader) -> Option<usize> {
    let [head] = words_at::<1>(block.checked_sub(8)?, reader)?;
    let bytes = head.to_le_bytes();
    let units = match bytes[4] {
        0 => usize::from(u16::from_le_bytes([bytes[6], bytes[7]])),
        _ => head as u32 as usize,
    };
    let group = block.checked_sub(units.checked_mul(UNIT)? + UNIT)?;
    words_at::<1>(group, reader).map(|[meta]| meta as usize)
}

/// The free slots of all groups that are found. Blocks in them were freed unseen, and are marked so.
pub(super) fn free_slots(blocks: &mut Blocks, reader: &mut Reader) -> Vec<Range<usize>> {
    let mut free = Vec::new();
    let (mut seen, mut areas) = (HashSet::new(), HashSet::new());
    let mut index = 0;
    while let Some((block, _)) = blocks.get(index) {
        index += 1;
        // (A block that is aligned to less than a unit is not mallocng's.)
        let meta = block.is_multiple_of(UNIT).then(|| meta_of(block, reader));
        let Some(meta) = meta.flatten().filter(|&meta| seen.insert(meta)) else {
            continue;
        };
        let Some(group) = Group::described_at(meta, reader) else {
            continue;
        };
        leave_out(&group, blocks, &mut free);
        // Groups of which no block is left are described beside it.
        let mut area = meta / PAGE * PAGE;
        while area != 0 && areas.insert(area) {
            let Some([_, next, count]) = words_at::<3>(area, reader) else {
                break;
            };
            let most = (PAGE - AREA_HEAD) / META;
            for slot in 0..(count as u32 as usize).min(most) {
                let meta = area + AREA_HEAD + slot * META;
                if !seen.contains(&meta)
                    && let Some(group) = Group::described_at(meta, reader)
                {
                    seen.insert(meta);
                    leave_out(&group, blocks, &mut free);
                }
            }
            area = next as usize;
        }
    }
    free
}

fn leave_out(group: &Group, blocks: &mut Blocks, free: &mut Vec<Range<usize>>) {
    for index in (0..group.slots).filter(|index| group.free >> index & 1 != 0) {
        let slot = group.slot(index);
        let mut block = blocks.first_from(slot.start);
        while blocks
            .get(block)
            .is_some_and(|(start, _)| slot.contains(&start))
        {
            blocks.forget(block);
            block += 1;
        }
        free.push(slot);
    }
}
