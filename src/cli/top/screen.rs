//! The terminal: taken over at the start, given back however the tool ends.

use super::processor_time;
use super::state::{Next, State};
use super::view;
use super::watch::Watch;
use crate::attach::Attached;
use crate::signals;
use crate::terminal::term::printable;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use ratatui::{DefaultTerminal, Frame};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long a signal may wait.
const PATIENCE: Duration = Duration::from_millis(250);

/// The terminal in our hands.
pub(crate) struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Takes the terminal over. A panic gives it back too.
    ///
    /// # Errors
    /// When there is none that can.
    pub(crate) fn new() -> io::Result<Self> {
        // From here on a signal waits until the terminal is given back.
        let _ = signals::asked_to_end();
        let terminal = ratatui::try_init()?;
        Ok(Self { terminal })
    }

    /// Gives the terminal back. A signal that came meanwhile then does what it does.
    pub(crate) fn end(mut self) {
        // A terminal that is gone takes nothing back, and there is nobody to tell.
        let _ = self.terminal.show_cursor();
        let _ = ratatui::try_restore();
        // It would complain on the terminal, and panic where that is gone.
        std::mem::forget(self.terminal);
        if let Some(signal) = signals::asked_to_end() {
            signals::end_by(signal);
        }
    }

    /// Waits for a key or another reason to draw, until `deadline`; `None` when a signal asks to leave.
    ///
    /// # Errors
    /// Those of the terminal, and that it is gone.
    fn wait(&self, deadline: Instant) -> io::Result<Option<Woken>> {
        loop {
            if signals::asked_to_end().is_some() {
                return Ok(None);
            }
            check_terminal()?;
            let left = deadline.saturating_duration_since(Instant::now());
            if event::poll(left.min(PATIENCE))? {
                match event::read()? {
                    Event::Key(key) if key.kind != KeyEventKind::Release => {
                        return Ok(Some(Woken::Key(key)));
                    }
                    Event::Resize(..) => return Ok(Some(Woken::Resized)),
                    _ => {}
                }
            } else if left <= PATIENCE && deadline <= Instant::now() {
                return Ok(Some(Woken::TimeIsUp));
            }
        }
    }

    /// Shows a process until the user leaves.
    ///
    /// # Errors
    /// Those of the terminal and of the recording.
    pub(crate) fn show(
        &mut self,
        watch: &mut Watch,
        mut state: State,
        interval: Duration,
    ) -> io::Result<()> {
        let mut looked = Instant::now();
        let mut is_new = true;
        let mut pause = interval;
        loop {
            let began = processor_time();
            self.terminal
                .draw(|frame| view::draw(frame, watch, &mut state))?;
            if is_new {
                pause = watch.pause(interval, processor_time().saturating_sub(began));
            }
            is_new = false;
            match self.wait(looked + pause)? {
                None => return Ok(()),
                Some(Woken::Resized) => {}
                Some(Woken::Key(key)) => {
                    if state.key(key, watch) == Next::Quit {
                        return Ok(());
                    }
                }
                Some(Woken::TimeIsUp) => {
                    watch.refresh()?;
                    state.refresh(watch);
                    (looked, is_new) = (Instant::now(), true);
                }
            }
        }
    }

    /// Lets the user choose a process; `None` when that is none.
    ///
    /// # Errors
    /// Those of the terminal.
    pub(crate) fn choose(&mut self, processes: &[Attached]) -> io::Result<Option<usize>> {
        let mut chosen = 0;
        loop {
            self.terminal
                .draw(|frame| draw_choice(frame, processes, chosen))?;
            let key = match self.wait(Instant::now() + Duration::from_secs(3600))? {
                None => return Ok(None),
                Some(Woken::Key(key)) => key,
                Some(_) => continue,
            };
            match key {
                KeyEvent {
                    code: KeyCode::Char('c'),
                    modifiers: KeyModifiers::CONTROL,
                    ..
                } => return Ok(None),
                KeyEvent { code, .. } => match code {
                    KeyCode::Char('q') | KeyCode::F(10) | KeyCode::Esc => return Ok(None),
                    KeyCode::Enter => return Ok(Some(chosen)),
                    KeyCode::Up | KeyCode::Char('k') => chosen = chosen.saturating_sub(1),
                    KeyCode::Down | KeyCode::Char('j') => {
                        chosen = (chosen + 1).min(processes.len().saturating_sub(1));
                    }
                    _ => {}
                },
            }
        }
    }
}

/// Finds out whether the terminal is still there. Of one that hung up, reads return at once and for
/// ever.
fn check_terminal() -> io::Result<()> {
    for stream in [io::stdin().as_fd(), io::stdout().as_fd()] {
        if !stream.is_terminal() {
            continue;
        }
        let mut ends = [PollFd::from_borrowed_fd(stream, PollFlags::empty())];
        poll(&mut ends, Some(&Timespec::default()))?;
        if ends[0]
            .revents()
            .intersects(PollFlags::HUP | PollFlags::ERR)
        {
            return Err(io::Error::other("the terminal is gone"));
        }
    }
    Ok(())
}

enum Woken {
    Key(KeyEvent),
    Resized,
    TimeIsUp,
}

fn draw_choice(frame: &mut Frame<'_>, processes: &[Attached], chosen: usize) {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut lines = vec![Line::styled("Which process? (Enter: watch, q: quit)", bold)];
    let room = usize::from(frame.area().height).saturating_sub(1);
    let skipped = (chosen + 1).saturating_sub(room);
    for (i, process) in processes.iter().enumerate().skip(skipped) {
        let style = match i == chosen {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        let text = format!("{:>8}  {}", process.pid, printable(&process.program));
        lines.push(Line::styled(text, style));
    }
    frame.render_widget(Paragraph::new(lines), frame.area());
}
