//! Reads a recording as untrusted input: it may be cut short by SIGKILL, still growing, damaged,
//! or something else altogether.

use super::PAGE;
use super::layout::*;
use super::loss::Loss;
use super::nested;
use super::note::Note;
use super::sentences;
use std::borrow::Cow;
use std::fmt;

/// Why bytes are not a recording that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatError {
    /// Shorter than a header.
    TooShort {
        /// Bytes there are.
        len: usize,
    },
    /// The first bytes are not [`MAGIC`].
    NotARecording,
    /// Written by another version.
    Version {
        /// The version found.
        found: u32,
    },
    /// A record contradicts itself or the file.
    Corrupt {
        /// Offset of the record in the file, in bytes.
        offset: u64,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { len } => write!(
                f,
                "not a recording: it ends at offset {len}, within the header of {HEADER_LEN} bytes"
            ),
            Self::NotARecording => f.write_str(
                "not a recording: no \"SKIPHEAP\" at offset 0 (was it made by libskipheap.so?)",
            ),
            Self::Version { found } => write!(
                f,
                "recording of format version {found} (at offset 8), but this program reads versions {OLDEST_VERSION} to {FORMAT_VERSION}: use the skip-heapprof that belongs to the library"
            ),
            Self::Corrupt { offset, what } => {
                write!(f, "damaged recording: {what} at offset {offset}")
            }
        }
    }
}

impl std::error::Error for FormatError {}

/// A module as recorded.
#[derive(Debug, Clone)]
pub struct Module<'a> {
    /// First mapped address.
    pub start: u64,
    /// End of the mapped addresses.
    pub end: u64,
    /// Address in memory minus address in the file.
    pub bias: u64,
    /// Path as the loader knew it; bytes, since a path need not be UTF-8.
    pub path: &'a [u8],
    /// Build id, empty when the file has none.
    pub build_id: &'a [u8],
    /// The file that it was loaded from, or `None` if that is not known.
    pub file: Option<ModuleFile>,
}

/// The identity of a module's file, which changes when the file is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleFile {
    /// The device of the file.
    pub device: u64,
    /// Its inode number.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The time of its last modification, in nanoseconds since 1970.
    pub modified_ns: u64,
}

/// A frame as recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Frame {
    /// Id of the module, 0 when unknown.
    pub module: u32,
    /// Address in the module's file (SVMA), or absolute.
    pub address: u64,
    /// The address is of an interrupted instruction, not of a return address.
    pub exact: bool,
}

/// One site of one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// Frame ids, innermost first, 0 for none. Direct recursion is one frame. [`Recording::stack`] has
    /// them all.
    pub frames: [u32; 4],
    /// Id of the innermost [`StackNode`]; 0 for none, and where four frames were recorded.
    pub node: u32,
    /// Size of each allocation in bytes.
    pub size: u64,
    /// Index into [`FUNCTION_NAMES`], or that of one of [`Recording::functions`].
    pub function: u16,
    /// Number of allocations; of samples, where [`Recording::sample_bytes`] is not 0. 0 for a thread that
    /// only freed what others had allocated.
    pub count: u64,
    /// Number of the thread that counted; 0 when that is not known.
    pub thread: u32,
    /// Offset of the record in the file.
    pub offset: u64,
    /// What became of the blocks, where they were followed. Never of a function hooked by name.
    pub live: Option<Live>,
}

/// What became of a site's blocks, as far as this thread has counted it: see [`LiveRecord`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Live {
    /// Blocks freed.
    pub frees: u64,
    /// Of these, by the same thread before its next allocation.
    pub temporary: u64,
    /// Share in the live blocks at the peak.
    pub at_peak: i64,
    /// Calls of realloc that made a larger block.
    pub grown: u64,
    /// Bytes that these had to copy.
    pub copied: u64,
    /// Usable less requested bytes of all allocations.
    pub slack: u64,
    /// Freed blocks by age in allocations.
    pub ages: [u32; AGES],
    /// Freed blocks by age in time.
    pub times: [u32; TIMES],
}

/// The counters of a site that change most, for who reads them again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// As [`Site::count`].
    pub count: u64,
    /// As [`Live::frees`]; 0 where blocks are not followed.
    pub frees: u64,
    /// As [`Site::offset`].
    pub offset: u64,
}

