//! Writes the recording: the only code that touches its mapping, but for the counts of the sites.
//!
//! The file is made once, as a hole of a length that is enough for most, its start is mapped, and it is
//! closed: no descriptor stays behind that the program could close or use again. More of it is
//! mapped as it grows ([`crate::pieces`]), and where the hole does not suffice the file is opened
//! again and made longer. Room is taken by asking the kernel to have the pages
//! (`MADV_POPULATE_WRITE`), which reports a full disk as an error and never as SIGBUS, and works after
//! chroot or with fewer privileges too.
//!
//! Runs in cold sections only: errno is restored and signals are blocked by the caller.

use crate::ended::Label;
use crate::heap::SpinLock;
use crate::live::{Sums, Unreached};
use crate::pieces::{self, Pieces};
use crate::settings::{PATH_LEN, settings};
use crate::{confined, control, reach, sys};
use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering::*};
use skipheap_format::PAGE;
use skipheap_format::layout::*;
use skipheap_format::loss::Loss;
use skipheap_format::note::Note;
use skipheap_symbolize::FileId;

/// Length of the file at first, as a hole: room for 30 million sites.
const FIRST_LEN: u64 = 1 << 30;
/// Length of the memory that stands in for a file.
const MEMORY_LEN: u64 = FIRST_LEN / 4;
/// How much of the file is mapped when the program confines its system calls: two million sites.
const RESERVE: u64 = 64 << 20;
/// Frames and modules are known by their place in units of 16 bytes, in 32 bits.
const UNIT: u64 = 16;
/// The smallest recording that is of any use.
const SMALLEST: u64 = 256 * 1024;
/// Chunks of frames and modules begin with this many pages and double up to [`LARGEST_CHUNK`].
const FIRST_CHUNK: u32 = 1;
/// How the names of recordings end.
pub(crate) const SUFFIX: &[u8] = b".skipheap-rec";
/// Most pages of a chunk: 256 KiB, so that threads that come and go do not hold much unused room.
pub(crate) const LARGEST_CHUNK: u32 = 64;

/// Most bytes of a note or of a function's name.
const LONGEST_TEXT: usize = 2048;

/// The recording that this memory image has, for a child of fork, which inherits it and finds
/// everything else that was known about it wiped.
static INHERITED: AtomicPtr<Pieces> = AtomicPtr::new(ptr::null_mut());

/// Gives up the recording of the parent, in a child of fork. No more than what was written stays in
/// the address space, as zeros: in a child that was forked in a signal handler, the allocation which
/// that had interrupted may be about to be counted, and is one of the parent's.
pub(crate) fn give_up_parents() {
    let pieces = INHERITED.swap(ptr::null_mut(), AcqRel);
    if pieces.is_null() {
        return;
    }
    control::give_up_parents();
    // SAFETY: these are the pieces of the parent's recording, whose header is always mapped, and
    // nobody else uses them in this process, but as said above.
    unsafe {
        let used = cursor_of((*pieces).at(0)).load(Acquire);
        Pieces::give_up(pieces, used);
    }
}

/// How far the recording at `base` has come.
///
/// # Safety
/// The header's page is mapped there, and stays so.
unsafe fn cursor_of<'h>(base: *mut u8) -> &'h AtomicU64 {
    // SAFETY: the caller has the header there; the word is only used atomically while we run.
    unsafe { AtomicU64::from_ptr((&raw mut (*base.cast::<Header>()).cursor).cast()) }
}

/// Where the next record of a kind goes.
struct Appender {
    chunk: Chunk,
    used: usize,
    pages: u32,
}

/// Room for records.
#[derive(Clone, Copy)]
pub(crate) struct Chunk {
    /// Where the first record goes, behind the chunk's header.
    pub(crate) records: *mut u8,
    /// Bytes from there on.
    pub(crate) len: usize,
    /// Where they lie in the file.
    pub(crate) offset: u64,
}

/// A recording being written. All zeros is one that was not created.
#[repr(C)]
pub(crate) struct Recording {
    base: AtomicPtr<u8>,
    pieces: AtomicPtr<Pieces>,
    /// Length of the file.
    capacity: AtomicU64,
    /// A [`Full`], or 0: no more room is to be had. Saves the system calls that would find out again.
    full: AtomicU32,
    /// Held while room is taken.
    room: SpinLock,
    /// Device and inode of the file.
    identity: UnsafeCell<(u64, u64)>,
    in_file: AtomicBool,
    lock: SpinLock,
    frames: UnsafeCell<Appender>,
    modules: UnsafeCell<Appender>,
    files: UnsafeCell<Appender>,
    notes: UnsafeCell<Appender>,
    functions: UnsafeCell<Appender>,
    threads: UnsafeCell<Appender>,
    leaks: UnsafeCell<Appender>,
    phases: UnsafeCell<Appender>,
    /// How many were written by the program itself.
    pub(crate) snapshots: AtomicU32,
    path: UnsafeCell<[u8; PATH_LEN]>,
    /// Empty without one.
    predecessor: UnsafeCell<[u8; PATH_LEN]>,
}

