//! Reads one side of a comparison: a CSV, a profile, a recording, or a folder of recordings.

use crate::error::{Code, Failure};
use crate::harvest::{Harvest, HarvestError, Wish, harvest};
use crate::labels::Labels;
use crate::load::LoadError;
use crate::options::Merge;
use crate::output::Output;
use crate::shape::Kind;
use crate::terminal::term;
use crate::{input_file, reporting, scratch, session};
use skipheap_compare::diff::csv;
use skipheap_export::Format;
use skipheap_profile::report::collapsed::Style;
use skipheap_profile::report::collapsed::Value;
use skipheap_profile::report::rows::Row;
use skipheap_profile::rows::rows;
use skipheap_profile::{Profile, file};
use skipheap_responsible::Plumbing;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// What recordings begin with.
const RECORDING: &[u8] = b"SKIPHEAP";

/// One of the runs that are compared.
#[derive(Debug, Default)]
pub(crate) struct Side {
    /// What to call it.
    pub(crate) name: String,
    /// Its rows, with origins where they are known.
    pub(crate) rows: Vec<Row>,
    /// Of a CSV: least and most calls of each row, where it states them.
    pub(crate) spreads: Option<Vec<(u64, u64)>>,
    /// Of a CSV: the line of each row.
    pub(crate) lines: Vec<u64>,
    /// Names of the programs that ran, largest first; empty where that is not known.
    pub(crate) programs: Vec<String>,
    /// What was recorded besides rows, where it is no CSV.
    pub(crate) harvest: Option<Harvest>,
    /// Everything, where it is no CSV.
    pub(crate) profile: Option<Profile>,
    /// Whether figures are means of the processes of each program.
    pub(crate) is_mean: bool,
}

impl Side {
    /// Reads a file or a folder.
    ///
    /// # Errors
    /// When it cannot be read or is no report: the file, the place, and what is wrong.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let unreadable =
            |error: io::Error| Failure::because(Code::Unusable, term::path(path))(error);
        refuse_devices(path).map_err(unreadable)?;
        if path.is_dir() || file::is_profile(path) || is_recording(path).map_err(unreadable)? {
            return Self::of_recordings(path);
        }
        let file = input_file::open(path).map_err(unreadable)?;
        let sheet = csv::read(BufReader::new(file))
            .map_err(Failure::because(Code::Unusable, term::path(path)))?;
        Ok(Self {
            name: term::path(path),
            rows: sheet.rows,
            spreads: sheet.spreads,
            lines: sheet.lines,
            ..Self::default()
        })
    }

    fn of_recordings(path: &Path) -> Result<Self, Failure> {
        let unusable = |error: HarvestError| Failure {
            code: Code::Unusable,
            error: error.into(),
        };
        let recordings =
            reporting::recordings(&[path.to_owned()]).map_err(|error| unusable(error.into()))?;
        let mut side =
            Self::of(|output, wish| harvest(&recordings, output, wish)).map_err(unusable)?;
        side.name = term::path(path);
        Ok(side)
    }

    /// The rows of a harvest that `read` makes, all processes together.
    ///
    /// # Errors
    /// Those of `read`, and those of temporary files.
    pub(crate) fn of(
        read: impl FnOnce(&mut Output, &Wish) -> Result<Harvest, HarvestError>,
    ) -> Result<Self, HarvestError> {
        // By way of a file: that is where the sum of a tree of processes goes.
        let folder = scratch::Folder::new_in(&std::env::temp_dir(), session::PREFIX);
        let folder = folder.map_err(HarvestError::Write)?;
        let path = folder.path().join("all").with_extension(file::EXTENSION);
        let mut output = Output::new(Some(&path));
        let harvest = read(&mut output, &wish())?;
        let mut side = Self::default();
        if path.exists() {
            let profile = file::read(&path).map_err(LoadError::at(&path))?;
            side.rows = rows(&profile, true);
            side.profile = Some(profile);
        }
        let names = harvest.programs.iter().map(|program| program.name.clone());
        side.programs = names.collect();
        side.name = side.programs.first().cloned().unwrap_or_default();
        side.harvest = Some(harvest);
        Ok(side)
    }
}

impl Side {
    /// Returns whether the figures are sums over runs.
    pub(crate) fn is_merged(&self) -> bool {
        let profile = self.profile.as_ref();
        profile.is_some_and(|profile| profile.merged_runs() > 1)
    }

    /// Replaces the figures by the means of the processes of each program, so that a sum over runs can be compared
    /// with a single run. A CSV, which does not say what it is made of, stays as it is.
    ///
    /// # Errors
    /// When it is a comparison of two runs.
    pub(crate) fn take_means(&mut self) -> Result<(), Failure> {
        let Some(profile) = &self.profile else {
            return Ok(());
        };
        let mean = profile
            .mean_of_processes()
            .map_err(Failure::because(Code::Unusable, &self.name))?;
        self.rows = rows(&mean, true);
        self.profile = Some(mean);
        self.is_mean = true;
        Ok(())
    }
}

