//! The report at the end of the process: the recording's sites with their names, as CSV.
//!
//! [`fn@write`] runs once, in a cold section, as late as the process allows: other threads may still be
//! counting. The recording is complete without it.

use crate::process::Process;
use crate::recording::create_in_tmp;
use crate::settings::{PATH_LEN, settings};
use crate::{exit_lines, log, sys, verify};
use skipheap_format::layout::HEADER_LEN;
use skipheap_format::loss::Loss;
use skipheap_format::messages;
use skipheap_format::reader::Recording;
use skipheap_format::settle::settled;
use skipheap_profile::build::{self, Detail};
use skipheap_profile::report::{csv, csv_all};
use skipheap_profile::rows::rows;
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::object_file::Missing;
use skipheap_symbolize::places::Places;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;

/// Memory that the names of a program take at most, of usual ones.
const ROOM: usize = 16 << 20;

/// Without the tool, writes the CSV and the lines that name it.
pub(crate) fn write(process: &Process) {
    if !settings().session.get().is_empty() {
        return;
    }
    let copy;
    let in_place = if sys::threads() == 1 {
        // SAFETY: a cold section of the only thread.
        unsafe { process.recording.bytes() }
    } else {
        None
    };
    let bytes = if let Some(bytes) = in_place {
        bytes
    } else {
        // Other threads may go on adding to it.
        let first = process.recording.snapshot();
        copy = settled(&first, process.recording.snapshot());
        &copy
    };
    // Without room for names, a report would have none, and the recording that still has them all would be gone.
    let written = if process.recording.path().is_none() || sys::can_map(ROOM) {
        write_csv(bytes)
    } else {
        complain("there is no memory for the report");
        Err(())
    };
    if let Ok(recording) = Recording::parse(bytes) {
        verify::report(&recording);
    }
    if let (Some(path), Ok(())) = (process.recording.path(), written)
        && !settings().keep
    {
        sys::unlink(path);
    } else if written.is_err() {
        let path = path_of(process);
        if !path.is_empty() {
            log::line(&[b"heap profiler: the recording is ", path]);
        }
    }
}

/// Path of the recording, for messages; empty without one.
pub(crate) fn path_of(process: &Process) -> &[u8] {
    process.recording.path().map_or(&[], trimmed)
}

/// What comes before the NUL at the end of a path.
fn trimmed(path: &[u8]) -> &[u8] {
    path.split(|&byte| byte == 0).next().unwrap_or(&[])
}

/// Writes the report of the program that this one has replaced by exec, if there is one.
pub(crate) fn write_predecessor(process: &Process) {
    let Some(path) = process.recording.predecessor() else {
        return;
    };
    let name = trimmed(path);
    let read = || {
        let mut file = File::open(OsStr::from_bytes(name))?;
        let mut bytes = Vec::new();
        Read::by_ref(&mut file)
            .take(HEADER_LEN)
            .read_to_end(&mut bytes)?;
        let rest = Recording::extent(&bytes).saturating_sub(HEADER_LEN);
        file.take(rest).read_to_end(&mut bytes)?;
        std::io::Result::Ok(bytes)
    };
    let written = read()
        .map_err(|error| complain(&format!("cannot read {}: {error}", name.escape_ascii())))
        .and_then(|bytes| write_csv(&bytes));
    if written.is_ok() && !settings().keep {
        sys::unlink(path);
    }
}

fn write_csv(bytes: &[u8]) -> Result<(), ()> {
    let recording = Recording::parse(bytes).map_err(|error| complain(&error.to_string()))?;
    let (mut symbolizer, mut places) = (Symbolizer::new(), Places::default());
    let all_columns = settings().all_columns;
    let detail = match all_columns {
        true => Detail::ORIGINS,
        false => Detail::CALL_SITES,
    };
    let profile = build::profile(&recording, detail, &mut symbolizer, &mut places)
        .map_err(|error| complain(&error.to_string()))?;
    let rows = rows(&profile, all_columns);
    drop(profile);
    log::seed_line(&[b"Dumping log of size ", rows.len().to_string().as_bytes()]);
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
    let mut out = unsafe { File::from_raw_fd(fd) };
    let mut text = Vec::new();
    let path = trimmed(&path);
    let was_pending = sys::is_pending(libc::SIGXFSZ);
    let formatted = match all_columns {
        true => csv_all::write(&rows, &mut text),
        false => csv::write(&rows, &mut text),
    };
    let result = formatted.and_then(|()| out.write_all(&text));
    if result.is_err() && !was_pending {
        // Beyond the file size limit the kernel raises a signal, which would end the program.
        sys::take_pending(libc::SIGXFSZ);
    }
    result.map_err(|error| complain(&format!("cannot write {}: {error}", path.escape_ascii())))?;
    log::seed_line(&[b"heap profiler: wrote allocation log to ", path]);
    say_missing_names(&symbolizer);
    exit_lines::estimate(&recording, &rows);
    exit_lines::leaks(&recording, &mut symbolizer, &mut places);
    for loss in Loss::counted() {
        let count = recording.loss(loss);
        if count > 0 {
            complain(&format!("{count} {}", messages::known_loss(loss)));
        }
    }
    Ok(())
}

/// Says which functions have no names because the file of their module is missing.
fn say_missing_names(symbolizer: &Symbolizer) {
    for file in symbolizer.missing_files() {
        let why = match file.why {
            Missing::Gone => "no longer exists",
            Missing::Replaced => "has been replaced",
            Missing::Unreadable | Missing::NeverAFile => "cannot be read",
        };
        let path = file.path.escape_ascii();
        complain(&format!("functions without names: {path} {why}"));
    }
}

/// Says why there is no report, where there was no memory for it. Allocates nothing.
pub(crate) fn excuse(process: &Process) {
    if !settings().session.get().is_empty() {
        return;
    }
    let path = path_of(process);
    log::line(&[
        b"heap profiler: not enough memory for the report",
        if path.is_empty() {
            b""
        } else {
            b"; the recording is "
        },
        path,
    ]);
}

fn complain(what: &str) {
    log::line(&[b"heap profiler: ", what.as_bytes()]);
}
