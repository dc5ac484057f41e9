//! The allocation functions of C, interposed. Each calls the next definition first, so that what it
//! returns, its alignment, the block's layout and errno are exactly the real function's, and then
//! records the call if memory was given.
//!
//! May run at any moment of the program's life.

use crate::arch::{entry, hook, jump};
use crate::{arch, live, real, sys, thread};
use core::ffi::{CStr, c_int, c_void};
use core::ptr;
use core::sync::atomic::AtomicPtr;
use skipheap_format::layout::SIZE_BITS;

hook! { /// `malloc` of C.
malloc, real::MALLOC, function 0, size first }
hook! { /// `calloc` of C. (Where the product overflows there is no memory to record.)
calloc, real::CALLOC, function 1, size product }
jump! { /// `realloc` of C.
realloc, REALLOC }
hook! { /// `aligned_alloc` of C11.
aligned_alloc, real::ALIGNED_ALLOC, function 5, size second }
hook! { /// `memalign` of SunOS and glibc.
memalign, real::MEMALIGN, function 6, size second }
hook! { /// `valloc` of BSD and glibc.
valloc, real::VALLOC, function 7, size first }
hook! { /// `pvalloc` of SysV and glibc.
pvalloc, real::PVALLOC, function 8, size first }

jump! { /// `free` of C.
free, FREE }
jump! { /// `free_sized` of C23, to which the size is no more than a hint.
free_sized, FREE }
jump! { /// `free_aligned_sized` of C23, likewise.
free_aligned_sized, FREE }

/// Where `free` goes on: to the next definition, or by way of [`crate::live`]. Filled by
/// [`real::look_up`].
pub(crate) static FREE: AtomicPtr<c_void> = AtomicPtr::new(arch::first_free as *mut c_void);
/// Where `realloc` goes on, likewise.
pub(crate) static REALLOC: AtomicPtr<c_void> = AtomicPtr::new(arch::realloc_counted as *mut c_void);

entry! { /// `reallocarray` of BSD and glibc.
reallocarray, reallocarray_body }
entry! { /// `posix_memalign` of POSIX.
posix_memalign, posix_memalign_body }

/// What is exported here, and where the next definition's address stands. Each begins with a landing
/// pad and at least six bytes of instructions behind it (see [`crate::patch`]).
pub(crate) static ENTRIES: [(&CStr, &AtomicPtr<c_void>); 9] = [
    (c"malloc", &real::MALLOC),
    (c"calloc", &real::CALLOC),
    (c"realloc", &real::REALLOC),
    (c"reallocarray", &real::REALLOCARRAY),
    (c"posix_memalign", &real::POSIX_MEMALIGN),
    (c"aligned_alloc", &real::ALIGNED_ALLOC),
    (c"memalign", &real::MEMALIGN),
    (c"valloc", &real::VALLOC),
    (c"pvalloc", &real::PVALLOC),
];

/// Not the next definition, which would come back through our `realloc`, but the same overflow
/// check and the next `realloc`.
unsafe extern "C-unwind" fn reallocarray_body(
    old: *mut c_void,
    count: usize,
    size: usize,
    entry: *const u64,
    bp: u64,
) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        sys::set_errno(libc::ENOMEM);
        return ptr::null_mut();
    };
    // SAFETY: the caller's own arguments; the entry hands in the rest.
    unsafe {
        let block = if live::hooks::are_in_place() {
            live::hooks::realloc(old, bytes)
        } else {
            real::realloc(old, bytes)
        };
        if block.is_null() {
            return block;
        }
        thread::record_rest(bytes as u64 | 3 << SIZE_BITS, entry, bp, block)
    }
}

unsafe extern "C-unwind" fn posix_memalign_body(
    out: *mut *mut c_void,
    align: usize,
    size: usize,
    entry: *const u64,
    bp: u64,
) -> c_int {
    // SAFETY: the caller's own arguments; the entry hands in the rest. A call that succeeded has set `out`.
    unsafe {
        let error = real::posix_memalign(out, align, size);
        if error == 0 {
            thread::record_rest(size as u64 | 4 << SIZE_BITS, entry, bp, *out);
        }
        error
    }
}
