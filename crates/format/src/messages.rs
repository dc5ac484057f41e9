//! What the codes of recordings and profiles are in words. Used where a person reads them, and nowhere
//! else: files hold the codes, so that words can be improved at any time.

use crate::cause::Cause;
use crate::cut::Cut;
use crate::loss::Loss;
use crate::note::{Kind, Note, Reason};
use std::borrow::Cow;

/// A loss, as a fragment that fits after the number.
pub fn loss<T: AsRef<str>>(cause: &Cause<T>) -> Cow<'_, str> {
    match cause {
        Cause::Code(code) => match Loss::of_code(*code) {
            Some(known) => Cow::Borrowed(known_loss(known)),
            None => Cow::Owned(format!(
                "losses of a kind that only a later version of skip-heapprof knows (number {code})"
            )),
        },
        Cause::Sentence(sentence) => Cow::Borrowed(sentence.as_ref()),
    }
}

/// A loss that this version knows, as a fragment that fits after the number.
pub fn known_loss(loss: Loss) -> &'static str {
    match loss {
        Loss::RecordingFull => {
            "allocations not recorded: no room for the recording (disk full or file size limit)"
        }
        Loss::NoMemory => "allocations not recorded: no memory for the profiler",
        Loss::Internal => "internal errors of the profiler",
        Loss::Confined => {
            "allocations not recorded: the program has restricted its system calls (seccomp)"
        }
        Loss::TooEarly => "allocations not recorded: made before the C library was ready",
        Loss::NotFollowed => "blocks not tracked until they are freed: no memory for the profiler",
        Loss::LifetimesFull => "frees not counted in the lifetimes: a counter is full",
        Loss::TooLong => {
            "allocations not recorded: the recording cannot grow (its file is out of reach, or has reached 32 GiB)"
        }
        Loss::CutOff => {
            "bytes of the recording missing: the file was truncated, so no report includes them"
        }
    }
}

/// What stands at the root of a stack that was cut.
pub fn cut<T: AsRef<str>>(cause: &Cause<T>) -> Cow<'_, str> {
    match cause {
        Cause::Code(code) => Cow::Borrowed(Cut::of_code(*code).map_or("[cut]", marker)),
        Cause::Sentence(sentence) => Cow::Borrowed(sentence.as_ref()),
    }
}

/// What stands at the root of a stack that was cut for a reason that this version knows.
pub fn marker(cut: Cut) -> &'static str {
    match cut {
        Cut::NoUnwindInfo => "[no unwind information]",
        Cut::Unreadable => "[unreadable stack]",
        Cut::TooDeep => "[too deep]",
        Cut::Unproved => "[frame pointer not proved]",
        Cut::Unsupported => "[unwind information not followed]",
    }
}

/// Where or why stacks were cut, after "cut short".
pub fn cut_short<T: AsRef<str>>(cause: &Cause<T>) -> Cow<'_, str> {
    match cause {
        Cause::Code(code) => match Cut::of_code(*code) {
            Some(known) => Cow::Borrowed(known_cut_short(known)),
            None => Cow::Owned(format!(
                "for a reason that only a later version of skip-heapprof knows (number {code})"
            )),
        },
        Cause::Sentence(sentence) => {
            Cow::Owned(format!("for another reason: {}", sentence.as_ref()))
        }
    }
}

fn known_cut_short(cut: Cut) -> &'static str {
    match cut {
        Cut::NoUnwindInfo => "at code without unwind information",
        Cut::Unreadable => "at stack memory that cannot be read",
        Cut::TooDeep => "by deep recursion",
        Cut::Unproved => {
            "at code without unwind information, where the frame pointer could not be proved"
        }
        Cut::Unsupported => "at unwind information of an unsupported kind",
    }
}

