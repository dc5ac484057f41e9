//! Names of functions whose file is gone, replaced or out of reach when names are looked for.

use crate::support::{Outcome, Run, Source, copied, tool};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tempfile::TempDir;

/// Rows of the plug-in: two of its functions, one of them exported.
const NAMED: [&str; 2] = ["hidden_ask", "plug"];

/// A folder with a program, a plug-in, and another build of each with other names.
struct Files {
    folder: TempDir,
}

impl Files {
    /// `build_id`: the linker's option.
    fn new(build_id: &str) -> Self {
        let files = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        let id = format!("-Wl,--build-id={build_id}");
        let flags = ["-O1", "-g", "-shared", "-fPIC", &id];
        let plugin = |name: &str| {
            let ask = format!("-DASK={name}");
            let source = Source::c("gone").flags(&flags).flags(&["-DPLUGIN", &ask]);
            source.named(&format!("{name}.so")).build()
        };
        copied(&plugin("hidden_ask"), &files.path("plug.so"));
        copied(&plugin("wrong_name"), &files.path("other.so"));
        let program = |name: &str| {
            let ask = format!("-DASK={name}");
            let source = Source::c("gone").flags(&["-O1", "-g", &id, &ask]);
            source.named(name).build()
        };
        copied(&program("own_ask"), &files.path("program"));
        copied(&program("wrong_name"), &files.path("other"));
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a shell's command in the folder.
    fn tool(&self, command: &str) -> (String, Outcome) {
        let csv = self.path("out.csv");
        let shell = format!("cd {} && {command}", self.folder.path().display());
        let outcome = Run::plain(tool())
            .args(&["-q", "--merge", "-o"])
            .arg(&csv)
            .args(&["sh", "-c", &shell])
            .succeed();
        (fs::read_to_string(csv).expect("the report"), outcome)
    }

    /// Runs a program in the folder under the library alone, by way of a shell that it replaces. All reports.
    fn alone(&self, command: &str) -> String {
        let reports = tempfile::tempdir_in(self.folder.path()).expect("a folder");
        for folder in [self.folder.path(), reports.path()] {
            fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).expect("opened");
        }
        let shell = format!(
            "cd {} && TMPDIR={} exec {command}",
            self.folder.path().display(),
            reports.path().display()
        );
        Run::preloaded("/bin/sh").args(&["-c", &shell]).succeed();
        let files = fs::read_dir(reports.path()).expect("the folder");
        let paths = files.map(|entry| entry.expect("an entry").path());
        // The shell's recording may stay there, if the program runs as another user.
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "csv"))
            .map(|path| fs::read_to_string(path).expect("read"))
            .collect()
    }
}

/// Asserts that a report has the calls of these two functions, 1111 bytes each.
fn assert_names(report: &str, [first, second]: [&str; 2], of: &str) {
    let row = format!("\"{first}\",\"{second}\",");
    let has_row = |line: &str| line.starts_with(&row) && line.ends_with(",1111,10,11110");
    assert!(report.lines().any(has_row), "{of}: {report}");
    assert!(!report.contains("wrong_name"), "{of}: {report}");
}

/// What happens to the plug-in while the program runs.
const FATES: [&str; 7] = [
    "",
    "chdir",
    "unlink-early",
    "unlink-early close",
    "unlink-late chdir",
    "replace",
    "replace close",
];

#[test]
fn libraries_that_are_removed_or_replaced_have_names_under_the_tool() {
    for build_id in ["none", "sha1"] {
        for fate in FATES {
            let files = Files::new(build_id);
            let (report, outcome) = files.tool(&format!("./program '{fate}'"));
            assert_names(&report, NAMED, fate);
            assert_eq!(outcome.stderr, "", "{fate}");
        }
    }
}

#[test]
fn libraries_that_are_removed_or_replaced_have_names_by_the_library_alone() {
    for build_id in ["none", "sha1"] {
        for fate in FATES {
            let files = Files::new(build_id);
            let report = files.alone(&format!("./program '{fate}'"));
            assert_names(&report, NAMED, fate);
        }
    }
}

