//! Reports beyond the original's CSV: all columns, collapsed stacks, the live heap in the summary.

use crate::support::{Outcome, Run, Source, tool};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn heap() -> PathBuf {
    Source::c("heap").flags(&["-g"]).build()
}

/// Runs the tool on the fixture with these options, and `-o` with a file of this name.
fn run(options: &[&str], name: &str) -> (Outcome, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join(name);
    let run = Run::plain(tool()).args(options).arg("-o").arg(&file);
    let outcome = run.arg(heap()).succeed();
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {outcome:?}"));
    (outcome, text)
}

type Row = BTreeMap<String, String>;

/// The rows of a CSV by the names of the columns.
fn rows(text: &str) -> Vec<Row> {
    let mut reader = ::csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("a header").clone();
    reader
        .records()
        .map(|record| {
            let record = record.expect("a row");
            let fields = header.iter().zip(&record);
            fields.map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
        })
        .collect()
}

/// The row of a size and an innermost function.
fn row<'r>(rows: &'r [Row], function: &str, size: &str) -> &'r Row {
    let mut found = rows
        .iter()
        .filter(|row| row["pc0"] == function && row["bytes allocated"] == size);
    let row = found
        .next()
        .unwrap_or_else(|| panic!("{function} {size}: {rows:?}"));
    assert!(found.next().is_none(), "{function} {size}: {rows:?}");
    row
}

fn assert_fields(row: &Row, fields: &[(&str, &str)]) {
    for (column, value) in fields {
        assert_eq!(row[*column], *value, "{column}: {row:?}");
    }
}

#[test]
fn all_columns_follow_those_of_the_original() {
    let (_, seed) = run(&[], "seed.csv");
    let (outcome, all) = run(&["--columns", "all"], "all.csv");
    // Nothing here is allocated at several places of the same names, so that the rows are the same.
    for (seed, all) in seed.lines().zip(all.lines()) {
        assert!(all.starts_with(&format!("{seed},")), "{seed}\n{all}");
    }
    assert_eq!(seed.lines().count(), all.lines().count());
    let rows = rows(&all);
    let kept = row(&rows, "take", "1000");
    assert_fields(
        kept,
        &[
            ("line", "9"),
            ("allocator", "malloc"),
            ("thread", "heap"),
            ("call count", "20"),
            ("frees", "15"),
            ("live blocks", "5"),
            ("live bytes", "5000"),
            ("temporary", "0"),
            ("samples", "20"),
            ("standard error", "0"),
        ],
    );
    assert!(kept["file"].ends_with("/programs/heap.c"), "{kept:?}");
    assert!(kept["module"].ends_with("/heap"), "{kept:?}");
    assert_fields(
        row(&rows, "take", "300"),
        &[
            ("frees", "30"),
            ("live blocks", "0"),
            ("temporary", "30"),
            // Blocks of the C library are 8 bytes longer than a multiple of 16.
            ("slack bytes", "360"),
            ("lifetimes in allocations", "30"),
        ],
    );
    // Freed by another thread, whose row this is not.
    assert_fields(
        row(&rows, "take", "700"),
        &[("thread", "heap"), ("frees", "1"), ("live bytes", "0")],
    );
    assert_fields(
        row(&rows, "grow", "8000"),
        &[("allocator", "realloc"), ("line", "42"), ("grown", "1")],
    );
    let copied: u64 = rows
        .iter()
        .map(|row| row["bytes copied"].parse::<u64>().expect("a number"))
        .sum();
    assert!(copied <= 4000 * 31, "{copied}: {outcome:?}");
}

#[test]
fn without_live_figures_their_columns_are_empty() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("all.csv");
    Run::plain(tool())
        .env("SKIP_HEAP_LIVE", "0")
        .args(&["--columns", "all", "-o"])
        .arg(&file)
        .arg(heap())
        .succeed();
    let rows = rows(&fs::read_to_string(&file).expect("a report"));
    let missing = [
        ("frees", "-"),
        ("peak bytes", "-"),
        ("lifetimes in time", "-"),
    ];
    assert_fields(row(&rows, "take", "1000"), &missing);
    assert_fields(
        row(&rows, "take", "1000"),
        &[("line", "9"), ("samples", "20")],
    );
}

