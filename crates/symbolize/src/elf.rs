//! A view of an ELF file as untrusted input: the few things that naming functions needs.
//!
//! Every read is checked against the file's length; what does not fit is not there. Only 64-bit
//! little-endian files are read, since no others can be loaded into a process that the library
//! supports.

use super::names::{HashTable, Names};
use object::LittleEndian as Le;
use object::elf::{
    ELFCOMPRESS_ZLIB, ELFCOMPRESS_ZSTD, FileHeader64, NT_GNU_BUILD_ID, PT_GNU_EH_FRAME, PT_LOAD,
    ProgramHeader64, SHF_COMPRESSED, SHF_EXECINSTR, SHN_UNDEF, SHT_DYNSYM, SHT_GNU_HASH,
    SHT_NOBITS, SHT_SYMTAB, STB_GLOBAL, STB_WEAK, STT_FUNC, STT_GNU_IFUNC, STT_NOTYPE,
    SectionHeader64, Sym64,
};
use object::pod::bytes_of;
use object::read::elf::{
    CompressionHeader, FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym,
};
use object::read::{CompressedData, CompressionFormat, SectionIndex};
use ruzstd::decoding::StreamingDecoder;
use std::borrow::Cow;
use std::cell::Cell;
use std::io::Read;
use std::ops::Range;

/// An ELF file.
pub struct Elf<'d> {
    data: &'d [u8],
    segments: &'d [ProgramHeader64<Le>],
    sections: SectionTable<'d, FileHeader64<Le>>,
    /// Bytes that compressed sections may still unpack to.
    may_still_unpack: Cell<u64>,
}

/// Most bytes that the compressed sections of a file may unpack to, all together.
const MOST_UNPACKED: u64 = 2 << 30;
/// Most bytes that a section may unpack to for each byte of it. Debug information of real programs
/// unpacks to 2 to 12 times its size; deflate can say 1,032 times, zstd any number.
const MOST_RATIO: u64 = 64;
/// Bytes that any section may unpack to: the ratio of a small one says little.
const ALWAYS_ALLOWED: u64 = 1 << 20;

/// How a function symbol is seen from outside its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Binding {
    /// Exported, or at least meant to be linked against.
    Exported,
    /// Exported, and may be overridden.
    Weak,
    /// Of one source file.
    Local,
}

/// A symbol that may name a function.
#[derive(Clone, Copy, Debug)]
pub struct FunctionSymbol {
    /// First address (SVMA).
    pub start: u64,
    /// Bytes of the function; 0 when the file does not say.
    pub size: u64,
    /// End of the section that holds the function; `start` where it is in none that holds code.
    pub section_end: u64,
    /// How it is seen from outside.
    pub binding: Binding,
    /// A label without a type, as hand-written assembly has.
    pub label: bool,
    /// The function chooses the real one when the program is loaded (IFUNC).
    pub indirect: bool,
    /// Offset of the name in the table's strings.
    pub name: u32,
}

/// A symbol table: its symbols and where its strings lie in the file.
pub struct SymbolTable<'d> {
    symbols: &'d [Sym64<Le>],
    /// Where names are, in bytes from the start of the file.
    pub strings: Range<usize>,
    /// By section index: the end of those that hold code, 0 for others.
    code_ends: Vec<u64>,
    /// The table by which the loader finds names among the symbols; empty without one.
    hash: &'d [u8],
}

impl<'d> Elf<'d> {
    /// `None` when `data` is no ELF file that this can read.
    pub fn parse(data: &'d [u8]) -> Option<Self> {
        let header = FileHeader64::<Le>::parse(data).ok()?;
        if header.is_big_endian() {
            return None;
        }
        // A file may have either kind of header alone.
        let segments = header.program_headers(Le, data).unwrap_or(&[]);
        let sections = header.sections(Le, data).unwrap_or_default();
        Some(Self {
            data,
            segments,
            sections,
            may_still_unpack: Cell::new(MOST_UNPACKED),
        })
    }

    /// The length of a file, computed from its header: up to the end of the section headers, which
    /// come last.
    pub fn len(start: &[u8]) -> Option<usize> {
        let header = FileHeader64::<Le>::parse(start).ok()?;
        let headers = u64::from(header.e_shnum(Le)) * u64::from(header.e_shentsize(Le));
        usize::try_from(header.e_shoff(Le).checked_add(headers)?).ok()
    }

