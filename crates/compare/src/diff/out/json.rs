//! Differences as JSON, for programs.

use super::super::Change;
use super::super::figures::{Delta, Figures, Totals};
use super::{Named, text};
use serde::Serialize;
use std::io::{self, Write};

/// Version of the format: raised when a field changes its meaning or goes.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct File<'a> {
    version: u32,
    old: Side<'a>,
    new: Side<'a>,
    difference: Numbers<i128>,
    notes: Vec<String>,
    sites: Vec<Site<'a>>,
}

#[derive(Serialize)]
struct Side<'a> {
    name: &'a str,
    sites: usize,
    #[serde(flatten)]
    totals: Numbers<u128>,
}

/// The figures of a side, or differences of these.
#[derive(Serialize)]
struct Numbers<N> {
    calls: N,
    bytes: N,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_blocks: Option<N>,
    #[serde(skip_serializing_if = "Option::is_none")]
    live_bytes: Option<N>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_bytes: Option<N>,
}

#[derive(Serialize)]
struct Site<'a> {
    names: Vec<&'a str>,
    change: &'static str,
    matched_by: &'static str,
    old_size: Option<u64>,
    new_size: Option<u64>,
    old: Numbers<u64>,
    new: Numbers<u64>,
    difference: Numbers<i128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
}

/// Writes one object, with every site: those without a difference too.
///
/// # Errors
/// Those of `out`.
pub fn write(named: &Named<'_>, mut out: impl Write) -> io::Result<()> {
    let Named { diff, old, new, .. } = *named;
    let side = |name, totals: &Totals| Side {
        name,
        sites: totals.rows,
        totals: of(totals.calls, totals.bytes, totals.live),
    };
    let file = File {
        version: VERSION,
        old: side(old, &diff.old),
        new: side(new, &diff.new),
        difference: of_delta(&diff.delta()),
        notes: text::notes(diff),
        sites: diff.changes.iter().map(site).collect(),
    };
    serde_json::to_writer_pretty(&mut out, &file)?;
    out.write_all(b"\n")
}

fn of<N: Copy>(calls: N, bytes: N, live: Option<[N; 3]>) -> Numbers<N> {
    Numbers {
        calls,
        bytes,
        live_blocks: live.map(|live| live[0]),
        live_bytes: live.map(|live| live[1]),
        peak_bytes: live.map(|live| live[2]),
    }
}

fn of_delta(delta: &Delta) -> Numbers<i128> {
    of(delta.calls, delta.bytes, delta.live)
}

fn of_figures(figures: &Figures) -> Numbers<u64> {
    let live = figures
        .live
        .map(|live| [live.blocks, live.bytes, live.peak]);
    of(figures.calls, figures.bytes, live)
}

fn site(change: &Change) -> Site<'_> {
    Site {
        names: change.names.iter().flatten().map(|name| &**name).collect(),
        change: change.kind().word(),
        matched_by: change.matched.word(),
        old_size: change.old_size,
        new_size: change.new_size,
        old: of_figures(&change.old),
        new: of_figures(&change.new),
        difference: of_delta(&change.delta),
        file: change.place.as_ref().map(|(file, _)| &**file),
        line: change.place.as_ref().map(|(_, line)| *line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::compare;
    use skipheap_profile::report::rows::Row;

    #[test]
    fn the_object_holds_both_sides_and_the_difference() {
        let row = |size: u64, calls: u64| Row {
            names: [Some("f\u{1b}\"".into()), None, None, None],
            size,
            calls,
            total: size * calls,
            ..Row::default()
        };
        let diff = compare(&[row(48, 10)], &[row(56, 10)]);
        let mut text = Vec::new();
        let named = Named {
            diff: &diff,
            old: "old",
            new: "new",
            all: true,
            functions: None,
            listed: 0,
        };
        write(&named, &mut text).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["difference"]["bytes"], 80);
        assert_eq!(value["old"]["bytes"], 480);
        let site = &value["sites"][0];
        assert_eq!(site["names"][0], "f\u{1b}\"");
        assert_eq!(
            (&site["old_size"], &site["new_size"]),
            (&48.into(), &56.into())
        );
        assert_eq!(site["change"], "grown");
        assert!(site.get("file").is_none());
    }
}
