//! The frames of the leaks that a report lists. In some reports only these need source lines.

use super::gather::{Gathered, Key};
use crate::report::figures::{LiveSums, Rate};
use crate::report::left::{Left, Remaining, in_order, named};
use skipheap_format::layout::MOST_FRAMES;
use skipheap_format::reader::{FormatError, Recording};
use skipheap_symbolize::hash::FastMap;

/// A stack: its innermost frames and its id.
type Stack = ([u32; 4], u32);

/// The frame ids of the `most` stacks with the most unfreed bytes.
pub(super) fn frames(
    recording: &Recording<'_>,
    gathered: &Gathered,
    most: usize,
) -> Result<Vec<u32>, FormatError> {
    let depth = match recording.stack_depth() {
        0 => MOST_FRAMES,
        depth => depth,
    };
    let mut stacks: FastMap<Vec<u32>, Stack> = FastMap::default();
    // By stack and size. A sorted list, because a map of this size would need more memory than
    // everything else.
    let mut lives: Vec<(Stack, u64, &LiveSums)> = Vec::new();
    for (key, site) in gathered.keys.iter().zip(&gathered.sites) {
        let Some(live) = &site.figures.live else {
            continue;
        };
        let mut stack = (key.frames, key.node);
        if depth < MOST_FRAMES {
            // Frames farther out do not distinguish stacks.
            stack = *stacks.entry(key.stack(recording, depth)?).or_insert(stack);
        }
        lives.push((stack, key.size, live));
    }
    lives.sort_unstable_by_key(|&(stack, size, _)| (stack, size));
    let rate = Rate::new(recording.sample_bytes());
    let mut found: Vec<(Stack, Left)> = Vec::new();
    for of_size in lives.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
        let Some(&(stack, size, _)) = of_size.first() else {
            continue;
        };
        let mut sum = Remaining::default();
        of_size
            .iter()
            .for_each(|(_, _, live)| sum.add(live, live.leaked));
        let left = sum.left(rate, size);
        match found.last_mut() {
            _ if left.all.blocks == 0 => {}
            Some((last, sum)) if *last == stack => sum.add(left),
            _ => found.push((stack, left)),
        }
    }
    drop(lives);
    let found = in_order(found);
    let named = named(&found, &[], most);
    let mut ids = Vec::new();
    for &((frames, node), _) in found.iter().take(named) {
        let key = Key {
            frames,
            node,
            ..Key::default()
        };
        ids.extend(key.stack(recording, depth)?);
    }
    Ok(ids)
}
