//! Notes: what the library has to say besides numbers, as codes with what they are about.
//!
//! A note in a recording is a [`TextRecord`](crate::layout::TextRecord): the number is the [`Kind`]'s, the
//! flags are the [`Reason`]'s, and the text is what the note is about, separated by NUL. Number 0 is a
//! whole sentence, as recordings of format version 6 have them.

use crate::codes::codes;
use std::borrow::Cow;

codes! {
    /// What a note says.
    Kind {
        /// A specification of a hook matches no function of what is loaded at the start. About: the
        /// specification's name.
        HookUnmatched = 1,
        /// A specification of a hook matches no function so far; libraries that are loaded later will be
        /// searched. About: the specification's name.
        HookUnmatchedSoFar = 2,
        /// Takes back one of the two above: a library came that has the function. About: the
        /// specification's name.
        HookMatchedLater = 3,
        /// A function that the user named is hooked. About: function, object file.
        Hooked = 4,
        /// A function cannot be hooked, for a reason. About: function, object file.
        NotHooked = 5,
        /// An allocator was found. About: object file, allocator, entry points that are hooked, all
        /// entry points.
        AllocatorHooked = 6,
        /// Functions are not hooked, because there are too many. About: their number.
        TooManyFunctions = 7,
        /// Calls of a copy that the compiler made of a function are not seen. About: the copy, object
        /// file, function.
        CopyNotSeen = 8,
        /// Nothing is hooked in an object file, for a reason. About: object file.
        ObjectNotHooked = 9,
        /// Nothing is hooked in libraries that are loaded later, for a reason.
        LaterNotHooked = 10,
        /// A function of the ObStack that copies objects counts 0 bytes. About: function, object file.
        CloneWithoutSize = 11,
        /// malloc is reported although it was left out, because its hook cannot be removed.
        MallocReported = 12,
        /// Live bytes of the ObStack are not known, because its pages cannot be tracked.
        PagesNotFollowed = 13,
        /// Live bytes of the ObStack are not known, because its pages are seen only from the start of a
        /// program, and where malloc is not reported.
        PagesSeenTooLate = 14,
        /// The leak check does not apply to the ObStack.
        ObstackNotChecked = 15,
        /// No leak check was made, for a reason or an error of the system. About: the error.
        NoLeakCheck = 16,
        /// Other threads ran during the leak check, for a reason.
        ThreadsRan = 17,
        /// Memory could not be read by the leak check. About: its bytes.
        MemoryUnread = 18,
        /// malloc is not the C library's, so that the leak check misses leaks.
        OtherMalloc = 19,
        /// The leak check does not look at what functions that are hooked by name have allocated.
        HookedNotChecked = 20,
        /// The first stack that the verifier and libgcc's unwinder disagree about. About: the stack as
        /// recorded, the stack as libgcc saw it.
        DisagreesWithLibgcc = 21,
        /// The first stack that the library's own two walks disagree about. About: the stack as
        /// recorded, the stack as the careful walk saw it.
        DisagreesWithCarefulWalk = 22,
    }
}

impl Kind {
    /// Returns whether the note says what the leak check could not look at.
    pub fn is_of_leak_check(self) -> bool {
        matches!(
            self,
            Self::NoLeakCheck
                | Self::ThreadsRan
                | Self::MemoryUnread
                | Self::OtherMalloc
                | Self::HookedNotChecked
        )
    }
}

impl<T> Note<T> {
    /// Returns whether the note says that the leak check missed leaks.
    pub fn misses_leaks(&self) -> bool {
        matches!(
            self.kind(),
            Some(Kind::NoLeakCheck | Kind::OtherMalloc | Kind::HookedNotChecked)
        )
    }
}

codes! {
    /// Why something was not done.
    Reason {
        /// A function's entry holds a breakpoint.
        Breakpoint = 1,
        /// A function's entry has already been replaced by a jump.
        AlreadyReplaced = 2,
        /// A function's code cannot be decoded.
        Undecodable = 3,
        /// A call stands among a function's first bytes.
        CallAtStart = 4,
        /// A transaction stands among a function's first bytes.
        TransactionAtStart = 5,
        /// A function is shorter than a jump.
        TooShort = 6,
        /// A function jumps into its first bytes.
        JumpsIntoStart = 7,
        /// A function jumps back to its start.
        JumpsToStart = 8,
        /// A function only chooses the real one (IFUNC).
        Indirect = 9,
        /// A function's size is not known.
        SizeUnknown = 10,
        /// A function's code is not where its symbol says.
        CodeElsewhere = 11,
        /// A function's code cannot be written to.
        NotWritable = 12,
        /// A function's first instructions are too long.
        TooLong = 13,
        /// A function's first instructions cannot be moved.
        NotMovable = 14,
        /// The way back from a trampoline cannot be encoded.
        NoWayBack = 15,
        /// A function calls what is too far away.
        CalleeTooFar = 16,
        /// There is no memory for a trampoline near a function.
        NoMemoryNearIt = 17,
        /// Trampolines may not be made executable.
        NotExecutable = 18,
        /// Other threads ran before the profiler could begin.
        OtherThreads = 19,
        /// The loader changes an object file's code.
        LoaderChangesCode = 20,
        /// The loader is not found.
        LoaderNotFound = 21,
        /// The loader's function for debuggers is not an empty one.
        LoaderNotEmpty = 22,
        /// There is no memory near the loader.
        NoMemoryNearLoader = 23,
        /// The loader's code cannot be written to.
        LoaderNotWritable = 24,
        /// The process was forked while another thread loaded a library.
        ForkedWhileLoading = 25,
        /// The kernel does not let threads be stopped.
        NotAllowedToStop = 26,
        /// Threads did not stop in time.
        NotStoppedInTime = 27,
        /// There is no memory for stopping threads.
        NoMemoryToStop = 28,
        /// A filter of system calls is set.
        Filtered = 29,
        /// The kernel does not tell the profiler's memory from the program's.
        MemoryNotTold = 30,
        /// Functions cannot be hooked by name on the program's architecture.
        NotOnThisArchitecture = 31,
    }
}