    /// The bytes of a section.
    pub fn section(&self, name: &[u8]) -> Option<&'d [u8]> {
        let (_, section) = self.sections.section_by_name(Le, name)?;
        section.data(Le, self.data).ok()
    }

    /// Returns whether the file has debug information (DWARF), packed or not.
    pub fn has_debug_info(&self) -> bool {
        self.section(b".debug_info").is_some() || self.section(b".zdebug_info").is_some()
    }

    /// The bytes of a section as they were before they were compressed; none where there is no such
    /// section, or it does not unpack.
    pub fn unpacked_section(&self, name: &[u8]) -> Cow<'d, [u8]> {
        let unpacked = match self.sections.section_by_name(Le, name) {
            Some((_, section)) => self.unpack(section),
            None => self.unpacked_gnu_section(name).map(Cow::Owned),
        };
        unpacked.unwrap_or_default()
    }

    /// The bytes of a section, unpacked if they are compressed.
    fn unpack(&self, section: &SectionHeader64<Le>) -> Option<Cow<'d, [u8]>> {
        let Some((header, at, len)) = section.compression(Le, self.data).ok()? else {
            return section.data(Le, self.data).ok().map(Cow::Borrowed);
        };
        let start = usize::try_from(at).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        let data = self.data.get(start..end)?;
        let size = header.ch_size(Le);
        if !self.may_unpack(data.len(), size) {
            return None;
        }
        match header.ch_type(Le) {
            ELFCOMPRESS_ZLIB => {
                let packed = CompressedData {
                    format: CompressionFormat::Zlib,
                    data,
                    uncompressed_size: size,
                };
                packed.decompress().ok()
            }
            ELFCOMPRESS_ZSTD => unpack_zstd(data, size).map(Cow::Owned),
            _ => None,
        }
    }

    /// A file of nothing but this file's section headers and its full symbol table, unpacked; `None` if
    /// that is not compressed. Symbol tables are read in place, and a compressed one has no place.
    pub fn unpacked_symbols(&self) -> Option<Vec<u8>> {
        let (index, symbols) = self
            .sections
            .enumerate()
            .find(|(_, section)| section.sh_type(Le) == SHT_SYMTAB)?;
        let names = SectionIndex(symbols.sh_link(Le) as usize);
        let strings = self.sections.section(names).ok()?;
        if !is_compressed(symbols) && !is_compressed(strings) {
            return None;
        }
        let (symbols, strings) = (self.unpack(symbols)?, self.unpack(strings)?);
        let header_len = size_of::<FileHeader64<Le>>();
        let symbols_at = header_len + self.sections.len() * size_of::<SectionHeader64<Le>>();
        let strings_at = symbols_at + symbols.len();
        let mut header = *FileHeader64::<Le>::parse(self.data).ok()?;
        header.e_shoff.set(Le, header_len as u64);
        header.e_phoff.set(Le, 0);
        header.e_phnum.set(Le, 0);
        let mut file = bytes_of(&header).to_vec();
        for (at, section) in self.sections.enumerate() {
            let mut section = *section;
            let place = match at {
                _ if at == index => Some((symbols_at, symbols.len())),
                _ if at == names => Some((strings_at, strings.len())),
                _ => None,
            };
            match place {
                Some((start, len)) => {
                    let flags = section.sh_flags(Le) & !u64::from(SHF_COMPRESSED);
                    section.sh_flags.set(Le, flags);
                    section.sh_offset.set(Le, start as u64);
                    section.sh_size.set(Le, len as u64);
                }
                // The first one may hold the number of sections.
                None if at.0 == 0 => {}
                None => section.sh_type.set(Le, SHT_NOBITS),
            }
            file.extend_from_slice(bytes_of(&section));
        }
        file.extend_from_slice(&symbols);
        file.extend_from_slice(&strings);
        Some(file)
    }

    /// The bytes of a `.debug_` section that is packed as GNU tools did before ELF had a format for it:
    /// `.zdebug_` in its name, and `ZLIB` and the size before the packed bytes.
    fn unpacked_gnu_section(&self, name: &[u8]) -> Option<Vec<u8>> {
        let packed_name = [b".zdebug_", name.strip_prefix(b".debug_")?].concat();
        let (size, data) = self
            .section(&packed_name)?
            .strip_prefix(b"ZLIB")?
            .split_first_chunk()?;
        let size = u64::from_be_bytes(*size);
        if !self.may_unpack(data.len(), size) {
            return None;
        }
        let packed = CompressedData {
            format: CompressionFormat::Zlib,
            data,
            uncompressed_size: size,
        };
        packed.decompress().ok().map(Cow::into_owned)
    }

    /// Returns whether a section of `packed` bytes is allowed to unpack to `size` bytes, and counts
    /// it towards what the file may unpack to in all.
    fn may_unpack(&self, packed: usize, size: u64) -> bool {
        let most = (packed as u64)
            .saturating_mul(MOST_RATIO)
            .max(ALWAYS_ALLOWED);
        let left = self.may_still_unpack.get();
        let allowed = size <= most.min(left);
        if allowed {
            self.may_still_unpack.set(left - size);
        }
        allowed
    }

    /// The build id; empty when there is none.
    pub fn build_id(&self) -> &'d [u8] {
        let in_sections = self
            .sections
            .iter()
            .filter_map(|section| section.notes(Le, self.data).ok()?);
        let in_segments = self
            .segments
            .iter()
            .filter_map(|segment| segment.notes(Le, self.data).ok()?);
        // A debug file keeps its segments' headers but not their bytes: sections first.
        for mut notes in in_sections.chain(in_segments) {
            while let Ok(Some(note)) = notes.next() {
                if note.name() == b"GNU" && note.n_type(Le) == NT_GNU_BUILD_ID {
                    return note.desc();
                }
            }
        }
        &[]
    }

    /// Name and checksum of the separate debug file.
    pub fn debuglink(&self) -> Option<(&'d [u8], u32)> {
        let section = self.section(b".gnu_debuglink")?;
        let len = memchr::memchr(0, section)?;
        let crc = section
            .get((len + 1).next_multiple_of(4)..)?
            .first_chunk()?;
        Some((section.get(..len)?, u32::from_le_bytes(*crc)))
    }

    /// Whether there is a full symbol table.
    pub fn has_symtab(&self) -> bool {
        self.sections
            .iter()
            .any(|section| section.sh_type(Le) == SHT_SYMTAB && section.sh_size(Le) != 0)
    }

    /// The symbol tables, the full one first.
    pub fn symbol_tables(&self) -> impl Iterator<Item = SymbolTable<'d>> {
        [SHT_SYMTAB, SHT_DYNSYM].into_iter().filter_map(|kind| {
            let (index, section) = self
                .sections
                .enumerate()
                .find(|(_, section)| section.sh_type(Le) == kind)?;
            let strings = self.sections.section(section.link(Le)).ok()?;
            if is_compressed(section) || is_compressed(strings) {
                return None;
            }
            let symbols = section.data_as_array(Le, self.data).ok()?;
            let (offset, size) = strings.file_range(Le)?;
            let start = usize::try_from(offset).ok()?;
            let end = start.checked_add(usize::try_from(size).ok()?)?;
            self.data.get(start..end)?;
            Some(SymbolTable {
                symbols,
                strings: start..end,
                code_ends: self.code_ends(),
                hash: self.hash_of(index),
            })
        })
    }

    /// The GNU hash table of the symbol table that is the section `symbols`; empty without one.
    fn hash_of(&self, symbols: SectionIndex) -> &'d [u8] {
        let section = self
            .sections
            .iter()
            .find(|section| section.sh_type(Le) == SHT_GNU_HASH && section.link(Le) == symbols);
        section
            .and_then(|section| section.data(Le, self.data).ok())
            .unwrap_or(&[])
    }

    fn code_ends(&self) -> Vec<u64> {
        self.sections
            .iter()
            .map(
                |section| match section.sh_flags(Le) & u64::from(SHF_EXECINSTR) {
                    0 => 0,
                    _ => section.sh_addr(Le).saturating_add(section.sh_size(Le)),
                },
            )
            .collect()
    }

    /// Address and bytes of `.eh_frame_hdr`, found as an unwinder finds it: without sections.
    pub fn eh_frame_hdr(&self) -> Option<(u64, &'d [u8])> {
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.p_type(Le) == PT_GNU_EH_FRAME)?;
        Some((segment.p_vaddr(Le), segment.data(Le, self.data).ok()?))
    }

    /// The bytes that are loaded at an address, to the end of their segment.
    pub fn loaded_at(&self, address: u64) -> Option<&'d [u8]> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type(Le) == PT_LOAD)
            .find_map(|segment| {
                let offset = usize::try_from(address.checked_sub(segment.p_vaddr(Le))?).ok()?;
                segment
                    .data(Le, self.data)
                    .ok()?
                    .get(offset..)
                    .filter(|bytes| !bytes.is_empty())
            })
    }
}

