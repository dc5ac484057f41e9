//! `merge`: many profiles as one.
//!
//! A few threads read and unpack profiles, in turns, and one adds them up, in order. Besides the sum, the profiles in memory are
//! one for each reading thread, and the one being added.

use crate::dataset::Dataset;
use crate::dataset::compact::{self, Compacted};
use crate::error::{Code, Failure};
use crate::harvest::{self, HarvestError};
use crate::inputs::{self, Inputs};
use crate::labels::Labels;
use crate::load::{self, LoadError};
use crate::options::ReportOptions;
use crate::options::merge::{Apart, MergeOptions};
use crate::symbol_files::SymbolFiles;
use crate::terminal::progress::Progress;
use crate::terminal::term;
use crate::{missing_files, reporting, shape};
use skipheap_export as export;
use skipheap_profile::build::Detail;
use skipheap_profile::sum::{By, Sum};
use skipheap_profile::{Profile, build, file};
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::places::Places;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Damaged inputs that are named.
const NAMED: usize = 10;
/// Threads that read, at most: each holds a profile.
const MOST_READERS: usize = 4;

/// Merges the inputs into the file that the options name, and prints the summary.
///
/// # Errors
/// When an input or the output cannot be used.
pub(crate) fn merge(options: &MergeOptions, wanted: &ReportOptions) -> Result<u8, Failure> {
    let has_no_sum = options.has_no_sum(wanted);
    if let Some(dataset) = options.inputs.iter().find(|path| compact::is_dataset(path)) {
        return compacted(dataset, options, wanted);
    }
    let wanted = &with_default_format(wanted);
    let wish = reporting::wish(wanted, false)?;
    let inputs =
        inputs::find(&options.inputs, wanted.output.as_deref()).map_err(HarvestError::from)?;
    let mut output = reporting::output(wanted);
    output.check().map_err(Failure::because(
        Code::Failed,
        "cannot write the merged profile",
    ))?;
    let merged = add_up(&inputs, options, wanted, has_no_sum)?;
    if merged.added == 0 {
        return Err(Failure::unusable(merged.damaged_ones()));
    }
    if has_no_sum {
        term::say(&merged.said(&inputs, wanted.quiet));
        return Ok(0);
    }
    if wish.kind.needs_live() && !merged.profile.has_live() {
        let first = inputs.files.into_iter().next().unwrap_or_default();
        return Err(HarvestError::NotFollowed(first).into());
    }
    let said = merged.said(&inputs, wanted.quiet);
    let harvest = harvest::harvest_profile(merged.profile, &mut output, &wish)?;
    reporting::summarize(&harvest, wanted, &output);
    reporting::push(&harvest, wanted, &output);
    term::say(&said);
    Ok(0)
}

/// Compacts the inputs, which are datasets, and says what was done.
///
/// # Errors
/// When one of them is none, when something else than a dataset is wanted, or when a file cannot be used.
fn compacted(
    dataset: &Path,
    options: &MergeOptions,
    wanted: &ReportOptions,
) -> Result<u8, Failure> {
    let dataset = term::path(dataset);
    if let Some(other) = options
        .inputs
        .iter()
        .find(|path| !compact::is_dataset(path))
    {
        let other = term::path(other);
        return Err(Failure::unusable(format!(
            "{dataset} is a Parquet dataset, and {other} is not: merge profiles and compact datasets in separate \
             commands"
        )));
    }
    let Some(folder) = &options.parquet else {
        return Err(Failure::unusable(format!(
            "{dataset} is a Parquet dataset: compact it with --parquet FOLDER, or query it with \
             fleet/query.sql"
        )));
    };
    if !options.has_no_sum(wanted) || !options.by.is_empty() || !wanted.label.is_empty() {
        return Err(Failure::unusable(format!(
            "{dataset} is a Parquet dataset, which can only be compacted: omit --output, --format, \
             --push, --by and --label"
        )));
    }
    let progress = Progress::new(wanted.quiet);
    let done = compact::compact(&options.inputs, folder, options.skip_damaged, &progress).map_err(
        Failure::because(Code::Unusable, "cannot compact the dataset"),
    )?;
    drop(progress);
    term::say(&compaction_said(&done, wanted.quiet));
    Ok(0)
}