#[test]
fn whoever_may_not_open_removed_files_by_their_mappings_has_names_too() {
    // SAFETY: no preconditions.
    if unsafe { libc::geteuid() } != 0 {
        // Everything else here is run with no more rights then.
        return;
    }
    for fate in ["unlink-early close", "unlink-late", "replace"] {
        let files = Files::new("none");
        let program = format!("setpriv --reuid 54321 --clear-groups ./program '{fate}'");
        assert_names(&files.alone(&program), NAMED, fate);
    }
}

#[test]
fn programs_that_are_removed_or_replaced_have_names() {
    for build_id in ["none", "sha1"] {
        for command in [
            "./program own; rm program",
            "cp program copy; ./copy own; rm copy",
            "./program own; mv other program",
            // While it runs.
            "./program own-replace",
            "/lib64/ld-linux-x86-64.so.2 ./program own; rm program",
            // A file that exists in memory alone.
            "./program memory ./program",
        ] {
            let files = Files::new(build_id);
            let (report, outcome) = files.tool(command);
            assert_names(&report, ["own_ask", "main"], command);
            assert_eq!(outcome.stderr, "", "{command}");
        }
        for command in ["./program own-replace", "./program memory ./program"] {
            let files = Files::new(build_id);
            let report = files.alone(command);
            assert_names(&report, ["own_ask", "main"], command);
        }
    }
}

#[test]
fn programs_that_only_another_mount_namespace_has_are_named() {
    let can = std::process::Command::new("unshare")
        .args(["-m", "true"])
        .status();
    if !can.is_ok_and(|status| status.success()) {
        // Not everybody may make one.
        return;
    }
    let files = Files::new("none");
    fs::create_dir(files.path("inner")).expect("a folder");
    let command = "unshare -m sh -c 'mount -t tmpfs none inner && cp program inner/program && inner/program own'";
    let (report, outcome) = files.tool(command);
    assert_names(&report, ["own_ask", "main"], command);
    assert_eq!(outcome.stderr, "");
}

#[test]
fn a_file_that_was_written_to_in_place_gives_no_names_and_the_reason_is_said() {
    for build_id in ["none", "sha1"] {
        let files = Files::new(build_id);
        let (report, outcome) = files.tool("./program own; cp other program");
        assert!(report.contains("\"program+0x"), "{report}");
        assert!(!report.contains("wrong_name"), "{report}");
        let said = "functions without names: ";
        assert!(
            outcome.stderr.contains(said) && outcome.stderr.contains("/program has been replaced"),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_recording_does_not_take_names_from_a_file_that_was_built_later() {
    let files = Files::new("none");
    let folder = files.folder.path().display();
    let shell = format!("cd {folder} && TMPDIR={folder} SKIP_HEAP_KEEP=1 exec ./program own");
    Run::preloaded("/bin/sh").args(&["-c", &shell]).succeed();
    let recordings = crate::support::recordings(files.folder.path());
    let [recording] = &recordings[..] else {
        panic!("one recording: {recordings:?}");
    };
    let report = |name: &str| {
        let outcome = Run::plain(tool())
            .args(&["report", "-q", "-o"])
            .args(&[files.path(name), recording.clone()])
            .succeed();
        let text = fs::read_to_string(files.path(name)).expect("the report");
        (text, outcome.stderr)
    };
    let (before, said) = report("before.csv");
    assert_names(&before, ["own_ask", "main"], "the same file");
    assert_eq!(said, "");
    fs::rename(files.path("other"), files.path("program")).expect("renamed");
    let (after, said) = report("after.csv");
    assert!(
        after.contains("\"program+0x") && !after.contains("wrong_name"),
        "{after}"
    );
    assert!(said.contains("/program has been replaced"), "{said}");
    fs::remove_file(files.path("program")).expect("removed");
    let (_, said) = report("gone.csv");
    assert!(said.contains("/program no longer exists"), "{said}");
}
