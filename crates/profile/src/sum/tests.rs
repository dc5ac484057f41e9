//! The sum of many profiles, compared with the sums of their rows.

use super::super::intern::Tables;
use super::super::rows::rows;
use super::super::testing::{leaky, of_sites, small};
use super::super::{Frame, FrameKind, Function, Point};
use super::testing::Fleet;
use super::*;
use crate::report::sum::Sum as Rows;

fn summed<'p>(by: By, profiles: impl IntoIterator<Item = &'p Profile>) -> Profile {
    let mut sum = Sum::new(by);
    for profile in profiles {
        sum.add(profile).expect("added");
    }
    let profile = sum.finish();
    profile.check().expect("in order");
    profile
}

const NO: By = By {
    build: false,
    host: false,
    line: false,
};

#[test]
fn leaks_are_added_up_with_both_kinds_apart() {
    let sum = summed(NO, [&leaky(), &leaky()]);
    let mut lost: Vec<_> = sum
        .sites
        .iter()
        .filter_map(|site| site.figures.live.as_ref()?.leaked)
        .map(|leaked| (leaked.direct, leaked.indirect))
        .collect();
    lost.sort_unstable();
    assert_eq!(lost, [(0, 0), (0, 0), (2, 0), (2, 10)]);
    let checked = sum.processes[0].live.as_ref().map(|live| live.leak_checked);
    assert_eq!(checked, Some(true));
}

#[test]
fn the_rows_of_the_sum_are_the_sums_of_the_rows() {
    let fleet = Fleet {
        sites: 500,
        live: true,
    };
    let profiles: Vec<Profile> = (0..50).map(|run| fleet.run(run)).collect();
    let mut expected = Rows::default();
    let peak = |profile: &Profile| {
        profile.processes[0]
            .live
            .as_ref()
            .map(|live| live.peak_bytes)
    };
    let highest = profiles.iter().map(peak).max();
    for profile in &profiles {
        expected.add_process(&rows(profile, false), Some(peak(profile)) == highest);
    }
    let sum = summed(NO, &profiles);
    assert_eq!(rows(&sum, false), expected.rows());
    assert_eq!(sum.processes.len(), 4);
    assert_eq!(sum.processes.iter().map(runs).sum::<u64>(), 50);
    // No site twice, and no more than there are in all runs of a program.
    assert!(sum.sites.len() <= 4 * 500, "{}", sum.sites.len());
    // In parts, and the parts together: the same figures, whatever the order of tables.
    let halves = [&profiles[..20], &profiles[20..]].map(|half| summed(NO, half));
    let again = summed(NO, &halves);
    assert_eq!(rows(&again, true), rows(&sum, true));
    let of_all = |sum: &Profile| -> Vec<_> {
        let of = |process: &Process| {
            let (start, end) = (process.start_ns, process.end_ns);
            let peak = process.live.as_ref().map(|live| live.peak_bytes);
            (
                sum.text(process.program).to_owned(),
                runs(process),
                start,
                end,
                peak,
            )
        };
        sum.processes.iter().map(of).collect()
    };
    assert_eq!(of_all(&again), of_all(&sum));
}

#[test]
fn programs_builds_and_hosts_are_kept_apart_where_that_is_wanted() {
    let fleet = Fleet {
        sites: 20,
        live: false,
    };
    let profiles: Vec<Profile> = (0..84).map(|run| fleet.run(run)).collect();
    for (build, host, expected) in [
        (false, false, 4),
        (true, false, 12),
        (false, true, 28),
        (true, true, 84),
    ] {
        let by = By { build, host, ..NO };
        let sum = summed(by, &profiles);
        assert_eq!(sum.processes.len(), expected, "{by:?}");
        let expected: u64 = profiles
            .iter()
            .flat_map(|p| &p.sites)
            .map(Site::bytes)
            .sum();
        assert_eq!(sum.sites.iter().map(Site::bytes).sum::<u64>(), expected);
    }
    let mixed = summed(NO, &profiles);
    let merged = mixed.processes[0].merged.as_ref().expect("merged");
    assert_eq!(
        (merged.runs, merged.hosts.len(), merged.builds.len()),
        (21, 7, 3)
    );
    let names: Vec<&str> = merged.hosts.iter().map(|&host| mixed.text(host)).collect();
    assert_eq!(names[..2], ["host0", "host1"]);
    assert_eq!(mixed.text(merged.builds[2]), "0002ab");
    let mut sum = Sum::new(By { build: true, ..NO });
    assert_eq!(sum.add(&mixed), Err(Refusal::Summed));
}

#[test]
fn what_lived_at_the_peak_is_of_the_run_with_the_highest() {
    let run = |peak_bytes, factor| {
        let mut run = small();
        run.processes[0].pid += peak_bytes as u32;
        run.processes[0].live.as_mut().expect("followed").peak_bytes = peak_bytes;
        for live in run
            .sites
            .iter_mut()
            .filter_map(|site| site.figures.live.as_mut())
        {
            live.at_peak *= factor;
        }
        run
    };
    let (low, high, middle) = (run(5000, 3), run(9000, 7), run(6000, 1));
    let at_peak = |profile: &Profile| -> i64 {
        let lives = profile
            .sites
            .iter()
            .filter_map(|site| site.figures.live.as_ref());
        lives.map(|live| live.at_peak).sum()
    };
    let highest = at_peak(&high);
    assert!(highest > 0);
    for order in [
        [&low, &high, &middle],
        [&high, &middle, &low],
        [&middle, &low, &high],
    ] {
        let sum = summed(NO, order);
        assert_eq!(
            sum.processes[0].live.as_ref().map(|live| live.peak_bytes),
            Some(9000)
        );
        assert_eq!(at_peak(&sum), highest);
    }
    // A site that only a lower run has had nothing at that peak.
    let mut few = run(9000, 7);
    few.sites.truncate(1);
    let sum = summed(NO, [&low, &few]);
    assert_eq!(at_peak(&sum), at_peak(&few));
    // As parts of sums, too.
    let sum = summed(NO, [&summed(NO, [&low, &high]), &middle]);
    assert_eq!(at_peak(&sum), highest);
}

