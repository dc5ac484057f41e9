//! Every format of profiles, read by a program that is not ours: the sums are those of the CSV, and the names are all
//! there, whatever they contain.
//!
//! The readers are in `readers/`; `scripts/readers` installs what they need.

use crate::support::{Run, Source, patched_copy, tool};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Names that are more than text in HTML, XML, Markdown, collapsed stacks and JSON; the second is no text.
const STRANGE: [(&str, &[u8]); 2] = [
    (
        "strange_one",
        b"a;b <script>alert(\"1\")</script> | `c` & ${d} 7",
    ),
    ("strange_two", b"\xff\xfe'\\u0000 \xc3\xa4,]]>*_"),
];

const PYTHON: &str = "import json, ast, threading\n\
    work = lambda: ast.parse('x = [1, 2]\\n' * 300)\n\
    thread = threading.Thread(target=work)\nthread.start()\nthread.join()\n\
    json.loads('[' + '1.5,' * 2000 + '1]')\n";

/// Of Debian's valgrind.
const DHAT_VIEWER: &str = "/usr/libexec/valgrind/dh_view.js";

/// A program that was run, as a profile, with what its CSV says.
struct Recorded {
    name: &'static str,
    folder: tempfile::TempDir,
    profile: PathBuf,
    sums: Sums,
    /// Functions that asked for memory.
    names: BTreeSet<String>,
}

/// Of all rows.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    calls: u64,
    bytes: u64,
    live_blocks: u64,
    live_bytes: u64,
    peak_bytes: u64,
}

impl Sums {
    /// By the names that most readers give them.
    fn all(&self) -> [(&'static str, u64); 5] {
        [
            ("calls", self.calls),
            ("bytes", self.bytes),
            ("live_blocks", self.live_blocks),
            ("live_bytes", self.live_bytes),
            ("peak_bytes", self.peak_bytes),
        ]
    }
}

impl Recorded {
    /// Runs a program, with these options as well.
    fn new(name: &'static str, options: &[&str], command: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let profile = folder.path().join("run.skipheap");
        Run::plain(tool())
            .args(&["--quiet", "-o"])
            .arg(&profile)
            .args(options)
            .args(command)
            .succeed();
        let mut recorded = Self {
            name,
            folder,
            profile,
            sums: Sums::default(),
            names: BTreeSet::new(),
        };
        recorded.read_csv();
        recorded
    }

    /// The profile in another format.
    fn export(&self, file: &str, options: &[&str]) -> PathBuf {
        let path = self.folder.path().join(file);
        Run::plain(tool())
            .args(&["report", "-q", "-o"])
            .arg(&path)
            .args(options)
            .arg(&self.profile)
            .succeed();
        path
    }

    fn read_csv(&mut self) {
        let path = self.export("all.csv", &["--columns", "all"]);
        let mut reader = csv::Reader::from_path(&path).expect("the CSV");
        let header = reader.headers().expect("a header").clone();
        let column = |name: &str| {
            let place = header.iter().position(|column| column == name);
            place.unwrap_or_else(|| panic!("no column {name}"))
        };
        for row in reader.records() {
            let row = row.expect("a row");
            let number = |name: &str| row[column(name)].parse().unwrap_or(0_u64);
            self.sums.calls += number("call count");
            self.sums.bytes += number("total bytes");
            self.sums.live_blocks += number("live blocks");
            self.sums.live_bytes += number("live bytes");
            self.sums.peak_bytes += number("peak bytes");
            self.names.insert(row[0].to_owned());
        }
        assert!(self.sums.calls > 100 && !self.names.is_empty());
    }
}

#[test]
fn every_format_of_a_python_program_is_read_by_others() {
    let command = ["/usr/bin/python3", "-c", PYTHON];
    every_format(&Recorded::new("python", &["--live"], &command));
}

#[test]
fn every_format_of_a_stripped_c_program_is_read_by_others() {
    let command = ["/usr/bin/jq", "-n", "[range(500)|tostring]|sort|length"];
    every_format(&Recorded::new("jq", &["--live"], &command));
}

#[test]
fn every_format_of_a_rust_program_with_inlined_functions_is_read_by_others() {
    let program = Source::rust("inlined").flags(&["-O", "-g"]).build();
    let command = [&*program.to_string_lossy()];
    every_format(&Recorded::new("rust", &["--live"], &command));
}

#[test]
fn every_format_of_a_cpp_program_with_strange_names_is_read_by_others() {
    let program = Source::cpp("inlined").flags(&["-g"]).build();
    let (_folder, renamed) = patched_copy(&program, |_, copy| rename(copy));
    let command = [&*renamed.to_string_lossy()];
    let recorded = Recorded::new("strange", &["--live"], &command);
    let names = &recorded.names;
    // Inlined functions stand for those that have the strange names, and these are their callers.
    let csv = fs::read_to_string(recorded.export("run.csv", &[])).expect("the CSV");
    assert!(
        csv.contains("a;b <script>alert(\"\"1\"\")</script> | `c`"),
        "{csv}"
    );
    assert!(
        names.iter().any(|name| name.contains("\\xff\\xfe'")),
        "{names:?}"
    );
    every_format(&recorded);
}

#[test]
fn dhats_viewer_says_nothing_of_blocks_that_were_not_followed() {
    let plain = Recorded::new(
        "plain",
        &[],
        &["/usr/bin/jq", "-n", "[range(500)|tostring]|length"],
    );
    let found = read(
        "dhat.cjs",
        &[Path::new(DHAT_VIEWER), &plain.export("dhat.out.1", &[])],
    );
    assert_eq!(found["bklt"], false);
    assert_numbers(
        &found,
        &[("calls", plain.sums.calls), ("bytes", plain.sums.bytes)],
        plain.name,
    );
    let text = found["text"].as_str().expect("what is shown");
    assert!(
        !text.contains("NaN") && !text.contains("t-end:  0"),
        "{text}"
    );
}

fn every_format(recorded: &Recorded) {
    csv_is_read_by_python_and_found_out_by_duckdb(recorded);
    dhats_viewer_shows_our_sums(recorded);
    firefox_profiles_keep_the_rules_of_their_format(recorded);
    flame_graphs_are_drawings_with_the_sum_and_no_markup_of_names(recorded);
    html_holds_every_site_and_no_markup_of_names(recorded);
    markdown_has_the_totals_and_no_markup_of_names(recorded);
    parquet_is_read_by_duckdb_and_arrow(recorded);
    pprof_is_read_by_gos_pprof_and_by_another_decoder(recorded);
    speedscope_files_are_what_their_schema_says(recorded);
}

/// Gives the functions of the program their strange names.
fn rename(program: &Path) {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt;
    let options = STRANGE.map(|(old, new)| {
        let mut option = format!("--redefine-sym={old}=").into_bytes();
        option.extend_from_slice(new);
        OsString::from_vec(option)
    });
    Run::plain("objcopy").args(&options).arg(program).succeed();
}

/// Where `scripts/readers` puts things.
fn readers() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../readers");
    assert!(folder.exists(), "run scripts/readers first");
    folder
}

