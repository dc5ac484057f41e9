//! What the library exports, links to and contains.

use crate::support::{library, output_of};
use std::collections::BTreeSet;

/// The functions that hand out memory: all of them are replaced.
const ALLOCATION: [&str; 9] = [
    "aligned_alloc",
    "calloc",
    "malloc",
    "memalign",
    "posix_memalign",
    "pvalloc",
    "realloc",
    "reallocarray",
    "valloc",
];

/// What may be replaced besides, to follow the life of a process and of blocks.
const LIFE: [&str; 27] = [
    "_Exit",
    "_exit",
    "chroot",
    "daemon",
    "dlclose",
    "free",
    "free_aligned_sized",
    "free_sized",
    "mount",
    "prctl",
    "pthread_setname_np",
    "quick_exit",
    "setegid",
    "seteuid",
    "setfsgid",
    "setfsuid",
    "setgid",
    "setgroups",
    "setns",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setuid",
    "syscall",
    "umount2",
    "unshare",
];

/// The functions of `include/skipheap.h`.
const CONTROL: [&str; 7] = [
    "skipheap_alloc",
    "skipheap_free",
    "skipheap_is_recording",
    "skipheap_phase",
    "skipheap_snapshot",
    "skipheap_start",
    "skipheap_stop",
];

/// Dynamic symbols that the library defines, without their versions.
fn exports() -> BTreeSet<String> {
    output_of(
        "nm",
        &["-D", "--defined-only", &library().to_string_lossy()],
    )
    .lines()
    .filter_map(|line| line.split_whitespace().last())
    .map(|name| name.split('@').next().unwrap_or(name).to_owned())
    .collect()
}

#[test]
fn all_allocation_and_control_functions_are_exported() {
    let exports = exports();
    for name in ALLOCATION.into_iter().chain(CONTROL) {
        assert!(exports.contains(name), "{name} is not in {exports:?}");
    }
}

#[test]
fn nothing_else_is_exported() {
    // In particular not dlsym.
    let allowed: BTreeSet<&str> = ALLOCATION.into_iter().chain(LIFE).chain(CONTROL).collect();
    let others: Vec<String> = exports()
        .into_iter()
        .filter(|name| !allowed.contains(name.as_str()))
        .collect();
    assert_eq!(others, Vec::<String>::new());
}

/// musl takes this name for its own, and finds no loader of glibc.
#[test]
fn libc_alone_is_needed() {
    let dynamic = output_of("readelf", &["-dW", &library().to_string_lossy()]);
    let needed: Vec<&str> = dynamic
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    assert_eq!(needed, ["libc.so.6"]);
}

/// A program may define any function itself: none is called by its name. What is left is data, and what the
/// linker's start files ask for if it is there. What only one C library has must not be missed in programs
/// of the other.
#[test]
fn nothing_is_called_by_name() {
    let path = library().to_string_lossy();
    let undefined = output_of("nm", &["-D", "--undefined-only", &path]);
    let mut names: Vec<(&str, &str)> = undefined
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(kind, name)| (kind, name.split('@').next().unwrap_or(name)))
        .filter(|(_, name)| !name.starts_with("_ITM_") && *name != "__gmon_start__")
        .collect();
    names.sort_unstable();
    let strong = names.iter().filter(|(kind, _)| *kind == "U");
    let strong: Vec<&str> = strong.map(|&(_, name)| name).collect();
    assert_eq!(strong, ["__environ", "__progname_full"]);
    let weak = names.iter().filter(|(kind, _)| *kind != "U");
    let mut weak: Vec<&str> = weak.map(|&(_, name)| name).collect();
    weak.sort_unstable();
    assert_eq!(weak, ["__libc_stack_end", "_dl_debug_addr", "_r_debug"]);
}

#[test]
fn thread_state_is_reached_without_the_loaders_tls_get_addr() {
    // It is slow, and it may itself allocate.
    let path = library().to_string_lossy();
    let undefined = output_of("nm", &["-D", "--undefined-only", &path]);
    assert!(undefined.contains("_r_debug"), "{undefined}");
    assert!(!undefined.contains("__tls_get_addr"), "{undefined}");
    let relocations = output_of("readelf", &["-rW", &path]);
    assert!(relocations.contains("R_X86_64_"), "{relocations}");
    assert!(!relocations.contains("__tls_get_addr"), "{relocations}");
    assert!(!relocations.contains("TLSDESC"), "{relocations}");
    let code = output_of("objdump", &["-d", "--no-show-raw-insn", &path]);
    assert!(code.contains("<malloc"), "a disassembly without malloc");
    assert!(!code.contains("__tls_get_addr"), "in the disassembly");
}
