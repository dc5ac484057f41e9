//! The tree of stacks in the recording: each stack is written once, and shares its outer part with
//! others.
//!
//! The nodes lie in the recording alone; which there are is found by an index of their ids, in private memory. All
//! threads share it, behind a lock under which nothing is allocated but by mapping.
//!
//! Runs in cold sections.

use super::last::{Kept, NO_ROOM};
use crate::heap::SpinLock;
use crate::record::PAGE;
use crate::record::layout::{CHUNK_STACKS, StackNode};
use crate::recording::{Chunk, Full, LARGEST_CHUNK, Recording};
use crate::sites::HASH_FACTOR;
use crate::sys;
use core::cell::UnsafeCell;
use core::ptr;

/// Slots of the first index, 16 KiB.
const FIRST_SLOTS: usize = 4096;

/// The nodes of a process. All zeros is none.
#[repr(C)]
pub(crate) struct Nodes {
    lock: SpinLock,
    tree: UnsafeCell<Tree>,
}

struct Tree {
    /// Ids, 0 for none. Invariant: `mask + 1` of them, or null.
    index: *mut u32,
    mask: usize,
    count: usize,
    /// Where the next node goes; of no bytes at first.
    chunk: Chunk,
    used: usize,
    pages: u32,
}

impl Nodes {
    /// The id of the innermost node of a stack, given from the root's end on. Notes the ids of all.
    pub(crate) fn intern(&self, recording: &Recording, stack: &mut [Kept]) -> Result<u32, Full> {
        let known = stack.iter().rposition(|kept| kept.node != 0);
        let (mut parent, first) = match known {
            Some(at) => (stack.get(at).map_or(0, |kept| kept.node), at + 1),
            None => (0, 0),
        };
        let _guard = self.lock.lock();
        // SAFETY: the lock makes this the only reference.
        let tree = unsafe { &mut *self.tree.get() };
        for kept in stack.iter_mut().skip(first) {
            match kept.frame() {
                0 => {}
                NO_ROOM => return Err(recording.why_full()),
                frame => parent = tree.node(recording, StackNode { parent, frame })?,
            }
            kept.node = parent;
        }
        Ok(parent)
    }
}

/// Mixes both ids into every bit: the callers of one function differ in `parent` alone, and the
/// functions that one stack calls in `frame` alone. A product of 64 bits would keep `parent`, which
/// enters at bit 32, out of its lower half; that of 128 bits is folded.
fn hash(node: StackNode) -> usize {
    let key = u64::from(node.parent) << 32 | u64::from(node.frame);
    let product = u128::from(key) * u128::from(HASH_FACTOR);
    (product as u64 ^ (product >> 64) as u64) as usize
}

impl Tree {
    /// The node's id; makes it if it is new.
    fn node(&mut self, recording: &Recording, node: StackNode) -> Result<u32, Full> {
        if self.count * 3 >= self.slots() * 2 {
            self.grow(recording)?;
        }
        let mut at = hash(node) & self.mask;
        loop {
            // SAFETY: a masked index lies in the index, and what is there is the id of a node.
            let (id, known) = unsafe {
                let id = *self.index.add(at);
                (id, self.read(recording, id))
            };
            if id == 0 {
                break;
            }
            if (known.parent, known.frame) == (node.parent, node.frame) {
                return Ok(id);
            }
            at = (at + 1) & self.mask;
        }
        let id = self.append(recording, node)?;
        // SAFETY: as above.
        unsafe { *self.index.add(at) = id };
        self.count += 1;
        Ok(id)
    }

    fn slots(&self) -> usize {
        if self.index.is_null() {
            0
        } else {
            self.mask + 1
        }
    }

    /// # Safety
    /// 0, or the id of a node of this recording.
    unsafe fn read(&self, recording: &Recording, id: u32) -> StackNode {
        let at = recording.at(u64::from(id) * size_of::<StackNode>() as u64);
        // SAFETY: as the caller promises. At 0 lies the header.
        unsafe { at.cast::<StackNode>().read() }
    }

