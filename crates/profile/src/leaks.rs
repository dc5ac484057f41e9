//! Blocks that are still there at the end of a process, as [`crate::report::leaks`] finds them in a
//! recording.

use super::{FrameKind, Profile, Site};
use crate::report::figures::{LiveSums, Rate};
use crate::report::left::{Frame, Leaks, by_stack, in_order, list};
use crate::report::suppressions::Suppression;
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::places::Place;
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
    let mut sums: FastMap<(u32, u64), LiveSums> = FastMap::default();
    for site in sites {
        let Some(live) = &site.figures.live else {
            continue;
        };
        let (followed, frees) = match unreachable {
            true => (site.unreachable, 0),
            false => (live.followed, live.frees),
        };
        sums.entry((site.node, site.size))
            .or_default()
            .add(&LiveSums {
                followed,
                frees,
                ..LiveSums::default()
            });
    }
    let rate = match profile.scaled {
        true => Rate::new(0),
        false => Rate::new(process.sample_bytes),
    };
    let found = in_order(by_stack(sums, rate));
    let mut known: FastMap<u32, Rc<Frame>> = FastMap::default();
    let Ok(leaks) = list(
        &found,
        suppressions,
        most,
        |&node| -> Result<_, Infallible> {
            let nodes = profile.stack(node);
            let nodes = nodes.filter(|(_, node)| profile.frame(node).kind != FrameKind::Marker);
            let frames = nodes.map(|(_, node)| {
                let frame = known
                    .entry(node.frame)
                    .or_insert_with(|| Rc::new(frame(profile, node.frame, suppressions)));
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
