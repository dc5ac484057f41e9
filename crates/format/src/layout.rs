//! The records of a recording, byte for byte. See the module above for how they are arranged.

use core::mem::offset_of;

/// First eight bytes of a recording.
pub const MAGIC: [u8; 8] = *b"SKIPHEAP";
/// Raised whenever a record below changes in any way.
pub const FORMAT_VERSION: u32 = 8;
/// The oldest version that can be read. Version 6 stores notes as sentences, and versions 6 and 7
/// order the fields of a [`LiveRecord`] differently; everything else is the same.
pub const OLDEST_VERSION: u32 = 6;
/// Bytes of the header, and offset of the first chunk.
pub const HEADER_LEN: u64 = 4096;
/// First four bytes of a chunk, "SKCH".
pub const CHUNK_MAGIC: u32 = u32::from_le_bytes(*b"SKCH");

/// Chunk of [`ModuleRecord`]s.
pub const CHUNK_MODULES: u32 = 1;
/// Chunk of [`FrameRecord`]s.
pub const CHUNK_FRAMES: u32 = 2;
/// Chunk of [`SiteRecord`]s.
pub const CHUNK_SITES: u32 = 3;
/// Chunk of [`TextRecord`]s: what a summary has to say besides the numbers.
pub const CHUNK_NOTES: u32 = 4;
/// Chunk of [`TextRecord`]s: the functions that were hooked by name.
pub const CHUNK_FUNCTIONS: u32 = 5;
/// Chunk of [`StackNode`]s.
pub const CHUNK_STACKS: u32 = 6;
/// Chunk of [`TimelinePoint`]s. There is one at most.
pub const CHUNK_TIMELINE: u32 = 7;
/// Chunk of [`ThreadRecord`]s.
pub const CHUNK_THREADS: u32 = 8;
/// Chunk of [`PhaseRecord`]s, each followed by its label, padded to 16 bytes.
pub const CHUNK_PHASES: u32 = 9;
/// Chunk of [`LeakRecord`]s: what the leak check found at the end.
pub const CHUNK_LEAKS: u32 = 10;
/// Chunk of [`FileRecord`]s: which files the modules were loaded from.
pub const CHUNK_FILES: u32 = 11;

/// [`Header::state`]: the process had not ended in a way that the library sees.
pub const STATE_RUNNING: u32 = 0;
/// [`Header::state`]: the library saw the orderly end of the process.
pub const STATE_FINISHED: u32 = 1;
/// [`Header::state`]: a copy that was made at `end_ns` while the process went on.
pub const STATE_SNAPSHOT: u32 = 2;

/// Number of [`crate::loss::Loss`] counters that the header has room for.
pub const LOSS_SLOTS: usize = 32;
/// Slot of [`Header::losses`] that counts how often the recording was stopped, at its start included: blocks that
/// were allocated meanwhile are not known.
pub const STOPS: usize = LOSS_SLOTS - 5;
/// Room for the path of the executable, in bytes.
pub const EXE_LEN: usize = 1024;
/// Room for the command line (arguments, each ended by NUL), in bytes. A longer one is cut.
pub const CMDLINE_LEN: usize = 1536;

/// The first page of a recording.
#[repr(C)]
pub struct Header {
    /// [`MAGIC`], written last.
    pub magic: [u8; 8],
    /// [`FORMAT_VERSION`].
    pub version: u32,
    /// [`STATE_RUNNING`], [`STATE_FINISHED`] or [`STATE_SNAPSHOT`].
    pub state: u32,
    /// Bytes handed out to chunks so far, the header included. Grows atomically.
    pub cursor: u64,
    /// Process id as the process itself sees it.
    pub pid: u32,
    /// Parent's process id.
    pub ppid: u32,
    /// Start of the recording, nanoseconds since 1970 (CLOCK_REALTIME).
    pub start_ns: u64,
    /// End of the recording, nanoseconds since 1970; 0 while running, and where it is not known.
    pub end_ns: u64,
    /// Most frames that reports are to show of each stack: 4, or more with [`WHOLE_STACKS`].
    pub stack_depth: u32,
    /// 1 when the process was made by fork without exec, else 0.
    pub forked: u32,
    /// Bytes used of `exe`.
    pub exe_len: u32,
    /// Bytes used of `cmdline`.
    pub cmdline_len: u32,
    /// Honesty counters, indexed by [`crate::loss::Loss`].
    pub losses: [u64; LOSS_SLOTS],
    /// Path of the executable, not terminated.
    pub exe: [u8; EXE_LEN],
    /// Arguments, each ended by a NUL.
    pub cmdline: [u8; CMDLINE_LEN],
    /// [`WHOLE_STACKS`], [`LIVE`], [`LEAK_CHECKED`], [`LEAKS_MISSED`] where they hold.
    pub flags: u32,
    /// What the tool asks of the running process: [`STOPPED`] or 0. With the count of [`STOPS`], all that others write.
    pub control: u32,
    /// Mean number of bytes between two samples; 0: every allocation is recorded.
    pub sample_bytes: u64,
    /// Number of the highest peak of live bytes so far, from 1; 0 before the first. See
    /// [`LiveRecord::epoch`].
    pub epoch: u64,
    /// Live bytes of the whole process at the last [`TimelinePoint`], phase or snapshot, or at the
    /// end. May be below zero for a moment.
    pub live_bytes: i64,
    /// Live blocks of the whole process at that moment. May briefly be negative.
    pub live_blocks: i64,
    /// Most live bytes at any moment.
    pub peak_bytes: u64,
    /// When that was, nanoseconds since 1970.
    pub peak_ns: u64,
    /// Frees of blocks that were not followed: allocated before the profiler began, while it was
    /// stopped, not sampled, or by a function that is not hooked.
    pub unknown_frees: u64,
    /// Effective user id at the start of the recording.
    pub uid: u32,
    /// Zero; room for later versions.
    pub reserved: [u8; 1148],
}

