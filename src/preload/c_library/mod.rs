//! What differs between C libraries. Each has a file with the same functions; this one chooses.
//!
//! One library serves programs of glibc and of musl: symbols that only one of them defines are weak
//! here, and musl takes `libc.so.6` for itself.
//!
//! May run at any moment, before the constructor included.

mod glibc;
mod musl;

use crate::elf::{self, Debug, LinkMap};
use crate::stack::Bounds;
use crate::unwind::Found;
use core::ffi::{CStr, c_void};
use core::ops::Range;

#[cfg(not(test))]
pub(crate) use glibc::FindObject;
pub(crate) use musl::mapping_of;

/// The C library of the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CLibrary {
    /// The GNU C library.
    Glibc,
    /// musl.
    Musl,
}

/// The C library of the program, by what its loader has set.
#[inline]
pub(crate) fn kind() -> CLibrary {
    if glibc::debug().is_null() && !musl::debug().is_null() {
        CLibrary::Musl
    } else {
        CLibrary::Glibc
    }
}

macro_rules! choose {
    ($function:ident($($argument:expr),*)) => {
        match kind() {
            CLibrary::Glibc => glibc::$function($($argument),*),
            CLibrary::Musl => musl::$function($($argument),*),
        }
    };
}

/// What the loader keeps for debuggers; null while it keeps nothing.
pub(crate) fn debug() -> *const Debug {
    choose!(debug())
}

/// The C library's object: never the program itself, whatever that exports.
pub(crate) fn object() -> Option<&'static LinkMap> {
    choose!(object())
}

/// The name by which the C library has what this library asks for by glibc's name.
#[cfg_attr(test, allow(dead_code))]
pub(crate) fn name_of(name: &'static CStr) -> &'static CStr {
    choose!(name_of(name))
}

/// A function of this library that has to stand in for one of the C library; null where it has none.
#[cfg_attr(test, allow(dead_code))]
pub(crate) fn substitute(name: &CStr) -> *mut c_void {
    choose!(substitute(name))
}

/// The functions of the C library that call other interposed ones are replaced, so that each call of
/// the program counts once. After [`crate::real`] has found them.
pub(crate) fn replace_nested() {
    choose!(replace_nested());
}

/// An address at or above the place where the kernel left the argument count, in the same mapping; 0
/// where it is not known.
pub(crate) fn main_stack_end() -> usize {
    choose!(main_stack_end())
}

/// Bytes from the thread pointer on between which the descriptor may have the stack of a thread.
pub(crate) fn stack_places() -> Range<usize> {
    choose!(stack_places())
}

/// The stack that stands at this offset of the descriptor at `tp`, if `sp` is on it.
///
/// # Safety
/// The two words at `tp + offset` can be read.
pub(crate) unsafe fn stack_at(tp: usize, offset: usize, sp: usize) -> Option<Bounds> {
    // SAFETY: as the caller promises.
    unsafe { choose!(stack_at(tp, offset, sp)) }
}

/// What lies where the calling thread, which is not the main one and whose descriptor is at `tp`, may keep
/// the function that it started with.
pub(crate) fn start_functions(tp: usize) -> Option<[u64; 2]> {
    choose!(start_functions(tp))
}

/// Learns what [`find_object`] needs. Once, at start.
pub(crate) fn begin() {
    choose!(begin());
}

/// The object that contains an address. Takes no lock of the loader's where that can be avoided.
/// `with_unlisted`: also one that the loader has mapped and not listed yet; it holds its lock.
pub(crate) fn find_object(address: u64, with_unlisted: bool) -> Option<Found> {
    choose!(find_object(address, with_unlisted))
}

/// Bytes of code that [`is_root`] looks at.
pub(crate) const ROOT_LEN: usize = 8;

/// Returns whether the code at a return address that no unwind information covers is where the C library goes on
/// after the first function of a program or a thread.
pub(crate) fn is_root(address: u64, code: &[u8; ROOT_LEN]) -> bool {
    choose!(is_root(address, code))
}

/// Has `f` called as the last exit handler that can be had, after `exit` and a return from main.
/// Once, at start.
pub(crate) fn at_exit(f: unsafe extern "C" fn(*mut c_void)) {
    choose!(at_exit(f));
}

/// Has `f` called as the last handler of `quick_exit`. Once, at start.
pub(crate) fn at_quick_exit(f: unsafe extern "C" fn(*mut c_void)) {
    choose!(at_quick_exit(f));
}

/// An address in the program's file, also where the loader was started with the program as its argument; 0
/// where it is not known.
pub(crate) fn place_in_program() -> u64 {
    choose!(place_in_program())
}

/// Whose malloc serves the program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Malloc {
    /// glibc's.
    Glibc,
    /// musl's, of whatever design.
    Musl,
    /// Another one.
    Foreign,
}

/// Whose malloc is at this address.
pub(crate) fn owner_of_malloc(address: usize) -> Malloc {
    let is_libcs =
        object().is_some_and(|libc| elf::definition_in(libc, c"malloc") as usize == address);
    match kind() {
        _ if !is_libcs => Malloc::Foreign,
        CLibrary::Glibc => Malloc::Glibc,
        CLibrary::Musl => Malloc::Musl,
    }
}
