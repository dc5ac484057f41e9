//! What is missing from a recording is said of everything that is made of it.

use crate::support::{Outcome, Run, tool};
use std::fs;
use std::path::PathBuf;

const PERL: [&str; 3] = ["/usr/bin/perl", "-e", "my @a = map { \"x$_\" x 9 } 1..999"];

/// A folder with a recording, `r.skipheap-rec`, and a profile of the same run, `p.skipheap`.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        let run = Run::plain(tool()).env("TMPDIR", folder.0.path());
        run.args(&["--keep", "-q", "-o"])
            .arg("/dev/null")
            .args(&PERL)
            .succeed();
        let entries = fs::read_dir(folder.0.path()).expect("the folder");
        let session = entries
            .map(|entry| entry.expect("an entry").path())
            .find(|path| path.is_dir())
            .expect("the session");
        let recording = fs::read_dir(&session)
            .expect("the session")
            .map(|entry| entry.expect("an entry").path())
            .find(|path| path.extension().is_some_and(|e| e == "skipheap-rec"))
            .expect("the recording");
        // What was written, and not the hole behind it.
        let bytes = fs::read(recording).expect("the recording");
        let written = u64::from_le_bytes(bytes[16..24].try_into().expect("eight bytes"));
        fs::write(folder.path("r.skipheap-rec"), &bytes[..written as usize]).expect("a copy");
        fs::remove_dir_all(session).expect("removed");
        folder.tell(0, &["report", "-q", "r.skipheap-rec", "-o", "p.skipheap"]);
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Runs the tool in the folder, which ends with this status.
    fn tell(&self, status: i32, args: &[&str]) -> Outcome {
        let script = "cd \"$0\" && exec \"$@\"";
        let run = Run::plain("/bin/sh").args(&["-c", script]);
        let outcome = run.arg(self.0.path()).arg(tool()).args(args).finish();
        assert_eq!(outcome.status.code(), Some(status), "{args:?}: {outcome:?}");
        outcome
    }
}

#[test]
fn a_recording_that_was_cut_off_is_so_in_every_profile_and_report_of_it() {
    const SAID: &str = "bytes of the recording missing";
    let folder = Folder::new();
    let whole = folder.read("r.skipheap-rec");
    let missing = whole.len() / 3;
    let cut = &whole[..whole.len() - missing];
    fs::write(folder.path("cut.skipheap-rec"), cut).expect("written");
    folder.tell(
        0,
        &["report", "-q", "cut.skipheap-rec", "-o", "cut.skipheap"],
    );
    folder.tell(
        0,
        &["merge", "-q", "cut.skipheap-rec", "-o", "merged.skipheap"],
    );
    folder.tell(
        0,
        &[
            "merge",
            "-q",
            "cut.skipheap",
            "merged.skipheap",
            "r.skipheap-rec",
            "-o",
            "all.skipheap",
        ],
    );
    for (name, missing) in [
        ("cut.skipheap", missing),
        ("merged.skipheap", missing),
        ("all.skipheap", 2 * missing),
    ] {
        let outcome = folder.tell(0, &["report", name, "-o", "x.json"]);
        let plain: String = outcome.stderr.replace(',', "");
        assert!(
            plain.contains(&format!("warning: {missing} {SAID}")),
            "{outcome:?}"
        );
        let json: serde_json::Value = serde_json::from_slice(&folder.read("x.json")).expect("JSON");
        assert_eq!(json["losses"][0]["count"], missing, "{name}");
        for file in ["x.md", "x.svg"] {
            folder.tell(0, &["report", "-q", name, "-o", file]);
            let text = String::from_utf8(folder.read(file)).expect("text");
            assert!(text.contains(SAID), "{name} {file}");
        }
        let outcome = folder.tell(0, &["diff", "p.skipheap", name]);
        assert!(
            outcome.stderr.contains(&format!("warning: {name}: ")),
            "{outcome:?}"
        );
        assert!(outcome.stderr.contains(SAID), "{outcome:?}");
        for (baseline, report) in [("p.skipheap", name), (name, "p.skipheap")] {
            let outcome = folder.tell(3, &["check", "--baseline", baseline, report]);
            assert!(outcome.stderr.contains(SAID), "{outcome:?}");
        }
    }
    let outcome = folder.tell(0, &["report", "p.skipheap", "-o", "x.json"]);
    assert!(!outcome.stderr.contains("warning"), "{outcome:?}");
    folder.tell(0, &["check", "--baseline", "p.skipheap", "p.skipheap"]);
}
