//! Checks where they are used: the GitHub Action, the GitLab template, and the examples for `cargo test`, pytest and
//! CTest. Their shell steps are run as their runners run them.

use crate::support::{output_of, script, tool};
use serde_json::Value;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A YAML file, as JSON.
fn yaml(path: &str) -> Value {
    let script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
    let path = project().join(path).display().to_string();
    let json = output_of("/usr/bin/python3", &["-c", script, &path]);
    serde_json::from_str(&json).expect("JSON")
}

/// A command with what builds need of the environment, and the tool on PATH.
fn clean(program: &str, tmp: &Path) -> Command {
    let mut command = Command::new(program);
    let mut path = OsString::from(tool().parent().expect("a folder"));
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()));
    command
        .env_clear()
        .env("PATH", path)
        .env("TMPDIR", tmp)
        .env("LANG", "C.UTF-8");
    for name in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}

fn ended(mut command: Command) -> (i32, String) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    (output.status.code().expect("a status"), said(&output))
}

/// A program in a folder of its own, which allocates 1000 bytes so many times.
fn program(folder: &Path, times: u32) -> PathBuf {
    let source = folder.join("program.c");
    let text = format!(
        "#include <stdlib.h>\nvoid *volatile sink;\n__attribute__((noinline)) void work(int n) {{\n  for (int i = 0; i \
         < n; i++)\n    free(sink = malloc(1000));\n}}\nint main(void) {{ work({times}); return 0; }}\n"
    );
    fs::write(&source, text).expect("written");
    let program = folder.join("program");
    let paths = [&program, &source].map(|path| path.display().to_string());
    output_of("gcc", &["-g", "-O1", "-o", &paths[0], &paths[1]]);
    program
}

/// A job of GitHub that uses the action.
struct Job {
    folder: tempfile::TempDir,
    steps: Vec<Value>,
    inputs: Vec<(String, String)>,
}

