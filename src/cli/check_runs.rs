//! Gets the runs that a check judges, and finds out whether they can be judged.

use crate::args::{ReportOptions, RunOptions};
use crate::check_files::root;
use crate::gate::out::below;
use crate::gate::places::{Places, places};
use crate::harvest::Harvest;
use crate::profile::build::CUT_OFF;
use crate::record::loss::{LOSSES, Loss};
use crate::report::rows::{Row, totals};
use crate::run::{Finished, run_once};
use crate::session::Running;
use crate::side::Side;
use crate::term::{self, counted, grouped, printable};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// What it is called.
    pub(crate) program: String,
    /// Names of the programs that ran, largest first, where they are known.
    pub(crate) programs: Vec<String>,
    /// The rows of each run.
    pub(crate) runs: Vec<Vec<Row>>,
    /// Why these cannot be judged.
    pub(crate) unfit: Vec<String>,
    /// What is to be said of them besides.
    pub(crate) notes: Vec<String>,
    /// Where sites are in the source of the project.
    pub(crate) places: Places,
}

/// Reads reports, each of one run.
pub(crate) fn of_reports(paths: &[PathBuf]) -> Measured {
    let mut measured = Measured::default();
    for path in paths {
        match Side::read(path) {
            Ok(side) => measured.add(side, ""),
            Err(failure) => measured.unfit.push(format!("{:#}", failure.error)),
        }
    }
    let first = paths
        .first()
        .map_or_else(String::new, |path| term::path(path));
    measured.program = measured.programs.first().cloned().unwrap_or(first);
    measured
}

/// Runs a program so many times, or until a run cannot be judged.
pub(crate) fn of_program(
    command: &[OsString],
    options: &RunOptions,
    wanted: &ReportOptions,
    repeat: u32,
) -> Measured {
    let mut measured = Measured::default();
    let name = command.first().map(Path::new).and_then(Path::file_name);
    measured.program = without_hash(&name.unwrap_or_default().to_string_lossy()).to_owned();
    for run in 1..=repeat {
        let of = match repeat {
            1 => String::new(),
            _ => format!(" (run {run} of {repeat})"),
        };
        match run_once(command, options, wanted) {
            Ok(finished) => measured.add_run(&finished, &of),
            Err(failure) => measured.unfit.push(format!("{:#}{of}", failure.error)),
        }
        if !measured.unfit.is_empty() {
            break;
        }
    }
    measured
}

/// The name of a test binary as its author knows it: without the hash that cargo puts behind it.
pub(crate) fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((name, hash))
            if hash.len() == 16
                && hash.bytes().all(|c| c.is_ascii_hexdigit())
                && !name.is_empty() =>
        {
            name
        }
        _ => name,
    }
}

impl Measured {
    fn add_run(&mut self, finished: &Finished, of: &str) {
        match (finished.signal(), finished.status()) {
            (Some(signal), _) => {
                let name = signal_hook::low_level::signal_name(signal).unwrap_or("unknown");
                self.unfit.push(format!(
                    "the program was killed by signal {signal} ({name}){of}"
                ));
            }
            (None, 0) => {}
            (None, status) => {
                self.unfit
                    .push(format!("the program failed with exit status {status}{of}"));
            }
        }
        let mut running = Vec::new();
        let side = Side::of(|output, wish| {
            let (harvest, still_running) = finished.harvest(output, wish)?;
            running = still_running;
            Ok(harvest)
        });
        match side {
            Ok(side) if !finished.is_profiled() && side.rows.is_empty() => {
                self.unfit.push(format!(
                    "nothing was profiled{of}: the program is left out itself, and started none that could be \
                     profiled (--programs says which are)"
                ));
            }
            Ok(side) => self.add(side, of),
            Err(error) => self.unfit.push(format!("{error}{of}")),
        }
        for Running { pid, exe } in running {
            let exe = printable(&exe);
            self.unfit.push(format!(
                "process {pid} ({exe}) still runs, so that its allocations are not all there{of}"
            ));
        }
    }