#[test]
fn the_library_alone_writes_all_columns_too() {
    let (_, by_tool) = run(&["--columns", "all"], "all.csv");
    let outcome = Run::preloaded(heap())
        .env("SKIP_HEAP_COLUMNS", "all")
        .env("SKIP_HEAP_LIVE", "1")
        .succeed();
    let path = outcome.report_paths().remove(0);
    let text = fs::read_to_string(path).expect("a report");
    let without_times = |text: &str| -> Vec<Row> {
        let mut rows = rows(text);
        for row in &mut rows {
            row.remove("lifetimes in time");
            // Whether realloc could stay where it was depends on what was there before.
            row.remove("bytes copied");
        }
        rows
    };
    assert_eq!(without_times(&text), without_times(&by_tool));
}

#[test]
fn bad_values_are_refused_by_the_tool_and_told_by_the_library() {
    for (options, part) in [
        (["--stack-depth", "0"], "1 to 1024, or full"),
        (["--sample", "1KB"], "512K"),
        (["--columns", "some"], "seed"),
        (["--value", "peak"], "one number per stack"),
        (["--suppressions", "/no/such/file"], "/no/such/file"),
    ] {
        let outcome = Run::plain(tool()).args(&options).arg("/bin/true").finish();
        assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains(part), "{outcome:?}");
    }
    for (name, default) in [
        ("SKIP_HEAP_STACK_DEPTH", "4"),
        ("SKIP_HEAP_SAMPLE", "every allocation"),
        ("SKIP_HEAP_COLUMNS", "seed"),
    ] {
        let outcome = Run::preloaded(heap()).env(name, "bad").succeed();
        let line = outcome.stderr.lines().find(|line| line.contains(name));
        assert!(
            line.is_some_and(|line| line.ends_with(default)),
            "{outcome:?}"
        );
        let outcome = Run::plain(tool()).env(name, "bad").arg(heap()).finish();
        assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
        assert_eq!(outcome.stderr.matches(name).count(), 1, "{outcome:?}");
    }
}

/// The stacks of a file, by their functions from the root, without those above main.
fn stacks(text: &str) -> BTreeMap<String, u64> {
    let mut stacks = BTreeMap::new();
    for line in text.lines() {
        let (path, value) = line.rsplit_once(' ').expect("a number");
        let own = path.split_once(";main;").map_or(path, |parts| parts.1);
        *stacks.entry(own.to_owned()).or_default() += value.parse::<u64>().expect("a number");
    }
    stacks
}

#[test]
fn collapsed_stacks_are_whole_and_have_inlined_functions() {
    let (_, text) = run(&[], "heap.folded");
    let found = stacks(&text);
    assert_eq!(found["keep;take;inner"], 20_000, "{text}");
    assert_eq!(found["grow"], 4000 * 63, "{text}");
    let deep = format!("{}take;inner", "deep;".repeat(10));
    assert_eq!(found[&deep], 700, "{text}");
    let (_, text) = run(&["--fold-recursion", "--value", "calls"], "heap.collapsed");
    let folded = stacks(&text);
    assert_eq!(folded["deep;take;inner"], 1, "{text}");
    assert_eq!(folded["die_at_once;take;inner"], 30, "{text}");
    let (_, text) = run(&["--format", "collapsed", "--value", "live"], "heap.txt");
    let live = stacks(&text);
    assert_eq!(live["keep;take;inner"], 5000, "{text}");
    assert!(!live.contains_key("die_at_once;take;inner"), "{text}");
    let (_, text) = run(&["--lines", "--value", "temporary"], "heap.folded");
    let line = text.lines().find(|line| line.ends_with(" 30")).expect("30");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("preload-tests/programs/heap.c");
    assert!(
        line.contains(&format!(";inner ({}:9) 30", source.display())),
        "{line}"
    );
}

#[test]
fn collapsed_live_bytes_need_blocks_that_were_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let outcome = Run::plain(tool())
        .env("SKIP_HEAP_LIVE", "0")
        .args(&["--value", "peak", "-o"])
        .arg(folder.path().join("x.folded"))
        .arg(heap())
        .finish();
    assert_eq!(outcome.status.code(), Some(125), "{outcome:?}");
    assert!(outcome.stderr.contains("--live"), "{outcome:?}");
}

