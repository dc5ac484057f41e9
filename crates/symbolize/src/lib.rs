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
// What a failing test prints is for its author.
#![cfg_attr(test, allow(clippy::disallowed_methods))]

pub mod bytes;
pub mod code_map;
pub mod debug_file;
pub mod demangle;
pub mod dwarf;
mod dwarf_names;
mod dwz;
pub mod elf;
pub mod fde;
mod foreign_file;
pub mod hash;
mod identity;
pub mod jit_dump;
pub mod module_wrappers;
pub mod names;
pub mod object_file;
pub mod perf_map;
pub mod places;
mod split_dwarf;
pub mod symbols;
pub mod wanted;
pub mod wrappers;
pub mod xz;

#[cfg(test)]
mod tests;

use code_map::CodeMap;
use demangle::demangle;
use hash::FastMap;
pub use identity::{Build, FileId, ObjectId, Origin};
use object_file::{Missing, ObjectFile};
use skipheap_text::printable;
use std::rc::Rc;
use symbols::find_all;

/// Name of code that no object file holds, made at run time. An address would not be the same in
/// the next run.
const UNKNOWN: &str = "[unknown]";

/// Names functions; remembers each file and each name.
pub struct Symbolizer {
    /// By path, then by build: a file may be replaced and loaded again.
    modules: FastMap<Vec<u8>, Vec<(Build, ModuleNames)>>,
    /// `None` for processes without a map.
    perf_maps: FastMap<Origin, Option<CodeMap>>,
    /// By path and process; `None` for those that cannot be read.
    jit_dumps: FastMap<(Vec<u8>, Origin), Option<CodeMap>>,
    unknown: Rc<str>,
    /// No further files are opened.
    is_hurried: bool,
    debug_names: Option<DebugNames>,
}

