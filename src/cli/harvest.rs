//! From the recordings of a run to CSV files and what the summary says: one process at a time, so
//! that a tree of a thousand processes needs no more memory than its largest one and the sum.

use crate::error::{Code, Failure};
use crate::from_profile::{self, Source};
use crate::labels::Labels;
use crate::largest;
use crate::leak_gaps::LeakGaps;
use crate::live::{self, LiveHeap, LiveRows};
use crate::load::{self, Head, LoadError};
use crate::missing_files;
use crate::notes::Notes;
use crate::options::Merge;
use crate::output::Output;
use crate::programs::{Program, Programs};
use crate::shape::{Columns, Kind};
use crate::sheet::{Read, Sheet};
use crate::signals;
use crate::stripped::StrippedPrograms;
use crate::survey::survey;
use crate::symbol_files::SymbolFiles;
use crate::terminal::progress::Progress;
use crate::terminal::term;
use crate::whole::Whole;
use rustix::process::geteuid;
use skipheap_format::cause::Cause;
use skipheap_format::note::Note;
use skipheap_format::reader::Recording;
use skipheap_format::verified::Verified;
use skipheap_profile::build::{Depth, Detail, Grouping, Lines};
use skipheap_profile::functions::{Functions, StackSums};
use skipheap_profile::report::collapsed::Value;
use skipheap_profile::report::left::Leaks;
use skipheap_profile::report::rows::{Row, Totals, totals};
use skipheap_profile::report::sum::without_origins;
use skipheap_profile::report::suppressions::Suppression;
use skipheap_profile::report::timeline;
use skipheap_profile::rows::rows;
use skipheap_profile::{Profile, build, file, redact, tree};
use skipheap_responsible::Plumbing;
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::places::Places;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{error, fmt, io};

/// What was recorded in one process.
#[derive(Debug, Default)]
pub(crate) struct Process {
    /// The name that its program was started by.
    pub(crate) program: String,
    /// Its process id.
    pub(crate) pid: u32,
    /// Of a merged profile: the runs that were added up.
    pub(crate) runs: Option<u64>,
    /// Sums over its rows.
    pub(crate) totals: Totals,
    /// Its own CSV, if it has one.
    pub(crate) csv: Option<PathBuf>,
    /// Its live heap, where blocks were followed.
    pub(crate) live: Option<LiveHeap>,
}

impl Process {
    /// What to call it where there are several: its program and its id, which a sum over runs has none of.
    pub(crate) fn who(&self) -> String {
        let program = term::printable(&self.program);
        match self.runs {
            Some(_) => program,
            None => format!("{program} {}", self.pid),
        }
    }
}