/// Everything of all processes in one file.
fn wish() -> Wish {
    wish_of(Kind::Export(Format::Skipheap, Style::default()))
}

/// All processes in one file of this kind, and no summary.
pub(crate) fn wish_of(kind: Kind) -> Wish {
    Wish {
        kind,
        suppressions: Vec::new(),
        leaks_listed: 0,
        prints_suppressions: false,
        timeline: None,
        merge: Some(Merge::All),
        sort: Value::Bytes,
        tree: None,
        largest: 0,
        lists_sites: false,
        lines: false,
        plumbing: Plumbing::new(),
        quiet: false,
        tolerant: false,
        symbols: None,
        keeps_profile: false,
        no_command_line: false,
        labels: Labels::default(),
        main: None,
    }
}

/// Devices may have no end, and no report is kept in one. Pipes are as good as files.
fn refuse_devices(path: &Path) -> io::Result<()> {
    let kind = path.metadata()?.file_type();
    match kind.is_char_device() || kind.is_block_device() {
        true => Err(io::Error::other("a device, not a report")),
        false => Ok(()),
    }
}

fn is_recording(path: &Path) -> io::Result<bool> {
    // Of a pipe nothing is to be read here that is not there afterwards.
    if !path.metadata()?.is_file() {
        return Ok(false);
    }
    let mut file = input_file::open(path)?;
    let mut first = Vec::new();
    file.by_ref()
        .take(RECORDING.len() as u64)
        .read_to_end(&mut first)?;
    file.rewind()?;
    Ok(first == RECORDING)
}

/// The two sides of a comparison. If one is a merged profile, both are means of processes, and a line says so.
///
/// # Errors
/// Those of [`Side::read`]; and when one is a merged profile and the other a CSV, which does not say how many
/// processes it is made of.
pub(crate) fn both(old: &Path, new: &Path) -> Result<(Side, Side), Failure> {
    let mut sides = [Side::read(old)?, Side::read(new)?];
    if let Some(merged) = sides.iter().find(|side| side.is_merged()) {
        let merged = merged.name.clone();
        if let Some(csv) = sides.iter().find(|side| side.profile.is_none()) {
            return Err(Failure::unusable(format_args!(
                "{merged} is a merged profile and cannot be compared with the CSV {}, which does not record its \
                 number of runs: compare profiles (.skipheap) or recordings",
                csv.name
            )));
        }
        term::say(&format!(
            "note: {merged} is a merged profile, so all figures are means per process\n"
        ));
        for side in &mut sides {
            side.take_means()?;
        }
    }
    Ok(sides.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::recording;
    use std::fs;

    #[test]
    fn recordings_folders_and_csv_files_are_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a.skipheap-rec"), recording(1, 1, &[(16, 2)])).expect("written");
        fs::write(path("b.skipheap-rec"), recording(2, 1, &[(16, 3)])).expect("written");
        let figures = |side: &Side| -> Vec<(u64, u64)> {
            side.rows.iter().map(|row| (row.size, row.calls)).collect()
        };
        let one = Side::read(&path("a.skipheap-rec")).expect("read");
        assert_eq!(figures(&one), [(16, 2)]);
        let both = Side::read(folder.path()).expect("read");
        assert_eq!(figures(&both), [(16, 5)]);
        assert_eq!(both.harvest.expect("a harvest").processes.len(), 2);
        fs::write(
            path("a.csv"),
            format!(
                "{}\nf,-,-,-,16,2,32\n",
                skipheap_profile::report::csv::HEADER.join(",")
            ),
        )
        .expect("written");
        let csv = Side::read(&path("a.csv")).expect("read");
        assert_eq!((figures(&csv), csv.lines), (vec![(16, 2)], vec![2]));
    }

    #[test]
    fn errors_name_the_file_and_the_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.csv");
        fs::write(
            &path,
            format!(
                "{}\nf,-,-,-,x,2,32\n",
                skipheap_profile::report::csv::HEADER.join(",")
            ),
        )
        .expect("written");
        let said = format!("{:#}", Side::read(&path).unwrap_err().error);
        let expected = format!("{}: line 2, column `bytes allocated`: ", path.display());
        assert!(said.starts_with(&expected), "{said}");
        let failure = Side::read(Path::new("/no/such")).unwrap_err();
        assert!(format!("{:#}", failure.error).starts_with("/no/such: "));
        assert_eq!(failure.code, Code::Unusable);
    }

    #[test]
    fn devices_are_no_reports() {
        for path in ["/dev/zero", "/dev/full", "/dev/null"] {
            let failure = Side::read(Path::new(path)).unwrap_err();
            let said = format!("{:#}", failure.error);
            assert_eq!(said, format!("{path}: a device, not a report"));
        }
    }
}
