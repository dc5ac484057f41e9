//! The summary on standard error.

use crate::harvest::{Harvest, Process};
use crate::load::Cuts;
use crate::record::loss::LOSSES;
use crate::report::rows::Row;
use crate::term::{bytes, counted, cut, grouped, join, printable};
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write;
use std::path::Path;

/// Sites and processes that are listed.
pub(crate) const LISTED: usize = 10;

/// Why stacks were cut, in the order of [`Cuts`].
const CUT_REASONS: [&str; size_of::<Cuts>() / size_of::<u64>()] = [
    "at code without unwind information",
    "at stack memory that cannot be followed",
    "by deep recursion",
];

/// The whole summary, in lines of at most `width` columns but for paths.
pub(crate) fn text(harvest: &Harvest, width: usize) -> String {
    let mut text = String::new();
    headline(&mut text, harvest);
    if harvest.processes.len() > 1 {
        processes(&mut text, harvest);
    }
    if !harvest.largest.is_empty() {
        sites(&mut text, harvest, width);
    }
    let files = files(harvest);
    if !files.is_empty() {
        line(&mut text, format_args!("\n{}", files.trim_end()));
    }
    warnings(&mut text, harvest);
    text
}

/// Adds a line; writing to a string cannot fail.
fn line(text: &mut String, args: std::fmt::Arguments<'_>) {
    let _ = text.write_fmt(args);
    text.push('\n');
}

fn headline(text: &mut String, harvest: &Harvest) {
    let who = match &harvest.processes[..] {
        [one] => printable(&one.program),
        many => counted(many.len() as u64, "process", "processes"),
    };
    let totals = harvest.totals;
    line(
        text,
        format_args!(
            "skip-heapprof: {who}: {}, {}, {}",
            counted(totals.calls, "allocation", "allocations"),
            bytes(totals.bytes),
            counted(totals.sites as u64, "site", "sites"),
        ),
    );
}

/// Lists the processes that allocated most.
fn processes(text: &mut String, harvest: &Harvest) {
    let mut largest: Vec<&Process> = harvest.processes.iter().collect();
    largest.sort_by_key(|process| std::cmp::Reverse(process.totals.bytes));
    largest.truncate(LISTED);
    let mut table = table(["bytes", "calls", "sites", "pid"], "program");
    for process in &largest {
        table.add_row([
            grouped(process.totals.bytes),
            grouped(process.totals.calls),
            grouped(process.totals.sites as u64),
            process.pid.to_string(),
            printable(&process.program),
        ]);
    }
    line(text, format_args!("\n{}", table.trim_fmt()));
    let more = harvest.processes.len() - largest.len();
    if more > 0 {
        line(
            text,
            format_args!(
                " and {}",
                counted(more as u64, "smaller one", "smaller ones")
            ),
        );
    }
}

/// Lists the sites that allocated most.
fn sites(text: &mut String, harvest: &Harvest, width: usize) {
    let cells = |row: &Row| {
        let share = 100.0 * row.total as f64 / harvest.totals.bytes.max(1) as f64;
        [
            grouped(row.total),
            format!("{share:.1} %"),
            grouped(row.calls),
            grouped(row.size),
        ]
    };
    let headings = ["bytes", "share", "calls", "size"];
    let numbers: Vec<[String; 4]> = harvest.largest.iter().map(cells).collect();
    let taken: usize = (0..headings.len())
        .map(|column| {
            let widest = numbers.iter().map(|cells| cells[column].chars().count());
            // A space on either side, as for the names.
            widest.chain([headings[column].len()]).max().unwrap_or(0) + 2
        })
        .sum();
    let room = width.saturating_sub(taken + 2);
    let mut table = table(headings, &cut("allocated by ← called by", room));
    for (row, cells) in harvest.largest.iter().zip(numbers) {
        let names: Vec<String> = row
            .names
            .iter()
            .flatten()
            .map(|name| printable(name))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let site = if names.is_empty() {
            "-".to_owned()
        } else {
            join(&names, " ← ", room)
        };
        let [bytes, share, calls, size] = cells;
        table.add_row([bytes, share, calls, size, site]);
    }
    line(text, format_args!("\n{}", table.trim_fmt()));
}

/// A table of numbers with names at the end.
fn table(numbers: [&str; 4], name: &str) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(numbers.into_iter().chain([name]));
    for column in table.column_iter_mut().take(numbers.len()) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Says where the CSV files are.
pub(crate) fn files(harvest: &Harvest) -> String {
    let text = &mut String::new();
    let mut all: Vec<(&Path, Option<&Process>)> = Vec::new();
    all.extend(harvest.merged_csv.as_deref().map(|path| (path, None)));
    for process in &harvest.processes {
        all.extend(process.csv.as_deref().map(|path| (path, Some(process))));
    }
    for (path, process) in all.iter().take(LISTED) {
        let path = path.display();
        match process {
            Some(process) if all.len() > 1 => {
                let program = printable(&process.program);
                line(
                    text,
                    format_args!("all sites of {program} ({}): {path}", process.pid),
                );
            }
            _ => line(text, format_args!("all sites: {path}")),
        }
    }
    if all.len() > LISTED {
        line(
            text,
            format_args!(
                "and {} more beside them, with the program and the process id in the name",
                grouped((all.len() - LISTED) as u64)
            ),
        );
    }
    std::mem::take(text)
}

/// Says what the numbers do not include. Nothing, on an ordinary run.
fn warnings(text: &mut String, harvest: &Harvest) {
    for (&count, loss) in harvest.losses.iter().zip(&LOSSES) {
        if count > 0 {
            line(
                text,
                format_args!("warning: {} {}", grouped(count), loss.text),
            );
        }
    }
    for (&count, reason) in harvest.cuts.iter().zip(CUT_REASONS) {
        if count > 0 {
            let what = counted(count, "allocation", "allocations");
            line(
                text,
                format_args!("note: the stacks of {what} were cut short {reason}"),
            );
        }
    }
    for error in &harvest.unreadable {
        line(
            text,
            format_args!("warning: a recording cannot be read: {error}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::rows::Totals;
    use std::path::PathBuf;

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
        }
    }

    fn row(names: [Option<&str>; 4], size: u64, calls: u64) -> Row {
        Row {
            names: names.map(|name| name.map(Into::into)),
            size,
            calls,
            total: size * calls,
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
        assert_eq!(
            text(&harvest(), 100),
            "skip-heapprof: jq: 3 allocations, 1,016 bytes (1.0 kB), 2 sites\n\
             \n bytes   share  calls  size  allocated by ← called by\n \
             1,000  98.4 %      2   500  parse(std::string) ← run ← main\n    \
             16   1.6 %      1    16  -\n\
             \nall sites: /tmp/out.csv\n"
        );
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
        let text = text(&harvest, 100);
        assert!(
            text.starts_with("skip-heapprof: 12 processes: 3 allocations"),
            "{text}"
        );
        let listed: Vec<&str> = text.lines().filter(|line| line.ends_with(" jq")).collect();
        assert_eq!(listed.len(), LISTED, "{text}");
        assert!(
            listed[0].contains("11,000") && listed[0].contains(" 111 "),
            "{text}"
        );
        assert!(text.contains("and 2 smaller ones\n"), "{text}");
        assert!(
            text.contains("all sites of jq (100): /tmp/out.jq.0.csv\n"),
            "{text}"
        );
        assert!(text.contains("and 2 more beside them"), "{text}");
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut harvest = harvest();
        assert!(!text(&harvest, 100).contains("warning"));
        harvest.losses[1] = 1234;
        harvest.cuts[0] = 1;
        let text = text(&harvest, 100);
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
