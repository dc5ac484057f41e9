//! The allocators that are hooked without being asked for, by what a program contains.
//!
//! A size that an interposed function of the C library has is the size of its counterpart here.

use super::obstack::{ALLOC, CLONE};
use skipheap_config::hook_spec::{Nested, SizeOf};
use skipheap_config::settings::AllocatorKind;

/// An allocator and its entry points.
pub(crate) struct Set {
    pub(crate) kind: AllocatorKind,
    /// For the notes.
    pub(crate) title: &'static str,
    /// It is there when one of these is defined.
    pub(crate) signs: &'static [&'static str],
    /// Names and sizes. The size is a list of argument numbers, `""` for 0 bytes.
    pub(crate) functions: &'static [(&'static str, &'static str)],
}

/// All sets. Which of the Skip runtime's functions count, and with which size
/// [`CLONE`] does, depends on the runtime: [`super::obstack::settle`]. A clone
/// that calls `SKIP_Obstack_alloc` is one call, that of the clone.
pub(crate) const SETS: [Set; 7] = [
    Set {
        kind: AllocatorKind::Obstack,
        title: "the Skip runtime's ObStack",
        signs: &["SKIP_Obstack_alloc", ALLOC],
        functions: &[
            ("SKIP_Obstack_alloc", "0"),
            ("SKIP_Obstack_calloc", "0"),
            ("SKIP_Obstack_alloc_pinned", "0"),
            ("SKIP_Obstack_calloc_pinned", "0"),
            (CLONE, ""),
            // skip::Obstack::alloc(unsigned long) and calloc(unsigned long).
            (ALLOC, "1"),
            ("_ZN4skip7Obstack6callocEm", "1"),
        ],
    },
    Set {
        kind: AllocatorKind::Persistent,
        title: "the Skip runtime's persistent heap",
        signs: &["sk_palloc"],
        functions: &[("sk_palloc", "0")],
    },
    Set {
        kind: AllocatorKind::Jemalloc,
        title: "jemalloc",
        signs: &["je_malloc", "_rjem_malloc", "_rjem_mallocx", "mallocx"],
        functions: &[
            ("je_malloc", "0"),
            ("je_calloc", "01"),
            ("je_realloc", "1"),
            ("je_aligned_alloc", "1"),
            ("je_posix_memalign", "2"),
            ("je_memalign", "1"),
            ("je_valloc", "0"),
            ("je_pvalloc", "0"),
            ("je_mallocx", "0"),
            ("je_rallocx", "1"),
            ("_rjem_malloc", "0"),
            ("_rjem_calloc", "01"),
            ("_rjem_realloc", "1"),
            ("_rjem_aligned_alloc", "1"),
            ("_rjem_posix_memalign", "2"),
            ("_rjem_memalign", "1"),
            ("_rjem_valloc", "0"),
            ("_rjem_pvalloc", "0"),
            ("_rjem_mallocx", "0"),
            ("_rjem_rallocx", "1"),
            ("mallocx", "0"),
            ("rallocx", "1"),
        ],
    },
    Set {
        kind: AllocatorKind::Mimalloc,
        title: "mimalloc",
        // A program may have no more of it than Rust's global allocator calls.
        signs: &["mi_malloc", "mi_malloc_aligned", "_mi_malloc_generic"],
        functions: &[
            ("mi_malloc", "0"),
            ("mi_malloc_small", "0"),
            ("mi_zalloc", "0"),
            ("mi_zalloc_small", "0"),
            ("mi_calloc", "01"),
            ("mi_mallocn", "01"),
            ("mi_realloc", "1"),
            ("mi_reallocf", "1"),
            ("mi_reallocn", "12"),
            ("mi_reallocarray", "12"),
            ("mi_rezalloc", "1"),
            ("mi_recalloc", "12"),
            ("mi_malloc_aligned", "0"),
            ("mi_malloc_aligned_at", "0"),
            ("mi_zalloc_aligned", "0"),
            ("mi_zalloc_aligned_at", "0"),
            ("mi_calloc_aligned", "01"),
            ("mi_realloc_aligned", "1"),
            ("mi_rezalloc_aligned", "1"),
            ("mi_aligned_alloc", "1"),
            ("mi_memalign", "1"),
            ("mi_posix_memalign", "2"),
            ("mi_valloc", "0"),
            ("mi_pvalloc", "0"),
            ("mi_heap_malloc", "1"),
            ("mi_heap_malloc_small", "1"),
            ("mi_heap_zalloc", "1"),
            ("mi_heap_calloc", "12"),
            ("mi_heap_mallocn", "12"),
            ("mi_heap_malloc_aligned", "1"),
            ("mi_heap_zalloc_aligned", "1"),
            ("mi_heap_realloc", "2"),
            ("mi_heap_rezalloc", "2"),
            ("mi_heap_calloc_aligned", "12"),
            ("mi_heap_realloc_aligned", "2"),
            ("mi_heap_rezalloc_aligned", "2"),
            ("mi_heap_reallocn", "23"),
            ("mi_heap_recalloc", "23"),
            // Version 3 splits heaps by threads.
            ("mi_theap_malloc", "1"),
            ("mi_theap_zalloc", "1"),
            ("mi_theap_calloc", "12"),
            ("mi_theap_malloc_aligned", "1"),
            ("mi_theap_zalloc_aligned", "1"),
            ("mi_theap_realloc", "2"),
            ("mi_new", "0"),
            ("mi_new_n", "01"),
            ("mi_new_nothrow", "0"),
            ("mi_new_aligned", "0"),
            ("mi_new_aligned_nothrow", "0"),
            ("mi_new_realloc", "1"),
            ("mi_new_reallocn", "12"),
        ],
    },
    Set {
        kind: AllocatorKind::Tcmalloc,
        title: "tcmalloc",
        signs: &["tc_malloc", "TCMallocInternalMalloc"],
        functions: &[
            ("tc_malloc", "0"),
            ("tc_calloc", "01"),
            ("tc_realloc", "1"),
            ("tc_memalign", "1"),
            ("tc_posix_memalign", "2"),
            ("tc_valloc", "0"),
            ("tc_pvalloc", "0"),
            ("tc_new", "0"),
            ("tc_new_nothrow", "0"),
            ("tc_newarray", "0"),
            ("tc_newarray_nothrow", "0"),
            ("tc_new_aligned", "0"),
            ("tc_new_aligned_nothrow", "0"),
            ("tc_newarray_aligned", "0"),
            ("tc_newarray_aligned_nothrow", "0"),
            ("TCMallocInternalMalloc", "0"),
            ("TCMallocInternalCalloc", "01"),
            ("TCMallocInternalRealloc", "1"),
            ("TCMallocInternalMemalign", "1"),
            ("TCMallocInternalAlignedAlloc", "1"),
            ("TCMallocInternalPosixMemalign", "2"),
            ("TCMallocInternalValloc", "0"),
            ("TCMallocInternalPvalloc", "0"),
        ],
    },
    // What the executable defines is reached by the whole program instead of ours.
    Set {
        kind: AllocatorKind::Malloc,
        title: "its own malloc",
        signs: &["malloc"],
        functions: &[
            ("malloc", "0"),
            ("calloc", "01"),
            ("realloc", "1"),
            ("reallocarray", "12"),
            ("posix_memalign", "2"),
            ("aligned_alloc", "1"),
            ("memalign", "1"),
            ("valloc", "0"),
            ("pvalloc", "0"),
        ],
    },
    // Its malloc is interposed, and not what these call.
    Set {
        kind: AllocatorKind::Malloc,
        title: "an operator new of its own",
        signs: &[],
        functions: &[],
    },
];

/// Index of the set of an allocator that is a library, of which [`OPERATORS`] are hooked.
pub(crate) const OF_LIBRARY: usize = SETS.len() - 1;

/// `operator new` in its forms: replaced by most of the allocators that an executable can carry or that are libraries,
/// and hooked with them, since it need not go through one of their other functions.
pub(crate) const OPERATORS: [(&str, &str); 8] = [
    ("_Znwm", "0"),
    ("_Znam", "0"),
    ("_ZnwmRKSt9nothrow_t", "0"),
    ("_ZnamRKSt9nothrow_t", "0"),
    ("_ZnwmSt11align_val_t", "0"),
    ("_ZnamSt11align_val_t", "0"),
    ("_ZnwmSt11align_val_tRKSt9nothrow_t", "0"),
    ("_ZnamSt11align_val_tRKSt9nothrow_t", "0"),
];

/// The size that a list of argument numbers stands for.
pub(crate) fn size(digits: &str) -> SizeOf {
    let args: Vec<u8> = digits.bytes().map(|digit| digit - b'0').collect();
    SizeOf {
        factor: u32::from(!args.is_empty()),
        args,
        more: 0,
    }
}

/// Which calls of a built-in hook count.
pub(crate) const NESTED: Nested = Nested::Outermost;
