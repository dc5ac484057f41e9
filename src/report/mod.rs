//! From a recording to rows: shared by the library's exit report and the tool.

pub(crate) mod csv;
pub(crate) mod rows;