/// What was recorded in all processes.
#[derive(Debug, Default)]
pub(crate) struct Harvest {
    /// In the order in which they began.
    pub(crate) processes: Vec<Process>,
    /// Totals by program, those with the most bytes first.
    pub(crate) programs: Vec<Program>,
    /// The heads of all recordings, in the order in which the processes began.
    pub(crate) heads: Vec<Head>,
    /// Processes whose end nobody saw; for who ran them to say.
    pub(crate) unseen_ends: Vec<u32>,
    /// What is to be said of processes that could make no recording.
    pub(crate) unreached: Option<String>,
    /// The program of the command, where it was not recorded itself; for who ran it to say.
    pub(crate) unrecorded: Option<PathBuf>,
    /// The CSV of all of them, if that was wanted.
    pub(crate) merged_csv: Option<PathBuf>,
    /// Sums over all processes; the same site in two processes is one.
    pub(crate) totals: Totals,
    /// By what the largest rows are chosen.
    pub(crate) sort: Value,
    /// How many are wanted; 0: as many as usual.
    pub(crate) listed: usize,
    /// The call tree, if it is wanted; of [`Self::profile`].
    pub(crate) tree: Option<tree::Wish>,
    /// The first rows of all processes together, largest first.
    pub(crate) largest: Vec<Row>,
    /// Sums of all allocations by responsible function.
    pub(crate) functions: Functions,
    /// Most resident memory of any process of the run, where that is known.
    pub(crate) peak_rss: Option<u64>,
    /// The command line, without secrets; empty where it is not to be shown.
    pub(crate) command: String,
    /// List call sites in place of functions.
    pub(crate) lists_sites: bool,
    /// The live heap by rows, where blocks were followed.
    pub(crate) live: Option<LiveRows>,
    /// Allocations in the sample, and the square of the standard error of all bytes, where only a
    /// sample was recorded.
    pub(crate) sampled: Option<(u64, f64)>,
    /// The suppressions that were asked for; each process says what they kept away.
    pub(crate) suppressions: Vec<Suppression>,
    /// Print suppressions for the leaks.
    pub(crate) prints_suppressions: bool,
    /// What the leak checks could not look at.
    pub(crate) leak_gaps: LeakGaps,
    /// Where the timeline is, if it was wanted.
    pub(crate) timeline: Option<PathBuf>,
    /// What is missing, above 0: codes of [`skipheap_format::loss::Loss`], without
    /// `CutOff`.
    pub(crate) losses: BTreeMap<Cause<String>, u64>,
    /// Allocations whose stacks were cut, above 0: codes of
    /// [`skipheap_format::cut::Cut`].
    pub(crate) cuts: BTreeMap<Cause<String>, u64>,
    /// Sums of what the stack verifier counted, in the order of [`Verified::ALL`].
    pub(crate) verified: [u64; Verified::ALL.len()],
    /// What the library says about hooks by name.
    pub(crate) notes: Notes,
    /// Recordings whose end is missing, and where they end.
    pub(crate) cut_off: Vec<(PathBuf, u64, u64)>,
    /// Bytes that were missing from the recordings of which profiles were made.
    pub(crate) missing: u64,
    /// Recordings that could not be read, where that is no error.
    pub(crate) unreadable: Vec<LoadError>,
    /// All processes together, where that is wanted.
    pub(crate) profile: Option<Profile>,
    /// What there is to say of files with names.
    pub(crate) remarks: Vec<String>,
    /// A signal asked for the report at once, and names are missing.
    pub(crate) is_hurried: bool,
}

/// What the reports are to be.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    /// What files hold.
    pub(crate) kind: Kind,
    /// Leaks that are known.
    pub(crate) suppressions: Vec<Suppression>,
    /// Stacks of leaks of each process to keep for the summary.
    pub(crate) leaks_listed: usize,
    /// Print suppressions for the leaks.
    pub(crate) prints_suppressions: bool,
    /// Where the course of the heap is to go.
    pub(crate) timeline: Option<PathBuf>,
    /// One CSV for several processes.
    pub(crate) merge: Option<Merge>,
    /// By what these are chosen.
    pub(crate) sort: Value,
    /// The call tree.
    pub(crate) tree: Option<tree::Wish>,
    /// Rows to keep for the summary.
    pub(crate) largest: usize,
    /// List call sites in place of responsible functions.
    pub(crate) lists_sites: bool,
    /// Show source lines of responsible functions.
    pub(crate) lines: bool,
    /// What is not responsible for what it allocates.
    pub(crate) plumbing: Plumbing,
    /// Go on when a recording cannot be read.
    pub(crate) tolerant: bool,
    /// Folders with files that have names; `None`: no look elsewhere than where the modules are.
    pub(crate) symbols: Option<Vec<PathBuf>>,
    /// Keep [`Harvest::profile`].
    pub(crate) keeps_profile: bool,
    /// Leave command lines out of profiles, and not only secrets in them.
    pub(crate) no_command_line: bool,
    /// Labels of profiles.
    pub(crate) labels: Labels,
    /// Id of the process that was the command, where a run is reported.
    pub(crate) main: Option<u32>,
    /// Show no progress.
    pub(crate) quiet: bool,
}

