//! The allocation wrappers of one module.
//!
//! Of nearly all globs one can tell by a look at a mangled name that it is no match, so that the
//! ranges of the matching functions are found when the module is met. Of the others ("every
//! `operator` of a class") one cannot, and to demangle all of a module's names takes seconds; so
//! these are compared with the functions that turn up in stacks, when they do.

use super::demangle::demangle;
use super::elf::name_at;
use super::object_file::{ObjectFile, StringsAt};
use super::wrappers::matches;
use std::sync::Arc;

/// Which functions of a module are wrappers.
#[derive(Default)]
pub struct ModuleWrappers {
    /// Address ranges (SVMA, end exclusive), sorted and disjoint.
    pub(super) ranges: Vec<(u64, u64)>,
    pub(super) by_name: Option<ByName>,
}

impl ModuleWrappers {
    /// Returns whether the address lies in one of them.
    pub fn contains(&self, address: u64) -> bool {
        let next = self.ranges.partition_point(|range| range.0 <= address);
        let range = next.checked_sub(1).and_then(|i| self.ranges.get(i));
        range.is_some_and(|range| address < range.1)
            || self
                .by_name
                .as_ref()
                .is_some_and(|names| names.contains(address))
    }
}

/// The functions of a module by address, and the globs that their names are compared with.
pub struct ByName {
    globs: Arc<[Vec<u8>]>,
    file: ObjectFile,
    strings: Vec<StringsAt>,
    /// Sorted by start.
    functions: Vec<Function>,
}

struct Function {
    start: u64,
    end: u64,
    /// Largest end of the functions up to this one, to know where a search backwards ends.
    reach: u64,
    name: u32,
    /// Index into [`ByName::strings`].
    strings: u32,
}

impl ByName {
    /// Sorts the functions of a file; those without a size are none.
    pub(super) fn new(file: ObjectFile, globs: Arc<[Vec<u8>]>) -> Self {
        let mut strings = Vec::new();
        let mut functions = Vec::new();
        file.function_tables(|at, symbols| {
            let index = strings.len() as u32;
            strings.push(at);
            functions.extend(
                symbols
                    .filter(|symbol| symbol.size != 0)
                    .map(|symbol| Function {
                        start: symbol.start,
                        end: symbol.start.saturating_add(symbol.size),
                        reach: 0,
                        name: symbol.name,
                        strings: index,
                    }),
            );
        });
        functions.sort_unstable_by_key(|function| function.start);
        let mut reach = 0;
        for function in &mut functions {
            reach = function.end.max(reach);
            function.reach = reach;
        }
        file.let_go_of_memory();
        Self {
            globs,
            file,
            strings,
            functions,
        }
    }

    fn contains(&self, address: u64) -> bool {
        let behind = self
            .functions
            .partition_point(|function| function.start <= address);
        let before = self.functions.get(..behind).unwrap_or(&[]);
        before
            .iter()
            .rev()
            .take_while(|function| function.reach > address)
            .filter(|function| function.end > address)
            .any(|function| self.is_match(function))
    }

    fn is_match(&self, function: &Function) -> bool {
        let Some(at) = self.strings.get(function.strings as usize) else {
            return false;
        };
        let symbol = name_at(self.file.source(at.source), &at.range, function.name);
        let name = demangle(symbol);
        self.globs.iter().any(|glob| matches(glob, name.as_bytes()))
    }
}
