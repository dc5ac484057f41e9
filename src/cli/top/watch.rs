//! What is known of the process that is watched, from one moment to the next.

use super::copy::Copy;
use super::functions::Functions;
use super::names::Names;
use super::processor_time;
use super::rows::{Row, Rows};
use crate::attach::Attached;
use crate::owner::Owner;
use skipheap_format::layout::{Header, STOPPED};
use skipheap_format::reader::{LiveTotals, Recording};
use skipheap_profile::functions;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::mem::offset_of;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Moments that are remembered for the curve.
const MOST_MOMENTS: usize = 512;
/// No more than one part in so many of the time goes into reading and drawing.
const SHARE: u32 = 150;

/// How a process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It records.
    Runs,
    /// It runs and does not record.
    Stopped,
    /// It came to its end, or was replaced by another program.
    Ended,
}

/// Sums over all rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Allocations.
    pub(crate) calls: u64,
    /// Bytes.
    pub(crate) bytes: u64,
    /// Allocations since the last moment.
    pub(crate) recent: u64,
    /// Bytes since the last moment.
    pub(crate) recent_bytes: u64,
    /// Blocks alive, where they are followed.
    pub(crate) live: u64,
    /// Their bytes.
    pub(crate) live_bytes: u64,
}

/// A process that is watched.
pub(crate) struct Watch {
    /// Its id.
    pub(crate) pid: u32,
    /// Its program.
    pub(crate) program: String,
    pub(crate) names: Names,
    pub(crate) rows: Rows,
    /// The rows by who is responsible.
    pub(crate) functions: Functions,
    /// Read what lived at the peak, too.
    pub(crate) wants_peaks: bool,
    pub(crate) totals: Totals,
    /// The live heap as the process has added it up.
    pub(crate) live: Option<LiveTotals>,
    /// Whether a sample is recorded, and not every allocation.
    pub(crate) is_sample: bool,
    /// Whether whole stacks are recorded.
    pub(crate) has_whole_stacks: bool,
    pub(crate) standing: Standing,
    /// Resident memory, 0 where it is not known.
    pub(crate) rss: u64,
    /// How long it had been running.
    pub(crate) age: Duration,
    /// Bytes allocated in each second, the latest last.
    pub(crate) curve: VecDeque<u64>,
    /// From the moment before the last one; `None` at first.
    pub(crate) elapsed: Option<Duration>,
    copy: Copy,
    exe: PathBuf,
    at: Option<Instant>,
    cost: Duration,
}

impl Watch {
    /// Begins to watch.
    ///
    /// # Errors
    /// When the recording cannot be read.
    pub(crate) fn new(process: Attached) -> io::Result<Self> {
        let mut watch = Self {
            exe: exe_of(process.pid),
            pid: process.pid,
            program: process.program,
            names: Names::new(Owner::of(&process.file).ok()),
            rows: Rows::default(),
            functions: Functions::new(functions::plumbing()),
            wants_peaks: false,
            totals: Totals::default(),
            live: None,
            is_sample: false,
            has_whole_stacks: false,
            standing: Standing::Runs,
            rss: 0,
            age: Duration::ZERO,
            curve: VecDeque::new(),
            elapsed: None,
            copy: Copy::new(process.file),
            at: None,
            cost: Duration::ZERO,
        };
        // What is new counts from the next time on.
        watch.refresh()?;
        watch.refresh()?;
        // What had been allocated before is no rate.
        watch.elapsed = None;
        watch.curve.clear();
        Ok(watch)
    }

    /// Looks again.
    ///
    /// # Errors
    /// When the recording cannot be read.
    pub(crate) fn refresh(&mut self) -> io::Result<()> {
        if self.standing == Standing::Ended {
            return Ok(());
        }
        let began = processor_time();
        let named = self.names.spent();
        // Before the last look, so that nothing is missed.
        let is_there = exe_of(self.pid) == self.exe;
        // Before the copy: the first takes longest, and what comes meanwhile is new to the next.
        let now = Instant::now();
        self.copy.refresh()?;
        self.elapsed = self.at.map(|at| now - at);
        self.at = Some(now);
        // A chunk that is just being begun reads as damaged; it will not the next time.
        let Ok(recording) = Recording::parse(self.copy.bytes()) else {
            return Ok(());
        };
        self.rows.update(&recording, &mut self.names);
        if self.wants_peaks {
            self.rows.read_peaks(&recording);
        }
        self.functions.update(self.rows.all(), &self.names);
        self.live = recording.live_totals();
        self.is_sample = recording.sample_bytes() != 0;
        self.has_whole_stacks = recording.has_whole_stacks();
        self.rss = rss_of(self.pid);
        self.age = age(recording.start_ns());
        self.standing = match (is_there && !recording.finished(), self.is_stopped()) {
            (false, _) => Standing::Ended,
            (true, true) => Standing::Stopped,
            (true, false) => Standing::Runs,
        };
        self.totals = totals(self.rows.all());
        if self.curve.len() == MOST_MOMENTS {
            self.curve.pop_front();
        }
        self.curve
            .push_back(self.per_second(self.totals.recent_bytes));
        // Names have a share of their own.
        let named = self.names.spent() - named;
        self.cost = (processor_time() - began).saturating_sub(named);
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        let at = offset_of!(Header, control);
        let word = self.copy.bytes().get(at..at + 4);
        word.is_some_and(|word| word == STOPPED.to_le_bytes())
    }

    /// What came since the last moment as so much a second.
    pub(crate) fn per_second(&self, recent: u64) -> u64 {
        let seconds = self.elapsed.map_or(0.0, |elapsed| elapsed.as_secs_f64());
        if seconds > 0.0 {
            (recent as f64 / seconds).round() as u64
        } else {
            0
        }
    }

    /// When to look again: after `interval`, or later if a look, and the time for drawing it, are long.
    pub(crate) fn pause(&self, interval: Duration, drawing: Duration) -> Duration {
        interval.max((self.cost + drawing) * SHARE)
    }

    /// Reads what lived at the peak, now and from now on.
    pub(crate) fn read_peaks(&mut self) {
        self.wants_peaks = true;
        if let Ok(recording) = Recording::parse(self.copy.bytes()) {
            self.rows.read_peaks(&recording);
            self.functions.update(self.rows.all(), &self.names);
        }
    }

    /// The rows, their names, and what was read.
    pub(crate) fn parts(&mut self) -> (&Rows, &mut Names, Option<Recording<'_>>) {
        let recording = Recording::parse(self.copy.bytes()).ok();
        (&self.rows, &mut self.names, recording)
    }
}

fn totals(rows: &[Row]) -> Totals {
    rows.iter().fold(Totals::default(), |sum, row| Totals {
        calls: sum.calls.saturating_add(row.calls),
        bytes: sum.bytes.saturating_add(row.bytes()),
        recent: sum.recent.saturating_add(row.recent),
        recent_bytes: sum.recent_bytes.saturating_add(row.recent_bytes()),
        live: sum.live.saturating_add(row.live),
        live_bytes: sum.live_bytes.saturating_add(row.live_bytes()),
    })
}

/// Empty when the process is gone.
fn exe_of(pid: u32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default()
}

fn rss_of(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = line.and_then(|text| text.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}

fn age(start_ns: u64) -> Duration {
    let start = UNIX_EPOCH + Duration::from_nanos(start_ns);
    SystemTime::now().duration_since(start).unwrap_or_default()
}
