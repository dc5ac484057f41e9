//! Source lines and inlined functions of a module's addresses, from its DWARF: that of the file itself, or
//! of the debug file that was split from it.
//!
//! All addresses of a module are looked up in one go, so that nothing of the file stays in memory.
//! Of the debug information only the compilation units that hold an address are read. What a compiler put
//! into files of its own (`-gsplit-dwarf`) is not looked for.

use super::bytes::Bytes;
use super::debug_file;
use super::elf::Elf;
use super::object_file::open_checked;
use addr2line::Context;
use gimli::{DwarfSections, EndianSlice, LittleEndian};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A function that contains an address, and where in it the address is: of an inlined function the
/// instruction itself, of its caller the call that was inlined.
pub(crate) struct Located<'a> {
    /// Its symbol; the last one, which is not inlined, has one of its own besides.
    pub(crate) function: Option<&'a [u8]>,
    /// Path of the source file, as the compiler knew it.
    pub(crate) file: Option<&'a str>,
    /// Line in it, from 1.
    pub(crate) line: Option<u32>,
}

/// Tells `found` of each address (SVMA) that functions contain it, innermost first. Of addresses without
/// debug information it is told nothing.
pub(crate) fn locate(
    path: &[u8],
    build_id: &[u8],
    lookups: &[u64],
    mut found: impl FnMut(u64, Located<'_>),
) {
    let Some(bytes) = with_debug_info(path, build_id) else {
        return;
    };
    locate_in(&bytes, lookups, &mut found);
    bytes.let_go_of_memory();
}

/// The file that has the debug information of a module.
fn with_debug_info(path: &[u8], build_id: &[u8]) -> Option<Bytes> {
    let has_it =
        |bytes: &Bytes| Elf::parse(bytes).is_some_and(|elf| elf.section(b".debug_info").is_some());
    let file = open_checked(path, build_id)?;
    if has_it(&file.bytes) {
        return Some(file.bytes);
    }
    debug_file::find_separate(&file).filter(has_it)
}

/// As [`locate`], in bytes that are at hand.
pub(crate) fn locate_in(bytes: &[u8], lookups: &[u64], found: &mut dyn FnMut(u64, Located<'_>)) {
    // The crate checks what it reads, but calculates with it unchecked and here and there takes for granted
    // what another part of the file says. Nothing that it leaves behind is used again.
    let _ = catch_unwind(AssertUnwindSafe(|| read(bytes, lookups, found)));
}

fn read(bytes: &[u8], lookups: &[u64], found: &mut dyn FnMut(u64, Located<'_>)) -> Option<()> {
    let elf = Elf::parse(bytes)?;
    let load =
        |id: gimli::SectionId| Ok::<_, gimli::Error>(elf.unpacked_section(id.name().as_bytes()));
    let sections = DwarfSections::load(load).ok()?;
    let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let context = Context::from_dwarf(dwarf).ok()?;
    for &lookup in lookups {
        let Ok(mut frames) = context.find_frames(lookup).skip_all_loads() else {
            continue;
        };
        while let Ok(Some(frame)) = frames.next() {
            let location = frame.location.as_ref();
            let located = Located {
                function: frame
                    .function
                    .as_ref()
                    .map(|function| function.name.slice()),
                file: location.and_then(|location| location.file),
                line: location
                    .and_then(|location| location.line)
                    .filter(|&line| line != 0),
            };
            found(lookup, located);
        }
    }
    Some(())
}
