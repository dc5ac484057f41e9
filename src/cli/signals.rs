//! What signals do to the tool.
//!
//! They are blocked in every thread, and one thread takes them with `sigwait`: no handler is ever
//! installed, so that a child between fork and exec has the dispositions that the tool was started
//! with, and loses none.
//!
//! While a program runs, signals that were sent to the tool are passed on to it. Once it has ended,
//! its report is being made: signals hurry the report, and the third one gives it up. At any other
//! time a signal that asks a process to end ends the tool, without its temporary files and folders.

use crate::{scratch, sys};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, getpid, kill_process, waitid};
use signal_hook::consts::*;
use std::io;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Signals that ask a process to end.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Signals that others send to a program to be understood by it, besides those of [`ENDING`] and the
/// real-time ones. SIGTSTP stops the program, and then the tool: see [`suspend`].
const FOR_PROGRAMS: [i32; 12] = [
    SIGUSR1,
    SIGUSR2,
    SIGALRM,
    SIGWINCH,
    SIGABRT,
    SIGIO,
    SIGURG,
    SIGVTALRM,
    SIGPROF,
    SIGTSTP,
    SIGCONT,
    libc::SIGPWR,
];

/// Those of them that do nothing by default.
const HARMLESS: [i32; 3] = [SIGWINCH, SIGURG, SIGCONT];

/// Signals that stop a process for the sake of its terminal.
const SUSPENDING: [i32; 3] = [SIGTSTP, SIGTTIN, SIGTTOU];

/// The signal of a run that gives up its report, counted from the first one that asked it to end.
const GIVES_UP: u32 = 3;

/// Signals that follow each other so closely are one to whoever sent them.
const SAME: Duration = Duration::from_secs(1);

/// How long the main thread may take to leave in its own way, as `top` does.
const PATIENCE: Duration = Duration::from_millis(500);

/// What the tool is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Something that any signal may end.
    Working,
    /// It waits for a program.
    Running(Pid),
    /// It reports on a program that has ended.
    Reporting,
}

/// What the watching thread and the main thread share.
struct State {
    phase: Phase,
    /// Signals since the run began that asked it to end. Those that the program got count once.
    seen: u32,
    /// When the first of them came.
    first: Option<Instant>,
}

static STATE: Mutex<State> = Mutex::new(State {
    phase: Phase::Working,
    seen: 0,
    first: None,
});
/// The last signal that asked the tool, or the program that it ran, to end.
static ASKED: AtomicI32 = AtomicI32::new(0);
/// The report is to be made quickly.
static HURRIED: AtomicBool = AtomicBool::new(false);
/// Whether a signal has ended the waiting for processes that outlive the program.
static WAITED_ENOUGH: AtomicBool = AtomicBool::new(false);
/// The main thread looks at [`asked_to_end`] and leaves by itself.
static POLITE: AtomicBool = AtomicBool::new(false);

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has one thread take the signals that ask a process to end, and those that are passed on to
/// programs if the tool `runs_programs`. Called before any other thread is started: threads inherit
/// that the signals are blocked.
///
/// Signals that are ignored from the start (nohup, a job in the background of a script) stay so, here and in
/// programs; but a program that sets a handler for one gets it.
pub(crate) fn watch(runs_programs: bool) {
    let mut signals = ENDING.to_vec();
    if runs_programs {
        signals.extend(FOR_PROGRAMS);
        signals.extend(libc::SIGRTMIN()..=libc::SIGRTMAX());
    }
    sys::hold(&signals);
    let taken = signals.clone();
    let take = move || {
        loop {
            if let Some(signal) = sys::wait_for(&taken) {
                on_signal(&signal);
            }
        }
    };
    let started = thread::Builder::new().name("signals".into()).spawn(take);
    if started.is_err() {
        // Without a thread the signals do what they do by default.
        sys::deliver(&signals);
    }
}

fn on_signal(taken: &sys::Taken) {
    let signal = taken.number;
    let mut state = state();
    let is_ignored = sys::is_ignored(signal);
    let asks_to_end = ENDING.contains(&signal) && !is_ignored;
    if asks_to_end {
        ASKED.store(signal, Relaxed);
    }
    match state.phase {
        Phase::Running(pid) => {
            if asks_to_end {
                state.seen = 1;
                state.first.get_or_insert_with(Instant::now);
            }
            if is_for_the_program(taken, pid) {
                // It fails when the program runs as another user; there is nobody to tell.
                sys::send(pid, signal);
            }
        }
        _ if is_ignored || HARMLESS.contains(&signal) => {}
        _ if signal == SIGTSTP => suspend(),
        Phase::Reporting if asks_to_end => {
            state.seen += 1;
            // `timeout` sends its signal to the tool and then to the tool's group, and means one.
            let first = *state.first.get_or_insert_with(Instant::now);
            let is_another = first.elapsed() >= SAME;
            if state.seen == 1 || is_another {
                WAITED_ENOUGH.store(true, Relaxed);
            }
            if state.seen > 1 && is_another {
                HURRIED.store(true, Relaxed);
            }
            if state.seen >= GIVES_UP {
                end_by(signal);
            }
        }
        Phase::Reporting => {}
        Phase::Working => {
            drop(state);
            if POLITE.load(Relaxed) {
                thread::sleep(PATIENCE);
            }
            end_by(signal);
        }
    }
}

