//! The records of a recording, byte for byte. See the module above for how they are arranged.

/// First eight bytes of a recording.
pub(crate) const MAGIC: [u8; 8] = *b"SKIPHEAP";
/// Raised whenever a record below changes in any way.
pub(crate) const FORMAT_VERSION: u32 = 2;
/// Bytes of the header, and offset of the first chunk.
pub(crate) const HEADER_LEN: u64 = 4096;
/// First four bytes of a chunk, "SKCH".
pub(crate) const CHUNK_MAGIC: u32 = u32::from_le_bytes(*b"SKCH");

/// Chunk of [`ModuleRecord`]s.
pub(crate) const CHUNK_MODULES: u32 = 1;
/// Chunk of [`FrameRecord`]s.
pub(crate) const CHUNK_FRAMES: u32 = 2;
/// Chunk of [`SiteRecord`]s.
pub(crate) const CHUNK_SITES: u32 = 3;
/// Chunk of [`TextRecord`]s: what a summary has to say besides the numbers.
pub(crate) const CHUNK_NOTES: u32 = 4;
/// Chunk of [`TextRecord`]s: the functions that were hooked by name.
pub(crate) const CHUNK_FUNCTIONS: u32 = 5;

/// [`Header::state`]: the process had not ended in a way that the library sees.
pub(crate) const STATE_RUNNING: u32 = 0;
/// [`Header::state`]: the library saw the orderly end of the process.
pub(crate) const STATE_FINISHED: u32 = 1;

/// Number of [`crate::record::loss::Loss`] counters that the header has room for.
pub(crate) const LOSS_SLOTS: usize = 32;
/// Room for the path of the executable, in bytes.
pub(crate) const EXE_LEN: usize = 1024;
/// Room for the command line (arguments, each ended by NUL), in bytes. A longer one is cut.
pub(crate) const CMDLINE_LEN: usize = 1536;

/// The first page of a recording.
#[repr(C)]
pub(crate) struct Header {
    /// [`MAGIC`], written last.
    pub(crate) magic: [u8; 8],
    /// [`FORMAT_VERSION`].
    pub(crate) version: u32,
    /// [`STATE_RUNNING`] or [`STATE_FINISHED`].
    pub(crate) state: u32,
    /// Bytes handed out to chunks so far, the header included. Grows atomically.
    pub(crate) cursor: u64,
    /// Process id as the process itself sees it.
    pub(crate) pid: u32,
    /// Parent's process id.
    pub(crate) ppid: u32,
    /// Start of the recording, nanoseconds since 1970 (CLOCK_REALTIME).
    pub(crate) start_ns: u64,
    /// End of the recording, nanoseconds since 1970; 0 while running, and where it is not known.
    pub(crate) end_ns: u64,
    /// Number of frames kept for each site.
    pub(crate) stack_depth: u32,
    /// 1 when the process was made by fork without exec, else 0.
    pub(crate) forked: u32,
    /// Bytes used of `exe`.
    pub(crate) exe_len: u32,
    /// Bytes used of `cmdline`.
    pub(crate) cmdline_len: u32,
    /// Honesty counters, indexed by [`crate::record::loss::Loss`].
    pub(crate) losses: [u64; LOSS_SLOTS],
    /// Path of the executable, not terminated.
    pub(crate) exe: [u8; EXE_LEN],
    /// Arguments, each ended by a NUL.
    pub(crate) cmdline: [u8; CMDLINE_LEN],
    /// Zero; room for later versions.
    pub(crate) reserved: [u8; 1216],
}

/// Start of every chunk.
#[repr(C)]
pub(crate) struct ChunkHeader {
    /// [`CHUNK_MAGIC`], written last.
    pub(crate) magic: u32,
    /// One of the `CHUNK_` kinds.
    pub(crate) kind: u32,
    /// Length of the chunk in pages, this header included.
    pub(crate) pages: u32,
    /// Bytes of records that are complete, counted from the end of this header. Not kept for
    /// [`CHUNK_SITES`], where a site exists as soon as its count is not zero.
    pub(crate) used: u32,
    /// Zero.
    pub(crate) reserved: [u64; 2],
}

