//! A module's object file together with the file that has its symbols, if that is another one.

use super::bytes::{Bytes, MappedFile};
use super::debug_file;
use super::elf::{Elf, FunctionSymbol, name_at};
use super::fde;
use super::identity::ObjectId;
use super::names::Names;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;

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
    /// # Errors
    /// When the file that was loaded is not there: symbols of one that replaced it would be lies.
    pub fn open(module: &ObjectId<'_>) -> Result<Self, Missing> {
        open_checked(module).map(Self::of_file)
    }

    /// Of an open file, and of the debug file that was split from it.
    pub fn of_file(file: MappedFile) -> Self {
        let has_symtab = Elf::parse(&file.bytes).is_some_and(|elf| elf.has_symtab());
        let debug = match has_symtab {
            true => None,
            false => debug_file::find(&file),
        };
        Self::new(std::iter::once(file.bytes).chain(debug).collect())
    }

    /// As [`Self::open`], without a look for a debug file.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_alone(module: &ObjectId<'_>) -> Result<Self, Missing> {
        open_checked(module).map(|file| Self::new(vec![file.bytes]))
    }

    /// Of bytes that are at hand: the file that was loaded first, then what has more symbols of it.
    pub fn new(mut sources: Vec<Bytes>) -> Self {
        let unpacked = |bytes: &Bytes| Elf::parse(bytes)?.unpacked_symbols();
        let unpacked: Vec<_> = sources.iter().filter_map(unpacked).collect();
        sources.extend(unpacked.into_iter().map(Bytes::Owned));
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

/// Why a module has no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Missing {
    /// The module never was a file: the kernel or a JIT made it.
    NeverAFile,
    /// Nothing is at its path.
    Gone,
    /// What is at its path cannot be opened, or is no ELF file.
    Unreadable,
    /// Another build, or another file, is at its path.
    Replaced,
}

/// Opens the file of a module that is not at its path.
pub type OpenElsewhere = fn(&ObjectId<'_>) -> Option<MappedFile>;

/// Where files are looked for that are not at their paths; set once for the whole process.
static ELSEWHERE: OnceLock<OpenElsewhere> = OnceLock::new();

/// Has files that are not at their paths opened by `open`. Only the first call counts.
pub fn look_elsewhere(open: OpenElsewhere) {
    let _ = ELSEWHERE.set(open);
}

/// The file that was loaded as a module: at its path, or elsewhere.
///
/// # Errors
/// Why the file at the path is not it, when it is not elsewhere either.
pub fn open_checked(module: &ObjectId<'_>) -> Result<MappedFile, Missing> {
    open_at_path(module).or_else(|missing| {
        let open = ELSEWHERE.get().ok_or(missing)?;
        open(module)
            .filter(|file| is_of_module(file, module))
            .ok_or(missing)
    })
}

fn open_at_path(module: &ObjectId<'_>) -> Result<MappedFile, Missing> {
    // Names that the loader makes up, such as that of the vDSO, are no paths.
    if !module.path.contains(&b'/') {
        return Err(Missing::NeverAFile);
    }
    let path = Path::new(OsStr::from_bytes(module.path));
    let Some(file) = MappedFile::open(path) else {
        let is_gone = path
            .symlink_metadata()
            .is_err_and(|error| error.kind() == ErrorKind::NotFound);
        return Err(match is_gone {
            true => Missing::Gone,
            false => Missing::Unreadable,
        });
    };
    match Elf::parse(&file.bytes) {
        None => Err(Missing::Unreadable),
        Some(_) if !is_of_module(&file, module) => Err(Missing::Replaced),
        Some(_) => Ok(file),
    }
}

/// Returns whether a file is the one that was loaded: by the build id, or by what identifies files
/// where there is none. A module of which neither is known is believed.
pub fn is_of_module(file: &MappedFile, module: &ObjectId<'_>) -> bool {
    let Some(elf) = Elf::parse(&file.bytes) else {
        return false;
    };
    match (module.build_id, module.file) {
        ([], None) => true,
        ([], Some(loaded)) => file.id() == Some(loaded),
        (build_id, _) => elf.build_id() == build_id,
    }
}