/// What is said, and of what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Note<T> {
    /// A code with what it is about.
    Coded {
        /// That of a [`Kind`], or one that a later version has given.
        kind: u32,
        /// That of a [`Reason`], or one that a later version has given; 0 for none.
        reason: u32,
        /// What the note is about: names, numbers.
        about: Vec<T>,
    },
    /// A sentence of a file that has no codes.
    Sentence(T),
}

impl<T> Note<T> {
    /// A note without a reason.
    pub fn new(kind: Kind, about: impl IntoIterator<Item = T>) -> Self {
        Self::Coded {
            kind: kind.code(),
            reason: 0,
            about: about.into_iter().collect(),
        }
    }

    /// A note with a reason.
    pub fn because(kind: Kind, reason: Reason, about: impl IntoIterator<Item = T>) -> Self {
        Self::Coded {
            kind: kind.code(),
            reason: reason.code(),
            about: about.into_iter().collect(),
        }
    }

    /// What it says; `None` for a sentence, and for a code that a later version has given.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Coded { kind, .. } => Kind::of_code(*kind),
            Self::Sentence(_) => None,
        }
    }

    /// Its texts.
    pub fn texts(&self) -> &[T] {
        match self {
            Self::Coded { about, .. } => about,
            Self::Sentence(sentence) => std::slice::from_ref(sentence),
        }
    }

    /// Its texts, to be replaced.
    pub fn texts_mut(&mut self) -> &mut [T] {
        match self {
            Self::Coded { about, .. } => about,
            Self::Sentence(sentence) => std::slice::from_mut(sentence),
        }
    }

    /// Returns this note with each of its texts converted by `text`.
    pub fn map<U>(&self, text: impl FnMut(&T) -> U) -> Note<U> {
        let mut text = text;
        match self {
            Self::Coded {
                kind,
                reason,
                about,
            } => Note::Coded {
                kind: *kind,
                reason: *reason,
                about: about.iter().map(text).collect(),
            },
            Self::Sentence(sentence) => Note::Sentence(text(sentence)),
        }
    }
}

/// What separates the texts of a note in a recording.
const SEPARATOR: u8 = 0;

impl<T: AsRef<str>> Note<T> {
    /// Number, flags and text of its record in a recording.
    pub fn record(&self) -> (u32, u32, Vec<u8>) {
        let mut text = Vec::new();
        for (index, one) in self.texts().iter().enumerate() {
            if index > 0 {
                text.push(SEPARATOR);
            }
            let bytes = one.as_ref().bytes();
            text.extend(bytes.filter(|&byte| byte != SEPARATOR));
        }
        match self {
            Self::Coded { kind, reason, .. } => (*kind, *reason, text),
            Self::Sentence(_) => (0, 0, text),
        }
    }
}

impl<'a> Note<Cow<'a, str>> {
    /// The note that a record says.
    pub fn read(number: u32, flags: u32, text: &'a [u8]) -> Self {
        let lossy = String::from_utf8_lossy;
        match number {
            0 => Self::Sentence(lossy(text)),
            kind => Self::Coded {
                kind,
                reason: flags,
                about: match text {
                    [] => Vec::new(),
                    text => text.split(|&byte| byte == SEPARATOR).map(lossy).collect(),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let notes = [
            Note::because(
                Kind::NotHooked,
                Reason::TooShort,
                ["take".to_owned(), String::new()],
            ),
            Note::new(Kind::MallocReported, []),
            Note::new(Kind::HookUnmatched, ["größe".to_owned()]),
            Note::Sentence("anything at all".to_owned()),
            Note::Coded {
                kind: 4711,
                reason: 12,
                about: vec!["later".to_owned()],
            },
        ];
        for note in notes {
            let (number, flags, text) = note.record();
            let read = Note::read(number, flags, &text);
            assert_eq!(read.map(|text| text.to_string()), note);
        }
        assert_eq!(Kind::of_code(4711), None);
    }
}
