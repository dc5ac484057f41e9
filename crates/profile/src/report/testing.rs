//! Recordings for tests, made through the structs of the format.

#![allow(clippy::indexing_slicing)] // A test that is wrong may fail.

use skipheap_format::PAGE;
use skipheap_format::layout::*;
use std::mem::offset_of;

/// The CSV of the original profiler, of a run that was recorded with both.
pub const ORIGINAL: &str = include_str!("testdata/original-output.csv");

/// The bytes of a record.
pub fn bytes_of<T: Copy>(record: &T) -> &[u8] {
    // SAFETY: the records of the format are plain integers without padding (the sizes are asserted
    // beside them), and the slice lives no longer than the record.
    unsafe { std::slice::from_raw_parts(std::ptr::from_ref(record).cast(), size_of::<T>()) }
}

/// Writes a recording as the library does, but all at once.
pub struct Builder {
    /// What was written so far.
    pub bytes: Vec<u8>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// A finished process's, of which nothing is known.
    pub fn new() -> Self {
        let mut builder = Self {
            bytes: vec![0; HEADER_LEN as usize],
        };
        builder.bytes[..8].copy_from_slice(&MAGIC);
        builder.put(offset_of!(Header, version), FORMAT_VERSION);
        builder.put(offset_of!(Header, state), STATE_FINISHED);
        builder
    }

    /// Writes a field of the header.
    pub fn put(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// As [`Self::put`], of a long field.
    pub fn put_long(&mut self, at: usize, value: u64) {
        self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    /// Adds a chunk; returns the offset of its first record.
    pub fn chunk(&mut self, kind: u32, records: &[u8]) -> usize {
        let used = match kind {
            CHUNK_SITES => 0,
            _ => records.len() as u32,
        };
        self.any_chunk(kind, used, 0, size_of::<ChunkHeader>(), records)
    }

    /// Adds a thread's sites with their [`LiveRecord`]s; returns the offset of the first.
    pub fn live_sites(&mut self, thread: u32, sites: &[(SiteRecord, LiveRecord)]) -> usize {
        let records: Vec<u8> = sites
            .iter()
            .flat_map(|(site, live)| [bytes_of(site), bytes_of(live)].concat())
            .collect();
        self.any_chunk(CHUNK_SITES, 0, thread, LIVE_SITES_START, &records)
    }

    /// Adds a thread's sites where blocks are not followed.
    pub fn sites(&mut self, thread: u32, sites: &[SiteRecord]) -> usize {
        let records: Vec<u8> = sites.iter().flat_map(bytes_of).copied().collect();
        self.any_chunk(CHUNK_SITES, 0, thread, size_of::<ChunkHeader>(), &records)
    }

    fn any_chunk(
        &mut self,
        kind: u32,
        used: u32,
        thread: u32,
        head: usize,
        records: &[u8],
    ) -> usize {
        let start = self.bytes.len();
        let pages = (head + records.len()).div_ceil(PAGE as usize) as u32;
        for word in [CHUNK_MAGIC, kind, pages, used, thread] {
            self.bytes.extend(word.to_le_bytes());
        }
        self.bytes.resize(start + head, 0);
        self.bytes.extend(records);
        self.bytes.resize(start + pages as usize * PAGE as usize, 0);
        start + head
    }

    /// Adds modules of these paths; returns their ids.
    pub fn modules(&mut self, paths: &[String]) -> Vec<u32> {
        let mut records = Vec::new();
        let mut offsets = Vec::new();
        for (i, path) in paths.iter().enumerate() {
            offsets.push(records.len());
            let record = ModuleRecord {
                start: 0x1000,
                end: 0x2000,
                bias: 0,
                path_len: path.len() as u32,
                build_id_len: 2,
            };
            records.extend(bytes_of(&record));
            records.extend(path.bytes().chain([0xab, i as u8]));
            records.resize(records.len().next_multiple_of(16), 0);
        }
        let start = self.chunk(CHUNK_MODULES, &records);
        let id = |offset| ((start + offset) / 16) as u32;
        offsets.into_iter().map(id).collect()
    }

    /// Adds frames; returns the id of the first.
    pub fn frames(&mut self, frames: &[FrameRecord]) -> u32 {
        let records: Vec<u8> = frames.iter().flat_map(bytes_of).copied().collect();
        (self.chunk(CHUNK_FRAMES, &records) / size_of::<FrameRecord>()) as u32
    }

    /// Adds stacks of frame ids, innermost first, each with nodes of its own; returns the ids of the
    /// innermost nodes, 0 of an empty stack.
    pub fn stacks(&mut self, stacks: &[Vec<u32>]) -> Vec<u32> {
        let len = size_of::<StackNode>();
        let first = (self.bytes.len() + size_of::<ChunkHeader>()) / len;
        let mut nodes: Vec<StackNode> = Vec::new();
        let mut ends = Vec::new();
        for stack in stacks {
            let mut parent = 0;
            for &frame in stack.iter().rev() {
                nodes.push(StackNode { parent, frame });
                parent = (first + nodes.len() - 1) as u32;
            }
            ends.push(parent);
        }
        let records: Vec<u8> = nodes.iter().flat_map(bytes_of).copied().collect();
        assert_eq!(self.chunk(CHUNK_STACKS, &records) / len, first);
        ends
    }

    /// Adds a thread's name.
    pub fn threads(&mut self, names: &[(u32, &str)]) {
        let record = |&(number, name): &(u32, &str)| {
            let mut bytes = [0; 16];
            bytes[..name.len()].copy_from_slice(name.as_bytes());
            ThreadRecord {
                number,
                tid: 100 + number,
                start: 0,
                how: THREAD_NAMED,
                name: bytes,
            }
        };
        let records: Vec<u8> = names
            .iter()
            .flat_map(|name| bytes_of(&record(name)).to_vec())
            .collect();
        self.chunk(CHUNK_THREADS, &records);
    }

    /// The recording, with a tail that was reserved and never written.
    pub fn finish(mut self, tail: usize) -> Vec<u8> {
        let cursor = self.bytes.len() as u64;
        self.put_long(offset_of!(Header, cursor), cursor);
        self.bytes.resize(self.bytes.len() + tail, 0);
        self.bytes
    }
}

/// A record of blocks that were not touched.
pub fn no_live() -> LiveRecord {
    LiveRecord {
        frees: 0,
        temporary: 0,
        at_peak: 0,
        epoch: 0,
        number: 0,
        grown: 0,
        copied: 0,
        slack: 0,
        ages: [0; AGES],
        times: [0; TIMES],
        thread: 0,
    }
}
