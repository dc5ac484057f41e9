//! Recordings that a run leaves behind.

use skipheap_format::reader::Recording;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// The recordings in a folder.
pub(crate) fn recordings(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder)
        .expect("the folder of recordings")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "skipheap-rec"))
        .collect()
}

/// All that was written of a recording: the file is a hole of a gibibyte.
pub(crate) fn read_recording(path: &Path) -> Vec<u8> {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut bytes = vec![0; 4096];
    file.read_exact(&mut bytes).expect("its header");
    let rest = Recording::extent(&bytes) - bytes.len() as u64;
    file.take(rest).read_to_end(&mut bytes).expect("the rest");
    bytes
}