/// Runs a reader of `readers/`, whose output is JSON.
fn read(script: &str, args: &[&Path]) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("preload-tests/readers")
        .join(script);
    let run = match script.ends_with(".py") {
        true => Run::plain(readers().join("venv/bin/python")),
        false => Run::plain("/usr/bin/node").env("NODE_PATH", readers().join("node_modules")),
    };
    let outcome = run.arg(&path).args(args).succeed();
    serde_json::from_str(&outcome.stdout)
        .unwrap_or_else(|error| panic!("{script}: {error}: {outcome:?}"))
}

/// Fails unless the reader found these numbers.
fn assert_numbers(found: &Value, expected: &[(&str, u64)], name: &str) {
    for (key, number) in expected {
        assert_eq!(
            found[key].as_u64(),
            Some(*number),
            "{name}: {key} of {found}"
        );
    }
}

/// Fails unless the reader found all these names.
fn assert_names(found: &Value, recorded: &Recorded) {
    let names = found["names"].as_array().expect("names");
    let names: BTreeSet<&str> = names.iter().filter_map(Value::as_str).collect();
    for name in &recorded.names {
        assert!(
            names.contains(name.as_str()),
            "{}: {name:?} in {names:?}",
            recorded.name
        );
    }
}

fn pprof_is_read_by_gos_pprof_and_by_another_decoder(recorded: &Recorded) {
    let file = recorded.export("run.pb.gz", &[]);
    let sums = &recorded.sums;
    let expected = [
        ("alloc_objects/count", sums.calls),
        ("alloc_space/bytes", sums.bytes),
        ("inuse_objects/count", sums.live_blocks),
        ("inuse_space/bytes", sums.live_bytes),
    ];
    let decoded = read("pprof.cjs", &[&file]);
    assert_numbers(&decoded, &expected, recorded.name);
    assert_names(&decoded, recorded);
    assert_eq!(decoded["wrong"], Value::Array(vec![]));
    assert_eq!(
        decoded["buildId"].as_str().map(str::len),
        Some(40),
        "{decoded}"
    );
    let go = read("pprof.py", &[&readers().join("pprof"), &file]);
    assert_numbers(&go, &expected, recorded.name);
    assert_numbers(&go, &[("shown", sums.bytes)], recorded.name);
    assert_names(&go, recorded);
    if recorded.name == "rust" || recorded.name == "strange" {
        assert!(decoded["inlined"].as_u64() > Some(0), "{decoded}");
    }
}

fn html_holds_every_site_and_no_markup_of_names(recorded: &Recorded) {
    let file = recorded.export("run.html", &[]);
    let found = read("html.cjs", &[&file]);
    assert_numbers(&found, &recorded.sums.all(), recorded.name);
    assert_names(&found, recorded);
    assert_eq!(found["wrong"], Value::Array(vec![]), "{}", recorded.name);
    assert_eq!(found["markup"], 0, "{}", recorded.name);
}

