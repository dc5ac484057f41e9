//! Where CSV files go and how they are named.

use crate::error::naming;
use crate::inputs::{self, Id};
use crate::shape::Kind;
use crate::sheet::Read;
use crate::{scratch, whole};
use skipheap_export::Format;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What the names of fresh files begin with, as those of the library.
const FRESH: &str = "skip-alloc-log-";
/// Longest part of a program's name in a file name.
const LONGEST_NAME: usize = 64;

/// Where the CSV files of one run go.
#[derive(Debug)]
pub(crate) struct Output {
    place: Place,
    /// What the names of fresh files end with.
    extension: &'static str,
    used: HashSet<PathBuf>,
    /// Files that are read, and not written over.
    spared: HashSet<Id>,
}

#[derive(Debug)]
enum Place {
    /// Nowhere: nothing is written.
    Nowhere,
    /// Standard output.
    Stdout,
    /// The file that the user named.
    Named(PathBuf),
    /// A random name, to be made with the first file.
    Fresh,
    /// The random name that was made.
    Made(PathBuf),
}

impl Output {
    /// From the option; `-` is standard output.
    pub(crate) fn new(option: Option<&Path>) -> Self {
        let place = match option {
            Some(path) if path == Path::new("-") => Place::Stdout,
            Some(path) => Place::Named(path.to_owned()),
            None => Place::Fresh,
        };
        Self {
            place,
            extension: "csv",
            used: HashSet::new(),
            spared: HashSet::new(),
        }
    }

    /// Writes nothing: there is something else to see.
    pub(crate) fn nowhere() -> Self {
        Self {
            place: Place::Nowhere,
            ..Self::new(None)
        }
    }

    /// Has fresh files end with something else than `csv`.
    pub(crate) fn with_extension(self, extension: &'static str) -> Self {
        Self { extension, ..self }
    }

    /// Has it write over none of these files, whatever the names of further files come to be.
    pub(crate) fn spare(&mut self, paths: &[PathBuf]) {
        let ids = paths.iter().filter_map(|path| inputs::id_of_file(path));
        self.spared.extend(ids);
    }

    /// Returns whether there is only one stream for all processes, or none.
    pub(crate) fn is_one(&self) -> bool {
        matches!(self.place, Place::Nowhere | Place::Stdout)
    }

    /// Returns whether it goes to standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout)
    }

    /// Returns whether the tool chose the names.
    pub(crate) fn is_fresh(&self) -> bool {
        matches!(self.place, Place::Fresh | Place::Made(_))
    }

    /// The main file, once its name is known; `None` for standard output.
    pub(crate) fn main(&self) -> Option<&Path> {
        match &self.place {
            Place::Named(path) | Place::Made(path) => Some(path),
            Place::Nowhere | Place::Stdout | Place::Fresh => None,
        }
    }

    /// Finds out before a long run whether the named file can be written, and leaves what it holds.
    ///
    /// # Errors
    /// The one that writing would meet.
    pub(crate) fn check(&self) -> io::Result<()> {
        match &self.place {
            Place::Named(path) => whole::check(path),
            _ => Ok(()),
        }
    }

    /// Writes the main CSV, and returns its path; `None` for standard output.
    ///
    /// # Errors
    /// Those of the file. That nobody reads standard output any more is none.
    pub(crate) fn write_main(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Option<PathBuf>> {
        let path = match &self.place {
            Place::Nowhere => return Ok(None),
            Place::Stdout => {
                whole::through(WhileRead(io::stdout().lock()), write)?;
                return Ok(None);
            }
            Place::Named(path) => {
                whole::write_named(path, write)?;
                path.clone()
            }
            Place::Fresh | Place::Made(_) => {
                let path = write_fresh(self.extension, write)?;
                self.place = Place::Made(path.clone());
                path
            }
        };
        self.used.insert(path.clone());
        Ok(Some(path))
    }

    /// Writes a report without a site to the named file: nothing was recorded, and what it holds is of another run.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn write_nothing(&mut self, kind: Kind) -> io::Result<()> {
        match self.place {
            Place::Named(_) => self
                .write_main(|out| Read::default().write(kind, out))
                .map(drop),
            _ => Ok(()),
        }
    }

    /// Writes the CSV of a further process, or of a further program where `pid` is `None`: beside
    /// the main one if the user named that, else all in one folder of its name. A tree of a
    /// thousand processes leaves no thousand files among the temporary ones.
    ///
    /// # Errors
    /// Those of the file.
    pub(crate) fn write_further(
        &mut self,
        program: &[u8],
        pid: Option<u32>,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let (Place::Named(main) | Place::Made(main)) = &self.place else {
            return Err(io::Error::other("no main file"));
        };
        let main = main.clone();
        let folder = self
            .is_fresh()
            .then(|| main.with_file_name(Format::split_name(&main).0));
        if let Some(folder) = &folder
            && !self.used.contains(folder)
        {
            fs::DirBuilder::new()
                .mode(0o700)
                .create(folder)
                .map_err(naming(folder))?;
            self.used.insert(folder.clone());
        }
        // A process that executes another program, or itself, leaves several recordings.
        for attempt in 1.. {
            let path = match &folder {
                Some(folder) => {
                    let name = name_of(OsString::new(), program, pid, attempt, self.extension);
                    folder.join(name)
                }
                None => beside(&main, program, pid, attempt),
            };
            if !self.used.insert(path.clone()) {
                continue;
            }
            if inputs::id_of_file(&path).is_some_and(|id| self.spared.contains(&id)) {
                let error = io::Error::other("it is an input; name another file with -o");
                return Err(naming(&path)(error));
            }
            return whole::write_unnamed(&path, write).map(|()| path);
        }
        Err(io::Error::from(io::ErrorKind::AlreadyExists))
    }
}

