//! Tables of the summary: numbers with a stack or a name behind them, and a bar for the share where there is one.

use crate::terminal::names::{fitted, shorten};
use crate::terminal::paint::{BAR, QUIET, painted};
use crate::terminal::term::line;
use crate::terminal::term::{columns_of, cut};

/// Between two columns.
const GAP: usize = 2;
/// Widest bar.
const MOST_BAR: usize = 20;
/// Narrowest room for names that a bar may take something of.
const LEAST_ROOM: usize = 25;
/// Longest part of the room for names that bars leave to the first name of each line.
const LONGEST_NAME: usize = 60;
/// Plumbing and callers that have less room are left out.
const LEAST_REST: usize = 8;
/// Between the names of a stack.
const ARROW: &str = " ← ";

/// A line of a table.
#[derive(Debug)]
pub(crate) struct Line<const N: usize> {
    /// Numbers.
    pub(crate) cells: [String; N],
    /// Part of a whole, which the table shows as a bar and a percentage behind the first number.
    pub(crate) share: Option<f64>,
    /// The functions of a stack, innermost first, or one name.
    pub(crate) names: Vec<String>,
    /// Where the first of them is responsible, and comes before all others.
    pub(crate) responsible: Option<Responsible>,
}

/// What is said of a responsible function besides its name.
#[derive(Debug, Default)]
pub(crate) struct Responsible {
    /// Where it allocates: file and line.
    pub(crate) place: Option<String>,
    /// The plumbing that it calls.
    pub(crate) via: Option<String>,
}

/// Adds a table in lines of at most `width` columns; nothing where there are no lines.
pub(crate) fn table<const N: usize>(
    text: &mut String,
    headings: [&str; N],
    names: &str,
    lines: &[Line<N>],
    width: usize,
) {
    if lines.is_empty() {
        return;
    }
    let has_share = lines.iter().any(|line| line.share.is_some());
    let percentages: Vec<String> = lines
        .iter()
        .map(|line| line.share.map_or(String::new(), percent))
        .collect();
    let widest = |cells: &mut dyn Iterator<Item = &str>| cells.map(columns_of).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(|column| {
        let cells = lines.iter().map(|line| &*line.cells[column]);
        widest(&mut cells.chain([headings[column]]))
    });
    let share_width = widest(&mut percentages.iter().map(|text| &**text).chain(["share"]));
    let mut taken = 1 + widths.iter().map(|width| width + GAP).sum::<usize>();
    if has_share {
        taken += share_width + GAP;
    }
    let room = width.saturating_sub(taken);
    let longest = lines.iter().filter_map(|line| line.names.first());
    let longest = longest.map(|name| columns_of(name)).max().unwrap_or(0);
    let bar = match has_share && room >= LEAST_ROOM {
        // Names stay whole before bars are long.
        true => (room / 5)
            .min(MOST_BAR)
            .min((room - 1).saturating_sub(longest.min(LONGEST_NAME))),
        false => 0,
    };
    let room = room.saturating_sub(bar + if bar > 0 { 1 } else { 0 });
    let largest = lines
        .iter()
        .filter_map(|line| line.share)
        .fold(0.0, f64::max);
    let gap = " ".repeat(GAP);
    let right =
        |cell: &str, width: usize| format!("{}{cell}", " ".repeat(width - columns_of(cell)));
    let put = |cells: &[String; N], share: &str, filled: &str, names: &str| {
        let mut row = " ".to_owned();
        for (column, cell) in cells.iter().enumerate() {
            row += &right(cell, widths[column]);
            row += &gap;
            if column == 0 && has_share {
                row += &right(share, share_width);
                if bar > 0 {
                    let empty = bar - columns_of(filled);
                    row.push(' ');
                    row += &painted(BAR, filled);
                    row += &" ".repeat(empty);
                }
                row += &gap;
            }
        }
        row + names
    };
    let head = put(&headings.map(str::to_owned), "share", "", &cut(names, room));
    let head = crate::terminal::paint::plain(&head);
    line(text, format_args!("\n{}", painted(QUIET, head)));
    for (row, share) in lines.iter().zip(&percentages) {
        let filled = row
            .share
            .map_or(String::new(), |share| blocks(share / largest, bar));
        let names = stack(&row.names, row.responsible.as_ref(), room);
        line(
            text,
            format_args!("{}", put(&row.cells, share, &filled, &names)),
        );
    }
}

/// A part of a whole, as `12.3 %`.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The functions of a stack, of which the innermost stands out.
fn stack(names: &[String], responsible: Option<&Responsible>, room: usize) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if let (Some(responsible), Some((first, callers))) = (responsible, names.split_first()) {
        return of_function(first, responsible, callers, room);
    }
    let names = fitted(&names, columns_of(ARROW), room);
    match names.split_first() {
        None => "-".to_owned(),
        Some((one, [])) => one.clone(),
        Some((innermost, callers)) => {
            let callers = format!("{ARROW}{}", callers.join(ARROW));
            format!("{innermost}{}", painted(QUIET, callers))
        }
    }
}

