//! Waits for the program and passes on the signals that reach the tool alone.

use crate::sys;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::*;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::origin::WithOrigin;
use signal_hook::low_level::siginfo::{Cause, Origin};
use std::io;
use std::process::{Child, Command, ExitStatus};

/// Signals that others send to a program to be understood by it. Those that stop and continue a
/// process act on the tool itself: whoever waits for it, a shell, wants to see it stopped.
const PASSED_ON: [i32; 9] = [
    SIGHUP,
    SIGINT,
    SIGQUIT,
    SIGTERM,
    SIGUSR1,
    SIGUSR2,
    SIGALRM,
    SIGWINCH,
    libc::SIGPWR,
];

/// Starts the program and waits for its end. Returns its process id and its status.
///
/// # Errors
/// When it cannot be started; that it ends badly is not an error.
pub(crate) fn run_to_end(command: &mut Command) -> io::Result<(u32, ExitStatus)> {
    let mut handled = handled();
    handled.push(SIGCHLD);
    sys::pass_on(command);
    // The handlers come after the fork: a child that had them could lose a signal before its exec.
    // What comes in between waits for them.
    sys::hold(&handled);
    let started = command.spawn();
    let listening = SignalsInfo::<WithOrigin>::new(&handled);
    sys::deliver(&handled);
    let (mut child, mut signals) = (started?, listening?);
    loop {
        // This thread alone reaps the child, so its id is still its own when a signal is sent.
        if let Some(status) = child.try_wait()? {
            return Ok((child.id(), status));
        }
        for origin in signals.wait() {
            if is_for_the_program(&origin) {
                pass_on(&child, origin.signal);
            }
        }
    }
}

/// The signals that are not ignored from the start (nohup, a background job): those that are stay
/// so, here and in the program.
fn handled() -> Vec<i32> {
    PASSED_ON
        .into_iter()
        .filter(|&signal| !sys::is_ignored(signal))
        .collect()
}

/// Ends the passing on: a signal may now end the tool. For after [`run_to_end`]; the handlers
/// would go on catching signals for nobody.
pub(crate) fn let_go() {
    sys::reset(&handled());
}

/// Did the signal reach the tool alone?
///
/// The terminal sends its signals (Ctrl-C, Ctrl-\, hang-up, a new size) to the whole foreground
/// group, the program included. One that a process sent may have come to the tool alone or to the
/// group; nothing tells which, and one too many is better than one too few. A timer's (a caller
/// that set `alarm` before it executed the tool) comes to the tool alone.
fn is_for_the_program(origin: &Origin) -> bool {
    match origin.signal {
        SIGCHLD => false,
        SIGALRM => true,
        _ => matches!(origin.cause, Cause::Sent(_)),
    }
}

fn pass_on(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let (Some(pid), Some(signal)) = (pid, Signal::from_named_raw(signal)) {
        // It fails when the program runs as another user; there is nobody to tell.
        let _ = kill_process(pid, signal);
    }
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
        // A signal that a process sends to the tool comes to the program. Sent more than once: the
        // other threads of the test, unlike the tool, take signals before we listen. (They do
        // nothing, as the handlers of the runs above are still there.)
        let script = "trap 'exit 9' USR1; i=0; \
                      while [ $i -lt 200 ]; do kill -USR1 $PPID; sleep 0.05; i=$((i + 1)); done";
        assert_eq!(sh(script).code(), Some(9));
    }

    #[test]
    fn what_cannot_be_started_is_an_error() {
        let missing = run_to_end(&mut Command::new("/no/such/program"));
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