    fn grow(&mut self, recording: &Recording) -> Result<(), Full> {
        let slots = (self.slots() * 2).max(FIRST_SLOTS);
        let fresh: *mut u32 = sys::map_wiped_on_fork(slots * size_of::<u32>()).cast();
        if fresh.is_null() {
            return Err(Full::NoMemory);
        }
        for i in 0..self.slots() {
            // SAFETY: within the old index, whose ids are those of nodes; the new one has more room.
            unsafe {
                let id = *self.index.add(i);
                if id != 0 {
                    let mut at = hash(self.read(recording, id)) & (slots - 1);
                    while *fresh.add(at) != 0 {
                        at = (at + 1) & (slots - 1);
                    }
                    *fresh.add(at) = id;
                }
            }
        }
        // SAFETY: the old index is ours alone, under the lock.
        unsafe { sys::unmap(self.index.cast(), self.slots() * size_of::<u32>()) };
        self.index = fresh;
        self.mask = slots - 1;
        Ok(())
    }

    /// Writes a node. Chunks are handed out in rising order, and this is the only place where nodes come from: a node
    /// lies behind its parent.
    fn append(&mut self, recording: &Recording, node: StackNode) -> Result<u32, Full> {
        const LEN: usize = size_of::<StackNode>();
        if self.chunk.len - self.used < LEN {
            let pages = (self.pages * 2).clamp(1, LARGEST_CHUNK);
            let chunk = recording.chunk(CHUNK_STACKS, pages)?;
            debug_assert!(chunk.len < u64::from(pages) as usize * PAGE as usize);
            (self.chunk, self.used, self.pages) = (chunk, 0, pages);
        }
        let place = self.chunk.offset + self.used as u64;
        let id = u32::try_from(place / LEN as u64).map_err(|_| Full::TooLong)?;
        // SAFETY: the record lies in the chunk, behind what was used so far.
        unsafe {
            let record = self.chunk.records.add(self.used);
            record.cast::<StackNode>().write(node);
            debug_assert!(ptr::eq(recording.at(place), record));
        }
        self.used += LEN;
        recording.set_used(self.chunk.records, self.used as u32);
        Ok(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Process;
    use crate::testing;

    /// Mean and longest number of words that a search for a node reads.
    fn probes(tree: &Tree, recording: &Recording) -> (f64, usize) {
        let (mut sum, mut longest) = (0, 0);
        for at in 0..tree.slots() {
            // SAFETY: within the index, which holds ids of nodes.
            let (id, node) = unsafe {
                let id = *tree.index.add(at);
                (id, tree.read(recording, id))
            };
            if id != 0 {
                let read = (at.wrapping_sub(hash(node)) & tree.mask) + 1;
                sum += read;
                longest = longest.max(read);
            }
        }
        (sum as f64 / tree.count as f64, longest)
    }

    /// A program of few functions that call each other in every order, as a parser or a tree walk
    /// does: many stacks of the same few frames, whose nodes differ in their parents.
    #[test]
    fn nodes_of_a_recursive_program_are_found_at_once() {
        const NODES: usize = if cfg!(miri) { 300 } else { 100_000 };
        // SAFETY: a process of zeros is one before anything happened.
        let process = unsafe { testing::zeroed::<Process>() };
        let recording = &process.recording;
        testing::create(recording);
        // SAFETY: a tree of zeros has no node.
        let mut tree: Tree = unsafe { std::mem::zeroed() };
        let mut random = 1_u64;
        let mut parents = vec![0];
        while tree.count < NODES {
            random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
            let frame = 300 + (random >> 60) as u32;
            let parent = parents[(random >> 20) as usize % parents.len()];
            let node = StackNode { parent, frame };
            let before = tree.count;
            let id = tree.node(recording, node).unwrap();
            assert_eq!(tree.node(recording, node).unwrap(), id);
            if tree.count > before {
                parents.push(id);
            }
        }
        let (mean, longest) = probes(&tree, recording);
        // With two thirds of the index in use, chance alone gives a mean of 2.
        assert!(mean < 2.2 && longest < 120, "{mean} {longest}");
    }
}
