//! Blocks that remain at the end of a process, by stack: the unreachable ones if the leak check
//! ran, otherwise all of them.

use super::{FrameKind, Profile, Site};
use crate::report::figures::Rate;
use crate::report::leaked::Leaked;
use crate::report::left::{Frame, Leaks, Left, Remaining, by_stack, in_order, list};
use crate::report::suppressions::Suppression;
use skipheap_format::layout::MOST_FRAMES;
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::places::Place;
use std::cmp::Reverse;
use std::convert::Infallible;
use std::rc::Rc;

/// Finds what is left of a process, of which these are the sites, with the `most` stacks that have the most
/// bytes. `None` where blocks were not followed.
pub fn leaks(
    profile: &Profile,
    process: u32,
    sites: &[&Site],
    suppressions: &[Suppression],
    most: usize,
) -> Option<Leaks> {
    let process = profile.processes.get(process as usize)?;
    let unreachable = process.live.as_ref()?.leak_checked;
    let depth = match process.stack_depth {
        0 => MOST_FRAMES,
        depth => depth,
    };
    let mut stacks: FastMap<Vec<u32>, u32> = FastMap::default();
    let mut sums: FastMap<(u32, u64), Remaining> = FastMap::default();
    for site in sites {
        let Some(live) = &site.figures.live else {
            continue;
        };
        let mut node = site.node;
        if depth < MOST_FRAMES {
            // Frames farther out do not distinguish stacks.
            let shown = shown(profile, node, depth).collect();
            node = *stacks.entry(shown).or_insert(node);
        }
        let sum = sums.entry((node, site.size)).or_default();
        sum.add(live, live.leaked.filter(|_| unreachable));
    }
    let rate = profile.rate_of(process);
    let found = in_order(by_stack(sums, rate));
    let mut known: FastMap<u32, Rc<Frame>> = FastMap::default();
    let Ok(leaks) = list(
        &found,
        suppressions,
        most,
        |&node| -> Result<_, Infallible> {
            let frames = shown(profile, node, depth).map(|index| {
                let frame = known
                    .entry(index)
                    .or_insert_with(|| Rc::new(frame(profile, index, suppressions)));
                Rc::clone(frame)
            });
            Ok(frames.collect())
        },
    );
    Some(Leaks {
        unreachable,
        ..leaks
    })
}

/// The innermost frames of a stack: `depth` with those that were inlined into them.
fn shown(profile: &Profile, node: u32, depth: u32) -> impl Iterator<Item = u32> {
    let mut left = depth;
    let frames = profile.stack(node).map_while(move |(_, node)| {
        let kind = profile.frame(node).kind;
        let is_shown = left > 0;
        left = left.saturating_sub(u32::from(kind != FrameKind::Inlined));
        is_shown.then_some((kind, node.frame))
    });
    frames
        .filter(|(kind, _)| *kind != FrameKind::Marker)
        .map(|(_, frame)| frame)
}

/// A stack of which blocks are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeakStack {
    /// Index of the process.
    pub process: u32,
    /// Where the stack ends; [`NONE`](crate::NONE) without one.
    pub node: u32,
    /// Its blocks that are lost, whatever their sizes, functions and threads.
    pub left: Left,
}

/// All stacks of which blocks are lost, of a profile whose figures are estimated where it is of samples; `None`
/// where no leak check was made. Those with directly lost blocks come first, then those with the most bytes.
pub fn leak_stacks(profile: &Profile) -> Option<Vec<LeakStack>> {
    if !profile.is_leak_checked() {
        return None;
    }
    let mut sums: FastMap<((u32, u32), u64), Remaining> = FastMap::default();
    for site in &profile.sites {
        let Some(live) = &site.figures.live else {
            continue;
        };
        if live.leaked.is_some() {
            let key = ((site.process, site.node), site.size);
            sums.entry(key).or_default().add(live, live.leaked);
        }
    }
    let mut found: Vec<LeakStack> = by_stack(sums, Rate::new(0))
        .into_iter()
        .map(|((process, node), left)| LeakStack {
            process,
            node,
            left,
        })
        .collect();
    found.sort_unstable_by_key(|stack| (Reverse(stack.left), stack.process, stack.node));
    Some(found)
}