/// A thread as recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread<'a> {
    /// What [`Site::thread`] says.
    pub number: u32,
    /// Kernel's id of the last thread that had this number.
    pub tid: u32,
    /// Its name.
    pub name: &'a [u8],
    /// What tells it apart where that name is not its own.
    pub apart: Apart,
}

/// What tells a thread apart from others of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Apart {
    /// The name is its own.
    Named,
    /// The frame of the function that it started with.
    Start(u32),
    /// A number.
    Number(u32),
}

/// A label that the program gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase<'a> {
    /// Nanoseconds since 1970.
    pub ns: u64,
    /// Allocations so far.
    pub allocations: u64,
    /// Live bytes.
    pub live_bytes: u64,
    /// The label.
    pub label: &'a [u8],
}

/// The process's live heap as the header has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveTotals {
    /// Live bytes, as far as threads have handed in their share.
    pub bytes: u64,
    /// Live blocks.
    pub blocks: u64,
    /// Most live bytes at any moment.
    pub peak_bytes: u64,
    /// When that was, nanoseconds since 1970.
    pub peak_ns: u64,
    /// Frees of blocks that were not followed.
    pub unknown_frees: u64,
}

/// A function that was hooked by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function<'a> {
    /// What [`Site::function`] says.
    pub index: u16,
    /// All its calls count, nested ones too.
    pub all: bool,
    /// What it allocates is followed.
    pub follows: bool,
    /// Its symbol.
    pub name: &'a [u8],
}

/// Nodes of the longest stack that the library writes: its frames, and the marker of a cut.
const LONGEST_STACK: usize = MOST_FRAMES as usize + 1;

