//! The file of a baseline, which several checks may be about to write.
//!
//! A baseline is written as a whole, and only over the one that was there when the check began: of several
//! updates at once the first one counts, and the others say so and fail.

use crate::check_files::writable;
use crate::error::{Code, Failure};
use crate::terminal::term;
use crate::whole;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long another update may keep the folder. It takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(5);

/// What tells a file from the one that replaced it: device, inode, size, and time of the last
/// change.
type Identity = Option<(u64, u64, u64, i64, i64)>;

/// A baseline that is going to be written.
#[derive(Debug)]
pub(crate) struct BaselineFile {
    path: PathBuf,
    /// What was there when the check began.
    before: Identity,
}

impl BaselineFile {
    /// Makes the folder of a baseline, and finds out before a long run whether it can be written.
    ///
    /// # Errors
    /// When it cannot.
    pub(crate) fn prepare(path: &Path) -> Result<Self, Failure> {
        let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
        folder
            .and_then(|()| writable(path))
            .map_err(unwritable(path))?;
        Ok(Self {
            path: path.to_owned(),
            before: identity(path),
        })
    }

    /// Writes the baseline.
    ///
    /// # Errors
    /// When it cannot be written, or another check wrote another one after this check began.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let path = &self.path;
        let locked = Locked::new(path);
        if identity(path) != self.before {
            // Whoever wrote the same has done what is to be done.
            if fs::read(path).is_ok_and(|there| there == bytes) {
                return Ok(());
            }
            return Err(Failure::unusable(format_args!(
                "{}: another check wrote this baseline in the meantime, so it was not changed: update one after the \
                 other, or give each its own baseline, with {{program}} and {{test}} in the name",
                term::path(path)
            )));
        }
        let written = whole::write_named(path, |out| out.write_all(bytes));
        drop(locked);
        written.map_err(unwritable(path))
    }
}

fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> Failure {
    let what = format!("cannot write the baseline {}", term::path(path));
    Failure::because(Code::Unusable, what)
}

/// The identity of a regular file; `None` where there is none.
fn identity(path: &Path) -> Identity {
    let data = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let time = (data.mtime(), data.mtime_nsec());
    Some((data.dev(), data.ino(), data.size(), time.0, time.1))
}

/// The folder of a file, which only one update at a time may change. The lock is advisory, leaves
/// no file, and ends with the process.
struct Locked {
    _folder: Option<File>,
}

impl Locked {
    /// Waits for the folder. Where it cannot be locked (some network file systems), or is not let
    /// go in time, the update goes on without: two of them may then miss each other in the few
    /// instructions between their look and their rename, and what stays is still one baseline,
    /// whole.
    fn new(path: &Path) -> Self {
        let real = path.canonicalize();
        let path = real.as_deref().unwrap_or(path);
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let folder = File::open(folder).ok();
        let begin = Instant::now();
        if let Some(folder) = &folder {
            while let Err(rustix::io::Errno::WOULDBLOCK) =
                flock(folder, FlockOperation::NonBlockingLockExclusive)
                && begin.elapsed() < PATIENCE
            {
                thread::sleep(PAUSE);
            }
        }
        Self { _folder: folder }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_updates_at_once_the_first_one_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("heap/a.csv");
        for round in 0..20 {
            let writers: Vec<_> = (0..8)
                .map(|writer| (BaselineFile::prepare(&path).expect("writable"), writer))
                .collect();
            let text = |writer: u32| format!("{round} {writer}\n").repeat(1000);
            let written: Vec<bool> = thread::scope(|scope| {
                let threads: Vec<_> = writers
                    .iter()
                    .map(|(file, writer)| {
                        scope.spawn(|| file.write(text(*writer).as_bytes()).is_ok())
                    })
                    .collect();
                let ended = threads.into_iter().map(|thread| thread.join());
                ended.map(|written| written.expect("no panic")).collect()
            });
            let there = fs::read_to_string(&path).expect("read");
            for ((_, writer), written) in writers.iter().zip(&written) {
                assert_eq!(there == text(*writer), *written, "{written:?}");
            }
        }
        let names = fs::read_dir(path.parent().expect("one")).expect("read");
        assert_eq!(names.count(), 1, "nothing else is left");
    }

    #[test]
    fn the_same_baseline_may_be_written_by_several() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        let (one, two) = (
            BaselineFile::prepare(&path).expect("writable"),
            BaselineFile::prepare(&path).expect("writable"),
        );
        one.write(b"text").expect("written");
        two.write(b"text").expect("the same");
        let said = format!("{:#}", two.write(b"other").unwrap_err().error);
        assert!(said.contains("another check wrote this baseline"), "{said}");
        assert_eq!(fs::read(&path).expect("read"), b"text");
    }
}