/// Start of every chunk.
#[repr(C)]
pub struct ChunkHeader {
    /// [`CHUNK_MAGIC`], written last.
    pub magic: u32,
    /// One of the `CHUNK_` kinds.
    pub kind: u32,
    /// Length of the chunk in pages, this header included.
    pub pages: u32,
    /// Bytes of records that are complete, counted from the end of this header. Not kept for
    /// [`CHUNK_SITES`], where a site exists as soon as its count is not zero. Of [`CHUNK_STACKS`] it
    /// counts places that were taken: one of zeros has no node yet.
    pub used: u32,
    /// Of [`CHUNK_SITES`], the number of the thread that counts in it (see [`ThreadRecord`]), or
    /// [`ENDED_THREADS`]; else 0.
    pub thread: u32,
    /// Of [`CHUNK_STACKS`], the id of the first node; else 0. Readers need it for nothing.
    pub first: u32,
    /// Zero.
    pub reserved: [u32; 2],
}

/// An object file that was mapped into the process.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ModuleRecord {
    /// First mapped address (AVMA).
    pub start: u64,
    /// End of the mapped addresses.
    pub end: u64,
    /// What to subtract from an address in memory to get the address stated in the file (SVMA).
    pub bias: u64,
    /// Bytes of the path that follows this record.
    pub path_len: u32,
    /// Bytes of the build id that follows the path.
    pub build_id_len: u32,
}

/// The file that a module was loaded from, as it was when the module was first seen. A file at the
/// same path with another identity is a different file.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FileRecord {
    /// Id of the module.
    pub module: u32,
    /// Zero.
    pub reserved: u32,
    /// The device of the file.
    pub device: u64,
    /// Its inode number.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// The time of its last modification, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// Zero.
    pub padding: u64,
}

/// A place in the code where some call returns to.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct FrameRecord {
    /// Module id; 0 when the address lies in no known object file.
    pub module: u32,
    /// [`FRAME_EXACT`] and [`FRAME_HOOKED`] where they hold, and from [`FRAME_CALLEE_SHIFT`] on
    /// the index of the hooked function that the call before this address calls, 0 for none.
    pub flags: u32,
    /// Address as stated in the object file (SVMA); absolute when `module` is 0.
    pub address: u64,
}

/// The address is that of an instruction which a signal interrupted, not a return address: look
/// names up at the address itself, not one before it.
pub const FRAME_EXACT: u32 = 1;
/// The address lies in a hooked function: calls from there are nested.
pub const FRAME_HOOKED: u32 = 2;
/// The address lies in a function that has pages of an ObStack made.
pub const FRAME_MAKES_PAGES: u32 = 4;
/// Where in a frame's flags the index of the called function begins.
pub const FRAME_CALLEE_SHIFT: u32 = 16;

/// A piece of text.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TextRecord {
    /// The function's index in [`SiteRecord::size`]; or the kind of a note ([`crate::note::Kind`]).
    pub number: u32,
    /// [`FUNCTION_ALL`] and [`FUNCTION_FOLLOWED`] where they hold; or the reason that a note gives
    /// ([`crate::note::Reason`]).
    pub flags: u32,
    /// Bytes of the text that follows this record.
    pub len: u32,
    /// Zero.
    pub reserved: u32,
}

