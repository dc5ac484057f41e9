//! The summary on standard error.

pub(crate) mod ends;
pub(crate) mod hints;
pub(crate) mod live;
pub(crate) mod tree;

use crate::harvest::{Harvest, Process};
use crate::largest::figure;
use crate::summary::hints::hints;
use crate::terminal::listing::{LISTED, RESPONSIBLE, STACK, function_line, listed, names_of};
use crate::terminal::paint::{TITLE, WARNING, painted};
use crate::terminal::table::{Line, percent, share, table};
use crate::terminal::term::{self, bytes, counted, cut, grouped, line, printable, scaled};
use skipheap_format::cause::Cause;
use skipheap_format::loss::Loss;
use skipheap_format::messages;
use skipheap_profile::functions;
use skipheap_profile::report::collapsed::Value;
use skipheap_profile::report::rows::Row;
use skipheap_responsible::fold;
use std::borrow::Cow;
use std::path::Path;

/// Threads that are listed.
const THREADS: usize = 4;
/// Part of all bytes of which the responsible functions may be unknown without a word about it.
const MOST_BEYOND: f64 = 0.1;
/// Longest command line in the headline.
const LONGEST_COMMAND: usize = 120;

/// The whole summary, in lines of at most `width` columns but for paths. With `tree`, that
/// stands in place of the largest sites.
pub(crate) fn text(harvest: &Harvest, width: usize, tree: Option<&str>) -> String {
    let mut text = String::new();
    headline(&mut text, harvest, width);
    estimate(&mut text, harvest);
    if harvest.processes.len() > 1 {
        if (2..harvest.processes.len()).contains(&harvest.programs.len()) {
            programs(&mut text, harvest, width);
        }
        processes(&mut text, harvest, width);
    }
    match tree {
        Some("") => {}
        Some(tree) => line(&mut text, format_args!("\n{}", tree.trim_end())),
        None if harvest.lists_sites || harvest.functions.all.is_empty() => {
            sites(&mut text, harvest, width);
        }
        None => {
            functions(&mut text, harvest, width);
            threads(&mut text, harvest);
        }
    }
    live::live(&mut text, harvest, width);
    let files = files(harvest);
    if !files.is_empty() {
        line(&mut text, format_args!("\n{}", files.trim_end()));
    }
    warnings(&mut text, harvest);
    text
}

fn headline(text: &mut String, harvest: &Harvest, width: usize) {
    let who = match &harvest.processes[..] {
        [one] => match one.runs {
            Some(runs) => format!("{}, {} runs", printable(&one.program), grouped(runs)),
            None => printable(&one.program),
        },
        many => {
            let runs = many.iter().map(|process| process.runs.unwrap_or(1));
            let runs = runs.fold(0, u64::saturating_add);
            let processes = counted(runs, "process", "processes");
            match &harvest.programs[..] {
                [one] => format!("{}, {processes}", printable(&one.name)),
                programs => format!("{processes} of {} programs", grouped(programs.len() as u64)),
            }
        }
    };
    let totals = harvest.totals;
    let allocations = counted(totals.calls, "allocation", "allocations");
    let sites = counted(totals.sites as u64, "site", "sites");
    let said = format!(
        "skip-heapprof: {who}: {allocations}, {}, {sites}",
        bytes(totals.bytes)
    );
    line(text, format_args!("{}", painted(TITLE, said)));
    let command = printable(&harvest.command);
    if !command.is_empty() && command != *program_alone(harvest) {
        let shown = cut(
            &command,
            width.min(LONGEST_COMMAND).saturating_sub("command: ".len()),
        );
        line(text, format_args!("command: {shown}"));
    }
}

/// The program's name where the headline has it; the command line says no more then.
fn program_alone(harvest: &Harvest) -> Cow<'_, str> {
    match &harvest.processes[..] {
        [one] => Cow::Owned(printable(&one.program)),
        _ => Cow::Borrowed(""),
    }
}