impl Job {
    fn new() -> Self {
        let action = yaml("action.yml");
        let inputs = action["inputs"].as_object().expect("inputs");
        let defaults = inputs.iter().map(|(name, input)| {
            let default = input["default"].as_str().unwrap_or_default();
            (name.clone(), default.to_owned())
        });
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            inputs: defaults.collect(),
            steps: action["runs"]["steps"].as_array().expect("steps").clone(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        let input = self.inputs.iter_mut().find(|input| input.0 == name);
        input.expect("an input of the action").1 = value.to_owned();
        self
    }

    /// Text with the values of inputs in place of expressions.
    fn evaluated(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.inputs {
            text = text.replace(&format!("${{{{ inputs.{name} }}}}"), value);
        }
        for (name, value) in [
            ("token", "a token"),
            ("action_repository", "owner/skipheap"),
            ("action_ref", "v0.1.0"),
        ] {
            text = text.replace(&format!("${{{{ github.{name} }}}}"), value);
        }
        assert!(
            !text.contains("${{"),
            "an expression that is not understood: {text}"
        );
        text
    }

    /// Runs the action; `PATH` begins with `first`. Returns status, output, what was appended to `GITHUB_OUTPUT`.
    fn run(&self, first: &str) -> (i32, String, String) {
        let mut all = String::new();
        for step in &self.steps {
            if step["if"] == "${{ inputs.tool == '' }}" {
                if self
                    .inputs
                    .iter()
                    .any(|(name, value)| name == "tool" && !value.is_empty())
                {
                    continue;
                }
            } else {
                assert!(step["if"].is_null(), "a condition that is not understood");
            }
            assert_eq!(step["shell"], "bash");
            let script = self.path("step.sh");
            fs::write(
                &script,
                self.evaluated(step["run"].as_str().expect("a script")),
            )
            .expect("written");
            let mut command = clean("bash", self.folder.path());
            // As the runner starts it.
            command
                .args(["--noprofile", "--norc", "-eo", "pipefail"])
                .arg(&script);
            command.current_dir(self.folder.path());
            if !first.is_empty() {
                let path = std::env::var("PATH").unwrap_or_default();
                command.env("PATH", format!("{first}:{path}"));
            }
            for (name, value) in step["env"].as_object().into_iter().flatten() {
                command.env(name, self.evaluated(value.as_str().expect("text")));
            }
            command
                .env("GITHUB_ACTIONS", "true")
                .env("GITHUB_ACTION_PATH", project())
                .env("GITHUB_WORKSPACE", self.folder.path())
                .env("GITHUB_STEP_SUMMARY", self.path("summary.md"))
                .env("GITHUB_OUTPUT", self.path("output"))
                .env("RUNNER_TEMP", self.folder.path());
            let (status, text) = ended(command);
            all.push_str(&text);
            if status != 0 {
                let outputs = fs::read_to_string(self.path("output")).unwrap_or_default();
                return (status, all, outputs);
            }
        }
        let outputs = fs::read_to_string(self.path("output")).unwrap_or_default();
        (0, all, outputs)
    }
}

#[test]
fn the_action_of_github_passes_fails_and_updates() {
    let job = Job::new()
        .with("tool", &tool().display().to_string())
        .with("command", "./program --an 'argument with blanks'")
        .with("options", "--max-growth '2%' --max-new-site 4KiB");
    program(job.folder.path(), 100);
    let (status, said, outputs) = job.run("");
    assert_eq!(status, 2, "no baseline yet: {said}");
    assert!(outputs.contains("status=2\n"), "{outputs}");
    let job = job.with("update", "true");
    assert_eq!(job.run("").0, 0);
    assert!(job.path("heap.csv").exists());
    let job = job.with("update", "false");
    let (status, said, _) = job.run("");
    assert_eq!(status, 0, "{said}");
    program(job.folder.path(), 200);
    let (status, said, outputs) = job.run("");
    assert_eq!(status, 1, "{said}");
    assert!(
        said.contains("::error file=program.c,line=5,title=Heap%3A site-growth::"),
        "{said}"
    );
    assert!(outputs.ends_with(&format!(
        "status=1\njunit={}\n",
        job.path("skip-heapprof.xml").display()
    )));
    let summary = fs::read_to_string(job.path("summary.md")).expect("a summary");
    assert!(summary.contains("within all limits ✅"), "{summary}");
    assert!(summary.contains("regressions ❌"), "{summary}");
}

/// A folder with the files of a release that the action downloads, and a `gh` that downloads them.
fn release(job: &Job) -> PathBuf {
    let (files, tree, bin) = (job.path("files"), job.path("tree/r"), job.path("bin"));
    for folder in [&files, &bin, &tree.join("bin")] {
        fs::create_dir_all(folder).expect("made");
    }
    for folder in ["lib", "include", "share"] {
        fs::create_dir(tree.join(folder)).expect("made");
    }
    // In place of the tool: it is of another build, and large.
    let text = format!("#!/bin/sh\nexec '{}' \"$@\"\n", tool().display());
    script(&tree.join("bin/skip-heapprof"), &text);
    fs::copy(
        project().join("packaging/install.sh"),
        tree.join("install.sh"),
    )
    .expect("copied");
    let archive = files.join("skip-heapprof-0.1.0-x86_64-linux.tar.gz");
    let above = job.path("tree");
    output_of(
        "tar",
        &[
            "-C",
            above.to_str().expect("text"),
            "-czf",
            archive.to_str().expect("text"),
            "r",
        ],
    );
    let sums = "cd \"$0\" && sha256sum -- *.tar.gz >SHA256SUMS";
    output_of("sh", &["-c", sums, files.to_str().expect("text")]);
    let text = format!(
        "#!/bin/sh\nset -eu\n[ \"$1 $2 $3 $4 $5 $6\" = 'release download v0.1.0 --repo owner/skipheap --dir' ]\n\
         [ \"$GH_TOKEN\" = 'a token' ]\ncp '{}'/* \"$7\"\n",
        files.display()
    );
    script(&bin.join("gh"), &text);
    files
}

#[test]
fn the_action_of_github_installs_the_release_that_it_belongs_to() {
    let job = Job::new()
        .with("command", "./program")
        .with("update", "true");
    program(job.folder.path(), 100);
    release(&job);
    let (status, said, outputs) = job.run(job.path("bin").to_str().expect("text"));
    assert_eq!(status, 0, "{said}");
    assert!(outputs.contains("status=0\n"), "{outputs}");
    assert!(job.path("skip-heapprof/bin/skip-heapprof").exists());
}

#[test]
fn the_action_of_github_installs_nothing_that_is_not_what_was_released() {
    let job = Job::new().with("command", "./program");
    program(job.folder.path(), 100);
    let files = release(&job);
    let archive = files.join("skip-heapprof-0.1.0-x86_64-linux.tar.gz");
    let mut bytes = fs::read(&archive).expect("the archive");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(&archive, bytes).expect("written");
    let (status, said, _) = job.run(job.path("bin").to_str().expect("text"));
    assert_ne!(status, 0, "{said}");
    assert!(said.contains("FAILED"), "{said}");
    assert!(!job.path("skip-heapprof").exists());
}

#[test]
fn the_template_of_gitlab_passes_and_fails() {
    let template = yaml("ci/gitlab.yml");
    let job = &template[".heap-check"];
    let folder = tempfile::tempdir().expect("a folder");
    let run = |options: &str| {
        let mut scripts = job["script"].as_array().expect("a script").iter();
        let script = scripts.next().expect("one").as_str().expect("text");
        // GitLab runs it with the image's shell.
        let mut command = clean("sh", folder.path());
        command
            .args(["-e", "-c", script])
            .current_dir(folder.path());
        for (name, value) in job["variables"].as_object().expect("variables") {
            command.env(name, value.as_str().expect("text"));
        }
        command
            .env("HEAP_COMMAND", "./program")
            .env("HEAP_OPTIONS", options)
            .env("CI_PROJECT_DIR", folder.path());
        ended(command)
    };
    program(folder.path(), 100);
    assert_eq!(run("--update").0, 0);
    assert_eq!(run("").0, 0);
    program(folder.path(), 200);
    let (status, said) = run("--max-new-site 0");
    assert_eq!(status, 1, "{said}");
    let reports = &job["artifacts"]["reports"];
    let report = |name: &str| {
        let path = reports[name].as_str().expect("a path");
        fs::read_to_string(folder.path().join(path)).expect("written")
    };
    assert!(report("junit").contains("site-growth"));
    let issues: Value = serde_json::from_str(&report("codequality")).expect("JSON");
    let paths: Vec<&Value> = issues
        .as_array()
        .expect("a list")
        .iter()
        .map(|issue| &issue["location"]["path"])
        .collect();
    assert!(paths.contains(&&Value::from("program.c")), "{paths:?}");
}

#[test]
fn paths_begin_at_the_repository_wherever_the_check_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let sub = folder.path().join("sub");
    fs::create_dir_all(&sub).expect("made");
    fs::create_dir(folder.path().join(".git")).expect("made");
    let check = |options: &[&str], job: Option<&str>| {
        let mut command = clean("skip-heapprof", folder.path());
        command
            .args(["check", "--baseline", "heap.csv"])
            .args(options)
            .args(["--", "./program"])
            .current_dir(&sub);
        if let Some(name) = job {
            command.env(name, folder.path());
        }
        ended(command)
    };
    program(&sub, 100);
    assert_eq!(check(&["--update"], None).0, 0);
    program(&sub, 200);
    fs::write(
        sub.join("skipheap.toml"),
        "[limits]\nmax-new-site = 0\n\n[budgets]\nwork = { calls = 1 }\n",
    )
    .expect("written");
    for job in [Some("GITHUB_WORKSPACE"), Some("CI_PROJECT_DIR"), None] {
        let (status, said) = check(&["--annotations", "--gitlab", "heap.json"], job);
        assert_eq!(status, 1, "{said}");
        // The totals are the baseline's, sites and budgets those of the source.
        for (rule, file) in [
            ("total-bytes", "file=sub/heap.csv,line=1"),
            ("site-growth", "file=sub/program.c,line=5"),
            ("budget", "file=sub/"),
        ] {
            let expected = format!("title=Heap%3A {rule}::");
            let mut lines = said.lines().filter(|line| line.contains(&expected));
            let line = lines.next().unwrap_or_else(|| panic!("{rule}: {said}"));
            assert!(line.contains(file), "{job:?}: {file}: {line}");
        }
        let text = fs::read_to_string(sub.join("heap.json")).expect("written");
        let issues: Value = serde_json::from_str(&text).expect("JSON");
        let mut paths: Vec<&str> = issues
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|issue| issue["location"]["path"].as_str())
            .collect();
        paths.sort_unstable();
        paths.dedup();
        assert!(paths.contains(&"sub/heap.csv"), "{job:?}: {paths:?}");
        assert!(
            paths.iter().all(|path| path.starts_with("sub/")),
            "{job:?}: {paths:?}"
        );
    }
}

