//! Draws what is known of the process.

use super::names::NO_NAME;
use super::order::{self, Sort};
use super::rows::{Figures, Row};
use super::state::{Opened, State};
use super::watch::{Standing, Watch};
use crate::terminal::names::join;
use crate::terminal::term::{counted, grouped, printable, scaled};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};
use skipheap_responsible::fold;
use std::time::Duration;

/// Lines above the list.
const HEAD: u16 = 4;
/// Draws everything.
pub(crate) fn draw(frame: &mut Frame<'_>, watch: &Watch, state: &mut State) {
    let [head, list, keys] = Layout::vertical([
        Constraint::Length(HEAD),
        Constraint::Min(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(frame, head, watch);
    state.height = usize::from(list.height).saturating_sub(1);
    if state.is_helping {
        draw_help(frame, list);
        draw_keys(frame, keys, state);
        return;
    }
    match &mut state.opened {
        Some(opened) => draw_stacks(frame, list, watch, opened),
        None => draw_rows(frame, list, watch, state),
    }
    draw_keys(frame, keys, state);
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, watch: &Watch) {
    let [text, curve] =
        Layout::vertical([Constraint::Length(HEAD - 1), Constraint::Length(1)]).areas(area);
    let standing = match watch.standing {
        Standing::Runs => "",
        Standing::Stopped => ", does not record",
        Standing::Ended => ", has ended",
    };
    let totals = &watch.totals;
    let about = if watch.is_sample { "about " } else { "" };
    let name = printable(&watch.program);
    let first = format!("{name} ({}), {}{standing}", watch.pid, duration(watch.age),);
    let second = format!(
        "{about}{}, {}, {}; {}/s, {}/s{}",
        counted(totals.calls, "allocation", "allocations"),
        scaled(totals.bytes),
        counted(watch.rows.all().len() as u64, "site", "sites"),
        grouped(watch.per_second(totals.recent)),
        scaled(watch.per_second(totals.recent_bytes)),
        waiting(watch),
    );
    let rss = match watch.rss {
        0 => "-".to_owned(),
        rss => scaled(rss),
    };
    let third = match &watch.live {
        Some(live) => format!(
            "live {about}{} in {}, peak {}, RSS {rss}",
            scaled(totals.live_bytes),
            counted(totals.live, "block", "blocks"),
            // The process notes it a little later.
            scaled(live.peak_bytes.max(totals.live_bytes)),
        ),
        None => format!("blocks are not tracked (--live); RSS {rss}"),
    };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let lines = vec![Line::styled(first, bold), second.into(), third.into()];
    frame.render_widget(Paragraph::new(lines), text);
    let [label, graph] =
        Layout::horizontal([Constraint::Length(8), Constraint::Min(1)]).areas(curve);
    frame.render_widget("BYTES/s ", label);
    let room = usize::from(graph.width);
    let skipped = watch.curve.len().saturating_sub(room);
    let shown: Vec<u64> = watch.curve.iter().skip(skipped).copied().collect();
    frame.render_widget(Sparkline::default().data(shown), graph);
}

fn waiting(watch: &Watch) -> String {
    match watch.rows.waiting() {
        0 => String::new(),
        n => format!("; {} soon", counted(n as u64, "new site", "new sites")),
    }
}

/// `1:02:03`, or `2:03` below an hour.
fn duration(age: Duration) -> String {
    let seconds = age.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

fn draw_rows(frame: &mut Frame<'_>, area: Rect, watch: &Watch, state: &mut State) {
    let most = state.selected.saturating_add(state.height + 1);
    let (rows, functions) = (watch.rows.all(), watch.functions.all());
    state.shown = match state.lists_sites {
        true => order::first(rows, &watch.names, state.sort, &state.filter, most),
        false => order::first(functions, &watch.names, state.sort, &state.filter, most),
    };
    let last = state.shown.1.saturating_sub(1);
    state.selected = state.selected.min(last);
    let first_in_view = (state.selected + 1).saturating_sub(state.height);
    state.top = state.top.clamp(first_in_view, state.selected);
    let width = usize::from(area.width);
    let mut lines = vec![headings(state, width)];
    let shown = state.shown.0.iter().enumerate();
    for (i, &place) in shown.skip(state.top).take(state.height) {
        let place = place as usize;
        let text = match state.lists_sites {
            true => rows.get(place).map(|row| {
                let names = |room| join_names(&row.names, None, watch, room);
                line_of(&row.figures(), row.size, watch, state.sort, width, names)
            }),
            false => functions.get(place).map(|function| {
                let names = |room| join_names(&function.names, Some(function.via), watch, room);
                line_of(
                    &function.figures,
                    function.size,
                    watch,
                    state.sort,
                    width,
                    names,
                )
            }),
        };
        let style = match i == state.selected {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        let text = text.unwrap_or_default();
        lines.push(Line::styled(format!("{text:<width$}"), style));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

/// The columns of numbers for an order: those that are seldom wanted stand in the place of others.
fn numbers(sort: Sort) -> [(&'static str, usize, Option<Sort>); 5] {
    let live = match sort {
        Sort::Peak => ("PEAK", 10, Some(Sort::Peak)),
        _ => ("LIVE", 10, Some(Sort::Live)),
    };
    let rate = match sort {
        Sort::Leaky => ("KEPT %", 10, Some(Sort::Leaky)),
        _ => ("BYTES/s", 10, Some(Sort::Rate)),
    };
    [
        ("BYTES", 10, Some(Sort::Bytes)),
        ("CALLS", 14, Some(Sort::Calls)),
        live,
        rate,
        ("SIZE", 9, None),
    ]
}

fn headings(state: &State, width: usize) -> Line<'static> {
    let mut spans = Vec::new();
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    let mut taken = 0;
    for (name, columns, own) in numbers(state.sort) {
        let style = match own == Some(state.sort) {
            true => reversed.add_modifier(Modifier::BOLD),
            false => reversed,
        };
        let mark = if own == Some(state.sort) { "▼" } else { "" };
        spans.push(Span::styled(
            format!("{:>columns$} ", format!("{mark}{name}")),
            style,
        ));
        taken += columns + 1;
    }
    let rest = width.saturating_sub(taken);
    let names = match state.lists_sites {
        true => "allocated by ← called by",
        false => "responsible (via plumbing) ← mostly called by",
    };
    spans.push(Span::styled(format!("{names:<rest$}"), reversed));
    Line::from(spans)
}

fn line_of(
    figures: &Figures,
    size: u64,
    watch: &Watch,
    sort: Sort,
    width: usize,
    names: impl Fn(usize) -> String,
) -> String {
    let known = |text: String| match watch.live {
        Some(_) => text,
        None => "-".to_owned(),
    };
    let kept = 100.0 * figures.live as f64 / figures.calls.max(1) as f64;
    let cells = [
        scaled(figures.bytes),
        grouped(figures.calls),
        known(scaled(match sort {
            Sort::Peak => figures.peak_bytes,
            _ => figures.live_bytes,
        })),
        match sort {
            Sort::Leaky => known(format!("{kept:.1}")),
            _ => scaled(watch.per_second(figures.recent_bytes)),
        },
        grouped(size),
    ];
    let mut text = String::new();
    for (cell, (_, columns, _)) in cells.iter().zip(numbers(sort)) {
        text += &format!("{cell:>columns$} ");
    }
    let room = width.saturating_sub(text.chars().count());
    text + &names(room)
}

/// Names of a row or a function, innermost first, the first one with the plumbing that it calls.
fn join_names(numbers: &[u32; 4], via: Option<u32>, watch: &Watch, room: usize) -> String {
    let mut names: Vec<String> = numbers
        .iter()
        .map(|&number| watch.names.name(number))
        .filter(|name| !name.is_empty())
        .map(|name| match via {
            Some(_) => printable(&fold(name)),
            None => printable(name),
        })
        .collect();
    if let (Some(first), Some(via)) = (names.first_mut(), via.filter(|&via| via != NO_NAME)) {
        *first += &format!(" (via {})", printable(&fold(watch.names.name(via))));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match names.is_empty() {
        true => "-".to_owned(),
        false => join(&names, " ← ", room),
    }
}

fn draw_stacks(frame: &mut Frame<'_>, area: Rect, watch: &Watch, opened: &mut Opened) {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let all: u64 = opened.stacks.iter().map(|stack| stack.calls).sum();
    let mut lines = Vec::new();
    let rows = watch.rows.all();
    let rows = opened.rows.iter().filter_map(|&row| rows.get(row as usize));
    let rows: Vec<&Row> = rows.collect();
    let mut sizes: Vec<u64> = rows.iter().map(|row| row.size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let calls = rows.iter().map(|row| row.calls);
    let size = match sizes[..] {
        [size] => format!("{} bytes", grouped(size)),
        _ => counted(sizes.len() as u64, "size", "sizes"),
    };
    let title = format!(
        "{} of {size} from {}",
        counted(
            calls.fold(0, u64::saturating_add),
            "allocation",
            "allocations"
        ),
        counted(opened.all as u64, "stack", "stacks"),
    );
    lines.push(Line::styled(title, bold));
    for stack in &opened.stacks {
        let share = 100.0 * stack.calls as f64 / all.max(1) as f64;
        let title = format!(
            "{share:5.1} %  {} by {}",
            counted(stack.calls, "call", "calls"),
            printable(&stack.function)
        );
        lines.push(Line::default());
        lines.push(Line::styled(title, bold));
        for (i, name) in stack.names.iter().enumerate() {
            lines.push(format!("  {i:>4}  {}", printable(name)).into());
        }
    }
    if opened.all > opened.stacks.len() {
        let more = (opened.all - opened.stacks.len()) as u64;
        lines.push(Line::default());
        lines.push(format!("and {}", counted(more, "smaller one", "smaller ones")).into());
    }
    if !watch.has_whole_stacks {
        lines.push(Line::default());
        lines.push("(four frames are recorded; --stack-depth full records all)".into());
    }
    let height = usize::from(area.height);
    opened.scrolled = opened.scrolled.min(lines.len().saturating_sub(height));
    let lines: Vec<Line<'_>> = lines
        .into_iter()
        .skip(opened.scrolled)
        .take(height)
        .collect();
    frame.render_widget(Paragraph::new(lines), area);
}

/// What the keys do.
const KEYS: [(&str, &str); 14] = [
    ("b", "sort by bytes of all allocations"),
    ("c", "sort by calls"),
    ("l", "sort by live bytes"),
    ("r", "sort by bytes per second"),
    (
        "p",
        "sort by bytes that lived when the process held the most",
    ),
    (
        "w",
        "sort by what looks like a leak: live bytes, and how few blocks are freed",
    ),
    ("F6 < >", "sort by the next or the previous column"),
    (
        "s Tab",
        "list call sites, one for each size, or responsible functions",
    ),
    ("Enter", "show the stacks of a function or a site"),
    ("/", "filter by a part of a name; Esc takes it away"),
    ("↑ ↓ j k", "go up and down"),
    (
        "PgUp PgDn",
        "go a page up and down; Home and End go to the ends",
    ),
    ("? h F1", "this help"),
    ("q", "quit"),
];

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let lines = KEYS.map(|(keys, what)| {
        Line::from(vec![
            Span::styled(format!("  {keys:<11}"), bold),
            Span::raw(what),
        ])
    });
    frame.render_widget(Paragraph::new(lines.to_vec()), area);
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect, state: &State) {
    if state.is_typing {
        frame.render_widget(format!("Filter: {}█", state.filter), area);
        return;
    }
    let keys: &[(&str, &str)] = match state.opened {
        _ if state.is_helping => &[("any key", "Back"), ("q", "Quit")],
        Some(_) => &[("↑↓", "Scroll"), ("Esc", "Back"), ("q", "Quit")],
        None => &[
            ("Enter", "Stacks"),
            ("/", "Filter"),
            ("F6", "Sort"),
            (
                "s",
                if state.lists_sites {
                    "Functions"
                } else {
                    "Sites"
                },
            ),
            ("?", "Help"),
            ("q", "Quit"),
        ],
    };
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    let mut spans = Vec::new();
    for (key, what) in keys {
        spans.push(Span::raw(format!("{key} ")));
        spans.push(Span::styled(format!("{what} "), reversed));
        spans.push(Span::raw(" "));
    }
    if !state.filter.is_empty() {
        let (found, filter) = (grouped(state.shown.1 as u64), printable(&state.filter));
        spans.push(Span::raw(format!("{found} with “{filter}”")));
    }
    frame.render_widget(Line::from(spans), area);
}
