//! Controls processes that run, from outside: `start`, `stop` and `snapshot`.

use crate::attach::{Attached, NotAttached, attach};
use crate::error::{Code, Failure};
use crate::load::EXTENSION;
use crate::options::ReportOptions;
use crate::terminal::term;
use crate::{inputs, scratch, whole};
use skipheap_format::layout::STOPPED;
use skipheap_format::settle::mark_snapshot;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Has a process record from now on, or not any more.
///
/// # Errors
/// When it is not being profiled or may not be written to.
pub(crate) fn set_stopped(pid: u32, stopped: bool, wanted: &ReportOptions) -> Result<u8, Failure> {
    let process = attach(pid, true).map_err(unusable)?;
    let word = if stopped { STOPPED } else { 0 };
    process.set_control(word).map_err(unusable)?;
    if !wanted.quiet {
        let name = term::printable(&process.program);
        let what = if stopped {
            "does not record"
        } else {
            "records"
        };
        term::say(&format!(
            "skip-heapprof: {name} ({pid}) {what} from now on\n"
        ));
    }
    Ok(0)
}

/// Writes what a process has recorded so far to a file, whose path is printed.
///
/// # Errors
/// When it is not being profiled, or the file cannot be written.
pub(crate) fn snapshot(pid: u32, wanted: &ReportOptions) -> Result<u8, Failure> {
    let to = wanted.output.as_deref();
    check_is_recording(to, wanted.shape.format.is_some())?;
    let process = attach(pid, false).map_err(unusable)?;
    let copy = copy(&process).map_err(unusable)?;
    let failed = |path: &Path| {
        let doing = format!("cannot write the snapshot to {}", term::path(path));
        move |error: io::Error| Failure::because(Code::Failed, doing)(error)
    };
    if to == Some(Path::new("-")) {
        return print(&copy).map(|()| 0).map_err(failed(Path::new("-")));
    }
    let path = match to {
        Some(path) => {
            spare(&process, path)?;
            let written = whole::write_named(path, |out| out.write_all(&copy));
            written.map_err(failed(path))?;
            path.to_owned()
        }
        None => {
            let folder = std::env::temp_dir();
            let names = (&*format!("skip-heap-{pid}-"), &*format!(".{EXTENSION}"));
            let written = scratch::File::new_in(&folder, names, 0o600)
                .and_then(|file| file.as_file().write_all(&copy).map(|()| file))
                .and_then(scratch::File::keep);
            written.map_err(failed(&folder))?
        }
    };
    if !wanted.quiet || to.is_none() {
        let line = [path.as_os_str().as_bytes(), b"\n"].concat();
        print(&line).map_err(failed(Path::new("-")))?;
    }
    Ok(0)
}

/// Makes sure that the recording itself, which goes on, is not written over.
fn spare(process: &Attached, to: &Path) -> Result<(), Failure> {
    let own = process.file.metadata().map_err(Failure::because(
        Code::Unusable,
        "cannot look at the recording",
    ))?;
    if inputs::id_of_file(to) == Some(inputs::id(&own)) {
        return Err(Failure::unusable(format_args!(
            "{}: this is the recording of process {}, which is still in use; name another file with -o",
            term::path(to),
            process.pid
        )));
    }
    Ok(())
}

/// Returns whether only a recording is wanted, which is all that a snapshot can be.
fn check_is_recording(to: Option<&Path>, has_format: bool) -> Result<(), Failure> {
    let ending = to.and_then(Path::extension).unwrap_or_default();
    if !has_format && (ending.is_empty() || ending == EXTENSION) {
        return Ok(());
    }
    Err(Failure::unusable(format_args!(
        "a snapshot is a recording (.{EXTENSION}); `skip-heapprof report` converts it to other formats"
    )))
}

fn copy(process: &Attached) -> Result<Vec<u8>, NotAttached> {
    let mut copy = process.copy().map_err(NotAttached::Load)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    mark_snapshot(&mut copy, now.map_or(0, |since| since.as_nanos() as u64));
    Ok(copy)
}

/// Prints bytes on standard output. That nobody reads them is no error.
///
/// # Errors
/// Those of standard output.
pub(crate) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// The process, or its recording, cannot be used.
pub(crate) fn unusable<E>(error: E) -> Failure
where
    E: std::error::Error + Send + Sync + 'static,
{
    Failure {
        code: Code::Unusable,
        error: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_no_report() {
        let is_fine = |name: &str| check_is_recording(Some(Path::new(name)), false).is_ok();
        assert!(is_fine("a.skipheap-rec") && is_fine("a") && is_fine("-"));
        assert!(!is_fine("a.html") && !is_fine("a.skipheap") && !is_fine("a.csv"));
        assert!(check_is_recording(None, false).is_ok() && check_is_recording(None, true).is_err());
    }
}
