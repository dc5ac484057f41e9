//! Which sites are those of nested calls, as readers will see it ([`skipheap_format::nested`]).
//!
//! Runs in cold sections.

use super::{IN_USE, hooked};
use crate::deep;
use crate::recording::Recording;
use crate::unwind::Frames;
use core::sync::atomic::Ordering::Relaxed;
use skipheap_format::layout::{
    FIRST_FRAME_ID, FRAME_MAKES_PAGES, FrameRecord, SIZE_BITS, StackNode,
};
use skipheap_format::nested;

/// Returns whether the calls of a site are nested. `frames` and `size` are as its record has them.
pub(crate) fn is_nested(recording: &Recording, frames: Frames, size: u64) -> bool {
    if !IN_USE.load(Relaxed) {
        return false;
    }
    let function = (size >> SIZE_BITS) as u16;
    if hooked::with(|hooks| hooks.counts_always(function)).unwrap_or(false) {
        return false;
    }
    let flags = |id| flags_of(recording, id);
    if deep::is_on() {
        let stack = Stack {
            recording,
            node: frames.second as u32,
        };
        nested::is_nested(function, stack.map_while(flags))
    } else {
        nested::is_nested(function, ids_of(frames).map_while(flags))
    }
}

/// Returns whether one of four frames lies in a function that has pages of an ObStack made.
pub(crate) fn makes_pages(recording: &Recording, frames: Frames) -> bool {
    ids_of(frames)
        .map_while(|id| flags_of(recording, id))
        .any(|flags| flags & FRAME_MAKES_PAGES != 0)
}

fn ids_of(frames: Frames) -> impl Iterator<Item = u32> {
    [frames.first, frames.second]
        .into_iter()
        .flat_map(|two| [two as u32, (two >> 32) as u32])
}

/// The flags of the frame with this id; `None` of what is no frame.
fn flags_of(recording: &Recording, id: u32) -> Option<u32> {
    let record = recording.at(u64::from(id) * size_of::<FrameRecord>() as u64);
    // SAFETY: the id comes from a site that is being made, whose frames lie in this recording.
    (id >= FIRST_FRAME_ID).then(|| unsafe { (*record.cast::<FrameRecord>()).flags })
}

/// The frame ids of a stack, from a node to the root.
struct Stack<'r> {
    recording: &'r Recording,
    node: u32,
}

impl Iterator for Stack<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.node == 0 {
            return None;
        }
        let at = u64::from(self.node) * size_of::<StackNode>() as u64;
        // SAFETY: the id is that of a node of this recording, or of its parent, which is one too.
        let node = unsafe { self.recording.at(at).cast::<StackNode>().read() };
        self.node = node.parent;
        Some(node.frame)
    }
}
