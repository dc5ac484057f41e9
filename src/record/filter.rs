//! Which programs are profiled, by name. Shared by the library (which decides) and the tool
//! (which explains why a program was left out).

use super::settings::Mode;

/// Programs that only start the real program, left out by default so that `./run.sh` reports the
/// program and not the shell.
pub(crate) const LAUNCHERS: [&str; 39] = [
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
    "make",
    "gmake",
    "ninja",
    "strace",
    "ltrace",
    "gdb",
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

/// Does `name` match `pattern`, in which `*` stands for any bytes and `?` for one?
pub(crate) fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // Where to resume after a mismatch: just behind the last star, one byte further on.
    let mut star: Option<(usize, usize)> = None;
    while let Some(&c) = name.get(n) {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                star = Some((p, n));
            }
            Some(&q) if q == b'?' || q == c => {
                p += 1;
                n += 1;
            }
            _ => match star {
                Some((after, from)) => {
                    p = after;
                    n = from + 1;
                    star = Some((after, n));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .is_some_and(|rest| rest.iter().all(|&c| c == b'*'))
}

/// What is wrong with a glob, if anything. Brackets stand for themselves, as in `operator new[]`;
/// one without its other half was meant to be something else.
pub(crate) fn glob_error(pattern: &[u8]) -> Option<String> {
    let mut open = 0_usize;
    let mut is_balanced = true;
    for &c in pattern {
        match c {
            b'[' => open += 1,
            b']' if open == 0 => is_balanced = false,
            b']' => open -= 1,
            _ => {}
        }
    }
    let text = String::from_utf8_lossy(pattern);
    let text = text.escape_debug();
    match pattern {
        [] => Some("a glob is empty".to_owned()),
        _ if open > 0 || !is_balanced => Some(format!(
            "the glob \"{text}\" has a bracket without its other half"
        )),
        _ => None,
    }
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&c| c == b'/').next().unwrap_or(path)
}

/// Splits a list of globs at commas, colons and white space.
pub(crate) fn patterns(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&c| matches!(c, b',' | b':') || c.is_ascii_whitespace())
        .filter(|pattern| !pattern.is_empty())
}

/// Is this the Skip compiler, which profiles only itself under [`Mode::CompilerToo`]?
pub(crate) fn is_skip_compiler(argv0: &[u8], exe: &[u8]) -> bool {
    argv0.ends_with(b"skip_to_llvm") || file_name(argv0) == b"skc" || file_name(exe) == b"skc"
}

/// Is the program to be profiled?
///
/// `programs` is the value of `SKIP_HEAP_PROGRAMS`: the program is profiled when its file name or
/// that of `argv0` matches one of the globs (all programs, if every glob begins with `!`) and none
/// of those that begin with `!`. Without it, [`LAUNCHERS`] are left out.
pub(crate) fn is_profiled(mode: Mode, programs: Option<&[u8]>, argv0: &[u8], exe: &[u8]) -> bool {
    if mode == Mode::Off || (mode == Mode::Programs && is_skip_compiler(argv0, exe)) {
        return false;
    }
    // A login shell's argv[0] begins with a dash.
    let called = file_name(argv0);
    let called = called.strip_prefix(b"-").unwrap_or(called);
    let names = [called, file_name(exe)];
    let Some(list) = programs.filter(|list| patterns(list).next().is_some()) else {
        return !LAUNCHERS
            .iter()
            .any(|launcher| names.contains(&launcher.as_bytes()));
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
    fn globs_match_whole_names() {
        assert!(glob(b"py*3", b"python3"));
        assert!(glob(b"*", b""));
        assert!(glob(b"a*b*c", b"a-bb-c"));
        assert!(glob(b"?c", b"cc"));
        assert!(!glob(b"?", b""));
        assert!(!glob(b"py", b"python"));
        assert!(!glob(b"a*b*c", b"a-c-b"));
    }

    #[test]
    fn launchers_are_left_out_unless_asked_for() {
        let profiled = |list, argv0: &str, exe: &str| {
            is_profiled(Mode::Programs, list, argv0.as_bytes(), exe.as_bytes())
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
                exe.as_bytes()
            ));
            assert!(is_profiled(
                Mode::CompilerToo,
                None,
                argv0.as_bytes(),
                exe.as_bytes()
            ));
        }
    }
}
