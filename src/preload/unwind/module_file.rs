//! Finds the file that a module was loaded from, whether it is still at its path, was renamed, or
//! was removed and is still mapped.
//!
//! Runs in cold sections: when a module is first seen, because its file is most likely still in
//! place then, and at the end of the process for names.

use super::modules::Found;
use crate::settings::settings;
use crate::{reach, sys};
use skipheap_symbolize::bytes::{Bytes, MappedFile};
use skipheap_symbolize::elf::Elf;
use skipheap_symbolize::object_file::{ObjectFile, is_of_module};
use skipheap_symbolize::{FileId, ObjectId};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The suffix that the kernel adds to the path of a file that was removed or replaced.
const DELETED: &[u8] = b" (deleted)";
/// Where system packages install their files, which are assumed to stay in place during a run.
const OF_THE_SYSTEM: [&[u8]; 5] = [b"/usr/", b"/lib/", b"/lib64/", b"/bin/", b"/sbin/"];
/// The size limit for a file that is copied from memory.
const LONGEST_COPY: usize = 256 << 20;

/// A module's file.
pub(crate) struct ModuleFile<'p> {
    /// Its path: absolute, and without a suffix of the kernel's.
    pub(crate) path: Cow<'p, [u8]>,
    /// `None` if there is no way to open it.
    pub(crate) file: Option<MappedFile>,
}

/// Finds the file of a module that the loader calls `path`.
pub(crate) fn find<'p>(found: &Found, path: &'p [u8], build_id: &[u8]) -> ModuleFile<'p> {
    let path = Cow::Borrowed(path);
    // Names that the loader invents, such as that of the vDSO, are not paths.
    if !path.contains(&b'/') {
        return ModuleFile { path, file: None };
    }
    if path.starts_with(b"/") && !build_id.is_empty() {
        let file = open(&path).filter(|file| is_build(file, build_id));
        if file.is_some() {
            return ModuleFile { path, file };
        }
    }
    let maps = fs::read("/proc/self/maps").unwrap_or_default();
    let Some(mapping) = mappings(&maps).find(|mapping| mapping.holds(found.start)) else {
        return ModuleFile { path, file: None };
    };
    let path = match path.strip_suffix(DELETED) {
        None if path.starts_with(b"/") => path,
        _ => Cow::Owned(mapping.path_before_removal().to_vec()),
    };
    let file = mapping.open();
    ModuleFile {
        path,
        file: file.filter(|file| build_id.is_empty() || is_build(file, build_id)),
    }
}

/// Returns whether the file that was loaded as a module is no longer at its path.
pub(crate) fn is_gone(module: &ObjectId<'_>) -> bool {
    let path = Path::new(OsStr::from_bytes(module.path));
    let at_path = path.metadata().map(|metadata| FileId::of(&metadata));
    module.file.is_some() && at_path.ok() != module.file
}

/// Opens the file of a mapped module that is no longer at its path, so that names can be read from
/// it.
pub(crate) fn find_mapped(module: &ObjectId<'_>) -> Option<MappedFile> {
    let maps = fs::read("/proc/self/maps").ok()?;
    let is_it = |mapping: &Mapping<'_>| {
        let has_inode = module.file.is_some_and(|file| file.inode == mapping.inode);
        has_inode || mapping.path_before_removal() == module.path
    };
    mappings(&maps)
        .filter(|mapping| mapping.offset == 0)
        .filter(is_it)
        .find_map(|mapping| {
            let mut file = mapping.open()?;
            if let (Some(copy), Some(loaded)) = (file.id(), module.file)
                && copy.is_of_copy()
                && copy.inode == loaded.inode
                && copy.size == loaded.size
            {
                // The mapped file is the one that was loaded.
                file = MappedFile::of_memory(file.bytes, loaded);
            }
            is_of_module(&file, module).then_some(file)
        })
}