/// Says how far estimates are to be trusted.
fn estimate(text: &mut String, harvest: &Harvest) {
    let Some((samples, variance)) = harvest.sampled else {
        return;
    };
    let error = match samples {
        // Nothing is known of what was not in the sample.
        0 => String::new(),
        _ => {
            let error = 100.0 * variance.sqrt() / harvest.totals.bytes.max(1) as f64;
            format!(", standard error ±{error:.1} % of all bytes")
        }
    };
    let sample = counted(samples, "allocation", "allocations");
    line(
        text,
        format_args!("estimated from a sample of {sample}{error}"),
    );
}

/// Lists the programs that allocated most.
fn programs(text: &mut String, harvest: &Harvest, width: usize) {
    let listed = listed(harvest.listed);
    let programs = harvest.programs.iter().take(listed);
    let lines = programs.map(|program| Line {
        cells: [
            scaled(program.bytes),
            grouped(program.calls),
            grouped(program.processes),
        ],
        share: Some(share(program.bytes, harvest.totals.bytes)),
        names: vec![printable(&program.name)],
        responsible: None,
    });
    let lines: Vec<_> = lines.collect();
    table(
        text,
        ["bytes", "calls", "processes"],
        "program",
        &lines,
        width,
    );
    and_more(text, harvest.programs.len(), listed);
}

/// Says how many are not listed.
fn and_more(text: &mut String, all: usize, listed: usize) {
    if all > listed {
        let more = counted((all - listed) as u64, "smaller one", "smaller ones");
        line(text, format_args!(" and {more}"));
    }
}

/// Lists the processes that allocated most.
fn processes(text: &mut String, harvest: &Harvest, width: usize) {
    let listed = listed(harvest.listed);
    let mut largest: Vec<&Process> = harvest.processes.iter().collect();
    largest.sort_by_key(|process| std::cmp::Reverse(process.totals.bytes));
    largest.truncate(listed);
    let lines = largest.iter().map(|process| Line {
        cells: [
            scaled(process.totals.bytes),
            grouped(process.totals.calls),
            grouped(process.totals.sites as u64),
            process.pid.to_string(),
        ],
        share: Some(share(process.totals.bytes, harvest.totals.bytes)),
        names: vec![printable(&process.program)],
        responsible: None,
    });
    let lines: Vec<_> = lines.collect();
    table(
        text,
        ["bytes", "calls", "sites", "pid"],
        "program",
        &lines,
        width,
    );
    and_more(text, harvest.processes.len(), listed);
}

/// Lists the functions that are responsible for the most.
fn functions(text: &mut String, harvest: &Harvest, width: usize) {
    let value = harvest.sort;
    let whole = harvest.functions.all.iter();
    let whole = whole.fold(0_u64, |sum, function| {
        sum.saturating_add(functions::figure(&function.figures, value))
    });
    let second = match value {
        Value::Bytes | Value::Temporary => "calls",
        Value::Calls => "bytes",
        Value::Live | Value::LiveBlocks | Value::Peak => "blocks",
    };
    let lines = harvest
        .functions
        .largest(value, listed(harvest.listed))
        .into_iter()
        .map(|function| {
            let figures = &function.figures;
            let number = functions::figure(figures, value);
            let first = match value {
                Value::Calls | Value::LiveBlocks | Value::Temporary => grouped(number),
                Value::Bytes | Value::Live | Value::Peak => scaled(number),
            };
            let blocks = match value {
                Value::Bytes | Value::Temporary => grouped(figures.calls),
                Value::Calls => scaled(figures.bytes),
                Value::Live | Value::LiveBlocks => grouped(figures.live_blocks),
                Value::Peak => grouped(figures.peak_blocks),
            };
            function_line(
                function,
                [first, blocks, function.shown_sizes()],
                share(number, whole),
            )
        });
    let lines: Vec<_> = lines.collect();
    table(
        text,
        [heading(value), second, "size"],
        RESPONSIBLE,
        &lines,
        width,
    );
    and_more(
        text,
        harvest.functions.all.len(),
        lines.len().max(listed(harvest.listed)),
    );
    let beyond = share(harvest.functions.beyond_bytes, harvest.functions.bytes);
    if beyond > MOST_BEYOND {
        line(
            text,
            format_args!(
                "note: of {} of the bytes, only containers and wrappers are among the recorded frames (← …); \
                 --stack-depth full finds who called them",
                percent(beyond)
            ),
        );
    }
}

