//! Compaction: a dataset of many small files becomes one of few, one for each day and program.
//!
//! The compacted dataset is a folder of its own, and a partition of it is one file, which is replaced as a
//! whole. So readers never see a run twice or half, whenever the compaction is killed. A compacted file holds
//! the names of the files that it was made of: the next compaction adds what is new, and passes over a
//! partition in which nothing is.

use super::put;
use crate::error::naming;
use crate::terminal::progress::Progress;
use skipheap_export::parquet::{Compaction, inputs_of};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// The only file of a compacted partition.
const NAME: &str = "compacted.parquet";
/// [`NAME`] without its ending.
const STEM: &str = "compacted";

/// What a compaction did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Compacted {
    /// Files that were read and added.
    pub(crate) added: u64,
    /// Files that the compacted dataset held already.
    pub(crate) held: u64,
    /// Partitions that were written.
    pub(crate) written: u64,
    /// Files that could not be read and were left out.
    pub(crate) damaged: Vec<String>,
}

/// Returns whether a folder is a dataset: it has a partition of a day.
pub(crate) fn is_dataset(folder: &Path) -> bool {
    let Ok(entries) = fs::read_dir(folder) else {
        return false;
    };
    let mut names = entries.flatten().map(|entry| entry.file_name());
    names.any(|name| name.as_encoded_bytes().starts_with(b"date="))
}

/// Adds to the compacted dataset `folder` what is new in the datasets `inputs`.
///
/// # Errors
/// When a file cannot be written, or cannot be read and `skips_damaged` is not set, with its name; when
/// `folder` is one of the inputs.
pub(crate) fn compact(
    inputs: &[PathBuf],
    folder: &Path,
    skips_damaged: bool,
    progress: &Progress,
) -> io::Result<Compacted> {
    fs::create_dir_all(folder).map_err(naming(folder))?;
    let mut partitions: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for input in inputs {
        if folder.canonicalize()? == input.canonicalize()? {
            return Err(naming(folder)(io::Error::other(
                "is both input and output: choose another output folder",
            )));
        }
        for (partition, files) in partitions_of(input)? {
            partitions.entry(partition).or_default().extend(files);
        }
    }
    let mut done = Compacted::default();
    progress.begin("compacting", partitions.len());
    for (partition, files) in partitions {
        compact_partition(&folder.join(partition), files, skips_damaged, &mut done)?;
        progress.step();
    }
    Ok(done)
}

