//! Runs a program in a clean environment, with a time-out, and keeps everything it printed.

use super::{Report, library};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Long enough for the slowest fixture on a busy machine; a hang is what it is for.
const TIME_OUT: Duration = Duration::from_secs(120);

/// A program about to be run.
pub(crate) struct Run {
    command: Command,
    stdin: Vec<u8>,
    folder: TempDir,
}

impl Run {
    /// Under the library: `LD_PRELOAD` alone, reports in a fresh TMPDIR.
    pub(crate) fn preloaded(program: impl AsRef<OsStr>) -> Self {
        Self::plain(program).env("LD_PRELOAD", library())
    }

    /// Without the library.
    pub(crate) fn plain(program: impl AsRef<OsStr>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the run");
        let tmp = folder.path().join("tmp");
        fs::create_dir(&tmp).expect("a fresh TMPDIR");
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder.path())
            .env("LANG", "C.UTF-8")
            .env("TMPDIR", &tmp)
            .process_group(0);
        // Everything can be tested with other settings: `PRELOAD_TESTS_WITH="SKIP_HEAP_LIVE=1 ..."`.
        let with = std::env::var("PRELOAD_TESTS_WITH").unwrap_or_default();
        for (name, value) in with
            .split_whitespace()
            .filter_map(|one| one.split_once('='))
        {
            command.env(name, value);
        }
        Self {
            command,
            stdin: Vec::new(),
            folder,
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: &[S]) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Preloads another library behind those that are.
    pub(crate) fn also_preload(self, path: &Path) -> Self {
        let name = OsStr::new("LD_PRELOAD");
        let before = self.command.get_envs().find(|(key, _)| *key == name);
        let before = before.and_then(|(_, value)| value).map(OsStr::to_owned);
        let mut both = before.map_or_else(OsString::new, |mut value| {
            value.push(":");
            value
        });
        both.push(path);
        self.env("LD_PRELOAD", both)
    }

    /// Sets `argv[0]`.
    pub(crate) fn called(mut self, name: &str) -> Self {
        self.command.arg0(name);
        self
    }

    pub(crate) fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = bytes.to_vec();
        self
    }

    /// Loads everything at the same addresses in each run. Some programs hash addresses, and what
    /// they allocate depends on that.
    pub(crate) fn fixed_addresses(mut self) -> Self {
        let set = || {
            // SAFETY: personality has no memory effects.
            match unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) } {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            }
        };
        // SAFETY: personality is a plain system call, and the closure does nothing else.
        unsafe { self.command.pre_exec(set) };
        self
    }

    /// Sets a resource limit of the program.
    pub(crate) fn limit(mut self, resource: libc::__rlimit_resource_t, value: u64) -> Self {
        let limit = libc::rlimit {
            rlim_cur: value,
            rlim_max: value,
        };
        let set = move || {
            // SAFETY: `limit` outlives the call, which reads it and nothing else.
            match unsafe { libc::setrlimit(resource, &limit) } {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        };
        // SAFETY: setrlimit is async-signal-safe, and the closure does nothing else.
        unsafe { self.command.pre_exec(set) };
        self
    }

    /// Starts the program and leaves it running.
    pub(crate) fn start(mut self) -> Running {
        let path = |name| self.folder.path().join(name);
        fs::write(path("stdin"), &self.stdin).expect("the input of the run");
        self.command
            .stdin(Stdio::from(File::open(path("stdin")).expect("stdin")))
            .stdout(Stdio::from(File::create(path("stdout")).expect("stdout")))
            .stderr(Stdio::from(File::create(path("stderr")).expect("stderr")));
        let child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} cannot be started: {error}", self.command));
        Running {
            child,
            folder: self.folder,
        }
    }

    /// Runs the program to its end.
    pub(crate) fn finish(self) -> Outcome {
        self.start().finish()
    }

    /// Runs the program to its end, which must be exit status 0.
    pub(crate) fn succeed(self) -> Outcome {
        let outcome = self.finish();
        assert!(outcome.status.success(), "{outcome:?}");
        outcome
    }
}

/// A program that was started.
pub(crate) struct Running {
    child: Child,
    folder: TempDir,
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Sends a signal to the program alone, not to its process group.
    pub(crate) fn signal(&self, signal: i32) {
        // SAFETY: kill has no memory effects, and the child has not been waited for.
        assert_eq!(unsafe { libc::kill(self.pid(), signal) }, 0);
    }

