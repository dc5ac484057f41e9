//! What the keys have chosen.

use super::order::Sort;
use super::stacks::{self, Stack};
use super::watch::Watch;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What is done after a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Draw.
    Draw,
    /// Leave.
    Quit,
}

/// The stacks of a row or a function, and how far they are scrolled.
pub(crate) struct Opened {
    /// The rows.
    pub(crate) rows: Vec<u32>,
    pub(crate) stacks: Vec<Stack>,
    /// How many there are, those included that are not shown.
    pub(crate) all: usize,
    pub(crate) scrolled: usize,
}

/// What is shown of the process.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) sort: Sort,
    pub(crate) filter: String,
    /// The filter is being typed.
    pub(crate) is_typing: bool,
    /// The selected row, counted from the first.
    pub(crate) selected: usize,
    /// The first row in the window.
    pub(crate) top: usize,
    /// Rows that fit into the window, as it was drawn last.
    pub(crate) height: usize,
    /// The rows that are shown, as they were drawn last, and how many there are.
    pub(crate) shown: (Vec<u32>, usize),
    pub(crate) opened: Option<Opened>,
    /// Sites are listed, and not functions.
    pub(crate) lists_sites: bool,
    /// The help is shown.
    pub(crate) is_helping: bool,
}

impl State {
    /// Does what a key says.
    pub(crate) fn key(&mut self, key: KeyEvent, watch: &mut Watch) -> Next {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Next::Quit,
                _ => Next::Draw,
            };
        }
        if self.is_typing {
            self.type_filter(key.code);
            return Next::Draw;
        }
        if matches!(key.code, KeyCode::Char('q') | KeyCode::F(10)) {
            return Next::Quit;
        }
        if self.is_helping {
            self.is_helping = false;
            return Next::Draw;
        }
        if matches!(key.code, KeyCode::Char('?' | 'h') | KeyCode::F(1)) {
            self.is_helping = true;
            return Next::Draw;
        }
        match &mut self.opened {
            Some(opened) => match key.code {
                KeyCode::Esc | KeyCode::Enter | KeyCode::Backspace => self.opened = None,
                code => {
                    let end = usize::MAX;
                    opened.scrolled = moved(code, opened.scrolled, self.height, end);
                }
            },
            None => self.list_key(key.code, watch),
        }
        Next::Draw
    }

    fn type_filter(&mut self, code: KeyCode) {
        match code {
            KeyCode::Enter => self.is_typing = false,
            KeyCode::Esc => {
                self.is_typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) => self.filter.push(c),
            _ => {}
        }
        (self.selected, self.top) = (0, 0);
    }

    fn list_key(&mut self, code: KeyCode, watch: &mut Watch) {
        let sort = match code {
            KeyCode::Char('b') => Some(Sort::Bytes),
            KeyCode::Char('c') => Some(Sort::Calls),
            KeyCode::Char('l') => Some(Sort::Live),
            KeyCode::Char('r') => Some(Sort::Rate),
            KeyCode::Char('p') => Some(Sort::Peak),
            KeyCode::Char('w') => Some(Sort::Leaky),
            KeyCode::F(6) | KeyCode::Char('>' | '.') | KeyCode::Right => Some(self.sort.beside(1)),
            KeyCode::Char('<' | ',') | KeyCode::Left => Some(self.sort.beside(Sort::ALL.len() - 1)),
            _ => None,
        };
        if let Some(sort) = sort {
            self.sort = sort;
            match sort {
                Sort::Peak => watch.read_peaks(),
                _ => watch.wants_peaks = false,
            }
            return;
        }
        match code {
            KeyCode::Char('/' | '\\') | KeyCode::F(3 | 4) => self.is_typing = true,
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('s') | KeyCode::Tab => {
                self.lists_sites = !self.lists_sites;
                (self.selected, self.top) = (0, 0);
            }
            KeyCode::Enter => self.open(watch),
            code => {
                let last = self.shown.1.saturating_sub(1);
                self.selected = moved(code, self.selected, self.height, last);
            }
        }
    }

    fn open(&mut self, watch: &mut Watch) {
        if let Some(&place) = self.shown.0.get(self.selected) {
            let rows = match self.lists_sites {
                true => vec![place],
                false => {
                    let function = watch.functions.all().get(place as usize);
                    function.map_or(Vec::new(), |function| function.rows.clone())
                }
            };
            let (stacks, all) = watch.stacks(&rows);
            self.opened = Some(Opened {
                rows,
                stacks,
                all,
                scrolled: 0,
            });
        }
    }

    /// Brings the stacks that are open up to date.
    pub(crate) fn refresh(&mut self, watch: &mut Watch) {
        if let Some(opened) = &mut self.opened {
            (opened.stacks, opened.all) = watch.stacks(&opened.rows);
        }
    }
}

/// A place in a list after a key that moves.
fn moved(code: KeyCode, at: usize, page: usize, last: usize) -> usize {
    let to = match code {
        KeyCode::Up | KeyCode::Char('k') => at.saturating_sub(1),
        KeyCode::Down | KeyCode::Char('j') => at.saturating_add(1),
        KeyCode::PageUp => at.saturating_sub(page),
        KeyCode::PageDown | KeyCode::Char(' ') => at.saturating_add(page),
        KeyCode::Home | KeyCode::Char('g') => 0,
        KeyCode::End | KeyCode::Char('G') => last,
        _ => at,
    };
    to.min(last)
}

impl Watch {
    /// The stacks of these rows.
    fn stacks(&mut self, wanted: &[u32]) -> (Vec<Stack>, usize) {
        let (rows, names, recording) = self.parts();
        match recording {
            Some(recording) => stacks::of_rows(wanted, rows, &recording, names),
            None => (Vec::new(), 0),
        }
    }
}
