//! How much memory a merge takes: what the distinct sites do, however many profiles there are. The short
//! form is in the suite; the long one, a thousand profiles of 100,000 sites, is `scripts/bench-merge`, for which
//! [`write_fleet`] makes the profiles.

use super::tests::merged;
use super::*;
use skipheap_profile::sum::testing::Fleet;
use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Instant;

const SITES: u32 = if cfg!(debug_assertions) {
    1_000
} else {
    20_000
};
const PROFILES: u32 = 50;
/// Said by who starts a process of this program: the folder, and for [`write_fleet`] how much of what.
const FOLDER: &str = "MERGE_BENCH_FOLDER";
const FIRST: &str = "MERGE_BENCH_FIRST";
const RUNS: &str = "MERGE_BENCH_RUNS";
const SITES_OF_RUN: &str = "MERGE_BENCH_SITES";
const LIVE: &str = "MERGE_BENCH_LIVE";

fn write(folder: &Path, fleet: Fleet, runs: std::ops::Range<u32>) {
    for run in runs {
        let path = folder.join(format!("{run:05}.skipheap"));
        let mut out = std::io::BufWriter::new(fs::File::create(path).expect("created"));
        file::write(&fleet.run(run), &mut out).expect("written");
        out.flush().expect("written");
    }
}

/// Writes profiles where [`FOLDER`] says; does nothing in a usual run.
#[test]
fn write_fleet() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let number = |name: &str| -> Option<u32> { std::env::var(name).ok()?.parse().ok() };
    let Some((runs, sites)) = number(RUNS).zip(number(SITES_OF_RUN)) else {
        return;
    };
    let live = std::env::var_os(LIVE).is_some();
    let first = number(FIRST).unwrap_or(0);
    write(
        Path::new(&folder),
        Fleet { sites, live },
        first..first + runs,
    );
}

/// The measuring process; does nothing in a usual run.
#[test]
fn measure() {
    let Some(folder) = std::env::var_os(FOLDER).filter(|_| std::env::var_os(RUNS).is_none()) else {
        return;
    };
    let folder = Path::new(&folder);
    let start = Instant::now();
    let output = folder.with_extension("merged.skipheap");
    merged(&[folder], &output, MergeOptions::default()).expect("merged");
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    println!(
        "peak {} after {:?}",
        peak.expect("a line").trim(),
        start.elapsed()
    );
}

/// Most memory while all profiles of a folder are merged, in kilobytes.
fn peak(folder: &Path) -> u64 {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "--nocapture", "merging::bench::measure"])
        .env(FOLDER, folder)
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    let peak = said
        .split("peak ")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    assert!(output.status.success(), "{output:?}");
    peak.and_then(|peak| peak.parse().ok()).expect("a number")
}

#[test]
fn memory_follows_the_sites_and_not_the_profiles() {
    let folder = tempfile::tempdir().expect("a folder");
    let [few, many] = ["few", "many"].map(|name| folder.path().join(name));
    let fleet = Fleet {
        sites: SITES,
        live: true,
    };
    // Four programs, with all their builds: nearly all sites that there ever are.
    for (path, profiles) in [(&few, 12), (&many, PROFILES)] {
        fs::create_dir(path).expect("a folder");
        write(path, fleet, 0..profiles);
    }
    let (few, many) = (peak(&few), peak(&many));
    assert!(many < few + few / 5, "{few} kB, then {many} kB");
}