#[test]
fn the_summary_tells_the_heap_and_the_timeline_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let timeline = folder.path().join("timeline.csv");
    let option = timeline.to_str().expect("text");
    let (outcome, _) = run(&["--live", "--timeline", option], "heap.csv");
    for part in [
        "peak of live bytes: ",
        "temporary: ",
        "lifetimes: ",
        "realloc: 5 blocks grown",
        "not freed at the end: 5,",
        "inner (heap.c:9) ← take ← keep ← main",
        "timeline: ",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome:?}");
    }
    let points = rows(&fs::read_to_string(&timeline).expect("a timeline"));
    let number = |row: &Row, column: &str| row[column].parse::<f64>().expect("a number");
    let counted = points.iter().filter(|row| row["allocations"] != "-");
    assert!(counted.is_sorted_by_key(|row| number(row, "allocations") as u64));
    assert!(points.iter().all(|row| number(row, "seconds") >= 0.0));
    let most = points
        .iter()
        .map(|row| number(row, "live bytes"))
        .fold(0.0, f64::max);
    assert!(most >= 5000.0, "{points:?}");
}

#[test]
fn known_leaks_are_left_out_of_the_summary() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("known");
    fs::write(&file, "# ours\nleak:^keep$\nleak:libpthread*nowhere\n").expect("written");
    let option = file.to_str().expect("text");
    let (outcome, _) = run(&["--live", "--suppressions", option], "heap.csv");
    let line = "suppressed by leak:^keep$: 5,000 bytes (5.0 kB) in 5 blocks\n";
    assert!(outcome.stderr.contains(line), "{outcome:?}");
    assert!(
        !outcome.stderr.contains("inner (heap.c:9) ← take ← keep"),
        "{outcome:?}"
    );
    assert!(!outcome.stderr.contains("nowhere"), "{outcome:?}");
}

#[test]
fn stacks_that_are_too_deep_are_cut_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("deep.folded");
    let program = Source::c("deep").flags(&["-O1"]).build();
    let outcome = Run::plain(tool())
        .arg("-o")
        .arg(&file)
        .arg(&program)
        .succeed();
    let note = "note: the stacks of 3 allocations were cut short by deep recursion\n";
    assert!(outcome.stderr.contains(note), "{outcome:?}");
    let text = fs::read_to_string(&file).expect("a report");
    let mut lengths = Vec::new();
    for line in text.lines() {
        let (stack, bytes) = line.rsplit_once(' ').expect("a number");
        let names: Vec<&str> = stack.split(';').collect();
        if names.first() == Some(&"[too deep]") {
            lengths.push((
                names.len() - 1,
                bytes.to_owned(),
                *names.last().expect("one"),
            ));
        } else {
            assert!(names.contains(&"main"), "{line}");
        }
    }
    lengths.sort();
    let cut = [("77", "direct"), ("88", "even"), ("99", "odd")];
    assert_eq!(
        lengths,
        cut.map(|(bytes, name)| (1024, bytes.to_owned(), name)),
        "{text}"
    );
    Run::plain(tool())
        .args(&["--fold-recursion", "-o"])
        .arg(&file)
        .arg(&program)
        .succeed();
    let text = fs::read_to_string(&file).expect("a report");
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('[')).collect();
    let folded = [
        "[too deep];direct 77",
        "[too deep];even;odd 99",
        "[too deep];odd;even 88",
    ];
    assert_eq!(lines, folded, "{text}");
}

/// Python code that takes 200 MB without malloc.
const MAPS: &str = "
import mmap
memory = mmap.mmap(-1, 200 << 20)
for at in range(0, 200 << 20, 4096):
    memory[at] = 1
";

/// What the summary says of memory that did not come from malloc, when a shell runs these lines.
fn told_of_rss(lines: &str) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::plain(Path::new("/bin/sh")).args(&["-c", lines, "sh"]);
    let run = run.arg(tool()).arg(folder.path().join("out.csv"));
    run.arg(MAPS)
        .succeed()
        .stderr
        .contains("RSS came from malloc")
}

#[test]
fn memory_that_did_not_come_from_malloc_is_that_of_the_program_alone() {
    let program = r#"exec "$1" -o "$2" /usr/bin/python3 -c"#;
    assert!(told_of_rss(&format!(r#"{program} "$3""#)));
    assert!(!told_of_rss(&format!("{program} pass")));
    // `exec` leaves the figures of what ran before.
    let before = r#"/usr/bin/python3 -c "$3"; "#;
    assert!(!told_of_rss(&format!("{before}{program} pass")));
}
