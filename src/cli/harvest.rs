//! From the recordings of a run to CSV files and what the summary says: one process at a time, so
//! that a tree of a thousand processes needs no more memory than its largest one and the sum.

use crate::args::Merge;
use crate::load::{self, Cuts, Head, LoadError};
use crate::notes::Notes;
use crate::output::Output;
use crate::programs::{Program, Programs};
use crate::record::loss::LOSSES;
use crate::record::reader::Recording;
use crate::record::verified::Verified;
use crate::report::csv;
use crate::report::rows::{Row, Totals, rows, totals};
use crate::sum::Sum;
use crate::symbolize::Symbolizer;
use std::path::PathBuf;
use std::{error, fmt, io};

/// What was recorded in one process.
#[derive(Debug)]
pub(crate) struct Process {
    /// File name of its executable.
    pub(crate) program: String,
    /// Its process id.
    pub(crate) pid: u32,
    /// Sums over its rows.
    pub(crate) totals: Totals,
    /// Its own CSV, if it has one.
    pub(crate) csv: Option<PathBuf>,
}

/// What was recorded in all processes.
#[derive(Debug, Default)]
pub(crate) struct Harvest {
    /// In the order in which they began.
    pub(crate) processes: Vec<Process>,
    /// The same by program, those with the most bytes first.
    pub(crate) programs: Vec<Program>,
    /// The heads of all recordings, in the order in which the processes began.
    pub(crate) heads: Vec<Head>,
    /// Processes whose end nobody saw; for who ran them to say.
    pub(crate) unseen_ends: Vec<u32>,
    /// The CSV of all of them, if that was wanted.
    pub(crate) merged_csv: Option<PathBuf>,
    /// Sums over all processes; the same site in two processes is one.
    pub(crate) totals: Totals,
    /// The first rows of all processes together, largest first.
    pub(crate) largest: Vec<Row>,
    /// Sums of the honesty counters, in the order of [`LOSSES`].
    pub(crate) losses: [u64; LOSSES.len()],
    /// Allocations whose stacks were cut, by reason.
    pub(crate) cuts: Cuts,
    /// Sums of what the stack verifier counted, in the order of [`Verified::ALL`].
    pub(crate) verified: [u64; Verified::ALL.len()],
    /// What the library says about hooks by name.
    pub(crate) notes: Notes,
    /// Recordings whose end is missing, and where they end.
    pub(crate) cut_off: Vec<(PathBuf, u64, u64)>,
    /// Recordings that could not be read, where that is no error.
    pub(crate) unreadable: Vec<LoadError>,
}

/// What the reports are to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wish {
    /// One CSV for several processes.
    pub(crate) merge: Option<Merge>,
    /// Rows to keep for the summary.
    pub(crate) largest: usize,
    /// Go on when a recording cannot be read.
    pub(crate) tolerant: bool,
}

/// Why there are no reports.
#[derive(Debug)]
pub(crate) enum HarvestError {
    /// A recording cannot be used.
    Load(LoadError),
    /// A CSV cannot be written.
    Write(io::Error),
}

impl fmt::Display for HarvestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Write(error) => write!(f, "cannot write the report: {error}"),
        }
    }
}

impl error::Error for HarvestError {}

impl From<LoadError> for HarvestError {
    fn from(error: LoadError) -> Self {
        Self::Load(error)
    }
}

