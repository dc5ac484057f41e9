//! The last runs of a program as a baseline: a folder of their profiles.

use crate::check_runs;
use crate::error::{Code, Failure};
use crate::inputs;
use crate::side::Side;
use crate::terminal::term;
use skipheap_compare::diff::csv;
use skipheap_compare::gate::baseline;
use skipheap_profile::file;
use skipheap_profile::report::rows::Row;
use std::cmp::Reverse;
use std::path::{Path, PathBuf};

/// Number of runs that are used by default.
pub(crate) const RUNS: usize = 20;

/// Returns whether a path is a folder of profiles. A folder of recordings is a single run.
pub(crate) fn is_history(path: &Path) -> bool {
    path.is_dir()
        && inputs::find(&[path.to_owned()], None).is_ok_and(|found| !found.files.is_empty())
}

/// Reads up to `most` runs, those that started last: the median run by bytes, with the fewest and the
/// most calls of each site in any of the runs. Also returns a note for each run that was left out.
///
/// # Errors
/// Fails if a profile cannot be read, or if none can be a baseline. The error names the file.
pub(crate) fn read(folder: &Path, most: usize) -> Result<(Side, Vec<String>), Failure> {
    let found = inputs::find(&[folder.to_owned()], None)
        .map_err(Failure::because(Code::Unusable, "cannot read the baseline"))?;
    let mut last: Vec<(u64, &PathBuf)> = Vec::new();
    for path in &found.files {
        let profile =
            file::read(path).map_err(Failure::because(Code::Unusable, term::path(path)))?;
        let starts = profile.processes.iter().map(|process| process.start_ns);
        last.push((starts.min().unwrap_or(0), path));
    }
    last.sort_by_key(|&(start, _)| Reverse(start));
    let mut rows: Vec<Vec<Row>> = Vec::new();
    let mut programs: Vec<String> = Vec::new();
    let mut left_out = Vec::new();
    for (_, path) in last {
        if rows.len() == most {
            break;
        }
        let side = Side::read(path)?;
        let mut flaws = check_runs::flaws(&side);
        if side.is_merged() {
            flaws.push("it is a merged profile, not a single run".to_owned());
        }
        if let Some((newest, own)) = check_runs::others(&programs, &side.programs) {
            flaws.push(format!(
                "it is a run of {own}, but the newest run is of {newest}"
            ));
        }
        if flaws.is_empty() {
            if rows.is_empty() {
                programs = side.programs;
            }
            rows.push(side.rows);
        } else {
            left_out.push(format!(
                "{} is left out of the baseline: {}",
                term::path(path),
                flaws.join("; ")
            ));
        }
    }
    if rows.is_empty() {
        return Err(Failure::unusable(format_args!(
            "{}: contains no usable baseline: {}",
            term::path(folder),
            left_out.join("; ")
        )));
    }
    let unusable = || Failure::because(Code::Unusable, term::path(folder));
    let mut text = Vec::new();
    baseline::write(&rows, &mut text).map_err(unusable())?;
    let sheet =
        csv::read(&text[..]).map_err(Failure::because(Code::Unusable, term::path(folder)))?;
    let side = Side {
        name: term::path(folder),
        rows: sheet.rows,
        spreads: sheet.spreads,
        programs,
        ..Side::default()
    };
    Ok((side, left_out))
}

/// Says how to add a run to the baseline, as a sentence without a full stop.
pub(crate) fn accept(folder: &Path) -> String {
    format!(
        "add the profile of this run to the folder (skip-heapprof --merge -o {}/NAME.skipheap ...)",
        term::path(folder)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_profile::sum::testing::Fleet;
    use std::fs;

    fn folder(runs: &[u32]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let fleet = Fleet {
            sites: 40,
            live: false,
        };
        for &run in runs {
            let mut bytes = Vec::new();
            file::write(&fleet.run(run), &mut bytes).expect("packed");
            fs::write(folder.path().join(format!("{run}.skipheap")), bytes).expect("written");
        }
        folder
    }

    fn bytes(side: &Side) -> Vec<(u64, (u64, u64))> {
        let spreads = side.spreads.iter().flatten().copied();
        side.rows.iter().map(|row| row.total).zip(spreads).collect()
    }

    #[test]
    fn the_runs_that_began_last_count() {
        // Runs of one program, which began in the order of their numbers.
        let all = folder(&[0, 4, 8, 12, 16]);
        assert!(is_history(all.path()) && !is_history(&all.path().join("0.skipheap")));
        let (last, left_out) = read(all.path(), 3).expect("read");
        assert!(left_out.is_empty(), "{left_out:?}");
        let (expected, _) = read(folder(&[8, 12, 16]).path(), RUNS).expect("read");
        assert_eq!(bytes(&last), bytes(&expected));
        let (whole, _) = read(all.path(), RUNS).expect("read");
        assert_ne!(bytes(&whole), bytes(&last));
        let is_between =
            |row: &Row, spread: &(u64, u64)| (spread.0..=spread.1).contains(&row.calls);
        let spreads = whole.spreads.as_deref().expect("spreads");
        assert!(
            whole
                .rows
                .iter()
                .zip(spreads)
                .all(|(row, spread)| is_between(row, spread))
        );
        assert!(spreads.iter().any(|(least, most)| least < most));
    }

    #[test]
    fn runs_of_other_programs_than_the_newest_are_left_out() {
        // The odd one, of another program, began before the last.
        let (side, left_out) = read(folder(&[0, 4, 5, 8]).path(), RUNS).expect("read");
        assert_eq!(left_out.len(), 1, "{left_out:?}");
        assert!(left_out[0].contains("a run of server1, but the newest run is of server0"));
        assert_eq!(side.programs, ["server0"]);
    }

    #[test]
    fn a_run_that_did_not_end_is_left_out_and_named() {
        let all = folder(&[0, 4]);
        let mut broken = Fleet {
            sites: 40,
            live: false,
        }
        .run(8);
        broken.processes[0].finished = false;
        broken.processes[0].end_ns = 0;
        let mut bytes = Vec::new();
        file::write(&broken, &mut bytes).expect("packed");
        fs::write(all.path().join("8.skipheap"), &bytes).expect("written");
        let (_, left_out) = read(all.path(), RUNS).expect("read");
        assert_eq!(left_out.len(), 1);
        assert!(
            left_out[0].contains("8.skipheap is left out of the baseline: the end of"),
            "{left_out:?}"
        );
        let alone = folder(&[]);
        fs::write(alone.path().join("8.skipheap"), &bytes).expect("written");
        let error = read(alone.path(), RUNS).unwrap_err().error.to_string();
        assert!(error.contains("contains no usable baseline"), "{error}");
    }
}
