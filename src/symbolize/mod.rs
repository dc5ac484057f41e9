//! From addresses to names of functions. Used by the library once, at exit, and by the tool.
//!
//! Runs in foreign processes: no panic by design (object files are untrusted input), no
//! thread-locals, no threads, nothing printed.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub(crate) mod debug_file;
pub(crate) mod demangle;
pub(crate) mod hash;
pub(crate) mod object_file;
pub(crate) mod symbols;
pub(crate) mod wrappers;

use crate::record::reader::Module;
use demangle::{demangle, printable};
use hash::FastMap;
use object_file::ObjectFile;
use std::rc::Rc;

/// Name of code that no object file holds (made at run time). An address would not be the same in
/// the next run.
const UNKNOWN: &str = "[unknown]";

/// Names functions; remembers each file and each name.
pub(crate) struct Symbolizer {
    /// By path and build id.
    files: FastMap<(Vec<u8>, Vec<u8>), usize>,
    known: Vec<Known>,
    unknown: Rc<str>,
}

struct Known {
    file: Option<ObjectFile>,
    /// What names of functions without a symbol begin with.
    label: String,
    /// By the function's first address.
    names: FastMap<u64, Rc<str>>,
}

impl Symbolizer {
    /// Knows no file yet.
    pub(crate) fn new() -> Self {
        Self {
            files: FastMap::default(),
            known: Vec::new(),
            unknown: UNKNOWN.into(),
        }
    }

    /// The name of the function that contains an address: never empty.
    ///
    /// `lookup` is the address as stated in the module's file; for a return address, one less.
    /// Without a symbol the name is `module+0x1234` with the address of the function's start, if
    /// the unwind information tells it, so that all places in a function have one name.
    pub(crate) fn function(&mut self, module: Option<&Module<'_>>, lookup: u64) -> Rc<str> {
        let Some(module) = module else {
            return Rc::clone(&self.unknown);
        };
        let index = self.file_index(module);
        match self.known.get_mut(index) {
            Some(known) => known.function(lookup),
            None => Rc::clone(&self.unknown),
        }
    }

    fn file_index(&mut self, module: &Module<'_>) -> usize {
        let key = (module.path.to_vec(), module.build_id.to_vec());
        let known = &mut self.known;
        *self.files.entry(key).or_insert_with(|| {
            let name = module
                .path
                .rsplit(|&c| c == b'/')
                .next()
                .unwrap_or(module.path);
            let label = if name.is_empty() {
                "[unnamed]".to_owned()
            } else {
                printable(name)
            };
            known.push(Known {
                file: ObjectFile::open(module.path, module.build_id),
                label,
                names: FastMap::default(),
            });
            known.len() - 1
        })
    }
}

impl Known {
    fn function(&mut self, lookup: u64) -> Rc<str> {
        let symbol = self
            .file
            .as_ref()
            .and_then(|file| file.symbols().find(lookup));
        let start = match &symbol {
            Some(symbol) => symbol.start,
            None => self
                .file
                .as_ref()
                .and_then(|file| file.function_start(lookup))
                .unwrap_or(lookup),
        };
        let label = &self.label;
        let name = self.names.entry(start).or_insert_with(|| {
            match symbol
                .map(|symbol| demangle(symbol.name))
                .filter(|name| !name.is_empty())
            {
                Some(name) => name.into(),
                None => format!("{label}+{start:#x}").into(),
            }
        });
        Rc::clone(name)
    }
}
