//! `skip-heapprof check`: fails when a program allocates more than its baseline, limits and budgets allow.

use crate::baseline_file::BaselineFile;
use crate::baseline_name::Subject;
use crate::check_files::{repository, shell_word};
use crate::check_runs::{self, Measured};
use crate::check_text as text;
use crate::error::{Code, Failure};
use crate::options::ReportOptions;
use crate::options::check::CheckOptions;
use crate::side::Side;
use crate::terminal::term;
use crate::{config_file, history, sys, values};
use skipheap_compare::gate::baseline::{self, Baseline};
use skipheap_compare::gate::budget::Budget;
use skipheap_compare::gate::config::Config;
use skipheap_compare::gate::evidence::Evidence;
use skipheap_compare::gate::out::{Ending, Report};
use skipheap_compare::gate::verdict::{Limits, judge};
use skipheap_profile::redact;
use std::env;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Says which limits the configuration switches off, since whoever reads the verdict may not know
/// the file.
fn switched_off(config: &Config) -> Option<String> {
    let limits = config.limits.switched_off();
    let path = config.path.as_deref().filter(|_| !limits.is_empty())?;
    let are = if limits.len() == 1 { "is" } else { "are" };
    Some(format!(
        "{} {are} switched off by {}",
        limits.join(", "),
        term::path(path)
    ))
}

/// Part of the baseline's bytes that the run has too, in percent, below which it is another
/// program.
const IN_COMMON: u128 = 1;

/// Checks. Returns the exit status.
///
/// # Errors
/// Misuse: a wrong option, a file that cannot be read or written.
pub(crate) fn check(options: CheckOptions, wanted: &ReportOptions) -> Result<u8, Failure> {
    if options.command.is_empty() && options.reports.is_empty() {
        return Err(Failure::unusable(
            "nothing to check: give -- PROGRAM, or a report",
        ));
    }
    if wanted.output.is_some() || wanted.merge.is_some() {
        return Err(Failure::unusable(
            "check does not write a report of the run, but --markdown, --junit and --gitlab; `skip-heapprof \
             -o FILE PROGRAM` writes one",
        ));
    }
    let config = config_file::read(options.config.as_deref())
        .map_err(Failure::because(Code::Unusable, "cannot use the limits"))?;
    let mut budgets = Vec::new();
    for written in config.budgets.clone() {
        let file = config.path.as_deref().map_or_else(String::new, term::path);
        let place = format!("{file}: line {}", written.line);
        budgets.push(Budget::new(written).map_err(Failure::because(Code::Unusable, place))?);
    }
    let subject = Subject::new(&options.command, &options.reports);
    if subject.is_list_for(options.baseline.as_deref()) {
        return list(&options.command, wanted.quiet);
    }
    let path = options
        .baseline
        .as_deref()
        .map(|path| subject.baseline(path));
    let path = path.transpose().map_err(Failure::unusable)?;
    if path.is_none() && budgets.is_empty() {
        return Err(Failure::unusable(
            "nothing to compare with: give --baseline FILE, or budgets in skipheap.toml",
        ));
    }
    if path.as_deref() == Some(Path::new("-")) {
        return Err(Failure::unusable(
            "--baseline needs a file; if its name is `-`, write ./-",
        ));
    }
    let (old, left_out) = read_baseline(path.as_deref(), &options)?;
    let baseline = Baseline::new(&old.rows, old.spreads.clone(), old.lines.clone());
    options
        .files
        .check()
        .map_err(Failure::because(Code::Unusable, "cannot write"))?;
    let new = path.as_deref().filter(|_| options.update);
    let new = new.map(BaselineFile::prepare).transpose()?;
    if !options.command.is_empty() {
        values::check(&options.run)?;
    }
    let limits = options.limits().or(config.limits);
    let repeat = limits.repeat.unwrap_or(1);
    let measured = measure(&options, wanted, &config, repeat, old.is_mean);
    let mut report = Report {
        program: measured.program.clone(),
        config: config.path.clone(),
        unfit: measured.unfit.clone(),
        baseline: path.clone(),
        accept: match path.as_deref().filter(|path| history::is_history(path)) {
            Some(folder) => history::accept(folder),
            None => accept(),
        },
        repository: Box::new(repository()),
        ..Report::default()
    };
    if report.unfit.is_empty() {
        let mut evidence = Evidence::new(&baseline, &measured.runs);
        evidence.put(&measured.places);
        report.unfit.extend(difference_of_programs(
            &evidence,
            &old,
            &measured,
            options.update,
        ));
        let by_nothing = options
            .update
            .then(|| Evidence::new(&Baseline::default(), &measured.runs));
        let judged = by_nothing.as_ref().unwrap_or(&evidence);
        report.verdict = judge(judged, &Limits::new(limits), &budgets);
        report.unfit.append(&mut report.verdict.unfit);
        report.verdict.notes.extend(left_out);
        report.verdict.notes.extend(measured.notes.clone());
        report.verdict.notes.extend(switched_off(&config));
        if report.verdict.shrank {
            report.unfit.extend(measured.doubts.clone());
        }
        let least = evidence.diffs.into_iter().min_by_key(|diff| diff.new.bytes);
        report.diff = least.filter(|_| !baseline.rows.is_empty());
    }
    let mut updated = Ok(());
    if let (true, Some(file)) = (report.unfit.is_empty(), &new) {
        let mut bytes = Vec::new();
        updated = baseline::write(&measured.runs, &mut bytes)
            .map_err(Failure::because(
                Code::Unusable,
                "cannot write the baseline",
            ))
            .and_then(|()| file.write(&bytes));
        report.updated = updated.is_ok();
    }
    // Before files, which may fail and are not the result.
    let said = text::write(&report, term::width(), wanted.quiet);
    term::say(&said);
    updated?;
    options
        .files
        .write(&report)
        .map_err(Failure::because(Code::Unusable, "cannot write"))?;
    Ok(match report.ending() {
        Ending::Passed => 0,
        Ending::Failed => 1,
        Ending::Unfit => Code::Unfit as u8,
    })
}

