//! What dwz makes of debug information: parts that several units share stand in partial units, or in a
//! file that several modules share (`.gnu_debugaltlink`).

use super::bytes::MappedFile;
use super::debug_file::by_build_id;
use super::elf::Elf;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// DW_TAG_partial_unit.
const PARTIAL_UNIT: u64 = 0x3c;
/// DW_AT_stmt_list.
const STMT_LIST: u64 = 0x10;
/// An attribute that no version of DWARF defines.
const NOTHING: u8 = 0x04;
/// DW_FORM_implicit_const, which has its value in the abbreviation.
const IMPLICIT_CONST: u64 = 0x21;

/// The file that `.gnu_debugaltlink` names, if its build id is the one that is stated there. `near` are the
/// paths of the module and of its debug file; without one no file is looked for.
pub(super) fn shared_file(elf: &Elf<'_>, near: &[PathBuf]) -> Option<MappedFile> {
    let section = elf.section(b".gnu_debugaltlink")?;
    let len = memchr::memchr(0, section)?;
    let (name, build_id) = (section.get(..len)?, section.get(len + 1..)?);
    if near.is_empty() || name.is_empty() || build_id.is_empty() {
        return None;
    }
    let is_it =
        |file: &MappedFile| Elf::parse(&file.bytes).is_some_and(|elf| elf.build_id() == build_id);
    let name = Path::new(OsStr::from_bytes(name));
    near.iter()
        .rev()
        .filter_map(|path| path.parent())
        .find_map(|folder| MappedFile::open(&folder.join(name)).filter(is_it))
        .or_else(|| by_build_id(build_id))
}

/// Abbreviations whose partial units have no line table. The crate takes a unit without addresses of its
/// own for one that holds those of its line table: before DWARF 5 the header does not say that a unit is
/// partial, and its line table is that of a real unit, which would not be found any more.
pub(super) fn without_lines_of_partial_units(mut section: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let mut places = Vec::new();
    // What cannot be read ends the list.
    let _ = find_line_tables(&section, &mut places);
    for place in places {
        if let Some(attribute) = section.to_mut().get_mut(place) {
            *attribute = NOTHING;
        }
    }
    section
}

/// Finds where partial units' attributes for line tables stand.
fn find_line_tables(section: &[u8], places: &mut Vec<usize>) -> Option<()> {
    let mut at = 0;
    while at < section.len() {
        // The end of the abbreviations of a unit.
        if uleb(section, &mut at)? == 0 {
            continue;
        }
        let tag = uleb(section, &mut at)?;
        // Whether it has children.
        at += 1;
        loop {
            let place = at;
            let (name, form) = (uleb(section, &mut at)?, uleb(section, &mut at)?);
            if form == IMPLICIT_CONST {
                uleb(section, &mut at)?;
            }
            if (name, form) == (0, 0) {
                break;
            }
            if tag == PARTIAL_UNIT && name == STMT_LIST && section.get(place) == Some(&0x10) {
                places.push(place);
            }
        }
    }
    Some(())
}

/// Reads a LEB128 number; of a signed one or of one that is too long, only the length counts.
fn uleb(section: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    let mut shift = 0_u32;
    loop {
        let byte = *section.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        shift = shift.saturating_add(7);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
}
