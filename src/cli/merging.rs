//! `merge`: many profiles as one.
//!
//! One thread reads and unpacks profiles, the other adds them up. No more than three profiles are in memory
//! at a time besides the sum: the one being read, the one that waits, the one being added.

use crate::args::ReportOptions;
use crate::error::{Code, Failure};
use crate::harvest::{self, HarvestError};
use crate::inputs::{self, Inputs};
use crate::load::{self, LoadError};
use crate::profile::intern::Tables;
use crate::profile::sum::{By, Sum};
use crate::profile::{Profile, build, file};
use crate::record::reader::Recording;
use crate::symbol_files::SymbolFiles;
use crate::symbolize::Symbolizer;
use crate::symbolize::places::Places;
use crate::{export, reporting, shape, term};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;

/// Damaged inputs that are named.
const NAMED: usize = 10;

/// Options of `merge` alone.
#[derive(Args, Debug, Default, Clone)]
pub(crate) struct MergeOptions {
    /// Profiles (*.skipheap), recordings (*.skipheap-rec), or folders of profiles, which are searched as
    /// deep as they go.
    #[arg(value_name = "INPUT", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Go on without inputs that cannot be read, and say how many there were.
    #[arg(long)]
    pub(crate) skip_damaged: bool,
    /// Keep apart: the runs of a program by the build id of its executable (`build`) or by `host`, and calls of
    /// one function that stand on different lines (`line`).
    ///
    /// Several are separated by commas. Without `line`, the line of a function in a stack is only stated where
    /// all runs agree.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) by: Vec<Apart>,
}

/// The values of `--by`.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Apart {
    /// The build id of the executable.
    Build,
    /// The machine's name.
    Host,
    /// The source line.
    Line,
}

/// Merges the inputs into the file that the options name, and prints the summary.
///
/// # Errors
/// When an input or the output cannot be used.
pub(crate) fn merge(options: &MergeOptions, wanted: &ReportOptions) -> Result<u8, Failure> {
    let unusable = |error: HarvestError| Failure {
        code: Code::Unusable,
        error: error.into(),
    };
    let wanted = &with_default_format(wanted);
    let wish = reporting::wish(wanted, false)?;
    let inputs = inputs::find(&options.inputs, wanted.output.as_deref())
        .map_err(|error| unusable(error.into()))?;
    let mut output = reporting::output(wanted);
    output.check().map_err(Failure::because(
        Code::Failed,
        "cannot write the merged profile",
    ))?;
    let merged = add_up(&inputs, options, wanted)?;
    if merged.added == 0 {
        return Err(Failure {
            code: Code::Unusable,
            error: anyhow::anyhow!("{}", merged.damaged_ones()),
        });
    }
    if wish.kind.needs_live() && !merged.profile.has_live() {
        let first = inputs.files.into_iter().next().unwrap_or_default();
        return Err(unusable(HarvestError::NotFollowed(first)));
    }
    let said = merged.said(&inputs, wanted.quiet);
    let harvest = harvest::harvest_profile(merged.profile, &mut output, &wish).map_err(unusable)?;
    reporting::summarize(&harvest, wanted, &output);
    reporting::push(&harvest, wanted, &output);
    // There is nobody to tell if that fails.
    let _ = io::stderr().write_all(said.as_bytes());
    Ok(0)
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
    profile: Profile,
    added: usize,
    damaged: Vec<LoadError>,
    remarks: Vec<String>,
}

/// Reads and adds up.
fn add_up(
    inputs: &Inputs,
    options: &MergeOptions,
    wanted: &ReportOptions,
) -> Result<Merged, Failure> {
    let unusable = |error: anyhow::Error| Failure {
        code: Code::Unusable,
        error,
    };
    let progress = progress(inputs.files.len(), wanted.quiet);
    let by = By {
        build: options.by.contains(&Apart::Build),
        host: options.by.contains(&Apart::Host),
        line: options.by.contains(&Apart::Line),
    };
    let mut sum = Sum::new(by);
    let mut damaged = Vec::new();
    let mut added = 0;
    let mut remarks = Vec::new();
    thread::scope(|scope| {
        let (send, receive) = sync_channel(1);
        let reading = scope.spawn(move || {
            let mut reader = Reader::new(&wanted.symbols);
            for path in &inputs.files {
                // After an error nobody receives any more.
                if send.send((path, reader.read(path))).is_err() {
                    break;
                }
            }
            reader
                .symbols
                .map_or(Vec::new(), |symbols| symbols.remarks())
        });
        for (path, read) in receive {
            match read {
                Ok(profile) => {
                    sum.add(&profile).map_err(|refusal| {
                        let path = term::path(path);
                        unusable(anyhow::anyhow!("{path}: {refusal}"))
                    })?;
                    added += 1;
                }
                Err(error) if options.skip_damaged => damaged.push(error),
                Err(error) => return Err(unusable(error.into())),
            }
            progress.inc(1);
        }
        remarks = reading.join().unwrap_or_default();
        Ok(())
    })?;
    progress.finish_and_clear();
    Ok(Merged {
        profile: sum.finish(),
        added,
        damaged,
        remarks,
    })
}

/// A bar, on a terminal.
fn progress(inputs: usize, quiet: bool) -> ProgressBar {
    if quiet || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(inputs as u64);
    if let Ok(style) = ProgressStyle::with_template("merging {wide_bar} {pos}/{len} {eta}") {
        bar.set_style(style);
    }
    bar
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
            text.push_str(&format!("merged: {added}\n"));
            if inputs.has_output {
                text.push_str(
                    "note: the file that was written lies in a folder of inputs; it is not one\n",
                );
            }
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
}

impl Reader {
    fn new(symbols: &[PathBuf]) -> Self {
        Self {
            names: None,
            symbols: SymbolFiles::new(symbols),
        }
    }

    /// Reads an input. Names are added before it is merged: after that a frame stands for several places.
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
            .get_or_insert_with(|| (Symbolizer::new(), Places::default()));
        let bytes = load::bytes(path)?;
        let recording = Recording::parse(&bytes).map_err(LoadError::at(path))?;
        let mut tables = Tables::default();
        build::add(&mut tables, &recording, symbolizer, places).map_err(LoadError::at(path))?;
        Ok(tables.profile)
    }
}

#[cfg(test)]
mod bench;
#[cfg(test)]
mod tests;
