//! Symbol versions of glibc: those that the library needs, and those that a program's C library has.
//!
//! A program whose C library lacks one of them does not start with the library preloaded.

use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::FileHeader;
use object::read::{ReadCache, ReadRef};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How the names of glibc's symbol versions begin.
const PREFIX: &[u8] = b"GLIBC_";

/// A file of the C library that is too old.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooOld {
    /// The file, without links.
    pub(super) file: PathBuf,
    /// The first version that it lacks, as `2.35`.
    pub(super) lacks: String,
}

/// A version that one shared object needs of another.
struct Need {
    /// The other's file name.
    file: Vec<u8>,
    /// The version's name, as `GLIBC_2.17`.
    version: Vec<u8>,
}

/// A release of glibc, as `(2, 17)`.
pub(crate) type Release = (u32, u32);

/// Returns the newest glibc release among the symbol versions that an ELF file needs; `None` where it
/// needs none.
pub(crate) fn newest_needed<'data, R: ReadRef<'data>>(file: R) -> Option<Release> {
    let needs = needs(file)?;
    needs.iter().filter_map(|need| release(&need.version)).max()
}

/// Returns what keeps a shared object from being preloaded into programs of this loader: a file of
/// the C library beside the loader that lacks a version.
///
/// What is not beside the loader cannot be judged and is passed over.
pub(super) fn too_old(object: &[u8], loader: &Path) -> Option<TooOld> {
    let loader = loader.canonicalize().ok()?;
    let mut needs = needs(object)?;
    // So that the message names the newest one.
    needs.sort_by_key(|need| std::cmp::Reverse(release(&need.version)));
    needs.iter().find_map(|need| {
        let file = loader.with_file_name(OsStr::from_bytes(&need.file));
        let defined = defined(&file)?;
        (!defined.contains(&need.version)).then(|| TooOld {
            lacks: String::from_utf8_lossy(
                need.version.strip_prefix(PREFIX).unwrap_or(&need.version),
            )
            .into_owned(),
            file: file.canonicalize().unwrap_or(file),
        })
    })
}

/// Returns the release that a version's name stands for; `None` for names of another form.
fn release(version: &[u8]) -> Option<Release> {
    let numbers = std::str::from_utf8(version.strip_prefix(PREFIX)?).ok()?;
    let mut numbers = numbers.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// Returns the glibc versions that a shared object needs; `None` for what is no such object.
fn needs<'data, R: ReadRef<'data>>(object: R) -> Option<Vec<Need>> {
    let header = FileHeader64::<Endianness>::parse(object).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, object).ok()?;
    let Some((mut files, strings)) = sections.gnu_verneed(endian, object).ok()? else {
        return Some(Vec::new());
    };
    let strings = sections.strings(endian, object, strings).ok()?;
    let mut needs = Vec::new();
    while let Some((file, mut versions)) = files.next().ok()? {
        let name = file.file(endian, strings).ok()?;
        while let Some(version) = versions.next().ok()? {
            let version = version.name(endian, strings).ok()?;
            if version.starts_with(PREFIX) {
                needs.push(Need {
                    file: name.to_vec(),
                    version: version.to_vec(),
                });
            }
        }
    }
    Some(needs)
}

/// Returns the versions that a shared object defines; `None` for a file that is no such object.
fn defined(path: &Path) -> Option<HashSet<Vec<u8>>> {
    let cache = ReadCache::new(File::open(path).ok()?);
    defined_by(&cache)
}

fn defined_by<'data, R: ReadRef<'data>>(file: R) -> Option<HashSet<Vec<u8>>> {
    let header = FileHeader64::<Endianness>::parse(file).ok()?;
    let endian = header.endian().ok()?;
    let sections = header.sections(endian, file).ok()?;
    let (mut versions, strings) = sections.gnu_verdef(endian, file).ok()??;
    let strings = sections.strings(endian, file, strings).ok()?;
    let mut defined = HashSet::new();
    while let Some((_, mut names)) = versions.next().ok()? {
        // The first name is the version's own, the others are those of its predecessors.
        if let Some(name) = names.next().ok()? {
            defined.insert(name.name(endian, strings).ok()?.to_vec());
        }
    }
    Some(defined)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::LIBRARY;
    use std::fs;
    use std::process::Command;

    #[test]
    fn releases_are_compared_as_numbers() {
        assert_eq!(release(b"GLIBC_2.2.5"), Some((2, 2)));
        assert!(release(b"GLIBC_2.9") < release(b"GLIBC_2.17"));
        for other in [&b"GLIBC_PRIVATE"[..], b"GLIBC_ABI_DT_RELR", b"GCC_3.0", b""] {
            assert_eq!(release(other), None);
        }
    }

    #[test]
    fn the_library_needs_a_release_that_this_system_has() {
        let newest = newest_needed(LIBRARY).expect("a release");
        assert!(newest >= (2, 2), "{newest:?}");
        let needs = needs(LIBRARY).expect("an object");
        assert!(needs.iter().any(|need| need.file == b"libc.so.6"));
        assert_eq!(newest_needed(&b"no object"[..]), None);
    }

    /// A folder with a loader and a C library that defines these versions alone.
    fn system(versions: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("loader"), "").expect("written");
        let script: String = versions
            .iter()
            .map(|version| format!("{version} {{}};\n"))
            .collect();
        fs::write(at("versions"), script).expect("written");
        fs::write(at("libc.c"), "int nothing;\n").expect("written");
        let status = Command::new("cc")
            .args(["-shared", "-nostdlib", "-o"])
            .args([at("libc.so.6"), at("libc.c")])
            .arg(format!("-Wl,--version-script={}", at("versions").display()))
            .status();
        assert!(status.expect("cc").success());
        folder
    }

    #[test]
    fn a_c_library_that_lacks_a_version_is_too_old() {
        let old = system(&["GLIBC_2.0", "GLIBC_2.1"]);
        let lacking = too_old(LIBRARY, &old.path().join("loader")).expect("too old");
        assert_eq!(lacking.file, old.path().join("libc.so.6"));
        let of_libc = needs(LIBRARY).expect("an object");
        let of_libc = of_libc.iter().filter(|need| need.file == b"libc.so.6");
        let newest = of_libc
            .max_by_key(|need| release(&need.version))
            .expect("one");
        assert_eq!(
            format!("GLIBC_{}", lacking.lacks).as_bytes(),
            newest.version
        );

        let needs = needs(LIBRARY).expect("an object");
        let versions: Vec<&str> = needs
            .iter()
            .map(|need| std::str::from_utf8(&need.version).expect("a name"))
            .collect();
        let same = system(
            &versions
                .iter()
                .copied()
                .collect::<HashSet<_>>()
                .into_iter()
                .collect::<Vec<_>>(),
        );
        assert_eq!(too_old(LIBRARY, &same.path().join("loader")), None);
    }

    #[test]
    fn what_is_not_there_is_not_judged() {
        let folder = tempfile::tempdir().expect("a folder");
        let loader = folder.path().join("loader");
        assert_eq!(too_old(LIBRARY, &loader), None);
        fs::write(&loader, "").expect("written");
        assert_eq!(too_old(LIBRARY, &loader), None);
        fs::write(folder.path().join("libc.so.6"), "no object").expect("written");
        assert_eq!(too_old(LIBRARY, &loader), None);
    }
}
