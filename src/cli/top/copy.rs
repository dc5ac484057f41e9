//! A copy of a recording that is being written, kept up to date: what cannot have changed is not read
//! again.
//!
//! Records are read while they are written. A site may refer to a frame that the copy does not have
//! yet; such a site is for the next time.

use crate::load::read_on;
use skipheap_format::PAGE;
use skipheap_format::layout::*;
use skipheap_format::reader::Recording;
use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::FileExt;

/// The bytes of a recording as they were a moment ago.
pub(crate) struct Copy {
    file: File,
    bytes: Vec<u8>,
}

impl Copy {
    /// An empty one.
    pub(crate) fn new(file: File) -> Self {
        Self {
            file,
            bytes: Vec::new(),
        }
    }

    /// What it holds.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads what may have changed.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        let known = self.bytes.len();
        if known < HEADER_LEN as usize {
            read_on(&self.file, &mut self.bytes, HEADER_LEN)?;
        } else {
            self.read_again(0, HEADER_LEN as usize)?;
            self.refresh_chunks(known)?;
        }
        let end = Recording::extent(&self.bytes);
        read_on(&self.file, &mut self.bytes, end)
    }

    fn refresh_chunks(&mut self, end: usize) -> io::Result<()> {
        let page = PAGE as usize;
        let mut at = HEADER_LEN as usize;
        while at < end {
            let chunk = self.chunk(at);
            if chunk.len == 0 {
                // Not begun when it was read last.
                self.read_again(at, page)?;
                let begun = self.chunk(at).len;
                self.read_again(at, begun.min(end - at))?;
                at += begun.max(page);
                continue;
            }
            let len = chunk.len.min(end - at);
            let (head, body) = (size_of::<ChunkHeader>(), at + size_of::<ChunkHeader>());
            match chunk.kind {
                CHUNK_SITES => self.read_again(at, len)?,
                // Changed in place.
                CHUNK_TIMELINE | CHUNK_THREADS => self.read_again(at, len)?,
                // Records are only added.
                kind => {
                    let known = match kind {
                        CHUNK_STACKS => self.nodes(body, chunk.used),
                        _ => chunk.used,
                    };
                    self.read_again(at, head)?;
                    let used = self.chunk(at).used.min(len.saturating_sub(head));
                    if used > known {
                        self.read_again(body + known, used - known)?;
                    }
                }
            }
            at = at.saturating_add(chunk.len);
        }
        Ok(())
    }

    /// Bytes of a chunk's nodes up to the first place that has none yet.
    fn nodes(&self, body: usize, used: usize) -> usize {
        let places = self.bytes.get(body..).unwrap_or(&[]);
        let places = places.get(..used).unwrap_or(places);
        let (nodes, _) = places.as_chunks::<{ size_of::<StackNode>() }>();
        let written = nodes
            .iter()
            .position(|node| *node == [0; size_of::<StackNode>()]);
        written.map_or(used, |count| count * size_of::<StackNode>())
    }

    fn chunk(&self, at: usize) -> Chunk {
        let word = |field: usize| {
            let bytes = self.bytes.get(at + field..at + field + 4);
            bytes
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u32::from_le_bytes)
        };
        let is_begun = word(offset_of!(ChunkHeader, magic)) == CHUNK_MAGIC;
        let pages = word(offset_of!(ChunkHeader, pages)) as usize;
        Chunk {
            kind: word(offset_of!(ChunkHeader, kind)),
            len: if is_begun { pages * PAGE as usize } else { 0 },
            used: word(offset_of!(ChunkHeader, used)) as usize,
        }
    }

    /// Reads a part that is there already.
    fn read_again(&mut self, start: usize, len: usize) -> io::Result<()> {
        let end = start.saturating_add(len).min(self.bytes.len());
        match self.bytes.get_mut(start..end) {
            Some(part) => self.file.read_exact_at(part, start as u64),
            None => Ok(()),
        }
    }
}

/// What a chunk says of itself; a length of 0 is one that was not begun.
struct Chunk {
    kind: u32,
    len: usize,
    used: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;
    use crate::testing::recording;
    use std::fs;

    #[test]
    fn a_copy_follows_a_recording_that_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("1-a.skipheap-rec");
        let write = |bytes: &[u8]| fs::write(&path, bytes).expect("written in place");
        write(&recording(7, 1, &[(8, 1)]));
        let mut copy = Copy::new(File::open(&path).expect("the file"));
        let check = |copy: &mut Copy| {
            copy.refresh().expect("read");
            assert!(copy.bytes() == load::bytes(&path).expect("read"));
        };
        check(&mut copy);
        write(&recording(7, 1, &[(8, 5), (16, 2)]));
        check(&mut copy);
        // Another chunk, reserved and then begun.
        let first = recording(7, 1, &[(8, 6), (16, 2)]);
        let mut grown = first.clone();
        grown.extend(vec![0; 2 * PAGE as usize]);
        let cursor = offset_of!(Header, cursor);
        let end = grown.len() as u64;
        grown[cursor..cursor + 8].copy_from_slice(&end.to_le_bytes());
        write(&grown);
        check(&mut copy);
        let chunk = first.len();
        for (at, word) in [(0, CHUNK_MAGIC), (4, CHUNK_FRAMES), (8, 2), (12, 16)] {
            grown[chunk + at..chunk + at + 4].copy_from_slice(&word.to_le_bytes());
        }
        grown[chunk + 32..chunk + 48].fill(9);
        write(&grown);
        check(&mut copy);
        // A frame is added to it.
        grown[chunk + 12] = 32;
        grown[chunk + 48..chunk + 64].fill(8);
        write(&grown);
        check(&mut copy);
        // Of three nodes the first is written last.
        let chunk = grown.len();
        for word in [CHUNK_MAGIC, CHUNK_STACKS, 1, 24] {
            grown.extend(word.to_le_bytes());
        }
        grown.resize(chunk + PAGE as usize, 0);
        let end = grown.len() as u64;
        grown[cursor..cursor + 8].copy_from_slice(&end.to_le_bytes());
        grown[chunk + 40..chunk + 56].fill(5);
        write(&grown);
        check(&mut copy);
        grown[chunk + 32..chunk + 40].fill(4);
        write(&grown);
        check(&mut copy);
    }
}