/// Finds the symbols or qualified names of functions in the debug information of a module, by addresses
/// (SVMA).
pub type DebugNames = fn(&ObjectId<'_>, &[u64]) -> FastMap<u64, Vec<u8>>;

impl Default for Symbolizer {
    fn default() -> Self {
        Self::new()
    }
}

impl Symbolizer {
    /// Knows no file yet.
    pub fn new() -> Self {
        Self {
            modules: FastMap::default(),
            perf_maps: FastMap::default(),
            jit_dumps: FastMap::default(),
            unknown: UNKNOWN.into(),
            is_hurried: false,
            debug_names: None,
        }
    }

    /// Functions that have no symbol get the names that the debug information has for them.
    /// (The library, which must be small and quick at a program's end, does without.)
    pub fn with_debug_names(mut self) -> Self {
        self.debug_names = Some(dwarf::outer_names);
        self
    }

    /// From here on no further files are opened: functions of other modules have no names.
    pub fn hurry(&mut self) {
        self.is_hurried = true;
    }

    /// The name of the function that contains an address: never empty.
    ///
    /// `lookup` is the address as stated in the module's file (SVMA); for a return address, one
    /// less. Without a symbol the name is `module+0x1234` with the address of the function's start,
    /// if the unwind information tells it, so that all places in a function have one name; else
    /// with the address looked up.
    pub fn function(&mut self, origin: &Origin, module: &ObjectId<'_>, lookup: u64) -> Rc<str> {
        if jit_dump::process_of(module.path).is_some() {
            return self.in_dump(module.path, origin, lookup);
        }
        self.in_file(module, lookup)
    }

    /// As [`Self::function`], of a module that is a file and no JIT's dump.
    pub fn in_file(&mut self, module: &ObjectId<'_>, lookup: u64) -> Rc<str> {
        match self.names_of(module) {
            Some(names) => names.function(lookup),
            None => Rc::clone(&self.unknown),
        }
    }

    /// Finds the names for these addresses of a module at once, which takes little more time than
    /// to find one of them.
    pub fn prepare(&mut self, module: &ObjectId<'_>, lookups: Vec<u64>) {
        if jit_dump::process_of(module.path).is_none()
            && let Some(names) = self.names_of(module)
        {
            names.prepare(lookups);
        }
    }

    /// The modules whose functions have no names because their files are missing, by path, and why they
    /// are missing. Modules that never were files are left out.
    pub fn missing_files(&self) -> Vec<MissingFile<'_>> {
        let mut missing = Vec::new();
        for (path, builds) in &self.modules {
            let of_path = builds.iter().filter_map(|(build, names)| {
                let why = names.missing.filter(|&why| why != Missing::NeverAFile)?;
                Some(MissingFile { path, build, why })
            });
            missing.extend(of_path);
        }
        missing.sort_unstable();
        missing
    }

    /// Takes over names that another symbolizer has found for these addresses of a module.
    pub fn learn(&mut self, module: &ObjectId<'_>, found: impl Iterator<Item = (u64, Rc<str>)>) {
        if let Some(names) = self.names_of(module) {
            names.by_address.extend(found);
        }
    }

    fn names_of(&mut self, module: &ObjectId<'_>) -> Option<&mut ModuleNames> {
        if !self.modules.contains_key(module.path) {
            self.modules.insert(module.path.to_vec(), Vec::new());
        }
        let builds = self.modules.get_mut(module.path)?;
        let build = module.build();
        let known = builds.iter().position(|(known, _)| *known == build);
        let index = known.unwrap_or(builds.len());
        if known.is_none() {
            let opened = (!self.is_hurried).then(|| ObjectFile::open(module));
            let missing = opened.as_ref().and_then(|opened| opened.as_ref().err());
            let missing = missing.copied();
            let mut names = ModuleNames::new(module.path, opened.and_then(Result::ok));
            names.missing = missing;
            if !self.is_hurried
                && let Some(find) = self.debug_names
            {
                names.use_debug_names(module, find);
            }
            builds.push((build, names));
        }
        builds.get_mut(index).map(|(_, names)| names)
    }

    /// The name of a function that was made at run time by a JIT that dumps its code.
    fn in_dump(&mut self, path: &[u8], origin: &Origin, lookup: u64) -> Rc<str> {
        let dump = self
            .jit_dumps
            .entry((path.to_vec(), *origin))
            .or_insert_with(|| jit_dump::open(path, origin))
            .as_ref();
        match dump.and_then(|dump| dump.find(lookup)) {
            Some((_, name)) => Rc::clone(name),
            // Another JIT of the program may leave a map.
            None => self.made_at_run_time(origin, lookup),
        }
    }

    /// The name of a function that was made at run time, by its absolute address.
    pub fn made_at_run_time(&mut self, origin: &Origin, lookup: u64) -> Rc<str> {
        let map = self
            .perf_maps
            .entry(*origin)
            .or_insert_with(|| perf_map::of_process(origin));
        match map.as_ref().and_then(|map| map.find(lookup)) {
            Some((_, name)) => Rc::clone(name),
            None => Rc::clone(&self.unknown),
        }
    }
}

/// A module whose file is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingFile<'s> {
    /// Its path.
    pub path: &'s [u8],
    /// Which of the files that were at this path.
    pub build: &'s Build,
    /// Why it is missing.
    pub why: Missing,
}

/// Names of the functions of one module.
pub struct ModuleNames {
    /// What names of functions without a symbol begin with.
    label: String,
    file: Option<ObjectFile>,
    by_address: FastMap<u64, Rc<str>>,
    by_start: FastMap<u64, Rc<str>>,
    debug_names: Option<DebugNamesOf>,
    /// Why there is no file.
    missing: Option<Missing>,
}

/// Where a module's names in debug information come from.
struct DebugNamesOf {
    path: Vec<u8>,
    build_id: Vec<u8>,
    file: Option<FileId>,
    find: DebugNames,
}

