//! The notes by which the library tells the tool that a specification of a hook matches nothing,
//! or does after all.

/// What a note says of a specification that matches no function of what is loaded at the start.
pub const UNMATCHED: &str = "no function of that name, or only hooked ones";
/// What a later note says when a library came that has one.
pub const MATCHED_LATER: &str = "found in a library that was loaded later";

/// How such notes begin, for any specification.
pub const ABOUT_A_HOOK: &str = "hook \"";

/// The note that says `what` of the specification with this name.
pub fn note(name: &str, what: &str) -> String {
    format!("{ABOUT_A_HOOK}{}\": {what}", name.escape_debug())
}

/// The beginning of the note that `note` takes back, if it does that.
pub fn taken_back(note: &str) -> Option<String> {
    Some(note.strip_suffix(MATCHED_LATER)?.to_owned() + UNMATCHED)
}
