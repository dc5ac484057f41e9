//! The course of the live heap as CSV: the points of the timeline, each of which holds until the next one, and
//! the labels that the program gave, in the order of time.

use super::csv::{MISSING, quote};
use csv::{QuoteStyle, WriterBuilder};
use skipheap_format::layout::{NOT_KNOWN, TimelinePoint};
use std::io::{self, Write};

/// The columns. Seconds count from the start of the process.
pub const HEADER: [&str; 7] = [
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
pub fn write_header(out: impl Write) -> io::Result<()> {
    let mut writer = WriterBuilder::new().from_writer(out);
    writer.write_record(HEADER)?;
    writer.flush()
}

/// The course of the heap of a process.
pub struct Course<P, L> {
    /// Process id.
    pub pid: u32,
    /// Start of the process, as the times below count.
    pub start_ns: u64,
    /// The points.
    pub points: P,
    /// The labels, printable.
    pub labels: L,
}

/// A label that the program gave to what comes next.
pub struct Labelled {
    /// When.
    pub ns: u64,
    /// Allocations so far.
    pub allocations: u64,
    /// Live bytes.
    pub live_bytes: u64,
    /// The label.
    pub label: String,
}

/// Writes the lines of a process.
///
/// # Errors
/// Those of `out`.
pub fn write_course<P, L>(course: Course<P, L>, out: impl Write) -> io::Result<()>
where
    P: Iterator<Item = TimelinePoint>,
    L: Iterator<Item = Labelled>,
{
    let start = course.start_ns;
    let pid = course.pid.to_string();
    let seconds = |ns: u64| format!("{:.6}", ns.saturating_sub(start) as f64 / 1e9);
    let or_missing = |n: u64, missing: u64| match n == missing {
        true => MISSING.to_owned(),
        false => n.to_string(),
    };
    let mut lines: Vec<(u64, [String; 7])> = Vec::new();
    for point in course.points {
        let fields = [
            seconds(point.ns),
            or_missing(point.allocations, NOT_KNOWN),
            point.live_bytes.to_string(),
            or_missing(point.live_blocks, NOT_KNOWN),
            or_missing(point.rss, 0),
            MISSING.to_owned(),
            pid.clone(),
        ];
        lines.push((point.ns, fields));
    }
    for phase in course.labels {
        let mut label = String::new();
        quote(&phase.label, &mut label);
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