/// Writes as long as somebody reads. That a reader such as `head` has enough is no error.
struct WhileRead<W>(W);

impl<W: Write> Write for WhileRead<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            other => other,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// Writes a new file that nobody else can have prepared, and returns its path.
fn write_fresh(
    extension: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let folder = std::env::temp_dir();
    let names = (FRESH, &*format!(".{extension}"));
    let file = scratch::File::new_in(&folder, names, 0o600).map_err(naming(&folder))?;
    whole::through(file.as_file(), write)
        .and_then(|()| file.keep())
        .map_err(naming(&folder))
}

/// `out.csv` with the program and the process id before the ending, which may be one of several parts.
fn beside(main: &Path, program: &[u8], pid: Option<u32>, attempt: u32) -> PathBuf {
    let (stem, extension) = Format::split_name(main);
    let mut stem = stem.to_owned();
    stem.push(".");
    main.with_file_name(name_of(stem, program, pid, attempt, extension))
}

/// `stem` with the program, the process id and the extension behind it.
pub(crate) fn name_of(
    stem: OsString,
    program: &[u8],
    pid: Option<u32>,
    attempt: u32,
    extension: impl AsRef<OsStr>,
) -> OsString {
    let mut name = stem;
    name.push(file_name_of(program));
    if let Some(pid) = pid {
        name.push(format!(".{pid}"));
    }
    if attempt > 1 {
        name.push(format!("-{attempt}"));
    }
    if !extension.as_ref().is_empty() {
        name.push(".");
        name.push(extension);
    }
    name
}

