//! The CSV with all columns, made by the tool of the recording, against the event log.

use super::recorded::Recorded;
use super::replay::Replay;
use super::{Allowed, figures::Figures};
use crate::support::{Run, tool};
use skipheap_format::layout::{AGES, FUNCTION_NAMES};
use std::collections::BTreeMap;
use std::path::Path;

/// Allocation function and size, which the columns have under these names.
type Key = (String, u64);

/// Sums of the numeric columns, by name.
type Sums = BTreeMap<String, u64>;

/// What the columns of a key have to be.
fn wanted(size: u64, figures: &Figures, at_peak: i64) -> Sums {
    let peak = u64::try_from(at_peak).expect("all threads together");
    let columns = [
        ("call count", figures.calls),
        ("total bytes", size * figures.calls),
        ("frees", figures.frees),
        ("live blocks", figures.live()),
        ("live bytes", size * figures.live()),
        ("peak blocks", peak),
        ("peak bytes", size * peak),
        ("temporary", figures.temporary),
        ("grown", figures.grown),
        ("bytes copied", figures.copied),
        ("slack bytes", figures.slack),
        ("samples", figures.calls),
        ("standard error", 0),
    ];
    columns.map(|(name, n)| (name.to_owned(), n)).into()
}

/// Adds counts with blanks between to what is there.
fn add_buckets(sum: &mut Vec<u64>, field: &str) {
    for (i, count) in field.split_whitespace().enumerate() {
        if sum.len() <= i {
            sum.push(0);
        }
        sum[i] += count.parse::<u64>().expect("a count");
    }
}

/// Each column of the report of a recording is what the log says.
pub(super) fn compare(path: &Path, replay: &Replay, recorded: &Recorded, allowed: Allowed) {
    let csv = path.with_extension("all.csv");
    Run::plain(tool())
        .args(&["-q", "--columns", "all", "report", "-o"])
        .arg(&csv)
        .arg(path)
        .succeed();
    let mut reader = ::csv::Reader::from_path(&csv).expect("a report");
    let header = reader.headers().expect("a header").clone();
    let mut found: BTreeMap<Key, Sums> = BTreeMap::new();
    let mut ages: BTreeMap<Key, Vec<u64>> = BTreeMap::new();
    let mut times = Vec::new();
    for row in reader.records() {
        let row = row.expect("a row");
        let fields: BTreeMap<&str, &str> = header.iter().zip(&row).collect();
        let size = fields["bytes allocated"].parse().expect("a size");
        let key = (fields["allocator"].to_owned(), size);
        for name in ["pc0", "module", "thread"] {
            assert!(!["", "-"].contains(&fields[name]), "{name}: {row:?}");
        }
        add_buckets(
            ages.entry(key.clone()).or_default(),
            fields["lifetimes in allocations"],
        );
        add_buckets(&mut times, fields["lifetimes in time"]);
        let sums = found.entry(key).or_default();
        for (name, field) in header.iter().zip(&row).skip(5) {
            // Text, and what stands for it.
            let is_text = ["file", "line", "module", "allocator", "thread"].contains(&name);
            if name.contains("leaked") {
                assert_eq!(field, "-", "{name} without a leak check: {row:?}");
            } else if !is_text && !name.starts_with("lifetimes") {
                let number: u64 = field.parse().unwrap_or_else(|_| panic!("{name}: {row:?}"));
                *sums.entry(name.to_owned()).or_default() += number;
            }
        }
    }
    let mut by_key: BTreeMap<Key, (Figures, i64)> = BTreeMap::new();
    let name = |function: u32| FUNCTION_NAMES[function as usize].to_owned();
    for (key, figures) in &replay.sites {
        let sum = by_key.entry((name(key.function), key.size)).or_default();
        sum.0.add(figures);
    }
    for (key, blocks) in &recorded.at_peak {
        by_key.entry((name(key.function), key.size)).or_default().1 += blocks;
    }
    by_key.retain(|_, (figures, _)| figures.calls > 0);
    assert!(
        found.keys().eq(by_key.keys()),
        "{:?}\n{:?}",
        found.keys(),
        by_key.keys()
    );
    for (key, (figures, at_peak)) in &by_key {
        assert_eq!(found[key], wanted(key.1, figures, *at_peak), "{key:?}");
        let mut ages = ages[key].clone();
        ages.resize(AGES, 0);
        if !allowed.ended_threads {
            assert_eq!(ages, figures.ages, "{key:?}");
        }
    }
    times.resize(recorded.times.len(), 0);
    assert_eq!(times, recorded.times);
}
