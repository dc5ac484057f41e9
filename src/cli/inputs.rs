//! Which files are meant by the profiles, recordings and folders that the user names.

use crate::load::{LoadError, Why};
use crate::profile::file::EXTENSION;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// In the order of the command line, those of a folder in that of the alphabet; each file once.
    pub(crate) files: Vec<PathBuf>,
    /// Was the file that is to be written in one of the folders? It is not among [`Self::files`].
    pub(crate) has_output: bool,
}

/// Device and number of a file.
type Id = (u64, u64);

/// Finds the files; folders stand for all profiles in and below them.
///
/// # Errors
/// When one is not there, is `output` itself, or is a folder without profiles.
pub(crate) fn find(paths: &[PathBuf], output: Option<&Path>) -> Result<Inputs, LoadError> {
    let output = output.and_then(|path| fs::metadata(path).ok());
    let output = output.filter(fs::Metadata::is_file).map(|data| id(&data));
    let mut inputs = Inputs::default();
    let mut seen = HashSet::new();
    for path in paths {
        let data = fs::metadata(path).map_err(LoadError::at(path))?;
        if !data.is_dir() {
            if Some(id(&data)) == output {
                let error = io::Error::other("the file that is to be written");
                return Err(LoadError::at(path)(error));
            }
            if seen.insert(id(&data)) {
                inputs.files.push(path.clone());
            }
            continue;
        }
        let found = below(path)?;
        let before = inputs.files.len();
        let mut has_any = false;
        for (path, id) in found {
            if Some(id) == output {
                inputs.has_output = true;
            } else {
                has_any = true;
                if seen.insert(id) {
                    inputs.files.push(path);
                }
            }
        }
        if !has_any {
            return Err(LoadError::at(path)(Why::NoProfiles));
        }
        inputs.files[before..].sort();
    }
    Ok(inputs)
}

fn id(data: &fs::Metadata) -> Id {
    (data.dev(), data.ino())
}

/// All profiles in and below a folder. Links to other folders are not followed: they may lead round in a
/// circle.
fn below(folder: &Path) -> Result<Vec<(PathBuf, Id)>, LoadError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(LoadError::at(&folder))? {
            let entry = entry.map_err(LoadError::at(&folder))?;
            let path = entry.path();
            let kind = entry.file_type().map_err(LoadError::at(&path))?;
            if kind.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == EXTENSION) {
                let data = fs::metadata(&path).map_err(LoadError::at(&path))?;
                if data.is_file() {
                    found.push((path, id(&data)));
                }
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn folders_stand_for_the_profiles_below_them_each_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("b/c")).expect("folders");
        fs::create_dir(path("empty")).expect("a folder");
        for name in [
            "b/z.skipheap",
            "b/c/a.skipheap",
            "b/x.csv",
            "1.skipheap-rec",
        ] {
            fs::write(path(name), "").expect("written");
        }
        symlink(path("b"), path("b/c/round")).expect("a link");
        symlink(path("b/z.skipheap"), path("b/again.skipheap")).expect("a link");
        symlink("/no/such", path("b/c/gone.skipheap")).expect("a link");
        assert!(find(&[path("b")], None).is_err(), "a link to nothing");
        fs::remove_file(path("b/c/gone.skipheap")).expect("removed");
        let all = [path("1.skipheap-rec"), path("b"), path("b/z.skipheap")];
        let found = find(&all, None).expect("found");
        assert_eq!(found.files.len(), 3);
        assert_eq!(found.files[0], path("1.skipheap-rec"));
        assert!(!found.has_output);
        let output = path("b/c/a.skipheap");
        let found = find(&[path("b")], Some(&output)).expect("found");
        assert_eq!((found.files.len(), found.has_output), (1, true));
        assert!(find(std::slice::from_ref(&output), Some(&output)).is_err());
        for name in ["empty", "b/c", "none"] {
            let said = find(&[path(name)], Some(&output)).unwrap_err().to_string();
            assert!(said.contains(name), "{said}");
        }
    }
}
