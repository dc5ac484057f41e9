//! Programs that nobody here wrote: the same output and the same end as without the library.

use super::same_as_plain;
use crate::support::Run;
use std::path::Path;

/// Runs `program` with `arguments` twice, and asserts that the report has calls.
fn unchanged(program: &str, arguments: &[&str], status: i32) {
    let outcome = same_as_plain(|run: Run| run.args(arguments), Path::new(program));
    assert_eq!(outcome.status.code(), Some(status), "{outcome:?}");
    let calls: u64 = outcome.reports().iter().map(|report| report.calls()).sum();
    assert!(calls > 0, "{outcome:?}");
}

#[test]
fn sqlite_answers_the_same() {
    let query = "with recursive n(x) as (select 1 union all select x + 1 from n limit 20000) \
                 select sum(x), group_concat(x) from n";
    unchanged("/usr/bin/sqlite3", &[":memory:", query], 0);
}

#[test]
fn python_prints_the_same() {
    let program = "import json\nprint(json.dumps([{'n': i} for i in range(5000)]))\nexit(3)";
    unchanged("/usr/bin/python3", &["-c", program], 3);
}

#[test]
fn perl_prints_the_same_and_dies_the_same() {
    let program = "my %h; $h{$_} = $_ x 3 for 1..5000; print join ',', sort values %h; die 'end'";
    unchanged("/usr/bin/perl", &["-e", program], 255);
}

#[test]
fn jq_complains_the_same() {
    unchanged(
        "/usr/bin/jq",
        &["-n", "[range(5000)] | add, error(\"x\")"],
        5,
    );
}

#[test]
fn git_prints_the_same() {
    unchanged("/usr/bin/git", &["help", "--all", "--no-verbose"], 0);
}
