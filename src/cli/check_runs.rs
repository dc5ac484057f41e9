//! Gets the runs that a check judges, and finds out whether they can be judged.

use crate::check_files::repository;
use crate::harvest::Harvest;
use crate::options::{ReportOptions, RunOptions};
use crate::remaining::Running;
use crate::run::{Finished, run_once};
use crate::side::Side;
use crate::signals;
use crate::summary;
use crate::terminal::term::{self, printable};
use skipheap_compare::gate::places::{Places, places};
use skipheap_format::loss::Loss;
use skipheap_profile::report::rows::{Row, totals};
use skipheap_profile::{Process, Profile};
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
    /// Why these cannot be judged if there is less of them than there was.
    pub(crate) doubts: Vec<String>,
    /// What is to be said of them besides.
    pub(crate) notes: Vec<String>,
    /// Where sites are in the source of the project.
    pub(crate) places: Places,
    /// Whether the baseline is a merged profile, so that means of processes are compared.
    means: bool,
}

/// Reads reports, each of one run. With `means` they are compared with a merged profile.
pub(crate) fn of_reports(paths: &[PathBuf], means: bool) -> Measured {
    let mut measured = Measured::new(means);
    for path in paths {
        match Side::read(path) {
            Ok(side) => {
                measured.add_ends(&side, &[], "");
                measured.add(side, "");
            }
            Err(failure) => measured.unfit.push(format!("{:#}", failure.error)),
        }
    }
    let first = paths
        .first()
        .map_or_else(String::new, |path| term::path(path));
    measured.program = measured.programs.first().cloned().unwrap_or(first);
    measured
}

