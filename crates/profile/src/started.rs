//! What a program is called: by the name that it was started by.

use skipheap_format::reader::Recording;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The program's name. One that was started by a symbolic link has the link's name, as far as that
/// can be found on this machine: `redis-server` may lead to the file `redis-check-rdb`.
pub fn program<'a>(recording: &Recording<'a>) -> &'a [u8] {
    let argv0 = recording.cmdline().split(|&byte| byte == 0).next();
    name(
        argv0.unwrap_or(b""),
        recording.exe(),
        std::env::var_os("PATH").as_deref(),
    )
}

fn name<'a>(argv0: &'a [u8], exe: &'a [u8], search: Option<&OsStr>) -> &'a [u8] {
    let (called, own) = (file_name(argv0), file_name(exe));
    if called == own || called.is_empty() {
        return own;
    }
    let exe = Path::new(OsStr::from_bytes(exe));
    let leads_there = |path: &Path| path.canonicalize().is_ok_and(|path| path == exe);
    let path = Path::new(OsStr::from_bytes(argv0));
    let is_link = match argv0.contains(&b'/') {
        true => leads_there(path),
        false => search.is_some_and(|search| {
            std::env::split_paths(search).any(|folder| leads_there(&folder.join(path)))
        }),
    };
    if is_link { called } else { own }
}

fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_gives_its_name_and_nothing_else_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().canonicalize().expect("a path");
        let path = |name: &str| folder.join(name);
        fs::write(path("file"), "").expect("written");
        fs::write(path("other"), "").expect("written");
        symlink("file", path("link")).expect("a link");
        let exe = path("file");
        let called = |argv0: &Path| {
            let name = name(
                argv0.as_os_str().as_bytes(),
                exe.as_os_str().as_bytes(),
                Some(folder.as_os_str()),
            );
            String::from_utf8_lossy(name).into_owned()
        };
        assert_eq!(called(&path("link")), "link");
        assert_eq!(called(Path::new("link")), "link");
        for argv0 in ["", "file", "-file", "other", "made up", "/no/link"] {
            assert_eq!(called(Path::new(argv0)), "file", "{argv0}");
        }
        assert_eq!(called(&path("other")), "file");
    }
}
