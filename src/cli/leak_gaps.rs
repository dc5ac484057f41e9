//! What the leak checks of a run could not look at, so that to have found nothing says little.

use crate::term::{counted, printable};
use skipheap_format::messages;
use skipheap_format::note::{Kind, Note};
use std::collections::BTreeMap;

/// Reasons, each with the processes that it is true of.
#[derive(Debug, Default)]
pub(crate) struct LeakGaps(BTreeMap<String, Vec<String>>);

impl LeakGaps {
    /// Adds those of a process whose leak check has missed something; its notes say why.
    pub(crate) fn add<T: AsRef<str>>(
        &mut self,
        program: &str,
        pid: u32,
        notes: impl Iterator<Item = Note<T>>,
    ) {
        for note in notes {
            if note.kind().is_some_and(Kind::is_of_leak_check) {
                let who = format!("{} {pid}", printable(program));
                self.0.entry(messages::note(&note)).or_default().push(who);
            }
        }
    }

    /// The reasons in a line each, with one of the processes.
    pub(crate) fn lines(&self) -> Vec<String> {
        let line = |(why, who): (&String, &Vec<String>)| {
            let why = printable(why);
            match &who[..] {
                [one] => format!("{one}: {why}"),
                [first, others @ ..] => {
                    let others = counted(others.len() as u64, "other process", "other processes");
                    format!("{first} and {others}: {why}")
                }
                [] => why,
            }
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_said_once_and_other_notes_are_none() {
        let mut gaps = LeakGaps::default();
        assert!(gaps.lines().is_empty());
        let notes = [
            Note::new(Kind::OtherMalloc, []),
            Note::new(Kind::MallocReported, []),
        ];
        for pid in 7..10 {
            gaps.add::<String>("server", pid, notes.iter().cloned());
        }
        let no_memory = Note::new(Kind::NoLeakCheck, ["no memory"]);
        gaps.add("a\x1b", 1, [no_memory].into_iter());
        let lines = gaps.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].starts_with("server 7 and 2 other processes: leak check: malloc is not"),
            "{lines:?}"
        );
        assert!(
            lines[1].starts_with("a\\x1b 1: no leak check: "),
            "{lines:?}"
        );
        assert!(lines[1].ends_with("no memory"), "{lines:?}");
    }
}
