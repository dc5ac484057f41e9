//! A folder of object and debug files.

use skipheap_profile::sum::hex;
use skipheap_symbolize::bytes::MappedFile;
use skipheap_symbolize::elf::Elf;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The files of a folder.
pub(super) struct Folder {
    path: PathBuf,
    /// Made when a file is not where its build id leads.
    index: Option<Index>,
}

#[derive(Default)]
struct Index {
    by_build_id: HashMap<Vec<u8>, Vec<PathBuf>>,
    /// By file name without `.debug`: the file and its build id.
    by_name: HashMap<String, Vec<(PathBuf, Vec<u8>)>>,
}

impl Folder {
    /// Looks at nothing yet.
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            index: None,
        }
    }

    /// The files of a build. What its id leads to (`.build-id/ab/cdef.debug`, as distributions have it) is
    /// taken without a look at others.
    pub(super) fn find(&mut self, build_id: &[u8]) -> Vec<PathBuf> {
        let Some((first, rest)) = build_id.split_first() else {
            return Vec::new();
        };
        let file = format!("{}/{}.debug", hex(&[*first]), hex(rest));
        let places = [
            self.path.join(".build-id").join(&file),
            self.path.join(&file),
        ];
        if let Some(found) = places.into_iter().find(|place| place.is_file()) {
            return vec![found];
        }
        let found = self.index().by_build_id.get(build_id);
        found.cloned().unwrap_or_default()
    }

    /// Object files of a name, and their build ids.
    pub(super) fn named(&mut self, name: &str) -> &[(PathBuf, Vec<u8>)] {
        self.index().by_name.get(name).map_or(&[], |files| files)
    }

    fn index(&mut self) -> &Index {
        let path = &self.path;
        self.index.get_or_insert_with(|| {
            let mut index = Index::default();
            let mut folders = vec![path.clone()];
            // Of what cannot be read there is nothing to say: it may be no object file at all.
            while let Some(folder) = folders.pop() {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                for entry in entries {
                    match entry.file_type() {
                        Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                        Ok(_) => index.add(entry.path()),
                        Err(_) => {}
                    }
                }
            }
            index.sort();
            index
        })
    }
}

impl Index {
    fn add(&mut self, path: PathBuf) {
        let Some(file) = MappedFile::open(&path) else {
            return;
        };
        let Some(build_id) = Elf::parse(&file.bytes).map(|elf| elf.build_id().to_vec()) else {
            return;
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.strip_suffix(".debug").unwrap_or(&name).to_owned();
        self.by_name
            .entry(name)
            .or_default()
            .push((path.clone(), build_id.clone()));
        if !build_id.is_empty() {
            self.by_build_id.entry(build_id).or_default().push(path);
        }
    }

    /// The order of a folder's entries is not always the same.
    fn sort(&mut self) {
        self.by_build_id.values_mut().for_each(|paths| paths.sort());
        self.by_name.values_mut().for_each(|files| files.sort());
    }
}
