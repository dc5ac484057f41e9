//! The GNU C library.

use crate::arch::GLIBC_STACK_PLACES;
use crate::elf::{self, Debug, LinkMap};
use crate::stack::{self, Bounds};
use crate::unwind::{self, Found};
use core::ffi::{CStr, c_int, c_void};
use core::ops::Range;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// What the loader keeps for debuggers (`<link.h>`).
#[inline]
pub(super) fn debug() -> *const Debug {
    #[cfg(not(test))]
    let address = crate::arch::weak!("_r_debug");
    // In a program, the linker may resolve a weak symbol to nothing.
    #[cfg(test)]
    let address = {
        unsafe extern "C" {
            static _r_debug: Debug;
        }
        &raw const _r_debug as usize
    };
    address as *const Debug
}

/// The first object behind the program that has the function that tells glibc's version.
pub(super) fn object() -> Option<&'static LinkMap> {
    elf::objects()
        .skip(1)
        .find(|map| elf::exports(map, c"gnu_get_libc_version"))
}

#[cfg_attr(test, allow(dead_code))]
pub(super) fn name_of(name: &'static CStr) -> &'static CStr {
    name
}

/// Nothing has to stand in for glibc's functions.
#[cfg_attr(test, allow(dead_code))]
pub(super) fn substitute(_: &CStr) -> *mut c_void {
    ptr::null_mut()
}

/// glibc's functions call each other by internal names.
pub(super) fn replace_nested() {}

/// Where the kernel left the argument count, which the loader exports.
pub(super) fn main_stack_end() -> usize {
    #[cfg(not(test))]
    let address = crate::arch::weak!("__libc_stack_end") as *const usize;
    #[cfg(test)]
    let address = {
        unsafe extern "C" {
            static __libc_stack_end: usize;
        }
        &raw const __libc_stack_end
    };
    // SAFETY: null, or the loader's variable, which it sets before any library runs.
    unsafe { address.as_ref() }.copied().unwrap_or(0)
}

pub(super) fn stack_places() -> Range<usize> {
    GLIBC_STACK_PLACES
}

/// glibc puts the thread descriptor at the top of the stack that it made, or that the program gave,
/// and keeps that stack's address and size in it, at an offset that differs between versions (0x690
/// in 2.36). The pair is told by what it must satisfy: it encloses both sp and the descriptor and
/// ends just behind the latter.
///
/// # Safety
/// The two words at `tp + offset` can be read.
pub(super) unsafe fn stack_at(tp: usize, offset: usize, sp: usize) -> Option<Bounds> {
    /// The descriptor and static TLS of the initial libraries lie between the stack's end and tp.
    const FARTHEST_END: usize = 1 << 16;
    // SAFETY: as the caller promises.
    let (start, size) = unsafe {
        let word = tp.wrapping_add(offset) as *const usize;
        (*word, *word.add(1))
    };
    let end = start.checked_add(size)?;
    (start <= sp
        && sp < tp
        && start.is_multiple_of(4096)
        && size < 1 << 40
        && end > tp
        && end - tp <= FARTHEST_END)
        .then_some(Bounds { lo: start, hi: tp })
}

/// How far in front of the stack's start glibc's thread descriptor may have the function that the
/// thread started with (`start_routine` of `struct pthread`): in all versions so far the same fields
/// lie in between, with eight bytes to align one of them (0x58 in 2.36) or none. In the latter case
/// the first place has numbers.
const START_BEFORE_STACK: [usize; 2] = [0x58, 0x50];

/// What lies where the calling thread, which is not the main one, may keep the function that it
/// started with.
pub(super) fn start_functions(tp: usize) -> Option<[u64; 2]> {
    // The descriptor lies at the top of the stack.
    let stack = tp.wrapping_add(stack::place_in_descriptor(tp, tp - 1)?);
    // SAFETY: within the thread's own descriptor, which starts 0x100 bytes or more in front of where it
    // keeps its stack.
    Some(START_BEFORE_STACK.map(|before| unsafe { *((stack - before) as *const u64) }))
}

/// glibc's `struct dl_find_object` (`<dlfcn.h>`).
#[repr(C)]
pub(crate) struct FindObject {
    pub(crate) flags: u64,
    pub(crate) map_start: u64,
    pub(crate) map_end: u64,
    pub(crate) link_map: *const LinkMap,
    pub(crate) eh_frame: u64,
    pub(crate) reserved: [u64; 7],
}

/// What [`FIND_OBJECT`] holds until it is looked up, and where there is no such function.
const NOT_LOOKED_UP: *mut c_void = ptr::null_mut();
const MISSING: *mut c_void = ptr::without_provenance_mut(1);

/// `_dl_find_object`, which takes no lock. glibc has it since 2.35.
static FIND_OBJECT: AtomicPtr<c_void> = AtomicPtr::new(NOT_LOOKED_UP);

/// Nothing has to be known of the objects.
pub(super) fn begin() {}

/// By `_dl_find_object`, or else under the loader's lock.
pub(super) fn find_object(address: u64, with_unlisted: bool) -> Option<Found> {
    let mut function = FIND_OBJECT.load(Relaxed);
    if function == NOT_LOOKED_UP {
        function = elf::definition_in_libc(c"_dl_find_object");
        if function.is_null() {
            function = MISSING;
        }
        FIND_OBJECT.store(function, Relaxed);
    }
    if function == MISSING {
        return unwind::find_by_iteration(address);
    }
    let mut result = FindObject {
        flags: 0,
        map_start: 0,
        map_end: 0,
        link_map: ptr::null(),
        eh_frame: 0,
        reserved: [0; 7],
    };
    // SAFETY: the function has this signature since glibc 2.35; a link map that it returns is valid
    // while code of the object runs, and `address` is such code.
    unsafe {
        let f: unsafe extern "C" fn(u64, *mut FindObject) -> c_int = core::mem::transmute(function);
        if f(address, &raw mut result) != 0 {
            return with_unlisted
                .then(|| unwind::find_by_iteration(address))
                .flatten();
        }
        let map = result.link_map.as_ref()?;
        Some(Found {
            start: result.map_start,
            end: result.map_end,
            eh_frame_hdr: result.eh_frame,
            name: map.l_name as u64,
            bias: map.l_addr as u64,
        })
    }
}

unsafe extern "C" {
    fn __cxa_atexit(
        f: unsafe extern "C" fn(*mut c_void),
        arg: *mut c_void,
        object: *mut c_void,
    ) -> c_int;
    fn __cxa_at_quick_exit(f: unsafe extern "C" fn(*mut c_void), object: *mut c_void) -> c_int;
}

/// Without an object's handle a function registered by the first constructor is the last to run, after
/// all destructors of all objects.
pub(super) fn at_exit(f: unsafe extern "C" fn(*mut c_void)) {
    // SAFETY: only registers a function, which stays mapped: the library is never unloaded.
    unsafe { __cxa_atexit(f, ptr::null_mut(), ptr::null_mut()) };
}

pub(super) fn at_quick_exit(f: unsafe extern "C" fn(*mut c_void)) {
    // SAFETY: only registers a function, which stays mapped: the library is never unloaded.
    unsafe { __cxa_at_quick_exit(f, ptr::null_mut()) };
}

/// The program's entry: a loader that was started by itself gives that of the program that it loads.
pub(super) fn place_in_program() -> u64 {
    // SAFETY: asks for a number.
    unsafe { libc::getauxval(libc::AT_ENTRY) }
}

/// glibc's own code has unwind information, to its roots.
pub(super) fn is_root(_: u64, _: &[u8; super::ROOT_LEN]) -> bool {
    false
}
