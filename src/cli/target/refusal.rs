//! Why a program is not run, in words that say what to do about it.

use super::glibc::TooOld;
use crate::error::Code;
use crate::terminal::term;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{error, fmt, io};

/// Why a program is not run.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// No file of that name, on PATH if `searched`.
    NotFound {
        /// As given.
        program: OsString,
        /// By PATH, not by path.
        searched: bool,
    },
    /// The file's permissions, or those of a folder on the way.
    NotExecutable(PathBuf),
    /// A folder.
    Folder(PathBuf),
    /// Neither ELF nor script.
    NotAProgram(PathBuf),
    /// An I/O error.
    Unreadable(PathBuf, io::Error),
    /// No loader that could preload anything.
    Static(PathBuf),
    /// No loader either, and no malloc: a program of Go alone.
    Go(PathBuf),
    /// A 32-bit program.
    Bits32(PathBuf),
    /// A program for another processor.
    Machine(PathBuf, String),
    /// Its musl, of this version, does not let malloc be replaced.
    OldMusl(PathBuf, String),
    /// It is a program for musl, on an architecture where those cannot be profiled.
    Musl(PathBuf),
    /// A glibc that this build of the library cannot be loaded with.
    OldLibc(PathBuf, TooOld),
    /// The loader that it asks for is not there.
    NoLoader(PathBuf, PathBuf),
    /// The loader ignores LD_PRELOAD for it.
    Privileged(PathBuf, &'static str),
    /// The runtime of AddressSanitizer that it is linked with would end it.
    AddressSanitizer(PathBuf, String),
    /// It holds for the interpreter of a script.
    Interpreter {
        /// The script.
        script: PathBuf,
        /// What holds for its interpreter.
        why: Box<Refusal>,
    },
}

impl Refusal {
    /// The exit status: what a shell would give, or that of the tool's own failures.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::NotFound { .. } | Self::NoLoader(..) => Code::NotFound,
            Self::NotExecutable(_)
            | Self::Folder(_)
            | Self::NotAProgram(_)
            | Self::Unreadable(..) => Code::NotExecutable,
            Self::Static(_)
            | Self::Go(_)
            | Self::Bits32(_)
            | Self::Machine(..)
            | Self::OldMusl(..)
            | Self::Musl(_)
            | Self::OldLibc(..)
            | Self::Privileged(..)
            | Self::AddressSanitizer(..) => Code::Failed,
            Self::Interpreter { why, .. } => why.code(),
        }
    }

    /// Returns whether the reason also keeps the library out of the programs that it starts.
    pub(super) fn stops_children(&self) -> bool {
        !matches!(self, Self::Static(_) | Self::Go(_) | Self::Bits32(_))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { program, searched } => {
                let where_ = if *searched { " on PATH" } else { "" };
                write!(f, "{}: not found{where_}", term::path(Path::new(program)))
            }
            Self::NotExecutable(path) => write!(
                f,
                "{}: cannot be executed: no permission (is it a program, and is `chmod +x` missing?)",
                term::path(path)
            ),
            Self::Folder(path) => write!(f, "{}: a folder, not a program", term::path(path)),
            Self::NotAProgram(path) => write!(
                f,
                "{}: cannot be executed: neither an ELF program nor a script",
                term::path(path)
            ),
            Self::Unreadable(path, error) => write!(f, "{}: {error}", term::path(path)),
            Self::Static(path) => write!(
                f,
                "{}: cannot be profiled: it is statically linked, so it brings its own malloc and no \
                 loader that could preload the profiler; link it dynamically to profile it",
                term::path(path)
            ),
            Self::Go(path) => write!(
                f,
                "{}: cannot be profiled: it is a static Go program, and the heap of Go is seen by its own \
                 profiler alone (runtime/pprof); with cgo, what its C code allocates is recorded",
                term::path(path)
            ),
            Self::Bits32(path) => write!(
                f,
                "{}: cannot be profiled: it is a 32-bit program, and the profiler is a 64-bit one; build \
                 it for 64 bits to profile it",
                term::path(path)
            ),
            Self::Machine(path, machine) => write!(
                f,
                "{}: cannot be profiled: it is a program for another architecture ({machine}), and \
                 this profiler is for {}; build it for this machine to profile it",
                term::path(path),
                std::env::consts::ARCH
            ),
            Self::OldMusl(path, version) => write!(
                f,
                "{}: cannot be profiled: its C library is musl {version}, whose aligned_alloc fails where \
                 another library has malloc; the profiler needs musl 1.2.2 or later",
                term::path(path)
            ),
            Self::Musl(path) => write!(
                f,
                "{}: cannot be profiled: its C library is musl, which is supported on x86-64 only; \
                 build it for glibc to profile it",
                term::path(path)
            ),
            Self::OldLibc(path, why) => write!(
                f,
                "{}: cannot be profiled: this build of the profiler needs glibc {}, and the program's \
                 C library ({}) is older; use a release of the profiler, which needs glibc 2.17 or later",
                term::path(path),
                why.lacks,
                term::path(&why.file)
            ),
            Self::NoLoader(path, loader) => write!(
                f,
                "{}: cannot be executed: its loader {} is not found",
                term::path(path),
                term::path(loader)
            ),
            Self::Privileged(path, gain) => write!(
                f,
                "{}: cannot be profiled: {gain}, and the loader ignores LD_PRELOAD where a program \
                 gains privileges; run the tool as the user that the program becomes",
                term::path(path)
            ),
            Self::AddressSanitizer(path, runtime) => write!(
                f,
                "{}: cannot be profiled as it is: it is built with AddressSanitizer, whose runtime \
                 ({runtime}) refuses to start behind a preloaded library; set \
                 ASAN_OPTIONS=verify_asan_link_order=0, with which it starts and is counted exactly",
                term::path(path)
            ),
            Self::Interpreter { script, why } => {
                write!(f, "{}: interpreter {why}", term::path(script))
            }
        }
    }
}

impl error::Error for Refusal {}