/// Reads the recordings and writes the CSV files.
///
/// The process that began first gets the main file, the others files beside it. A child of fork
/// that allocated nothing gets none.
///
/// # Errors
/// When a CSV cannot be written, or a recording not be read and `wish` is not tolerant.
pub(crate) fn harvest(
    paths: &[PathBuf],
    output: &mut Output,
    wish: Wish,
) -> Result<Harvest, HarvestError> {
    let mut harvest = Harvest::default();
    let mut heads = Vec::new();
    for path in paths {
        match load::head(path) {
            Ok(head) => heads.push(head),
            Err(error) => harvest.bear(error, wish)?,
        }
    }
    heads.sort_by(|a, b| (a.start_ns, a.pid, &a.path).cmp(&(b.start_ns, b.pid, &b.path)));
    let merge = wish.merge.or(output.is_stdout().then_some(Merge::All));
    let mut sum = Sum::default();
    let mut programs = Programs::new(merge == Some(Merge::Program));
    let mut symbolizer = Symbolizer::new();
    for head in &heads {
        let rows = match read(head, &mut harvest, &mut symbolizer) {
            Ok(Some(rows)) => rows,
            Ok(None) => continue,
            Err(error) => {
                harvest.bear(error, wish)?;
                continue;
            }
        };
        if merge.is_none() {
            harvest.write(&rows, output).map_err(HarvestError::Write)?;
        }
        if let Some(process) = harvest.processes.last() {
            programs.add(process, &rows);
        }
        if heads.len() == 1 {
            sum.set(rows);
        } else if merge == Some(Merge::All) || wish.largest > 0 {
            sum.add(&rows);
        }
    }
    harvest.programs = programs.write(output).map_err(HarvestError::Write)?;
    harvest.heads = heads;
    let mut all = sum.rows();
    harvest.totals = totals(&all);
    if merge == Some(Merge::All) && !harvest.processes.is_empty() {
        harvest.merged_csv = output
            .write_main(|out| csv::write(&all, out))
            .map_err(HarvestError::Write)?;
    }
    all.truncate(wish.largest);
    harvest.largest = all;
    Ok(harvest)
}

/// Adds a process to the harvest and returns its rows; `None` when there is nothing to say of it.
fn read(
    head: &Head,
    harvest: &mut Harvest,
    symbolizer: &mut Symbolizer,
) -> Result<Option<Vec<Row>>, LoadError> {
    let bytes = load::bytes(&head.path)?;
    let recording = Recording::parse(&bytes).map_err(LoadError::at(&head.path))?;
    let is_first = harvest.processes.is_empty();
    if recording.forked() && !is_first && recording.sites().next().is_none() {
        return Ok(None);
    }
    let rows = rows(&[&recording], symbolizer).map_err(LoadError::at(&head.path))?;
    for (sum, text) in harvest.losses.iter_mut().zip(&LOSSES) {
        *sum = sum.saturating_add(recording.loss(text.loss));
    }
    for (sum, what) in harvest.verified.iter_mut().zip(Verified::ALL) {
        *sum = sum.saturating_add(recording.counter(what as usize));
    }
    for (sum, cut) in harvest.cuts.iter_mut().zip(load::cuts(&recording)) {
        *sum = sum.saturating_add(cut);
    }
    if let Some((end, missing)) = recording.cut_off() {
        harvest.cut_off.push((head.path.clone(), end, missing));
    }
    harvest.notes.add(recording.notes());
    let exe = recording.exe();
    let program = exe.rsplit(|&byte| byte == b'/').next().unwrap_or(exe);
    harvest.processes.push(Process {
        program: String::from_utf8_lossy(program).into_owned(),
        pid: head.pid,
        totals: totals(&rows),
        csv: None,
    });
    Ok(Some(rows))
}

impl Harvest {
    /// Writes the CSV of the process that was read last.
    fn write(&mut self, rows: &[Row], output: &mut Output) -> io::Result<()> {
        let is_main = self.processes.len() == 1;
        let Some(process) = self.processes.last_mut() else {
            return Ok(());
        };
        process.csv = if is_main {
            output.write_main(|out| csv::write(rows, out))?
        } else {
            let program = process.program.as_bytes();
            Some(output.write_further(program, Some(process.pid), |out| csv::write(rows, out))?)
        };
        Ok(())
    }

    /// Notes a recording that cannot be read.
    fn bear(&mut self, error: LoadError, wish: Wish) -> Result<(), LoadError> {
        if !wish.tolerant {
            return Err(error);
        }
        self.unreadable.push(error);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::recording;
    use std::fs;
    use std::path::Path;
    use tempfile::TempDir;

    const HEADER: &str = "pc0,pc1,pc2,pc3,bytes allocated,call count,total bytes\n";
    const WISH: Wish = Wish {
        merge: None,
        largest: 10,
        tolerant: false,
    };

    struct Session {
        folder: TempDir,
        recordings: Vec<PathBuf>,
    }

    impl Session {
        /// Recordings of processes 100, 101 ..., the first of them the last to begin.
        fn new(contents: &[Vec<u8>]) -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let write = |(i, bytes): (usize, &Vec<u8>)| {
                let path = folder.path().join(format!("{i}.skipheap-rec"));
                fs::write(&path, bytes).expect("written");
                path
            };
            let recordings = contents.iter().enumerate().map(write).collect();
            Self { folder, recordings }
        }

        fn harvest(&self, wish: Wish) -> Result<Harvest, HarvestError> {
            let out = self.folder.path().join("out.csv");
            harvest(&self.recordings, &mut Output::new(Some(&out)), wish)
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
        }
    }