/// Says which threads allocated, where there are several.
fn threads(text: &mut String, harvest: &Harvest) {
    let threads = &harvest.functions.threads;
    if threads.len() < 2 {
        return;
    }
    let all = threads.iter().map(|(_, bytes)| bytes);
    let all = all.fold(0, |sum: u64, &bytes| sum.saturating_add(bytes));
    let shown = threads.iter().take(THREADS).map(|(name, bytes)| {
        let name = match &**name {
            "" => "?".to_owned(),
            // One without a name of its own has the function that it started with.
            name => match name.split_once(" (") {
                Some((name, start)) => {
                    let start = fold(start.strip_suffix(')').unwrap_or(start));
                    printable(&format!("{name} ({start})"))
                }
                None => printable(name),
            },
        };
        format!(
            "{name} {} ({})",
            scaled(*bytes),
            percent(share(*bytes, all))
        )
    });
    let mut shown: Vec<String> = shown.collect();
    if threads.len() > THREADS {
        shown.push(counted((threads.len() - THREADS) as u64, "other", "others"));
    }
    line(text, format_args!("\nby thread: {}", shown.join(", ")));
}

fn heading(value: Value) -> &'static str {
    match value {
        Value::Bytes => "bytes",
        Value::Calls => "calls",
        Value::Live | Value::LiveBlocks => "live",
        Value::Peak => "at the peak",
        Value::Temporary => "temporary",
    }
}

/// Lists the largest sites.
fn sites(text: &mut String, harvest: &Harvest, width: usize) {
    let value = harvest.sort;
    let live = harvest.live.as_ref();
    let whole = match value {
        Value::Bytes => harvest.totals.bytes,
        Value::Calls => harvest.totals.calls,
        Value::Live | Value::LiveBlocks => live.map_or(0, |live| live.left_bytes),
        Value::Peak => live.map_or(0, |live| live.peak_bytes),
        Value::Temporary => live.map_or(0, |live| live.sums.temporary),
    };
    let (second, blocks): (_, fn(&Row) -> String) = match value {
        Value::Calls => ("bytes", |row| scaled(row.total)),
        Value::Live | Value::LiveBlocks => {
            ("blocks", |row| grouped(figure(row, Value::LiveBlocks)))
        }
        Value::Peak => ("blocks", |row| {
            grouped(row.live.as_ref().map_or(0, |live| live.peak()))
        }),
        Value::Bytes | Value::Temporary => ("calls", |row| grouped(row.calls)),
    };
    let lines = harvest.largest.iter().map(|row| {
        let number = figure(row, value);
        let first = match value {
            Value::Calls | Value::LiveBlocks | Value::Temporary => grouped(number),
            Value::Bytes | Value::Live | Value::Peak => scaled(number),
        };
        Line {
            // Exact: it tells sites apart.
            cells: [first, blocks(row), grouped(row.size)],
            share: Some(share(number, whole)),
            names: names_of(row),
            responsible: None,
        }
    });
    let lines: Vec<_> = lines.collect();
    table(text, [heading(value), second, "size"], STACK, &lines, width);
}

/// Says where the CSV files are.
pub(crate) fn files(harvest: &Harvest) -> String {
    let text = &mut String::new();
    let mut all: Vec<(&Path, String)> = Vec::new();
    let merged = harvest.merged_csv.as_deref();
    all.extend(merged.map(|path| (path, String::new())));
    for program in &harvest.programs {
        let csv = program.csv.as_deref();
        all.extend(csv.map(|path| (path, format!(" of {}", printable(&program.name)))));
    }
    for process in &harvest.processes {
        let whose = || format!(" of {} ({})", printable(&process.program), process.pid);
        all.extend(process.csv.as_deref().map(|path| (path, whose())));
    }
    if let Some(path) = harvest.timeline.as_deref() {
        line(text, format_args!("timeline: {}", term::path(path)));
    }
    for (path, whose) in all.iter().take(LISTED) {
        let whose = if all.len() > 1 { whose } else { "" };
        line(text, format_args!("all sites{whose}: {}", term::path(path)));
    }
    if let Some((last, _)) = all.get(LISTED..).and_then(<[_]>::last) {
        line(
            text,
            format_args!(
                "and {} more in {}",
                grouped((all.len() - LISTED) as u64),
                term::path(last.parent().unwrap_or(Path::new("/")))
            ),
        );
    }
    std::mem::take(text)
}