fn compact_partition(
    folder: &Path,
    files: Vec<PathBuf>,
    skips_damaged: bool,
    done: &mut Compacted,
) -> io::Result<()> {
    let path = folder.join(NAME);
    let known = match path.exists() {
        true => with_name(&path, inputs_of)?,
        false => BTreeSet::new(),
    };
    let (old, mut new): (Vec<PathBuf>, Vec<PathBuf>) = files
        .into_iter()
        .partition(|file| known.contains(&name_of(file)));
    done.held += old.len() as u64;
    // A file that several inputs have is read once.
    let mut seen = BTreeSet::new();
    new.retain(|file| seen.insert(name_of(file)));
    if let Some(compacted) = new.iter().find(|file| name_of(file) == STEM) {
        return Err(naming(compacted)(io::Error::other(
            "is already compacted: compact the original dataset instead",
        )));
    }
    if new.is_empty() {
        return Ok(());
    }
    let mut compaction = Compaction::default();
    if !known.is_empty() {
        with_name(&path, |file| compaction.add(STEM, file))?;
    }
    let mut added = 0;
    for file in new {
        match with_name(&file, |open| compaction.add(&name_of(&file), open)) {
            Ok(()) => added += 1,
            Err(error) if skips_damaged => done.damaged.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    if added == 0 {
        return Ok(());
    }
    put(folder, &path, |file| compaction.write(file)).map_err(naming(&path))?;
    done.added += added;
    done.written += 1;
    Ok(())
}

/// Reads a file of Parquet; errors name it.
fn with_name<T>(
    path: &Path,
    read: impl FnOnce(File) -> parquet::errors::Result<T>,
) -> io::Result<T> {
    let file = File::open(path).map_err(naming(path))?;
    read(file).map_err(|error| naming(path)(io::Error::other(error)))
}

/// The name of a file without its ending: it is derived from the processes in it.
fn name_of(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default();
    stem.to_string_lossy().into_owned()
}

/// The files of a dataset by partition, in the order of their names.
fn partitions_of(dataset: &Path) -> io::Result<BTreeMap<PathBuf, Vec<PathBuf>>> {
    let mut partitions: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for day in entries(dataset, "date=")? {
        for program in entries(&day, "program=")? {
            let mut files = entries(&program, "")?;
            files.retain(|file| {
                let name = file.file_name().unwrap_or_default().as_encoded_bytes();
                name.ends_with(b".parquet") && !name.starts_with(b".")
            });
            if let Ok(partition) = program.strip_prefix(dataset)
                && !files.is_empty()
            {
                partitions.insert(partition.to_owned(), files);
            }
        }
    }
    Ok(partitions)
}

/// The entries of a folder whose names begin with `prefix`, sorted.
fn entries(folder: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(naming(folder))? {
        let entry = entry.map_err(naming(folder))?;
        let name = entry.file_name();
        if name.as_encoded_bytes().starts_with(prefix.as_bytes()) {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Dataset;
    use super::*;
    use skipheap_profile::sum::testing::Fleet;

    const RUNS: u32 = 24;

    fn add(folder: &Path, runs: impl Iterator<Item = u32>) {
        let mut dataset = Dataset::new(folder).expect("made");
        let fleet = Fleet {
            sites: 60,
            live: true,
        };
        for run in runs {
            dataset.add(&fleet.run(run)).expect("written");
        }
    }

    fn compacted(inputs: &[&Path], folder: &Path) -> Compacted {
        let inputs: Vec<PathBuf> = inputs.iter().map(|&path| path.to_owned()).collect();
        compact(&inputs, folder, false, &Progress::new(true)).expect("compacted")
    }

    fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let partitions = partitions_of(folder).expect("a dataset");
        let files = partitions.into_values().flatten();
        files
            .map(|file| {
                let bytes = fs::read(&file).expect("read");
                (file.strip_prefix(folder).expect("below").to_owned(), bytes)
            })
            .collect()
    }

    #[test]
    fn each_run_is_added_once_whatever_was_compacted_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        add(&path("raw"), 0..RUNS);
        assert!(is_dataset(&path("raw")) && !is_dataset(folder.path()));
        let done = compacted(&[&path("raw")], &path("all"));
        assert_eq!(
            (done.added, done.held, done.written),
            (u64::from(RUNS), 0, 4)
        );
        let all = contents(&path("all"));
        assert_eq!(all.len(), 4);
        // Nothing is new.
        let done = compacted(&[&path("raw")], &path("all"));
        assert_eq!(
            (done.added, done.held, done.written),
            (0, u64::from(RUNS), 0)
        );
        // In two steps, the first of which loses its inputs before the second.
        add(&path("a"), 0..7);
        compacted(&[&path("a")], &path("steps"));
        fs::remove_dir_all(path("a")).expect("removed");
        add(&path("b"), 7..RUNS);
        compacted(&[&path("b"), &path("raw")], &path("steps"));
        assert_eq!(contents(&path("steps")), all);
    }

    #[test]
    fn a_damaged_file_is_named_and_can_be_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        add(&path("good"), 0..8);
        add(&path("bad"), 0..8);
        let damaged = path("bad/date=2026-09-21/program=server1/x.parquet");
        fs::write(&damaged, b"PAR1 and no more").expect("written");
        let inputs = [path("bad")];
        let error = compact(&inputs, &path("out"), false, &Progress::new(true)).unwrap_err();
        assert!(error.to_string().contains("server1/x.parquet: "), "{error}");
        let done = compact(&inputs, &path("out"), true, &Progress::new(true)).expect("compacted");
        // The partition before the damaged file was complete when the first attempt failed.
        assert_eq!((done.added, done.held, done.damaged.len()), (6, 2, 1));
        compacted(&[&path("good")], &path("expected"));
        assert_eq!(contents(&path("out")), contents(&path("expected")));
    }

    #[test]
    fn what_is_compacted_already_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        add(&path("raw"), 0..4);
        compacted(&[&path("raw")], &path("all"));
        compacted(&[&path("raw")], &path("sum"));
        let before = contents(&path("sum"));
        let error = compact(&[path("all")], &path("sum"), false, &Progress::new(true)).unwrap_err();
        assert!(
            error.to_string().contains("is already compacted"),
            "{error}"
        );
        assert_eq!(contents(&path("sum")), before);
    }

    #[test]
    fn a_dataset_is_not_compacted_into_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        add(folder.path(), 0..4);
        let inputs = [folder.path().to_owned()];
        let error = compact(&inputs, folder.path(), false, &Progress::new(true)).unwrap_err();
        assert!(
            error.to_string().contains("both input and output"),
            "{error}"
        );
        assert_eq!(contents(folder.path()).len(), 4);
    }
}