/// What is wrong when a chunk cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Full {
    /// The disk is full, or the file as long as files may be.
    NoRoom = 1,
    /// The file is as long as was thought of and cannot be opened to make it longer, or the format
    /// has no numbers for more.
    TooLong = 2,
    /// Memory, or address space. It may come back.
    NoMemory = 3,
    /// More of the file would have to be mapped, which the program has perhaps forbidden itself.
    Confined = 4,
}

impl Full {
    /// What is missing because of it.
    pub(crate) fn loss(self) -> Loss {
        match self {
            Self::NoRoom => Loss::RecordingFull,
            Self::TooLong => Loss::TooLong,
            Self::NoMemory => Loss::NoMemory,
            Self::Confined => Loss::Confined,
        }
    }
}

impl Recording {
    /// Makes the file, or memory where no file can be had, and writes the header.
    pub(crate) fn create(&self, forked: bool) {
        // A child goes on as its parent was at the time.
        let stopped = if forked {
            control::is_stopped()
        } else {
            settings().stopped
        };
        let mut capacity = sys::soft_limit(libc::RLIMIT_FSIZE).min(FIRST_LEN) / PAGE * PAGE;
        let mut base = None;
        while capacity >= SMALLEST && base.is_none() {
            base = self.map_file(capacity);
            if base.is_none() {
                capacity /= 16;
            }
        }
        self.in_file.store(base.is_some(), Relaxed);
        if base.is_none() {
            // Nothing survives a kill now, but the report at exit can still be written.
            reach::say_unreachable();
            capacity = (sys::soft_limit(libc::RLIMIT_AS) / 16).min(MEMORY_LEN) / PAGE * PAGE;
            base = map_memory(capacity);
        }
        let pieces = base.map_or(ptr::null(), |base| {
            Pieces::make(base, capacity.min(pieces::FIRST))
        });
        if pieces.is_null() {
            self.full.store(Full::NoMemory as u32, Relaxed);
            return;
        }
        self.capacity.store(capacity, Relaxed);
        self.pieces.store(pieces.cast_mut(), Release);
        self.base.store(base.unwrap_or(ptr::null_mut()), Release);
        self.write_header(forked);
        let control = if stopped { STOPPED } else { 0 };
        self.set_control(control);
        if stopped {
            self.count(STOPS, 1);
        }
        control::set(control);
        INHERITED.store(pieces.cast_mut(), Release);
    }

    /// Creates a file of `capacity` bytes and maps its start, of which the first page is real.
    fn map_file(&self, capacity: u64) -> Option<*mut u8> {
        // SAFETY: only `create` writes the path, once, before the recording is visible.
        let path = unsafe { &mut *self.path.get() };
        let mut digits = [0; 10];
        let pid = decimal(&mut digits, sys::pid());
        let session = settings().session.get();
        let fd = if session.is_empty() {
            self.create_alone(path, pid)
        } else {
            reach::create(path, pid)
        };
        let fd = fd.ok()?;
        let len = capacity.min(pieces::FIRST) as usize;
        let base = match sys::set_file_len(fd, capacity) {
            true => sys::map_file(fd, 0, len).ok(),
            false => None,
        };
        let base = base.filter(|&base| {
            // Without this the first touch of the hole reads two megabytes of zeros ahead, which takes
            // two milliseconds on ext4.
            sys::expect_random_reads(base, len);
            let populated = sys::populate(base, HEADER_LEN as usize).is_ok();
            if populated {
                control::share(fd);
                reach::drop_anchor(fd);
            } else {
                // SAFETY: our own mapping, which nobody else has seen.
                unsafe { sys::unmap(base, len) };
            }
            populated
        });
        // SAFETY: as the path.
        unsafe { *self.identity.get() = sys::identity(fd).unwrap_or_default() };
        sys::close(fd);
        if base.is_none() {
            sys::unlink(path);
        }
        base
    }

    /// Opens the file once more; `None` where it is out of reach or another one, and where opening a
    /// file may end the program.
    fn open_again(&self) -> Option<c_int> {
        let path = self.path().filter(|_| !confined::is_confined())?;
        let fd = sys::open_to_write(path);
        // SAFETY: written in `create` only, before the recording was visible.
        let expected = unsafe { *self.identity.get() };
        if fd >= 0 && sys::identity(fd) != Some(expected) {
            sys::close(fd);
            return None;
        }
        (fd >= 0).then_some(fd)
    }

