//! Text for people: escaped, coloured, in tables, within the width of the window.

pub(crate) mod listing;
pub(crate) mod names;
pub(crate) mod paint;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod term;
