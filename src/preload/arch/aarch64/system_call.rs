//! System calls, and the processor's clock.
//!
//! May run at any moment.

use crate::c_library::{self, CLibrary};
use core::arch::asm;

/// Makes a system call and returns the kernel's result, in which a negative number is an error.
///
/// # Safety
/// The arguments satisfy the contract of that call.
#[inline(always)]
pub(crate) unsafe fn call(number: i64, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result;
    // SAFETY: the kernel keeps all registers but x0; what it does to memory the caller answers for.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") a => result,
            in("x1") b,
            in("x2") c,
            in("x3") d,
            in("x4") e,
            in("x5") f,
            options(nostack),
        );
    }
    result
}

/// The generic timer's count, which runs at the same rate on all processors.
#[inline(always)]
pub(crate) fn ticks() -> u64 {
    let count;
    // SAFETY: Linux lets every program read the register.
    unsafe {
        asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack, preserves_flags));
    }
    count
}

/// Defines the functions of the C library that take paths and for which the kernel has only calls that
/// begin at a folder.
#[cfg(not(test))] // Unit tests are programs, with the C library's own functions.
macro_rules! path_calls {
    ($system_calls:ident) => {
        $system_calls! {
            "readlink" readlink = SYS_readlinkat(HERE, a, b, c);
            "rename" rename = SYS_renameat(HERE, a, HERE, b);
            "unlink" unlink = SYS_unlinkat(HERE, a, 0);
        }
    };
}
#[cfg(not(test))]
pub(crate) use path_calls;

/// Words of [`NUMBERS`].
pub(super) const SETS: usize = 7;

/// System calls that give up rights: bit N of word M is for the call of number 64 M + N.
pub(super) static NUMBERS: [u64; SETS] = {
    let mut sets = [0; SETS];
    let calls = crate::rights::CALLS;
    let mut i = 0;
    while i < calls.len() {
        add(&mut sets, calls[i]);
        i += 1;
    }
    add(&mut sets, libc::SYS_unshare);
    add(&mut sets, libc::SYS_setns);
    add(&mut sets, libc::SYS_landlock_restrict_self);
    sets
};

const fn add(sets: &mut [u64; SETS], number: i64) {
    sets[(number / 64) as usize] |= 1 << (number % 64);
}

/// Returns why the library cannot record in this process: under musl, the thread data that it needs
/// is elsewhere, and a recording consists of 4 KiB pages.
pub(crate) fn obstacle() -> Option<crate::arch::Obstacle> {
    // SAFETY: the call reads a number and has no other effect.
    let page = unsafe { libc::getauxval(libc::AT_PAGESZ) };
    if c_library::kind() == CLibrary::Musl {
        Some(b"programs for musl are not supported on AArch64 yet")
    } else if page != skipheap_format::PAGE {
        Some(b"kernels with pages larger than 4 KiB are not supported yet")
    } else {
        None
    }
}
