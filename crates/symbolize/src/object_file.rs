//! A module's object file together with the file that has its symbols, if that is another one.

use super::bytes::{Bytes, MappedFile};
use super::debug_file;
use super::elf::{Elf, FunctionSymbol, name_at};
use super::fde;
use super::names::Names;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The bytes that describe a module: the file that was loaded first, then the separate debug file.
pub struct ObjectFile {
    sources: Vec<Bytes>,
}

/// Which strings a symbol's name is in.
#[derive(Clone, Debug)]
pub struct StringsAt {
    /// Index into `ObjectFile::sources`.
    pub source: usize,
    /// Bytes of the source.
    pub range: Range<usize>,
}

/// Symbols after which the memory of their names is given back: some megabytes of names.
const BLOCK: usize = 1 << 14;

impl ObjectFile {
    /// Opens a module's file.
    ///
    /// `None` when it is not there, is no ELF file, or not the one that was loaded, because its
    /// build id is another: symbols of a file that was replaced would be lies. A module without a
    /// recorded build id is believed.
    pub fn open(path: &[u8], build_id: &[u8]) -> Option<Self> {
        let file = open_checked(path, build_id)?;
        let debug = if Elf::parse(&file.bytes)?.has_symtab() {
            None
        } else {
            debug_file::find(&file)
        };
        Some(Self::new(
            std::iter::once(file.bytes).chain(debug).collect(),
        ))
    }

    /// As [`Self::open`], without a look for a debug file.
    pub fn open_alone(path: &[u8], build_id: &[u8]) -> Option<Self> {
        open_checked(path, build_id).map(|file| Self::new(vec![file.bytes]))
    }

    /// Of bytes that are at hand: the file that was loaded first, then what has more symbols of it.
    pub fn new(sources: Vec<Bytes>) -> Self {
        Self { sources }
    }

    /// The bytes of a source.
    pub fn source(&self, index: usize) -> &[u8] {
        self.sources.get(index).map_or(&[], |bytes| bytes)
    }

    /// The tables of function symbols, the full ones first where there are several in a source.
    pub fn function_tables(
        &self,
        mut table: impl FnMut(StringsAt, &mut dyn Iterator<Item = FunctionSymbol>),
    ) {
        for (source, bytes) in self.sources.iter().enumerate() {
            let Some(elf) = Elf::parse(bytes) else {
                continue;
            };
            for symbols in elf.symbol_tables() {
                let strings = StringsAt {
                    source,
                    range: symbols.strings.clone(),
                };
                table(strings, &mut symbols.functions());
            }
        }
    }

    /// Calls `found` with the functions whose names are `likely`, which is shown what follows in the
    /// string table from a name on.
    pub fn likely_functions(
        &self,
        likely: impl Fn(&[u8]) -> bool,
        mut found: impl FnMut(FunctionSymbol, &[u8]),
    ) {
        for bytes in &self.sources {
            let Some(elf) = Elf::parse(bytes) else {
                continue;
            };
            for symbols in elf.symbol_tables() {
                let mut count = 0;
                let likely = |name: &[u8]| {
                    count += 1;
                    if count % BLOCK == 0 {
                        self.let_go_of_memory();
                    }
                    likely(name)
                };
                for symbol in symbols.likely_functions(bytes, likely) {
                    found(symbol, name_at(bytes, &symbols.strings, symbol.name));
                }
            }
        }
    }

    /// Calls `found` with the functions of these names, table by table.
    pub fn named_functions(&self, names: &Names, mut found: impl FnMut(FunctionSymbol, &[u8])) {
        for bytes in &self.sources {
            let Some(elf) = Elf::parse(bytes) else {
                continue;
            };
            for symbols in elf.symbol_tables() {
                let mut each = |symbol: FunctionSymbol| {
                    let name = name_at(bytes, &symbols.strings, symbol.name);
                    if names.list().iter().any(|known| known.text == name) {
                        found(symbol, name);
                    }
                };
                match symbols.named(bytes, names) {
                    Some(symbols) => symbols.into_iter().for_each(each),
                    None => symbols
                        .likely_functions(bytes, |text| names.may_begin(text))
                        .for_each(&mut each),
                }
            }
        }
    }

    /// Gives back the memory of what was read; it can be read again.
    pub fn let_go_of_memory(&self) {
        self.sources.iter().for_each(Bytes::let_go_of_memory);
    }

    /// Where the function that contains an address starts, by the unwind information.
    pub fn function_start(&self, address: u64) -> Option<u64> {
        // Debug files have no unwind information of their own.
        fde::function_start(self.source(0), address)
    }
}

/// The file of a module, if it is the one that was loaded.
pub fn open_checked(path: &[u8], build_id: &[u8]) -> Option<MappedFile> {
    // Names that the loader makes up, such as that of the vDSO, are no paths.
    if !path.contains(&b'/') {
        return None;
    }
    let file = MappedFile::open(Path::new(OsStr::from_bytes(path)))?;
    let elf = Elf::parse(&file.bytes)?;
    if !build_id.is_empty() && elf.build_id() != build_id {
        return None;
    }
    Some(file)
}