/// Copies an example, has it write its baselines, checks; then once more with a change that allocates.
fn example(name: &str, file: &str, (from, to): (&str, &str), site: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join(name);
    let original = project().join("examples").join(name);
    output_of(
        "cp",
        &[
            "-r",
            original.to_str().expect("text"),
            copy.to_str().expect("text"),
        ],
    );
    let check = |more: &[&str]| {
        let script = copy.join("heap-check");
        let mut command = clean(script.to_str().expect("text"), folder.path());
        command.args(more).env("PYTHON", "/usr/bin/python3");
        ended(command)
    };
    let (status, said) = check(&["--update"]);
    assert_eq!(status, 0, "{said}");
    let (status, said) = check(&[]);
    assert_eq!(status, 0, "{said}");
    let path = copy.join(file);
    let text = fs::read_to_string(&path).expect("read");
    assert!(text.contains(from), "{text}");
    fs::write(&path, text.replace(from, to)).expect("written");
    let (status, said) = check(&[]);
    assert_ne!(status, 0, "{said}");
    assert!(
        said.contains("new-site: ") || said.contains("site-growth: "),
        "{said}"
    );
    assert!(said.contains(site), "{said}");
}

#[test]
fn the_example_of_cargo_works() {
    let planted = (
        "    for word in",
        "    let copies: Vec<String> = (0..200).map(|_| text.to_owned()).collect();\n    assert_eq!(copies.len(), \
         200);\n    for word in",
    );
    example("cargo-test", "src/lib.rs", planted, "words::count");
}

#[test]
fn the_example_of_pytest_works() {
    let planted = (
        "        word = word.lower()",
        "        word = (word * 1000).lower()[-len(word):]",
    );
    example("pytest", "words.py", planted, "PyUnicode_New");
}

#[test]
fn the_example_of_ctest_works() {
    let planted = ("malloc(length + 1)", "malloc(length + 100)");
    example("ctest", "words.c", planted, "next_word ← main");
}
