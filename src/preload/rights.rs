//! Functions by which a process gives up rights, or its view of the files, interposed. After them a
//! process may not be able to make a recording where the tool looks for it, so that a child of fork
//! that has none yet begins it before. The calls themselves are those of the C library, with all their
//! arguments.
//!
//! May run at any moment. What is called for that many threads can have no effect of ours in between:
//! only a process without a recording, which is a child of fork, does anything.

use crate::{elf, lifecycle, real, sys};
use core::ffi::{CStr, c_void};
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

/// An interposed function. The address of the next definition stands first: the entry jumps to it.
#[repr(C)]
pub(crate) struct Function {
    next: AtomicPtr<c_void>,
    name: &'static CStr,
}

impl Function {
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            name,
        }
    }
}

/// Runs before the function. Finds its next definition the first time: few programs call these.
pub(crate) extern "C" fn before(function: &Function) {
    let errno = sys::errno();
    if function.next.load(Relaxed).is_null() {
        let found = elf::next_definition(function.name);
        let found = match found.is_null() {
            true => real::not_supported as *mut c_void,
            false => found,
        };
        function.next.store(found, Relaxed);
    }
    lifecycle::begin_in_child();
    sys::set_errno(errno);
}

/// Runs before a system call that [`crate::arch::syscall`] has found to be one of this kind.
pub(crate) extern "C" fn before_syscall() {
    let errno = sys::errno();
    lifecycle::begin_in_child();
    sys::set_errno(errno);
}

crate::arch::announced! {
    /// `setuid` of POSIX.
    setuid, c"setuid";
    /// `setgid` of POSIX.
    setgid, c"setgid";
    /// `seteuid` of POSIX.
    seteuid, c"seteuid";
    /// `setegid` of POSIX.
    setegid, c"setegid";
    /// `setreuid` of POSIX.
    setreuid, c"setreuid";
    /// `setregid` of POSIX.
    setregid, c"setregid";
    /// `setresuid` of Linux.
    setresuid, c"setresuid";
    /// `setresgid` of Linux.
    setresgid, c"setresgid";
    /// `setfsuid` of Linux.
    setfsuid, c"setfsuid";
    /// `setfsgid` of Linux.
    setfsgid, c"setfsgid";
    /// `setgroups` of BSD.
    setgroups, c"setgroups";
    /// `chroot` of BSD.
    chroot, c"chroot";
    /// `unshare` of Linux.
    unshare, c"unshare";
    /// `setns` of Linux.
    setns, c"setns";
    /// `mount` of Linux.
    mount, c"mount";
    /// `umount2` of Linux.
    umount2, c"umount2";
}

/// System calls of this kind among those from [`FIRST_NUMBER`] on: bit N is for the Nth.
pub(crate) const NUMBERS: u64 = bits(&[
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setgroups,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_capset,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_mount,
    libc::SYS_umount2,
]);
/// The lowest number of [`NUMBERS`].
pub(crate) const FIRST_NUMBER: i64 = libc::SYS_setuid;

const fn bits(numbers: &[i64]) -> u64 {
    let (mut bits, mut i) = (0, 0);
    while i < numbers.len() {
        let bit = numbers[i] - FIRST_NUMBER;
        assert!(bit >= 0 && bit < 64);
        bits |= 1 << bit;
        i += 1;
    }
    bits
}
