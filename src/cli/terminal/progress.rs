//! What long work has come to, on standard error: only on a terminal, only after half a second, and gone when the
//! work is done.
//!
//! A thread of its own draws, so that work never waits for the terminal; each step is one addition.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Work that is done sooner shows nothing.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two pictures.
const TICK: Duration = Duration::from_millis(100);

/// Work that may take long. Dropped, it leaves nothing on the screen.
#[derive(Default)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    drawing: Option<Drawing>,
}

/// The thread that draws.
struct Drawing {
    done: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Progress {
    /// Of work that begins now; silent if that is wanted, or standard error is no terminal.
    pub(crate) fn new(quiet: bool) -> Self {
        match quiet || !io::stderr().is_terminal() {
            true => Self::default(),
            false => Self::drawn(ProgressDrawTarget::stderr),
        }
    }

    fn drawn(target: impl FnOnce() -> ProgressDrawTarget + Send + 'static) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let done = Arc::new((Mutex::new(false), Condvar::new()));
        let (theirs, drawn) = (Arc::clone(&done), bar.clone());
        let draw = move || {
            let (done, changed) = &*theirs;
            let done = done.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = changed.wait_timeout_while(done, PATIENCE, |done| !*done);
            let (done, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if !*done {
                drawn.set_draw_target(target());
                drawn.enable_steady_tick(TICK);
            }
        };
        // Without a thread nothing is drawn, and nothing else is lost.
        let thread = thread::Builder::new().name("progress".into()).spawn(draw);
        Self {
            bar: Some(bar),
            drawing: thread.ok().map(|thread| Drawing { done, thread }),
        }
    }

    /// Begins the next part of the work, of so many steps; of 0 where that is not known.
    pub(crate) fn begin(&self, what: &str, steps: usize) {
        let Some(bar) = &self.bar else { return };
        let template = match steps {
            0 | 1 => "{spinner} {msg}",
            _ => "{spinner} {msg} {wide_bar} {pos}/{len}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.set_length(steps as u64);
        bar.set_position(0);
    }

    /// Another step is done.
    pub(crate) fn step(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(Drawing { done, thread }) = self.drawing.take() {
            let (done, changed) = &*done;
            *done.lock().unwrap_or_else(PoisonError::into_inner) = true;
            changed.notify_one();
            let _ = thread.join();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use indicatif::InMemoryTerm;
    use std::time::Instant;

    fn on(term: &InMemoryTerm) -> Progress {
        let term = term.clone();
        Progress::drawn(move || ProgressDrawTarget::term_like(Box::new(term)))
    }

    #[test]
    fn long_work_is_shown_and_leaves_nothing() {
        let term = InMemoryTerm::new(5, 60);
        let began = Instant::now();
        let progress = on(&term);
        progress.begin("reading recordings", 3);
        progress.step();
        thread::sleep(PATIENCE / 4);
        let early = term.contents();
        // A busy machine may take longer to come here.
        if began.elapsed() < PATIENCE {
            assert_eq!(early, "", "not yet");
        }
        for _ in 0..100 {
            thread::sleep(TICK);
            if term.contents().contains("1/3") {
                break;
            }
        }
        let shown = term.contents();
        assert!(
            shown.contains("reading recordings") && shown.contains("1/3"),
            "{shown}"
        );
        drop(progress);
        assert_eq!(term.contents(), "");
    }

    #[test]
    fn short_work_shows_nothing_and_does_not_wait() {
        let term = InMemoryTerm::new(5, 60);
        let took = || {
            let began = Instant::now();
            on(&term).begin("short", 1);
            began.elapsed()
        };
        // The quickest, since a busy machine may hold up any of them.
        let quickest = (0..20).map(|_| took()).min();
        assert!(quickest < Some(PATIENCE), "{quickest:?}");
        assert_eq!(term.contents(), "");
        let silent = Progress::new(true);
        silent.begin("nothing", 2);
        silent.step();
        assert!(silent.drawing.is_none());
    }
}