    /// Makes the file longer, for `needed` bytes at least.
    fn lengthen(&self, needed: u64) -> Result<(), Full> {
        let fd = self.open_again().ok_or(Full::TooLong)?;
        let limit = sys::soft_limit(libc::RLIMIT_FSIZE) / PAGE * PAGE;
        let twice = needed.max(self.capacity.load(Relaxed) * 2).min(limit);
        // Beyond the limit the kernel raises a signal, which would end the program.
        let len = [twice, needed]
            .into_iter()
            .find(|&len| len >= needed && len <= limit && sys::set_file_len(fd, len));
        sys::close(fd);
        self.capacity.store(len.ok_or(Full::NoRoom)?, Relaxed);
        Ok(())
    }

    /// Creates the file of a process that no tool watches, named after the process's id and the
    /// time of its start. Both outlive an exec: a file of that name is what the program left behind that this one
    /// has replaced, and is put aside for the report.
    fn create_alone(&self, path: &mut [u8; PATH_LEN], pid: &[u8]) -> Result<c_int, c_int> {
        let mut stat = [0; 1024];
        let started = sys::start_time(&mut stat);
        for folder in [settings().tmp.get(), b"/tmp", b"/dev/shm"] {
            let parts = [folder, b"/skip-heap-", pid, b"-", started, SUFFIX, b"\0"];
            if started.is_empty() || join(path, parts.into_iter()).is_err() {
                break;
            }
            match sys::create_exclusively(path) {
                Ok(fd) if sys::is_copy_on_write(fd) => {
                    sys::close(fd);
                    sys::unlink(path);
                }
                Ok(fd) => return Ok(fd),
                Err(libc::EEXIST) if self.put_aside(path, &parts[..5]) => {
                    return sys::create_exclusively(path);
                }
                Err(libc::EEXIST) => break,
                Err(_) => {}
            }
        }
        let fd = create_in_tmp(path, &[b"/skip-heap-", pid, b"-"], SUFFIX)?;
        if sys::is_copy_on_write(fd) {
            sys::close(fd);
            sys::unlink(path);
            return Err(libc::EOPNOTSUPP);
        }
        Ok(fd)
    }

    /// Renames a file of ours; false when it is not ours.
    fn put_aside(&self, path: &[u8], stem: &[&[u8]]) -> bool {
        if !sys::is_own_file(path) {
            return false;
        }
        // SAFETY: only `create` writes it, once, before the recording is visible.
        let aside = unsafe { &mut *self.predecessor.get() };
        let &[a, b, c, d, e] = stem else { return false };
        let Ok(fd) = create_unique(aside, &[a, b, c, d, e, b"-"], SUFFIX) else {
            return false;
        };
        sys::close(fd);
        let moved = sys::rename(path, aside);
        if !moved {
            sys::unlink(aside);
            aside.fill(0);
        }
        moved
    }

    /// Path of the recording of the program that this one has replaced, NUL-terminated.
    pub(crate) fn predecessor(&self) -> Option<&[u8]> {
        // SAFETY: written in `create` only.
        let path = unsafe { &*self.predecessor.get() };
        (path[0] != 0).then_some(path.as_slice())
    }

    fn header(&self) -> Option<*mut Header> {
        let base = self.base.load(Acquire);
        (!base.is_null()).then_some(base.cast())
    }

    fn write_header(&self, forked: bool) {
        let Some(header) = self.header() else { return };
        let exe = settings().exe.get();
        let mut cmdline = [0; CMDLINE_LEN];
        let cmdline_len = sys::read_file(b"/proc/self/cmdline\0", &mut cmdline).len();
        // SAFETY: the header's page is mapped, writable, and no reader minds it before the magic.
        unsafe {
            let h = &mut *header;
            h.version = FORMAT_VERSION;
            h.state = STATE_RUNNING;
            h.cursor = HEADER_LEN;
            h.pid = sys::pid();
            h.ppid = libc::getppid() as u32;
            h.uid = libc::geteuid();
            h.start_ns = sys::now_ns();
            h.stack_depth = settings().stack_depth;
            h.flags = 0;
            if settings().live {
                h.flags |= LIVE;
            }
            if settings().stack_depth > 4 {
                h.flags |= WHOLE_STACKS;
            }
            h.sample_bytes = settings().sample_bytes;
            h.forked = u32::from(forked);
            h.exe_len = exe.len().min(EXE_LEN) as u32;
            ptr::copy_nonoverlapping(exe.as_ptr(), (&raw mut h.exe).cast(), h.exe_len as usize);
            h.cmdline_len = cmdline_len as u32;
            h.cmdline = cmdline;
            core::sync::atomic::fence(Release);
            (&raw mut h.magic).write_volatile(MAGIC);
        }
    }