/// All calls of the function count, not only those that are not nested.
pub const FUNCTION_ALL: u32 = 1;
/// What the function allocates is followed until its page dies: the sites have a [`LiveRecord`] with
/// frees, and no lifetimes.
pub const FUNCTION_FOLLOWED: u32 = 2;

/// [`Header::flags`]: sites have a whole stack, not four frames.
pub const WHOLE_STACKS: u32 = 1;
/// [`Header::flags`]: blocks are followed until they are freed; each site has a [`LiveRecord`].
pub const LIVE: u32 = 2;
/// [`Header::flags`]: the leak check was made at the end; sites without a [`LeakRecord`] have no
/// unreachable blocks.
pub const LEAK_CHECKED: u32 = 4;
/// [`Header::flags`]: the leak check was to be made, and could not be, or not of all blocks. Notes say
/// why: see [`Kind::is_of_leak_check`](crate::note::Kind::is_of_leak_check).
pub const LEAKS_MISSED: u32 = 8;
/// [`Header::control`]: allocations are not recorded for now. Frees are still followed.
pub const STOPPED: u32 = 1;

/// Allocations of one size from one stack, in one thread's share.
///
/// A site may occur several times in a recording, once for each thread that used it.
/// A thread that frees blocks of another's site has a record of that site too, whose count may be 0.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SiteRecord {
    /// Frame ids, innermost first. Of a stack of fewer frames the root's id is repeated; two ids in
    /// a row are never the same otherwise. 0 where the stack ended without a root. With
    /// [`WHOLE_STACKS`] instead: the hash of the stack in the first two, the innermost
    /// [`StackNode`]'s id in the third (0: no stack), and the stack's length, wrappers included, in
    /// the fourth.
    pub frames: [u32; 4],
    /// Size of each allocation in bytes in the low 48 bits, the index of the allocation function
    /// (see [`FUNCTION_NAMES`]) above.
    pub size: u64,
    /// Number of allocations. (Of [`Header::sample_bytes`]: of samples.)
    pub count: u64,
}

/// Buckets of [`LiveRecord::ages`].
pub const AGES: usize = 26;
/// Buckets of [`LiveRecord::times`].
pub const TIMES: usize = 31;
/// log2 of the upper end of the first bucket of [`LiveRecord::times`], in nanoseconds.
pub const SHORTEST_TIME_LOG2: u32 = 10;

/// What became of a site's blocks, behind its [`SiteRecord`] where [`LIVE`] holds. What a thread frees
/// of its own and of others' blocks it counts in its own record of the site. All blocks of a site have
/// the same size.
///
/// The fields that nearly every allocation and free uses are in the same cache line as the
/// [`SiteRecord`].
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LiveRecord {
    /// Blocks freed, also by realloc.
    pub frees: u64,
    /// Usable bytes minus requested bytes, summed over all allocations.
    pub slack: u64,
    /// Number of the peak that `at_peak` belongs to. Where it is not [`Header::epoch`], nothing has
    /// changed here since the highest peak, and the share in it is that of now. [`NESTED_EPOCH`] of
    /// a site whose calls are nested.
    pub epoch: u32,
    /// Number of the record, from 1, by which the library finds it. Readers need it for nothing.
    pub number: u32,
    /// Number of the thread that counts here, as in [`ChunkHeader::thread`]; [`NESTED_THREAD`] of a
    /// site whose calls are nested.
    pub thread: u32,
    /// Blocks freed by age in allocations of the thread that allocated them: bucket 0 is age 0 (before
    /// its next allocation), bucket k from 2^(k-1) to 2^k - 1, the last one all above.
    pub ages: [u32; AGES],
    /// Blocks freed by age in time, of one block in 16: bucket 0 below 2^[`SHORTEST_TIME_LOG2`] nanoseconds, each next one
    /// twice as far, the last one all above.
    pub times: [u32; TIMES],
    /// Of the blocks freed, those freed by the thread that allocated them before its next allocation.
    pub temporary: u64,
    /// [`SiteRecord::count`] minus `frees` at the peak number `epoch`: the record's share of the
    /// live blocks at that time, which may be negative.
    pub at_peak: i64,
    /// Calls of realloc that made a block larger, counted at the site of the new size.
    pub grown: u64,
    /// Bytes that these calls copied because the block moved.
    pub copied: u64,
}

