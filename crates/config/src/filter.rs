//! Which programs are profiled, by name. Shared by the library (which decides) and the tool
//! (which explains why a program was left out).

use super::settings::Mode;
use skipheap_text::glob;

/// Shells, and programs that only start the command behind them. They are left out by default, so that
/// `./run.sh` reports the program and not the shell.
pub const WRAPPERS: [&str; 33] = [
    "skip-heapprof",
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "mksh",
    "fish",
    "csh",
    "tcsh",
    "ash",
    "busybox",
    "toybox",
    "env",
    "time",
    "timeout",
    "nice",
    "nohup",
    "setsid",
    "stdbuf",
    "sudo",
    "xargs",
    "taskset",
    "ionice",
    "chrt",
    "setarch",
    "linux64",
    "linux32",
    "prlimit",
    "chroot",
    "unshare",
    "valgrind",
    "valgrind.bin",
];

/// Programs that start others and do work of their own. They are left out by default too, but not
/// where the user names them as the command to run.
pub const STARTERS: [&str; 6] = ["make", "gmake", "ninja", "strace", "ltrace", "gdb"];

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&c| c == b'/').next().unwrap_or(path)
}

/// Splits a list of globs at commas, colons and white space.
pub fn patterns(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&c| matches!(c, b',' | b':') || c.is_ascii_whitespace())
        .filter(|pattern| !pattern.is_empty())
}

/// Returns whether this is the Skip compiler, which profiles only itself under [`Mode::CompilerToo`].
pub fn is_skip_compiler(argv0: &[u8], exe: &[u8]) -> bool {
    argv0.ends_with(b"skip_to_llvm") || file_name(argv0) == b"skc" || file_name(exe) == b"skc"
}

/// The programs that a command names, of those that are left out otherwise, for [`is_named`]: its first
/// word, which is the program that process `parent` starts, or where that is a wrapper and no shell, any
/// word behind it (`timeout 9 gdb`), whoever starts that.
///
/// ```text
/// PARENT/NAME     0/NAME/NAME
/// ```
pub fn named_by<'w>(parent: u32, mut words: impl Iterator<Item = &'w [u8]>) -> Vec<u8> {
    let first = words.next().map_or(&b""[..], file_name);
    let is_left_out = |name: &&[u8]| {
        STARTERS.iter().any(|starter| starter.as_bytes() == *name) || is_skip_compiler(name, name)
    };
    if is_left_out(&first) {
        return [parent.to_string().as_bytes(), b"/", first].concat();
    }
    let is_shell = first.ends_with(b"sh") || first.ends_with(b"box");
    if is_shell || !WRAPPERS.iter().any(|name| name.as_bytes() == first) {
        return Vec::new();
    }
    let mut named = b"0".to_vec();
    for name in words.map(file_name).filter(is_left_out) {
        named.extend([b"/", name].concat());
    }
    named
}

/// Returns whether a program that `parent` started is one that [`named_by`] wrote into `named`.
pub fn is_named(named: &[u8], parent: u32, argv0: &[u8], exe: &[u8]) -> bool {
    let mut parts = named.split(|&byte| byte == b'/');
    let of = parts.next().unwrap_or(b"");
    let is_child = of == b"0" || of == parent.to_string().as_bytes();
    let names = [file_name(argv0), file_name(exe)];
    is_child && parts.any(|name| !name.is_empty() && names.contains(&name))
}