    /// Takes a chunk of `pages` for `kind`.
    pub(crate) fn chunk(&self, kind: u32, pages: u32) -> Result<Chunk, Full> {
        let pieces = self.pieces().ok_or(Full::NoMemory)?;
        let len = u64::from(pages) * PAGE;
        let (start, at) = self.take_room(pieces, len).inspect_err(|&why| {
            if matches!(why, Full::NoRoom | Full::TooLong) {
                self.full.store(why as u32, Relaxed);
            }
        })?;
        let header: *mut ChunkHeader = start.cast();
        // SAFETY: the chunk's pages were just made ours alone and writable.
        unsafe {
            (*header).kind = kind;
            (*header).pages = pages;
            AtomicU32::from_ptr(&raw mut (*header).magic).store(CHUNK_MAGIC, Release);
        }
        Ok(Chunk {
            records: header.wrapping_add(1).cast(),
            len: len as usize - size_of::<ChunkHeader>(),
            offset: at + size_of::<ChunkHeader>() as u64,
        })
    }

    /// Takes the next `len` bytes of the file; their address, and their place in the file. Where that
    /// fails, the recording is as it was.
    fn take_room(&self, pieces: &Pieces, len: u64) -> Result<(*mut u8, u64), Full> {
        let _guard = self.room.lock();
        if self.full.load(Relaxed) != 0 {
            return Err(self.why_full());
        }
        // SAFETY: the header's page is mapped as long as there are pieces.
        let cursor = unsafe { cursor_of(pieces.at(0)) };
        let at = cursor.load(Relaxed);
        if at + len > self.capacity.load(Relaxed) {
            self.lengthen(at + len)?;
        }
        if !pieces.reach(at + len) {
            if confined::is_confined() {
                return Err(Full::Confined);
            }
            let capacity = self.capacity.load(Relaxed);
            pieces
                .grow(at, len, capacity, || self.open_again())
                .map_err(|_| Full::NoMemory)?;
        }
        let start = pieces.at(at);
        sys::populate(start, len as usize).map_err(|error| match error {
            libc::ENOMEM => Full::NoMemory,
            _ => Full::NoRoom,
        })?;
        cursor.store(at + len, Release);
        Ok((start, at))
    }

    /// Has as much of the file mapped now as a program may need that is about to confine its system
    /// calls. Where that much cannot be had, what there is has to do.
    pub(crate) fn reserve(&self) {
        let Some(pieces) = self.pieces() else { return };
        let _guard = self.room.lock();
        // SAFETY: the header's page is mapped as long as there are pieces.
        let at = unsafe { cursor_of(pieces.at(0)) }.load(Relaxed);
        let capacity = self.capacity.load(Relaxed);
        let len = RESERVE.min(capacity.saturating_sub(at));
        if len > 0 && !pieces.reach(at + len) {
            let _ = pieces.grow(at, len, capacity, || self.open_again());
        }
    }

    /// Why there is no more room, where there is none.
    pub(crate) fn why_full(&self) -> Full {
        match self.full.load(Relaxed) {
            why if why == Full::NoRoom as u32 => Full::NoRoom,
            why if why == Full::TooLong as u32 => Full::TooLong,
            _ => Full::NoMemory,
        }
    }

    /// Takes a chunk for the sites that a thread counts. As [`Self::chunk`].
    pub(crate) fn sites_chunk(&self, pages: u32, thread: u32) -> Result<Chunk, Full> {
        let chunk = self.chunk(CHUNK_SITES, pages)?;
        // SAFETY: the chunk was just made ours; its header lies in front.
        unsafe {
            let header: *mut ChunkHeader = chunk.records.sub(size_of::<ChunkHeader>()).cast();
            (&raw mut (*header).thread).write_volatile(thread);
        }
        Ok(chunk)
    }