impl Wish {
    /// Where names may come from besides the modules themselves.
    fn symbol_files(&self) -> Option<SymbolFiles> {
        SymbolFiles::new(self.symbols.as_ref()?)
    }
}

impl Wish {
    /// Returns whether anything is wanted that is known only where blocks were followed.
    pub(crate) fn needs_live(&self) -> bool {
        let of_tree = self.tree.is_some_and(|tree| tree.value.needs_live());
        self.kind.needs_live() || of_tree || self.sort.needs_live()
    }

    /// Sums for responsible functions of a profile, where they are wanted.
    pub(crate) fn sums_of(&self, profile: &Profile) -> Option<StackSums> {
        (self.largest > 0).then(|| StackSums::of_profile(profile))
    }
}

/// Why there are no reports.
#[derive(Debug)]
pub(crate) enum HarvestError {
    /// A recording cannot be used.
    Load(LoadError),
    /// A CSV cannot be written.
    Write(io::Error),
    /// A recording does not have what the report is about.
    NotFollowed(PathBuf),
}

impl fmt::Display for HarvestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => error.fmt(f),
            Self::Write(error) => write!(f, "cannot write the report: {error}"),
            Self::NotFollowed(path) => write!(
                f,
                "{}: this format needs live blocks, and the run did not track them; run with \
                 --live",
                term::path(path)
            ),
        }
    }
}

impl error::Error for HarvestError {}

impl From<HarvestError> for Failure {
    fn from(error: HarvestError) -> Self {
        let code = match error {
            HarvestError::Write(_) => Code::Failed,
            HarvestError::Load(_) | HarvestError::NotFollowed(_) => Code::Unusable,
        };
        Self {
            code,
            error: error.into(),
        }
    }
}

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
    wish: &Wish,
) -> Result<Harvest, HarvestError> {
    let mut harvest = Harvest {
        suppressions: wish.suppressions.clone(),
        prints_suppressions: wish.prints_suppressions,
        ..Harvest::default()
    };
    let (profiles, recordings): (Vec<_>, Vec<_>) =
        paths.iter().partition(|path| file::is_profile(path));
    let mut heads = Vec::new();
    for path in recordings {
        match load::head(path) {
            Ok(head) => heads.push(head),
            Err(error) => harvest.bear(error.into(), wish)?,
        }
    }
    heads.sort_by(|a, b| (a.start_ns, a.pid, &a.path).cmp(&(b.start_ns, b.pid, &b.path)));
    let merge = wish.merge.or(output.is_one().then_some(Merge::All));
    let is_one = heads.len() + profiles.len() == 1;
    let mut all = All {
        sum: Sheet::default(),
        programs: Programs::default(),
        merge,
        is_one,
        output,
        wish,
    };
    let mut reader = Reader::new(wish).map_err(HarvestError::Write)?;
    let progress = Progress::new(wish.quiet);
    // The files that others' recordings name are opened with the rights of these.
    let is_ours = |head: &Head| {
        let data = head.path.metadata();
        data.is_ok_and(|data| data.uid() == geteuid().as_raw())
    };
    if heads.len() > 1 && heads.iter().all(is_ours) {
        progress.begin("reading recordings", 1);
        reader.survey(&heads);
    }
    progress.begin("finding names", heads.len() + profiles.len());
    for &index in &main_first(&heads, wish.main) {
        let head = &heads[index];
        reader.hurry_if_asked();
        match reader.read(head, &mut harvest) {
            Ok(Some(read)) => all.add(read, 1, &mut harvest)?,
            Ok(None) => {}
            Err(error) => harvest.bear(error, wish)?,
        }
        progress.step();
    }
    for path in profiles {
        let before = harvest.processes.len();
        match reader.read_profile(path, &mut harvest) {
            Ok(read) => {
                let processes = harvest.processes.len() - before;
                all.add(read, processes, &mut harvest)?;
            }
            Err(error) => harvest.bear(error, wish)?,
        }
        progress.step();
    }
    progress.begin("writing the report", 1);
    harvest.is_hurried = reader.is_hurried;
    all.finish(&mut harvest)?;
    drop(progress);
    harvest.heads = heads;
    harvest.remarks = reader.remarks();
    if let Some(file) = reader.timeline {
        file.finish().map_err(HarvestError::Write)?;
        harvest.timeline = wish.timeline.clone();
    }
    Ok(harvest)
}

