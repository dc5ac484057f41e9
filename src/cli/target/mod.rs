//! Finds out whether a program can be profiled. Looks at it the way the kernel and the loader will,
//! before it is run, so that what the loader passes over in silence becomes a message.

mod elf;
mod find;
mod glibc;
mod musl;
mod privilege;
mod refusal;
mod unoptimized;

pub(crate) use glibc::{Release, newest_needed};
pub(crate) use refusal::Refusal;

use crate::install::LIBRARY;
use elf::{CLibrary, Kind};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The kernel follows this many interpreters of interpreters, and reads this much of each.
const SCRIPT_LEVELS: usize = 5;
const SCRIPT_HEAD: usize = 256;

/// A program that can be executed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// What to execute.
    pub(crate) path: PathBuf,
    /// What the kernel will load: the program itself, or the interpreter of a script.
    pub(crate) exe: PathBuf,
    /// What `exe` will have as its `argv[0]`.
    pub(crate) argv0: OsString,
}

/// Finds the program as a shell would, and what will be loaded for it.
///
/// # Errors
/// When there is no such program or it cannot be executed at all.
pub(crate) fn find(program: &OsStr) -> Result<Target, Refusal> {
    let path = find::on_path(program, std::env::var_os("PATH").as_deref())?;
    let mut exe = path.clone();
    let mut argv0 = program.to_owned();
    for _ in 0..SCRIPT_LEVELS {
        let head = head_of(&exe)?;
        let interpreter = if head.starts_with(b"\x7fELF") {
            let exe = exe.canonicalize().unwrap_or(exe);
            return Ok(Target { path, exe, argv0 });
        } else if let Some(line) = head.strip_prefix(b"#!") {
            interpreter_of(line).ok_or(Refusal::NotAProgram(exe.clone()))?
        } else if head.contains(&0) {
            return Err(Refusal::NotAProgram(exe));
        } else {
            // No program to the kernel; execvp, as every shell, then lets sh read it.
            PathBuf::from("/bin/sh")
        };
        find::check_executable(&interpreter).map_err(|why| Refusal::Interpreter {
            script: exe,
            why: Box::new(why),
        })?;
        argv0 = interpreter.clone().into_os_string();
        exe = interpreter;
    }
    Err(Refusal::NotAProgram(path))
}

/// Whether programs for musl can be profiled: on x86-64.
const MUSL: bool = cfg!(target_arch = "x86_64");

impl Target {
    /// Returns whether it was built without optimisation, as far as its symbols tell.
    pub(crate) fn is_unoptimized(&self) -> bool {
        unoptimized::is_unoptimized(&self.exe)
    }

    /// Checks whether the loader will load the library into it. `is_profiled` is false for a program that only
    /// starts others: it may be anything that hands the environment on.
    ///
    /// # Errors
    /// The reason why not.
    pub(crate) fn check(&self, is_profiled: bool) -> Result<(), Refusal> {
        let refuse = |why: fn(PathBuf) -> Refusal| {
            let why = why(self.exe.clone());
            if is_profiled || why.stops_children() {
                return Err(self.explain(why));
            }
            Ok(())
        };
        if let Some(gain) = privilege::gained(&self.exe) {
            return Err(self.explain(Refusal::Privileged(self.exe.clone(), gain)));
        }
        let kind =
            elf::kind(&self.exe).map_err(|error| Refusal::Unreadable(self.exe.clone(), error));
        match kind {
            // May be executed but not read: nothing is known, and the end will tell.
            Err(_) if !self.can_be_read() => Ok(()),
            Err(why) => Err(self.explain(why)),
            Ok(Kind::LoaderItself) => Ok(()),
            Ok(Kind::Static) => refuse(Refusal::Static),
            Ok(Kind::StaticGo) => refuse(Refusal::Go),
            Ok(Kind::Bits32) => refuse(Refusal::Bits32),
            Ok(Kind::Machine(machine)) => {
                Err(self.explain(Refusal::Machine(self.exe.clone(), machine)))
            }
            Ok(Kind::Loader(loader)) => {
                self.check_loader(loader)?;
                self.check_sanitizer()
            }
        }
    }

    /// The loader must be there, and belong to a C library that has what the profiler's library needs.
    fn check_loader(&self, loader: PathBuf) -> Result<(), Refusal> {
        if !loader.exists() {
            return Err(self.explain(Refusal::NoLoader(self.exe.clone(), loader)));
        }
        if elf::c_library_of(&loader) == CLibrary::Musl {
            if !MUSL {
                return Err(self.explain(Refusal::Musl(self.exe.clone())));
            }
            if let Some(version) = musl::too_old(&loader) {
                return Err(self.explain(Refusal::OldMusl(self.exe.clone(), version)));
            }
        } else if let Some(why) = glibc::too_old(LIBRARY, &loader) {
            return Err(self.explain(Refusal::OldLibc(self.exe.clone(), why)));
        }
        Ok(())
    }

    /// A runtime of AddressSanitizer that looks for preloaded libraries must have been told not to.
    fn check_sanitizer(&self) -> Result<(), Refusal> {
        let options = std::env::var_os("ASAN_OPTIONS").unwrap_or_default();
        match elf::address_sanitizer(&self.exe) {
            Some(runtime) if checks_link_order(options.as_bytes()) => {
                Err(self.explain(Refusal::AddressSanitizer(self.exe.clone(), runtime)))
            }
            _ => Ok(()),
        }
    }

    fn can_be_read(&self) -> bool {
        File::open(&self.exe).is_ok()
    }

    /// Says by which script the program is reached, if by one.
    fn explain(&self, why: Refusal) -> Refusal {
        let path = self
            .path
            .canonicalize()
            .unwrap_or_else(|_| self.path.clone());
        if path == self.exe {
            return why;
        }
        Refusal::Interpreter {
            script: self.path.clone(),
            why: Box::new(why),
        }
    }
}

/// Returns whether AddressSanitizer looks for libraries in front of it, by the value of ASAN_OPTIONS. The last
/// word counts.
fn checks_link_order(options: &[u8]) -> bool {
    options
        .split(|c| b" ,:\n\t\r".contains(c))
        .filter_map(|option| option.strip_prefix(b"verify_asan_link_order="))
        .next_back()
        .is_none_or(|value| !matches!(value, b"0" | b"no" | b"false"))
}

/// The first bytes of a file; none of one that cannot be read, which may yet be a program.
fn head_of(path: &Path) -> Result<Vec<u8>, Refusal> {
    let mut head = Vec::new();
    match File::open(path) {
        Ok(file) => file
            .take(SCRIPT_HEAD as u64)
            .read_to_end(&mut head)
            .map_err(|error| Refusal::Unreadable(path.to_owned(), error))?,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            head.extend(b"\x7fELF");
            4
        }
        Err(error) => return Err(Refusal::Unreadable(path.to_owned(), error)),
    };
    Ok(head)
}

/// The interpreter that a script's first line names, without its argument.
fn interpreter_of(line: &[u8]) -> Option<PathBuf> {
    let line = line.split(|&byte| byte == b'\n').next()?;
    line.split(|byte| matches!(byte, b' ' | b'\t'))
        .find(|word| !word.is_empty())
        .map(|word| OsString::from_vec(word.to_vec()).into())
}

#[cfg(test)]
mod tests;
