//! Where the recording lies in memory: its file is mapped piece by piece as it grows, so that the
//! address space that it takes follows what was written.
//!
//! A piece is a mapping of a part of the file; together they are the file from its start on, without
//! gaps. The next one begins where the last chunk ends, and the kernel makes it as a second mapping of
//! what is mapped already (`mremap` with an old length of 0), for which it needs neither a descriptor
//! nor a path. What is written never moves, so records are referred to by their addresses.
//!
//! Lies in memory of its own that a child of fork inherits: the child has to give the pieces up.
//!
//! The recording's lock is held where anything changes; the rest may run at the same time. Cold
//! sections.

use crate::sys;
use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering::*};
use skipheap_format::PAGE;

/// Bytes of the first piece: what most programs need.
pub(crate) const FIRST: u64 = 2 << 20;
/// What part of the recording's length the next piece has, at least [`LEAST`] and at most [`MOST`].
const SHARE: u64 = 8;
const LEAST: u64 = 1 << 20;
const MOST: u64 = 64 << 20;
/// Most pieces: with those of usual lengths, tens of gigabytes.
const PIECES: usize = 1023;

/// A part of the file in memory, up to where the next one begins.
#[repr(C)]
struct Piece {
    base: AtomicPtr<u8>,
    /// Its place in the file.
    start: AtomicU64,
}

/// All pieces. All zeros is none.
#[repr(C)]
pub(crate) struct Pieces {
    count: AtomicUsize,
    /// Where the last one ends, in the file.
    end: AtomicU64,
    list: [Piece; PIECES],
}

impl Pieces {
    /// The pieces of a recording whose first `len` bytes are mapped at `base`; null when there is no
    /// memory for that.
    pub(crate) fn make(base: *mut u8, len: u64) -> *const Self {
        let fresh: *const Self = sys::map_private(size_of::<Self>()).cast();
        // SAFETY: null, or a fresh mapping of zeros of that size.
        if let Some(pieces) = unsafe { fresh.as_ref() } {
            pieces.add(base, 0, len);
        }
        fresh
    }

    fn add(&self, base: *mut u8, start: u64, end: u64) {
        let count = self.count.load(Relaxed);
        if let Some(piece) = self.list.get(count) {
            piece.base.store(base, Relaxed);
            piece.start.store(start, Relaxed);
            self.end.store(end, Relaxed);
            self.count.store(count + 1, Release);
        }
    }