fn compaction_said(done: &Compacted, quiet: bool) -> String {
    let files = |count| term::counted(count, "file", "files");
    let mut text = String::new();
    if !quiet {
        text.push_str(&format!("compacted: {}", files(done.added)));
        if done.held > 0 {
            text.push_str(&format!(
                " ({} were already compacted)",
                term::grouped(done.held)
            ));
        }
        text.push_str(&format!(
            "\nwritten: {}\n",
            term::counted(done.written, "Parquet file", "Parquet files")
        ));
    }
    if !done.damaged.is_empty() {
        let count = files(done.damaged.len() as u64);
        text.push_str(&format!("warning: {count} could not be read:\n"));
        for error in done.damaged.iter().take(NAMED) {
            text.push_str(&format!("  {error}\n"));
        }
        if done.damaged.len() > NAMED {
            let more = term::grouped((done.damaged.len() - NAMED) as u64);
            text.push_str(&format!("  and {more} more\n"));
        }
    }
    text
}

/// Without a name or a format that says otherwise, the result is a profile like its inputs.
fn with_default_format(wanted: &ReportOptions) -> ReportOptions {
    let mut wanted = wanted.clone();
    if wanted.output.is_none() && wanted.shape.format.is_none() {
        let profile = shape::Format::Export(export::Format::Skipheap);
        wanted.shape.format = Some(profile);
    }
    wanted
}

/// The sum of all inputs.
struct Merged {
    /// What was done with the inputs.
    done: &'static str,
    profile: Profile,
    /// Processes that several inputs have.
    repeated: u64,
    /// Of the dataset.
    files: Option<u64>,
    added: usize,
    damaged: Vec<LoadError>,
    remarks: Vec<String>,
}

