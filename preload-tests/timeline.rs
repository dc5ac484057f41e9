//! Live bytes over time: a short peak is on the line wherever it was, in every report, and the peak that reports state is
//! the highest point of the line.

use crate::support::{Outcome, Run, Source, tool};
use serde_json::Value;
use skipheap_format::sampled::probability;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Bytes that `plateau.c` holds.
const HELD: f64 = 500e6;

/// One byte in about so many is looked at, where a sample is recorded.
const SAMPLE: u64 = 4096;

/// A line of a CSV, by the names of the columns.
type Row = BTreeMap<String, String>;

fn report_rows(text: &str) -> Vec<Row> {
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    let fields = |record: ::csv::StringRecord| -> Row {
        let fields = header.iter().zip(&record);
        fields
            .map(|(name, field)| (name.to_owned(), field.to_owned()))
            .collect()
    };
    reader
        .records()
        .map(|record| fields(record.expect("a row")))
        .collect()
}

/// A step of the line.
#[derive(Clone, Copy, Debug)]
struct Step {
    seconds: f64,
    live: f64,
    /// `None` where it is not known.
    rss: Option<f64>,
}

/// Where the line is above most of [`HELD`], from when to when, and the most that was resident then.
fn plateau(steps: &[Step]) -> (f64, f64, f64) {
    let high = |step: &&Step| step.live > HELD * 0.9;
    let first = steps
        .iter()
        .position(|step| high(&step))
        .expect("a plateau");
    let rest = &steps[first..];
    let len = rest.iter().take_while(high).count();
    let end = rest.get(len).expect("its end");
    assert!(!rest[len..].iter().any(|step| high(&step)), "{steps:?}");
    let rss = rest[..len].iter().filter_map(|step| step.rss);
    (rest[0].seconds, end.seconds, rss.fold(0.0, f64::max))
}

fn of_csv(rows: &[Row]) -> Vec<Step> {
    let number = |row: &Row, column: &str| row[column].parse().ok();
    let step = |row: &Row| Step {
        seconds: number(row, "seconds").expect("a time"),
        live: number(row, "live bytes").expect("bytes"),
        rss: number(row, "rss"),
    };
    rows.iter().map(step).collect()
}

fn of_json(process: &Value) -> Vec<Step> {
    let column = |name: &str| {
        process["timeline"][name]
            .as_array()
            .expect("a column")
            .clone()
    };
    let (ns, live, rss) = (column("ns"), column("live_bytes"), column("rss"));
    let steps = ns
        .iter()
        .zip(&live)
        .zip(&rss)
        .map(|((ns, live), rss)| Step {
            seconds: ns.as_f64().expect("a time") / 1e9,
            live: live.as_f64().expect("bytes"),
            rss: rss.as_f64(),
        });
    steps.collect()
}

/// The counter of the Firefox profiler, whose samples are differences.
fn of_firefox(profile: &Value) -> Vec<Step> {
    let samples = &profile["counters"][0]["samples"];
    let numbers = |name: &str| -> Vec<f64> {
        let list = samples[name].as_array().expect("a column");
        list.iter().map(|n| n.as_f64().expect("a number")).collect()
    };
    let times = match samples["time"].is_null() {
        true => {
            let mut now = 0.0;
            let deltas = numbers("timeDeltas").into_iter();
            deltas
                .map(|delta| {
                    now += delta;
                    now
                })
                .collect()
        }
        false => numbers("time"),
    };
    let mut live = 0.0;
    let steps = times.into_iter().zip(numbers("count")).map(|(ms, change)| {
        live += change;
        Step {
            seconds: ms / 1e3,
            live,
            rss: None,
        }
    });
    steps.collect()
}

/// The peak that the summary states, and the columns of its chart that are full.
fn of_summary(outcome: &Outcome) -> (f64, usize) {
    let line = |start: &str| {
        let mut lines = outcome.stderr.lines();
        lines
            .find_map(|line| line.strip_prefix(start))
            .expect(start)
    };
    let peak = line("peak of live bytes: ");
    let digits = peak.split(" bytes").next().expect("bytes").replace(',', "");
    let full = line("over ").matches('█').count();
    (digits.parse().expect("a number"), full)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).expect("a report")).expect("JSON")
}

