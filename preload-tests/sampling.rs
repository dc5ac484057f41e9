//! Sampling: the estimates are right on average, and as far off as they say.

use crate::support::{Outcome, Run, Source, tool};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

/// Mean bytes between two samples.
const MEAN: u64 = 4096;

/// Columns of a size, summed up over the threads.
type Sums = BTreeMap<u64, BTreeMap<String, f64>>;

/// Runs the fixture under the tool; what it printed, the sums of the CSV, and the outcome.
fn run(threads: &str, rounds: &str, variables: &[(&str, &str)]) -> (Vec<u64>, Sums, Outcome) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("all.csv");
    let mut run = Run::plain(tool())
        .args(&["--columns", "all", "--sample", &MEAN.to_string(), "-o"])
        .arg(&file)
        .arg(program())
        .args(&[threads, rounds]);
    for (name, value) in variables {
        run = run.env(name, value);
    }
    let outcome = run.succeed();
    let mut sums = Sums::new();
    let mut reader = ::csv::Reader::from_path(&file).expect("a report");
    let header = reader.headers().expect("a header").clone();
    for row in reader.records() {
        let row = row.expect("a row");
        let size = row[4].parse().expect("a size");
        let sum = sums.entry(size).or_default();
        for (name, field) in header.iter().zip(&row).skip(5) {
            // Errors of independent figures add up by their squares.
            let power = if name == "standard error" { 2 } else { 1 };
            let sum = sum.entry(name.to_owned()).or_default();
            if name == "lifetimes in time" {
                // How many buckets there are.
                *sum = sum.max(field.split_whitespace().count() as f64);
            } else if let Ok(number) = field.parse::<f64>() {
                *sum += number.powi(power);
            }
        }
    }
    (outcome.numbers(), sums, outcome)
}

fn program() -> PathBuf {
    Source::c("sampled").flags(&["-g"]).build()
}

/// The estimates of many runs, in standard errors above the truth.
fn deviations(runs: usize, variables: &[(&str, &str)]) -> Vec<f64> {
    let mut deviations = Vec::new();
    for _ in 0..runs {
        let (printed, sums, outcome) = run("3", "8", variables);
        assert!(
            outcome.stderr.contains("estimated from a sample of "),
            "{outcome:?}"
        );
        for truth in printed.chunks_exact(3) {
            let &[size, calls, left] = truth else {
                continue;
            };
            let figure = |name| sums[&size].get(name).copied().unwrap_or(0.0);
            let (calls, left) = (calls as f64, left as f64);
            let p = 1.0 - (-(size as f64) / MEAN as f64).exp();
            assert!(figure("samples") <= calls, "{size}: {sums:?}");
            if size > 100 * MEAN {
                // Looked at without fail.
                assert_eq!(figure("call count"), calls);
                assert_eq!(figure("live blocks"), left);
                assert_eq!(figure("standard error"), 0.0);
                continue;
            }
            let error = (calls * (1.0 - p) / p).sqrt();
            deviations.push((figure("call count") - calls) / error);
            let error = (left * (1.0 - p) / p).sqrt();
            deviations.push((figure("live blocks") - left) / error);
            // As far off as it says it may be.
            let stated = figure("standard error").sqrt() / size as f64;
            if figure("samples") > 50.0 {
                let error = (calls * (1.0 - p) / p).sqrt();
                assert!(
                    (stated / error - 1.0).abs() < 0.5,
                    "{size}: {stated} for {error}"
                );
            }
        }
    }
    deviations
}

/// Numbers that should have mean 0 and standard deviation 1 do.
fn assert_standard(numbers: &[f64], what: &str) {
    let n = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / n;
    let square = numbers.iter().map(|x| x * x).sum::<f64>() / n;
    // Six standard errors: once in a billion. Calls and live blocks of a run depend on each other, so that there
    // is half as much to know.
    let error = (2.0 / n).sqrt();
    assert!(mean.abs() < 6.0 * error, "{what}: mean {mean} of {n}");
    let spread = 6.0 * (2.0_f64).sqrt() * error;
    assert!(
        (square - 1.0).abs() < spread,
        "{what}: spread {square} of {n}"
    );
}

#[test]
fn estimates_are_unbiased_and_as_far_off_as_they_say() {
    for (depth, runs) in [("4", 14), ("full", 7)] {
        let numbers = deviations(runs, &[("SKIP_HEAP_STACK_DEPTH", depth)]);
        assert!(numbers.len() >= 14 * runs, "{}", numbers.len());
        assert_standard(&numbers, depth);
    }
}

#[test]
fn sampled_blocks_have_lifetimes_within_the_run() {
    let start = Instant::now();
    let (_, sums, outcome) = run("1", "40", &[]);
    let took = start.elapsed().as_nanos() as f64;
    // The first bucket ends at 2^10 nanoseconds.
    let most = took.log2() - 10.0 + 2.0;
    let buckets = |size: u64| sums[&size]["lifetimes in time"];
    assert!(sums.keys().any(|&size| buckets(size) > 0.0), "{outcome:?}");
    for &size in sums.keys() {
        assert!(buckets(size) <= most, "{size}: {} of {most}", buckets(size));
    }
    // Most blocks are unknown when they are freed: nothing to note.
    assert!(!outcome.stderr.contains("not tracked"), "{outcome:?}");
}

#[test]
fn a_grown_block_of_a_sample_counts_as_grown_whether_the_old_one_was_known_or_not() {
    let program = Source::c("growing_blocks").build();
    let mut grown = 0.0;
    for _ in 0..8 {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("all.csv");
        Run::plain(tool())
            .args(&["--columns", "all", "--sample", "1000", "-o"])
            .arg(&file)
            .arg(&program)
            .succeed();
        let text = fs::read_to_string(&file).expect("a report");
        let mut reader = ::csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().expect("a header").clone();
        let at = header.iter().position(|name| name == "grown").expect("it");
        for row in reader.records() {
            let row = row.expect("a row");
            if &row[4] == "500" {
                grown += row[at].parse::<f64>().expect("a number");
            }
        }
    }
    // 8 times 20,000 with p = 0.39: the standard error is 498.
    assert!((grown - 160_000.0).abs() < 3000.0, "{grown}");
}
