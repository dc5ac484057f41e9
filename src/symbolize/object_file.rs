//! An ELF file on disk as untrusted input: its symbols and where its functions start.

use super::debug_file;
use super::symbols::{Data, RawSymbol, Symbols};
use gimli::{BaseAddresses, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, UnwindSection};
use memmap2::Mmap;
use object::elf::{STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE};
use object::read::elf::ElfFile64;
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolFlags};
use std::ffi::OsStr;
use std::fs::File;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

type Elf<'d> = ElfFile64<'d, object::LittleEndian>;

/// A module's file and the symbols that were found for it, there and in separate debug files.
pub(crate) struct ObjectFile {
    symbols: Symbols,
    unwind: Option<UnwindSections>,
}

/// Maps a file for reading.
pub(crate) fn map(path: &Path) -> Option<Mmap> {
    let file = File::open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    // SAFETY: the mapping is private and read-only; installed object files are replaced, not
    // written to. (One that is cut while it is read would fault: the price of not copying files of
    // hundreds of megabytes.)
    unsafe { Mmap::map(&file) }.ok()
}

/// Parses an ELF file for this machine.
pub(crate) fn parse(bytes: &[u8]) -> Option<Elf<'_>> {
    Elf::parse(bytes).ok()
}

/// The files that describe a module: its own first, then those with more symbols. Empty when the
/// file is not there, not an ELF file, or not the one that was loaded (its build id differs).
pub(crate) fn sources(path: &[u8], build_id: &[u8]) -> Vec<Data> {
    let path = Path::new(OsStr::from_bytes(path));
    let Some(bytes) = map(path) else {
        return Vec::new();
    };
    let Some(elf) = parse(&bytes) else {
        return Vec::new();
    };
    let found = elf.build_id().ok().flatten().unwrap_or(&[]);
    if !build_id.is_empty() && found != build_id {
        return Vec::new();
    }
    let more = if elf.section_by_name(".symtab").is_some() {
        Vec::new()
    } else {
        debug_file::find(path, &bytes, build_id)
    };
    let mut all: Vec<Data> = vec![Box::new(bytes)];
    all.extend(more);
    all
}

impl ObjectFile {
    /// Opens a module's file; `None` as [`sources`] says.
    pub(crate) fn open(path: &[u8], build_id: &[u8]) -> Option<Self> {
        Self::from_sources(sources(path, build_id))
    }

    /// From the bytes of the module's file, and of further files with its symbols.
    pub(crate) fn from_sources(sources: Vec<Data>) -> Option<Self> {
        let unwind = UnwindSections::find(sources.first()?);
        let mut symbols = Symbols::default();
        for data in sources {
            symbols.add(data, read_symbols);
        }
        symbols.finish();
        Some(Self { symbols, unwind })
    }

    /// The function symbols.
    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Where the function that contains an address starts, by the unwind information.
    pub(crate) fn function_start(&self, address: u64) -> Option<u64> {
        self.unwind
            .as_ref()?
            .function_start(self.symbols.bytes()?, address)
    }
}

/// Where the unwind information lies: each section's address and its bytes in the file.
struct UnwindSections {
    hdr: (u64, Range<usize>),
    frame: (u64, Range<usize>),
}

impl UnwindSections {
    fn find(bytes: &[u8]) -> Option<Self> {
        let elf = parse(bytes)?;
        let place = |name| {
            let section = elf.section_by_name(name)?;
            let (offset, len) = section.file_range()?;
            let start = usize::try_from(offset).ok()?;
            let end = start.checked_add(usize::try_from(len).ok()?)?;
            bytes.get(start..end)?;
            Some((section.address(), start..end))
        };
        Some(Self {
            hdr: place(".eh_frame_hdr")?,
            frame: place(".eh_frame")?,
        })
    }

    fn function_start(&self, bytes: &[u8], address: u64) -> Option<u64> {
        let bases = BaseAddresses::default()
            .set_eh_frame_hdr(self.hdr.0)
            .set_eh_frame(self.frame.0);
        let hdr = EhFrameHdr::new(bytes.get(self.hdr.1.clone())?, LittleEndian)
            .parse(&bases, 8)
            .ok()?;
        let section: EhFrame<EndianSlice<'_, LittleEndian>> =
            EhFrame::new(bytes.get(self.frame.1.clone())?, LittleEndian);
        let gimli::Pointer::Direct(at) = hdr.table()?.lookup(address, &bases).ok()? else {
            return None;
        };
        let offset = gimli::EhFrameOffset(usize::try_from(at.checked_sub(self.frame.0)?).ok()?);
        let cie =
            |section: &EhFrame<_>, bases: &BaseAddresses, at| section.cie_from_offset(bases, at);
        let fde = section.fde_from_offset(&bases, offset, cie).ok()?;
        fde.contains(address).then(|| fde.initial_address())
    }
}

/// Hands each function symbol of an ELF file to `add`.
pub(crate) fn read_symbols(bytes: &[u8], add: &mut dyn FnMut(RawSymbol<'_>)) {
    let Some(elf) = parse(bytes) else {
        return;
    };
    // End of each executable section, by its index.
    let mut executable = Vec::new();
    for section in elf.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
            continue;
        };
        if sh_flags & u64::from(object::elf::SHF_EXECINSTR) != 0 {
            let index = section.index().0;
            if executable.len() <= index {
                executable.resize(index + 1, 0);
            }
            if let Some(end) = executable.get_mut(index) {
                *end = section.address().saturating_add(section.size());
            }
        }
    }
    for symbol in elf.symbols().chain(elf.dynamic_symbols()) {
        let SymbolFlags::Elf { st_info, .. } = symbol.flags() else {
            continue;
        };
        let kind = st_info & 0xf;
        let section_end = symbol
            .section_index()
            .and_then(|index| executable.get(index.0))
            .copied()
            .unwrap_or(0);
        // Labels of hand-written assembly have no type.
        let is_function =
            matches!(kind, STT_FUNC | STT_GNU_IFUNC) || (kind == STT_NOTYPE && section_end != 0);
        if !is_function || symbol.is_undefined() {
            continue;
        }
        let Ok(name) = symbol.name_bytes() else {
            continue;
        };
        add(RawSymbol {
            start: symbol.address(),
            size: symbol.size(),
            section_end,
            name,
            global: symbol.is_global(),
        });
    }
}
