//! Source lines and inlined functions of a module's addresses, from its DWARF: that of the file itself, or
//! of the debug file that was split from it, with what these two keep in further files.
//!
//! All addresses of a module are looked up in one go, so that nothing of the file stays in memory.
//! Only those compilation units are read that hold an address.

use super::bytes::MappedFile;
use super::debug_file;
use super::dwarf_names::{QualifiedNames, Slice};
use super::dwz;
use super::elf::Elf;
use super::hash::FastMap;
use super::identity::ObjectId;
use super::object_file::open_checked;
use super::split_dwarf::{SplitFiles, needed};
use addr2line::{Context, LookupContinuation, LookupResult, SplitDwarfLoad};
use gimli::{Dwarf, DwarfSections, EndianSlice, LittleEndian, SectionId};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

/// A function that contains an address, and where in it the address is: of an inlined function the
/// instruction itself, of its caller the call that was inlined.
pub struct Located<'a> {
    /// Its symbol, or its name with its namespaces and classes where the compiler wrote no symbol.
    pub function: Option<&'a [u8]>,
    /// Path of the source file, as the compiler knew it.
    pub file: Option<&'a str>,
    /// Line in it, from 1.
    pub line: Option<u32>,
}

/// Tells `found` of each address (SVMA) that functions contain it, innermost first. Of addresses without
/// debug information it is told nothing.
pub fn locate(module: &ObjectId<'_>, lookups: &[u64], mut found: impl FnMut(u64, Located<'_>)) {
    let Some((file, near)) = with_debug_info(module) else {
        return;
    };
    guarded(&file.bytes, &near, lookups, &mut found);
    file.bytes.let_go_of_memory();
}

/// Finds the symbols or qualified names of the functions that contain the addresses (SVMA) and are not
/// inlined. Functions that the debug information does not name are left out.
pub fn outer_names(module: &ObjectId<'_>, lookups: &[u64]) -> FastMap<u64, Vec<u8>> {
    let mut names: FastMap<u64, Vec<u8>> = FastMap::default();
    locate(module, lookups, |lookup, located| {
        // The outermost function comes last.
        match located.function {
            Some(name) if !name.is_empty() => names.insert(lookup, name.to_vec()),
            _ => names.remove(&lookup),
        };
    });
    names
}

/// The file that has the debug information of a module, and the paths beside which its further files lie.
fn with_debug_info(id: &ObjectId<'_>) -> Option<(MappedFile, Vec<PathBuf>)> {
    let has_it =
        |file: &MappedFile| Elf::parse(&file.bytes).is_some_and(|elf| elf.has_debug_info());
    let module = open_checked(id).ok()?;
    let mut near = vec![PathBuf::from(OsStr::from_bytes(id.path))];
    near.extend(module.real_path());
    if has_it(&module) {
        return Some((module, near));
    }
    let separate = debug_file::find_separate(&module).filter(has_it)?;
    near.extend(separate.real_path());
    Some((separate, near))
}

/// As [`locate`], in bytes that are at hand. No further file is opened.
pub fn locate_in(bytes: &[u8], lookups: &[u64], found: &mut dyn FnMut(u64, Located<'_>)) {
    guarded(bytes, &[], lookups, found);
}

fn guarded(
    bytes: &[u8],
    near: &[PathBuf],
    lookups: &[u64],
    found: &mut dyn FnMut(u64, Located<'_>),
) {
    // The crate checks what it reads, but calculates with it unchecked and here and there takes for granted
    // what another part of the file says. Nothing that it leaves behind is used again.
    let _ = catch_unwind(AssertUnwindSafe(|| read(bytes, near, lookups, found)));
}

fn read(
    bytes: &[u8],
    near: &[PathBuf],
    lookups: &[u64],
    found: &mut dyn FnMut(u64, Located<'_>),
) -> Option<()> {
    let elf = Elf::parse(bytes)?;
    let sections = load(&elf)?;
    let shared = dwz::shared_file(&elf, near);
    let shared_elf = shared.as_ref().and_then(|shared| Elf::parse(&shared.bytes));
    let shared_sections = shared_elf.as_ref().and_then(load);
    let dwarf = || {
        let mut dwarf = sections.borrow(|section| slice(section));
        if let Some(shared) = &shared_sections {
            dwarf.set_sup(shared.borrow(|section| slice(section)));
        }
        dwarf
    };
    let context = Context::from_dwarf(dwarf()).ok()?;
    let needed = match near {
        [] => Vec::new(),
        _ => needed(&context, lookups),
    };
    if needed.is_empty() {
        tell(&context, lookups, |_| None, found);
        return Some(());
    }
    drop(context);
    let files = SplitFiles::open(needed, near);
    let sections = files.sections();
    let package = sections.package();
    let context = Context::from_dwarf(dwarf()).ok()?;
    let load = |load: &SplitDwarfLoad<_>| sections.find(package.as_ref(), load);
    tell(&context, lookups, load, found);
    Some(())
}

/// The sections of debug information, unpacked and as the crate can read them.
fn load<'d>(elf: &Elf<'d>) -> Option<DwarfSections<Cow<'d, [u8]>>> {
    let section = |id: SectionId| {
        let section = elf.unpacked_section(id.name().as_bytes());
        Ok::<_, gimli::Error>(match id {
            SectionId::DebugAbbrev => dwz::without_lines_of_partial_units(section),
            _ => section,
        })
    };
    DwarfSections::load(section).ok()
}

/// A section as the crates read it.
pub(super) fn slice(section: &[u8]) -> Slice<'_> {
    EndianSlice::new(section, LittleEndian)
}

fn tell<'s>(
    context: &Context<Slice<'s>>,
    lookups: &[u64],
    load: impl Fn(&SplitDwarfLoad<Slice<'s>>) -> Option<Arc<Dwarf<Slice<'s>>>>,
    found: &mut dyn FnMut(u64, Located<'_>),
) {
    let mut names = QualifiedNames::default();
    for &lookup in lookups {
        let mut result = context.find_frames(lookup);
        let frames = loop {
            match result {
                LookupResult::Output(frames) => break frames,
                LookupResult::Load {
                    load: wanted,
                    continuation,
                } => result = continuation.resume(load(&wanted)),
            }
        };
        let Ok(mut frames) = frames else {
            continue;
        };
        while let Ok(Some(frame)) = frames.next() {
            let location = frame.location.as_ref();
            let symbol = frame
                .function
                .as_ref()
                .map(|function| function.name.slice());
            let unit = || match context.find_dwarf_and_unit(lookup) {
                LookupResult::Output(unit) => unit,
                LookupResult::Load { .. } => None,
            };
            let qualified = match (symbol, frame.dw_die_offset) {
                (Some(symbol), Some(offset)) if !is_mangled(symbol) => {
                    unit().and_then(|unit| names.of(unit, offset))
                }
                _ => None,
            };
            let located = Located {
                function: qualified.as_deref().or(symbol),
                file: location.and_then(|location| location.file),
                line: location
                    .and_then(|location| location.line)
                    .filter(|&line| line != 0),
            };
            found(lookup, located);
        }
    }
}

fn is_mangled(symbol: &[u8]) -> bool {
    symbol.starts_with(b"_Z") || symbol.starts_with(b"_R")
}