/// The losses that there were, of the causes that `counts`: a line each. A cause that this version does
/// not know is `None`.
pub(crate) fn losses(
    harvest: &Harvest,
    counts: fn(Option<Loss>) -> bool,
) -> impl Iterator<Item = String> {
    let known = |cause: &Cause<String>| match cause {
        Cause::Code(code) => Loss::of_code(*code),
        Cause::Sentence(_) => None,
    };
    let losses = harvest.losses.iter();
    losses
        .filter(move |(cause, _)| counts(known(cause)))
        .map(|(cause, count)| format!("{} {}", grouped(*count), messages::loss(cause)))
}

/// What the numbers do not include, of whatever is read: a line each; of losses those that
/// `counts`.
pub(crate) fn gaps(harvest: &Harvest, counts: fn(Option<Loss>) -> bool) -> Vec<String> {
    let cut_off = messages::known_loss(Loss::CutOff);
    let missing = (harvest.missing > 0).then(|| format!("{} {cut_off}", grouped(harvest.missing)));
    let cut_off = harvest.cut_off.iter().map(|(path, end, missing)| {
        format!(
            "{}: cut off at offset {end}, {} missing from this report",
            term::path(path),
            counted(*missing, "byte", "bytes"),
        )
    });
    losses(harvest, counts)
        .chain(missing)
        .chain(cut_off)
        .collect()
}

/// Says what the numbers do not include. Nothing, on an ordinary run.
fn warnings(text: &mut String, harvest: &Harvest) {
    for gap in gaps(harvest, |_| true) {
        let said = format!("warning: {gap}");
        line(text, format_args!("{}", painted(WARNING, said)));
    }
    for (cut, &count) in &harvest.cuts {
        let what = counted(count, "allocation", "allocations");
        let why = messages::cut_short(cut);
        line(
            text,
            format_args!("note: the stacks of {what} were cut short {why}"),
        );
    }
    if harvest.verified != [0; 4] {
        line(
            text,
            format_args!("note: {}", messages::verified(&harvest.verified)),
        );
    }
    for hint in hints(harvest) {
        line(text, format_args!("note: {hint}"));
    }
    for note in harvest.notes.lines(harvest.processes.len()) {
        line(text, format_args!("note: {}", printable(&note)));
    }
    if let Some(missing) = &harvest.unreached {
        let said = format!("warning: {missing}");
        line(text, format_args!("{}", painted(WARNING, said)));
    }
    if let Some(program) = &harvest.unrecorded {
        let name = term::path(program);
        line(
            text,
            format_args!(
                "note: {name} itself was not recorded, only what it started: the library did not start in it \
                 (was its environment emptied, or is there no room for the recording?)"
            ),
        );
    }
    if let Some(note) = ends::text(harvest) {
        line(text, format_args!("note: {note}"));
    }
    for error in &harvest.unreadable {
        let said = format!("warning: a recording cannot be read: {error}");
        line(text, format_args!("{}", painted(WARNING, said)));
    }
}

#[cfg(test)]
mod tests {
    use super::text as painted_text;
    use super::*;
    use crate::programs::Program;
    use crate::terminal::paint::plain;
    use skipheap_format::cut::Cut;
    use skipheap_profile::report::rows::Totals;
    use std::path::PathBuf;

    fn text(harvest: &Harvest, width: usize) -> String {
        plain(&painted_text(harvest, width, None))
    }

    fn process(pid: u32, bytes: u64, csv: &str) -> Process {
        Process {
            program: "jq".into(),
            pid,
            totals: Totals {
                calls: 3,
                bytes,
                sites: 2,
            },
            csv: Some(PathBuf::from(csv)),
            ..Process::default()
        }
    }

    fn row(names: [Option<&str>; 4], size: u64, calls: u64) -> Row {
        Row {
            names: names.map(|name| name.map(Into::into)),
            size,
            calls,
            total: size * calls,
            ..Row::default()
        }
    }