fn is_compressed(section: &SectionHeader64<Le>) -> bool {
    section.sh_flags(Le) & u64::from(SHF_COMPRESSED) != 0
}

/// Unpacks zstd frames that hold `size` bytes together; `None` when they hold less or more.
fn unpack_zstd(mut packed: &[u8], size: u64) -> Option<Vec<u8>> {
    let mut unpacked = Vec::new();
    while !packed.is_empty() {
        let left = size.checked_sub(unpacked.len() as u64)?;
        let frame = StreamingDecoder::new(&mut packed).ok()?;
        // One byte more than there may be tells a frame that holds too much.
        frame.take(left + 1).read_to_end(&mut unpacked).ok()?;
    }
    (unpacked.len() as u64 == size).then_some(unpacked)
}

impl SymbolTable<'_> {
    /// The symbols that may name functions.
    pub fn functions(&self) -> impl Iterator<Item = FunctionSymbol> {
        self.symbols
            .iter()
            .filter_map(|symbol| self.function(symbol))
    }

    /// The symbols that may name functions, of those whose name is `likely`. It is shown the string
    /// table of `data` from the name on.
    pub fn likely_functions(
        &self,
        data: &[u8],
        mut likely: impl FnMut(&[u8]) -> bool,
    ) -> impl Iterator<Item = FunctionSymbol> {
        let strings = data.get(self.strings.clone()).unwrap_or(&[]);
        self.symbols
            .iter()
            .filter(move |symbol| likely(strings.get(symbol.st_name(Le) as usize..).unwrap_or(&[])))
            .filter_map(|symbol| self.function(symbol))
    }

    /// The symbols with one of these names that may name functions, in the table's order; `None`
    /// where no hash table leads to them.
    pub fn named(&self, data: &[u8], names: &Names) -> Option<Vec<FunctionSymbol>> {
        let hash = HashTable::parse(self.hash)?;
        let mut found = Vec::new();
        for name in names.list() {
            hash.each(name.hash, |index| {
                let symbol = self.symbols.get(index)?;
                if name_at(data, &self.strings, symbol.st_name(Le)) == name.text {
                    found.push(index);
                }
                Some(())
            });
        }
        found.sort_unstable();
        found.dedup();
        let symbols = found
            .into_iter()
            .filter_map(|index| self.symbols.get(index));
        Some(symbols.filter_map(|symbol| self.function(symbol)).collect())
    }

    fn function(&self, symbol: &Sym64<Le>) -> Option<FunctionSymbol> {
        let section = symbol.st_shndx(Le);
        let start = symbol.st_value(Le);
        let size = symbol.st_size(Le);
        let kind = symbol.st_type();
        if !matches!(kind, STT_FUNC | STT_GNU_IFUNC | STT_NOTYPE)
            || section == SHN_UNDEF
            || start == 0
        {
            return None;
        }
        let section_end = self
            .code_ends
            .get(usize::from(section))
            .copied()
            .unwrap_or(0)
            .max(start);
        let label = kind == STT_NOTYPE;
        // A label in data, or the mark of a section's end.
        if section_end == start && (label || size == 0) {
            return None;
        }
        let binding = match symbol.st_bind() {
            STB_GLOBAL => Binding::Exported,
            STB_WEAK => Binding::Weak,
            // Unique symbols of C++ are exported as well.
            object::elf::STB_GNU_UNIQUE => Binding::Exported,
            _ => Binding::Local,
        };
        Some(FunctionSymbol {
            start,
            size,
            section_end,
            binding,
            label,
            indirect: kind == STT_GNU_IFUNC,
            name: symbol.st_name(Le),
        })
    }
}

/// A name in a symbol table's strings: up to its NUL, without a symbol version.
pub fn name_at<'d>(data: &'d [u8], strings: &Range<usize>, offset: u32) -> &'d [u8] {
    let bytes = strings
        .start
        .checked_add(offset as usize)
        .and_then(|start| data.get(start..strings.end))
        .unwrap_or(&[]);
    let end = memchr::memchr2(0, b'@', bytes).unwrap_or(0);
    bytes.get(..end).unwrap_or(&[])
}