    /// Appends a record of `parts`, padded to 16 bytes, and returns its id and its address.
    fn append(
        &self,
        appender: &UnsafeCell<Appender>,
        kind: u32,
        parts: &[&[u8]],
    ) -> Result<(u32, *mut u8), Full> {
        let len = parts
            .iter()
            .map(|part| part.len())
            .sum::<usize>()
            .next_multiple_of(UNIT as usize);
        let _guard = self.lock.lock();
        // SAFETY: the lock makes this the only reference; the records go behind what was used so
        // far and within the chunk, which `chunk` made writable and ours.
        unsafe {
            let a = &mut *appender.get();
            if a.chunk.len - a.used < len {
                let least = (len + size_of::<ChunkHeader>()).div_ceil(PAGE as usize) as u32;
                let pages = (a.pages * 2).clamp(FIRST_CHUNK, LARGEST_CHUNK).max(least);
                let chunk = self.chunk(kind, pages)?;
                *a = Appender {
                    chunk,
                    used: 0,
                    pages,
                };
            }
            let place = a.chunk.offset + a.used as u64;
            let id = u32::try_from(place / UNIT).map_err(|_| Full::TooLong)?;
            let record = a.chunk.records.add(a.used);
            let mut at = record;
            for part in parts {
                ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
            a.used += len;
            self.set_used(a.chunk.records, a.used as u32);
            Ok((id, record))
        }
    }

    /// Adds a frame and returns its id.
    pub(crate) fn add_frame(&self, frame: FrameRecord) -> Result<u32, Full> {
        // SAFETY: a frame record is sixteen bytes without padding.
        let bytes = unsafe { &*(&raw const frame).cast::<[u8; size_of::<FrameRecord>()]>() };
        self.append(&self.frames, CHUNK_FRAMES, &[bytes])
            .map(|(id, _)| id)
    }

    /// Adds a module and returns its id.
    pub(crate) fn add_module(
        &self,
        start: u64,
        end: u64,
        bias: u64,
        path: &[u8],
        build_id: &[u8],
    ) -> Result<u32, Full> {
        let path = path.get(..PATH_LEN * 4).unwrap_or(path);
        let build_id = build_id.get(..64).unwrap_or(build_id);
        let record = ModuleRecord {
            start,
            end,
            bias,
            path_len: path.len() as u32,
            build_id_len: build_id.len() as u32,
        };
        // SAFETY: a module record is 32 bytes without padding.
        let bytes = unsafe { &*(&raw const record).cast::<[u8; size_of::<ModuleRecord>()]>() };
        self.append(&self.modules, CHUNK_MODULES, &[bytes, path, build_id])
            .map(|(id, _)| id)
    }

    /// Says which file a module was loaded from.
    pub(crate) fn add_file(&self, module: u32, file: FileId) {
        let record = FileRecord {
            module,
            reserved: 0,
            device: file.device,
            inode: file.inode,
            size: file.size,
            modified_ns: file.modified_ns,
            padding: 0,
        };
        // SAFETY: a file's record is 48 bytes without padding.
        let bytes = unsafe { &*(&raw const record).cast::<[u8; size_of::<FileRecord>()]>() };
        // Hashes of stacks are made of the ids of frames, which are places in the file: files do not change
        // them.
        let added = self
            .begin_frames()
            .and_then(|()| self.append(&self.files, CHUNK_FILES, &[bytes]));
        if let Err(why) = added {
            self.lose(why.loss(), 1);
        }
    }

    /// Takes the first chunk of frames, if there is none yet.
    fn begin_frames(&self) -> Result<(), Full> {
        let _guard = self.lock.lock();
        // SAFETY: the lock makes this the only reference.
        let frames = unsafe { &mut *self.frames.get() };
        if frames.chunk.len == 0 {
            *frames = Appender {
                chunk: self.chunk(CHUNK_FRAMES, FIRST_CHUNK)?,
                used: 0,
                pages: FIRST_CHUNK,
            };
        }
        Ok(())
    }

    /// Adds a thread; the record, whose other fields are the thread's to write, or null when there is
    /// no room.
    pub(crate) fn add_thread(&self, number: u32, label: Label) -> *mut ThreadRecord {
        let Label { name, start, how } = label;
        let record = ThreadRecord {
            number,
            tid: 0,
            start,
            how,
            name,
        };
        // SAFETY: a thread's record is 32 bytes without padding.
        let bytes = unsafe { &*(&raw const record).cast::<[u8; size_of::<ThreadRecord>()]>() };
        self.append(&self.threads, CHUNK_THREADS, &[bytes])
            .map_or(ptr::null_mut(), |(_, record)| record.cast())
    }

    /// Adds the unreachable blocks by site, and says that they were looked for.
    pub(crate) fn add_leaks(&self, leaks: impl Iterator<Item = Unreached>) {
        for unreached in leaks {
            let Unreached {
                site,
                blocks,
                indirect,
            } = unreached;
            let record = LeakRecord {
                site,
                blocks,
                indirect,
                reserved: 0,
            };
            // SAFETY: a leak's record is 32 bytes without padding.
            let bytes = unsafe { &*(&raw const record).cast::<[u8; size_of::<LeakRecord>()]>() };
            if let Err(why) = self.append(&self.leaks, CHUNK_LEAKS, &[bytes]) {
                self.lose(why.loss(), 1);
                return;
            }
        }
        self.set_flag(LEAK_CHECKED);
    }

    /// Says that there may be leaks for which the leak check cannot look.
    pub(crate) fn miss_leaks(&self) {
        self.set_flag(LEAKS_MISSED);
    }

    fn set_flag(&self, flag: u32) {
        if let Some(header) = self.header() {
            // SAFETY: the header's page is mapped; the field is written here and in `create` only.
            unsafe { AtomicU32::from_ptr(&raw mut (*header).flags).fetch_or(flag, Release) };
        }
    }

    /// Start of the recording in memory; null without one.
    #[inline(always)]
    pub(crate) fn base(&self) -> *mut u8 {
        self.base.load(Relaxed)
    }

    /// Says how many bytes of the chunk with its first record at `records` are complete.
    pub(crate) fn set_used(&self, records: *mut u8, used: u32) {
        let header: *mut ChunkHeader = records.wrapping_sub(size_of::<ChunkHeader>()).cast();
        // SAFETY: the caller has the chunk from `chunk`, whose header lies in front of it.
        unsafe { AtomicU32::from_ptr(&raw mut (*header).used).store(used, Release) };
    }

    /// Writes a new peak of live bytes into the header, and what its epoch is.
    pub(crate) fn set_peak(&self, epoch: u64, bytes: u64, ns: u64) {
        let Some(header) = self.header() else { return };
        // SAFETY: the header's page is mapped, and these fields are only used atomically. Of two threads
        // with peaks of their own the later one comes second in each.
        unsafe {
            AtomicU64::from_ptr(&raw mut (*header).epoch).fetch_max(epoch, Relaxed);
            AtomicU64::from_ptr(&raw mut (*header).peak_bytes).fetch_max(bytes, Relaxed);
            AtomicU64::from_ptr(&raw mut (*header).peak_ns).fetch_max(ns, Relaxed);
        }
    }

    /// Writes what all threads have counted of the live heap.
    pub(crate) fn set_live_sums(&self, sums: &Sums) {
        if let Some(header) = self.header() {
            // SAFETY: the header's page is mapped, and these fields are only used atomically.
            unsafe {
                AtomicI64::from_ptr(&raw mut (*header).live_bytes).store(sums.bytes, Relaxed);
                AtomicI64::from_ptr(&raw mut (*header).live_blocks).store(sums.blocks, Relaxed);
                AtomicU64::from_ptr(&raw mut (*header).unknown_frees)
                    .store(sums.unknown_frees, Relaxed);
            }
        }
    }

    /// Adds a note for the summary.
    pub(crate) fn add_note(&self, note: &Note<String>) -> Result<(), Full> {
        let (number, flags, text) = note.record();
        self.add_text(&self.notes, CHUNK_NOTES, number, flags, &text)
    }

    /// Adds a function that is hooked by name.
    pub(crate) fn add_function(&self, index: u16, flags: u32, name: &[u8]) -> Result<(), Full> {
        self.add_text(
            &self.functions,
            CHUNK_FUNCTIONS,
            u32::from(index),
            flags,
            name,
        )
    }

    fn add_text(
        &self,
        appender: &UnsafeCell<Appender>,
        kind: u32,
        number: u32,
        flags: u32,
        text: &[u8],
    ) -> Result<(), Full> {
        let text = text.get(..LONGEST_TEXT).unwrap_or(text);
        let record = TextRecord {
            number,
            flags,
            len: text.len() as u32,
            reserved: 0,
        };
        // SAFETY: a text record is sixteen bytes without padding.
        let bytes = unsafe { &*(&raw const record).cast::<[u8; size_of::<TextRecord>()]>() };
        self.append(appender, kind, &[bytes, text]).map(|_| ())
    }

    /// Counts `n` of what is missing from the recording.
    pub(crate) fn lose(&self, loss: Loss, n: u64) {
        self.count(loss as usize, n);
    }

    /// Adds to one of the header's counters.
    pub(crate) fn count(&self, slot: usize, n: u64) {
        debug_assert!(slot < LOSS_SLOTS);
        if let Some(header) = self.header() {
            // SAFETY: the counters lie in the header's page and are only used atomically.
            unsafe {
                let counter = (&raw mut (*header).losses).cast::<u64>().add(slot);
                AtomicU64::from_ptr(counter).fetch_add(n, Relaxed);
            }
        }
    }

    /// Sets the control word. (Where there is a file, [`control::set`] does the same.)
    pub(crate) fn set_control(&self, value: u32) {
        if let Some(header) = self.header() {
            // SAFETY: the header's page is mapped; the word is only used atomically.
            unsafe { AtomicU32::from_ptr(&raw mut (*header).control).store(value, Relaxed) };
        }
    }

    pub(crate) fn pieces(&self) -> Option<&'static Pieces> {
        // SAFETY: null, or pieces, whose list is never unmapped.
        unsafe { self.pieces.load(Acquire).as_ref() }
    }