/// The order in which recordings are reported: that in which the processes began, but for the
/// command's main program, which comes first.
///
/// That is the last program of the process `command`. Where it has none that was recorded (a shell
/// that is left out), it is the process with the most bytes among those that it started, and not
/// the helper that ran first.
fn main_first(heads: &[Head], command: Option<u32>) -> Vec<usize> {
    let find = |pid: u32| {
        let own = heads.iter().rposition(|head| head.pid == pid);
        own.or_else(|| {
            let children = (0..heads.len()).filter(|&index| heads[index].ppid == pid);
            let children: Vec<usize> = children.collect();
            match children[..] {
                [] | [_] => children.first().copied(),
                _ => children
                    .into_iter()
                    .rev()
                    .max_by_key(|&index| bytes_of(&heads[index])),
            }
        })
    };
    let mut order: Vec<usize> = (0..heads.len()).collect();
    if let Some(main) = command.and_then(find) {
        order[..=main].rotate_right(1);
    }
    order
}

/// All bytes that were allocated; 0 of what cannot be read.
fn bytes_of(head: &Head) -> u64 {
    let Ok((bytes, _)) = load::bytes_and_owner(&head.path) else {
        return 0;
    };
    let Ok(recording) = Recording::parse(&bytes) else {
        return 0;
    };
    let bytes = recording
        .sites()
        .map(|site| site.size.saturating_mul(site.count));
    bytes.fold(0, u64::saturating_add)
}

/// As [`harvest`], of a profile that is at hand: one file for everything in it.
///
/// # Errors
/// When the file cannot be written, or the profile does not have what it is about.
pub(crate) fn harvest_profile(
    profile: Profile,
    output: &mut Output,
    wish: &Wish,
) -> Result<Harvest, HarvestError> {
    let mut harvest = Harvest::default();
    let read = from_profile::take(profile, Source::File, wish, &mut harvest);
    let mut all = All {
        sum: Sheet::default(),
        programs: Programs::default(),
        merge: Some(Merge::All),
        is_one: true,
        output,
        wish,
    };
    all.add(read, harvest.processes.len(), &mut harvest)?;
    all.finish(&mut harvest)?;
    Ok(harvest)
}

/// What was read so far.
struct All<'a> {
    sum: Sheet,
    programs: Programs,
    merge: Option<Merge>,
    /// Whether there is nothing else.
    is_one: bool,
    output: &'a mut Output,
    wish: &'a Wish,
}

impl All<'_> {
    /// Adds what was read, of the last so many processes of the harvest.
    fn add(
        &mut self,
        read: Read,
        processes: usize,
        harvest: &mut Harvest,
    ) -> Result<(), HarvestError> {
        if self.merge.is_none() {
            let written = harvest.write(&read, processes, self.wish.kind, self.output);
            written.map_err(HarvestError::Write)?;
        }
        let own = harvest.processes.len().saturating_sub(processes)..;
        let own = harvest.processes.get(own).unwrap_or(&[]);
        for process in own {
            self.programs.count(process);
        }
        if self.merge == Some(Merge::Program) {
            match (own, &read.profile) {
                ([one], _) => self.programs.add(&one.program, &read),
                (_, Some(profile)) => {
                    for (program, part) in from_profile::by_program(profile, self.wish) {
                        self.programs.add(&program, &part);
                    }
                }
                _ => {}
            }
        }
        if self.is_one {
            self.sum.set(read);
        } else if self.merge == Some(Merge::All) || self.wish.largest > 0 || self.wish.keeps_profile
        {
            self.sum.add(&read);
        }
        Ok(())
    }
}