/// The name of a program without anything that is awkward in a file name.
fn file_name_of(program: &[u8]) -> OsString {
    let name = Path::new(OsStr::from_bytes(program))
        .file_name()
        .unwrap_or_default()
        .as_bytes();
    let mut name: Vec<u8> = name
        .iter()
        .take(LONGEST_NAME)
        .map(|&byte| match byte {
            b'.' | b'_' | b'-' | b'+' => byte,
            _ if byte.is_ascii_alphanumeric() => byte,
            _ => b'_',
        })
        .collect();
    if name.is_empty() {
        name.push(b'_');
    }
    OsString::from_vec(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::PermissionsExt;

    fn text(text: &'static str) -> impl FnOnce(&mut dyn Write) -> io::Result<()> {
        move |out| out.write_all(text.as_bytes())
    }

    #[test]
    fn further_files_are_named_by_program_and_process() {
        let name = |main: &str, program: &str, attempt| {
            beside(Path::new(main), program.as_bytes(), Some(12), attempt)
        };
        assert_eq!(
            name("/a.b/out.csv", "/usr/bin/jq", 1),
            Path::new("/a.b/out.jq.12.csv")
        );
        assert_eq!(name("out", "a b/c d\n", 1), Path::new("out.c_d_.12"));
        assert_eq!(
            name("out.x.csv", "python3.11", 3),
            Path::new("out.x.python3.11.12-3.csv")
        );
        assert_eq!(name("out.csv", "", 1), Path::new("out._.12.csv"));
        assert_eq!(name("a.x.PB.gz", "jq", 1), Path::new("a.x.jq.12.PB.gz"));
    }

    #[test]
    fn a_named_file_is_checked_and_then_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("out.csv");
        fs::write(&path, "something longer").expect("written");
        let mut output = Output::new(Some(&path));
        output.check().expect("can be written");
        assert_eq!(fs::read_to_string(&path).expect("kept"), "something longer");
        assert_eq!(
            output.write_main(text("main")).expect("written"),
            Some(path.clone())
        );
        assert_eq!(fs::read_to_string(&path).expect("replaced"), "main");
        for (attempt, name) in ["out.p.1.csv", "out.p.1-2.csv"].iter().enumerate() {
            let further = output
                .write_further(b"/p", Some(1), text("further"))
                .expect("written");
            assert_eq!(further, folder.path().join(name), "{attempt}");
        }
        assert!(Output::new(Some(folder.path())).check().is_err());
        assert!(Output::new(Some(&path.join("below"))).check().is_err());
        Output::new(Some(Path::new("/dev/full")))
            .check()
            .expect("a device");
    }

    #[test]
    fn fresh_files_are_ours_alone() {
        let mut output = Output::new(None);
        let main = output
            .write_main(text("x"))
            .expect("written")
            .expect("a file");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        let name = main.file_name().expect("a name").to_string_lossy();
        assert!(name.starts_with(FRESH) && name.ends_with(".csv"), "{name}");
        assert_eq!(mode(&main), 0o600);
        let folder = main.with_extension("");
        for (pid, name) in [
            (Some(9), "p.9.csv"),
            (Some(9), "p.9-2.csv"),
            (None, "p.csv"),
        ] {
            let further = output.write_further(b"/p", pid, text("y"));
            let further = further.expect("written");
            assert_eq!(further, folder.join(name));
            assert_eq!(mode(&further), 0o600);
        }
        assert_eq!(mode(&folder), 0o700);
        fs::remove_file(&main).expect("removed");
        fs::remove_dir_all(&folder).expect("removed");
    }

    #[test]
    fn a_link_under_a_name_that_the_user_did_not_choose_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("precious"), "kept").expect("written");
        std::os::unix::fs::symlink("precious", path("out.p.7.csv")).expect("a link");
        let mut output = Output::new(Some(&path("out.csv")));
        output.write_main(text("main")).expect("written");
        let further = output.write_further(b"/p", Some(7), text("further"));
        assert_eq!(further.expect("written"), path("out.p.7.csv"));
        let read = |name: &str| fs::read_to_string(path(name)).expect("a file");
        assert_eq!(
            (read("precious"), read("out.p.7.csv")),
            ("kept".into(), "further".into())
        );
        let mode = |name: &str| {
            fs::symlink_metadata(path(name))
                .expect("there")
                .permissions()
        };
        for name in ["out.csv", "out.p.7.csv"] {
            assert_eq!(mode(name).mode() & 0o7777, 0o600, "{name}");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 3);
    }

    #[test]
    fn a_reader_that_has_enough_is_no_error() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let mut out = WhileRead(writer);
        out.write_all(b"text").expect("nobody minds");
        out.flush().expect("nobody minds");
        let full = File::options().write(true).open("/dev/full");
        assert!(WhileRead(full.expect("/dev/full")).write_all(b"x").is_err());
    }

    #[test]
    fn a_full_disk_is_an_error_that_names_the_file() {
        let mut output = Output::new(Some(Path::new("/dev/full")));
        let error = output.write_main(text("x")).unwrap_err();
        assert!(error.to_string().starts_with("/dev/full: "), "{error}");
    }
}