/// Runs a program so many times, or until a run cannot be judged. With `means` the runs are compared with a
/// merged profile.
pub(crate) fn of_program(
    command: &[OsString],
    options: &RunOptions,
    wanted: &ReportOptions,
    repeat: u32,
    means: bool,
) -> Measured {
    let mut measured = Measured::new(means);
    let name = command.first().map(Path::new).and_then(Path::file_name);
    measured.program = without_hash(&name.unwrap_or_default().to_string_lossy()).to_owned();
    for run in 1..=repeat {
        let of = match repeat {
            1 => String::new(),
            _ => format!(" (run {run} of {repeat})"),
        };
        match run_once(command, options, wanted) {
            Ok(finished) => {
                signals::end_if_asked();
                measured.add_run(&finished, &of);
            }
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

/// The largest programs of both, where these are known and have none in common. Which is the
/// largest of a tree changes with little, and so does the hash in the name of a test binary with
/// every build.
pub(crate) fn others<'a>(old: &'a [String], new: &'a [String]) -> Option<(&'a str, &'a str)> {
    let names = |programs: &'a [String]| programs.iter().map(|name| without_hash(name));
    let is_common = names(old).any(|old| names(new).any(|new| old == new));
    match (names(old).next(), names(new).next()) {
        (Some(was), Some(is)) if !is_common => Some((was, is)),
        _ => None,
    }
}

impl Measured {
    /// Nothing yet.
    fn new(means: bool) -> Self {
        let mut measured = Self {
            means,
            ..Self::default()
        };
        if means {
            measured.notes.push(
                "the baseline is a merged profile, so all figures are means per process".to_owned(),
            );
        }
        measured
    }

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
        let (mut running, mut unreached) = (Vec::new(), None);
        let side = Side::of(|output, wish| {
            let (harvest, still_running) = finished.harvest(output, wish)?;
            running = still_running;
            unreached = harvest.unreached.clone();
            Ok(harvest)
        });
        match side {
            Ok(side) if !finished.is_profiled() && side.rows.is_empty() => {
                self.unfit.push(format!(
                    "nothing was profiled{of}: the program itself is left out, and it started none that could be \
                     profiled (--programs selects programs)"
                ));
            }
            Ok(side) => {
                // What became of these is known, and said.
                let mut known: Vec<u32> = running.iter().map(|process| process.pid).collect();
                known.push(finished.pid());
                self.add_ends(&side, &known, of);
                self.add(side, of);
            }
            Err(error) => self.unfit.push(format!("{error}{of}")),
        }
        self.unfit
            .extend(unreached.map(|text| format!("{text}{of}")));
        for Running { pid, exe, .. } in running {
            let exe = printable(&exe);
            self.unfit.push(format!(
                "process {pid} ({exe}) is still running, so its allocations are incomplete{of}"
            ));
        }
    }

    /// Adds what the ends of processes say against a run, but those that are `known`.
    fn add_ends(&mut self, side: &Side, known: &[u32], of: &str) {
        let ends = Ends::of(side, known);
        let name = self.name(side, of);
        let named = |text: String| format!("{text}{name}");
        self.unfit.extend(ends.broken.into_iter().map(named));
        self.doubts.extend(ends.unclear.into_iter().map(named));
    }

    /// Which run it is, where there are several.
    fn name(&self, side: &Side, of: &str) -> String {
        match of.is_empty() && self.runs.is_empty() {
            true => String::new(),
            false if of.is_empty() => format!(" ({})", side.name),
            false => of.to_owned(),
        }
    }

    /// Adds the rows of a run, and what speaks against them.
    fn add(&mut self, mut side: Side, of: &str) {
        let name = self.name(&side, of);
        if side.is_merged() && !self.means {
            self.unfit.push(format!(
                "{} is a merged profile, which can only be checked against a merged baseline",
                side.name
            ));
        }
        if self.means {
            if side.profile.is_none() {
                self.unfit.push(format!(
                    "{} is a CSV, which does not record its number of processes, so it cannot be compared with a \
                     merged baseline: use a profile (.skipheap) or a recording",
                    side.name
                ));
            } else if let Err(failure) = side.take_means() {
                self.unfit.push(format!("{:#}", failure.error));
            }
        }
        if let Some(harvest) = &side.harvest {
            self.unfit
                .extend(gaps(harvest).into_iter().map(|gap| format!("{gap}{name}")));
            self.note(harvest);
        }
        if let Some(profile) = &side.profile {
            let repository = repository();
            let is_ours = |file: &str| repository.owns(Path::new(file));
            self.places.extend(places(profile, is_ours));
        }
        if totals(&side.rows).calls == 0 {
            self.unfit.push(format!("there are no allocations{name}"));
        }
        if is_sampled(&side) {
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
        if let Some(text) = crate::summary::ends::text(harvest) {
            self.notes.push(text);
        }
        self.notes
            .extend(summary::losses(harvest, |loss| !matters(loss)));
        self.notes.sort();
        self.notes.dedup();
    }
}

/// Returns whether the figures are estimates. A CSV of seven columns does not say.
fn is_sampled(side: &Side) -> bool {
    let is_estimate = |row: &Row| row.variance > 0.0 || row.samples != row.calls;
    let is_sample = |harvest: &Harvest| harvest.sampled.is_some();
    side.rows.iter().any(is_estimate) || side.harvest.as_ref().is_some_and(is_sample)
}

/// Why a report cannot be a baseline.
pub(crate) fn flaws(side: &Side) -> Vec<String> {
    let mut flaws = side.harvest.as_ref().map(gaps).unwrap_or_default();
    flaws.extend(Ends::of(side, &[]).broken);
    if is_sampled(side) {
        flaws.push("its figures are estimates from a sample".to_owned());
    }
    if flaws.is_empty() && totals(&side.rows).calls == 0 {
        flaws
            .push("the baseline has no rows, or none with calls: everything would pass".to_owned());
    }
    flaws
}

/// Processes whose end the library did not see, by what that means.
#[derive(Debug, Default, PartialEq, Eq)]
struct Ends {
    /// They are not all there: the process was killed, or went on.
    broken: Vec<String>,
    /// They may not be. A child of fork that executes a program which is left out, as what `system`
    /// of Perl starts does, leaves a recording without an end too.
    unclear: Vec<String>,
}

impl Ends {
    fn of(side: &Side, known: &[u32]) -> Self {
        let mut ends = Self::default();
        let Some(profile) = &side.profile else {
            return ends;
        };
        for process in &profile.processes {
            if process.finished || known.contains(&process.pid) || has_successor(profile, process) {
                continue;
            }
            let program = printable(profile.text(process.program));
            let name = format!("process {} ({program})", process.pid);
            let less = "and there is less than in the baseline";
            if process.merged.is_some() {
                ends.unclear.push(format!(
                    "the end of some runs of {program} was not seen, {less}"
                ));
            } else if process.end_ns != 0 {
                // That of a snapshot is when it was made.
                ends.broken.push(format!(
                    "{name} continued: the report is a snapshot, not the whole run"
                ));
            } else if is_copy(profile, process) {
                ends.unclear.push(format!(
                    "the end of {name}, a child of fork, was not seen, {less}: it may have been killed"
                ));
            } else {
                ends.broken.push(format!(
                    "the end of {name} was not seen: it was killed, still runs, or was replaced by a \
                     program that was not recorded (--programs '!NAME' leaves a program out)"
                ));
            }
        }
        ends
    }
}

/// Returns whether a process executed a further program that was recorded too. It keeps its id.
fn has_successor(profile: &Profile, process: &Process) -> bool {
    let mut others = profile.processes.iter();
    process.merged.is_none()
        && others.any(|other| other.pid == process.pid && other.start_ns > process.start_ns)
}

/// Returns whether fork made it of a process that is there as well.
fn is_copy(profile: &Profile, process: &Process) -> bool {
    let mut others = profile.processes.iter();
    let parent = process.ppid;
    parent != process.pid && others.any(|other| other.pid == parent && other.exe == process.exe)
}

/// Returns whether a loss makes counts of calls and bytes wrong. Losses before the C library is ready
/// are the same few in each run, and losses of lifetimes affect no count. One that is not known may.
fn matters(loss: Option<Loss>) -> bool {
    !matches!(
        loss,
        Some(Loss::TooEarly | Loss::NotFollowed | Loss::LifetimesFull)
    )
}

/// What is missing from recordings.
fn gaps(harvest: &Harvest) -> Vec<String> {
    let mut gaps = summary::gaps(harvest, matters);
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
    use crate::shape::{Columns, Kind};
    use crate::testing::recording;
    use crate::{from_profile, harvest};
    use skipheap_format::cause::Cause;
    use skipheap_format::layout::{Header, STATE_FINISHED, STATE_RUNNING, STATE_SNAPSHOT};
    use skipheap_profile::sum::testing::Fleet;
    use skipheap_profile::sum::{By, Sum};
    use std::fs;
    use std::mem::offset_of;

    fn harvest() -> Harvest {
        Harvest {
            processes: vec![harvest::Process::default()],
            ..Harvest::default()
        }
    }

    #[test]
    fn a_loss_that_is_not_known_makes_a_report_incomplete() {
        let sentence = |text| Cause::Sentence(u32::try_from(text).expect("few texts"));
        for later in [false, true] {
            let mut profile = skipheap_profile::testing::small();
            profile.strings.push("moons lost behind a planet".into());
            let cause = match later {
                true => Cause::Code(99),
                false => sentence(profile.strings.len() - 1),
            };
            profile.processes[0].losses = vec![(cause, 7)];
            let mut harvest = Harvest::default();
            let wish = crate::side::wish_of(Kind::Csv(Columns::Seed));
            from_profile::take(profile, from_profile::Source::File, &wish, &mut harvest);
            let gaps = gaps(&harvest);
            assert_eq!(gaps.len(), 1);
            let said = match later {
                true => "7 losses of a kind that only a later version",
                false => "7 moons lost behind a planet",
            };
            assert!(gaps[0].starts_with(said), "{gaps:?}");
        }
    }

    #[test]
    fn programs_are_others_when_none_is_in_common() {
        let others = |old: &[&str], new: &[&str]| {
            let owned = |names: &[&str]| names.iter().map(|&name| name.into()).collect::<Vec<_>>();
            let (old, new) = (owned(old), owned(new));
            others(&old, &new).map(|(was, is)| (was.to_owned(), is.to_owned()))
        };
        let expected = Some(("jq".into(), "perl".into()));
        assert_eq!(others(&["jq", "sh"], &["perl"]), expected);
        assert_eq!(others(&["jq", "perl"], &["perl", "jq"]), None);
        assert_eq!(others(&["jq", "perl"], &["perl"]), None);
        assert_eq!(others(&[], &["perl"]), None);
        let (one, two) = ("parse-0123456789abcdef", "parse-fedcba9876543210");
        assert_eq!(others(&[one], &[two]), None);
    }

    #[test]
    fn gaps_that_make_counts_wrong_are_told_from_others() {
        assert!(gaps(&harvest()).is_empty());
        let mut with_losses = harvest();
        let code = |loss: Loss| Cause::Code(loss.code());
        let harmless = [Loss::TooEarly, Loss::NotFollowed, Loss::LifetimesFull];
        with_losses.losses = harmless.map(code).into_iter().zip(7..).collect();
        with_losses.losses.insert(code(Loss::NoMemory), 3);
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

    #[test]
    fn a_merged_baseline_is_judged_by_the_process_and_a_merged_run_is_not_judged() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, profile: &Profile| {
            let mut bytes = Vec::new();
            skipheap_profile::file::write(profile, &mut bytes).expect("packed");
            let path = folder.path().join(name);
            fs::write(&path, bytes).expect("written");
            path
        };
        let fleet = Fleet {
            sites: 50,
            live: false,
        };
        let one = fleet.run(3);
        let mut sum = Sum::new(By::default());
        for _ in 0..12 {
            sum.add(&one).expect("a run");
        }
        let mut grown = one.clone();
        for site in &mut grown.sites {
            site.figures.calls *= 12;
            site.figures.samples *= 12;
        }
        let paths = [
            write("sum.skipheap", &sum.finish()),
            write("one.skipheap", &one),
            write("grown.skipheap", &grown),
        ];
        let mut baseline = Side::read(&paths[0]).expect("read");
        assert!(baseline.is_merged());
        baseline.take_means().expect("means");
        let bytes = |measured: &Measured| totals(&measured.runs[0]).bytes;
        let expected = totals(&baseline.rows).bytes;
        assert_eq!(bytes(&of_reports(&paths[1..2], true)), expected);
        assert_eq!(bytes(&of_reports(&paths[2..], true)), 12 * expected);
        assert_eq!(bytes(&of_reports(&paths[..1], true)), expected);
        let unfit = of_reports(&paths[..1], false).unfit;
        assert!(unfit[0].contains("is a merged profile"), "{unfit:?}");
    }

    /// The sides that these recordings are, together.
    fn side(recordings: &[Vec<u8>]) -> Side {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in (0..).zip(recordings) {
            let path = folder.path().join(format!("{name}.skipheap-rec"));
            fs::write(path, bytes).expect("written");
        }
        let is_one = recordings.len() == 1;
        let path = folder.path().join("0.skipheap-rec");
        Side::read(if is_one { &path } else { folder.path() }).expect("read")
    }

    /// A recording in some state, of a child of `parent`.
    fn in_state(state: u32, pid: u32, start_ns: u64, parent: u32) -> Vec<u8> {
        let mut bytes = recording(pid, start_ns, &[(8, 3)]);
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(offset_of!(Header, state), &state.to_le_bytes());
        put(offset_of!(Header, ppid), &parent.to_le_bytes());
        let end = u64::from(state != STATE_RUNNING) * (start_ns + 1);
        put(offset_of!(Header, end_ns), &end.to_le_bytes());
        bytes
    }

    #[test]
    fn processes_that_did_not_come_to_an_end_are_no_whole_run() {
        let whole = in_state(STATE_FINISHED, 10, 1, 1);
        let ends = |recordings: &[Vec<u8>]| Ends::of(&side(recordings), &[]);
        assert_eq!(ends(std::slice::from_ref(&whole)), Ends::default());
        let killed = in_state(STATE_RUNNING, 11, 2, 1);
        let found = ends(&[whole.clone(), killed.clone()]);
        assert!(
            found.broken[0].starts_with("the end of process 11 (program) was not seen"),
            "{found:?}"
        );
        let known = Ends::of(&side(std::slice::from_ref(&killed)), &[11]);
        assert_eq!(known, Ends::default());
        // What it executed was recorded.
        let next = in_state(STATE_FINISHED, 11, 3, 1);
        assert_eq!(ends(&[killed.clone(), next]), Ends::default());
        let snapshot = in_state(STATE_SNAPSHOT, 12, 2, 1);
        let found = ends(std::slice::from_ref(&snapshot));
        assert!(found.broken[0].contains("continued"), "{found:?}");
        // It may have executed a program that is left out.
        let found = ends(&[whole, in_state(STATE_RUNNING, 13, 2, 10)]);
        assert_eq!((found.broken.len(), found.unclear.len()), (0, 1));
        let mut measured = Measured::default();
        let side = side(&[killed]);
        measured.add_ends(&side, &[], "");
        assert_eq!(measured.unfit.len(), 1);
    }

    #[test]
    fn a_baseline_that_would_let_everything_pass_is_none() {
        let whole = recording(1, 1, &[(8, 3)]);
        assert_eq!(flaws(&side(std::slice::from_ref(&whole))), [""; 0]);
        let said = |recording: Vec<u8>| flaws(&side(&[recording])).join("; ");
        assert!(said(recording(1, 1, &[])).contains("the baseline has no rows"));
        let cut = whole[..whole.len() - 100].to_vec();
        assert!(said(cut).contains("cut off at offset"));
        assert!(said(in_state(STATE_RUNNING, 1, 1, 1)).contains("was not seen"));
        let mut lossy = whole.clone();
        lossy[offset_of!(Header, losses)] = 5;
        assert!(said(lossy).contains("5 allocations not recorded"));
        let mut sampled = whole;
        sampled[offset_of!(Header, sample_bytes)] = 1;
        assert!(said(sampled).contains("a sample"));
        let sampled = Side {
            rows: vec![Row {
                calls: 3,
                samples: 1,
                ..Row::default()
            }],
            ..Side::default()
        };
        assert!(flaws(&sampled)[0].contains("a sample"));
        assert!(flaws(&Side::default())[0].contains("the baseline has no rows"));
    }
}
