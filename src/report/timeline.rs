//! The course of the live heap as CSV: the points of the timeline, and the labels that the program gave, in
//! the order of time.

use super::csv::{MISSING, quote};
use crate::record::reader::Recording;
use csv::{QuoteStyle, WriterBuilder};
use std::io::{self, Write};

/// The columns. Seconds count from the start of the process.
pub(crate) const HEADER: [&str; 7] = [
    "seconds",
    "allocations",
    "live bytes",
    "live blocks",
    "rss",
    "phase",
    "pid",
];

/// Writes the header.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write_header(out: impl Write) -> io::Result<()> {
    let mut writer = WriterBuilder::new().from_writer(out);
    writer.write_record(HEADER)?;
    writer.flush()
}

/// Writes the lines of a process.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write(recording: &Recording<'_>, out: impl Write) -> io::Result<()> {
    let start = recording.start_ns();
    let pid = recording.pid().to_string();
    let seconds = |ns: u64| format!("{:.6}", ns.saturating_sub(start) as f64 / 1e9);
    let or_missing = |n: u64| match n {
        0 => MISSING.to_owned(),
        n => n.to_string(),
    };
    let mut lines: Vec<(u64, [String; 7])> = Vec::new();
    for point in recording.timeline() {
        let fields = [
            seconds(point.ns),
            point.allocations.to_string(),
            point.live_bytes.to_string(),
            point.live_blocks.to_string(),
            or_missing(point.rss),
            MISSING.to_owned(),
            pid.clone(),
        ];
        lines.push((point.ns, fields));
    }
    for phase in recording.phases() {
        let mut label = String::new();
        quote(&String::from_utf8_lossy(phase.label), &mut label);
        let fields = [
            seconds(phase.ns),
            phase.allocations.to_string(),
            phase.live_bytes.to_string(),
            MISSING.to_owned(),
            MISSING.to_owned(),
            label,
            pid.clone(),
        ];
        lines.push((phase.ns, fields));
    }
    lines.sort_by_key(|line| line.0);
    let mut writer = WriterBuilder::new()
        .quote_style(QuoteStyle::Never)
        .from_writer(out);
    for (_, fields) in lines {
        writer.write_record(fields)?;
    }
    writer.flush()
}
