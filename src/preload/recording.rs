//! Writes the recording: the only code that touches its mapping, but for the counts of the sites.
//!
//! The file is made once, with its full length as a hole, mapped, and closed: no descriptor stays
//! behind that the program could close or use again. Room is taken by asking the kernel to have
//! the pages (`MADV_POPULATE_WRITE`), which reports a full disk as an error and never as SIGBUS,
//! and works after chroot or with fewer privileges too.
//!
//! Runs in cold sections only: errno is restored and signals are blocked by the caller.

use crate::heap::SpinLock;
use crate::live::Sums;
use crate::record::PAGE;
use crate::record::layout::*;
use crate::record::loss::Loss;
use crate::settings::{PATH_LEN, settings};
use crate::{confined, control, reach, sys};
use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU32, AtomicU64, Ordering::*};

/// Length of the file, as a hole: room for 30 million sites.
pub(crate) const CAPACITY: u64 = 1 << 30;
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

/// The mapping of the recording that this memory image has, for a child of fork, which inherits it
/// and finds everything else that was known about it wiped.
static INHERITED: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());
static INHERITED_LEN: AtomicU64 = AtomicU64::new(0);

/// Gives up the recording of the parent, in a child of fork. No more than what was written stays in
/// the address space, as zeros: in a child that was forked in a signal handler, the allocation which
/// that had interrupted may be about to be counted, and is one of the parent's.
pub(crate) fn give_up_parents() {
    let base = INHERITED.swap(ptr::null_mut(), AcqRel);
    if base.is_null() {
        return;
    }
    control::give_up_parents();
    let len = INHERITED_LEN.load(Relaxed);
    // SAFETY: the mapping was the parent's recording; its header's page is always mapped, and nobody
    // else uses the mapping in this process, but as said above.
    unsafe {
        let cursor = AtomicU64::from_ptr((&raw mut (*base.cast::<Header>()).cursor).cast());
        let used = cursor.load(Acquire).min(len);
        sys::map_zeros_over(base, used as usize);
        sys::unmap(base.wrapping_add(used as usize), (len - used) as usize);
    }
}

/// Where the next record of a kind goes.
struct Appender {
    chunk: *mut u8,
    used: usize,
    len: usize,
    pages: u32,
}

/// A recording being written. All zeros is one that was not created.
#[repr(C)]
pub(crate) struct Recording {
    base: AtomicPtr<u8>,
    capacity: AtomicU64,
    /// No more room is to be had; saves the system calls that would find out again.
    full: AtomicBool,
    in_file: AtomicBool,
    lock: SpinLock,
    frames: UnsafeCell<Appender>,
    modules: UnsafeCell<Appender>,
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
#[derive(Debug, Clone, Copy)]
pub(crate) struct Full;

impl Recording {
    /// Makes the file, or private memory where no file can be had, and writes the header.
    pub(crate) fn create(&self, forked: bool) {
        // A child goes on as its parent was at the time.
        let stopped = if forked {
            control::is_stopped()
        } else {
            settings().stopped
        };
        let limit = sys::soft_limit(libc::RLIMIT_FSIZE)
            .min(sys::soft_limit(libc::RLIMIT_AS) / 16)
            .min(CAPACITY)
            / PAGE
            * PAGE;
        let mut capacity = limit;
        while capacity >= SMALLEST {
            if let Some(base) = self.map_file(capacity) {
                self.in_file.store(true, Relaxed);
                self.base.store(base, Release);
                break;
            }
            capacity /= 16;
        }
        if self.base.load(Relaxed).is_null() {
            // Nothing survives a kill now, but the report at exit can still be written.
            reach::say_unreachable();
            capacity = (sys::soft_limit(libc::RLIMIT_AS) / 16).min(CAPACITY / 4) / PAGE * PAGE;
            let base = sys::map_private(capacity as usize);
            if base.is_null() {
                self.full.store(true, Relaxed);
                return;
            }
            self.base.store(base, Release);
        }
        self.capacity.store(capacity, Relaxed);
        self.write_header(forked);
        let control = if stopped { STOPPED } else { 0 };
        self.set_control(control);
        if stopped {
            self.count(STOPS, 1);
        }
        control::set(control);
        INHERITED_LEN.store(capacity, Relaxed);
        INHERITED.store(self.base.load(Relaxed), Release);
    }