/// Returns whether the program is to be profiled.
///
/// `programs` is the value of `SKIP_HEAP_PROGRAMS`: the program is profiled when its file name or
/// that of `argv0` matches one of the globs (all programs, if every glob begins with `!`) and none
/// of those that begin with `!`. Without it, [`WRAPPERS`] are left out, and [`STARTERS`] and the Skip
/// compiler unless the user names them as the command (`is_named`).
pub fn is_profiled(
    mode: Mode,
    programs: Option<&[u8]>,
    argv0: &[u8],
    exe: &[u8],
    is_named: bool,
) -> bool {
    let is_compiler = mode == Mode::Programs && is_skip_compiler(argv0, exe);
    if mode == Mode::Off || (is_compiler && !is_named) {
        return false;
    }
    // A login shell's argv[0] begins with a dash.
    let called = file_name(argv0);
    let called = called.strip_prefix(b"-").unwrap_or(called);
    let names = [called, file_name(exe)];
    let is_one_of = |list: &[&str]| list.iter().any(|name| names.contains(&name.as_bytes()));
    let Some(list) = programs.filter(|list| patterns(list).next().is_some()) else {
        return !is_one_of(&WRAPPERS) && (is_named || !is_one_of(&STARTERS));
    };
    let matches = |pattern: &[u8]| names.iter().any(|name| glob(pattern, name));
    let mut wanted = patterns(list)
        .filter(|pattern| pattern[0] != b'!')
        .peekable();
    let excluded = patterns(list).any(|pattern| pattern[0] == b'!' && matches(&pattern[1..]));
    !excluded && (wanted.peek().is_none() || wanted.any(matches))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launchers_are_left_out_unless_asked_for() {
        let profiled = |list, argv0: &str, exe: &str| {
            is_profiled(
                Mode::Programs,
                list,
                argv0.as_bytes(),
                exe.as_bytes(),
                false,
            )
        };
        assert!(!profiled(None, "/bin/sh", "/usr/bin/dash"));
        assert!(!profiled(None, "-bash", "/usr/bin/bash"));
        assert!(profiled(None, "python3", "/usr/bin/python3.11"));
        assert!(profiled(Some(b"*"), "/bin/sh", "/usr/bin/dash"));
        assert!(profiled(Some(b"!perl"), "python3", "/usr/bin/python3.11"));
        assert!(!profiled(Some(b"!perl"), "perl", "/usr/bin/perl"));
        assert!(!profiled(
            Some(b"py*,!python3.11"),
            "python3",
            "/usr/bin/python3.11"
        ));
        assert!(!profiled(
            Some(b"jq:perl"),
            "python3",
            "/usr/bin/python3.11"
        ));
        assert!(profiled(Some(b" , "), "python3", "/usr/bin/python3.11"));
    }

    #[test]
    fn the_skip_compiler_is_profiled_in_mode_two_only() {
        for (argv0, exe) in [
            ("/x/skip_to_llvm", "/x/y"),
            ("./skc", "/x/skc"),
            ("/a/b", "/x/skc"),
        ] {
            assert!(!is_profiled(
                Mode::Programs,
                None,
                argv0.as_bytes(),
                exe.as_bytes(),
                false
            ));
            assert!(is_profiled(
                Mode::CompilerToo,
                None,
                argv0.as_bytes(),
                exe.as_bytes(),
                false
            ));
        }
    }

    #[test]
    fn what_the_command_names_is_profiled() {
        let named = |command: &str| named_by(7, command.split(' ').map(str::as_bytes));
        assert_eq!(named("/usr/bin/gdb --args jq"), b"7/gdb");
        assert_eq!(named("jq gdb"), b"");
        assert_eq!(named("timeout 9 ./bin/skc make"), b"0/skc/make");
        assert_eq!(named("sh -c gdb"), b"");
        for (named, parent, argv0, exe, profiled) in [
            (&b"7/gdb"[..], 7, "gdb", "/usr/bin/gdb", true),
            (b"7/skc", 7, "skc", "/x/skc", true),
            (b"0/skc/make", 9, "skc", "/x/skc", true),
            (b"7/skip_to_llvm", 7, "x/skip_to_llvm", "/x/native", true),
            (b"7/make", 8, "make", "/usr/bin/make", false),
            (b"7/gdb", 7, "make", "/usr/bin/make", false),
            (b"", 7, "gdb", "/usr/bin/gdb", false),
            (b"0/bash", 7, "bash", "/usr/bin/bash", false),
        ] {
            let (argv0, exe) = (argv0.as_bytes(), exe.as_bytes());
            let is_named = is_named(named, parent, argv0, exe);
            let with = |mode, list| is_profiled(mode, list, argv0, exe, is_named);
            assert_eq!(with(Mode::Programs, None), profiled, "{argv0:?} {exe:?}");
            assert!(!with(Mode::Programs, Some(b"jq")));
            assert!(!with(Mode::Off, None));
        }
    }
}
