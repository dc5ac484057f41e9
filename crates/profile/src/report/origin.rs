//! Where a site's allocations come from, beyond its four names: file, line, module, function, thread.

use std::rc::Rc;

/// What tells rows with the same names and size apart, where all columns are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Source file of the innermost frame: of the function inlined there, if there is one.
    pub file: Option<Rc<str>>,
    /// Line in it.
    pub line: Option<u32>,
    /// Path of the object file of the innermost frame.
    pub module: Option<Rc<str>>,
    /// The allocation function that was called.
    pub allocator: Option<Rc<str>>,
    /// Name of the thread that allocated.
    pub thread: Option<Rc<str>>,
}
