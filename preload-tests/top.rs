//! `skip-heapprof top` on a terminal, which these tests play, and `top --json`.

use crate::support::{Run, Running, Source, tool};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Output};
use std::time::{Duration, Instant};

const LINES: u16 = 24;
const COLUMNS: u16 = 120;
/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program to watch, under the library.
fn watched(kinds: u32, variables: &[(&str, &str)]) -> Running {
    let mut run =
        Run::preloaded(Source::c("watched").flags(&["-g"]).build()).arg(kinds.to_string());
    for (name, value) in variables {
        run = run.env(name, value);
    }
    let mut program = run.start();
    program.wait_for_output("ready");
    program
}

const LIVE: [(&str, &str); 2] = [("SKIP_HEAP_LIVE", "1"), ("SKIP_HEAP_STACK_DEPTH", "full")];

/// The tool on a terminal of ours.
struct Terminal {
    tool: Child,
    keyboard: File,
    screen: vt100::Parser,
}

impl Terminal {
    fn new(arguments: &[&str]) -> Self {
        Self::prepared(arguments, || match controls_terminal() {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    }

    /// The tool after `prepare` ran in its process.
    fn prepared(
        arguments: &[&str],
        prepare: impl Fn() -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let size = libc::winsize {
            ws_row: LINES,
            ws_col: COLUMNS,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let (mut ours, mut theirs) = (-1, -1);
        // SAFETY: the pointers are to two descriptors and a size; the rest may be null.
        let failed = unsafe {
            let (name, modes) = (std::ptr::null_mut(), std::ptr::null());
            libc::openpty(&raw mut ours, &raw mut theirs, name, modes, &raw const size)
        };
        assert_eq!(failed, 0, "{}", io::Error::last_os_error());
        // What other tests start must not keep the terminal from hanging up.
        for end in [ours, theirs] {
            // SAFETY: just opened, and nobody else's.
            unsafe { libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
        // SAFETY: just opened, and nobody else's.
        let (keyboard, theirs) = unsafe { (File::from_raw_fd(ours), File::from_raw_fd(theirs)) };
        let end = || theirs.try_clone().expect("a descriptor");
        let mut command = Command::new(tool());
        command
            .arg("top")
            .args(arguments)
            .env("TERM", "xterm-256color")
            .stdin(end())
            .stdout(end())
            .stderr(end());
        // SAFETY: it makes system calls alone, which is allowed between fork and exec.
        unsafe { command.pre_exec(prepare) };
        Self {
            tool: command.spawn().expect("the tool"),
            keyboard,
            screen: vt100::Parser::new(nonzero(LINES), nonzero(COLUMNS), 0),
        }
    }

    fn text(&self) -> String {
        self.screen.screen().contents()
    }

    fn line(&self, number: u16) -> String {
        let mut rows = self.screen.screen().rows(0, COLUMNS);
        rows.nth(number.into()).unwrap_or_default()
    }

    /// Shows what the tool draws within a moment; false when it has left the terminal.
    fn show(&mut self) -> bool {
        let mut poll = libc::pollfd {
            fd: self.keyboard.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one descriptor, as it says.
        if unsafe { libc::poll(&raw mut poll, 1, 50) } <= 0 {
            return true;
        }
        let mut bytes = [0; 65536];
        match self.keyboard.read(&mut bytes) {
            Ok(count) if count > 0 => {
                self.screen.process(&bytes[..count]);
                true
            }
            _ => false,
        }
    }

    /// Waits until the screen is as `wanted` says.
    fn until(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !wanted(self) {
            assert!(
                self.show() || wanted(self),
                "{what}: it ended:\n{}",
                self.text()
            );
            assert!(start.elapsed() < PATIENCE, "{what}:\n{}", self.text());
        }
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    /// Waits for the first row to be that of a function.
    fn until_first(&mut self, function: &str) {
        let wanted = format!(" {function} ←");
        self.until(function, |terminal| terminal.line(5).contains(&wanted));
    }

    /// How the tool ended, which has given the terminal back.
    fn end(mut self) -> ExitStatus {
        let start = Instant::now();
        let status = loop {
            self.show();
            if let Some(status) = self.tool.try_wait().expect("wait") {
                break status;
            }
            assert!(start.elapsed() < PATIENCE, "it goes on:\n{}", self.text());
        };
        // All that it drew, up to the hang-up.
        while self.show() && start.elapsed() < PATIENCE {}
        assert!(!self.screen.screen().alternate_screen(), "{}", self.text());
        assert!(!self.screen.screen().hide_cursor(), "{}", self.text());
        status
    }
}

/// Makes standard input the controlling terminal of a new session.
fn controls_terminal() -> i32 {
    // SAFETY: neither has memory effects.
    unsafe {
        libc::setsid();
        libc::ioctl(0, libc::TIOCSCTTY, 0)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.tool.kill();
        let _ = self.tool.wait();
    }
}

fn nonzero(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a size")
}

/// Ends the program.
fn stop(program: Running) {
    program.signal(libc::SIGKILL);
    program.finish();
}

#[test]
fn keys_sort_filter_and_open_the_stacks_of_a_site() {
    let program = watched(0, &LIVE);
    let mut terminal = Terminal::new(&[&program.pid().to_string(), "--interval", "0.2"]);
    terminal.until_first("most_bytes");
    assert!(terminal.screen.screen().alternate_screen());
    let pid = format!("watched ({})", program.pid());
    assert!(terminal.line(0).starts_with(&pid), "{}", terminal.text());
    for (key, function) in [
        ("c", "most_calls"),
        ("l", "most_live"),
        ("r", "lately"),
        ("p", "most_live"),
        ("w", "most_live"),
        ("b", "most_bytes"),
    ] {
        terminal.press(key);
        terminal.until_first(function);
    }
    // Each F6 is the next order.
    let mut seen = Vec::new();
    for function in [
        "most_calls",
        "most_live",
        "lately",
        "most_live",
        "most_live",
        "most_bytes",
    ] {
        terminal.press("\x1b[17~");
        terminal.until_first(function);
        seen.push(function);
    }
    // Help, and call sites in place of functions.
    terminal.press("?");
    terminal.until("the help", |terminal| {
        terminal.text().contains("sort by what looks like a leak")
    });
    terminal.press(" ");
    for names in ["allocated by ← called by", "responsible (via plumbing)"] {
        terminal.press("s");
        terminal.until(names, |terminal| terminal.line(4).contains(names));
    }
    terminal.until_first("most_bytes");
    terminal.press("/LATEL\r");
    terminal.until("the filter", |terminal| {
        terminal.line(5).contains(" lately ←") && !terminal.text().contains("most_")
    });
    terminal.press("\r");
    terminal.until("the stacks", |terminal| {
        let text = terminal.text();
        [
            "75.0 %",
            "25.0 %",
            "first_path",
            "second_path",
            "by malloc",
            " main",
        ]
        .iter()
        .all(|part| text.contains(part))
    });
    terminal.press("\x1b");
    terminal.until_first("lately");
    terminal.press("/\x1b");
    terminal.until_first("most_bytes");
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
    stop(program);
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let program = watched(0, &[]);
    let mut terminal = Terminal::new(&[&program.pid().to_string()]);
    terminal.until_first("most_bytes");
    assert!(terminal.text().contains("blocks are not tracked (--live)"));
    // SAFETY: no memory effects; a child of ours that has not been waited for.
    unsafe { libc::kill(terminal.tool.id() as i32, libc::SIGTERM) };
    assert_eq!(terminal.end().signal(), Some(libc::SIGTERM));
    stop(program);
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    let program = watched(0, &[]);
    let pid = program.pid().to_string();
    let ended = |mut terminal: Terminal| {
        terminal.until_first("most_bytes");
        // The last end of the terminal that was open.
        terminal.keyboard = File::open("/dev/null").expect("/dev/null");
        let start = Instant::now();
        loop {
            if let Some(status) = terminal.tool.try_wait().expect("wait") {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "it goes on");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    // Its own terminal tells it by a signal.
    assert_eq!(ended(Terminal::new(&[&pid])).signal(), Some(libc::SIGHUP));
    // nohup, or another process's terminal: only the reads say so.
    let deaf = Terminal::prepared(&[&pid], || {
        // SAFETY: no handler is set.
        unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
        controls_terminal();
        Ok(())
    });
    assert_eq!(ended(deaf).code(), Some(125));
    assert_eq!(
        ended(Terminal::prepared(&[&pid], || Ok(()))).code(),
        Some(125)
    );
    stop(program);
}

/// A terminal that takes nothing more, as over a connection that was lost: drawing waits for good.
#[test]
fn a_signal_ends_it_while_it_waits_for_the_terminal() {
    let program = watched(2000, &LIVE);
    let mut terminal = Terminal::new(&[&program.pid().to_string(), "--interval", "0.1"]);
    terminal.until_first("most_bytes");
    let call = format!("/proc/{}/syscall", terminal.tool.id());
    let write = format!("{} ", libc::SYS_write);
    let is_waiting = || fs::read_to_string(&call).is_ok_and(|call| call.starts_with(&write));
    let start = Instant::now();
    while !is_waiting() {
        // Each key has it draw the whole list anew.
        let _ = terminal.keyboard.write_all(b"c\x1bOBb");
        assert!(start.elapsed() < PATIENCE, "it never waits");
        std::thread::sleep(Duration::from_millis(20));
    }
    // SAFETY: no memory effects; a child of ours that has not been waited for.
    unsafe { libc::kill(terminal.tool.id() as i32, libc::SIGTERM) };
    let start = Instant::now();
    let status = loop {
        if let Some(status) = terminal.tool.try_wait().expect("wait") {
            break status;
        }
        assert!(start.elapsed() < PATIENCE, "it goes on");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.signal(), Some(libc::SIGTERM));
    stop(program);
}

#[test]
fn the_end_of_the_program_is_shown_and_its_last_numbers_stay() {
    let program = watched(0, &LIVE);
    let mut terminal = Terminal::new(&[&program.pid().to_string(), "--interval", "0.2"]);
    terminal.until_first("most_bytes");
    stop(program);
    terminal.until("the end", |terminal| {
        terminal.line(0).contains(", has ended")
    });
    terminal.press("c");
    terminal.until_first("most_calls");
    terminal.press("\x03");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn watching_takes_at_most_a_hundredth_of_a_core() {
    /// Twenty thousand sites, of which each is called in each look.
    const KINDS: u32 = 20_000;
    let program = watched(KINDS, &LIVE);
    let mut terminal = Terminal::new(&[&program.pid().to_string(), "--interval", "0.1"]);
    // All of these sites are of one function, which is the first.
    terminal.press("s");
    terminal.until_first("most_bytes");
    terminal.press("s");
    let processor_time = |terminal: &Terminal| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", terminal.tool.id())).expect("stat");
        let fields: Vec<&str> = stat
            .rsplit(") ")
            .next()
            .expect("fields")
            .split(' ')
            .collect();
        // In hundredths of a second.
        fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime")
    };
    let (start, before) = (Instant::now(), processor_time(&terminal));
    while start.elapsed() < Duration::from_secs(15) {
        assert!(terminal.show(), "{}", terminal.text());
    }
    let (passed, taken) = (
        start.elapsed().as_secs_f64(),
        processor_time(&terminal) - before,
    );
    // The clock of the processor counts in hundredths of a second.
    let share = taken as f64 / passed;
    assert!(taken as f64 <= passed + 2.0, "{share} hundredths of a core");
    let seen = terminal.line(1);
    assert!(seen.contains(" sites"), "{seen}");
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
    stop(program);
}

/// `top --json` of a process.
fn json(program: &Running, options: &[&str]) -> Value {
    let pid = program.pid().to_string();
    let output = told(&[&["top", "--json", "--interval", "0.5", &pid], options].concat());
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn told(arguments: &[&str]) -> Output {
    let output = Command::new(tool()).args(arguments).output();
    output.expect("the tool")
}

#[test]
fn one_moment_as_json_has_what_the_screen_has() {
    let program = watched(0, &LIVE);
    for (sort, function) in [
        ("bytes", "most_bytes"),
        ("calls", "most_calls"),
        ("live", "most_live"),
        ("rate", "lately"),
        ("peak", "most_live"),
        ("leaky", "most_live"),
    ] {
        let moment = json(&program, &["--sort", sort, "--rows", "3"]);
        let rows = moment["rows"].as_array().expect("rows");
        assert!(!rows.is_empty() && rows.len() <= 3);
        assert_eq!(rows[0]["names"][0], function, "{moment}");
        assert_eq!(moment["functions"][0]["name"], function, "{moment}");
    }
    let moment = json(&program, &[]);
    assert_eq!(moment["pid"], program.pid());
    assert_eq!(moment["program"], "watched");
    assert_eq!(
        (&moment["state"], &moment["sampled"]),
        (&"running".into(), &false.into())
    );
    let rows = moment["rows"].as_array().expect("rows");
    let of = |function: &str| {
        let row = rows.iter().find(|row| row["names"][0] == function);
        row.unwrap_or_else(|| panic!("{function}: {moment}"))
    };
    let calls = of("most_calls");
    assert_eq!(
        (&calls["calls"], &calls["bytes"]),
        (&100_000.into(), &1_600_000.into())
    );
    assert_eq!(calls["live_blocks"], 0);
    let live = of("most_live");
    assert_eq!(
        (&live["live_blocks"], &live["live_bytes"]),
        (&4000.into(), &4_000_000.into())
    );
    assert!(
        moment["live"]["bytes"].as_u64() >= Some(4_000_000),
        "{moment}"
    );
    assert!(
        moment["live"]["peak_bytes"].as_u64() >= Some(4_000_000),
        "{moment}"
    );
    // At most 100 times four calls a second, and one time more: half a second can begin and end with one.
    let rate = of("lately")["bytes_per_second"].as_u64().expect("a rate");
    assert!((1..=1_224_000).contains(&rate), "{moment}");
    assert_eq!(of("most_bytes")["bytes_per_second"], 0);
    let sum: u64 = rows.iter().filter_map(|row| row["calls"].as_u64()).sum();
    assert_eq!(moment["calls"].as_u64(), Some(sum));
    stop(program);
}

#[test]
fn what_cannot_be_watched_is_refused_with_the_reason() {
    let said = |arguments: &[&str]| {
        let output = told(arguments);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said(&["top"]).contains("needs a terminal; --json"));
    assert!(said(&["top", "--json", "8388608"]).contains("there is no process 8388608"));
    let own = std::process::id().to_string();
    assert!(said(&["top", "--json", &own]).contains("is not being profiled"));
    assert!(said(&["top", "--interval", "0"]).contains("0.1 to 3600"));
}