impl ModuleFile<'_> {
    /// Sends the file to the tool, if there is one, in case it is gone when the tool looks up
    /// names.
    pub(crate) fn hand_over(&self, build_id: &[u8]) {
        let is_of_the_system = OF_THE_SYSTEM
            .iter()
            .any(|folder| self.path.starts_with(folder));
        if settings().session.get().is_empty() || (is_of_the_system && !build_id.is_empty()) {
            return;
        }
        let Some(file) = &self.file else { return };
        let Some(id) = file.id() else { return };
        if let Some(fd) = file.descriptor() {
            reach::hand_over(fd, id);
        } else {
            // Contents that were copied from memory are not in a file.
            let fd = sys::memory_file();
            if fd >= 0 {
                if sys::write_all(fd, &file.bytes) {
                    reach::hand_over(fd, id);
                }
                sys::close(fd);
            }
        }
    }

    /// The identity of the file, or `None` if it could not be opened.
    pub(crate) fn id(&self) -> Option<FileId> {
        self.file.as_ref()?.id()
    }

    /// The file with its symbols.
    pub(crate) fn into_object(self) -> Option<ObjectFile> {
        self.file.map(ObjectFile::of_file)
    }
}

fn open(path: &[u8]) -> Option<MappedFile> {
    let file = MappedFile::open(Path::new(OsStr::from_bytes(path)))?;
    Elf::parse(&file.bytes)?;
    Some(file)
}

fn is_build(file: &MappedFile, build_id: &[u8]) -> bool {
    Elf::parse(&file.bytes).is_some_and(|elf| elf.build_id() == build_id)
}

/// A mapped part of a file: a line of `/proc/self/maps`.
struct Mapping<'m> {
    /// Its first and last address, as the kernel writes them.
    range: &'m str,
    start: u64,
    end: u64,
    is_constant: bool,
    offset: u64,
    device: u64,
    inode: u64,
    path: &'m [u8],
}

/// The mapped parts of files in a text in the format of `/proc/self/maps`.
fn mappings(maps: &[u8]) -> impl Iterator<Item = Mapping<'_>> {
    maps.split(|&c| c == b'\n').filter_map(mapping)
}

fn mapping(line: &[u8]) -> Option<Mapping<'_>> {
    let path = line.get(memchr::memchr(b'/', line)?..)?;
    let mut words = str::from_utf8(line.get(..line.len() - path.len())?)
        .ok()?
        .split_ascii_whitespace();
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let range = words.next()?;
    let (start, end) = range.split_once('-')?;
    let rights = words.next()?;
    let offset = hex(words.next()?)?;
    let (major, minor) = words.next()?.split_once(':')?;
    Some(Mapping {
        range,
        start: hex(start)?,
        end: hex(end)?,
        is_constant: rights == "r--p",
        offset,
        device: libc::makedev(hex(major)? as u32, hex(minor)? as u32),
        inode: words.next()?.parse().ok()?,
        path,
    })
}

/// Returns whether no page of the range is anonymous or locked, according to a text in the format
/// of `/proc/self/smaps`.
fn is_as_in_file(smaps: &str, range: &str) -> bool {
    let mut lines = smaps.lines().skip_while(|line| {
        line.strip_prefix(range)
            .is_none_or(|rest| !rest.starts_with(' '))
    });
    let fields = lines.by_ref().skip(1).map_while(|line| {
        let (name, value) = line.split_once(':')?;
        // The next mapping starts with its range.
        (!name.contains(' ')).then_some((name, value.trim()))
    });
    let none =
        fields.filter(|(name, value)| matches!(*name, "Anonymous" | "Locked") && *value == "0 kB");
    none.count() == 2
}