impl All<'_> {
    /// Writes what is not written yet and sums up.
    fn finish(self, harvest: &mut Harvest) -> Result<(), HarvestError> {
        let (kind, output) = (self.wish.kind, self.output);
        let written = match self.merge {
            Some(Merge::Program) => self.programs.write(kind, output),
            _ => Ok(self.programs.sums()),
        };
        harvest.programs = written.map_err(HarvestError::Write)?;
        let all = self.sum.sum();
        if self.merge == Some(Merge::All) && !harvest.processes.is_empty() {
            let written = output.write_main(|out| all.write(kind, out));
            harvest.merged_csv = written.map_err(HarvestError::Write)?;
        }
        harvest.tree = self.wish.tree;
        harvest.lists_sites = self.wish.lists_sites;
        if let Some(sums) = &all.sums {
            harvest.functions = sums.functions(&self.wish.plumbing, self.wish.sort);
        }
        if let Some(profile) = all.profile.as_ref().filter(|_| self.wish.lines) {
            harvest.functions.add_places(&profile.estimated());
        }
        harvest.profile = all.profile.filter(|_| self.wish.keeps_profile);
        harvest.sum_up(all.rows, self.wish);
        Ok(())
    }
}

/// Reads recordings one after the other.
struct Reader<'w> {
    wish: &'w Wish,
    symbolizer: Symbolizer,
    places: Places,
    /// The file of the timeline and its path.
    timeline: Option<Whole>,
    symbols: Option<SymbolFiles>,
    /// Names that are not known yet are left out.
    is_hurried: bool,
    stripped: StrippedPrograms,
}

impl<'w> Reader<'w> {
    fn new(wish: &'w Wish) -> io::Result<Self> {
        let timeline = match &wish.timeline {
            Some(path) => {
                let file = Whole::named(path)?;
                file.fill(|out| timeline::write_header(out))?;
                Some(file)
            }
            None => None,
        };
        Ok(Self {
            wish,
            symbolizer: Symbolizer::new().with_debug_names(),
            places: Places::default(),
            timeline,
            symbols: wish.symbol_files(),
            is_hurried: false,
            stripped: StrippedPrograms::default(),
        })
    }

    /// Finds the names of all these processes at once.
    fn survey(&mut self, heads: &[Head]) {
        let needs_places = self.detail().lines == Lines::Everywhere;
        let places = needs_places.then_some(&mut self.places);
        survey(heads, &mut self.symbolizer, places);
    }

    /// What there is to say of files with names.
    fn remarks(&self) -> Vec<String> {
        let symbols = self.symbols.as_ref();
        let mut remarks = symbols.map_or(Vec::new(), SymbolFiles::remarks);
        remarks.extend(missing_files::remark(&self.symbolizer, symbols));
        remarks
    }

    /// Leaves out names that are not known yet when a signal has asked for the report.
    fn hurry_if_asked(&mut self) {
        if signals::is_hurried() && !self.is_hurried {
            self.is_hurried = true;
            self.symbolizer.hurry();
            self.places.hurry();
            self.symbols = None;
        }
    }