/// Returns whether the signal reached the tool alone.
///
/// The terminal sends its signals (Ctrl-C, Ctrl-\, hang-up, a new size) to the whole foreground
/// group, the program included. One that a process sent may have come to the tool alone or to the
/// group; nothing tells which, and one too many is better than one too few. A timer's (a caller
/// that set `alarm` before it executed the tool) comes to the tool alone.
///
/// A program that suspends itself (an editor, for its own Ctrl-Z) sends SIGTSTP to its group: it has that
/// already.
fn is_for_the_program(taken: &sys::Taken, program: Pid) -> bool {
    match taken.number {
        SIGALRM => true,
        SIGTSTP if taken.sender == Some(program) => false,
        _ => taken.sender.is_some(),
    }
}

/// Stops the tool until it is continued: whoever waits for it, a shell, wants to see it stopped.
fn suspend() {
    let _ = kill_process(getpid(), Signal::STOP);
}

/// Returns whether the program has stopped, since it was last asked, for the sake of its terminal.
fn was_suspended(program: Pid) -> bool {
    let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
    let stopped = waitid(WaitId::Pid(program), options).ok().flatten();
    let signal = stopped.and_then(|status| status.stopping_signal());
    signal.is_some_and(|signal| SUSPENDING.contains(&signal))
}

/// Ends the tool by a signal, without its temporary files and folders.
pub(crate) fn end_by(signal: i32) -> ! {
    scratch::remove_all();
    sys::end_by(signal)
}

/// The signal that asks the tool to end, if one has come. The caller leaves within
/// [`PATIENCE`], or is ended.
pub(crate) fn asked_to_end() -> Option<i32> {
    POLITE.store(true, Relaxed);
    match ASKED.load(Relaxed) {
        0 => None,
        signal => Some(signal),
    }
}

/// Returns whether the user has asked for the report to be made quickly.
pub(crate) fn is_hurried() -> bool {
    HURRIED.load(Relaxed)
}

/// Returns whether the user has asked not to wait for processes that outlive the program.
pub(crate) fn is_waiting_over() -> bool {
    WAITED_ENOUGH.load(Relaxed)
}

/// Ends the tool if a signal asked for that while a program ran, which has ended.
pub(crate) fn end_if_asked() {
    match ASKED.load(Relaxed) {
        0 => state().phase = Phase::Working,
        signal => end_by(signal),
    }
}

/// Starts the program and waits for its end. Returns its process id and its status.
///
/// # Errors
/// When it cannot be started; that it ends badly is not an error.
pub(crate) fn run_to_end(command: &mut Command) -> io::Result<(u32, ExitStatus)> {
    sys::pass_on(command);
    // Held over the start, so that a signal waits until there is somebody to pass it on to.
    let mut held = state();
    let mut child = command.spawn()?;
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = id.ok_or_else(|| io::Error::other("no process id"))?;
    (held.phase, held.seen, held.first) = (Phase::Running(pid), 0, None);
    drop(held);
    // Until the child is reaped its id is its own; it is not reaped while a signal is passed on.
    let options = WaitIdOptions::EXITED | WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT;
    loop {
        match waitid(WaitId::Pid(pid), options) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
            Ok(Some(status)) if status.stopped() => {
                if was_suspended(pid) {
                    suspend();
                }
            }
            Ok(_) => break,
        }
    }
    let mut held = state();
    held.phase = Phase::Reporting;
    Ok((child.id(), child.wait()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn sh(script: &str) -> ExitStatus {
        let ended = run_to_end(Command::new("/bin/sh").args(["-c", script]));
        ended.expect("sh").1
    }

    #[test]
    fn the_status_is_that_of_the_program() {
        assert_eq!(sh("exit 7").code(), Some(7));
        assert_eq!(sh("kill -KILL $$").signal(), Some(SIGKILL));
    }

    #[test]
    fn what_cannot_be_started_is_an_error() {
        let missing = run_to_end(&mut Command::new("/no/such/program"));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