    fn harvest() -> Harvest {
        Harvest {
            processes: vec![process(7, 1016, "/tmp/out.csv")],
            totals: Totals {
                calls: 3,
                bytes: 1016,
                sites: 2,
            },
            largest: vec![
                row(
                    [Some("parse(std::string)"), Some("run"), Some("main"), None],
                    500,
                    2,
                ),
                row([None; 4], 16, 1),
            ],
            ..Harvest::default()
        }
    }

    #[test]
    fn one_process() {
        let expected = format!(
            "skip-heapprof: jq: 3 allocations, 1,016 bytes (1.0 kB), 2 sites\n\
             \n  bytes   share {:14}  calls  size  allocated by ← called by\n \
             1.0 kB  98.4 % {:14}      2   500  parse(std::string) ← run ← main\n   \
             16 B   1.6 % {:14}      1    16  -\n\
             \nall sites: /tmp/out.csv\n",
            "", "██████████████", "▎"
        );
        assert_eq!(text(&harvest(), 100), expected);
    }

    #[test]
    fn lines_fit_the_window() {
        let mut harvest = harvest();
        let long = "name".repeat(50);
        harvest.largest[0].names = [Some(&*long); 4].map(|name| name.map(Into::into));
        for width in [40, 60, 100, 200] {
            let text = text(&harvest, width);
            let longest = text.lines().skip(1).map(|line| line.chars().count()).max();
            assert!(longest <= Some(width), "{width}:\n{text}");
        }
    }

    #[test]
    fn many_processes() {
        let mut harvest = harvest();
        harvest.processes = (0..12)
            .map(|i| {
                process(
                    100 + i,
                    1000 * u64::from(i),
                    &format!("/tmp/out.jq.{i}.csv"),
                )
            })
            .collect();
        let program = |name: &str, bytes| Program {
            name: name.into(),
            processes: 6,
            calls: 3,
            bytes,
            csv: None,
        };
        harvest.programs = vec![program("cc1", 508), program("as", 8)];
        let text = text(&harvest, 100);
        assert!(
            text.contains(" 508 B  50.0 % ") && text.contains("      3          6  cc1\n"),
            "{text}"
        );
        assert!(
            text.starts_with("skip-heapprof: 12 processes of 2 programs: 3 allocations"),
            "{text}"
        );
        let listed: Vec<&str> = text.lines().filter(|line| line.ends_with(" jq")).collect();
        assert_eq!(listed.len(), LISTED, "{text}");
        assert!(
            listed[0].contains("11.0 kB") && listed[0].contains(" 111 "),
            "{text}"
        );
        assert!(text.contains("and 2 smaller ones\n"), "{text}");
        assert!(
            text.contains("all sites of jq (100): /tmp/out.jq.0.csv\n"),
            "{text}"
        );
        assert!(text.contains("and 2 more in /tmp\n"), "{text}");
    }

    #[test]
    fn estimates_say_so() {
        let mut harvest = harvest();
        harvest.sampled = Some((12, 50.8 * 50.8));
        let said = text(&harvest, 100);
        let expected =
            "estimated from a sample of 12 allocations, standard error ±5.0 % of all bytes\n";
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn a_report_on_helpers_alone_is_said_to_be_one() {
        let mut harvest = harvest();
        harvest.unrecorded = Some(PathBuf::from("/usr/bin/gdb"));
        let said = text(&harvest, 100);
        let expected = "note: /usr/bin/gdb itself was not recorded, only what it started";
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut harvest = harvest();
        assert!(!text(&harvest, 100).contains("warning"));
        harvest.losses = [(Cause::Code(Loss::NoMemory.code()), 1234)].into();
        harvest.cuts = [(Cause::Code(Cut::NoUnwindInfo.code()), 1)].into();
        harvest.missing = 4096;
        let text = text(&harvest, 100);
        assert!(
            text.contains("warning: 4,096 bytes of the recording missing"),
            "{text}"
        );
        assert!(
            text.contains("warning: 1,234 allocations not recorded: no memory"),
            "{text}"
        );
        assert!(
            text.contains("the stacks of 1 allocation were cut short at code without"),
            "{text}"
        );
    }
}