/// The offsets of the fields of a [`LiveRecord`], except for [`LiveRecord::frees`], which comes
/// first.
#[derive(Debug)]
pub struct LiveFields {
    /// Of [`LiveRecord::temporary`].
    pub temporary: usize,
    /// Of [`LiveRecord::at_peak`].
    pub at_peak: usize,
    /// Of [`LiveRecord::epoch`].
    pub epoch: usize,
    /// Of [`LiveRecord::grown`].
    pub grown: usize,
    /// Of [`LiveRecord::copied`].
    pub copied: usize,
    /// Of [`LiveRecord::slack`].
    pub slack: usize,
    /// Of [`LiveRecord::thread`].
    pub thread: usize,
    /// Of [`LiveRecord::ages`].
    pub ages: usize,
    /// Of [`LiveRecord::times`].
    pub times: usize,
}

impl LiveFields {
    const NOW: Self = Self {
        temporary: offset_of!(LiveRecord, temporary),
        at_peak: offset_of!(LiveRecord, at_peak),
        epoch: offset_of!(LiveRecord, epoch),
        grown: offset_of!(LiveRecord, grown),
        copied: offset_of!(LiveRecord, copied),
        slack: offset_of!(LiveRecord, slack),
        thread: offset_of!(LiveRecord, thread),
        ages: offset_of!(LiveRecord, ages),
        times: offset_of!(LiveRecord, times),
    };
    const UP_TO_VERSION_7: Self = Self {
        temporary: 8,
        at_peak: 16,
        epoch: 24,
        grown: 32,
        copied: 40,
        slack: 48,
        thread: 56,
        ages: 60,
        times: 164,
    };

    /// Returns the offsets in a recording of this version.
    pub const fn of(version: u32) -> &'static Self {
        if version <= 7 {
            &Self::UP_TO_VERSION_7
        } else {
            &Self::NOW
        }
    }
}

/// [`LiveRecord::epoch`] of a site whose calls are nested ([`crate::nested`]): its blocks
/// are followed, and count nowhere.
pub const NESTED_EPOCH: u32 = u32::MAX;
/// [`LiveRecord::thread`] of such a site: no thread has this number.
pub const NESTED_THREAD: u32 = u32::MAX;

/// Bytes of a site's record where [`LIVE`] holds; else those of [`SiteRecord`].
pub const LIVE_SITE_LEN: usize = size_of::<SiteRecord>() + size_of::<LiveRecord>();
/// Where the first record of a chunk of sites lies behind the start of the chunk, where [`LIVE`]
/// holds: records are aligned to cache lines. Otherwise right behind the [`ChunkHeader`].
pub const LIVE_SITES_START: usize = 64;

/// A frame of a stack, in a tree that grows from the roots.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StackNode {
    /// Id of the caller's node (offset in the file / 8), 0 at the root. Always less than its own.
    pub parent: u32,
    /// Frame id, or in a root one of the `CUT_` markers.
    pub frame: u32,
}

/// Longest stack that is recorded, in frames.
pub const MOST_FRAMES: u32 = 1024;

/// The state of the heap from a moment on, until the next point.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelinePoint {
    /// Nanoseconds since 1970.
    pub ns: u64,
    /// Allocations recorded so far by all threads, nested calls left out; [`NOT_KNOWN`] where only the
    /// live bytes are. Of a sample, all that were made, nested ones included: no stack says which
    /// they are.
    pub allocations: u64,
    /// Live bytes; no more than [`Header::peak_bytes`].
    pub live_bytes: u64,
    /// Live blocks, or [`NOT_KNOWN`].
    pub live_blocks: u64,
    /// Resident set size of the process in bytes, as it was read last before the next point; 0 when
    /// that is not known.
    pub rss: u64,
}

/// In a [`TimelinePoint`]: nobody counted at this moment.
pub const NOT_KNOWN: u64 = u64::MAX;

/// Most [`TimelinePoint`]s; when there are that many, those that tell least go.
pub const MOST_POINTS: usize = 2000;

/// A thread that counts; or, with [`ENDED_THREADS`] in its number, all threads of one name that have
/// ended or go by another one now.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ThreadRecord {
    /// Number, from 1. When a thread ends, what it has counted goes to the number of its name, and
    /// another thread may get its own.
    pub number: u32,
    /// Kernel's id of the thread; 0 of those that have ended.
    pub tid: u32,
    /// By [`THREAD_STARTED`], the frame id of the function that the thread started with; by
    /// [`THREAD_NUMBERED`], what tells it apart.
    pub start: u32,
    /// [`THREAD_NAMED`], [`THREAD_STARTED`] or [`THREAD_NUMBERED`]; 0 of no thread.
    pub how: u32,
    /// Its name, ended by NUL or the end.
    pub name: [u8; 16],
}