impl ModuleNames {
    /// Names by a file, or without one.
    pub fn new(path: &[u8], file: Option<ObjectFile>) -> Self {
        let name = path.rsplit(|&c| c == b'/').next().unwrap_or(path);
        Self {
            label: if name.is_empty() {
                UNKNOWN.to_owned()
            } else {
                printable(name)
            },
            file,
            by_address: FastMap::default(),
            by_start: FastMap::default(),
            debug_names: None,
            missing: None,
        }
    }

    /// Functions that have no symbol get the names that `find` has for them.
    fn use_debug_names(&mut self, module: &ObjectId<'_>, find: DebugNames) {
        self.debug_names = Some(DebugNamesOf {
            path: module.path.to_vec(),
            build_id: module.build_id.to_vec(),
            file: module.file,
            find,
        });
    }

    /// As [`Symbolizer::function`].
    pub fn function(&mut self, lookup: u64) -> Rc<str> {
        if !self.by_address.contains_key(&lookup) {
            self.prepare(vec![lookup]);
        }
        match self.by_address.get(&lookup) {
            Some(name) => Rc::clone(name),
            None => UNKNOWN.into(),
        }
    }

    /// Finds the names for these addresses, all at once: each time the file's symbols are gone
    /// through from the first to the last.
    pub fn prepare(&mut self, mut lookups: Vec<u64>) {
        lookups.retain(|lookup| !self.by_address.contains_key(lookup));
        if lookups.is_empty() {
            return;
        }
        lookups.sort_unstable();
        lookups.dedup();
        let Some(file) = self.file.take() else {
            for lookup in lookups {
                let name = self.by_label(lookup);
                self.by_address.insert(lookup, name);
            }
            return;
        };
        let mut by_symbol: FastMap<&[u8], Rc<str>> = FastMap::default();
        let mut nameless: Vec<(u64, u64)> = Vec::new();
        let found = find_all(&file, &lookups);
        for (lookup, found) in lookups.into_iter().zip(found) {
            let exact = found.filter(|found| !found.guessed);
            let function = if exact.is_some() {
                None
            } else {
                file.function_start(lookup)
            };
            // A symbol without a size reaches up to the next one, but not into a function in
            // between that has no symbol.
            let symbol =
                exact.or(found.filter(|found| function.is_none_or(|start| start <= found.start)));
            let name = match symbol {
                Some(symbol) => Rc::clone(
                    by_symbol
                        .entry(symbol.name)
                        .or_insert_with(|| demangle(symbol.name).into()),
                ),
                None => {
                    nameless.push((lookup, function.unwrap_or(lookup)));
                    continue;
                }
            };
            self.by_address.insert(lookup, name);
        }
        drop(by_symbol);
        self.name_by_debug_info(&nameless);
        file.let_go_of_memory();
        self.file = Some(file);
    }

    /// Names addresses without a symbol, each of which stands beside the start of its function.
    fn name_by_debug_info(&mut self, nameless: &[(u64, u64)]) {
        let found = match &self.debug_names {
            Some(of) if !nameless.is_empty() => {
                let lookups: Vec<u64> = nameless.iter().map(|&(lookup, _)| lookup).collect();
                let module = ObjectId {
                    path: &of.path,
                    build_id: &of.build_id,
                    file: of.file,
                };
                (of.find)(&module, &lookups)
            }
            _ => FastMap::default(),
        };
        for &(lookup, start) in nameless {
            let name = match found.get(&lookup) {
                Some(name) => demangle(name).into(),
                None => self.by_label(start),
            };
            self.by_address.insert(lookup, name);
        }
    }

    /// The name of a function without a symbol.
    fn by_label(&mut self, start: u64) -> Rc<str> {
        let label = &self.label;
        let name = self
            .by_start
            .entry(start)
            .or_insert_with(|| format!("{label}+{start:#x}").into());
        Rc::clone(name)
    }
}