impl Mapping<'_> {
    fn holds(&self, address: u64) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// The path that the file had before it was removed or replaced.
    fn path_before_removal(&self) -> &[u8] {
        self.path.strip_suffix(DELETED).unwrap_or(self.path)
    }

    /// Opens the mapped file itself, not another one that may now be at its path.
    fn open(&self) -> Option<MappedFile> {
        open(self.path)
            .or_else(|| self.open_executable())
            // This needs a privilege that the process may lack.
            .or_else(|| open(format!("/proc/self/map_files/{}", self.range).as_bytes()))
            .or_else(|| self.copy())
    }

    fn open_executable(&self) -> Option<MappedFile> {
        let executable = "/proc/self/exe";
        let link = fs::read_link(executable).ok()?;
        if link.as_os_str().as_bytes() != self.path {
            return None;
        }
        open(executable.as_bytes())
    }

    /// Returns whether the whole part equals the file and may be read from it again: no page was
    /// changed (by relocations, a patch or a debugger), and none is locked.
    fn is_as_in_file(&self) -> bool {
        fs::read_to_string("/proc/self/smaps").is_ok_and(|smaps| is_as_in_file(&smaps, self.range))
    }

    /// Copies the whole file through a mapped part of it that cannot be written to.
    fn copy(&self) -> Option<MappedFile> {
        if !self.is_constant || self.offset != 0 || !self.is_as_in_file() {
            return None;
        }
        let start = self.start as usize;
        let len = (self.end - self.start) as usize;
        // SAFETY: the part is mapped, constant and the start of an object that stays loaded.
        let part = unsafe { core::slice::from_raw_parts(start as *const u8, len) };
        let whole = Elf::len(part).filter(|&whole| whole <= LONGEST_COPY)?;
        let copied = sys::read_mapped_file(start, len, whole)?;
        // The kernel reports nothing else about a file without a path.
        let id = FileId {
            device: self.device,
            inode: self.inode,
            size: whole as u64,
            modified_ns: 0,
        };
        Elf::parse(&copied)?;
        Some(MappedFile::of_memory(Bytes::Owned(copied), id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_removed_is_found_by_its_mapping() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("part");
        // The test uses its own executable in place of a library.
        fs::copy("/proc/self/exe", &path).expect("copied");
        let file = MappedFile::open(&path).expect("it");
        let build = Elf::parse(&file.bytes).expect("a file").build_id().to_vec();
        let id = file.id();
        fs::remove_file(&path).expect("removed");
        let module = ObjectId {
            path: path.as_os_str().as_bytes(),
            build_id: &build,
            file: id,
        };
        assert!(open(module.path).is_none(), "it is gone");
        let found = find_mapped(&module);
        let found = found.and_then(|file| file.id());
        // The kernel may refuse to open it; then only its start is mapped for reading.
        assert!(
            found.is_none() || found == id || found.is_some_and(|found| found.modified_ns == 0)
        );
        let maps = fs::read("/proc/self/maps").expect("the mappings");
        let mapping = mappings(&maps)
            .find(|mapping| mapping.path_before_removal() == module.path)
            .expect("the mapping");
        assert!(mapping.path.ends_with(DELETED));
        assert_eq!(Some(mapping.inode), id.map(|id| id.inode));
        assert_eq!(mapping.offset, 0);
    }

    #[test]
    fn a_file_is_copied_by_the_part_that_is_mapped() {
        let maps = fs::read("/proc/self/maps").expect("the mappings");
        let mapping = mappings(&maps)
            .find(|mapping| mapping.path.ends_with(b"/libc.so.6") && mapping.offset == 0)
            .expect("the mapping");
        let whole = fs::read(OsStr::from_bytes(mapping.path)).expect("read");
        let copied = mapping.copy().expect("copied");
        assert!(*copied.bytes == whole[..copied.bytes.len()]);
        assert!(whole.len() - copied.bytes.len() < 4096);
        assert!(mapping.is_constant && mapping.holds(mapping.start));
    }

    #[test]
    fn what_was_changed_or_locked_is_not_read_from_the_file_again() {
        let smaps = "7f10-7f20 r--p 00000000 fe:01 1 /a\nAnonymous:             0 kB\nLocked: 0 kB\n\
                     7f20-7f30 r--p 00000000 fe:01 2 /b\nAnonymous:             4 kB\nLocked: 0 kB\n\
                     7f30-7f40 r--p 00000000 fe:01 3 /c\nAnonymous:             0 kB\nLocked: 4 kB\n\
                     7f40-7f50 r--p 00000000 fe:01 4 /d\nRss: 0 kB\n";
        let of = |range| is_as_in_file(smaps, range);
        assert!(of("7f10-7f20"));
        for other in ["7f20-7f30", "7f30-7f40", "7f40-7f50", "7f10-7f2", "1-2"] {
            assert!(!of(other), "{other}");
        }
    }

    #[test]
    fn lines_without_a_file_are_none() {
        let line = b"7f00-7f10 r--p 00001000 fe:01 123    /a path/of it (deleted)";
        let found = mapping(line).expect("a mapping");
        assert_eq!(
            (found.start, found.end, found.offset),
            (0x7f00, 0x7f10, 0x1000)
        );
        assert_eq!((found.inode, found.is_constant), (123, true));
        assert_eq!(found.path_before_removal(), b"/a path/of it");
        assert!(mapping(b"7f00-7f10 rw-p 00000000 00:00 0   [heap]").is_none());
        assert!(mapping(b"").is_none());
    }
}
