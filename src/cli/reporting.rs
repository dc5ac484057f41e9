//! Reports recordings: those that the user names, and what every run does with its own.

use crate::error::{Code, Failure};
use crate::harvest::{Harvest, HarvestError, Wish, harvest};
use crate::labels::Labels;
use crate::load::{self, LoadError, Why};
use crate::options::ReportOptions;
use crate::output::Output;
use crate::summary;
use crate::summary::live;
use crate::summary::tree;
use crate::symbol_files::debuginfod;
use crate::terminal::listing;
use crate::terminal::paint;
use crate::terminal::term;
use crate::{inputs, push, session, snapshots};
use std::io;
use std::path::{Path, PathBuf};

/// Writes CSV and summary of these recordings, or of those in these folders.
///
/// # Errors
/// When one cannot be read: its file, what is wrong, and where.
pub(crate) fn report(paths: &[PathBuf], wanted: &ReportOptions) -> Result<u8, Failure> {
    let mut output = match wanted.tree() {
        // The tree is what there is to see.
        Some(_) if wanted.output.is_none() && wanted.shape.format.is_none() => Output::nowhere(),
        _ => output(wanted),
    };
    let mut wish = wish(wanted, false)?;
    if let [folder] = paths {
        wish.main = session::main_of(folder);
    }
    let recordings = recordings(paths).map_err(HarvestError::from)?;
    inputs::spare(&recordings, &wanted.files()).map_err(HarvestError::from)?;
    output.spare(&recordings);
    let harvest = harvest(&recordings, &mut output, &wish)?;
    match harvest.tree {
        Some(_) if !output.is_stdout() => {
            print_tree(&harvest, wanted)?;
            tell(&harvest, wanted, &output, Some(String::new()));
        }
        _ => summarize(&harvest, wanted, &output),
    }
    push(&harvest, wanted, &output);
    // What was only shown can be wanted again.
    if output.main().is_some() && harvest.unreadable.is_empty() {
        remove_those_left(paths, wanted.quiet);
    }
    if wanted.shape.leak_exit_code.is_some() && !harvest.is_leak_checked() {
        return Err(Failure::unusable(
            "--leak-exit-code: this was recorded without a leak check (--leak-check)",
        ));
    }
    Ok(status(0, &harvest, wanted))
}

/// Removes the folders of sessions that the tool left behind for processes that still ran, where
/// these have ended.
fn remove_those_left(paths: &[PathBuf], quiet: bool) {
    for folder in paths.iter().filter(|path| path.is_dir()) {
        if session::remove_if_over(folder) && !quiet {
            let folder = term::path(folder);
            term::say(&format!(
                "skip-heapprof: all processes have ended: {folder} was removed\n"
            ));
        }
    }
}

/// Where the report goes.
pub(crate) fn output(wanted: &ReportOptions) -> Output {
    let kind = wanted.shape.kind(wanted.output.as_deref());
    Output::new(wanted.output.as_deref()).with_extension(kind.extension())
}

/// The exit status, where it would be `status` without leaks. To have found none where leaks could not be
/// looked for is a failure, which is said.
pub(crate) fn status(status: u8, harvest: &Harvest, wanted: &ReportOptions) -> u8 {
    let Some(of_leaks) = wanted.shape.leak_exit_code else {
        return status;
    };
    if harvest.has_leaks() {
        return of_leaks;
    }
    let gaps = harvest.leak_gaps.lines();
    let why = match &gaps[..] {
        _ if !harvest.is_leak_checked() && gaps.is_empty() => {
            "no program was checked: none exited normally".to_owned()
        }
        [] => return status,
        gaps => gaps.join("; "),
    };
    term::say(&format!(
        "skip-heapprof: --leak-exit-code: no leaks were found, but they could not all be looked for: {why}\n"
    ));
    match status {
        0 => Code::Failed as u8,
        // The program has failed, which nobody will take for a run without leaks.
        status => status,
    }
}

/// The recordings that are meant, each once.
pub(crate) fn recordings(paths: &[PathBuf]) -> Result<Vec<PathBuf>, LoadError> {
    let mut recordings = Vec::new();
    for path in paths {
        if path.is_dir() {
            let found = load::in_folder(path).map_err(LoadError::at(path))?;
            if found.is_empty() {
                return Err(LoadError::at(path)(Why::NoRecordings));
            }
            // Snapshots are states of processes that are there as well, unless there is nothing else.
            let (whole, snapshots) = snapshots::apart(found);
            recordings.extend(if whole.is_empty() { snapshots } else { whole });
        } else {
            recordings.push(path.clone());
        }
    }
    recordings.sort();
    Ok(inputs::once(recordings))
}