/// An object file that was mapped into the process.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ModuleRecord {
    /// First mapped address (AVMA).
    pub(crate) start: u64,
    /// End of the mapped addresses.
    pub(crate) end: u64,
    /// What to subtract from an address in memory to get the address stated in the file (SVMA).
    pub(crate) bias: u64,
    /// Bytes of the path that follows this record.
    pub(crate) path_len: u32,
    /// Bytes of the build id that follows the path.
    pub(crate) build_id_len: u32,
}

/// A place in the code where some call returns to.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct FrameRecord {
    /// Module id; 0 when the address lies in no known object file.
    pub(crate) module: u32,
    /// [`FRAME_EXACT`] and [`FRAME_HOOKED`] where they hold, and from [`FRAME_CALLEE_SHIFT`] on
    /// the index of the hooked function that the call before this address calls, 0 for none.
    pub(crate) flags: u32,
    /// Address as stated in the object file (SVMA); absolute when `module` is 0.
    pub(crate) address: u64,
}

/// The address is that of an instruction which a signal interrupted, not a return address: look
/// names up at the address itself, not one before it.
pub(crate) const FRAME_EXACT: u32 = 1;
/// The address lies in a hooked function: calls from there are nested.
pub(crate) const FRAME_HOOKED: u32 = 2;
/// Where in a frame's flags the index of the called function begins.
pub(crate) const FRAME_CALLEE_SHIFT: u32 = 16;

/// A piece of text.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct TextRecord {
    /// The function's index in [`SiteRecord::size`]; 0 for a note.
    pub(crate) number: u32,
    /// [`FUNCTION_ALL`] or 0.
    pub(crate) flags: u32,
    /// Bytes of the text that follows this record.
    pub(crate) len: u32,
    /// Zero.
    pub(crate) reserved: u32,
}

/// All calls of the function count, not only those that are not nested.
pub(crate) const FUNCTION_ALL: u32 = 1;

/// Allocations of one size from one path of up to four frames, in one thread's share.
///
/// The same site may occur several times in a recording, once for each thread that used it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct SiteRecord {
    /// Frame ids, innermost first; 0 where the stack was shorter.
    pub(crate) frames: [u32; 4],
    /// Size of each allocation in bytes in the low 48 bits, the index of the allocation function
    /// (see [`FUNCTION_NAMES`]) above.
    pub(crate) size: u64,
    /// Number of allocations.
    pub(crate) count: u64,
}

/// In place of a frame id, where the stack goes on but was not followed: at code without usable
/// unwind information.
pub(crate) const CUT_NO_UNWIND_INFO: u32 = 1;
/// As above: at stack memory that cannot be read, or a frame that does not lead towards the root.
pub(crate) const CUT_UNREADABLE: u32 = 2;
/// As above: after the longest walk, because recursion or allocation wrappers took it all.
pub(crate) const CUT_TOO_DEEP: u32 = 3;
/// Frame ids below this name no frame: 0 is the end of the stack, the others are cuts. (As file
/// offsets they lie in the header.)
pub(crate) const FIRST_FRAME_ID: u32 = (HEADER_LEN / 16) as u32;

/// Bits of [`SiteRecord::size`] that hold the size. No allocation of 2^48 bytes can succeed on the
/// supported machines.
pub(crate) const SIZE_BITS: u32 = 48;

/// Names of the interposed allocation functions, by the index stored above the size. Higher
/// indices are of functions hooked by name, see [`CHUNK_FUNCTIONS`].
pub(crate) const FUNCTION_NAMES: [&str; 9] = [
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "pvalloc",
];

const _: () = assert!(size_of::<Header>() == HEADER_LEN as usize);
const _: () = assert!(size_of::<ChunkHeader>() == 32);
const _: () = assert!(size_of::<ModuleRecord>() == 32);
const _: () = assert!(size_of::<FrameRecord>() == 16);
const _: () = assert!(size_of::<TextRecord>() == 16);
const _: () = assert!(size_of::<SiteRecord>() == 32);