/// Seconds before the plateau, in it and after it; whether the program allocates all the time.
fn check(seconds: [f64; 3], is_busy: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let program = Source::c("plateau").flags(&["-O1"]).build();
    let words = seconds.map(|seconds| seconds.to_string());
    let outcome = Run::plain(tool())
        .arg("--live")
        .arg("--timeline")
        .arg(path("t.csv"))
        .arg("-o")
        .arg(path("run.skipheap"))
        .arg(&program)
        .args(&words.each_ref().map(String::as_str))
        .arg(if is_busy { "1" } else { "0" })
        .finish();
    for name in ["run.json", "run.firefox.json"] {
        let (report, profile) = (path(name), path("run.skipheap"));
        Run::plain(tool())
            .args(&["report", "-q", "-o"])
            .arg(&report)
            .arg(&profile)
            .succeed();
    }
    let (document, firefox) = (json(&path("run.json")), json(&path("run.firefox.json")));
    let process = &document["processes"][0];
    let rows = report_rows(&fs::read_to_string(path("t.csv")).expect("a timeline"));
    let lines = [of_csv(&rows), of_json(process), of_firefox(&firefox)];
    let (peak, full) = of_summary(&outcome);
    assert_eq!(process["peak_bytes"].as_f64(), Some(peak));
    // The program says when it was: the machine may be busy.
    let words = outcome.stdout.split_whitespace();
    let told: Vec<f64> = words.map(|word| word.parse().expect("a number")).collect();
    let [begun, held, all] = told[..] else {
        panic!("{outcome:?}")
    };
    // The interval between points, and the time until main begins.
    let late = 0.03 * all + 0.2;
    for steps in &lines {
        let highest = steps.iter().map(|step| step.live).fold(0.0, f64::max);
        assert_eq!(highest, peak, "{outcome:?}");
        assert!(steps.is_sorted_by_key(|step| step.seconds), "{steps:?}");
        assert_eq!((steps[0].seconds, steps[0].live), (0.0, 0.0), "{steps:?}");
        assert!(steps[1].seconds > 0.0, "{steps:?}");
        let (begin, end, rss) = plateau(steps);
        let seen = end - begin;
        assert!((begin - begun).abs() < late, "{begin} {outcome:?}");
        assert!((seen - held).abs() < late, "{seen} {outcome:?}");
        let knows_rss = steps.iter().any(|step| step.rss.is_some());
        assert_eq!(rss > HELD * 0.9, knows_rss, "{rss} {steps:?}");
    }
    let most = 60.0 * (held + late) / all + 2.0;
    assert!(
        (1..=most as usize).contains(&full),
        "{full} of {most}: {outcome:?}"
    );
}

#[test]
fn a_plateau_of_which_nothing_else_is_allocated_is_on_the_line() {
    check([0.4, 0.8, 0.4], false);
    check([0.4, 0.08, 0.4], false);
}

#[test]
fn a_plateau_in_the_midst_of_a_run_is_on_the_line() {
    check([2.0, 0.8, 2.2], true);
    check([2.4, 0.08, 2.5], true);
}