    /// Adds the rows of a run, and what speaks against them.
    fn add(&mut self, side: Side, of: &str) {
        let name = match of.is_empty() && self.runs.is_empty() {
            true => String::new(),
            false if of.is_empty() => format!(" ({})", side.name),
            false => of.to_owned(),
        };
        if let Some(harvest) = &side.harvest {
            self.unfit
                .extend(gaps(harvest).into_iter().map(|gap| format!("{gap}{name}")));
            self.note(harvest);
        }
        if let Some(profile) = &side.profile {
            let root = root();
            let is_ours = |file: &str| {
                let inside = below(Path::new(file), &root);
                inside.is_some_and(|inside| root.join(inside).is_file())
            };
            self.places.extend(places(profile, is_ours));
        }
        if totals(&side.rows).calls == 0 {
            self.unfit.push(format!("there are no allocations{name}"));
        }
        if side
            .rows
            .iter()
            .any(|row| row.variance > 0.0 || row.samples != row.calls)
        {
            self.unfit.push(format!(
                "the figures are estimates from a sample{name}: a check needs exact counts (no --sample)"
            ));
        }
        if self.programs.is_empty() {
            self.programs = side.programs;
        }
        self.runs.push(side.rows);
    }

    /// What does not make the figures wrong, but should be known.
    fn note(&mut self, harvest: &Harvest) {
        if let Some(text) = crate::ends::text(harvest) {
            self.notes.push(text);
        }
        for (&count, loss) in harvest.losses.iter().zip(&LOSSES) {
            if count > 0 && !matters(loss.loss) {
                self.notes.push(format!("{} {}", grouped(count), loss.text));
            }
        }
        self.notes.sort();
        self.notes.dedup();
    }
}

/// Does a loss make counts of calls and bytes wrong? Those before the C library is ready are the same few
/// in each run, and those of lives concern none.
fn matters(loss: Loss) -> bool {
    !matches!(
        loss,
        Loss::TooEarly | Loss::NotFollowed | Loss::LifetimesFull
    )
}

/// What is missing from recordings.
pub(crate) fn gaps(harvest: &Harvest) -> Vec<String> {
    let mut gaps = Vec::new();
    for (&count, loss) in harvest.losses.iter().zip(&LOSSES) {
        if count > 0 && matters(loss.loss) {
            gaps.push(format!("{} {}", grouped(count), loss.text));
        }
    }
    if harvest.missing > 0 {
        gaps.push(format!("{} {CUT_OFF}", grouped(harvest.missing)));
    }
    for (path, end, missing) in &harvest.cut_off {
        gaps.push(format!(
            "{}: cut off at offset {end}, {} missing",
            term::path(path),
            counted(*missing, "byte", "bytes")
        ));
    }
    for error in &harvest.unreadable {
        gaps.push(format!("a recording cannot be read: {error}"));
    }
    if harvest.processes.is_empty() && harvest.unreadable.is_empty() {
        gaps.push(
            "nothing was recorded: the library did not start in the program (an empty environment, or no \
             room for the recording?)"
                .to_owned(),
        );
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harvest::Process;

    fn harvest() -> Harvest {
        Harvest {
            processes: vec![Process::default()],
            ..Harvest::default()
        }
    }

    #[test]
    fn gaps_that_make_counts_wrong_are_told_from_others() {
        assert!(gaps(&harvest()).is_empty());
        let mut with_losses = harvest();
        with_losses.losses = [0, 3, 0, 0, 7, 8, 9];
        let gaps = gaps(&with_losses);
        assert_eq!(gaps.len(), 1);
        assert!(gaps[0].starts_with("3 allocations not recorded: no memory"));
        let mut measured = Measured::default();
        measured.note(&with_losses);
        assert_eq!(measured.notes.len(), 3);
        assert!(super::gaps(&Harvest::default())[0].starts_with("nothing was recorded"));
        let cut_off = Harvest {
            missing: 4096,
            ..harvest()
        };
        assert!(super::gaps(&cut_off)[0].starts_with("4,096 bytes of the recording missing"));
    }

    #[test]
    fn rows_that_cannot_be_judged_are_refused() {
        let row = Row {
            size: 8,
            calls: 3,
            total: 24,
            samples: 3,
            ..Row::default()
        };
        let unfit = |rows: Vec<Row>| {
            let mut measured = Measured::default();
            let side = Side {
                rows,
                ..Side::default()
            };
            measured.add(side, "");
            measured.unfit
        };
        assert!(unfit(vec![row.clone()]).is_empty());
        assert_eq!(unfit(vec![]), ["there are no allocations"]);
        let sampled = Row {
            variance: 3.0,
            ..row
        };
        assert!(unfit(vec![sampled])[0].contains("from a sample"));
    }
}
