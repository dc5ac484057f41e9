//! What a count of losses or of cut stacks is about, as a file says it.

/// A code of [`crate::loss::Loss`] or of [`crate::cut::Cut`]; which of the two, the place says where it
/// stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Cause<T> {
    /// The code. One that a later version has given is kept.
    Code(u32),
    /// A sentence of a file that has no codes, where no code is known for it. It counts as a loss like
    /// any other.
    Sentence(T),
}

impl<T> Cause<T> {
    /// Returns this cause with its text converted by `text`.
    pub fn map<U>(self, text: impl FnOnce(T) -> U) -> Cause<U> {
        match self {
            Self::Code(code) => Cause::Code(code),
            Self::Sentence(sentence) => Cause::Sentence(text(sentence)),
        }
    }
}
