//! The report at the end of the process: the recording's sites with their names, as CSV.
//!
//! Runs once, in a cold section, as late as the process allows: other threads may still be
//! counting. The recording is complete without it.

use crate::process::Process;
use crate::record::reader::Recording;
use crate::recording::create_in_tmp;
use crate::report::{csv, rows};
use crate::settings::{PATH_LEN, settings};
use crate::symbolize::Symbolizer;
use crate::{log, sys};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::fd::FromRawFd;

/// Closes the recording and, without the tool, writes the CSV and the lines that name it.
pub(crate) fn write(process: &Process) {
    process.recording.finish();
    if !settings().session.get().is_empty() {
        return;
    }
    let written = write_csv(process);
    if let (Some(path), Ok(())) = (process.recording.path(), written)
        && !settings().keep
    {
        sys::unlink(path);
    }
}

fn write_csv(process: &Process) -> Result<(), ()> {
    let bytes = process.recording.snapshot();
    let recording = Recording::parse(&bytes).map_err(|error| complain(&error.to_string()))?;
    let rows = rows::rows(&[&recording], &mut Symbolizer::new())
        .map_err(|error| complain(&error.to_string()))?;
    log::line(&[b"Dumping log of size ", rows.len().to_string().as_bytes()]);
    let mut path = [0; PATH_LEN];
    let fd =
        create_in_tmp(&mut path, &[b"/skip-alloc-log-", b"", b""], b".csv").map_err(|error| {
            complain(&format!(
                "cannot create the allocation log in {}: {}",
                settings().tmp.get().escape_ascii(),
                std::io::Error::from_raw_os_error(error)
            ));
        })?;
    // SAFETY: just opened, and ours alone.
    let mut out = BufWriter::new(unsafe { File::from_raw_fd(fd) });
    let end = path.iter().position(|&byte| byte == 0).unwrap_or(0);
    let path = path.get(..end).unwrap_or(&[]);
    csv::write(&rows, &mut out)
        .and_then(|()| out.flush())
        .map_err(|error| complain(&format!("cannot write {}: {error}", path.escape_ascii())))?;
    log::line(&[b"heap profiler: wrote allocation log to ", path]);
    Ok(())
}

fn complain(what: &str) {
    log::line(&[b"heap profiler: ", what.as_bytes()]);
}
