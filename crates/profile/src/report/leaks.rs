//! Blocks that are still there at the end of a recording, by stack: those to which no pointer was found,
//! where the leak check was made, else all.

use super::figures::{LiveSums, Rate};
use super::frames::FrameNames;
use super::leaked::LeaksBySite;
use super::left::{Frame, Leaks, by_stack, in_order, list, named};
use super::suppressions::Suppression;
use skipheap_format::layout::{FIRST_FRAME_ID, MOST_FRAMES};
use skipheap_format::reader::{FormatError, Recording, Site};
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::places::Places;
use skipheap_text::printable;
use std::rc::Rc;

/// The innermost frames and the stack: the same for all sizes, functions and threads.
type Stack = ([u32; 4], u32);

/// Finds what is left, with the `most` stacks that have the most bytes. `None` where blocks were not
/// followed.
///
/// # Errors
/// When the recording refers to a frame, a stack or a module that it does not hold.
pub fn leaks(
    recording: &Recording<'_>,
    suppressions: &[Suppression],
    most: usize,
    symbolizer: &mut Symbolizer,
    places: &mut Places,
) -> Result<Option<Leaks>, FormatError> {
    if !recording.follows_blocks() {
        return Ok(None);
    }
    let rate = Rate::new(recording.sample_bytes());
    let found = in_order(by_stack(sums(recording)?, rate));
    let mut frames = FrameNames::new(recording);
    let named = named(&found, suppressions, most);
    let mut ids = Vec::new();
    for &(stack, _) in found.iter().take(named) {
        ids.extend(shown(recording, stack)?);
    }
    frames.prepare(ids.into_iter(), symbolizer, Some(places))?;
    let mut known: FastMap<u32, Rc<Frame>> = FastMap::default();
    let mut frame = |id: u32| -> Result<Rc<Frame>, FormatError> {
        if let Some(known) = known.get(&id) {
            return Ok(Rc::clone(known));
        }
        let functions = frames.functions(id, symbolizer, places)?;
        let module = frames.module(id)?.map(|module| printable(module.path));
        let frame = Rc::new(Frame::new(functions, module.as_deref(), suppressions));
        known.insert(id, Rc::clone(&frame));
        Ok(frame)
    };
    let leaks = list(&found, suppressions, most, |&stack| {
        let ids = shown(recording, stack)?.into_iter();
        ids.filter(|&id| id >= FIRST_FRAME_ID)
            .map(&mut frame)
            .collect()
    })?;
    Ok(Some(Leaks {
        unreachable: recording.leaks().is_some(),
        ..leaks
    }))
}

/// The blocks that are left by stack and size. By size as well: threads that freed others' blocks have
/// less than none of them.
fn sums(recording: &Recording<'_>) -> Result<FastMap<(Stack, u64), LiveSums>, FormatError> {
    let leaks = LeaksBySite::new(recording);
    let depth = depth(recording);
    let mut stacks: FastMap<Vec<u32>, Stack> = FastMap::default();
    let mut sums: FastMap<(Stack, u64), LiveSums> = FastMap::default();
    for site in recording.sites() {
        let Some(live) = site.live else { continue };
        let sum = LiveSums::of(site.count, &live, false, leaks.of(site.offset));
        let mut stack = (site.frames, site.node);
        if depth < MOST_FRAMES as usize {
            // What is farther out than that does not tell stacks apart.
            stack = *stacks.entry(shown(recording, stack)?).or_insert(stack);
        }
        sums.entry((stack, site.size)).or_default().add(&sum);
    }
    Ok(sums)
}

/// Most frames that are shown of a stack.
fn depth(recording: &Recording<'_>) -> usize {
    match recording.stack_depth() {
        0 => MOST_FRAMES as usize,
        depth => depth as usize,
    }
}

/// The frame ids of a stack that are shown, innermost first.
fn shown(recording: &Recording<'_>, (frames, node): Stack) -> Result<Vec<u32>, FormatError> {
    let mut ids = recording.stack(&Site {
        frames,
        node,
        size: 0,
        function: 0,
        count: 0,
        thread: 0,
        offset: 0,
        live: None,
    })?;
    ids.truncate(depth(recording));
    Ok(ids)
}
