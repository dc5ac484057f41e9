//! Libraries that come and go while threads unwind and fork, and hundreds of them.

use super::{programs_lines, same_as_plain};
use crate::support::{Report, Run, Source, tool};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

fn program() -> PathBuf {
    Source::c("torture_loader").flags(&["-pthread"]).build()
}

fn plugin(name: &str, room: u32, size: u64) -> PathBuf {
    Source::named_library("plugin", name, room, size)
}

/// Libraries with other frames take each other's place, two threads allocate with sizes that are
/// always new, and a third forks.
#[test]
fn libraries_come_and_go_while_threads_unwind_and_fork() {
    const ROUNDS: u64 = 200;
    let folder = tempfile::tempdir().expect("a folder");
    let csv = folder.path().join("out.csv");
    let plugins = [
        plugin("alpha", 16, 100),
        plugin("beta", 4000, 200),
        plugin("gamma", 160, 300),
    ];
    let outcome = Run::plain(tool())
        .args(&["--merge", "-o"])
        .arg(&csv)
        .arg(program())
        .args(&["storm", &ROUNDS.to_string()])
        .args(&plugins)
        .time_out(Duration::from_secs(400))
        .finish();
    assert_eq!(outcome.status.code(), Some(3), "{outcome:?}");
    assert_eq!(outcome.stdout, "done\n");
    let report = Report::read(&csv);
    for (name, size) in [("alpha", 100), ("beta", 200), ("gamma", 300)] {
        let [ask, middle, constructor] =
            ["ask", "middle", "constructor"].map(|part| format!("{name}_{part}"));
        report.assert_row([&ask, &middle, "plugin", "using"], size, ROUNDS);
        assert_eq!(report.calls_by(&constructor), ROUNDS, "{}", report.text);
    }
    let others: u64 = programs_lines(&outcome.stderr)
        .iter()
        .find_map(|line| line.strip_prefix("others "))
        .expect("a count")
        .parse()
        .expect("a count");
    let asked = |is_wanted: fn(u64) -> bool| -> u64 {
        let rows = report.rows_by("ask");
        let wanted = rows.iter().filter(|row| is_wanted(row.size));
        wanted.map(|row| row.calls).sum()
    };
    assert_eq!(asked(|size| size >= 1000), others);
    assert_eq!(asked(|size| size == 41), 50 * 5);
    for row in report.rows_by("ask").iter().filter(|row| row.size >= 1000) {
        assert_eq!(
            row.frames[..3],
            ["ask", "leaf", "middle"],
            "{}",
            report.text
        );
    }
}

#[test]
fn five_hundred_libraries() {
    let folder = tempfile::tempdir().expect("a folder");
    let kinds: Vec<PathBuf> = (0..10)
        .map(|kind| plugin(&format!("kind{kind}"), 16 << kind, 100 + kind))
        .collect();
    let copies: Vec<PathBuf> = (0..500)
        .map(|number| {
            let copy = folder.path().join(format!("lib{number}.so"));
            fs::copy(&kinds[number % 10], &copy).expect("a copy");
            copy
        })
        .collect();
    let outcome = same_as_plain(|run| run.args(&["many", "3"]).args(&copies), &program());
    assert_eq!(outcome.stdout, "done\n", "{outcome:?}");
    let report = outcome.report();
    for kind in 0..10 {
        let name = |part: &str| format!("kind{kind}_{part}");
        assert_eq!(report.calls_by(&name("ask")), 50 * 3, "{}", report.text);
        assert_eq!(report.calls_by(&name("constructor")), 50, "{}", report.text);
    }
}
