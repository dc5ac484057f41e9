//! `skip-heapprof top`: watches a process that runs, by its recording alone. The process is neither
//! stopped nor touched.
//!
//! [`copy`] reads what may have changed, [`rows`] adds it up under the names of [`names`], [`watch`] has
//! both and the totals; [`order`] chooses what [`view`] draws and [`json`] prints; [`state`] is what the
//! keys have chosen, [`screen`] the terminal.
//!
//! All of it together takes no more than one part in a hundred of a core: each look measures what it
//! took, and the next one waits for that.

mod copy;
mod functions;
mod json;
mod names;
mod order;
mod rows;
mod screen;
mod stacks;
mod state;
mod view;
mod watch;

pub(crate) use order::Sort;

use crate::attach::{Attached, NotAttached, attach, profiled};
use crate::control::unusable;
use crate::error::{Code, Failure};
use crate::options::top::TopOptions;
use crate::terminal::term;
use clap::ValueEnum;
use rustix::time::{ClockId, clock_gettime};
use screen::Screen;
use state::State;
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::time::Duration;
use watch::Watch;

impl TopOptions {
    fn sort(&self) -> Sort {
        let sort = self.sort.as_deref().unwrap_or("bytes");
        Sort::from_str(sort, true).unwrap_or_default()
    }
}

/// Watches a process until the user leaves.
///
/// # Errors
/// When there is no such process, or no terminal.
pub(crate) fn top(options: &TopOptions) -> Result<u8, Failure> {
    if options.json {
        return print(options);
    }
    if !io::stdout().is_terminal() {
        return Err(Failure::unusable(
            "`top` needs a terminal; --json prints a snapshot without one",
        ));
    }
    let found = candidates(options)?;
    let failed =
        |error: io::Error| Failure::because(Code::Failed, "cannot watch the process")(error);
    let mut screen = Screen::new().map_err(failed)?;
    let shown = show(&mut screen, found, options);
    screen.end();
    shown.map_err(failed).map(|()| 0)
}

fn show(screen: &mut Screen, mut found: Vec<Attached>, options: &TopOptions) -> io::Result<()> {
    let chosen = match found.len() {
        1 => Some(0),
        _ => screen.choose(&found)?,
    };
    let Some(chosen) = chosen else {
        return Ok(());
    };
    let mut watch = Watch::new(found.swap_remove(chosen))?;
    let state = State {
        sort: options.sort(),
        ..State::default()
    };
    if state.sort == Sort::Peak {
        watch.read_peaks();
    }
    screen.show(&mut watch, state, options.interval)
}

fn print(options: &TopOptions) -> Result<u8, Failure> {
    let mut found = candidates(options)?;
    if found.len() > 1 {
        let mut text = "several processes are being profiled: name one of them".to_owned();
        for process in &found {
            let name = term::printable(&process.program);
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{:>8}  {name}", process.pid);
        }
        return Err(Failure::unusable(&text));
    }
    let failed =
        |error: io::Error| Failure::because(Code::Failed, "cannot watch the process")(error);
    let mut watch = Watch::new(found.swap_remove(0)).map_err(failed)?;
    watch.wants_peaks = options.sort() == Sort::Peak;
    std::thread::sleep(options.interval);
    watch.refresh().map_err(failed)?;
    json::print(&watch, options).map_err(failed)?;
    Ok(0)
}

/// The processes that may be meant, one at least.
fn candidates(options: &TopOptions) -> Result<Vec<Attached>, Failure> {
    let found = match options.pid {
        Some(pid) => vec![attach(pid, false).map_err(unusable::<NotAttached>)?],
        None => profiled(),
    };
    match found.is_empty() {
        true => Err(Failure::unusable(
            "no process is being profiled, or none that you have access to",
        )),
        false => Ok(found),
    }
}

/// What this thread has taken of the processor.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
