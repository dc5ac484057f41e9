//! Draws what is known of the process.

use super::order::{self, Sort};
use super::rows::Row;
use super::state::{Opened, State};
use super::watch::{Standing, Watch};
use crate::names::join;
use crate::term::{counted, grouped, printable, scaled};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline};
use std::time::Duration;

/// Lines above the list.
const HEAD: u16 = 4;
/// Columns of the numbers: bytes, calls, live, rate, size.
const NUMBERS: [(&str, usize, Option<Sort>); 5] = [
    ("BYTES", 10, Some(Sort::Bytes)),
    ("CALLS", 14, Some(Sort::Calls)),
    ("LIVE", 10, Some(Sort::Live)),
    ("BYTES/s", 10, Some(Sort::Rate)),
    ("SIZE", 9, None),
];

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
    let rows = watch.rows.all();
    let most = state.selected.saturating_add(state.height + 1);
    state.shown = order::first(rows, &watch.names, state.sort, &state.filter, most);
    let last = state.shown.1.saturating_sub(1);
    state.selected = state.selected.min(last);
    let first_in_view = (state.selected + 1).saturating_sub(state.height);
    state.top = state.top.clamp(first_in_view, state.selected);
    let width = usize::from(area.width);
    let mut lines = vec![headings(state.sort, width)];
    let shown = state.shown.0.iter().enumerate();
    for (i, &row) in shown.skip(state.top).take(state.height) {
        let Some(row) = rows.get(row as usize) else {
            continue;
        };
        let text = format!("{:<width$}", line_of(row, watch, width));
        let style = match i == state.selected {
            true => Style::new().add_modifier(Modifier::REVERSED),
            false => Style::new(),
        };
        lines.push(Line::styled(text, style));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn headings(sort: Sort, width: usize) -> Line<'static> {
    let mut spans = Vec::new();
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    let mut taken = 0;
    for (name, columns, own) in NUMBERS {
        let style = match own == Some(sort) {
            true => reversed.add_modifier(Modifier::BOLD),
            false => reversed,
        };
        let mark = if own == Some(sort) { "▼" } else { "" };
        spans.push(Span::styled(
            format!("{:>columns$} ", format!("{mark}{name}")),
            style,
        ));
        taken += columns + 1;
    }
    let rest = width.saturating_sub(taken);
    spans.push(Span::styled(
        format!("{:<rest$}", "allocated by ← called by"),
        reversed,
    ));
    Line::from(spans)
}

fn line_of(row: &Row, watch: &Watch, width: usize) -> String {
    let live = match watch.live {
        Some(_) => scaled(row.live_bytes()),
        None => "-".to_owned(),
    };
    let cells = [
        scaled(row.bytes()),
        grouped(row.calls),
        live,
        scaled(watch.per_second(row.recent_bytes())),
        grouped(row.size),
    ];
    let mut text = String::new();
    for (cell, (_, columns, _)) in cells.iter().zip(NUMBERS) {
        text += &format!("{cell:>columns$} ");
    }
    let room = width.saturating_sub(text.chars().count());
    text + &site(row, watch, room)
}

fn site(row: &Row, watch: &Watch, room: usize) -> String {
    let names: Vec<String> = row
        .names
        .iter()
        .map(|&number| printable(watch.names.name(number)))
        .filter(|name| !name.is_empty())
        .collect();
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
    if let Some(row) = watch.rows.all().get(opened.row as usize) {
        let title = format!(
            "{} of {} bytes from {}",
            counted(row.calls, "allocation", "allocations"),
            grouped(row.size),
            counted(opened.all as u64, "stack", "stacks"),
        );
        lines.push(Line::styled(title, bold));
    }
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

fn draw_keys(frame: &mut Frame<'_>, area: Rect, state: &State) {
    if state.is_typing {
        frame.render_widget(format!("Filter: {}█", state.filter), area);
        return;
    }
    let keys: &[(&str, &str)] = match state.opened {
        Some(_) => &[("↑↓", "Scroll"), ("Esc", "Back"), ("q", "Quit")],
        None => &[
            ("Enter", "Stacks"),
            ("/", "Filter"),
            ("F6", "Sort"),
            ("b c l r", "by bytes, calls, live, rate"),
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
