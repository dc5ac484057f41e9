//! From addresses to names of functions. Used by the library at exit, and when it first sees a
//! module's code; and by the tool.
//!
//! Runs in foreign processes: no panic by design (object files are untrusted input), no
//! thread-locals, no threads, no locks, nothing printed, and no function of libc that calls the
//! program's malloc. May allocate and open files.

#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )
)]

pub(crate) mod bytes;
pub(crate) mod debug_file;
pub(crate) mod demangle;
pub(crate) mod elf;
pub(crate) mod fde;
pub(crate) mod hash;
pub(crate) mod object_file;
pub(crate) mod perf_map;
pub(crate) mod symbols;
pub(crate) mod wrappers;
pub(crate) mod xz;

#[cfg(test)]
mod tests;

use crate::record::reader::Module;
use demangle::{demangle, printable};
use hash::FastMap;
use object_file::ObjectFile;
use perf_map::PerfMap;
use std::rc::Rc;
use symbols::Symbols;

/// Name of code that no object file holds, made at run time. An address would not be the same in
/// the next run.
const UNKNOWN: &str = "[unknown]";

/// Names functions; remembers each file and each name.
pub(crate) struct Symbolizer {
    /// By path, then by build id: a file may be replaced and loaded again.
    modules: FastMap<Vec<u8>, Vec<(Vec<u8>, ModuleNames)>>,
    /// By process id; `None` for processes without a map.
    perf_maps: FastMap<u32, Option<PerfMap>>,
    unknown: Rc<str>,
}

impl Symbolizer {
    /// Knows no file yet.
    pub(crate) fn new() -> Self {
        Self {
            modules: FastMap::default(),
            perf_maps: FastMap::default(),
            unknown: UNKNOWN.into(),
        }
    }

    /// The name of the function that contains an address: never empty.
    ///
    /// `lookup` is the address as stated in the module's file (SVMA); for a return address, one
    /// less. Without a symbol the name is `module+0x1234` with the address of the function's start,
    /// if the unwind information tells it, so that all places in a function have one name; else
    /// with the address looked up.
    pub(crate) fn function(&mut self, module: &Module<'_>, lookup: u64) -> Rc<str> {
        if !self.modules.contains_key(module.path) {
            self.modules.insert(module.path.to_vec(), Vec::new());
        }
        let Some(builds) = self.modules.get_mut(module.path) else {
            return Rc::clone(&self.unknown);
        };
        let known = builds
            .iter_mut()
            .find(|(build_id, _)| build_id == module.build_id);
        if let Some((_, names)) = known {
            return names.function(lookup);
        }
        let mut names =
            ModuleNames::new(module.path, ObjectFile::open(module.path, module.build_id));
        let name = names.function(lookup);
        builds.push((module.build_id.to_vec(), names));
        name
    }

    /// The name of a function that was made at run time, by its absolute address.
    pub(crate) fn made_at_run_time(&mut self, pid: u32, lookup: u64) -> Rc<str> {
        let map = self
            .perf_maps
            .entry(pid)
            .or_insert_with(|| PerfMap::of_process(pid));
        match map.as_ref().and_then(|map| map.find(lookup)) {
            Some((_, name)) => name.into(),
            None => Rc::clone(&self.unknown),
        }
    }
}

/// Names of the functions of one module.
pub(crate) struct ModuleNames {
    /// What names of functions without a symbol begin with.
    label: String,
    file: Option<(ObjectFile, Symbols)>,
    by_symbol: FastMap<u32, Rc<str>>,
    by_start: FastMap<u64, Rc<str>>,
}

impl ModuleNames {
    /// Names by a file, or without one.
    pub(crate) fn new(path: &[u8], file: Option<ObjectFile>) -> Self {
        let name = path.rsplit(|&c| c == b'/').next().unwrap_or(path);
        Self {
            label: if name.is_empty() {
                UNKNOWN.to_owned()
            } else {
                printable(name)
            },
            file: file.map(|file| {
                let symbols = Symbols::new(&file);
                (file, symbols)
            }),
            by_symbol: FastMap::default(),
            by_start: FastMap::default(),
        }
    }

    /// As [`Symbolizer::function`].
    pub(crate) fn function(&mut self, lookup: u64) -> Rc<str> {
        let mut start = lookup;
        if let Some((file, symbols)) = &self.file {
            let found = symbols.find(file, lookup);
            let exact = found.filter(|found| !found.guessed);
            let function = if exact.is_some() {
                None
            } else {
                file.function_start(lookup)
            };
            start = function.unwrap_or(lookup);
            // A symbol without a size reaches up to the next one, but not into a function in
            // between that has no symbol.
            let symbol =
                exact.or(found.filter(|found| function.is_none_or(|start| start <= found.start)));
            if let Some(symbol) = symbol {
                let name = self
                    .by_symbol
                    .entry(symbol.id)
                    .or_insert_with(|| demangle(symbol.name).into());
                return Rc::clone(name);
            }
        }
        let label = &self.label;
        Rc::clone(
            self.by_start
                .entry(start)
                .or_insert_with(|| format!("{label}+{start:#x}").into()),
        )
    }
}