    /// Each piece: where it lies in memory, and from where to where in the file.
    pub(crate) fn each(&self) -> impl Iterator<Item = (*mut u8, u64, u64)> + '_ {
        let count = self.count.load(Acquire);
        let pieces = self.list.get(..count).unwrap_or(&[]);
        pieces.iter().enumerate().map(move |(i, piece)| {
            let next = pieces.get(i + 1).map(|next| next.start.load(Relaxed));
            let end = next.unwrap_or_else(|| self.end.load(Relaxed));
            (piece.base.load(Relaxed), piece.start.load(Relaxed), end)
        })
    }

    /// The address of a place in the file, which was handed out to a chunk.
    pub(crate) fn at(&self, offset: u64) -> *mut u8 {
        let count = self.count.load(Acquire);
        let pieces = self.list.get(..count).unwrap_or(&[]);
        let after = pieces.partition_point(|piece| piece.start.load(Relaxed) <= offset);
        pieces
            .get(after.wrapping_sub(1))
            .map_or(ptr::null_mut(), |piece| {
                let within = offset - piece.start.load(Relaxed);
                piece.base.load(Relaxed).wrapping_add(within as usize)
            })
    }

    /// The place in the file of an address in one of the pieces.
    pub(crate) fn offset_of(&self, address: *const u8) -> Option<u64> {
        self.each().find_map(|(base, start, end)| {
            let within = (address as u64).wrapping_sub(base as u64);
            (within < end - start).then(|| start + within)
        })
    }

    /// Returns whether the file is in memory up to `end`.
    pub(crate) fn reach(&self, end: u64) -> bool {
        end <= self.end.load(Relaxed)
    }

    /// Maps the next piece, from `cursor` on, for at least `len` bytes, but not beyond `limit`; more
    /// where there is room for more. `open` opens the file, where the kernel does not map it without.
    /// Error: an error number.
    pub(crate) fn grow(
        &self,
        cursor: u64,
        len: u64,
        limit: u64,
        open: impl Fn() -> Option<c_int>,
    ) -> Result<(), c_int> {
        let count = self.count.load(Relaxed);
        if count == PIECES {
            return Err(libc::ENOMEM);
        }
        let usual = (cursor / SHARE).clamp(LEAST, MOST) / PAGE * PAGE;
        let usual = usual.max(len).min(limit - cursor);
        let (base, len) = self.map(cursor, usual, &open).or_else(|error| {
            // A limit that the program has set itself.
            if usual > len {
                self.map(cursor, len, &open)
            } else {
                Err(error)
            }
        })?;
        // What the last piece has beyond the cursor was handed out to nobody.
        let (unused, end) = (self.at(cursor), self.end.load(Relaxed));
        if end > cursor {
            // SAFETY: as said.
            unsafe { sys::unmap(unused, (end - cursor) as usize) };
        }
        self.add(base, cursor, cursor + len);
        Ok(())
    }

    /// Maps `len` bytes of the file from `cursor` on; their address and length.
    fn map(
        &self,
        cursor: u64,
        len: u64,
        open: impl Fn() -> Option<c_int>,
    ) -> Result<(*mut u8, u64), c_int> {
        // There is always a page in front, of the last chunk or the header.
        let page = self.at(cursor - PAGE);
        // SAFETY: the page is one of a shared mapping.
        let base = match unsafe { sys::map_again(page, (PAGE + len) as usize) } {
            Ok(doubled) => {
                // SAFETY: the second mapping of that page, which nobody uses.
                unsafe { sys::unmap(doubled, PAGE as usize) };
                doubled.wrapping_add(PAGE as usize)
            }
            Err(error @ (libc::ENOMEM | libc::EAGAIN)) => return Err(error),
            // Valgrind refuses the call.
            Err(error) => {
                let fd = open().ok_or(error)?;
                let mapped = sys::map_file(fd, cursor, len as usize);
                sys::close(fd);
                mapped?
            }
        };
        sys::expect_random_reads(base, len as usize);
        Ok((base, len))
    }

    /// Has zeros of this process alone in the place of what was written, which are `used` bytes of the
    /// file, and unmaps the rest, in a child of fork. The list stays for what a signal handler that
    /// forked has interrupted: it leads to these zeros.
    ///
    /// # Safety
    /// The pieces are the parent's, and nobody asks for them any more.
    pub(crate) unsafe fn give_up(this: *const Self, used: u64) {
        // SAFETY: the caller has it from `make`; what is unmapped was handed out to nobody.
        unsafe {
            for (base, start, end) in (*this).each() {
                let used = used.clamp(start, end) - start;
                let unused = base.wrapping_add(used as usize);
                sys::map_zeros_over(base, used as usize);
                sys::unmap(unused, (end - start - used) as usize);
            }
        }
    }

    /// The first `len` bytes of the file in one piece, as long as the process lives; `None` when there
    /// is no room for that.
    pub(crate) fn whole(&self, len: u64) -> Option<*const u8> {
        let first = self.at(0);
        if self.count.load(Acquire) == 1 {
            return Some(first);
        }
        // SAFETY: the header's page, of a shared mapping.
        unsafe { sys::map_again(first, len as usize) }
            .ok()
            .map(|whole| whole.cast_const())
    }
}

const _: () = assert!(size_of::<Pieces>() == 4 * PAGE as usize);
