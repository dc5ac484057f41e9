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

/// Programs of C, C++ and Rust, with blocks followed.
fn programs() -> Vec<Recorded> {
    let cpp = Source::cpp("inlined").flags(&["-g"]).build();
    let (_folder, strange) = patched_copy(&cpp, |_, copy| {
        rename(copy);
    });
    let rust = Source::rust("inlined").flags(&["-O", "-g"]).build();
    let live = &["--live"][..];
    vec![
        Recorded::new("python", live, &["/usr/bin/python3", "-c", PYTHON]),
        Recorded::new(
            "jq",
            live,
            &["/usr/bin/jq", "-n", "[range(500)|tostring]|sort|length"],
        ),
        Recorded::new("strange", live, &[&strange.to_string_lossy()]),
        Recorded::new("rust", live, &[&rust.to_string_lossy()]),
    ]
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

#[test]
fn the_programs_are_as_strange_as_they_should_be() {
    let recorded = programs();
    let strange = &recorded[2].names;
    assert!(
        strange.iter().any(|name| name.contains("\\xff\\xfe'")),
        "{strange:?}"
    );
    let csv = fs::read_to_string(recorded[2].folder.path().join("all.csv")).expect("the CSV");
    assert!(
        csv.contains("a;b <script>alert(\"\"1\"\")</script> | `c`"),
        "{csv}"
    );
}

#[test]
fn pprof_is_read_by_gos_pprof_and_by_another_decoder() {
    for recorded in programs() {
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
        assert_names(&decoded, &recorded);
        assert_eq!(decoded["wrong"], Value::Array(vec![]));
        assert_eq!(
            decoded["buildId"].as_str().map(str::len),
            Some(40),
            "{decoded}"
        );
        let go = read("pprof.py", &[&readers().join("pprof"), &file]);
        assert_numbers(&go, &expected, recorded.name);
        assert_numbers(&go, &[("shown", sums.bytes)], recorded.name);
        assert_names(&go, &recorded);
        if recorded.name == "rust" || recorded.name == "strange" {
            assert!(decoded["inlined"].as_u64() > Some(0), "{decoded}");
        }
    }
}

#[test]
fn html_holds_every_site_and_no_markup_of_names() {
    for recorded in programs() {
        let file = recorded.export("run.html", &[]);
        let found = read("html.cjs", &[&file]);
        assert_numbers(&found, &recorded.sums.all(), recorded.name);
        assert_names(&found, &recorded);
        assert_eq!(found["wrong"], Value::Array(vec![]), "{}", recorded.name);
        assert_eq!(found["markup"], 0, "{}", recorded.name);
    }
}
