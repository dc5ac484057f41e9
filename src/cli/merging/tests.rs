//! Merging files.

use super::*;
use crate::testing::recording;
use skipheap_profile::sum::runs;
use skipheap_profile::sum::testing::Fleet;
use std::fs;
use tempfile::TempDir;

/// The profiles of so many runs in folders by host, one of which is damaged where that is wanted.
fn fleet(runs: u32, damaged: Option<u32>) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let fleet = Fleet {
        sites: 200,
        live: true,
    };
    for run in 0..runs {
        let host = folder.path().join(format!("host{}", run % 7));
        fs::create_dir_all(&host).expect("a folder");
        let mut bytes = Vec::new();
        file::write(&fleet.run(run), &mut bytes).expect("packed");
        if damaged == Some(run) {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        fs::write(host.join(format!("{run}.skipheap")), bytes).expect("written");
    }
    folder
}

pub(super) fn merged(
    inputs: &[&Path],
    output: &Path,
    options: MergeOptions,
) -> Result<u8, Failure> {
    let options = MergeOptions {
        inputs: inputs.iter().map(|&path| path.to_owned()).collect(),
        ..options
    };
    let wanted = ReportOptions {
        output: Some(output.to_owned()),
        quiet: true,
        ..ReportOptions::default()
    };
    merge(&options, &wanted)
}

#[test]
fn a_folder_of_profiles_becomes_one_profile_again_and_again() {
    let folder = fleet(50, None);
    let output = folder.path().join("all.skipheap");
    let mut before = Vec::new();
    for _ in 0..2 {
        // The second time the output lies among the inputs.
        merged(&[folder.path()], &output, MergeOptions::default()).expect("merged");
        let bytes = fs::read(&output).expect("written");
        assert!(before.is_empty() || before == bytes);
        before = bytes;
    }
    let sum = file::read(&output).expect("a profile");
    assert_eq!(sum.processes.iter().map(runs).sum::<u64>(), 50);
    let mut expected: u64 = 0;
    for run in 0..50 {
        let fleet = Fleet {
            sites: 200,
            live: true,
        };
        expected += fleet.run(run).sites.iter().map(|s| s.bytes()).sum::<u64>();
    }
    assert_eq!(sum.sites.iter().map(|s| s.bytes()).sum::<u64>(), expected);
}

#[test]
fn recordings_are_merged_with_profiles() {
    let folder = fleet(1, None);
    let path = folder.path().join("1.skipheap-rec");
    fs::write(&path, recording(7, 3, &[(16, 2)])).expect("written");
    let output = folder.path().join("all.csv");
    merged(&[&path, folder.path()], &output, MergeOptions::default()).expect("merged");
    let csv = fs::read_to_string(&output).expect("written");
    assert!(csv.contains("-,-,-,-,16,2,32\n"), "{csv}");
    assert!(csv.contains("acme::"), "{csv}");
}

#[test]
fn damage_is_named_or_counted() {
    let folder = fleet(9, Some(4));
    let output = folder.path().join("all.skipheap");
    fs::write(&output, "as it was").expect("written");
    let failure = merged(&[folder.path()], &output, MergeOptions::default()).unwrap_err();
    let said = failure.error.to_string();
    assert!(
        said.contains("host4/4.skipheap: a damaged profile"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&output).expect("kept"), "as it was");
    let skip = || MergeOptions {
        skip_damaged: true,
        ..MergeOptions::default()
    };
    merged(&[folder.path()], &output, skip()).expect("merged");
    let sum = file::read(&output).expect("a profile");
    assert_eq!(sum.processes.iter().map(runs).sum::<u64>(), 8);
    let damaged = folder.path().join("host4/4.skipheap");
    let failure = merged(&[&damaged], &output, skip()).unwrap_err();
    assert_eq!(failure.code, Code::Unusable);
    let said = failure.error.to_string();
    assert!(said.starts_with("1 input could not be read"), "{said}");
}

#[test]
fn runs_that_cannot_be_told_apart_are_refused() {
    let folder = fleet(20, None);
    let outputs = tempfile::tempdir().expect("a folder");
    let output = outputs.path().join("all.skipheap");
    merged(&[folder.path()], &output, MergeOptions::default()).expect("merged");
    let by_build = || MergeOptions {
        by: vec![Apart::Build],
        ..MergeOptions::default()
    };
    let again = outputs.path().join("again.skipheap");
    let failure = merged(&[&output], &again, by_build()).unwrap_err();
    let said = failure.error.to_string();
    assert!(said.contains("all.skipheap: a merged profile"), "{said}");
    merged(&[folder.path()], &again, by_build()).expect("merged");
    assert_eq!(file::read(&again).expect("read").processes.len(), 12);
}