fn flame_graphs_are_drawings_with_the_sum_and_no_markup_of_names(recorded: &Recorded) {
    let sums = &recorded.sums;
    for (value, sum) in [
        ("bytes", sums.bytes),
        ("calls", sums.calls),
        ("live", sums.live_bytes),
        ("peak", sums.peak_bytes),
    ] {
        let file = recorded.export("run.svg", &["--value", value]);
        if sum == 0 {
            let text = fs::read_to_string(&file).expect("the picture");
            assert!(text.contains(": none</text>"), "{}", recorded.name);
            continue;
        }
        let found = read("svg.py", &[&file]);
        assert_numbers(&found, &[("sum", sum)], recorded.name);
        // inferno's own.
        assert_eq!(found["scripts"], 1, "{}", recorded.name);
        assert_eq!(found["other"], Value::Array(vec![]), "{}", recorded.name);
        if recorded.name == "strange" && value == "bytes" {
            let names = found["names"].to_string();
            assert!(names.contains("a:b <script>alert"), "{names}");
            assert!(names.contains("\"innermost\""), "{names}");
        }
    }
}

fn speedscope_files_are_what_their_schema_says(recorded: &Recorded) {
    let found = read(
        "speedscope.cjs",
        &[&recorded.export("run.speedscope.json", &[])],
    );
    let sums = &recorded.sums;
    let expected = [
        ("bytes", sums.bytes),
        ("allocations", sums.calls),
        ("bytes not freed", sums.live_bytes),
        ("blocks not freed", sums.live_blocks),
        ("bytes at the peak", sums.peak_bytes),
    ];
    assert_numbers(&found, &expected, recorded.name);
    assert_eq!(found["wrong"], Value::Array(vec![]), "{}", recorded.name);
    assert!(!found["names"].as_array().expect("names").is_empty());
    if recorded.name == "strange" {
        assert!(found.to_string().contains("\"innermost\""), "{found}");
    }
}

fn dhats_viewer_shows_our_sums(recorded: &Recorded) {
    let viewer = Path::new(DHAT_VIEWER);
    let found = read(
        "dhat.cjs",
        &[viewer, &recorded.export("run.dhat.json", &[])],
    );
    assert_numbers(&found, &recorded.sums.all(), recorded.name);
    assert_names(&found, recorded);
    assert_eq!(found["wrong"], Value::Array(vec![]), "{}", recorded.name);
    assert_eq!(found["bklt"], true);
}

fn firefox_profiles_keep_the_rules_of_their_format(recorded: &Recorded) {
    let found = read("firefox.cjs", &[&recorded.export("run.firefox.json", &[])]);
    let sums = &recorded.sums;
    let expected = [
        ("bytes", sums.bytes),
        ("live_bytes", sums.live_bytes),
        ("counters", 1),
    ];
    assert_numbers(&found, &expected, recorded.name);
    assert_eq!(found["wrong"], Value::Array(vec![]), "{}", recorded.name);
    assert!(!found["names"].as_array().expect("names").is_empty());
}

fn parquet_is_read_by_duckdb_and_arrow(recorded: &Recorded) {
    let found = read("parquet.py", &[&recorded.export("run.parquet", &[])]);
    assert_numbers(&found, &recorded.sums.all(), recorded.name);
    assert_names(&found, recorded);
    assert_eq!(found["wrong"], Value::Array(vec![]), "{}", recorded.name);
    assert_eq!(
        found["first"][1], "40",
        "the length of the build id: {found}"
    );
    assert_eq!(found["first"][3], "True", "started lately: {found}");
    assert_eq!(found["first"][7], "True", "pc0 is in the stack: {found}");
    // The document lists each column with its type.
    let document = include_str!("../docs/parquet.md");
    for (name, kind) in found["columns"].as_object().expect("columns") {
        let line = format!("| `{name}` | `{}` |", kind.as_str().expect("a type"));
        assert!(document.contains(&line), "{line}");
    }
}

fn csv_is_read_by_python_and_found_out_by_duckdb(recorded: &Recorded) {
    for options in [&["--columns", "all"][..], &[]] {
        let found = read("read_csv.py", &[&recorded.export("run.csv", options)]);
        let sums = [
            ("calls", recorded.sums.calls),
            ("bytes", recorded.sums.bytes),
        ];
        assert_numbers(&found, &sums, recorded.name);
        assert_names(&found, recorded);
        assert_eq!(found["wrong"], Value::Array(vec![]), "{}", recorded.name);
        for column in ["bytes allocated", "call count", "total bytes"] {
            assert_eq!(
                found["types"][column], "BIGINT",
                "{}: {column}",
                recorded.name
            );
        }
    }
}

fn markdown_has_the_totals_and_no_markup_of_names(recorded: &Recorded) {
    let text = fs::read_to_string(recorded.export("run.md", &[])).expect("the table");
    let calls = recorded.sums.calls;
    let line = text
        .lines()
        .find(|line| line.starts_with("**"))
        .expect("totals");
    assert!(
        line.replace(',', "")
            .starts_with(&format!("**{calls} allocation")),
        "{line}"
    );
    assert!(!text.contains("<script") && !text.contains("]]>"), "{text}");
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        assert_eq!(row.matches('|').count(), 8, "{row}");
    }
}