    /// The address of a place in the recording.
    pub(crate) fn at(&self, offset: u64) -> *mut u8 {
        self.pieces()
            .map_or(ptr::null_mut(), |pieces| pieces.at(offset))
    }

    /// The place in the recording of an address in it.
    pub(crate) fn offset_of(&self, address: *const u8) -> Option<u64> {
        self.pieces()?.offset_of(address)
    }

    /// Marks the orderly end of the process. A confined one is not asked for the time, which may take a
    /// system call.
    pub(crate) fn finish(&self) {
        if let Some(header) = self.header() {
            let now = if confined::is_confined() {
                0
            } else {
                sys::now_ns()
            };
            // SAFETY: the header's page is mapped; both fields have this one writer.
            unsafe {
                (&raw mut (*header).end_ns).write_volatile(now);
                AtomicU32::from_ptr(&raw mut (*header).state).store(STATE_FINISHED, Release);
            }
        }
    }

    /// Bytes written so far; 0 without a recording.
    pub(crate) fn written(&self) -> usize {
        // SAFETY: the header's page is mapped as long as there are pieces.
        self.pieces().map_or(0, |pieces| unsafe {
            cursor_of(pieces.at(0)).load(Acquire) as usize
        })
    }

    /// Copies what was written, as far as there is room; how many bytes.
    pub(crate) fn copy_into(&self, room: &mut [u8]) -> usize {
        let len = self.written().min(room.len()) / 8 * 8;
        let mut rest = room.get_mut(..len).unwrap_or(&mut []);
        for (base, start, end) in self.pieces().iter().flat_map(|pieces| pieces.each()) {
            let here = rest.len().min((end - start) as usize);
            let (part, behind) = rest.split_at_mut(here);
            for (i, word) in part.chunks_exact_mut(8).enumerate() {
                // SAFETY: all bytes written are mapped and readable; words are copied one by one with
                // volatile reads, so that a count that changes meanwhile is seen before or after.
                let value = unsafe { base.cast::<u64>().add(i).read_volatile() };
                word.copy_from_slice(&value.to_le_bytes());
            }
            rest = behind;
        }
        len
    }