    /// Sends a signal to the whole process group, as a terminal does for Ctrl-C.
    pub(crate) fn signal_group(&self, signal: i32) {
        // SAFETY: kill has no memory effects; the group is the child's own.
        assert_eq!(unsafe { libc::kill(-self.pid(), signal) }, 0);
    }

    /// Waits until the program has printed `text` on standard output.
    pub(crate) fn wait_for_output(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            let stdout = fs::read(self.folder.path().join("stdout")).unwrap_or_default();
            if String::from_utf8_lossy(&stdout).contains(text) {
                return;
            }
            if start.elapsed() > TIME_OUT || self.child.try_wait().expect("wait").is_some() {
                self.signal_group_quietly();
                let stderr = fs::read(self.folder.path().join("stderr")).unwrap_or_default();
                panic!(
                    "{text:?} was never printed\nstdout: {}\nstderr: {}",
                    String::from_utf8_lossy(&stdout),
                    String::from_utf8_lossy(&stderr)
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The TMPDIR of the program.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    fn signal_group_quietly(&self) {
        // SAFETY: kill has no memory effects; the group is the child's own.
        unsafe { libc::kill(-self.pid(), libc::SIGKILL) };
    }

    /// Waits for the end; kills the process group and fails the test when that takes too long.
    pub(crate) fn finish(mut self) -> Outcome {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                break Some(status);
            }
            if start.elapsed() > TIME_OUT {
                self.signal_group_quietly();
                self.child.wait().expect("wait");
                break None;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        let read = |name| fs::read(self.folder.path().join(name)).expect("what was printed");
        let outcome = Outcome {
            status: status.unwrap_or(ExitStatus::from_raw(libc::SIGKILL)),
            stdout: String::from_utf8_lossy(&read("stdout")).into_owned(),
            stderr: String::from_utf8_lossy(&read("stderr")).into_owned(),
            folder: self.folder,
        };
        assert!(status.is_some(), "no end after {TIME_OUT:?}: {outcome:?}");
        outcome
    }
}

/// How a program ended and what it left behind.
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    folder: TempDir,
}

impl std::fmt::Debug for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}\nstdout: {}\nstderr: {}",
            self.status, self.stdout, self.stderr
        )
    }
}

impl Outcome {
    /// The TMPDIR that the program had.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.folder.path().join("tmp")
    }

    /// The numbers that the program printed, separated by blanks and nothing else.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        self.stdout
            .split_whitespace()
            .map(|word| word.parse().unwrap_or_else(|_| panic!("{word}: {self:?}")))
            .collect()
    }

    /// The most memory that the program used, in kilobytes, which it printed.
    pub(crate) fn peak(&self) -> u64 {
        self.stdout
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|line| line.trim().strip_suffix(" kB"))
            .and_then(|number| number.trim().parse().ok())
            .unwrap_or_else(|| panic!("no VmHWM: {self:?}"))
    }

    /// Paths of the reports that standard error names, in order.
    pub(crate) fn report_paths(&self) -> Vec<PathBuf> {
        self.stderr
            .lines()
            .filter_map(|line| line.strip_prefix("heap profiler: wrote allocation log to "))
            .map(PathBuf::from)
            .collect()
    }

    /// All reports, in the order in which standard error names them.
    pub(crate) fn reports(&self) -> Vec<Report> {
        self.report_paths()
            .iter()
            .map(|path| Report::read(path))
            .collect()
    }

    /// The only report of a run that printed nothing but what a faultless run prints.
    pub(crate) fn report(&self) -> Report {
        let reports = self.reports();
        assert_eq!(reports.len(), 1, "one report expected: {self:?}");
        let report = reports.into_iter().next().expect("one report");
        let lines: Vec<&str> = self.stderr.lines().collect();
        let size = format!("Dumping log of size {}", report.rows.len());
        let path = self.report_paths().remove(0);
        let wrote = format!("heap profiler: wrote allocation log to {}", path.display());
        assert_eq!(
            lines,
            ["heap profiler: enabled!", &size, &wrote],
            "{self:?}"
        );
        report
    }
}
