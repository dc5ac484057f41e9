//! Code that is made at run time: its names, and the way through it.

use crate::support::{Report, Run, Source, tool};
use std::fs;

const MADE: [&str; 4] = ["work", "made_inner", "between", "made_outer"];

#[test]
fn a_dump_names_made_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = Source::c("jit").build();
    let outcome = Run::preloaded(&program).arg(folder.path()).succeed();
    outcome.report().assert_row(MADE, 48, 100);
    // The same when the process is gone.
    let out = folder.path().join("out.csv");
    Run::plain(tool())
        .args(&["-q", "-o"])
        .arg(&out)
        .arg(&program)
        .arg(folder.path())
        .succeed();
    Report::read(&out).assert_row(MADE, 48, 100);
}

#[test]
fn a_map_names_made_code() {
    let program = Source::c("jit").build();
    let outcome = Run::preloaded(program).arg("-").succeed();
    fs::remove_file(&outcome.stdout).expect("the map that it printed");
    outcome.report().assert_row(MADE, 48, 100);
}

/// A name in /tmp is anyone's to take: what lies there is used if it is the process's own, and holds nobody up.
#[test]
fn a_map_that_is_not_the_processes_own_is_not_read() {
    let program = Source::c("jit").build();
    for (what, names) in [
        ("true", true),
        ("touch -d '2 days ago' $MAP", false),
        ("rm $MAP && mkfifo $MAP", false),
        ("mv $MAP $MAP.moved && ln -s $MAP.moved $MAP", false),
        ("ln $MAP $MAP.moved", false),
        ("chown 65534 $MAP", false),
    ] {
        // SAFETY: no preconditions.
        if what.starts_with("chown") && unsafe { libc::geteuid() } != 0 {
            continue;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out.csv");
        let runs = [
            Run::preloaded(&program).env("SKIP_HEAP_PROGRAMS", "jit"),
            Run::plain(tool())
                .args(&["-q", "--programs", "jit", "-o"])
                .arg(&out)
                .arg(&program),
        ];
        for (run, by_tool) in runs.into_iter().zip([false, true]) {
            let outcome = run.args(&["-", what]).succeed();
            let _ = fs::remove_file(&outcome.stdout);
            let _ = fs::remove_file(format!("{}.moved", outcome.stdout));
            let report = match by_tool {
                true => Report::read(&out),
                false => outcome.report(),
            };
            assert_eq!(report.calls_by("work"), 100, "{what}: {}", report.text);
            let named = report.text.contains("made_inner");
            assert_eq!(named, names, "{what}: {}", report.text);
        }
    }
}

#[test]
fn javascript_is_named_by_the_dump_and_by_the_map() {
    let script = "function grow(n) { const a = []; for (let i = 0; i < n; i++) a.push({ x: i }); return a; } \
                  let t = 0; for (let k = 0; k < 400; k++) t += grow(1000).length + Buffer.alloc(20000).length; \
                  console.log(t, process.pid);";
    for how in ["--perf-prof", "--perf-basic-prof"] {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("grow.js"), script).expect("written");
        let out = folder.path().join("out.csv");
        let outcome = Run::plain("/usr/bin/env")
            .arg("-C")
            .arg(folder.path())
            .arg(tool())
            .args(&["-q", "-o"])
            .arg(&out)
            // What JavaScript calls is left out of the stacks, so that it comes innermost.
            .args(&["--trim", "v8::*;node::*;Builtins_*;heap::base::*"])
            .args(&["node", how, "grow.js"])
            .succeed();
        let pid = outcome
            .stdout
            .split_whitespace()
            .last()
            .expect("a process id");
        let _ = fs::remove_file(format!("/tmp/perf-{pid}.map"));
        let report = Report::read(&out);
        let is_grow = |name: &String| name.starts_with("JS:") && name.contains("grow ");
        let named = report
            .rows
            .iter()
            .filter(|row| row.frames.iter().any(is_grow));
        assert!(named.count() > 0, "{how}: {}", report.text);
    }
}
