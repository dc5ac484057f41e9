//! Runs a program in a clean environment, with a time-out, and keeps everything it printed.

use super::{Report, library};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Long enough for the slowest fixture on a busy machine; a hang is what it is for.
const TIME_OUT: Duration = Duration::from_secs(120);

/// A program about to be run.
pub(crate) struct Run {
    command: Command,
    stdin: Vec<u8>,
    time_out: Duration,
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
        let mut command = Command::new(super::emulated::program(program.as_ref()));
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder.path())
            .env("LANG", "C.UTF-8")
            .env("TMPDIR", &tmp)
            .envs(super::emulated::environment())
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
            time_out: TIME_OUT,
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

    /// Waits longer for the end than for that of others.
    pub(crate) fn time_out(mut self, time: Duration) -> Self {
        self.time_out = time;
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
    pub(crate) fn start(self) -> Running {
        let path = self.folder.path().join("stdin");
        fs::write(&path, &self.stdin).expect("the input of the run");
        self.start_with(Stdio::from(File::open(path).expect("stdin")))
    }

    /// Starts the program with a pipe that it can be told something by.
    pub(crate) fn start_with_pipe(self) -> (Running, ChildStdin) {
        let mut running = self.start_with(Stdio::piped());
        let pipe = running.child.stdin.take().expect("the pipe");
        (running, pipe)
    }

    fn start_with(mut self, stdin: Stdio) -> Running {
        let path = |name| self.folder.path().join(name);
        self.command
            .stdin(stdin)
            .stdout(Stdio::from(File::create(path("stdout")).expect("stdout")))
            .stderr(Stdio::from(File::create(path("stderr")).expect("stderr")));
        let child = self
            .command
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} cannot be started: {error}", self.command));
        Running {
            child,
            time_out: self.time_out,
            folder: Some(self.folder),
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

/// A program that was started. Dropped, it and its process group are killed: a test that fails leaves nothing running.
pub(crate) struct Running {
    child: Child,
    time_out: Duration,
    /// Until [`Running::finish`].
    folder: Option<TempDir>,
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
            // Before the look, so that what it printed last is seen.
            let is_over = self.has_ended() || start.elapsed() > self.time_out;
            let stdout = fs::read(self.path("stdout")).unwrap_or_default();
            if String::from_utf8_lossy(&stdout).contains(text) {
                return;
            }
            if is_over {
                let stderr = fs::read(self.path("stderr")).unwrap_or_default();
                panic!(
                    "{text:?} was never printed\nstdout: {}\nstderr: {}\n{}",
                    String::from_utf8_lossy(&stdout),
                    String::from_utf8_lossy(&stderr),
                    tasks_of_group(self.pid())
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The TMPDIR of the program.
    pub(crate) fn tmp(&self) -> PathBuf {
        self.path("tmp")
    }

    /// Something in the folder of the run.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.as_ref().expect("it runs").path().join(name)
    }

    /// Returns whether the program has ended. It is not waited for: [`Running::finish`] still tells how.
    pub(crate) fn has_ended(&self) -> bool {
        // SAFETY: all zeros is a valid siginfo_t, which waitid fills in.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        // SAFETY: `info` outlives the call; the child has not been waited for.
        let failed = unsafe { libc::waitid(libc::P_PID, self.child.id(), &raw mut info, how) };
        assert_eq!(failed, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: filled in, or zeros while the child runs.
        unsafe { info.si_pid() != 0 }
    }

    /// How the child ended, and the time of the processor that it took with all that it waited for, if it has.
    fn wait_for_end(&self) -> Option<(ExitStatus, Duration)> {
        let mut status = 0;
        // SAFETY: all zeros is a valid rusage.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: both outlive the call; the child has not been waited for.
        match unsafe { libc::wait4(self.pid(), &mut status, libc::WNOHANG, &mut usage) } {
            0 => None,
            pid => {
                assert_eq!(pid, self.pid(), "{}", std::io::Error::last_os_error());
                let time = |t: libc::timeval| {
                    Duration::from_secs(t.tv_sec as u64) + Duration::from_micros(t.tv_usec as u64)
                };
                let taken = time(usage.ru_utime) + time(usage.ru_stime);
                Some((ExitStatus::from_raw(status), taken))
            }
        }
    }

    /// Kills the process group and waits for the child.
    fn kill(&mut self) {
        // SAFETY: kill has no memory effects; the group is the child's own, which has not been waited for.
        unsafe { libc::kill(-self.pid(), libc::SIGKILL) };
        let _ = self.child.wait();
    }

    /// Waits for the end; kills the process group and fails the test when that takes too long.
    pub(crate) fn finish(mut self) -> Outcome {
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        let mut hung = None;
        let (status, processor_time) = loop {
            if let Some(end) = self.wait_for_end() {
                break end;
            }
            if start.elapsed() > self.time_out {
                // Where everyone hangs is what there is to learn from it.
                hung = Some(tasks_of_group(self.pid()));
                self.kill();
                break (ExitStatus::from_raw(libc::SIGKILL), Duration::ZERO);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        };
        let read = |name| fs::read(self.path(name)).expect("what was printed");
        let (stdout, stderr) = (read("stdout"), read("stderr"));
        let outcome = Outcome {
            status,
            processor_time,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            folder: self.folder.take().expect("it ran"),
        };
        if let Some(tasks) = hung {
            panic!("no end after {:?}: {outcome:?}\n{tasks}", self.time_out);
        }
        outcome
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.folder.is_some() {
            self.kill();
        }
    }
}

/// What each task of a process group is doing: a line each, with its name, the function of the kernel that it waits in,
/// and the system call with its arguments.
fn tasks_of_group(group: i32) -> String {
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    // Behind the name, which may hold anything: state, parent, group.
    let is_of_group = |stat: &str| {
        let fields = stat.rsplit(") ").next().map(str::split_whitespace);
        fields.and_then(|mut fields| fields.nth(2)) == Some(&*group.to_string())
    };
    entries(Path::new("/proc"))
        .map(|process| process.path())
        .filter(|process| is_of_group(&read(&process.join("stat"))))
        .flat_map(|process| entries(&process.join("task")))
        .map(|task| {
            let of = |name| read(&task.path().join(name)).trim_end().to_owned();
            let path = task.path();
            let [comm, wchan, syscall] = ["comm", "wchan", "syscall"].map(of);
            format!("{}: {comm}, in {wchan}, {syscall}\n", path.display())
        })
        .collect()
}

/// How a program ended and what it left behind.
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    /// That the program took, with those that it waited for.
    pub(crate) processor_time: Duration,
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