/// A note in one line.
pub fn note<T: AsRef<str>>(note: &Note<T>) -> String {
    let (kind, reason, about) = match note {
        Note::Sentence(sentence) => return sentence.as_ref().to_owned(),
        Note::Coded {
            kind,
            reason,
            about,
        } => (*kind, *reason, about),
    };
    let text = |index: usize| about.get(index).map_or("", AsRef::as_ref);
    let (a, b) = (text(0), text(1));
    let why = match Reason::of_code(reason) {
        Some(known) => Cow::Borrowed(self::reason(known)),
        None => Cow::Owned(format!("reason {reason}")),
    };
    let Some(known) = Kind::of_code(kind) else {
        let about: Vec<&str> = about.iter().map(AsRef::as_ref).collect();
        return format!(
            "a note that only a later version of skip-heapprof knows (number {kind}): {}",
            about.join(", ")
        );
    };
    match known {
        Kind::HookUnmatched => format!("hook \"{a}\": no function of that name, or only hooked ones"),
        Kind::HookUnmatchedSoFar => format!(
            "hook \"{a}\": no function of that name, or only hooked ones (libraries that are loaded \
             later will be searched)"
        ),
        Kind::HookMatchedLater => format!("hook \"{a}\": found in a library that was loaded later"),
        Kind::Hooked => format!("hooked {a} in {b}"),
        Kind::NotHooked => format!("cannot hook {a} in {b}: {why}"),
        Kind::AllocatorHooked => {
            format!("{a} has {b}: {} of {} entry points hooked", text(2), text(3))
        }
        Kind::TooManyFunctions => format!("{a} functions are not hooked: there are too many"),
        Kind::CopyNotSeen => format!(
            "calls of {a} in {b} are not counted: it is a copy of {} made by the compiler",
            text(2)
        ),
        Kind::ObjectNotHooked => format!("nothing is hooked in {a}: {why}"),
        Kind::LaterNotHooked => {
            format!("nothing is hooked in libraries that are loaded later: {why}")
        }
        Kind::CloneWithoutSize => format!(
            "calls of {a} in {b} count 0 bytes: its code does not show how many it copies (with --hook \
             '{a}(size=arg0)', the size that callers pass is counted)"
        ),
        Kind::MallocReported => "malloc is reported too: its hook cannot be removed".into(),
        Kind::PagesNotFollowed => {
            "live bytes of the ObStack are not known: its pages cannot be tracked".into()
        }
        Kind::PagesSeenTooLate => {
            "live bytes of the ObStack are not known: its pages can be tracked only from the start of \
             a program, and only if malloc is not reported"
                .into()
        }
        Kind::ObstackNotChecked => {
            "the leak check does not apply to the ObStack: its objects are not freed one by one".into()
        }
        Kind::NoLeakCheck => format!(
            "no leak check: the memory of the process cannot be read: {}",
            if a.is_empty() { &why } else { a }
        ),
        Kind::ThreadsRan => format!(
            "leak check: the program's other threads kept running, because {why}; blocks that only their \
             registers point to may be among the leaks"
        ),
        Kind::MemoryUnread => format!(
            "leak check: {a} bytes of the program's memory cannot be read; blocks that only they point to \
             are among the leaks"
        ),
        Kind::OtherMalloc => {
            "leak check: malloc is not the C library's; leaks are missed where it keeps addresses of its \
             own blocks"
                .into()
        }
        Kind::HookedNotChecked => {
            "leak check: blocks from functions that are hooked by name are not checked; their leaks are not \
             found"
                .into()
        }
        Kind::DisagreesWithLibgcc => format!(
            "first stack that the verifier disagrees with: recorded {a}; libgcc's unwinder saw {b}"
        ),
        Kind::DisagreesWithCarefulWalk => format!(
            "first stack that the verifier disagrees with: recorded {a}; the profiler's slow walk saw {b}"
        ),
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Breakpoint => "there is a breakpoint at its entry",
        Reason::AlreadyReplaced => "its entry has already been replaced by a jump",
        Reason::Undecodable => "its code cannot be decoded",
        Reason::CallAtStart => "there is a call in its first bytes",
        Reason::TransactionAtStart => "there is a transaction in its first bytes",
        Reason::TooShort => "it is shorter than a jump",
        Reason::JumpsIntoStart => "it jumps into its first bytes",
        Reason::JumpsToStart => "it jumps back to its start",
        Reason::Indirect => "it only chooses the real function (IFUNC)",
        Reason::SizeUnknown => "its size is not known",
        Reason::CodeElsewhere => "its code is not where its symbol says",
        Reason::NotWritable => "its code cannot be written to",
        Reason::TooLong => "its first instructions are too long",
        Reason::NotMovable => "its first instructions cannot be moved",
        Reason::NoWayBack => "the way back cannot be encoded",
        Reason::CalleeTooFar => "it calls a function that is too far away",
        Reason::NoMemoryNearIt => "no memory near it for its trampoline",
        Reason::NotExecutable => "trampolines may not be made executable",
        Reason::OtherThreads => "other threads were running before the profiler started",
        Reason::LoaderChangesCode => "the loader changes its code",
        Reason::LoaderNotFound => "the loader was not found",
        Reason::LoaderNotEmpty => "the loader's function for debuggers is not empty",
        Reason::NoMemoryNearLoader => "no memory near the loader",
        Reason::LoaderNotWritable => "the loader's code cannot be written to",
        Reason::ForkedWhileLoading => {
            "the process was forked while another thread was loading a library"
        }
        Reason::NotAllowedToStop => "the kernel does not allow stopping them",
        Reason::NotStoppedInTime => "they did not stop in time",
        Reason::NoMemoryToStop => "there is no memory for it",
        Reason::Filtered => "a system call filter (seccomp) is set",
        Reason::MemoryNotTold => "the kernel does not show which memory is the profiler's",
        Reason::NotOnThisArchitecture => {
            "functions cannot be hooked by name on this architecture; a malloc that it defines is not recorded"
        }
    }
}