/// Becomes the program, which only lists its tests for whoever runs them: there is nothing to
/// check.
fn list(command: &[OsString], quiet: bool) -> Result<u8, Failure> {
    let (program, arguments) = command
        .split_first()
        .ok_or_else(|| Failure::unusable("which program?"))?;
    let name = term::path(Path::new(program));
    if !quiet {
        term::say(&format!(
            "skip-heapprof: {name}: only lists its tests, nothing is checked\n"
        ));
    }
    let mut command = Command::new(program);
    command.args(arguments);
    sys::pass_on(&mut command);
    let error = command.exec();
    let code = match error.kind() {
        ErrorKind::NotFound => Code::NotFound,
        _ => Code::NotExecutable,
    };
    Err(Failure::because(code, format_args!("cannot run {name}"))(
        error,
    ))
}

fn measure(
    options: &CheckOptions,
    wanted: &ReportOptions,
    config: &Config,
    repeat: u32,
    means: bool,
) -> Measured {
    if options.command.is_empty() {
        return check_runs::of_reports(&options.reports, means);
    }
    let mut run = options.run.clone();
    run.following.live |= config.needs_live();
    check_runs::of_program(&options.command, &run, wanted, repeat, means)
}

/// Reads the baseline; without one it is empty. Returns notes on what was left out of it, too.
fn read_baseline(
    path: Option<&Path>,
    options: &CheckOptions,
) -> Result<(Side, Vec<String>), Failure> {
    let update = options.update;
    let nothing = (Side::default(), Vec::new());
    let Some(path) = path else {
        return Ok(nothing);
    };
    if !path.exists() {
        return match update {
            true => Ok(nothing),
            false => Err(Failure::unusable(format_args!(
                "{}: no such baseline; create it with: {}",
                term::path(path),
                accept()
            ))),
        };
    }
    let is_history = history::is_history(path);
    if update && path.is_dir() {
        return Err(Failure::unusable(format_args!(
            "{}: --update cannot write to a folder: add a run's profile to it \
             (skip-heapprof --merge -o FOLDER/NAME.skipheap), or name a file",
            term::path(path)
        )));
    }
    if options.last.is_some() && !is_history {
        return Err(Failure::unusable(format_args!(
            "{}: --last needs a folder of profiles (*.skipheap) as the baseline",
            term::path(path)
        )));
    }
    if is_history {
        let most = options.last.map_or(history::RUNS, |last| last as usize);
        return history::read(path, most);
    }
    let mut side = match Side::read(path) {
        // It is about to be replaced: the marks of a merge in it are no reason not to.
        Err(_) if update => return Ok(nothing),
        side => side?,
    };
    let flaws = check_runs::flaws(&side);
    if !flaws.is_empty() && !update {
        return Err(Failure::unusable(format_args!(
            "{}: cannot be a baseline: {}; create a new one with: {}",
            term::path(path),
            flaws.join("; "),
            accept()
        )));
    }
    // A baseline that is about to be replaced is not a measure.
    if side.is_merged() && !update {
        side.take_means()?;
    }
    Ok((side, Vec::new()))
}

/// Returns a fault if the baseline is of another program than the runs.
fn difference_of_programs(
    evidence: &Evidence,
    old: &Side,
    measured: &Measured,
    update: bool,
) -> Option<String> {
    if update {
        return None;
    }
    if let Some((was, is)) = check_runs::others(&old.programs, &measured.programs) {
        let (was, is) = (term::printable(was), term::printable(is));
        return Some(format!(
            "the baseline is of another program: {was}, not {is}"
        ));
    }
    let (common, all) = evidence.in_common();
    (common * 100 < all * IN_COMMON).then(|| {
        "the baseline has almost no site in common with this run: it is of another program, or of a build \
         with other names (other options, stripped)"
            .to_owned()
    })
}

/// The words of a command line that goes into reports.
fn without_secrets(words: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let words: Vec<OsString> = words.collect();
    let texts: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let clean = redact::command(texts.iter().map(AsRef::as_ref));
    let both = words.iter().zip(texts.iter().zip(clean));
    both.map(|(word, (text, clean))| match clean == *text {
        true => word.clone(),
        false => clean.into_owned().into(),
    })
    .collect()
}

/// The command line of this check with `--update`.
fn accept() -> String {
    let words: Vec<OsString> = without_secrets(env::args_os());
    let mut line: Vec<String> = Vec::new();
    let mut is_open = true;
    for (index, word) in words.iter().enumerate() {
        if index == 0 {
            let name = Path::new(word).file_name().unwrap_or(word);
            line.push(shell_word(name.as_bytes()));
            continue;
        }
        is_open &= word != "--";
        if is_open && word == "--update" {
            continue;
        }
        line.push(shell_word(word.as_bytes()));
        if word == "check" && is_open && !line.iter().any(|word| word == "--update") {
            line.push("--update".into());
        }
    }
    line.join(" ")
}
