//! Debug information that a compiler wrote into files of its own (`-gsplit-dwarf`, cargo's
//! `split-debuginfo`): a `.dwo` file for each compilation unit, or a `.dwp` package of them beside the
//! module.

use super::bytes::{Bytes, MappedFile};
use super::dwarf::slice;
use super::dwarf_names::Slice;
use super::elf::Elf;
use super::hash::FastMap;
use addr2line::{Context, SplitDwarfLoad};
use gimli::{
    DebugInfo, Dwarf, DwarfPackage, DwarfPackageSections, DwarfSections, DwoId, EndianSlice,
    LittleEndian, Section, SectionId,
};
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A `.dwo` file that a unit names.
pub(super) struct Needed {
    id: u64,
    folder: PathBuf,
    name: PathBuf,
}

/// The files that units with looked-up addresses need, each once.
pub(super) fn needed(context: &Context<Slice<'_>>, lookups: &[u64]) -> Vec<Needed> {
    let mut needed: FastMap<u64, Needed> = FastMap::default();
    let path = |text: Option<Slice<'_>>| {
        PathBuf::from(OsStr::from_bytes(text.map_or(&[], |text| text.slice())))
    };
    for &lookup in lookups {
        for (load, _) in context.preload_units(lookup) {
            needed.entry(load.dwo_id.0).or_insert_with(|| Needed {
                id: load.dwo_id.0,
                folder: path(load.comp_dir),
                name: path(load.path),
            });
        }
    }
    needed.into_values().collect()
}

/// The files that were found.
pub(super) struct SplitFiles {
    package: Option<Bytes>,
    files: Vec<(u64, Bytes)>,
}

impl SplitFiles {
    /// Opens the package of the module, and the files that units name. `near` are the paths of the module
    /// and of its debug file.
    pub(super) fn open(needed: Vec<Needed>, near: &[PathBuf]) -> Self {
        let package = near.iter().find_map(|path| {
            let mut package = OsString::from(path);
            package.push(".dwp");
            open(Path::new(&package), b".debug_cu_index")
        });
        let file = |needed: Needed| {
            let bytes = candidates(&needed, near)
                .iter()
                .find_map(|path| open(path, b".debug_info.dwo"))?;
            Some((needed.id, bytes))
        };
        Self {
            package,
            files: needed.into_iter().filter_map(file).collect(),
        }
    }

    /// Their sections, unpacked.
    pub(super) fn sections(&self) -> SplitSections<'_> {
        SplitSections {
            package: match &self.package {
                Some(bytes) => load_package(bytes),
                None => None,
            },
            files: self
                .files
                .iter()
                .filter_map(|(id, bytes)| Some((*id, load(bytes)?)))
                .collect(),
        }
    }
}

/// A regular file that has this section.
fn open(path: &Path, section: &[u8]) -> Option<Bytes> {
    let bytes = MappedFile::open(path)?.bytes;
    Elf::parse(&bytes)?.section(section)?;
    Some(bytes)
}

fn load_package(bytes: &Bytes) -> Option<DwarfPackageSections<Cow<'_, [u8]>>> {
    let elf = Elf::parse(bytes)?;
    DwarfPackageSections::load(|id| section(&elf, id)).ok()
}

fn load(bytes: &Bytes) -> Option<DwarfSections<Cow<'_, [u8]>>> {
    let elf = Elf::parse(bytes)?;
    DwarfSections::load(|id| section(&elf, id)).ok()
}

fn section<'d>(elf: &Elf<'d>, id: SectionId) -> gimli::Result<Cow<'d, [u8]>> {
    let name = id.dwo_name().unwrap_or_default();
    Ok(elf.unpacked_section(name.as_bytes()))
}

/// Where a `.dwo` file may be: where the compiler wrote it, or beside the module.
fn candidates(needed: &Needed, near: &[PathBuf]) -> Vec<PathBuf> {
    let written = needed.folder.join(&needed.name);
    let mut candidates = Vec::new();
    // An absolute name or folder replaces what it is joined to. A relative one is no matter of the
    // folder that the tool happens to run in.
    for folder in near.iter().filter_map(|path| path.parent()) {
        candidates.push(folder.join(&written));
        candidates.push(folder.join(&needed.name));
        candidates.extend(needed.name.file_name().map(|name| folder.join(name)));
    }
    candidates
}

/// The sections of the files that were found.
pub(super) struct SplitSections<'d> {
    package: Option<DwarfPackageSections<Cow<'d, [u8]>>>,
    files: Vec<(u64, DwarfSections<Cow<'d, [u8]>>)>,
}

impl SplitSections<'_> {
    /// The package with its index read.
    pub(super) fn package(&self) -> Option<DwarfPackage<Slice<'_>>> {
        let empty = EndianSlice::new(&[], LittleEndian);
        let sections = self.package.as_ref()?;
        sections.borrow(|section| slice(section), empty).ok()
    }

    /// The debug information of a unit.
    pub(super) fn find<'s>(
        &'s self,
        package: Option<&DwarfPackage<Slice<'s>>>,
        load: &SplitDwarfLoad<Slice<'s>>,
    ) -> Option<Arc<Dwarf<Slice<'s>>>> {
        let in_package =
            package.and_then(|package| package.find_cu(load.dwo_id, &load.parent).ok()?);
        let in_file = || {
            let (_, sections) = self.files.iter().find(|(id, _)| *id == load.dwo_id.0)?;
            let mut dwarf = sections.borrow(|section| slice(section));
            dwarf.make_dwo(&load.parent);
            Some(dwarf)
        };
        let dwarf = in_package.or_else(in_file)?;
        only_unit(dwarf, load.dwo_id).map(Arc::new)
    }
}

/// Debug information without units other than that of this id: type units may come before it. `None`
/// where the id is not there, because the file was compiled anew.
fn only_unit(mut dwarf: Dwarf<Slice<'_>>, id: DwoId) -> Option<Dwarf<Slice<'_>>> {
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let start = header.debug_info_offset().map_or(0, |at| at.0);
        let end = start.checked_add(header.length_including_self())?;
        let is_it = dwarf.unit(header).is_ok_and(|unit| unit.dwo_id == Some(id));
        if is_it {
            let unit = dwarf.debug_info.reader().slice().get(start..end)?;
            dwarf.debug_info = DebugInfo::from(EndianSlice::new(unit, LittleEndian));
            return Some(dwarf);
        }
    }
    None
}