    /// What was written so far, in one piece and not as a copy, which would be most of what a report of
    /// a large one needs. Empty without a recording, `None` where there is no room for the mapping.
    ///
    /// # Safety
    /// While the slice lives, nothing in this process changes the recording. (What may come from outside is the
    /// control word, which no report looks at.)
    pub(crate) unsafe fn bytes(&self) -> Option<&[u8]> {
        let Some(pieces) = self.pieces() else {
            return Some(&[]);
        };
        let len = self.written();
        let whole = pieces.whole(len as u64)?;
        // SAFETY: all bytes written are mapped there, and nothing changes them, says the caller.
        Some(unsafe { core::slice::from_raw_parts(whole, len) })
    }

    /// A copy of what was written so far; empty without a recording.
    ///
    /// A copy, since other threads go on counting in the original.
    pub(crate) fn snapshot(&self) -> Vec<u8> {
        let mut copy = vec![0; self.written()];
        let len = self.copy_into(&mut copy);
        copy.truncate(len);
        copy
    }

    /// Adds a label for what comes next.
    pub(crate) fn add_phase(&self, label: &[u8]) -> Result<(), Full> {
        let label = label.get(..LONGEST_TEXT).unwrap_or(label);
        let header = self.header().ok_or(Full::NoMemory)?;
        // SAFETY: the header's page is mapped.
        let live = unsafe { (&raw const (*header).live_bytes).read_volatile() };
        let record = PhaseRecord {
            ns: sys::now_ns(),
            allocations: self.allocations(),
            live_bytes: u64::try_from(live).unwrap_or(0),
            len: label.len() as u32,
            reserved: 0,
        };
        // SAFETY: a phase record is 32 bytes without padding.
        let bytes = unsafe { &*(&raw const record).cast::<[u8; size_of::<PhaseRecord>()]>() };
        self.append(&self.phases, CHUNK_PHASES, &[bytes, label])
            .map(|_| ())
    }

    /// Allocations recorded so far, added up over all sites.
    fn allocations(&self) -> u64 {
        let end = self.written() as u64;
        let mut sum = 0_u64;
        for (base, start, piece_end) in self.pieces().iter().flat_map(|pieces| pieces.each()) {
            let first = if start == 0 { HEADER_LEN } else { 0 };
            let len = piece_end.min(end).saturating_sub(start);
            // SAFETY: a chunk lies in one piece, so what was written there is a number of chunks.
            sum = sum.wrapping_add(unsafe { allocations_in(base, first, len) });
        }
        sum
    }

    /// Lets the recording end after `capacity` bytes, as where its file is out of reach.
    #[cfg(test)]
    pub(crate) fn limit_for_tests(&self, capacity: u64) {
        self.capacity.store(capacity, Relaxed);
    }

