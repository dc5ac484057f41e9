//! Skip programs without symbols: their ObStack cannot be found, which the summary says.
//!
//! What is left of the runtime in such a program are its strings.

use memchr::memmem;
use object::elf::{FileHeader64, SHF_EXECINSTR, SHT_PROGBITS, SHT_SYMTAB};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, ReadCache};
use skipheap_format::reader::Recording;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Strings of the runtime, one of which every Skip program has. Runtimes of C: the name of the class
/// that they throw. The first one: a variable of its environment, and names of its classes.
const SIGNS: [&[u8]; 4] = [
    b"N4skip13SkipExceptionE",
    b"SKIP_GC_SQUAWK",
    b"N4skip7Obstack",
    b"SKIP_Obstack_",
];

/// How the names of the functions of the ObStack begin.
const OBSTACK: [&[u8]; 2] = [b"SKIP_Obstack_", b"_ZN4skip7Obstack"];

/// Which programs are Skip programs without symbols, each looked at once.
#[derive(Default)]
pub(crate) struct StrippedPrograms {
    known: HashMap<Vec<u8>, bool>,
}

impl StrippedPrograms {
    /// Returns what is to be said of a recording of such a program.
    pub(crate) fn note(&mut self, recording: &Recording<'_>) -> Option<String> {
        let is_hooked = |name: &[u8]| OBSTACK.iter().any(|start| name.starts_with(start));
        if recording.functions().iter().any(|f| is_hooked(f.name)) {
            return None;
        }
        let exe = recording.exe();
        let is_one = *self.known.entry(exe.to_vec()).or_insert_with(|| {
            is_stripped_skip(Path::new(OsStr::from_bytes(exe))).unwrap_or(false)
        });
        let name = exe.rsplit(|&byte| byte == b'/').next().unwrap_or(exe);
        is_one.then(|| {
            format!(
                "{} is a Skip program without symbols: its ObStack cannot be seen, and its calls are not \
                 counted (build it without strip)",
                name.escape_ascii()
            )
        })
    }
}

/// Returns whether a file is a Skip program without a symbol table; `None` when it cannot be read.
fn is_stripped_skip(path: &Path) -> Option<bool> {
    let file = ReadCache::new(File::open(path).ok()?);
    let header = FileHeader64::<Endianness>::parse(&file).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, &file).ok()?;
    if sections
        .iter()
        .any(|section| section.sh_type(endian) == SHT_SYMTAB)
    {
        return Some(false);
    }
    let is_constant = |section: &&_| {
        let name = sections.section_name(endian, *section).unwrap_or(b"");
        name.starts_with(b".rodata")
            && SectionHeader::sh_type(*section, endian) == SHT_PROGBITS
            && SectionHeader::sh_flags(*section, endian) & u64::from(SHF_EXECINSTR) == 0
    };
    let has_sign = |bytes: &[u8]| SIGNS.iter().any(|sign| memmem::find(bytes, sign).is_some());
    let mut constants = sections.iter().filter(is_constant);
    Some(constants.any(|section| section.data(endian, &file).is_ok_and(has_sign)))
}
