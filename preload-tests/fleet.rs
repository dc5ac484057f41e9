//! Many runs as one profile: `merge`.

use crate::support::{Run, Source, tool};
use std::fs;
use std::path::Path;

/// Runs the fixture under the tool and leaves the profile at `path`.
fn profile(path: &Path) {
    Run::plain(tool())
        .args(&["-q", "--live", "-o"])
        .arg(path)
        .arg(Source::c("heap").flags(&["-g"]).build())
        .succeed();
}

fn csv(arguments: &[&str], input: &Path) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("out.csv");
    Run::plain(tool())
        .args(arguments)
        .args(&["-q", "--columns", "all", "-o"])
        .arg(&file)
        .arg(input)
        .succeed();
    let text = fs::read_to_string(&file).expect("the report");
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(text.as_bytes());
    let fields = |record: ::csv::StringRecord| record.iter().map(str::to_owned).collect();
    reader
        .records()
        .map(|record| fields(record.expect("a row")))
        .collect()
}

#[test]
fn the_merge_of_three_runs_has_three_times_the_calls_of_one() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["a", "b", "c"] {
        let host = folder.path().join(name);
        fs::create_dir(&host).expect("a folder");
        profile(&host.join("run.skipheap"));
    }
    let one = csv(&["report"], &folder.path().join("a/run.skipheap"));
    let three = csv(&["merge", "--by", "line"], folder.path());
    assert_eq!(one.len(), three.len());
    let column = |name: &str| one[0].iter().position(|heading| heading == name);
    let calls = column("call count").expect("a column");
    let file = column("file").expect("a column");
    let mut sum = 0;
    for (one, three) in one.iter().zip(&three).skip(1) {
        let number = |row: &[String]| row[calls].parse::<u64>().expect("a number");
        assert_eq!(3 * number(one), number(three), "{one:?} {three:?}");
        // Names, size, file and line are those of each run.
        assert_eq!(
            (&one[..5], &one[file..file + 2]),
            (&three[..5], &three[file..file + 2])
        );
        sum += number(one);
    }
    assert!(sum > 10, "{one:?}");
    let merged = folder.path().join("all.skipheap");
    let outcome = Run::plain(tool())
        .args(&["merge", "--by=build,line"])
        .arg(folder.path())
        .arg("-o")
        .arg(&merged)
        .succeed();
    assert!(outcome.stderr.contains("heap, 3 runs: "), "{outcome:?}");
    assert!(outcome.stderr.contains("merged: 3 inputs"), "{outcome:?}");
    assert_eq!(csv(&["report"], &merged), three);
}

#[test]
fn options_about_single_runs_do_not_go_with_merge() {
    let outcome = Run::plain(tool())
        .args(&["merge", "--timeline", "t.csv", "/no/such"])
        .finish();
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    assert!(
        outcome.stderr.contains("do not go with `merge`"),
        "{outcome:?}"
    );
}