/// [`ThreadRecord::how`]: the thread has a name of its own.
pub const THREAD_NAMED: u32 = 1;
/// [`ThreadRecord::how`]: the name is that of the main thread; the function that it started with is
/// known.
pub const THREAD_STARTED: u32 = 2;
/// [`ThreadRecord::how`]: the name is that of the main thread, and nothing else is known.
pub const THREAD_NUMBERED: u32 = 3;

/// In [`ThreadRecord::number`]: threads that have ended. As [`ChunkHeader::thread`] it says that
/// each record names its own such number: in its [`LiveRecord`], or where blocks are not followed
/// in four bytes behind the [`SiteRecord`], which take [`ENDED_SITE_LEN`] bytes then.
pub const ENDED_THREADS: u32 = 1 << 31;
/// Bytes of a site's record with the number of its threads, where blocks are not followed.
pub const ENDED_SITE_LEN: usize = size_of::<SiteRecord>() + 16;

/// A label that the program gave to what comes next.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct PhaseRecord {
    /// Nanoseconds since 1970.
    pub ns: u64,
    /// Allocations so far.
    pub allocations: u64,
    /// Live bytes.
    pub live_bytes: u64,
    /// Bytes of the label that follows.
    pub len: u32,
    /// Zero.
    pub reserved: u32,
}

/// Blocks to which no pointer was found at the end.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct LeakRecord {
    /// Offset of the site's record in the file.
    pub site: u64,
    /// Its unreachable blocks.
    pub blocks: u64,
    /// Those among them to which another unreachable block leads.
    pub indirect: u64,
    /// Zero.
    pub reserved: u64,
}

/// In place of a frame id, where the stack goes on but was not followed: at code without unwind
/// information.
pub const CUT_NO_UNWIND_INFO: u32 = 1;
/// Frame id that ends a cut stack: at stack memory that cannot be read, or at a frame that does not
/// lead towards the root.
pub const CUT_UNREADABLE: u32 = 2;
/// Frame id that ends a cut stack: after the longest walk, because recursion or allocation wrappers
/// took it all.
pub const CUT_TOO_DEEP: u32 = 3;
/// Frame id that ends a cut stack: at code without unwind information, where the frame pointer
/// leads to a frame that is not known to be the caller's.
pub const CUT_UNPROVED: u32 = 4;
/// Frame id that ends a cut stack: at unwind information of an unsupported kind, or that
/// needs a register whose value is not known.
pub const CUT_UNSUPPORTED: u32 = 5;
/// The last of these reasons.
pub const LAST_CUT: u32 = CUT_UNSUPPORTED;
/// Frame ids below this name no frame: 0 is the end of the stack, the others are cuts. (As file
/// offsets they lie in the header.)
pub const FIRST_FRAME_ID: u32 = (HEADER_LEN / 16) as u32;

/// Bits of [`SiteRecord::size`] that hold the size. No allocation of 2^48 bytes can succeed on the
/// supported machines.
pub const SIZE_BITS: u32 = 48;

/// Index of the function by which the program reports blocks of an allocator of its own.
pub const CUSTOM_FUNCTION: u64 = 9;

/// Names of the interposed allocation functions, by the index stored above the size. Higher
/// indices are of functions hooked by name, see [`CHUNK_FUNCTIONS`].
pub const FUNCTION_NAMES: [&str; 10] = [
    "malloc",
    "calloc",
    "realloc",
    "reallocarray",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
    "valloc",
    "pvalloc",
    "skipheap_alloc",
];

const _: () = assert!(size_of::<Header>() == HEADER_LEN as usize);
const _: () = assert!(size_of::<ChunkHeader>() == 32);
const _: () = assert!(size_of::<ModuleRecord>() == 32);
const _: () = assert!(size_of::<FileRecord>() == 48);
const _: () = assert!(size_of::<FrameRecord>() == 16);
const _: () = assert!(size_of::<TextRecord>() == 16);
const _: () = assert!(size_of::<SiteRecord>() == 32);
const _: () = assert!(LIVE_SITE_LEN == 320);
const _: () = assert!(offset_of!(LiveRecord, frees) == 0);
// The first cache line ends after the count of temporary blocks.
const _: () = assert!(size_of::<SiteRecord>() + offset_of!(LiveRecord, ages) + 4 == 64);
const _: () = assert!(size_of::<StackNode>() == 8);
const _: () = assert!(size_of::<TimelinePoint>() == 40);
const _: () = assert!(size_of::<ThreadRecord>() == 32);
const _: () = assert!(size_of::<PhaseRecord>() == 32);
const _: () = assert!(size_of::<LeakRecord>() == 32);