/// A responsible function, with its line and the plumbing that it calls: `load a.c:12 (via xmalloc) ← main`. The
/// function gets room first, then the line, then the plumbing, then the callers.
fn of_function(first: &str, responsible: &Responsible, callers: &[&str], room: usize) -> String {
    const VIA: (&str, &str) = (" (via ", ")");
    let shown = shorten(first, room);
    let mut rest = room - columns_of(&shown).min(room);
    let mut quiet = String::new();
    let around = columns_of(VIA.0) + columns_of(VIA.1);
    if let Some(place) = &responsible.place
        && rest > columns_of(place)
    {
        rest -= columns_of(place) + 1;
        quiet = format!(" {place}");
    }
    if let Some(via) = responsible.via.as_deref()
        && rest >= around + LEAST_REST.min(columns_of(via))
    {
        let via = shorten(via, rest - around);
        rest -= around + columns_of(&via);
        quiet += &format!("{}{via}{}", VIA.0, VIA.1);
    }
    if rest >= columns_of(ARROW) + LEAST_REST && !callers.is_empty() {
        let callers = fitted(callers, columns_of(ARROW), rest - columns_of(ARROW));
        for caller in &callers {
            quiet += ARROW;
            quiet += caller;
        }
    }
    match &*quiet {
        "" => shown,
        quiet => format!("{shown}{}", painted(QUIET, quiet)),
    }
}

/// A bar that fills this part of so many columns, to an eighth of one.
fn blocks(part: f64, columns: usize) -> String {
    const EIGHTHS: [char; 7] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (part.clamp(0.0, 1.0) * 8.0 * columns as f64).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    bar.extend((eighths % 8).checked_sub(1).map(|rest| EIGHTHS[rest]));
    bar
}

/// Part of a whole.
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::paint::plain;

    fn lines() -> Vec<Line<2>> {
        let line = |bytes: &str, calls: &str, share, names: &[&str]| Line {
            cells: [bytes.to_owned(), calls.to_owned()],
            share,
            names: names.iter().map(|&name| name.to_owned()).collect(),
            responsible: None,
        };
        vec![
            line("1.0 MB", "12,345", Some(0.5), &["take", "keep", "main"]),
            line("9 B", "1", Some(0.0625), &[]),
        ]
    }

    #[test]
    fn bars_and_names_share_what_numbers_leave() {
        let at = |width| {
            let mut text = String::new();
            table(
                &mut text,
                ["bytes", "calls"],
                "allocated by",
                &lines(),
                width,
            );
            plain(&text)
        };
        assert_eq!(
            at(64),
            "\n  bytes   share           calls  allocated by\n \
             1.0 MB  50.0 % ███████  12,345  take ← keep ← main\n    \
             9 B   6.2 % ▉             1  -\n"
        );
        assert_eq!(
            at(44),
            "\n  bytes   share   calls  allocated by\n 1.0 MB  50.0 %  12,345  take ← keep ← main\n    \
             9 B   6.2 %       1  -\n"
        );
        for width in [30, 40, 60, 100, 200] {
            let text = at(width);
            assert!(
                text.lines().all(|line| columns_of(line) <= width.max(40)),
                "{text}"
            );
        }
    }

    #[test]
    fn plumbing_and_callers_are_left_out_before_the_function_is_cut() {
        let at = |room| {
            plain(&stack(
                &["load_index".to_owned(), "main".to_owned()],
                Some(&Responsible {
                    place: None,
                    via: Some("xmalloc".to_owned()),
                }),
                room,
            ))
        };
        assert_eq!(at(60), "load_index (via xmalloc) ← main");
        assert_eq!(at(28), "load_index (via xmalloc)");
        assert_eq!(at(16), "load_index");
        assert_eq!(at(8), "load…dex");
    }

    #[test]
    fn a_line_stands_behind_its_function_where_there_is_room() {
        let at = |room| {
            plain(&stack(
                &["load_index".to_owned(), "main".to_owned()],
                Some(&Responsible {
                    place: Some("a.c:12".to_owned()),
                    via: Some("xmalloc".to_owned()),
                }),
                room,
            ))
        };
        assert_eq!(at(60), "load_index a.c:12 (via xmalloc) ← main");
        assert_eq!(at(20), "load_index a.c:12");
        assert_eq!(at(16), "load_index");
    }

    #[test]
    fn bars_shrink_before_names_do() {
        let long = "function_with_a_rather_long_name_in_it";
        let line = |share| Line {
            cells: ["1.0 MB".to_owned()],
            share: Some(share),
            names: vec![long.to_owned(), "main".to_owned()],
            responsible: Some(Responsible::default()),
        };
        let at = |width| {
            let mut text = String::new();
            table(
                &mut text,
                ["bytes"],
                "function",
                &[line(0.9), line(0.1)],
                width,
            );
            plain(&text)
        };
        assert!(at(100).contains("██"));
        let narrow = at(60);
        assert!(
            narrow.contains(long) && !narrow.contains("██████"),
            "{narrow}"
        );
    }

    #[test]
    fn bars_have_eighths() {
        let bars: Vec<String> = [0.0, 0.01, 0.1, 0.5, 1.0, 7.0]
            .map(|part| blocks(part, 4))
            .into();
        assert_eq!(bars, ["", "", "▍", "██", "████", "████"]);
    }
}