    /// Creates and maps a file of `capacity` bytes, of which the first page is real.
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
        // SAFETY: `fd` is ours; a fresh shared mapping of it disturbs nothing.
        let base = unsafe {
            if libc::ftruncate(fd, capacity as libc::off_t) != 0 {
                libc::MAP_FAILED
            } else {
                libc::mmap(
                    ptr::null_mut(),
                    capacity as usize,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_SHARED | libc::MAP_NORESERVE,
                    fd,
                    0,
                )
            }
        };
        if base == libc::MAP_FAILED {
            sys::close(fd);
            sys::unlink(path);
            return None;
        }
        // Without this the first touch of the hole reads two megabytes of zeros ahead, which takes
        // two milliseconds on ext4.
        // SAFETY: advice about our own mapping.
        unsafe {
            libc::madvise(base, capacity as usize, libc::MADV_RANDOM);
        }
        let populated = sys::populate(base.cast(), HEADER_LEN as usize);
        if populated.is_ok() {
            control::share(fd);
            reach::drop_anchor(fd);
        }
        sys::close(fd);
        if populated.is_err() {
            // SAFETY: our own mapping, which nobody else has seen.
            unsafe {
                libc::munmap(base, capacity as usize);
            }
            sys::unlink(path);
            return None;
        }
        Some(base.cast())
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

    /// Takes a chunk of `pages` for `kind`; the address behind the chunk's header and the bytes
    /// there.
    pub(crate) fn chunk(&self, kind: u32, pages: u32) -> Result<(*mut u8, usize), Full> {
        let base = self.base.load(Acquire);
        if base.is_null() || self.full.load(Relaxed) {
            return Err(Full);
        }
        let len = u64::from(pages) * PAGE;
        // SAFETY: the header's page is mapped; `cursor` is only used atomically while we run.
        let cursor =
            unsafe { AtomicU64::from_ptr((&raw mut (*base.cast::<Header>()).cursor).cast()) };
        let at = cursor.fetch_add(len, AcqRel);
        let start = base.wrapping_add(at as usize);
        let fits = at + len <= self.capacity.load(Relaxed);
        if !fits || sys::populate(start, len as usize).is_err() {
            self.full.store(true, Relaxed);
            // On a file system in memory, to read the hole would ask for memory too: it is not looked at.
            self.capacity.fetch_min(at, AcqRel);
            return Err(Full);
        }
        // SAFETY: the chunk's pages were just made ours alone and writable.
        unsafe {
            let header: *mut ChunkHeader = start.cast();
            (*header).kind = kind;
            (*header).pages = pages;
            AtomicU32::from_ptr(&raw mut (*header).magic).store(CHUNK_MAGIC, Release);
            Ok((
                start.add(size_of::<ChunkHeader>()),
                len as usize - size_of::<ChunkHeader>(),
            ))
        }
    }

    /// Takes a chunk for the sites that a thread counts. As [`Self::chunk`].
    pub(crate) fn sites_chunk(&self, pages: u32, thread: u32) -> Result<(*mut u8, usize), Full> {
        let (chunk, len) = self.chunk(CHUNK_SITES, pages)?;
        // SAFETY: the chunk was just made ours; its header lies in front.
        unsafe {
            let header: *mut ChunkHeader = chunk.sub(size_of::<ChunkHeader>()).cast();
            (&raw mut (*header).thread).write_volatile(thread);
        }
        Ok((chunk, len))
    }