/// What the stack verifier found; the counts are in the order of [`crate::verified::Verified::ALL`].
pub fn verified(counts: &[u64; 4]) -> String {
    let [_, different, ours, theirs] = counts;
    let all = counts.iter().fold(0_u64, |sum, &n| sum.saturating_add(n));
    format!(
        "stacks compared with libgcc's unwinder: {all}, disagreements: {different}, \
         followed farther by libgcc: {ours}, by us: {theirs}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_verifiers_counts_add_up() {
        assert!(verified(&[5, 2, 1, 3]).contains(": 11, disagreements: 2,"));
    }

    #[test]
    fn each_code_has_words_of_its_own() {
        let texts: HashSet<String> = Loss::ALL
            .iter()
            .map(|loss| known_loss(*loss).to_owned())
            .chain(Cut::ALL.iter().map(|cut| marker(*cut).to_owned()))
            .chain(Kind::ALL.iter().map(|kind| note(&Note::new(*kind, ["x"]))))
            .chain(
                Reason::ALL
                    .iter()
                    .map(|why| note(&Note::because(Kind::NotHooked, *why, ["f", "lib"]))),
            )
            .collect();
        let codes = Loss::ALL.len() + Cut::ALL.len() + Kind::ALL.len() + Reason::ALL.len();
        assert_eq!(texts.len(), codes);
    }

    #[test]
    fn codes_of_later_versions_are_said_to_be_that() {
        let said = loss(&Cause::<&str>::Code(99)).into_owned();
        assert!(said.contains("number 99"), "{said}");
        let later = Note::Coded {
            kind: 4711,
            reason: 0,
            about: vec!["take", "lib.so"],
        };
        let said = note(&later);
        assert!(said.ends_with("(number 4711): take, lib.so"), "{said}");
        let why = Note::Coded {
            kind: Kind::NotHooked.code(),
            reason: 4711,
            about: vec!["take", "lib.so"],
        };
        assert_eq!(note(&why), "cannot hook take in lib.so: reason 4711");
    }
}