/// Leaves out the leaks that are known, as reports do: their blocks stay, and are not lost.
pub fn leave_out_known(profile: &mut Profile, suppressions: &[Suppression]) {
    if suppressions.is_empty() {
        return;
    }
    let frames: Vec<bool> = (0..profile.frames.len() as u32)
        .map(|index| frame(profile, index, suppressions).is_known())
        .collect();
    let nodes: Vec<bool> = (0..profile.nodes.len() as u32)
        .map(|node| {
            let mut frames_of = profile.stack(node);
            frames_of.any(|(_, node)| {
                let is_marker = profile.frame(node).kind == FrameKind::Marker;
                !is_marker && frames[node.frame as usize]
            })
        })
        .collect();
    for site in &mut profile.sites {
        let is_known = nodes.get(site.node as usize).copied().unwrap_or(false);
        if let Some(live) = site.figures.live.as_mut().filter(|_| is_known) {
            live.leaked = live.leaked.map(|_| Leaked::default());
        }
    }
}

fn frame(profile: &Profile, index: u32, suppressions: &[Suppression]) -> Frame {
    let frame = &profile.frames[index as usize];
    let function = profile.function(frame);
    let place = Place {
        function: Some(profile.text(function.name).into()),
        file: (function.file != 0).then(|| profile.text(function.file).into()),
        line: (frame.line != 0).then_some(frame.line),
    };
    let module = profile.modules.get(function.module as usize);
    Frame::new(
        vec![place],
        module.map(|module| profile.text(module.path)),
        suppressions,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::LiveSums;
    use crate::report::suppressions::parse;
    use crate::testing::leaky;

    fn sites(profile: &Profile) -> Vec<&Site> {
        profile.sites.iter().collect()
    }

    #[test]
    fn both_kinds_of_leaks_are_listed_apart() {
        let profile = leaky();
        let found = leaks(&profile, 0, &sites(&profile), &[], 9).expect("followed");
        assert!(found.unreachable);
        assert_eq!((found.all.blocks, found.all.bytes), (7, 4096 + 6 * 40));
        assert_eq!((found.indirect.blocks, found.indirect.bytes), (5, 200));
        let bytes: Vec<_> = found
            .largest
            .iter()
            .map(|leak| (leak.left.direct().bytes, leak.left.indirect.bytes))
            .collect();
        assert_eq!(bytes, [(4096, 0), (40, 200)]);
    }

    #[test]
    fn every_stack_is_listed_once() {
        let mut profile = leaky();
        // Of another size, and the same stack.
        let mut again = profile.sites[0].clone();
        again.size = 1;
        profile.sites.push(again);
        let found = leak_stacks(&profile).expect("a check");
        let blocks: Vec<_> = found
            .iter()
            .map(|stack| (stack.node, stack.left.all.blocks, stack.left.indirect.bytes))
            .collect();
        let nodes = [2, 0].map(|site: usize| profile.sites[site].node);
        assert_eq!(blocks, [(nodes[0], 1, 0), (nodes[1], 12, 205)]);
        assert_eq!(leak_stacks(&crate::testing::small()), None);
    }

    #[test]
    fn what_is_known_is_no_leak_in_any_report() {
        let mut profile = leaky();
        let known = parse("leak:^parse$").expect("suppressions");
        leave_out_known(&mut profile, &known);
        let found = leaks(&profile, 0, &sites(&profile), &[], 9).expect("followed");
        assert_eq!((found.all.blocks, found.indirect.blocks), (1, 0));
        // The blocks are still there.
        assert_eq!(
            profile.sites[0].figures.live.as_ref().map(LiveSums::live),
            Some(6)
        );
    }
}