/// A validated view of a recording.
pub struct Recording<'a> {
    bytes: &'a [u8],
    /// Bytes that are missing at the end.
    missing: u64,
    /// Chunks found: kind, offset of the first record, bytes of records.
    chunks: Vec<(u32, usize, usize)>,
    flags: u32,
    live_fields: &'static LiveFields,
    /// What was hooked by name, each index once, in their order.
    functions: Vec<Function<'a>>,
    /// Offsets of the sites with unreachable blocks, in rising order.
    leaked: Vec<u64>,
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..offset.wrapping_add(4))
        .and_then(|b| b.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes
        .get(offset..offset.wrapping_add(8))
        .and_then(|b| b.try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

/// The frames of a stack, of which a record repeats the root.
fn without_repeated_root(mut frames: [u32; 4]) -> [u32; 4] {
    let mut pairs = frames.iter().zip(frames.iter().skip(1));
    let repeated = pairs.position(|(inner, outer)| inner == outer && *inner >= FIRST_FRAME_ID);
    if let Some(root) = repeated {
        frames.iter_mut().skip(root + 1).for_each(|id| *id = 0);
    }
    frames
}

impl<'a> Recording<'a> {
    /// Bytes of the recording that can hold anything, read from the start of its file; all of a
    /// recording that is not one. Use it to leave the unwritten tail of the file alone.
    pub fn extent(start: &[u8]) -> u64 {
        u64_at(start, std::mem::offset_of!(Header, cursor)).max(HEADER_LEN)
    }

    /// Checks the header and walks the chunks.
    ///
    /// # Errors
    /// A [`FormatError`] that names the offset. A file that ends in the middle of a chunk is
    /// not an error: what is complete is read.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FormatError> {
        if bytes.len() < 8 || bytes[..8] != MAGIC {
            if bytes.len() < HEADER_LEN as usize {
                return Err(FormatError::TooShort { len: bytes.len() });
            }
            return Err(FormatError::NotARecording);
        }
        if bytes.len() < HEADER_LEN as usize {
            return Err(FormatError::TooShort { len: bytes.len() });
        }
        let version = u32_at(bytes, std::mem::offset_of!(Header, version));
        if !(OLDEST_VERSION..=FORMAT_VERSION).contains(&version) {
            return Err(FormatError::Version { found: version });
        }
        let missing = Self::extent(bytes).saturating_sub(bytes.len() as u64);
        let end = Self::extent(bytes).min(bytes.len() as u64) as usize;
        let bytes = &bytes[..end];
        let flags = u32_at(bytes, std::mem::offset_of!(Header, flags));
        let mut chunks = Vec::new();
        let mut offset = HEADER_LEN as usize;
        while offset + size_of::<ChunkHeader>() <= end {
            let magic = u32_at(bytes, offset);
            if magic != CHUNK_MAGIC {
                // Reserved, but the process died before it wrote the chunk's header.
                let page = &bytes[offset..end.min(offset + PAGE as usize)];
                if page.iter().any(|&b| b != 0) {
                    return Err(FormatError::Corrupt {
                        offset: offset as u64,
                        what: "no chunk where one should start",
                    });
                }
                offset += PAGE as usize;
                continue;
            }
            let kind = u32_at(bytes, offset + std::mem::offset_of!(ChunkHeader, kind));
            let pages = u32_at(bytes, offset + std::mem::offset_of!(ChunkHeader, pages));
            let used = u32_at(bytes, offset + std::mem::offset_of!(ChunkHeader, used));
            if pages == 0 {
                return Err(FormatError::Corrupt {
                    offset: offset as u64,
                    what: "a chunk of no pages",
                });
            }
            let len = pages as usize * PAGE as usize;
            let head = match kind == CHUNK_SITES && flags & LIVE != 0 {
                true => LIVE_SITES_START,
                false => size_of::<ChunkHeader>(),
            };
            let start = offset + head;
            let room = len.min(end - offset).saturating_sub(head);
            let records = if kind == CHUNK_SITES {
                room
            } else {
                if used as usize > len - size_of::<ChunkHeader>() {
                    return Err(FormatError::Corrupt {
                        offset: offset as u64,
                        what: "a chunk that says it holds more than its pages can",
                    });
                }
                room.min(used as usize)
            };
            chunks.push((kind, start, records));
            offset += len;
        }
        let mut recording = Self {
            bytes,
            missing,
            chunks,
            flags,
            live_fields: LiveFields::of(version),
            functions: Vec::new(),
            leaked: Vec::new(),
        };
        recording.leaked = recording
            .leaks()
            .into_iter()
            .flatten()
            .map(|leak| leak.site)
            .collect();
        recording.leaked.sort_unstable();
        recording.functions = recording
            .texts(CHUNK_FUNCTIONS)
            .map(|(number, flags, name)| Function {
                index: number as u16,
                all: flags & FUNCTION_ALL != 0,
                follows: flags & FUNCTION_FOLLOWED != 0,
                name,
            })
            .collect();
        recording.functions.sort_by_key(|function| function.index);
        recording.functions.dedup_by_key(|function| function.index);
        Ok(recording)
    }

    /// The texts in the chunks of a kind: number, flags, text. What does not fit its chunk ends
    /// the chunk.
    fn texts(&self, kind: u32) -> impl Iterator<Item = (u32, u32, &'a [u8])> + '_ {
        let bytes = self.bytes;
        self.chunks
            .iter()
            .filter(move |chunk| chunk.0 == kind)
            .flat_map(move |&(_, start, len)| {
                let mut rest = bytes.get(start..start + len).unwrap_or(&[]);
                std::iter::from_fn(move || {
                    let len = u32_at(rest, std::mem::offset_of!(TextRecord, len)) as usize;
                    let end = size_of::<TextRecord>().checked_add(len)?;
                    let text = rest.get(size_of::<TextRecord>()..end)?;
                    let record = (
                        u32_at(rest, std::mem::offset_of!(TextRecord, number)),
                        u32_at(rest, std::mem::offset_of!(TextRecord, flags)),
                        text,
                    );
                    rest = rest.get(end.next_multiple_of(16)..).unwrap_or(&[]);
                    Some(record)
                })
            })
    }

    /// Where the recording was cut off and how many bytes are missing behind that: an incomplete copy.
    /// `None` when it is whole; the library itself leaves the end out where there was no room, and
    /// counts what that cost.
    pub fn cut_off(&self) -> Option<(u64, u64)> {
        let had_no_room = self.loss(Loss::RecordingFull) > 0;
        (self.missing > 0 && !had_no_room).then_some((self.bytes.len() as u64, self.missing))
    }

    /// What a summary has to say besides the numbers.
    pub fn notes(&self) -> impl Iterator<Item = Note<Cow<'a, str>>> + '_ {
        self.texts(CHUNK_NOTES).map(
            |(number, flags, text)| match Note::read(number, flags, text) {
                Note::Sentence(Cow::Borrowed(sentence)) => {
                    sentences::note(sentence).map(|&text| Cow::Borrowed(text))
                }
                note => note,
            },
        )
    }

    /// The functions that were hooked by name.
    pub fn functions(&self) -> &[Function<'a>] {
        &self.functions
    }

    /// The name of the function that a site's allocations went to.
    pub fn function_name(&self, index: u16) -> Option<&'a [u8]> {
        match FUNCTION_NAMES.get(usize::from(index)) {
            Some(name) => Some(name.as_bytes()),
            None => self.function(index).map(|function| function.name),
        }
    }

    fn function(&self, index: u16) -> Option<&Function<'a>> {
        let at = self
            .functions
            .binary_search_by_key(&index, |function| function.index);
        at.ok().and_then(|at| self.functions.get(at))
    }

    /// Calls that were recorded and left out because they are nested.
    pub fn nested_calls(&self) -> u64 {
        self.all_sites()
            .filter(|site| self.is_nested(site))
            .fold(0, |sum, site| sum.saturating_add(site.count))
    }

    /// Returns whether the call was made from inside a hooked function, whose own call counts
    /// ([`nested`]).
    fn is_nested(&self, site: &Site) -> bool {
        let counts_always = self
            .function(site.function)
            .is_some_and(|function| function.all);
        if self.functions.is_empty() || counts_always {
            return false;
        }
        let flags = |&id: &u32| self.frame_flags(id);
        match site.node {
            0 => nested::is_nested(site.function, site.frames.iter().map_while(flags)),
            _ => self.stack(site).is_ok_and(|frames| {
                nested::is_nested(site.function, frames.iter().map_while(flags))
            }),
        }
    }

    /// The flags of the frame with this id; `None` where there is no such frame.
    fn frame_flags(&self, id: u32) -> Option<u32> {
        if id < FIRST_FRAME_ID {
            return None;
        }
        let offset = id as usize * size_of::<FrameRecord>();
        self.chunk_end(CHUNK_FRAMES, offset, size_of::<FrameRecord>())?;
        let flags = std::mem::offset_of!(FrameRecord, flags);
        Some(u32_at(self.bytes, offset + flags))
    }

    fn header_u32(&self, offset: usize) -> u32 {
        u32_at(self.bytes, offset)
    }

    fn header_u64(&self, offset: usize) -> u64 {
        u64_at(self.bytes, offset)
    }

    /// True when the library saw the orderly end of the process.
    pub fn finished(&self) -> bool {
        self.header_u32(std::mem::offset_of!(Header, state)) == STATE_FINISHED
    }

    /// True while the process goes on recording, and when nobody saw its end.
    pub fn is_running(&self) -> bool {
        !self.finished() && !self.is_snapshot()
    }

    /// True of a copy that was made while the process went on.
    pub fn is_snapshot(&self) -> bool {
        self.header_u32(std::mem::offset_of!(Header, state)) == STATE_SNAPSHOT
    }

    /// End of the recording, or when the snapshot was made, nanoseconds since 1970; 0 while running.
    pub fn end_ns(&self) -> u64 {
        self.header_u64(std::mem::offset_of!(Header, end_ns))
    }

    /// Process id as the process saw it.
    pub fn pid(&self) -> u32 {
        self.header_u32(std::mem::offset_of!(Header, pid))
    }

    /// Effective user id of the process when the recording began.
    pub fn uid(&self) -> u32 {
        self.header_u32(std::mem::offset_of!(Header, uid))
    }

    /// Parent's process id.
    pub fn ppid(&self) -> u32 {
        self.header_u32(std::mem::offset_of!(Header, ppid))
    }

    /// True when the process was made by fork without exec.
    pub fn forked(&self) -> bool {
        self.header_u32(std::mem::offset_of!(Header, forked)) != 0
    }

    /// Start of the recording, nanoseconds since 1970.
    pub fn start_ns(&self) -> u64 {
        u64_at(self.bytes, std::mem::offset_of!(Header, start_ns))
    }

    /// Path of the executable.
    pub fn exe(&self) -> &'a [u8] {
        let len = self.header_u32(std::mem::offset_of!(Header, exe_len)) as usize;
        let start = std::mem::offset_of!(Header, exe);
        &self.bytes[start..start + len.min(EXE_LEN)]
    }

    /// Command line, each argument ended by a NUL.
    pub fn cmdline(&self) -> &'a [u8] {
        let len = self.header_u32(std::mem::offset_of!(Header, cmdline_len)) as usize;
        let start = std::mem::offset_of!(Header, cmdline);
        &self.bytes[start..start + len.min(CMDLINE_LEN)]
    }

    /// How much is missing for a cause.
    pub fn loss(&self, loss: Loss) -> u64 {
        match loss {
            Loss::CutOff => self.cut_off().map_or(0, |(_, missing)| missing),
            counted => self.counter(counted as usize),
        }
    }

    /// One of the header's counters.
    pub fn counter(&self, slot: usize) -> u64 {
        u64_at(self.bytes, std::mem::offset_of!(Header, losses) + 8 * slot)
    }

    /// The module with this id.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] when the id points outside the modules or the record is damaged.
    pub fn module(&self, id: u32) -> Result<Module<'a>, FormatError> {
        let offset = id as usize * 16;
        let corrupt = |what| FormatError::Corrupt {
            offset: offset as u64,
            what,
        };
        let chunk_end = self
            .chunk_end(CHUNK_MODULES, offset, size_of::<ModuleRecord>())
            .ok_or(corrupt("a module id that points at no module"))?;
        let path_len = u32_at(
            self.bytes,
            offset + std::mem::offset_of!(ModuleRecord, path_len),
        ) as usize;
        let id_len = u32_at(
            self.bytes,
            offset + std::mem::offset_of!(ModuleRecord, build_id_len),
        ) as usize;
        let path_start = offset + size_of::<ModuleRecord>();
        let path_end = path_start.saturating_add(path_len);
        let id_end = path_end.saturating_add(id_len);
        if id_end > chunk_end {
            return Err(corrupt("a module whose path or build id is too long"));
        }
        Ok(Module {
            start: u64_at(self.bytes, offset),
            end: u64_at(self.bytes, offset + 8),
            bias: u64_at(self.bytes, offset + 16),
            path: &self.bytes[path_start..path_end],
            build_id: &self.bytes[path_end..id_end],
            file: self.file_of(id),
        })
    }

    /// The file that a module was loaded from.
    fn file_of(&self, id: u32) -> Option<ModuleFile> {
        let word = |record, at| u64_at(record, at);
        self.records(CHUNK_FILES, size_of::<FileRecord>())
            .find(|record| u32_at(record, 0) == id)
            .map(|record| ModuleFile {
                device: word(record, std::mem::offset_of!(FileRecord, device)),
                inode: word(record, std::mem::offset_of!(FileRecord, inode)),
                size: word(record, std::mem::offset_of!(FileRecord, size)),
                modified_ns: word(record, std::mem::offset_of!(FileRecord, modified_ns)),
            })
    }

    /// The frame with this id.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] when the id points outside the frames.
    pub fn frame(&self, id: u32) -> Result<Frame, FormatError> {
        let offset = id as usize * size_of::<FrameRecord>();
        self.chunk_end(CHUNK_FRAMES, offset, size_of::<FrameRecord>())
            .ok_or(FormatError::Corrupt {
                offset: offset as u64,
                what: "a frame id that points at no frame",
            })?;
        let flags = u32_at(
            self.bytes,
            offset + std::mem::offset_of!(FrameRecord, flags),
        );
        Ok(Frame {
            module: u32_at(self.bytes, offset),
            exact: flags & FRAME_EXACT != 0,
            address: u64_at(self.bytes, offset + 8),
        })
    }

    /// All sites with at least one allocation, free or unreachable block, nested ones left out, in
    /// the order of the file.
    pub fn sites(&self) -> impl Iterator<Item = Site> + '_ {
        self.all_sites().filter(|site| !self.is_nested(site))
    }

    fn all_sites(&self) -> impl Iterator<Item = Site> + '_ {
        self.chunks
            .iter()
            .filter(|chunk| chunk.0 == CHUNK_SITES)
            .flat_map(move |&(_, start, room)| {
                let thread = self.thread_of_chunk(start);
                let len = self.site_len(thread);
                self.bytes
                    .get(start..start + room)
                    .unwrap_or(&[])
                    .chunks_exact(len)
                    .zip((start..).step_by(len))
                    .filter_map(move |(record, offset)| self.site(record, offset, thread))
            })
    }

    /// The counters of all places for sites, by chunk: where it lies, and its places, those included that
    /// are not in use, and nested sites.
    pub fn tallies(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = Tally>)> {
        let frees = self
            .follows_blocks()
            .then_some(size_of::<SiteRecord>() + std::mem::offset_of!(LiveRecord, frees));
        self.chunks
            .iter()
            .filter(|chunk| chunk.0 == CHUNK_SITES)
            .map(move |&(_, start, room)| {
                let len = self.site_len(self.thread_of_chunk(start));
                let records = self.bytes.get(start..start + room).unwrap_or(&[]);
                let places = records.chunks_exact(len).zip((start..).step_by(len));
                let tally = move |(record, offset): (&[u8], usize)| Tally {
                    count: u64_at(record, std::mem::offset_of!(SiteRecord, count)),
                    frees: frees.map_or(0, |at| u64_at(record, at)),
                    offset: offset as u64,
                };
                (start, places.map(tally))
            })
    }

    /// The site whose record lies there; `None` when it is nested, or none is there.
    pub fn site_at(&self, offset: u64) -> Option<Site> {
        let (offset, len) = (usize::try_from(offset).ok()?, self.site_len(0));
        self.chunk_end(CHUNK_SITES, offset, len)?;
        let record = self.bytes.get(offset..offset + len)?;
        self.site(record, offset, 0)
            .filter(|site| !self.is_nested(site))
    }

    /// What the chunk of sites whose records begin there says of their thread.
    fn thread_of_chunk(&self, start: usize) -> u32 {
        let chunk = start / PAGE as usize * PAGE as usize;
        let thread = std::mem::offset_of!(ChunkHeader, thread);
        u32_at(self.bytes, chunk + thread)
    }

    /// Bytes of a site's record in a chunk of this thread.
    fn site_len(&self, thread: u32) -> usize {
        match self.follows_blocks() {
            true => LIVE_SITE_LEN,
            false if thread == ENDED_THREADS => ENDED_SITE_LEN,
            false => size_of::<SiteRecord>(),
        }
    }

    /// Returns whether blocks of the site whose record lies there were found unreachable.
    fn is_leaked(&self, offset: usize) -> bool {
        self.leaked.binary_search(&(offset as u64)).is_ok()
    }

    fn site(&self, record: &[u8], offset: usize, thread: u32) -> Option<Site> {
        let count = u64_at(record, std::mem::offset_of!(SiteRecord, count));
        let size = u64_at(record, std::mem::offset_of!(SiteRecord, size));
        let function = (size >> SIZE_BITS) as u16;
        let behind = record.get(size_of::<SiteRecord>()..).unwrap_or(&[]);
        let live = self.follows_blocks().then(|| self.live(behind, count));
        if count == 0 && live.is_none_or(|live| live.frees == 0) && !self.is_leaked(offset) {
            return None;
        }
        let thread = match (thread, live) {
            (ENDED_THREADS, None) => u32_at(behind, 0),
            (ENDED_THREADS, Some(_)) => u32_at(behind, self.live_fields.thread),
            _ => thread,
        };
        let words = [0, 4, 8, 12].map(|at| u32_at(record, at));
        let (frames, node) = match self.flags & WHOLE_STACKS {
            0 => (without_repeated_root(words), 0),
            _ => (self.innermost(words[2]), words[2]),
        };
        Some(Site {
            frames,
            node,
            size: size & ((1 << SIZE_BITS) - 1),
            function,
            count,
            thread,
            offset: offset as u64,
            live: live.and_then(|live| self.live_of(function, live)),
        })
    }

    /// What is known of the blocks of a function.
    fn live_of(&self, function: u16, live: Live) -> Option<Live> {
        if usize::from(function) < FUNCTION_NAMES.len() {
            return Some(live);
        }
        let follows = self.function(function).is_some_and(|known| known.follows);
        follows.then_some(Live {
            ages: [0; AGES],
            times: [0; TIMES],
            ..live
        })
    }

    fn live(&self, record: &[u8], count: u64) -> Live {
        use std::mem::offset_of;
        let fields = self.live_fields;
        let word = |at| u64_at(record, at);
        let buckets = |at, i| u32_at(record, at + 4 * i);
        let frees = word(offset_of!(LiveRecord, frees));
        let epoch = self.header_u64(offset_of!(Header, epoch));
        let known = u32_at(record, fields.epoch);
        let at_peak = if u64::from(known) == epoch {
            word(fields.at_peak) as i64
        } else {
            count.wrapping_sub(frees) as i64
        };
        Live {
            frees,
            temporary: word(fields.temporary),
            at_peak,
            grown: word(fields.grown),
            copied: word(fields.copied),
            slack: word(fields.slack),
            ages: std::array::from_fn(|i| buckets(fields.ages, i)),
            times: std::array::from_fn(|i| buckets(fields.times, i)),
        }
    }

    fn node(&self, id: u32) -> Result<StackNode, FormatError> {
        let offset = id as usize * size_of::<StackNode>();
        let corrupt = |what| FormatError::Corrupt {
            offset: offset as u64,
            what,
        };
        self.chunk_end(CHUNK_STACKS, offset, size_of::<StackNode>())
            .ok_or(corrupt("a stack id that points at no stack"))?;
        let node = StackNode {
            parent: u32_at(self.bytes, offset),
            frame: u32_at(self.bytes, offset + 4),
        };
        match node.parent < id {
            true => Ok(node),
            false => Err(corrupt("a stack whose caller comes behind it")),
        }
    }

    /// The four innermost frames that differ from the one below; what is damaged reads as no frame.
    fn innermost(&self, mut id: u32) -> [u32; 4] {
        let mut frames = [0; 4];
        let mut taken = 0;
        let mut last = 0;
        for _ in 0..LONGEST_STACK {
            let (Some(slot), Ok(node)) = (frames.get_mut(taken), self.node(id)) else {
                break;
            };
            if node.frame != last {
                *slot = node.frame;
                last = node.frame;
                taken += 1;
            }
            id = node.parent;
        }
        frames
    }

    /// All frame ids of a site, innermost first; the last may be a `CUT_` marker. Recursion is as it was, where
    /// whole stacks were recorded.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] when an id points at no stack.
    pub fn stack(&self, site: &Site) -> Result<Vec<u32>, FormatError> {
        if self.flags & WHOLE_STACKS == 0 {
            let known = site.frames.iter().copied().take_while(|&id| id != 0);
            return Ok(known.collect());
        }
        self.stack_from(site.node)
    }

    /// The frame ids from a node to the root.
    ///
    /// # Errors
    /// [`FormatError::Corrupt`] when an id points at no stack.
    pub fn stack_from(&self, mut id: u32) -> Result<Vec<u32>, FormatError> {
        let mut frames = Vec::new();
        while id != 0 {
            let node = self.node(id)?;
            if frames.len() == LONGEST_STACK {
                return Err(FormatError::Corrupt {
                    offset: u64::from(id) * size_of::<StackNode>() as u64,
                    what: "a stack that is longer than any",
                });
            }
            frames.push(node.frame);
            id = node.parent;
        }
        Ok(frames)
    }

    /// All nodes of stacks with their ids: a caller's comes before those that it called. Where a
    /// copy was made while nodes were written, a caller's may be missing.
    pub fn stack_nodes(&self) -> impl Iterator<Item = (u32, StackNode)> + '_ {
        let len = size_of::<StackNode>();
        self.chunks
            .iter()
            .filter(|chunk| chunk.0 == CHUNK_STACKS)
            .flat_map(move |&(_, start, room)| {
                let ids = (start / len) as u32..;
                let records = self.bytes.get(start..start + room).unwrap_or(&[]);
                ids.zip(records.chunks_exact(len).map(|record| StackNode {
                    parent: u32_at(record, 0),
                    frame: u32_at(record, 4),
                }))
            })
            .filter(|(_, node)| node.frame != 0)
    }

    /// Returns whether whole stacks were recorded instead of four frames.
    pub fn has_whole_stacks(&self) -> bool {
        self.flags & WHOLE_STACKS != 0
    }

    /// Most frames that a report is to show of a stack.
    pub fn stack_depth(&self) -> u32 {
        self.header_u32(std::mem::offset_of!(Header, stack_depth))
    }

    /// Returns whether blocks were tracked until they were freed.
    pub fn follows_blocks(&self) -> bool {
        self.flags & LIVE != 0
    }

    /// Mean number of bytes between two samples; 0 when every allocation was recorded.
    pub fn sample_bytes(&self) -> u64 {
        self.header_u64(std::mem::offset_of!(Header, sample_bytes))
    }

    /// The live heap, where blocks were followed.
    pub fn live_totals(&self) -> Option<LiveTotals> {
        use std::mem::offset_of;
        // For a moment they may be below zero.
        let signed = |at| u64::try_from(self.header_u64(at) as i64).unwrap_or(0);
        self.follows_blocks().then(|| LiveTotals {
            bytes: signed(offset_of!(Header, live_bytes)),
            blocks: signed(offset_of!(Header, live_blocks)),
            peak_bytes: self.header_u64(offset_of!(Header, peak_bytes)),
            peak_ns: self.header_u64(offset_of!(Header, peak_ns)),
            unknown_frees: self.header_u64(offset_of!(Header, unknown_frees)),
        })
    }

    fn records(&self, kind: u32, len: usize) -> impl Iterator<Item = &'a [u8]> + '_ {
        let bytes = self.bytes;
        self.chunks
            .iter()
            .filter(move |chunk| chunk.0 == kind)
            .flat_map(move |&(_, start, room)| {
                bytes
                    .get(start..start + room)
                    .unwrap_or(&[])
                    .chunks_exact(len)
            })
    }

    /// The timeline, in the order of time.
    pub fn timeline(&self) -> Vec<TimelinePoint> {
        let mut points: Vec<_> = self
            .records(CHUNK_TIMELINE, size_of::<TimelinePoint>())
            .map(|record| TimelinePoint {
                ns: u64_at(record, 0),
                allocations: u64_at(record, 8),
                live_bytes: u64_at(record, 16),
                live_blocks: u64_at(record, 24),
                rss: u64_at(record, 32),
            })
            .collect();
        // While it is thinned out, points are there twice.
        points.sort_unstable_by_key(|point| point.ns);
        points.dedup();
        points
    }

    /// The threads that have recorded.
    pub fn threads(&self) -> impl Iterator<Item = Thread<'a>> + '_ {
        self.records(CHUNK_THREADS, size_of::<ThreadRecord>())
            .filter_map(|record| {
                let name = record.get(16..)?;
                Some(Thread {
                    number: u32_at(record, 0),
                    tid: u32_at(record, 4),
                    apart: match u32_at(record, 12) {
                        THREAD_STARTED => Apart::Start(u32_at(record, 8)),
                        THREAD_NUMBERED => Apart::Number(u32_at(record, 8)),
                        _ => Apart::Named,
                    },
                    name: name.split(|&byte| byte == 0).next().unwrap_or(&[]),
                })
            })
    }

    /// The labels that the program gave, in the order of time.
    pub fn phases(&self) -> impl Iterator<Item = Phase<'a>> + '_ {
        let bytes = self.bytes;
        self.chunks
            .iter()
            .filter(|chunk| chunk.0 == CHUNK_PHASES)
            .flat_map(move |&(_, start, room)| {
                let mut rest = bytes.get(start..start + room).unwrap_or(&[]);
                std::iter::from_fn(move || {
                    let len = u32_at(rest, std::mem::offset_of!(PhaseRecord, len)) as usize;
                    let end = size_of::<PhaseRecord>().checked_add(len)?;
                    let phase = Phase {
                        ns: u64_at(rest, 0),
                        allocations: u64_at(rest, 8),
                        live_bytes: u64_at(rest, 16),
                        label: rest.get(size_of::<PhaseRecord>()..end)?,
                    };
                    rest = rest.get(end.next_multiple_of(16)..).unwrap_or(&[]);
                    Some(phase)
                })
            })
    }

    /// What the leak check found at the end: unreachable blocks by [`Site::offset`]. `None` when it was
    /// not made.
    pub fn leaks(&self) -> Option<impl Iterator<Item = LeakRecord> + '_> {
        (self.flags & LEAK_CHECKED != 0).then(|| {
            self.records(CHUNK_LEAKS, size_of::<LeakRecord>())
                .map(|record| LeakRecord {
                    site: u64_at(record, 0),
                    blocks: u64_at(record, 8),
                    indirect: u64_at(record, 16),
                    reserved: 0,
                })
        })
    }

    /// Returns whether the leak check was to be made and could not be, or not of all blocks.
    pub fn misses_leaks(&self) -> bool {
        // Before version 7 only the notes said so.
        self.flags & LEAKS_MISSED != 0 || self.notes().any(|note| note.misses_leaks())
    }

    /// End of the chunk of this kind that holds `len` bytes at `offset`.
    fn chunk_end(&self, kind: u32, offset: usize, len: usize) -> Option<usize> {
        let index = self.chunks.partition_point(|chunk| chunk.1 <= offset);
        let &(found, start, room) = self.chunks.get(index.checked_sub(1)?)?;
        (found == kind && offset + len <= start + room).then_some(start + room)
    }
}
