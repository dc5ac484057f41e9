//! The sentences of files that were written before there were codes: recordings of format version 6 and
//! profiles of version 2. Those whose meaning a reader acts on are found here; the others are kept as
//! they are.
//!
//! The sentences are those of the versions that wrote them. They never change, whatever
//! [`crate::messages`] says today.

use crate::cut::Cut;
use crate::loss::Loss;
use crate::note::{Kind, Note};

const LOSSES: [(&str, Loss); 9] = [
    (
        "allocations not recorded: no room for the recording (disk full or file size limit)",
        Loss::RecordingFull,
    ),
    (
        "allocations not recorded: no memory for the profiler",
        Loss::NoMemory,
    ),
    ("internal errors of the profiler", Loss::Internal),
    (
        "allocations not recorded: the program has confined its system calls (seccomp)",
        Loss::Confined,
    ),
    (
        "allocations not recorded: made before the C library was ready",
        Loss::TooEarly,
    ),
    (
        "blocks not followed until they are freed: no memory for the profiler",
        Loss::NotFollowed,
    ),
    (
        "frees not in the lifetimes: a counter is full",
        Loss::LifetimesFull,
    ),
    (
        "allocations not recorded: the recording cannot become longer (its file is out of reach, or has 32 GiB)",
        Loss::TooLong,
    ),
    (
        "bytes of the recording missing: it was cut off, and what stood there is in no report",
        Loss::CutOff,
    ),
];

const CUTS: [(&str, Cut); 5] = [
    ("[no unwind information]", Cut::NoUnwindInfo),
    ("[unreadable stack]", Cut::Unreadable),
    ("[too deep]", Cut::TooDeep),
    ("[frame pointer not proved]", Cut::Unproved),
    ("[unwind information not followed]", Cut::Unsupported),
];

/// The loss that a sentence of a profile says.
pub fn loss(sentence: &str) -> Option<Loss> {
    let known = LOSSES.iter().find(|loss| loss.0 == sentence);
    known.map(|loss| loss.1)
}

/// The reason why stacks were cut that a sentence of a profile says.
pub fn cut(sentence: &str) -> Option<Cut> {
    let known = CUTS.iter().find(|cut| cut.0 == sentence);
    known.map(|cut| cut.1)
}

/// The note that a sentence says.
pub fn note(sentence: &str) -> Note<&str> {
    const HOOK: &str = "hook \"";
    const UNMATCHED: &str = "\": no function of that name, or only hooked ones";
    const SO_FAR: &str = " (libraries that are loaded later will be searched)";
    const LATER: &str = "\": found in a library that was loaded later";
    const EXAMPLE: &str = "first stack that the verifier disagrees with: recorded ";
    const LIBGCC: &str = "; libgcc's unwinder saw ";
    const CAREFUL: &str = "; our own careful walk saw ";
    const UNREADABLE: &str = "no leak check: the memory of the process cannot be read: ";
    const OTHER_MALLOC: &str = "leak check: malloc is not the C library's; leaks are missed where it keeps \
                                addresses of its blocks itself";
    const HOOKED: &str = "leak check: what functions that are hooked by name have allocated is not looked \
                          at: leaks of it are not found";
    if let Some(rest) = sentence.strip_prefix(HOOK) {
        let (about_hook, so_far) = match rest.strip_suffix(SO_FAR) {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        if let Some(name) = about_hook.strip_suffix(UNMATCHED) {
            let kind = match so_far {
                true => Kind::HookUnmatchedSoFar,
                false => Kind::HookUnmatched,
            };
            return Note::new(kind, [name]);
        }
        if let Some(name) = rest.strip_suffix(LATER) {
            return Note::new(Kind::HookMatchedLater, [name]);
        }
    }
    if let Some(rest) = sentence.strip_prefix(EXAMPLE) {
        for (who, kind) in [
            (LIBGCC, Kind::DisagreesWithLibgcc),
            (CAREFUL, Kind::DisagreesWithCarefulWalk),
        ] {
            if let Some((recorded, seen)) = rest.split_once(who) {
                return Note::new(kind, [recorded, seen]);
            }
        }
    }
    if let Some(error) = sentence.strip_prefix(UNREADABLE) {
        return Note::new(Kind::NoLeakCheck, [error]);
    }
    match sentence {
        OTHER_MALLOC => Note::new(Kind::OtherMalloc, []),
        HOOKED => Note::new(Kind::HookedNotChecked, []),
        _ => Note::Sentence(sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_of_hooks_and_of_the_verifier_are_recognised() {
        let so_far = "hook \"a\\\"b\": no function of that name, or only hooked ones (libraries \
                      that are loaded later will be searched)";
        assert_eq!(
            note(so_far),
            Note::new(Kind::HookUnmatchedSoFar, ["a\\\"b"])
        );
        assert_eq!(
            note("hook \"take\": no function of that name, or only hooked ones"),
            Note::new(Kind::HookUnmatched, ["take"])
        );
        assert_eq!(
            note("hook \"take\": found in a library that was loaded later"),
            Note::new(Kind::HookMatchedLater, ["take"])
        );
        assert_eq!(
            note(
                "first stack that the verifier disagrees with: recorded a+0x1; libgcc's unwinder saw \
                 a+0x2"
            ),
            Note::new(Kind::DisagreesWithLibgcc, ["a+0x1", "a+0x2"])
        );
        let hooked = "leak check: what functions that are hooked by name have allocated is not looked \
                      at: leaks of it are not found";
        assert_eq!(note(hooked), Note::new(Kind::HookedNotChecked, []));
        assert_eq!(
            note("no leak check: the memory of the process cannot be read: no file"),
            Note::new(Kind::NoLeakCheck, ["no file"])
        );
        assert_eq!(note("hooked x in y"), Note::Sentence("hooked x in y"));
    }
}
