//! What the library has to say about its hooks on functions by name, over all processes of a run.

use crate::terminal::term::counted;
use skipheap_format::messages;
use skipheap_format::note::{Kind, Note};
use std::collections::BTreeMap;

/// The notes of all processes.
#[derive(Debug, Default)]
pub(crate) struct Notes(BTreeMap<Note<String>, u64>);

impl Notes {
    /// Adds those of one process.
    pub(crate) fn add(&mut self, notes: impl IntoIterator<Item = Note<String>>) {
        let notes: Vec<_> = notes.into_iter().collect();
        let is_taken_back = |note: &Note<String>| {
            let later = |other: &Note<String>| {
                other.kind() == Some(Kind::HookMatchedLater) && other.texts() == note.texts()
            };
            is_unmatched(note) && notes.iter().any(later)
        };
        for note in &notes {
            // Each process has a first disagreement of its own; one tells enough.
            let is_known = is_example(note) && self.0.keys().any(is_example);
            if !is_known && !is_taken_back(note) {
                *self.0.entry(note.clone()).or_default() += 1;
            }
        }
    }

    /// Lines for the summary of `processes`. What is said of a specification holds only if every
    /// process says it: a hook may be meant for one program of a tree.
    pub(crate) fn lines(&self, processes: usize) -> Vec<String> {
        let processes = processes as u64;
        let mut lines: Vec<String> = self
            .0
            .iter()
            .filter(|&(note, &count)| !is_about_a_hook(note) || count >= processes)
            .map(|(note, &count)| match (messages::note(note), count) {
                (text, 1) => text,
                (text, _) => format!("{text} ({})", counted(count, "process", "processes")),
            })
            .collect();
        lines.sort();
        lines
    }
}

fn is_unmatched(note: &Note<String>) -> bool {
    let kind = note.kind();
    matches!(kind, Some(Kind::HookUnmatched | Kind::HookUnmatchedSoFar))
}

fn is_about_a_hook(note: &Note<String>) -> bool {
    is_unmatched(note) || note.kind() == Some(Kind::HookMatchedLater)
}

/// Returns whether a note shows two stacks that should be the same.
fn is_example(note: &Note<String>) -> bool {
    let kind = note.kind();
    matches!(
        kind,
        Some(Kind::DisagreesWithLibgcc | Kind::DisagreesWithCarefulWalk)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: Kind, about: &[&str]) -> Note<String> {
        Note::new(kind, about.iter().map(|&text| text.to_owned()))
    }

    #[test]
    fn a_hook_that_some_process_has_is_no_news() {
        let mut notes = Notes::default();
        let none = || note(Kind::HookUnmatched, &["take"]);
        let hooked = |name| note(Kind::Hooked, &[name, "x.so"]);
        notes.add([none(), hooked("a")]);
        notes.add([none(), hooked("b")]);
        assert_eq!(notes.lines(3), ["hooked a in x.so", "hooked b in x.so"]);
        assert_eq!(notes.lines(2).len(), 3);
        notes.add([hooked("a")]);
        assert_eq!(notes.lines(3)[0], "hooked a in x.so (2 processes)");
    }

    #[test]
    fn a_hook_that_a_later_library_has_is_no_news() {
        let mut notes = Notes::default();
        notes.add([
            note(Kind::HookUnmatchedSoFar, &["take"]),
            note(Kind::HookUnmatched, &["took"]),
            note(Kind::Hooked, &["take", "x.so"]),
            note(Kind::HookMatchedLater, &["take"]),
        ]);
        let lines = notes.lines(1);
        assert!(lines.contains(&"hooked take in x.so".to_owned()));
        assert!(!lines.iter().any(|line| line.contains("take\": no")));
        assert!(lines.iter().any(|line| line.contains("took\": no")));
    }

    #[test]
    fn one_disagreement_is_shown() {
        let mut notes = Notes::default();
        for stack in ["a+0x1", "b+0x1"] {
            notes.add([note(Kind::DisagreesWithLibgcc, &[stack, "end"])]);
        }
        assert_eq!(notes.lines(2).len(), 1);
    }
}
