//! Other copies of the library that would be loaded into the program as well, and count the same
//! calls once more.

use memchr::memmem;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Lists what the loader preloads into every program.
pub(crate) const SYSTEM: &str = "/etc/ld.so.preload";

/// Larger files are not looked at.
const MOST_BYTES: u64 = 1 << 26;
/// What each version of the library holds.
const MARKS: [&[u8]; 2] = [b"SKIP_HEAP_PROFILE", b"heap profiler: "];
/// What those hold that leave the counting to the copy in front of them.
const YIELDS: &[u8] = b"skipheap: the first copy serves";

/// Tells the copies in a list of libraries from the rest of it, which the loader takes as it stands.
pub(crate) fn apart(list: &OsStr) -> (Vec<PathBuf>, OsString) {
    let (copies, rest): (Vec<&[u8]>, Vec<&[u8]>) = entries(list.as_bytes())
        .partition(|entry| is_copy(Path::new(OsStr::from_bytes(entry))).is_some());
    let copies = copies.into_iter();
    let copies = copies
        .map(|entry| OsStr::from_bytes(entry).into())
        .collect();
    (copies, OsString::from_vec(rest.join(&b':')))
}

/// A copy in [`SYSTEM`], and whether it leaves the counting to one in front of it.
pub(crate) fn of_the_system() -> Option<(PathBuf, bool)> {
    let list = fs::read(SYSTEM).ok()?;
    entries(&list).find_map(|entry| {
        let path = Path::new(OsStr::from_bytes(entry));
        Some((path.to_owned(), is_copy(path)?))
    })
}

fn entries(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b':' || byte.is_ascii_whitespace())
        .filter(|entry| !entry.is_empty())
}

/// Whether a copy of the library leaves the counting to one in front of it; `None` of anything else.
fn is_copy(path: &Path) -> Option<bool> {
    let data = path.metadata().ok()?;
    if !data.is_file() || data.len() > MOST_BYTES {
        return None;
    }
    let bytes = fs::read(path).ok()?;
    let has = |text: &[u8]| memmem::find(&bytes, text).is_some();
    (bytes.starts_with(b"\x7fELF") && MARKS.into_iter().all(has)).then(|| has(YIELDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_told_from_other_libraries() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let marks = [b"\x7fELF", MARKS[0], MARKS[1]].concat();
        fs::write(path("old.so"), &marks).expect("written");
        fs::write(path("new.so"), [&marks, YIELDS].concat()).expect("written");
        fs::write(path("text"), &marks[4..]).expect("written");
        fs::write(path("other.so"), b"\x7fELF").expect("written");
        assert_eq!(is_copy(&path("old.so")), Some(false));
        assert_eq!(is_copy(&path("new.so")), Some(true));
        for name in ["text", "other.so", "missing"] {
            assert_eq!(is_copy(&path(name)), None, "{name}");
        }
        let list = ["other.so", "new.so", "old.so"].map(|name| path(name).display().to_string());
        let (copies, rest) = apart(format!("libfirst.so {}", list.join(":")).as_ref());
        assert_eq!(copies, [path("new.so"), path("old.so")]);
        assert_eq!(rest, *format!("libfirst.so:{}", list[0]));
    }
}