    /// Path of the file, NUL-terminated; `None` when the recording is in memory only.
    pub(crate) fn path(&self) -> Option<&[u8]> {
        // SAFETY: written in `create` only, before `in_file`.
        self.in_file
            .load(Relaxed)
            .then(|| unsafe { &*self.path.get() }.as_slice())
    }
}

/// Memory of `capacity` bytes that stands in for a file, of which the start is mapped and the first page
/// is real.
fn map_memory(capacity: u64) -> Option<*mut u8> {
    if capacity < SMALLEST {
        return None;
    }
    let base = sys::map_anonymous_shared(capacity as usize).ok()?;
    let len = capacity.min(pieces::FIRST) as usize;
    // SAFETY: our own mapping, which nobody else has seen. What is unmapped can be mapped again.
    unsafe { sys::unmap(base.wrapping_add(len), capacity as usize - len) };
    sys::populate(base, HEADER_LEN as usize)
        .is_ok()
        .then_some(base)
}

/// The allocations that the sites in the chunks between `first` and `end`, counted from `base`, have.
///
/// # Safety
/// They are chunks, as far as they were begun, mapped in whole pages.
unsafe fn allocations_in(base: *mut u8, first: u64, end: u64) -> u64 {
    let (site, len) = if settings().live {
        (LIVE_SITES_START, LIVE_SITE_LEN)
    } else {
        (size_of::<ChunkHeader>(), size_of::<SiteRecord>())
    };
    let (mut sum, mut at) = (0_u64, first as usize);
    while at < end as usize {
        let chunk = base.wrapping_add(at);
        // SAFETY: the caller has a chunk or a page of zeros there; a chunk's header does not change
        // once its magic is there.
        let (magic, kind, pages, thread) = unsafe {
            let header: *mut ChunkHeader = chunk.cast();
            (
                AtomicU32::from_ptr(&raw mut (*header).magic).load(Acquire),
                (*header).kind,
                (*header).pages,
                (*header).thread,
            )
        };
        if magic != CHUNK_MAGIC || pages == 0 {
            at += PAGE as usize;
            continue;
        }
        let room = pages as usize * PAGE as usize;
        if kind == CHUNK_SITES {
            let len = if thread == ENDED_THREADS && !settings().live {
                ENDED_SITE_LEN
            } else {
                len
            };
            for record in (site..=room - len).step_by(len) {
                let count = chunk.wrapping_add(record + offset_of!(SiteRecord, count));
                // SAFETY: within the chunk; counts are aligned words.
                sum = sum.wrapping_add(unsafe { count.cast::<u64>().read_volatile() });
            }
        }
        at += room;
    }
    sum
}

/// As [`create_unique`] in the folder for temporary files, or in `/tmp` where the program's own
/// `TMPDIR` cannot be used.
pub(crate) fn create_in_tmp(
    path: &mut [u8],
    parts: &[&[u8]; 3],
    suffix: &[u8],
) -> Result<c_int, c_int> {
    let [a, b, c] = *parts;
    create_unique(path, &[settings().tmp.get(), a, b, c], suffix)
        .or_else(|error| create_unique(path, &[b"/tmp", a, b, c], suffix).map_err(|_| error))
}

/// Creates a file named `parts`, six random letters, `suffix`, for us alone; its path
/// (NUL-terminated) is left in `path`. Error: an error number.
pub(crate) fn create_unique(
    path: &mut [u8],
    parts: &[&[u8]],
    suffix: &[u8],
) -> Result<c_int, c_int> {
    const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    for _ in 0..100 {
        let mut random = sys::random();
        let letters: [u8; 6] = core::array::from_fn(|_| {
            let letter = LETTERS[(random % 62) as usize];
            random /= 62;
            letter
        });
        let letters: &[u8] = &letters;
        join(path, parts.iter().copied().chain([letters, suffix, b"\0"]))?;
        match sys::create_exclusively(path) {
            Err(libc::EEXIST) => {}
            result => return result,
        }
    }
    Err(libc::EEXIST)
}

/// Writes `parts`, of which the last is a NUL, into `path`.
pub(crate) fn join<'p>(
    path: &mut [u8],
    parts: impl Iterator<Item = &'p [u8]>,
) -> Result<(), c_int> {
    let mut len = 0;
    for part in parts {
        let room = path
            .get_mut(len..len + part.len())
            .ok_or(libc::ENAMETOOLONG)?;
        room.copy_from_slice(part);
        len += part.len();
    }
    Ok(())
}

/// `n` in decimal digits.
pub(crate) fn decimal(buffer: &mut [u8; 10], mut n: u32) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (n % 10) as u8;
        n /= 10;
        if n == 0 {
            return &buffer[at..];
        }
    }
}

const _: () = assert!(offset_of!(Header, cursor) % 8 == 0);

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;