    /// Adds a process to the harvest and returns its rows; `None` when there is nothing to say of
    /// it.
    fn read(&mut self, head: &Head, harvest: &mut Harvest) -> Result<Option<Read>, HarvestError> {
        let (bytes, owner) = load::bytes_and_owner(&head.path)?;
        let recording = load::parse(&bytes, &head.path)?;
        let is_first = harvest.processes.is_empty();
        if recording.forked() && !is_first && recording.sites().next().is_none() {
            return Ok(None);
        }
        if self.wish.needs_live() && !recording.follows_blocks() {
            return Err(HarvestError::NotFollowed(head.path.clone()));
        }
        // Files that the recording names are opened with the rights of its owner, those that the user
        // names with the user's.
        let acting = owner.act().map_err(LoadError::at(&head.path))?;
        let detail = self.detail();
        // Sites with an origin each are many, of whole stacks.
        let rows_apart =
            self.wish.kind == Kind::Csv(Columns::All) && detail.sites == Grouping::Size;
        let (symbolizer, places) = (&mut self.symbolizer, &mut self.places);
        let mut of_detail = |detail| {
            let profile = build::profile(&recording, detail, symbolizer, places);
            profile.map_err(LoadError::at(&head.path))
        };
        let by_origin = match rows_apart {
            true => Some(rows(&of_detail(Detail::ORIGINS)?, true)),
            false => None,
        };
        let mut profile = of_detail(detail)?;
        let stripped = self.stripped.note(&recording);
        drop(acting);
        harvest.count(&recording, head);
        drop(bytes);
        if let Some(symbols) = &mut self.symbols {
            profile = symbols.add_to(profile);
        }
        if self.wish.no_command_line {
            // Secrets have been left out already.
            profile = profile.cleaned(false);
        }
        profile.set_labels(&self.wish.labels.of_recordings);
        let keeps_profile = self.is_of_profiles();
        let source = Source::Recording {
            keeps_profile,
            by_origin,
        };
        let read = self.take(profile, source, harvest)?;
        harvest.notes.add(stripped.map(Note::Sentence));
        Ok(Some(read))
    }

    /// Adds the processes of a profile to the harvest.
    fn read_profile(&mut self, path: &Path, harvest: &mut Harvest) -> Result<Read, HarvestError> {
        let profile = from_profile::read(path, self.wish, self.symbols.as_mut())?;
        self.take(profile, Source::File, harvest)
    }

    /// Adds the processes of a profile to the harvest and the timeline.
    fn take(
        &mut self,
        profile: Profile,
        source: Source,
        harvest: &mut Harvest,
    ) -> Result<Read, HarvestError> {
        if let Some(file) = &self.timeline {
            let written = file.fill(|out| from_profile::write_timelines(&profile, out));
            written.map_err(HarvestError::Write)?;
        }
        Ok(from_profile::take(profile, source, self.wish, harvest))
    }

    /// Returns whether the profile of a recording is wanted with everything in it.
    fn is_of_profiles(&self) -> bool {
        let is_export = matches!(self.wish.kind, Kind::Export(..));
        let has_known_leaks = !self.wish.suppressions.is_empty();
        let has_lines = self.wish.lines && self.wish.largest > 0;
        is_export
            || self.wish.keeps_profile
            || self.symbols.is_some()
            || has_known_leaks
            || has_lines
    }

    /// How much of a recording the report and the summary show.
    fn detail(&self) -> Detail {
        if self.is_of_profiles() {
            return Detail::EVERYTHING;
        }
        let has_summary = self.wish.largest > 0;
        let leaks = self.wish.leaks_listed;
        let report = match self.wish.kind {
            Kind::Collapsed(_) => Detail::STACKS,
            Kind::Csv(Columns::All) if !has_summary && leaks == 0 => Detail::ORIGINS,
            Kind::Csv(_) | Kind::Export(..) => Detail::CALL_SITES,
        };
        Detail {
            stacks: match report.stacks {
                Depth::CallSite if has_summary || leaks > 0 => Depth::Whole,
                stacks => stacks,
            },
            totals: has_summary,
            leaks,
            ..report
        }
    }
}

/// The rows as the summary has them: without origins.
pub(crate) fn plain(rows: &[Row], kind: Kind) -> Cow<'_, [Row]> {
    match kind {
        Kind::Csv(Columns::All) => Cow::Owned(without_origins(rows)),
        _ => Cow::Borrowed(rows),
    }
}

/// Adds to a count of losses or cuts.
pub(crate) fn add_to(counts: &mut BTreeMap<Cause<String>, u64>, cause: Cause<String>, count: u64) {
    if count > 0 {
        let sum = counts.entry(cause).or_default();
        *sum = sum.saturating_add(count);
    }
}