#[test]
fn what_runs_agree_in_is_kept_and_peaks_are_not_summed() {
    let mut one = small();
    let live = one.processes[0].live.as_mut().expect("followed");
    live.timeline.push(Point::default());
    assert_eq!(summed(NO, [&one]).processes[0].live, one.processes[0].live);
    let mut two = small();
    let other = two.processes[0].live.as_mut().expect("followed");
    (other.peak_bytes, other.peak_ns) = (7000, 5);
    two.processes[0].pid = 200;
    two.processes[0].start_ns += 10;
    two.processes[0].end_ns += 10;
    let host = two.processes[0].host;
    two.strings[host as usize] = "another".into();
    let sum = summed(NO, [&one, &two]);
    let [process] = &sum.processes[..] else {
        panic!("{:?}", sum.processes);
    };
    let live = process.live.as_ref().expect("followed");
    assert_eq!((live.peak_bytes, live.peak_ns), (7000, 5));
    assert!(live.timeline.is_empty());
    assert_eq!((process.pid, process.host), (0, 0));
    assert_eq!(process.start_ns, one.processes[0].start_ns);
    assert_eq!(process.end_ns, two.processes[0].end_ns);
    assert_eq!(process.command.len(), 2, "the same in both");
    assert_eq!(process.losses[0].1, 4);
    let peak = |p: &Profile| -> i64 {
        let lives = p.sites.iter().filter_map(|site| site.figures.live.as_ref());
        lives.map(|live| live.at_peak).sum()
    };
    assert_eq!(peak(&sum), peak(&two), "of the run with the highest peak");
    two.processes[0].command.pop();
    assert!(summed(NO, [&one, &two]).processes[0].command.is_empty());
}

#[test]
fn copies_are_noticed() {
    let fleet = Fleet {
        sites: 10,
        live: false,
    };
    let mut sum = Sum::new(NO);
    for run in [0, 1, 2, 1, 1] {
        sum.add(&fleet.run(run)).expect("added");
    }
    assert_eq!(sum.repeated(), 2);
}

#[test]
fn samples_of_different_rates_stay_apart() {
    let mut sampled = small();
    sampled.processes[0].sample_bytes = 4096;
    let sum = summed(NO, [&small(), &sampled, &sampled]);
    let rates: Vec<(u64, u64)> = sum
        .processes
        .iter()
        .map(|process| (process.sample_bytes, runs(process)))
        .collect();
    assert_eq!(rates, [(0, 1), (4096, 2)]);
}

#[test]
fn comparisons_are_refused() {
    let mut comparison = small();
    comparison.compared_with = Some("before".to_owned());
    assert_eq!(Sum::new(NO).add(&comparison), Err(Refusal::Comparison));
}

/// `main`, then `f` at each of these addresses, each time called by the one before.
fn recursion(addresses: &[u64]) -> Profile {
    let mut tables = Tables::of(of_sites("program", &[(&["main"], 8, 1, 0)]));
    let name = tables.string("f");
    let function = tables.function(Function {
        name,
        file: 0,
        module: 0,
    });
    let mut node = 0;
    for &address in addresses {
        let frame = tables.frame(Frame {
            function,
            line: address as u32,
            kind: FrameKind::Physical,
            address,
        });
        node = tables.node(node, frame);
    }
    let mut site = tables.profile.sites[0].clone();
    site.node = node;
    tables.profile.sites.push(site);
    tables.profile
}

#[test]
fn recursion_is_folded_as_in_each_run() {
    // Direct recursion is one frame of a row, calls from several places are several.
    for addresses in [
        [&[7, 7, 7][..], &[7, 8, 7]],
        [&[7, 8, 7], &[7, 7, 7]],
        [&[8, 9], &[9, 8]],
        [&[8, 8], &[9, 8]],
        [&[7, 8], &[8, 7, 8]],
        [&[0, 7], &[7, 0, 7]],
    ] {
        let profiles = addresses.map(recursion);
        let mut expected = Rows::default();
        for (index, profile) in profiles.iter().enumerate() {
            // Of runs with the same peak that of the first one counts.
            expected.add_process(&rows(profile, false), index == 0);
        }
        let sum = summed(NO, &profiles);
        assert_eq!(rows(&sum, false), expected.rows(), "{addresses:?}");
    }
}

#[test]
fn a_line_is_kept_where_all_runs_agree() {
    let lines = |sum: &Profile| -> Vec<u32> { sum.frames.iter().map(|frame| frame.line).collect() };
    let sum = summed(NO, &[recursion(&[7]), recursion(&[7])]);
    assert_eq!(lines(&sum), [10, 7]);
    let sum = summed(NO, &[recursion(&[7]), recursion(&[9]), recursion(&[7])]);
    assert_eq!(lines(&sum), [10, 0]);
    let by_line = By { line: true, ..NO };
    let sum = summed(
        by_line,
        &[recursion(&[7]), recursion(&[9]), recursion(&[7])],
    );
    assert_eq!(lines(&sum), [10, 7, 9]);
    assert_eq!(sum.sites.len(), 3);
}