    /// Appends a record of `parts`, padded to 16 bytes, and returns its id.
    fn append(
        &self,
        appender: &UnsafeCell<Appender>,
        kind: u32,
        parts: &[&[u8]],
    ) -> Result<u32, Full> {
        let len = parts
            .iter()
            .map(|part| part.len())
            .sum::<usize>()
            .next_multiple_of(16);
        let _guard = self.lock.lock();
        // SAFETY: the lock makes this the only reference; the records go behind what was used so
        // far and within the chunk, which `chunk` made writable and ours.
        unsafe {
            let a = &mut *appender.get();
            if a.len - a.used < len {
                let least = (len + size_of::<ChunkHeader>()).div_ceil(PAGE as usize) as u32;
                let pages = (a.pages * 2).clamp(FIRST_CHUNK, LARGEST_CHUNK).max(least);
                let (chunk, room) = self.chunk(kind, pages)?;
                *a = Appender {
                    chunk,
                    used: 0,
                    len: room,
                    pages,
                };
            }
            let record = a.chunk.add(a.used);
            let mut at = record;
            for part in parts {
                ptr::copy_nonoverlapping(part.as_ptr(), at, part.len());
                at = at.add(part.len());
            }
            a.used += len;
            let header: *mut ChunkHeader = a.chunk.sub(size_of::<ChunkHeader>()).cast();
            AtomicU32::from_ptr(&raw mut (*header).used).store(a.used as u32, Release);
            Ok((record.offset_from(self.base.load(Relaxed)) / 16) as u32)
        }
    }

    /// Adds a frame and returns its id.
    pub(crate) fn add_frame(&self, frame: FrameRecord) -> Result<u32, Full> {
        // SAFETY: a frame record is sixteen bytes without padding.
        let bytes = unsafe { &*(&raw const frame).cast::<[u8; size_of::<FrameRecord>()]>() };
        self.append(&self.frames, CHUNK_FRAMES, &[bytes])
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
    }

    /// Adds a thread; the record, whose other fields are the thread's to write, or null when there is
    /// no room.
    pub(crate) fn add_thread(&self, number: u32) -> *mut ThreadRecord {
        let record = ThreadRecord {
            number,
            tid: 0,
            uses: 0,
            name: [0; 16],
        };
        // SAFETY: a thread's record is 32 bytes without padding.
        let bytes = unsafe { &*(&raw const record).cast::<[u8; size_of::<ThreadRecord>()]>() };
        self.append(&self.threads, CHUNK_THREADS, &[bytes])
            .map_or(ptr::null_mut(), |id| {
                self.base().wrapping_add(id as usize * 16).cast()
            })
    }

    /// Adds the unreachable blocks by site (offset of its record), and says that they were looked for.
    pub(crate) fn add_leaks(&self, leaks: impl Iterator<Item = (u64, u64)>) {
        for (site, blocks) in leaks {
            let record = LeakRecord { site, blocks };
            // SAFETY: a leak's record is sixteen bytes without padding.
            let bytes = unsafe { &*(&raw const record).cast::<[u8; size_of::<LeakRecord>()]>() };
            if self.append(&self.leaks, CHUNK_LEAKS, &[bytes]).is_err() {
                self.lose(Loss::RecordingFull, 1);
                return;
            }
        }
        if let Some(header) = self.header() {
            // SAFETY: the header's page is mapped; the field is written here and in `create` only.
            unsafe {
                AtomicU32::from_ptr(&raw mut (*header).flags).fetch_or(LEAK_CHECKED, Release)
            };
        }
    }