    fn forked(mut bytes: Vec<u8>) -> Vec<u8> {
        let at = std::mem::offset_of!(crate::record::layout::Header, forked);
        bytes[at] = 1;
        bytes
    }

    #[test]
    fn the_process_that_began_first_gets_the_main_file() {
        let session = Session::new(&[
            recording(100, 9, &[(8, 1)]),
            recording(101, 5, &[(16, 3), (100, 2)]),
        ]);
        let harvest = session.harvest(WISH).expect("a harvest");
        assert_eq!(
            session.text("out.csv"),
            format!("{HEADER}-,-,-,-,100,2,200\n-,-,-,-,16,3,48\n")
        );
        assert_eq!(
            session.text("out.program.100.csv"),
            format!("{HEADER}-,-,-,-,8,1,8\n")
        );
        let pids: Vec<u32> = harvest
            .processes
            .iter()
            .map(|process| process.pid)
            .collect();
        assert_eq!(pids, [101, 100]);
        assert_eq!(harvest.processes[0].program, "program");
        assert_eq!(
            harvest.totals,
            Totals {
                calls: 6,
                bytes: 256,
                sites: 3
            }
        );
    }

    #[test]
    fn merged_processes_are_one_report() {
        let session = Session::new(&[
            recording(100, 9, &[(8, 1), (16, 1)]),
            recording(101, 5, &[(16, 3)]),
        ]);
        let wish = Wish {
            merge: Some(Merge::All),
            ..WISH
        };
        let harvest = session.harvest(wish).expect("a harvest");
        assert_eq!(
            session.text("out.csv"),
            format!("{HEADER}-,-,-,-,16,4,64\n-,-,-,-,8,1,8\n")
        );
        assert_eq!(
            harvest.merged_csv.as_deref(),
            Some(session.folder.path().join("out.csv").as_ref())
        );
        assert_eq!(session.text("out.program.100.csv"), "");
        assert_eq!(
            harvest.totals,
            Totals {
                calls: 5,
                bytes: 72,
                sites: 2
            }
        );
    }

    #[test]
    fn a_forked_child_without_allocations_is_left_out() {
        let session = Session::new(&[
            recording(100, 1, &[(8, 1)]),
            forked(recording(101, 2, &[])),
            forked(recording(102, 3, &[(8, 2)])),
            recording(103, 4, &[]),
        ]);
        let harvest = session.harvest(WISH).expect("a harvest");
        let pids: Vec<u32> = harvest
            .processes
            .iter()
            .map(|process| process.pid)
            .collect();
        assert_eq!(pids, [100, 102, 103]);
        assert_eq!(session.text("out.program.103.csv"), HEADER);
    }

    #[test]
    fn damaged_recordings_are_errors_or_noted() {
        let mut damaged = recording(101, 2, &[(8, 1)]);
        damaged[4096] = b'x';
        let session = Session::new(&[recording(100, 1, &[(8, 1)]), damaged, vec![0; 5000]]);
        assert!(session.harvest(WISH).is_err());
        let wish = Wish {
            tolerant: true,
            ..WISH
        };
        let harvest = session.harvest(wish).expect("a harvest");
        assert_eq!((harvest.processes.len(), harvest.unreadable.len()), (1, 2));
    }

    #[test]
    fn a_site_that_names_no_frame_is_an_error_with_its_place() {
        let mut damaged = recording(100, 1, &[(8, 1)]);
        damaged[4096 + 32..4096 + 36].copy_from_slice(&77777_u32.to_le_bytes());
        let session = Session::new(&[damaged]);
        let said = session.harvest(WISH).unwrap_err().to_string();
        assert!(
            said.contains("0.skipheap-rec: ") && said.contains("offset 1244432"),
            "{said}"
        );
        assert!(!Path::new(&session.folder.path().join("out.csv")).exists());
    }
}
