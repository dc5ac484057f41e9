//! What is printed for people: width, colours, the order of the summary, the call tree. `script` runs the tool
//! on a terminal of its own.

use crate::support::{Outcome, Run, Source, tool};
use std::path::PathBuf;

/// Profiles the fixture into a file.
struct Profiled {
    _folder: tempfile::TempDir,
    profile: PathBuf,
}

impl Profiled {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let profile = folder.path().join("p.skipheap");
        Run::plain(tool())
            .args(&["-q", "--live", "-o"])
            .arg(&profile)
            .arg(Source::c("heap").flags(&["-g"]).build())
            .succeed();
        Self {
            _folder: folder,
            profile,
        }
    }

    /// `report` with these options and no terminal.
    fn piped(&self, options: &[&str]) -> Run {
        Run::plain(tool())
            .arg("report")
            .args(options)
            .arg(&self.profile)
    }

    /// What it prints on a terminal of so many columns.
    fn shown(&self, columns: u32, options: &str, variables: &[(&str, &str)]) -> String {
        let line = format!(
            "stty cols {columns} rows 50; exec '{}' report {options} '{}'",
            tool().display(),
            self.profile.display()
        );
        let mut run = Run::plain("script")
            .args(&["-qec", &line, "/dev/null"])
            .env("TERM", "xterm-256color");
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE"] {
            run = run.env_remove(name);
        }
        for (name, value) in variables {
            run = run.env(name, value);
        }
        let Outcome { stdout, .. } = run.succeed();
        stdout.replace('\r', "")
    }
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let (_, rest) = part.split_once('m').expect("a colour");
        plain.push_str(rest);
    }
    plain
}

const QUIET: &str = "-o /dev/null";

#[test]
fn the_summary_fits_the_window() {
    let profiled = Profiled::new();
    let texts = [60, 100, 200].map(|columns| {
        let text = without_colours(&profiled.shown(columns, &format!("--sites {QUIET}"), &[]));
        let table = text.lines().skip_while(|line| !line.contains(" share "));
        let table: Vec<&str> = table.take_while(|line| !line.is_empty()).collect();
        let longest = table.iter().map(|line| line.chars().count()).max();
        assert!(
            table.len() >= 10 && longest <= Some(columns as usize),
            "{text}"
        );
        assert!(table[1].starts_with(" 128.0 kB  45.3 % █"), "{text}");
        text
    });
    assert!(!texts[0].contains("take ← keep ← main ← __libc_start_call_main"));
    assert!(texts[2].contains("take ← keep ← main ← __libc_start_call_main"));
}

#[test]
fn names_are_whole_in_a_pipe_and_a_width_may_be_asked_for() {
    let profiled = Profiled::new();
    let whole = "take ← keep ← main ← __libc_start_call_main";
    let longest = |text: &str| {
        let table = text.lines().skip_while(|line| !line.contains(" share "));
        let table = table.take_while(|line| !line.is_empty());
        let longest = table.map(|line| line.chars().count()).max();
        longest.expect("a table")
    };
    let piped = |options: &[&str], columns: &str| {
        let options = [options, &["--sites", "-o", "/dev/null"]].concat();
        let run = profiled.piped(&options).env("COLUMNS", columns);
        run.succeed().stderr
    };
    let text = piped(&[], "");
    assert!(text.contains(whole), "{text}");
    for (options, columns, expected) in [
        (&[][..], "60", 60),
        (&["--width", "70"], "", 70),
        // The option counts.
        (&["--width=60"], "200", 60),
    ] {
        let text = piped(options, columns);
        assert!(
            longest(&text) <= expected && !text.contains(whole),
            "{text}"
        );
    }
    let options = format!("--sites --width 60 {QUIET}");
    let text = without_colours(&profiled.shown(200, &options, &[]));
    assert!(longest(&text) <= 60, "{text}");
    let text =
        without_colours(&profiled.shown(60, &format!("--sites {QUIET}"), &[("COLUMNS", "200")]));
    assert!(text.contains(whole), "{text}");
    let outcome = profiled.piped(&["--width", "7"]).finish();
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let profiled = Profiled::new();
    let colours = |options: &str, variables: &[(&str, &str)]| {
        let options = format!("{options} {QUIET}");
        profiled.shown(100, &options, variables).contains('\u{1b}')
    };
    assert!(colours("", &[]));
    assert!(!colours("", &[("NO_COLOR", "1")]));
    assert!(!colours("", &[("TERM", "dumb")]));
    assert!(!colours("--color never", &[]));
    assert!(colours("--color=always", &[("NO_COLOR", "1")]));
    let piped = |options: &[&str], variable: &str| {
        let options = [options, &["-o", "/dev/null"]].concat();
        let run = profiled.piped(&options).env(variable, "1");
        run.succeed().stderr.contains('\u{1b}')
    };
    assert!(!piped(&[], "UNRELATED"));
    assert!(piped(&["--color", "always"], "UNRELATED"));
    assert!(piped(&[], "CLICOLOR_FORCE"));
    assert!(!piped(&["--color", "auto"], "NO_COLOR"));
}