    /// Is every live block followed, as far as is known?
    pub(crate) fn follows_all(&self) -> bool {
        self.header().is_some_and(|header| {
            // SAFETY: the header's page is mapped; counters are read whole.
            unsafe {
                // Also counts how often it was stopped.
                let losses = (&raw const (*header).losses).read_volatile();
                (*header).forked == 0 && losses == [0; LOSS_SLOTS]
            }
        })
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

    /// Writes the live bytes into the header.
    pub(crate) fn set_live_bytes(&self, bytes: i64) {
        if let Some(header) = self.header() {
            // SAFETY: as above.
            unsafe { AtomicI64::from_ptr(&raw mut (*header).live_bytes).store(bytes, Relaxed) };
        }
    }

    /// Writes what all threads have counted of the live heap.
    pub(crate) fn set_live_sums(&self, sums: &Sums) {
        self.set_live_bytes(sums.bytes);
        if let Some(header) = self.header() {
            // SAFETY: as above.
            unsafe {
                AtomicI64::from_ptr(&raw mut (*header).live_blocks).store(sums.blocks, Relaxed);
                AtomicU64::from_ptr(&raw mut (*header).unknown_frees)
                    .store(sums.unknown_frees, Relaxed);
            }
        }
    }

    /// Adds a line for the summary.
    pub(crate) fn add_note(&self, text: &[u8]) -> Result<(), Full> {
        self.add_text(&self.notes, CHUNK_NOTES, 0, 0, text)
    }

    /// Adds a function that is hooked by name.
    pub(crate) fn add_function(&self, index: u16, all: bool, name: &[u8]) -> Result<(), Full> {
        let flags = if all { FUNCTION_ALL } else { 0 };
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

    /// The address of a place in the recording.
    pub(crate) fn at(&self, offset: u64) -> *mut u8 {
        self.base.load(Acquire).wrapping_add(offset as usize)
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
        let Some(header) = self.header() else {
            return 0;
        };
        // SAFETY: the header's page is mapped.
        let cursor = unsafe { (&raw const (*header).cursor).read_volatile() };
        cursor.min(self.capacity.load(Relaxed)) as usize
    }

    /// Copies what was written, as far as there is room; how many bytes.
    pub(crate) fn copy_into(&self, room: &mut [u8]) -> usize {
        let words: *const u64 = self.base.load(Acquire).cast();
        let len = self.written().min(room.len()) / 8 * 8;
        for (i, word) in room.chunks_exact_mut(8).take(len / 8).enumerate() {
            // SAFETY: all bytes written are mapped and readable; words are copied one by one with volatile reads, so
            // that a count that changes meanwhile is seen before or after.
            let value = unsafe { words.add(i).read_volatile() };
            word.copy_from_slice(&value.to_le_bytes());
        }
        len
    }

    /// What was written so far, in place: of a large one a copy would be most of what a report needs. Empty without a
    /// recording.
    ///
    /// # Safety
    /// While the slice lives, nothing in this process changes the recording. (What may come from outside is the
    /// control word, which no report looks at.)
    pub(crate) unsafe fn bytes(&self) -> &[u8] {
        let base = self.base.load(Acquire);
        if base.is_null() {
            return &[];
        }
        // SAFETY: all bytes written are mapped, and as the caller promises.
        unsafe { core::slice::from_raw_parts(base, self.written()) }
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
        let header = self.header().ok_or(Full)?;
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
        let base = self.base.load(Acquire);
        let end = self.written();
        let (first, len) = if settings().live {
            (LIVE_SITES_START, LIVE_SITE_LEN)
        } else {
            (size_of::<ChunkHeader>(), size_of::<SiteRecord>())
        };
        let (mut sum, mut at) = (0_u64, HEADER_LEN as usize);
        while at < end {
            let chunk = base.wrapping_add(at);
            // SAFETY: what was written is mapped, in whole pages; a chunk's header does not change
            // once its magic is there.
            let (magic, kind, pages) = unsafe {
                let header: *mut ChunkHeader = chunk.cast();
                (
                    AtomicU32::from_ptr(&raw mut (*header).magic).load(Acquire),
                    (*header).kind,
                    (*header).pages,
                )
            };
            if magic != CHUNK_MAGIC || pages == 0 {
                at += PAGE as usize;
                continue;
            }
            let room = pages as usize * PAGE as usize;
            if kind == CHUNK_SITES {
                for record in (first..=room - len).step_by(len) {
                    let count = chunk.wrapping_add(record + offset_of!(SiteRecord, count));
                    // SAFETY: within the chunk; counts are aligned words.
                    sum = sum.wrapping_add(unsafe { count.cast::<u64>().read_volatile() });
                }
            }
            at += room;
        }
        sum
    }

    /// Lets the recording end after `capacity` bytes, as a full disk would.
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
