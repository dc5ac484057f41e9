//! Builds fixtures once for each source and set of options.

use super::{emulated, is_musl, musl_gcc, output_of};
use std::collections::HashMap;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The folder of the fixtures' sources.
pub(crate) fn fixture_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("preload-tests/programs")
}

/// A fixture and how to build it.
#[derive(Clone)]
pub(crate) struct Source {
    compiler: String,
    file: String,
    output: String,
    flags: Vec<String>,
}

impl Source {
    fn new(compiler: &str, file: String, output: &str, flags: &[&str]) -> Self {
        Self {
            compiler: compiler.to_owned(),
            file,
            output: output.to_owned(),
            flags: Vec::new(),
        }
        .flags(flags)
    }

    /// `programs/NAME.c`, a program built by gcc.
    pub(crate) fn c(name: &str) -> Self {
        let flags = &["-O2", "-pthread"];
        Self::new(&c_compiler(), format!("{name}.c"), name, flags)
    }

    /// `programs/NAME.c`, a shared library built by gcc.
    pub(crate) fn c_library(name: &str) -> Self {
        let output = format!("lib{name}.so");
        Self::new(
            &c_compiler(),
            format!("{name}.c"),
            &output,
            &["-O2", "-shared", "-fPIC"],
        )
    }

    /// `programs/FILE.c` as a shared library `libNAME.so`, whose functions begin with `name`, have frames of
    /// `room` bytes and ask for `size` bytes.
    pub(crate) fn named_library(file: &str, name: &str, room: u32, size: u64) -> PathBuf {
        Self::c_library(file)
            .named(&format!("lib{name}.so"))
            .flags(&[
                format!("-DNAME={name}"),
                format!("-DROOM={room}"),
                format!("-DSIZE={size}"),
            ])
            .build()
    }

    /// `programs/NAME.cpp`, a program built by g++.
    pub(crate) fn cpp(name: &str) -> Self {
        let compiler = emulated::compiler("g++");
        let compiler = compiler.as_deref().unwrap_or("g++");
        Self::new(compiler, format!("{name}.cpp"), name, &["-O2", "-pthread"])
    }

    /// `programs/NAME.rs`, a program built by rustc.
    pub(crate) fn rust(name: &str) -> Self {
        Self::new("rustc", format!("{name}.rs"), name, &["--edition=2021"])
    }

    /// Adds options; of those that contradict each other the last holds.
    pub(crate) fn flags<S: AsRef<str>>(mut self, flags: &[S]) -> Self {
        self.flags
            .extend(flags.iter().map(|flag| flag.as_ref().to_owned()));
        self
    }

    /// Uses another compiler.
    pub(crate) fn compiler(mut self, compiler: &str) -> Self {
        self.compiler = compiler.to_owned();
        self
    }

    /// Gives the file that is built another name.
    pub(crate) fn named(mut self, output: &str) -> Self {
        self.output = output.to_owned();
        self
    }

    /// The built file, from the cache if it has been built before.
    ///
    /// Tests run in parallel, in one process or many: each builds in a folder of its own and
    /// renames it into place, so a file that can be seen is complete.
    pub(crate) fn build(&self) -> PathBuf {
        let source = fixture_dir().join(&self.file);
        let folder = cache().join(format!("{:016x}", self.key(&source)));
        let built = folder.join(&self.output);
        if !built.exists() {
            let scratch = tempfile::tempdir_in(cache()).expect("a folder to build in");
            let output = Command::new(&self.compiler)
                .current_dir(fixture_dir())
                .arg("-o")
                .arg(scratch.path().join(&self.output))
                .arg(&source)
                .args(&self.flags)
                .output()
                .unwrap_or_else(|error| panic!("{} cannot be started: {error}", self.compiler));
            assert!(
                output.status.success(),
                "{} {:?} {}:\n{}",
                self.compiler,
                self.flags,
                source.display(),
                String::from_utf8_lossy(&output.stderr)
            );
            publish(scratch, &folder);
        }
        built
    }

