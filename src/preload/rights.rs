//! Functions by which a process gives up rights, or its view of the files, interposed. After them a
//! process may not be able to make a recording where the tool looks for it, so that a child of fork
//! that has none yet begins it before. The calls themselves are those of the C library, with all their
//! arguments.
//!
//! May run at any moment. What is called for that many threads can have no effect of ours in between:
//! only a process without a recording, which is a child of fork, does anything.

use crate::{confined, elf, lifecycle, reach, real, sys};
use core::ffi::{CStr, c_int, c_void};
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

impl Function {
    /// Finds the next definition the first time: few programs call these.
    fn look_up(&self) {
        if self.next.load(Relaxed).is_null() {
            let found = elf::next_definition(self.name);
            let found = match found.is_null() {
                true => real::not_supported as *mut c_void,
                false => found,
            };
            self.next.store(found, Relaxed);
        }
    }
}

/// Runs before the function.
pub(crate) extern "C" fn before(function: &Function) {
    let errno = sys::errno();
    function.look_up();
    lifecycle::begin_in_child();
    sys::set_errno(errno);
}

/// `daemon` of BSD. Its caller ends inside of the C library, where nothing of ours runs, so that the daemon, its child,
/// notes that end.
///
/// # Safety
/// As the C function.
#[cfg_attr(not(test), unsafe(no_mangle))]
#[cfg_attr(test, allow(dead_code))]
pub(crate) unsafe extern "C" fn daemon(nochdir: c_int, noclose: c_int) -> c_int {
    static FUNCTION: Function = Function::new(c"daemon");
    FUNCTION.look_up();
    let is_confined = confined::is_confined();
    let caller = if is_confined { 0 } else { sys::pid() };
    // SAFETY: the slot holds the next definition of the C function, or one that takes no arguments and fails.
    let result = unsafe {
        let next: unsafe extern "C" fn(c_int, c_int) -> c_int =
            core::mem::transmute(FUNCTION.next.load(Relaxed));
        next(nochdir, noclose)
    };
    let errno = sys::errno();
    if !is_confined && sys::pid() != caller {
        reach::finish_parents(caller);
    }
    sys::set_errno(errno);
    result
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

/// System calls of this kind that Linux has always had, but for those of namespaces.
pub(crate) const CALLS: [i64; 14] = [
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
];