impl Harvest {
    /// Adds up what a recording says that its profile does not.
    fn count(&mut self, recording: &Recording<'_>, head: &Head) {
        for (sum, what) in self.verified.iter_mut().zip(Verified::ALL) {
            *sum = sum.saturating_add(recording.counter(what as usize));
        }
        if let Some((end, missing)) = recording.cut_off() {
            self.cut_off.push((head.path.clone(), end, missing));
        }
    }

    /// Sets the command line that the summary shows.
    pub(crate) fn set_command<'w>(&mut self, words: impl Iterator<Item = &'w str>) {
        let words = redact::command(words).join(" ");
        // In one line, whatever a script among them has; profiles hold line ends as escapes.
        let words = term::printable(&words).replace("\\x0a", " ");
        self.command = words.split_whitespace().collect::<Vec<_>>().join(" ");
    }

    /// What the summary says of all rows.
    fn sum_up(&mut self, rows: Vec<Row>, wish: &Wish) {
        let rows = plain(&rows, wish.kind);
        self.totals = totals(&rows);
        if let Some((samples, variance)) = &mut self.sampled {
            let of_rows = rows.iter().map(|row| row.samples);
            *samples = of_rows.fold(0, u64::saturating_add);
            *variance = rows.iter().map(|row| row.variance).sum();
        }
        if wish.largest > 0 {
            self.live = live::of_rows(&rows);
        }
        (self.sort, self.listed) = (wish.sort, wish.largest);
        self.largest = largest::largest(&rows, wish.sort, wish.largest);
    }

    /// Returns whether the leak check found leaks that are not suppressed.
    pub(crate) fn has_leaks(&self) -> bool {
        self.leak_checks().any(|leaks| leaks.all.blocks > 0)
    }

    /// Returns whether any process had a leak check.
    pub(crate) fn is_leak_checked(&self) -> bool {
        self.leak_checks().next().is_some()
    }

    /// What the leak checks found.
    fn leak_checks(&self) -> impl Iterator<Item = &Leaks> {
        let live = self
            .processes
            .iter()
            .filter_map(|process| process.live.as_ref());
        live.map(|live| &live.left).filter(|left| left.unreachable)
    }

    /// Writes the CSV of the last so many processes, which were read together.
    fn write(
        &mut self,
        read: &Read,
        processes: usize,
        kind: Kind,
        output: &mut Output,
    ) -> io::Result<()> {
        let first = self.processes.len().saturating_sub(processes);
        let is_main = first == 0;
        let Some(process) = self.processes.get_mut(first) else {
            return Ok(());
        };
        process.csv = if is_main {
            output.write_main(|out| read.write(kind, out))?
        } else {
            let program = process.program.as_bytes();
            Some(output.write_further(program, Some(process.pid), |out| read.write(kind, out))?)
        };
        Ok(())
    }

    /// Notes a recording that cannot be read.
    fn bear(&mut self, error: HarvestError, wish: &Wish) -> Result<(), HarvestError> {
        match error {
            HarvestError::Load(error) if wish.tolerant => {
                self.unreadable.push(error);
                Ok(())
            }
            error => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::recording;
    use std::fs;
    use tempfile::TempDir;

    const HEADER: &str = "pc0,pc1,pc2,pc3,bytes allocated,call count,total bytes\n";
    const WISH: Wish = Wish {
        kind: Kind::Csv(Columns::Seed),
        suppressions: Vec::new(),
        leaks_listed: 10,
        prints_suppressions: false,
        timeline: None,
        merge: None,
        sort: Value::Bytes,
        tree: None,
        largest: 10,
        lists_sites: false,
        lines: false,
        plumbing: Plumbing::new(),
        quiet: true,
        tolerant: false,
        symbols: None,
        keeps_profile: false,
        no_command_line: false,
        labels: Labels {
            of_recordings: Vec::new(),
            given: Vec::new(),
        },
        main: None,
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
            harvest(&self.recordings, &mut Output::new(Some(&out)), &wish)
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
        }
    }

    fn forked(mut bytes: Vec<u8>) -> Vec<u8> {
        let at = std::mem::offset_of!(skipheap_format::layout::Header, forked);
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