/// Reads and adds up.
fn add_up(
    inputs: &Inputs,
    options: &MergeOptions,
    wanted: &ReportOptions,
    has_no_sum: bool,
) -> Result<Merged, Failure> {
    let unusable = |error: anyhow::Error| Failure {
        code: Code::Unusable,
        error,
    };
    let progress = Progress::new(wanted.quiet);
    progress.begin(
        if has_no_sum { "reading" } else { "merging" },
        inputs.files.len(),
    );
    let by = By {
        build: options.by.contains(&Apart::Build),
        host: options.by.contains(&Apart::Host),
        line: options.by.contains(&Apart::Line),
    };
    let mut sum = Sum::new(by);
    let not_written = |error| Failure::because(Code::Failed, "cannot write the dataset")(error);
    let mut dataset = match &options.parquet {
        Some(folder) => Some(Dataset::new(folder).map_err(not_written)?),
        None => None,
    };
    let mut damaged = Vec::new();
    let mut added = 0;
    let mut remarks = Vec::new();
    thread::scope(|scope| {
        let readers = readers();
        let mut receivers = Vec::with_capacity(readers);
        let mut reading = Vec::with_capacity(readers);
        for first in 0..readers {
            // Without a place to wait: each reader holds one profile.
            let (send, receive) = sync_channel(0);
            receivers.push(receive);
            reading.push(scope.spawn(move || {
                let mut reader = Reader::new(wanted);
                for path in inputs.files.iter().skip(first).step_by(readers) {
                    // After an error nobody receives any more.
                    if send.send((path, reader.read(path))).is_err() {
                        break;
                    }
                }
                let symbols = reader.symbols.as_ref();
                let mut remarks = symbols.map_or(Vec::new(), SymbolFiles::remarks);
                if let Some((symbolizer, _)) = &reader.names {
                    remarks.extend(missing_files::remark(symbolizer, symbols));
                }
                remarks
            }));
        }
        for receive in receivers.iter().cycle() {
            // The first that has no more: nor have those behind it.
            let Ok((path, read)) = receive.recv() else {
                break;
            };
            match read {
                Ok(profile) => {
                    let mut profile = profile.cleaned(!wanted.no_command_line);
                    profile.set_labels(&wanted.label);
                    if !has_no_sum {
                        sum.add(&profile).map_err(|refusal| {
                            let path = term::path(path);
                            unusable(anyhow::anyhow!("{path}: {refusal}"))
                        })?;
                    }
                    if let Some(dataset) = &mut dataset {
                        dataset.add(&profile).map_err(not_written)?;
                    }
                    added += 1;
                }
                Err(error) if options.skip_damaged => damaged.push(error),
                Err(error) => return Err(unusable(error.into())),
            }
            progress.step();
        }
        for reading in reading {
            remarks.extend(reading.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        remarks.sort();
        remarks.dedup();
        Ok(())
    })?;
    drop(progress);
    Ok(Merged {
        done: if has_no_sum { "read" } else { "merged" },
        repeated: sum.repeated(),
        files: dataset.map(|dataset| dataset.files()),
        profile: sum.finish(),
        added,
        damaged,
        remarks,
    })
}

/// Threads that read: adding up takes a fraction of the time.
fn readers() -> usize {
    thread::available_parallelism().map_or(1, |processors| processors.get().min(MOST_READERS))
}

impl Merged {
    /// What there is to say besides the summary of the sum.
    fn said(&self, inputs: &Inputs, quiet: bool) -> String {
        let mut text = String::new();
        for remark in &self.remarks {
            text.push_str(&format!("skip-heapprof: {remark}\n"));
        }
        if !quiet {
            let added = term::counted(self.added as u64, "input", "inputs");
            text.push_str(&format!("{}: {added}\n", self.done));
            if inputs.has_output {
                text.push_str(
                    "note: the output file is in a folder of inputs; it was not read as an input\n",
                );
            }
        }
        if let Some(files) = self.files.filter(|_| !quiet) {
            let files = term::counted(files, "Parquet file", "Parquet files");
            text.push_str(&format!("written: {files}\n"));
        }
        if self.repeated > 0 {
            let processes = term::counted(self.repeated, "process is", "processes are");
            text.push_str(&format!(
                "warning: {processes} in more than one input, and counted each time\n"
            ));
        }
        if !self.damaged.is_empty() {
            text.push_str(&format!("warning: {}\n", self.damaged_ones()));
        }
        text
    }

    /// Names the inputs that were left out.
    fn damaged_ones(&self) -> String {
        let count = term::counted(self.damaged.len() as u64, "input", "inputs");
        let mut text = format!("{count} could not be read:");
        for error in self.damaged.iter().take(NAMED) {
            text.push_str(&format!("\n  {error}"));
        }
        if self.damaged.len() > NAMED {
            let more = term::grouped((self.damaged.len() - NAMED) as u64);
            text.push_str(&format!("\n  and {more} more"));
        }
        text
    }
}

/// Reads inputs, one after the other.
struct Reader {
    /// For recordings.
    names: Option<(Symbolizer, Places)>,
    symbols: Option<SymbolFiles>,
    labels: Labels,
}

impl Reader {
    fn new(wanted: &ReportOptions) -> Self {
        Self {
            names: None,
            symbols: SymbolFiles::new(&wanted.symbols),
            labels: Labels::new(&wanted.label),
        }
    }

    /// Reads an input. Names are added before it is merged: after that a frame stands for several
    /// places.
    fn read(&mut self, path: &Path) -> Result<Profile, LoadError> {
        let profile = self.without_symbols(path)?;
        Ok(match &mut self.symbols {
            Some(symbols) => symbols.add_to(profile),
            None => profile,
        })
    }

    fn without_symbols(&mut self, path: &Path) -> Result<Profile, LoadError> {
        if file::is_profile(path) || path.extension().is_some_and(|e| e == file::EXTENSION) {
            return file::read(path).map_err(LoadError::at(path));
        }
        let (symbolizer, places) = self
            .names
            .get_or_insert_with(|| (Symbolizer::new().with_debug_names(), Places::default()));
        let (bytes, owner) = load::bytes_and_owner(path)?;
        let _acting = owner.act().map_err(LoadError::at(path))?;
        let recording = load::parse(&bytes, path)?;
        let mut profile = build::profile(&recording, Detail::EVERYTHING, symbolizer, places)
            .map_err(LoadError::at(path))?;
        profile.set_labels(&self.labels.of_recordings);
        Ok(profile)
    }
}

#[cfg(test)]
mod bench;
#[cfg(test)]
mod tests;
