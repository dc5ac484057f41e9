//! What the library has to say about its hooks on functions by name, over all processes of a run.

use crate::term::counted;
use skipheap_format::hook_notes::{ABOUT_A_HOOK, taken_back};
use skipheap_format::verified;
use std::collections::BTreeMap;

/// The notes of all processes.
#[derive(Debug, Default)]
pub(crate) struct Notes(BTreeMap<String, u64>);

impl Notes {
    /// Adds those of one process.
    pub(crate) fn add<'n>(&mut self, notes: impl Iterator<Item = &'n [u8]>) {
        let notes: Vec<_> = notes.map(String::from_utf8_lossy).collect();
        let taken_back: Vec<_> = notes.iter().filter_map(|note| taken_back(note)).collect();
        for note in notes {
            let is_example = |text: &String| text.starts_with(verified::EXAMPLE);
            let text = note.into_owned();
            // Each process has a first disagreement of its own; one tells enough.
            let is_known = is_example(&text) && self.0.keys().any(is_example);
            if !is_known && !taken_back.iter().any(|start| text.starts_with(start)) {
                *self.0.entry(text).or_default() += 1;
            }
        }
    }

    /// Lines for the summary of `processes`. What is said of a specification holds only if every
    /// process says it: a hook may be meant for one program of a tree.
    pub(crate) fn lines(&self, processes: usize) -> Vec<String> {
        let processes = processes as u64;
        self.0
            .iter()
            .filter(|&(text, &count)| !text.starts_with(ABOUT_A_HOOK) || count >= processes)
            .map(|(text, &count)| match count {
                1 => text.clone(),
                _ => format!("{text} ({})", counted(count, "process", "processes")),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_that_some_process_has_is_no_news() {
        let mut notes = Notes::default();
        let none: &[u8] = b"hook \"take\": no function of that name, or only hooked ones";
        notes.add([none, b"a has jemalloc"].into_iter());
        notes.add([none, b"b has jemalloc"].into_iter());
        assert_eq!(notes.lines(3), ["a has jemalloc", "b has jemalloc"]);
        assert_eq!(notes.lines(2).len(), 3);
        notes.add([&b"a has jemalloc"[..]].into_iter());
        assert_eq!(notes.lines(3)[0], "a has jemalloc (2 processes)");
    }

    #[test]
    fn a_hook_that_a_later_library_has_is_no_news() {
        let mut notes = Notes::default();
        let yet: &[u8] = b"hook \"take\": no function of that name, or only hooked ones (so far)";
        let other: &[u8] = b"hook \"took\": no function of that name, or only hooked ones";
        let later: &[u8] = b"hook \"take\": found in a library that was loaded later";
        notes.add([yet, other, b"hooked take in x.so", later].into_iter());
        let lines = notes.lines(1);
        assert!(lines.contains(&"hooked take in x.so".to_owned()));
        assert!(!lines.iter().any(|line| line.contains("take\": no")));
        assert!(lines.iter().any(|line| line.contains("took\": no")));
    }
}
