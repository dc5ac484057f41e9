//! Which files are meant by the profiles, recordings and folders that the user names.

use crate::load::{self, LoadError, Why};
use skipheap_profile::file::EXTENSION;
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Inputs {
    /// In the order of the command line, those of a folder in that of the alphabet; each file once.
    pub(crate) files: Vec<PathBuf>,
    /// Whether the output file was in one of the folders. It is not among [`Self::files`].
    pub(crate) has_output: bool,
}

/// Device and number of a file: the same under every name.
pub(crate) type Id = (u64, u64);

/// The id of a file that holds something which writing would destroy; `None` of pipes, devices and what is not there.
pub(crate) fn id_of_file(path: &Path) -> Option<Id> {
    let data = fs::metadata(path).ok()?;
    data.is_file().then(|| id(&data))
}

/// Each file once, under the first of its names.
pub(crate) fn once(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let mut seen = HashSet::new();
    paths.retain(|path| id_of_file(path).is_none_or(|id| seen.insert(id)));
    paths
}

/// Makes sure that none of the inputs is written over. Folders stand for the recordings in them.
///
/// # Errors
/// When one of `outputs` is one of them; it is named.
pub(crate) fn spare(inputs: &[PathBuf], outputs: &[&Path]) -> Result<(), LoadError> {
    let outputs: HashSet<Id> = outputs.iter().filter_map(|path| id_of_file(path)).collect();
    if outputs.is_empty() {
        return Ok(());
    }
    for path in inputs {
        let files = match path.is_dir() {
            true => load::in_folder(path).map_err(LoadError::at(path))?,
            false => vec![path.clone()],
        };
        let mut files = files.iter();
        let is_output = |file: &&PathBuf| id_of_file(file).is_some_and(|id| outputs.contains(&id));
        if let Some(file) = files.find(is_output) {
            return Err(LoadError::at(file)(Why::Output));
        }
    }
    Ok(())
}

/// Returns whether writing to one path writes to the other.
pub(crate) fn are_one(a: &Path, b: &Path) -> bool {
    match (fs::metadata(a), fs::metadata(b)) {
        (Ok(a), Ok(b)) => a.is_file() && id(&a) == id(&b),
        (Err(_), Err(_)) => {
            let place = |path: &Path| {
                let folder = path.parent().filter(|folder| *folder != Path::new(""));
                let folder = fs::metadata(folder.unwrap_or(Path::new("."))).ok()?;
                Some((id(&folder), path.file_name()?.to_owned()))
            };
            // Where the folder is missing neither can be written.
            place(a).is_some_and(|place_of_a| place(b) == Some(place_of_a))
        }
        _ => false,
    }
}

/// Finds the files; folders stand for all profiles in and below them.
///
/// # Errors
/// When one is not there, is `output` itself, or is a folder without profiles.
pub(crate) fn find(paths: &[PathBuf], output: Option<&Path>) -> Result<Inputs, LoadError> {
    let output = output.and_then(id_of_file);
    let mut inputs = Inputs::default();
    let mut seen = HashSet::new();
    for path in paths {
        let data = fs::metadata(path).map_err(LoadError::at(path))?;
        if !data.is_dir() {
            if Some(id(&data)) == output {
                return Err(LoadError::at(path)(Why::Output));
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

pub(crate) fn id(data: &fs::Metadata) -> Id {
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
        let said = find(std::slice::from_ref(&output), Some(&output));
        let said = said.unwrap_err().to_string();
        assert!(said.contains("a.skipheap: both an input and"), "{said}");
        for name in ["empty", "b/c", "none"] {
            let said = find(&[path(name)], Some(&output)).unwrap_err().to_string();
            assert!(said.contains(name), "{said}");
        }
    }

    #[test]
    fn a_file_is_the_same_under_all_its_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "").expect("written");
        fs::write(path("b"), "").expect("written");
        fs::create_dir(path("recordings")).expect("a folder");
        fs::hard_link(path("a"), path("recordings/1.skipheap-rec")).expect("a link");
        symlink("a", path("link")).expect("a link");
        let names = ["a", "./a", "link", "b", "none"].map(path);
        assert_eq!(once(names.to_vec()), [path("a"), path("b"), path("none")]);
        let refused = |input: &str, output: &str| spare(&[path(input)], &[&path(output)]).is_err();
        assert!(refused("a", "a") && refused("a", "link") && refused("recordings", "./a"));
        assert!(!refused("a", "b") && !refused("a", "none") && !refused("recordings", "b"));
        let null = Path::new("/dev/null");
        spare(&[null.to_owned()], &[null]).expect("a device is no file");
        let one = |a: &str, b: &str| are_one(&path(a), &path(b));
        assert!(one("a", "link") && one("none", "./none") && one("recordings/../x", "x"));
        assert!(!one("a", "b") && !one("a", "none") && !one("x", "y") && !one("no/x", "no/x"));
        assert!(!are_one(null, null));
    }
}