#[test]
fn of_processes_one_after_the_other_the_peak_is_that_of_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let program = Source::c("plateau").flags(&["-O1"]).build();
    let program = program.to_str().expect("text");
    let shell = format!(
        "{program} 0 0.1 0 0; {program} 0 0.1 0 0; {program} 0 0.3 0 0 & {program} 0 0.3 0 0; wait"
    );
    let outcome = Run::plain(tool())
        .args(&["--live", "--merge", "-o"])
        .arg(path("run.skipheap"))
        .args(&["sh", "-c", &shell])
        .finish();
    // Two of four ran together.
    let together = "all processes together: peak of live bytes: 1,000,0";
    assert!(outcome.stderr.contains(together), "{outcome:?}");
    assert!(outcome.stderr.contains(", in 2 processes\n"), "{outcome:?}");
    let report = |name: &str| {
        let file = path(name);
        let outcome = Run::plain(tool())
            .args(&["report", "-q", "--merge"])
            .args(if name.ends_with("csv") {
                &["--columns=all", "-o"][..]
            } else {
                &["-o"]
            })
            .arg(&file)
            .arg(path("run.skipheap"))
            .finish();
        assert!(outcome.status.success(), "{outcome:?}");
        file
    };
    let rows = report_rows(&fs::read_to_string(report("run.csv")).expect("a report"));
    let at_peak: u64 = rows
        .iter()
        .map(|row| row["peak bytes"].parse::<u64>().expect("bytes"))
        .sum();
    assert!((500_000_000..500_100_000).contains(&at_peak), "{at_peak}");
    let document = json(&report("run.json"));
    let of_all = document["together"]["peak_bytes"].as_u64().expect("a peak");
    assert!((1_000_000_000..1_000_200_000).contains(&of_all), "{of_all}");
    // Runs that are merged have no common time.
    let merged = path("merged.skipheap");
    Run::plain(tool())
        .args(&["merge", "-q", "-o"])
        .arg(&merged)
        .arg(path("run.skipheap"))
        .succeed();
    for name in ["merged.csv", "merged.json", "merged.md"] {
        let file = path(name);
        let columns = if name.ends_with("csv") {
            &["--columns=all"][..]
        } else {
            &[]
        };
        Run::plain(tool())
            .args(&["report", "-q"])
            .args(columns)
            .arg("-o")
            .arg(&file)
            .arg(&merged)
            .succeed();
        let text = fs::read_to_string(&file).expect(name);
        if name == "merged.md" {
            assert!(text.contains("At the peak 500,000,"), "{text}");
        }
        if name == "merged.csv" {
            let rows = report_rows(&text);
            let sum: u64 = rows
                .iter()
                .map(|row| row["peak bytes"].parse::<u64>().expect("bytes"))
                .sum();
            assert!((500_000_000..500_100_000).contains(&sum), "{sum}: {text}");
        }
        if name == "merged.json" {
            let document: Value = serde_json::from_str(&text).expect("JSON");
            let sites = document["sites"].as_array().expect("sites");
            let sum: u64 = sites
                .iter()
                .filter_map(|site| site["peak_bytes"].as_u64())
                .sum();
            assert!((500_000_000..500_100_000).contains(&sum), "{sum}");
            assert!(document["together"].is_null(), "{}", document["together"]);
        }
    }
}

#[test]
fn of_a_sample_the_peak_is_one_estimate_with_its_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let program = Source::c("plateau").flags(&["-O1"]).build();
    let outcome = Run::plain(tool())
        .args(&["--live", "--sample", &SAMPLE.to_string(), "-o"])
        .arg(path("run.json"))
        .arg(&program)
        .args(&["0.3", "0.2", "0.1", "1"])
        .finish();
    let (peak, _) = of_summary(&outcome);
    assert!(peak > HELD * 0.99 && peak < HELD * 1.01, "{outcome:?}");
    let error = outcome
        .stderr
        .lines()
        .find(|line| line.starts_with("peak of live bytes"));
    assert!(error.expect("a peak").contains(" ±0."), "{outcome:?}");
    let document = json(&path("run.json"));
    let process = &document["processes"][0];
    assert_eq!(process["peak_bytes"].as_f64(), Some(peak));
    assert!(
        process["peak_standard_error"].as_u64().is_some(),
        "{process}"
    );
    let line = of_json(process);
    let highest = line.iter().map(|step| step.live).fold(0.0, f64::max);
    assert_eq!(highest, peak);
    // The process's peak is the sum of what each sampled block stands for, in whole bytes. A site
    // states whole blocks, which is up to half a block more or less, and the blocks of the ring are
    // of neighbouring sizes, so that all of them may be rounded alike.
    let (mut stated, mut stood_for, mut half_blocks, mut samples) = (0.0, 0.0, 0.0, 0.0);
    for site in document["sites"].as_array().expect("sites") {
        let number = |name: &str| site[name].as_f64().expect("a number");
        let (size, blocks) = (number("size"), number("peak_blocks"));
        if blocks == 0.0 {
            continue;
        }
        let probability = probability(size as u64, SAMPLE);
        let sampled = (blocks * probability).round();
        stated += number("peak_bytes");
        stood_for += sampled * (size / probability).floor();
        half_blocks += size / 2.0;
        samples += sampled;
    }
    assert!(samples > 1.0, "{document}");
    assert_eq!(stood_for, peak, "{document}");
    assert!(
        (stated - peak).abs() <= half_blocks + samples,
        "{stated} {peak}, {half_blocks}"
    );
}