    /// Names the build: the sources (those among the options too) and where they lie, the headers, the compiler, the
    /// options.
    fn key(&self, source: &Path) -> u64 {
        let mut hasher = DefaultHasher::new();
        let headers = [
            "fixture.h",
            "contexts.h",
            "peak.h",
            "../../include/skipheap.h",
        ]
        .map(|header| fixture_dir().join(header));
        let others = self
            .flags
            .iter()
            .filter(|flag| [".c", ".cpp", ".s"].iter().any(|end| flag.ends_with(end)));
        let others = others.map(|file| fixture_dir().join(file));
        for path in [source.to_owned()].into_iter().chain(headers).chain(others) {
            fs::read(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
                .hash(&mut hasher);
        }
        // Debug information has the folder in it.
        fixture_dir().hash(&mut hasher);
        version_of(&self.compiler).hash(&mut hasher);
        (&self.compiler, &self.output, &self.flags).hash(&mut hasher);
        hasher.finish()
    }
}

/// gcc for glibc, for musl with `PRELOAD_TESTS_LIBC=musl`, or for AArch64 with `PRELOAD_TESTS_TARGET=aarch64`.
fn c_compiler() -> String {
    if is_musl() {
        let compiler = musl_gcc().expect("musl, which the tests were asked to be run with");
        return compiler.to_owned();
    }
    emulated::compiler("gcc").unwrap_or_else(|| "gcc".to_owned())
}

/// What a compiler says that it is, asked once; nothing where there is none, which is said when it is to build something.
fn version_of(compiler: &str) -> Vec<u8> {
    static KNOWN: Mutex<Option<HashMap<String, Vec<u8>>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    let ask = || Command::new(compiler).arg("--version").output();
    let said = || ask().map(|output| output.stdout).unwrap_or_default();
    known
        .entry(compiler.to_owned())
        .or_insert_with(said)
        .clone()
}

/// A copy of a built file in a folder of its own, changed by `change`, which gets the folder and
/// the copy's path. Not cached: use it for quick changes (`strip`, `objcopy`).
pub(crate) fn patched_copy(
    original: &Path,
    change: impl FnOnce(&Path, &Path),
) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder for the copy");
    let copy = folder
        .path()
        .join(original.file_name().expect("a file name"));
    fs::copy(original, &copy).expect("the copy");
    change(folder.path(), &copy);
    // What this process has written cannot always be executed; see `copied`.
    let fresh = folder.path().join("fresh copy");
    copied(&copy, &fresh);
    fs::rename(&fresh, &copy).expect("renamed");
    (folder, copy)
}

/// Copies a program that is to be executed, by a process of its own. Were it written by this one, a child that another
/// thread has just forked could still have it open for writing, and it could not be executed.
pub(crate) fn copied(from: &Path, to: &Path) {
    let paths = [from, to].map(|path| path.to_str().expect("text"));
    output_of("cp", &["-p", paths[0], paths[1]]);
}

/// Writes a script that is to be executed; see [`copied`].
pub(crate) fn script(path: &Path, text: &str) {
    let mut source = tempfile::NamedTempFile::new().expect("a file");
    source.write_all(text.as_bytes()).expect("written");
    let paths = [source.path(), path].map(|path| path.to_str().expect("text"));
    output_of("install", &["-m", "755", paths[0], paths[1]]);
}

fn cache() -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
    fs::create_dir_all(&cache).expect("the cache of fixtures");
    cache
}

/// Renames the scratch folder to its place, unless another test was quicker.
fn publish(scratch: tempfile::TempDir, folder: &Path) {
    let scratch = scratch.keep();
    if let Err(error) = fs::rename(&scratch, folder) {
        assert!(folder.exists(), "{}: {error}", folder.display());
        fs::remove_dir_all(&scratch).expect("the scratch folder is ours");
    }
}
