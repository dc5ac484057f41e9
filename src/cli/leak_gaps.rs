//! What the leak checks of a run could not check: without it, finding no leaks proves little.

use crate::terminal::term::{counted, printable};
use skipheap_format::messages;
use skipheap_format::note::{Kind, Note};
use std::collections::BTreeMap;

/// Reasons, each with the processes that it is true of.
#[derive(Debug, Default)]
pub(crate) struct LeakGaps(BTreeMap<String, Vec<String>>);

impl LeakGaps {
    /// Adds those of a process whose leak check has missed something; its notes say why.
    pub(crate) fn add<T: AsRef<str>>(&mut self, who: &str, notes: impl Iterator<Item = Note<T>>) {
        let of_check = notes.filter(|note| note.kind().is_some_and(Kind::is_of_leak_check));
        let mut reasons: Vec<String> = of_check.map(|note| messages::note(&note)).collect();
        if reasons.is_empty() {
            // There was no room for the note.
            reasons
                .push("the leak check missed leaks, and the recording does not say why".to_owned());
        }
        for reason in reasons {
            self.0.entry(reason).or_default().push(printable(who));
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
            gaps.add::<String>(&format!("server {pid}"), notes.iter().cloned());
        }
        let no_memory = Note::new(Kind::NoLeakCheck, ["no memory"]);
        gaps.add("a\x1b 1", [no_memory].into_iter());
        gaps.add::<String>("full 1", std::iter::empty());
        let lines = gaps.lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(
            lines[2].starts_with("full 1: the leak check missed"),
            "{lines:?}"
        );
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
