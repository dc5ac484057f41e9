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
use std::collections::{HashMap, HashSet};

/// What slots, and groups, are aligned to; a group has so many bytes in front of its slots.
const UNIT: usize = 16;
/// Bytes at the end of a slot that belong to the next one's head.
const HEAD: usize = 4;
/// Bytes in front of a block that say where its group begins.
const HEADS: usize = 8;
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

/// A block's slot: the block's index, and the slot's number in its group.
type InSlot = (usize, usize);

/// Blocks by the groups that they seem to lie in, as the bytes in front of them say. A block of another
/// allocator seems to lie in what is no group.
fn groups_of_blocks(blocks: &Blocks, reader: &mut Reader) -> HashMap<usize, Vec<InSlot>> {
    let mut groups: HashMap<usize, Vec<InSlot>> = HashMap::new();
    let mut index = 0;
    while let Some((first, _)) = blocks.get(index) {
        // Blocks on the same page, or on adjacent ones, are read together: nothing in between can be missing.
        let mut end = first;
        let mut behind = index + 1;
        while let Some((next, _)) = blocks.get(behind).filter(|&(next, _)| next - end < PAGE) {
            (end, behind) = (next, behind + 1);
        }
        let head = |block: usize| (block - HEADS) & !7;
        let mut wanted = index;
        reader.words(head(first), end - head(first), |at, word| {
            while let Some((block, _)) = blocks.get(wanted).filter(|&(block, _)| head(block) <= at)
            {
                if head(block) == at && block.is_multiple_of(UNIT) && wanted < behind {
                    let [.., is_far, slot, low, high] = word.to_le_bytes();
                    let units = match is_far {
                        0 => usize::from(u16::from_le_bytes([low, high])),
                        _ => word as u32 as usize,
                    };
                    if let Some(group) = block.checked_sub(units * UNIT + UNIT) {
                        let of_group = groups.entry(group).or_default();
                        of_group.push((wanted, usize::from(slot & 31)));
                    }
                }
                wanted += 1;
            }
        });
        index = behind;
    }
    groups
}

/// The memory that counts for nothing in all groups that are found: free slots, and what lies around blocks.
/// Blocks in free slots were freed unseen, and are marked so.
pub(super) fn dead_parts(blocks: &mut Blocks, reader: &mut Reader) -> Vec<Range<usize>> {
    let mut dead = Vec::new();
    let (mut seen, mut areas) = (HashSet::new(), HashSet::new());
    for (start, in_slots) in groups_of_blocks(blocks, reader) {
        let meta = words_at::<1>(start, reader).map(|[meta]| meta as usize);
        let group = meta.and_then(|meta| Group::described_at(meta, reader));
        let (Some(meta), Some(group)) = (meta, group) else {
            continue;
        };
        seen.insert(meta);
        areas.insert(meta / PAGE * PAGE);
        leave_out_free(&group, blocks, &mut dead);
        dead.push(start..start + UNIT);
        for (index, slot) in in_slots {
            let (slot, block) = (group.slot(slot), blocks.get(index));
            if let Some((block, len)) = block.filter(|(block, _)| slot.contains(block)) {
                dead.push(slot.start..block);
                dead.push((block + len).next_multiple_of(8)..slot.end + HEAD);
            }
        }
    }
    // Groups of which no block is left are described beside the others.
    let mut to_see: Vec<usize> = areas.iter().copied().collect();
    while let Some(area) = to_see.pop() {
        let Some([_, next, count]) = words_at::<3>(area, reader) else {
            continue;
        };
        let most = (PAGE - AREA_HEAD) / META;
        for slot in 0..(count as u32 as usize).min(most) {
            let meta = area + AREA_HEAD + slot * META;
            if seen.insert(meta)
                && let Some(group) = Group::described_at(meta, reader)
            {
                leave_out_free(&group, blocks, &mut dead);
            }
        }
        if next != 0 && areas.insert(next as usize) {
            to_see.push(next as usize);
        }
    }
    dead
}

fn leave_out_free(group: &Group, blocks: &mut Blocks, dead: &mut Vec<Range<usize>>) {
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
        dead.push(slot);
    }
}
