//! Profiles as a partitioned dataset of Parquet files, for engines that look at many of them:
//!
//! ```text
//! FOLDER/date=2026-11-25/program=jq/5f0c....parquet
//! ```
//!
//! A file holds the processes of one profile that belong there, sorted. Its name is derived from the
//! processes, so that writing a profile again replaces its file. Values are escaped as Hive does it; an unknown
//! value is `__HIVE_DEFAULT_PARTITION__`.
//!
//! Only the date and the program are folders: a folder for each build and host would make more folders than
//! files, and engines spend their time on listing them.

pub(crate) mod compact;

use crate::error::naming;
use crate::scratch;
use skipheap_export::parquet::Rows;
use skipheap_profile::sum::identity;
use skipheap_profile::{Process, Profile};
use skipheap_symbolize::hash::FastHasher;
use std::collections::BTreeMap;
use std::fs;
use std::hash::Hasher;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// What Hive, Spark and DuckDB take for "not known".
const UNKNOWN: &str = "__HIVE_DEFAULT_PARTITION__";

/// A dataset that is written to.
pub(crate) struct Dataset {
    folder: PathBuf,
    files: u64,
}

impl Dataset {
    /// In a folder that may hold some of it already.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder).map_err(naming(folder))?;
        Ok(Self {
            folder: folder.to_owned(),
            files: 0,
        })
    }

    /// Files that were written.
    pub(crate) fn files(&self) -> u64 {
        self.files
    }

    /// Writes the processes of a profile.
    ///
    /// # Errors
    /// Those of the files, with their names.
    pub(crate) fn add(&mut self, profile: &Profile) -> io::Result<()> {
        let mut partitions: BTreeMap<PathBuf, Vec<u32>> = BTreeMap::new();
        for (index, process) in (0..).zip(&profile.processes) {
            let partition = partition(profile, process);
            partitions.entry(partition).or_default().push(index);
        }
        for (partition, processes) in partitions {
            let mut name = FastHasher::default();
            for &process in &processes {
                name.write_u64(identity(profile, &profile.processes[process as usize]));
            }
            let folder = self.folder.join(partition);
            let path = folder.join(format!("{:016x}.parquet", name.finish()));
            let written = if processes.len() == profile.processes.len() {
                write(profile, &folder, &path)
            } else {
                let own = profile.only(|process| processes.contains(&process));
                write(&own, &folder, &path)
            };
            written.map_err(naming(&path))?;
            self.files += 1;
        }
        Ok(())
    }
}

/// Writes the rows of a profile to a file.
fn write(profile: &Profile, folder: &Path, path: &Path) -> io::Result<()> {
    put(folder, path, |file| {
        let mut rows = Rows::sorted(file)?;
        rows.add(profile)?;
        rows.finish()
    })
}

/// Writes a file beside its place and puts it there when it is complete.
fn put(
    folder: &Path,
    path: &Path,
    write: impl FnOnce(BufWriter<&fs::File>) -> parquet::errors::Result<BufWriter<&fs::File>>,
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    // Engines pass over what begins with a dot.
    let file = scratch::File::new_in(folder, (".unfinished-", ""), 0o666)?;
    let mut written = write(BufWriter::new(file.as_file())).map_err(io::Error::other)?;
    written.flush()?;
    drop(written);
    file.persist(path).map_err(|failed| failed.0)
}

/// The folder of a process below that of the dataset.
fn partition(profile: &Profile, process: &Process) -> PathBuf {
    [
        ("date", &*date(process.start_ns)),
        ("program", profile.text(process.program)),
    ]
    .iter()
    .map(|(key, value)| format!("{key}={}", escaped(value)))
    .collect()
}

/// A value as a part of a path.
fn escaped(value: &str) -> String {
    if value.is_empty() {
        return UNKNOWN.to_owned();
    }
    value.chars().fold(String::new(), |mut text, c| {
        match c {
            '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^' => {
                text.push_str(&format!("%{:02X}", u32::from(c)));
            }
            c if c.is_ascii_control() => text.push_str(&format!("%{:02X}", u32::from(c))),
            c => text.push(c),
        }
        text
    })
}

/// The day in UTC, as `2026-11-25`.
fn date(ns: u64) -> String {
    let days = ns / 1_000_000_000 / 86_400;
    // In years that begin with March, so that the day that is not always there is the last one; and eras of
    // 400 years, of which all are alike.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (year, month + 3),
        _ => (year + 1, month - 9),
    };
    format!("{:04}-{month:02}-{day:02}", year + 400 * era)
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_profile::sum::testing::Fleet;

    fn files(folder: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).expect("a folder") {
                let path = entry.expect("an entry").path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => {
                        let path = path.strip_prefix(folder).expect("below");
                        found.push(path.to_string_lossy().into_owned());
                    }
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_798_761_599, "2026-12-31"),
            (1_798_761_600, "2027-01-01"),
            (4_107_542_400, "2100-03-01"),
        ] {
            assert_eq!(date(seconds * 1_000_000_000), expected);
        }
    }

    #[test]
    fn values_cannot_lead_elsewhere() {
        assert_eq!(escaped("a/../b=c%\n"), "a%2F..%2Fb%3Dc%25%0A");
        assert_eq!(escaped("Ünïcode x-1.2_3"), "Ünïcode x-1.2_3");
        assert_eq!(escaped(""), UNKNOWN);
    }

    #[test]
    fn a_profile_that_is_written_again_replaces_its_files() {
        let folder = tempfile::tempdir().expect("a folder");
        let fleet = Fleet {
            sites: 30,
            live: false,
        };
        // One profile with processes of two programs.
        let mut tables = skipheap_profile::intern::Tables::default();
        tables.add(&fleet.run(0));
        tables.add(&fleet.run(1));
        for _ in 0..2 {
            let mut dataset = Dataset::new(folder.path()).expect("made");
            dataset.add(&tables.profile).expect("written");
            dataset.add(&fleet.run(2)).expect("written");
            assert_eq!(dataset.files(), 3);
        }
        let files = files(folder.path());
        assert_eq!(files.len(), 3, "{files:?}");
        let expected = "date=2026-09-21/program=server1/";
        assert!(files[1].starts_with(expected), "{files:?}");
    }
}