/// The first numbers and the names in the table of sites.
fn sites(outcome: &Outcome) -> Vec<String> {
    let lines = outcome.stderr.lines();
    let lines = lines.skip_while(|line| !line.contains("allocated by"));
    let lines = lines.skip(1).take_while(|line| !line.is_empty());
    lines
        .map(|line| {
            let number = line.split("  ").find(|part| !part.trim().is_empty());
            let names = line.rsplit("  ").next();
            format!("{} {}", number.unwrap_or("").trim(), names.unwrap_or(""))
        })
        .collect()
}

#[test]
fn the_summary_lists_what_is_asked_for() {
    let profiled = Profiled::new();
    let listed = |options: &[&str]| {
        let options = [options, &["--sites", "-o", "/dev/null"]].concat();
        sites(&profiled.piped(&options).succeed())
    };
    let start = |line: &str, text: &str| assert!(line.starts_with(text), "{line}");
    let all = listed(&[]);
    assert_eq!(all.len(), 10, "{all:?}");
    start(&all[0], "128.0 kB grow ← main");
    let calls = listed(&["--sort", "calls", "--top", "2"]);
    assert_eq!(calls.len(), 2);
    start(&calls[0], "30 take ← die_at_once");
    start(&calls[1], "20 take ← keep");
    start(&listed(&["--sort=live"])[0], "5.0 kB take ← keep");
    start(&listed(&["--sort", "peak"])[0], "128.0 kB grow");
    start(
        &listed(&["--sort", "temporary"])[0],
        "30 take ← die_at_once",
    );
    let bad = profiled.piped(&["--top", "0"]).finish();
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
}

#[test]
fn live_figures_that_are_not_known_are_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let profile = folder.path().join("p.skipheap");
    Run::plain(tool())
        .args(&["-q", "-o"])
        .arg(&profile)
        .arg(Source::c("heap").flags(&["-g"]).build())
        .succeed();
    for options in [&["--sort", "live"][..], &["--tree", "--value", "peak"]] {
        let outcome = Run::plain(tool())
            .arg("report")
            .args(options)
            .arg(&profile)
            .finish();
        assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains("run with --live"), "{outcome:?}");
    }
}

#[test]
fn the_tree_is_plain_text_in_a_pipe() {
    let profiled = Profiled::new();
    let outcome = profiled.piped(&["--tree", "--fold-recursion"]).succeed();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert_eq!(
        lines[0],
        "  total      self       bytes  calls from the root"
    );
    let line = |end: &str| {
        let found = lines.iter().find(|line| line.ends_with(end));
        *found.unwrap_or_else(|| panic!("{end}: {}", outcome.stdout))
    };
    assert!(line(" main").starts_with("100.0 % "), "{}", outcome.stdout);
    let grow = " 89.4 %    89.3 %    252.3 kB    ├─ grow";
    assert_eq!(line("─ grow"), grow);
    line("│  ╰ inner");
    assert!(!outcome.stdout.contains('\u{1b}'));
    assert!(
        outcome.stderr.starts_with("skip-heapprof: heap: "),
        "{outcome:?}"
    );
    assert!(
        !outcome.stderr.contains("all sites"),
        "no file is written: {outcome:?}"
    );
    let shown = profiled.shown(60, "-q --tree", &[]);
    assert!(shown.contains('\u{1b}'), "{shown}");
    let longest = without_colours(&shown)
        .lines()
        .map(|line| line.chars().count())
        .max();
    assert!(longest <= Some(60), "{shown}");
}

#[test]
fn the_tree_of_callers_begins_where_memory_was_asked_for() {
    let profiled = Profiled::new();
    let options = [
        "-q",
        "--tree=callers",
        "--value",
        "calls",
        "--min-share",
        "20%",
        "--depth",
        "3",
    ];
    let outcome = profiled.piped(&options).succeed();
    let expected = "  total       calls  allocated by, called by
 89.1 %          57  inner
 89.1 %          57  ╰ take
 46.9 %          30    ├─ die_at_once
 46.9 %          30    │  └─ … 1 other function
 31.2 %          20    ├─ keep
 31.2 %          20    │  └─ … 1 other function
 10.9 %           7    └─ … 2 other functions
 10.9 %           7  … 2 other functions
";
    assert_eq!(outcome.stdout, expected);
    assert_eq!(outcome.stderr, "");
}

#[test]
fn a_run_and_its_recordings_have_the_same_tree() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run::plain(tool())
        .env("TMPDIR", folder.path())
        .args(&[
            "-q",
            "--keep",
            "--tree",
            "--value",
            "live",
            "-o",
            "/dev/null",
        ])
        .arg(Source::c("heap").flags(&["-g"]).build())
        .succeed();
    let mut entries = std::fs::read_dir(folder.path()).expect("the folder");
    let session = entries.find_map(|entry| {
        let path = entry.expect("an entry").path();
        path.is_dir().then_some(path)
    });
    let again = Run::plain(tool())
        .args(&["report", "-q", "--tree", "--value", "live"])
        .arg(session.unwrap_or_else(|| panic!("no session: {run:?}")))
        .succeed();
    let tree: Vec<&str> = run
        .stderr
        .lines()
        .filter(|line| !line.starts_with("skip"))
        .collect();
    assert_eq!(tree, again.stdout.lines().collect::<Vec<_>>());
    assert!(
        tree.len() > 5 && tree[0].contains(" live  calls from"),
        "{tree:?}"
    );
}
