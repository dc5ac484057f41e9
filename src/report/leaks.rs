//! Blocks that are still there at the end, by stack: those to which no pointer was found, where the
//! leak check was made, else all.

use super::figures::{Figures, LiveSums, Rate};
use super::frames::FrameNames;
use super::suppressions::Suppression;
use crate::record::layout::FIRST_FRAME_ID;
use crate::record::reader::{FormatError, Recording, Site};
use crate::symbolize::Symbolizer;
use crate::symbolize::demangle::printable;
use crate::symbolize::hash::FastMap;
use crate::symbolize::places::{Place, Places};
use std::cmp::Reverse;
use std::rc::Rc;

/// A number of blocks and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// How many.
    pub(crate) blocks: u64,
    /// Bytes of all.
    pub(crate) bytes: u64,
}

impl Blocks {
    /// Adds others.
    pub(crate) fn add(&mut self, other: Self) {
        self.blocks = self.blocks.saturating_add(other.blocks);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// The blocks of one stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leak {
    /// The functions, innermost first, those inlined too.
    pub(crate) stack: Vec<Place>,
    /// What is left.
    pub(crate) left: Blocks,
}

/// What is left of all blocks of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leaks {
    /// Only blocks to which no pointer was found: the leak check was made.
    pub(crate) unreachable: bool,
    /// Without those that are suppressed.
    pub(crate) all: Blocks,
    /// Stacks of these.
    pub(crate) stacks: usize,
    /// The stacks with the most bytes.
    pub(crate) largest: Vec<Leak>,
    /// What each suppression kept away, in their order.
    pub(crate) suppressed: Vec<Blocks>,
}

/// The innermost frames and the stack: the same for all sizes, functions and threads.
type Stack = ([u32; 4], u32);

/// Finds what is left, with the `most` stacks that have the most bytes. `None` where blocks were not
/// followed.
///
/// # Errors
/// When the recording refers to a frame, a stack or a module that it does not hold.
pub(crate) fn leaks(
    recording: &Recording<'_>,
    suppressions: &[Suppression],
    most: usize,
    symbolizer: &mut Symbolizer,
    places: &mut Places,
) -> Result<Option<Leaks>, FormatError> {
    if !recording.follows_blocks() {
        return Ok(None);
    }
    let mut found: Vec<(Stack, Blocks)> = by_stack(recording).into_iter().collect();
    found.sort_unstable_by_key(|&(stack, left)| (Reverse(left.bytes), Reverse(left.blocks), stack));
    let mut leaks = Leaks {
        unreachable: recording.leaks().is_some(),
        suppressed: vec![Blocks::default(); suppressions.len()],
        ..Leaks::default()
    };
    let mut frames = FrameNames::new(recording);
    let named = match suppressions {
        [] => most,
        _ => found.len(),
    };
    let mut ids = Vec::new();
    for &(stack, _) in found.iter().take(named) {
        ids.extend(frames_of(recording, stack)?);
    }
    frames.prepare(ids.into_iter(), symbolizer, Some(places))?;
    for (key, left) in found {
        let mut stack = Vec::new();
        if leaks.largest.len() < most || !suppressions.is_empty() {
            let ids = frames_of(recording, key)?;
            for &id in ids.iter().filter(|&&id| id >= FIRST_FRAME_ID) {
                let functions = frames.functions(id, symbolizer, places)?;
                let module = frames.module(id)?.map(|module| printable(module.path));
                stack.push((functions, module));
            }
        }
        let known = suppressions
            .iter()
            .position(|one| stack.iter().any(|frame| is_match(one, frame)));
        if let Some(sum) = known.and_then(|known| leaks.suppressed.get_mut(known)) {
            sum.add(left);
            continue;
        }
        leaks.all.add(left);
        leaks.stacks += 1;
        if leaks.largest.len() < most {
            let stack = stack.into_iter().flat_map(|frame| frame.0).collect();
            leaks.largest.push(Leak { stack, left });
        }
    }
    Ok(Some(leaks))
}

/// The frame ids of a stack, innermost first.
fn frames_of(recording: &Recording<'_>, (frames, node): Stack) -> Result<Vec<u32>, FormatError> {
    recording.stack(&Site {
        frames,
        node,
        size: 0,
        function: 0,
        count: 0,
        thread: 0,
        offset: 0,
        live: None,
    })
}

/// Functions of a frame, and its module.
type Frame = (Vec<Place>, Option<String>);

fn is_match(suppression: &Suppression, (functions, module): &Frame) -> bool {
    let matches = |text: &Option<Rc<str>>| {
        text.as_deref()
            .is_some_and(|text| suppression.matches(text))
    };
    module
        .as_deref()
        .is_some_and(|module| suppression.matches(module))
        || functions
            .iter()
            .any(|place| matches(&place.function) || matches(&place.file))
}

/// What is left of each stack.
fn by_stack(recording: &Recording<'_>) -> FastMap<Stack, Blocks> {
    let unreachable: Option<FastMap<u64, u64>> = recording.leaks().map(|leaks| {
        let mut by_site = FastMap::default();
        for leak in leaks {
            let blocks: &mut u64 = by_site.entry(leak.site).or_default();
            *blocks = blocks.saturating_add(leak.blocks);
        }
        by_site
    });
    // By size as well: threads that freed others' blocks have less than none of them.
    let mut sums: FastMap<(Stack, u64), Figures> = FastMap::default();
    for site in recording.sites() {
        let Some(live) = site.live else { continue };
        let mut sum = LiveSums::of(site.count, &live, false);
        if let Some(unreachable) = &unreachable {
            let blocks = unreachable.get(&site.offset).copied().unwrap_or(0);
            (sum.followed, sum.frees) = (blocks, 0);
        }
        let figures = Figures {
            live: Some(sum),
            ..Figures::default()
        };
        let key = ((site.frames, site.node), site.size);
        sums.entry(key).or_default().add(&figures);
    }
    let rate = Rate::new(recording.sample_bytes());
    let mut stacks: FastMap<Stack, Blocks> = FastMap::default();
    for ((stack, size), mut figures) in sums {
        figures.scale(rate, size);
        let blocks = figures.live.map_or(0, |live| live.live());
        if blocks > 0 {
            stacks.entry(stack).or_default().add(Blocks {
                blocks,
                bytes: blocks.saturating_mul(size),
            });
        }
    }
    stacks
}
