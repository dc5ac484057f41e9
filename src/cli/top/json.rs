//! One moment for scripts.

use super::TopOptions;
use super::order;
use super::rows::{Figures, Row};
use super::watch::{Standing, Watch};
use serde::Serialize;
use std::io::{self, Write};

/// Everything that the screen would show.
#[derive(Serialize)]
struct Moment<'w> {
    pid: u32,
    program: &'w str,
    /// `running`, `stopped` or `ended`.
    state: &'static str,
    seconds: f64,
    /// The numbers stand for all allocations, of which a sample was recorded.
    sampled: bool,
    calls: u64,
    bytes: u64,
    sites: usize,
    calls_per_second: u64,
    bytes_per_second: u64,
    rss: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    live: Option<Live>,
    rows: Vec<Site<'w>>,
    functions: Vec<Function<'w>>,
}

/// A responsible function.
#[derive(Serialize)]
struct Function<'w> {
    name: &'w str,
    #[serde(skip_serializing_if = "str::is_empty")]
    via: &'w str,
    /// Rows with different names or sizes.
    sites: usize,
    #[serde(flatten)]
    counts: Counts,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_bytes: Option<u64>,
}

/// What functions and rows count alike.
#[derive(Serialize)]
struct Counts {
    calls: u64,
    bytes: u64,
    bytes_per_second: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_blocks: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_bytes: Option<u64>,
}

impl Counts {
    fn new(figures: &Figures, watch: &Watch) -> Self {
        Self {
            calls: figures.calls,
            bytes: figures.bytes,
            bytes_per_second: watch.per_second(figures.recent_bytes),
            live_blocks: watch.live.map(|_| figures.live),
            live_bytes: watch.live.map(|_| figures.live_bytes),
        }
    }
}

/// The live heap.
#[derive(Serialize)]
struct Live {
    blocks: u64,
    bytes: u64,
    peak_bytes: u64,
}

/// A row.
#[derive(Serialize)]
struct Site<'w> {
    /// Innermost first.
    names: Vec<&'w str>,
    size: u64,
    #[serde(flatten)]
    counts: Counts,
}

/// Prints the moment. That nobody reads it to its end is no error.
///
/// # Errors
/// Those of standard output.
pub(crate) fn print(watch: &Watch, options: &TopOptions) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut out, &moment(watch, options))
        .map_err(io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn moment<'w>(watch: &'w Watch, options: &TopOptions) -> Moment<'w> {
    let totals = &watch.totals;
    let rows = watch.rows.all();
    let sort = options.sort();
    let (shown, _) = order::first(rows, &watch.names, sort, "", options.rows);
    let shown = shown.iter().filter_map(|&row| rows.get(row as usize));
    Moment {
        pid: watch.pid,
        program: &watch.program,
        state: match watch.standing {
            Standing::Runs => "running",
            Standing::Stopped => "stopped",
            Standing::Ended => "ended",
        },
        seconds: watch.age.as_secs_f64(),
        sampled: watch.is_sample,
        calls: totals.calls,
        bytes: totals.bytes,
        sites: rows.len(),
        calls_per_second: watch.per_second(totals.recent),
        bytes_per_second: watch.per_second(totals.recent_bytes),
        rss: watch.rss,
        live: watch.live.map(|live| Live {
            blocks: totals.live,
            bytes: totals.live_bytes,
            peak_bytes: live.peak_bytes.max(totals.live_bytes),
        }),
        rows: shown.map(|row| site(row, watch)).collect(),
        functions: functions(watch, options),
    }
}

fn functions<'w>(watch: &'w Watch, options: &TopOptions) -> Vec<Function<'w>> {
    let all = watch.functions.all();
    let (shown, _) = order::first(all, &watch.names, options.sort(), "", options.rows);
    let shown = shown.iter().filter_map(|&place| all.get(place as usize));
    let of = |function: &super::functions::Function| {
        let [name, ..] = function.names;
        let figures = function.figures;
        Function {
            name: watch.names.name(name),
            via: watch.names.name(function.via),
            sites: function.rows.len(),
            counts: Counts::new(&figures, watch),
            peak_bytes: watch.wants_peaks.then_some(figures.peak_bytes),
        }
    };
    shown.map(of).collect()
}

fn site<'w>(row: &Row, watch: &'w Watch) -> Site<'w> {
    let names = row.names.iter().map(|&number| &**watch.names.name(number));
    Site {
        names: names.filter(|name| !name.is_empty()).collect(),
        size: row.size,
        counts: Counts::new(&row.figures(), watch),
    }
}