/// What the options ask for.
///
/// # Errors
/// When the suppressions cannot be read, a folder with symbols is none, the limit for debuginfod is
/// no number, or it is not clear what is to be written where.
pub(crate) fn wish(wanted: &ReportOptions, tolerant: bool) -> Result<Wish, Failure> {
    wanted
        .shape
        .check_ending(wanted.output.as_deref())
        .map_err(Failure::unusable)?;
    if wanted.shape.timeline.as_deref() == Some(Path::new("-")) {
        return Err(Failure::unusable(
            "--timeline takes the name of a file; /dev/stdout is standard output",
        ));
    }
    if let [output, timeline] = wanted.files()[..]
        && inputs::are_one(output, timeline)
    {
        let path = term::path(output);
        return Err(Failure::unusable(format_args!(
            "{path}: the report and the timeline cannot be the same file"
        )));
    }
    for folder in &wanted.symbols {
        // What is not there has no names: that would pass for a folder without the right files.
        if !folder.is_dir() {
            let path = term::path(folder);
            return Err(Failure::unusable(format_args!(
                "--symbols {path}: no such folder"
            )));
        }
    }
    debuginfod::limit().map_err(Failure::unusable)?;
    let suppressions = wanted.shape.suppressions().map_err(Failure::because(
        Code::Unusable,
        "cannot use the suppressions",
    ))?;
    Ok(Wish {
        kind: wanted.shape.kind(wanted.output.as_deref()),
        suppressions,
        leaks_listed: match (wanted.shape.gen_suppressions, wanted.quiet) {
            (true, _) => usize::MAX,
            (false, true) => 0,
            (false, false) => wanted.look.top.unwrap_or(listing::LISTED),
        },
        prints_suppressions: wanted.shape.gen_suppressions,
        timeline: wanted.shape.timeline.clone(),
        merge: wanted.merge,
        sort: wanted.look.sort(),
        tree: wanted.tree(),
        largest: match wanted.quiet {
            true => 0,
            false => wanted.look.top.unwrap_or(listing::LISTED),
        },
        lists_sites: wanted.look.sites,
        lines: wanted.shape.lines,
        plumbing: wanted.look.plumbing.read()?,
        tolerant,
        quiet: wanted.quiet,
        // A run finds its modules where they are, and asks nobody else unless it is told to.
        symbols: (!tolerant || !wanted.symbols.is_empty()).then(|| wanted.symbols.clone()),
        keeps_profile: wanted.push.is_wanted() || wanted.tree().is_some(),
        no_command_line: wanted.no_command_line,
        labels: Labels::new(&wanted.label),
        main: None,
    })
}

/// Sends the profile wherever that is wanted.
pub(crate) fn push(harvest: &Harvest, wanted: &ReportOptions, output: &Output) {
    if let (Some(profile), true) = (&harvest.profile, wanted.push.is_wanted()) {
        let kept = output.main().map_or(String::new(), |path| {
            format!("; the report is in {}", term::path(path))
        });
        push::push(profile, wanted, &kept);
    }
}

/// Prints the summary on standard error, unless that is not wanted, and the call tree, if it is.
pub(crate) fn summarize(harvest: &Harvest, wanted: &ReportOptions, output: &Output) {
    let width = term::width();
    let tree = harvest.tree.zip(harvest.profile.as_ref());
    let tree = tree.map(|(wish, profile)| tree::text(profile, wish, width));
    if let (Some(tree), true) = (&tree, wanted.quiet) {
        let _ = paint::write(io::stderr(), tree, wanted.color());
    }
    tell(harvest, wanted, output, tree);
}

/// Prints the summary on standard error, unless that is not wanted, with this in place of the
/// sites.
fn tell(harvest: &Harvest, wanted: &ReportOptions, output: &Output, tree: Option<String>) {
    for remark in &harvest.remarks {
        term::say(&format!("skip-heapprof: {remark}\n"));
    }
    // To have found nothing would be taken for an answer. (Otherwise the notes say so.)
    if wanted.quiet && wanted.shape.leak_exit_code.is_none() {
        for gap in harvest.leak_gaps.lines() {
            term::say(&format!(
                "skip-heapprof: leaks may have been missed: {gap}\n"
            ));
        }
    }
    if wanted.quiet && harvest.prints_suppressions {
        let mut text = String::new();
        live::suppressions(&mut text, harvest);
        term::say(&text);
    }
    let text = if !wanted.quiet {
        summary::text(harvest, term::width(), tree.as_deref())
    } else if output.is_fresh() {
        // Nobody could find them else.
        summary::files(harvest)
    } else {
        return;
    };
    // There is nobody to tell if that fails.
    let _ = paint::write(io::stderr(), &text, wanted.color());
}

/// Prints the call tree on standard output.
fn print_tree(harvest: &Harvest, wanted: &ReportOptions) -> Result<(), Failure> {
    let Some((wish, profile)) = harvest.tree.zip(harvest.profile.as_ref()) else {
        return Ok(());
    };
    let text = tree::text(profile, wish, term::width_of_stdout());
    match paint::write(io::stdout(), &text, wanted.color()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::because(
            Code::Failed,
            "cannot print the tree",
        )(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::recording;
    use std::fs;

    #[test]
    fn folders_stand_for_their_recordings() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["b.skipheap-rec", "a.skipheap-rec", "c.csv"] {
            fs::write(path(name), recording(1, 1, &[])).expect("written");
        }
        let found = recordings(&[path("b.skipheap-rec"), folder.path().to_owned()]);
        assert_eq!(
            found.expect("found"),
            [path("a.skipheap-rec"), path("b.skipheap-rec")]
        );
        let said = recordings(&[empty.path().to_owned()])
            .unwrap_err()
            .to_string();
        assert!(said.contains("without recordings"), "{said}");
    }

    #[test]
    fn what_is_no_recording_ends_with_status_two() {
        let folder = tempfile::tempdir().expect("a folder");
        let out = folder.path().join("out.csv");
        let wanted = ReportOptions {
            output: Some(out.clone()),
            ..ReportOptions::default()
        };
        let failure = report(&["/no/such/file".into()], &wanted).unwrap_err();
        assert_eq!(failure.code, Code::Unusable);
        assert!(failure.error.to_string().starts_with("/no/such/file: "));
        assert!(!out.exists());
    }
}
