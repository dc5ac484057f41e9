//! Differences as Markdown, for descriptions of changes and for summaries of CI jobs.

use super::super::Change;
use super::super::functions::FunctionChange;
use super::{Named, text};
use skipheap_text::counted;
use std::fmt::Write;

/// Longest text of a cell, in characters.
const LONGEST: usize = 240;

/// A heading, the totals, and the sites with the largest differences.
pub fn write(named: &Named<'_>) -> String {
    let mut out = String::new();
    let diff = named.diff;
    // Writing to a string cannot fail.
    let _ = writeln!(out, "### Heap: {} → {}\n", code(named.old), code(named.new));
    totals(&mut out, named);
    let _ = writeln!(out, "\n{}\n", escaped(&text::explained(diff)));
    let listed = if named.all { usize::MAX } else { named.listed };
    let functions = named.shown_functions();
    if let Some(changes) = &functions {
        by_function(&mut out, changes, listed, diff.delta().live.is_some());
        out.push_str("\n<details><summary>call sites</summary>\n\n");
    }
    let shown: Vec<&Change> = named.shown().take(listed).collect();
    sites(&mut out, &shown, diff.delta().live.is_some());
    let more = named.shown().count() - shown.len();
    if more > 0 {
        let more = counted(more as u64, "site", "sites");
        let _ = writeln!(out, "\nand {more} with smaller differences");
    }
    if functions.is_some() {
        out.push_str("\n</details>\n");
    }
    for note in text::notes(diff) {
        let _ = writeln!(out, "\n> {}", escaped(&note));
    }
    out
}

/// The table of responsible functions.
fn by_function(out: &mut String, changes: &[&FunctionChange], listed: usize, with_live: bool) {
    let (heading, rule) = match with_live {
        true => (" at the peak | not freed |", "---:|---:|"),
        false => ("", ""),
    };
    let _ = writeln!(
        out,
        "| bytes |{heading} calls | | responsible (via plumbing) ← mostly called by |\n|---:|{rule}---:|---|---|"
    );
    for change in changes.iter().take(listed) {
        let live = match with_live {
            true => format!(
                " {} | {} |",
                text::signed(change.peak()),
                text::signed(change.live())
            ),
            false => String::new(),
        };
        let _ = writeln!(
            out,
            "| {} |{live} {} | {} | {} |",
            text::signed(change.bytes()),
            text::signed(change.calls()),
            change.word(),
            code(&change.function.in_one_line()),
        );
    }
    let more = changes.len().saturating_sub(listed);
    if more > 0 {
        let more = counted(more as u64, "function", "functions");
        let _ = writeln!(out, "\nand {more} with smaller differences");
    }
}

/// The table of totals.
pub fn totals(out: &mut String, named: &Named<'_>) {
    out.push_str("| | old | new | difference | |\n|---|---:|---:|---:|---:|\n");
    for cells in text::totals(named.diff) {
        let _ = writeln!(out, "| {} |", cells.map(|cell| escaped(&cell)).join(" | "));
    }
}

/// A table of sites; nothing where there are none.
pub fn sites(out: &mut String, changes: &[&Change], with_live: bool) {
    if changes.is_empty() {
        return;
    }
    let (heading, rule) = match with_live {
        true => (" not freed |", "---:|"),
        false => ("", ""),
    };
    let _ = writeln!(
        out,
        "| bytes |{heading} calls | size | | allocated by ← called by |\n|---:|{rule}---:|---:|---|---|"
    );
    for change in changes {
        let live = match text::not_freed(&change.delta).filter(|_| with_live) {
            Some(bytes) => format!(" {} |", text::signed(bytes)),
            None => String::new(),
        };
        let _ = writeln!(
            out,
            "| {} |{live} {} | {} | {} | {} |",
            text::signed(change.delta.bytes),
            text::signed(change.delta.calls),
            text::size(change),
            change.kind().word(),
            code(&stack(change)),
        );
    }
}

fn stack(change: &Change) -> String {
    let names: Vec<&str> = change.names.iter().flatten().map(|name| &**name).collect();
    match names.is_empty() {
        true => "-".to_owned(),
        false => names.join(" ← "),
    }
}

/// Text that is shown as it is, in the type of code.
pub fn code(text: &str) -> String {
    format!(
        "<code>{}</code>",
        escaped(&skipheap_text::cut(text, LONGEST))
    )
}

/// Text in which nothing is markup: neither Markdown, nor HTML, nor the end of a cell, nor what sites make of
/// names, numbers and addresses (`@name`, `#1`, `:word:`, `www.`).
pub fn escaped(text: &str) -> String {
    let text = skipheap_text::printable_text(text);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let is_plain = !c.is_ascii_punctuation() || matches!(c, ',' | '(' | ')' | '%' | '=' | ';');
        match is_plain {
            true => out.push(c),
            false => {
                let _ = write!(out, "&#{};", u32::from(c));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::compare;
    use proptest::prelude::*;
    use skipheap_profile::report::rows::Row;

    fn row(name: &str, size: u64) -> Row {
        Row {
            names: [Some(name.into()), Some("main".into()), None, None],
            size,
            calls: 1,
            total: size,
            ..Row::default()
        }
    }

    #[test]
    fn tables_list_totals_and_sites() {
        let diff = compare(&[row("f", 16)], &[row("f", 16), row("g<T>|x", 100)]);
        let said = write(&Named {
            diff: &diff,
            old: "a.csv",
            new: "b.csv",
            all: false,
            functions: None,
            listed: 10,
        });
        for expected in [
            "### Heap: <code>a&#46;csv</code> → <code>b&#46;csv</code>\n",
            "| bytes | 16 | 116 | &#43;100 | &#43;625&#46;0 % |\n",
            "| +100 | +1 | 100 | new | <code>g&#60;T&#62;&#124;x ← main</code> |\n",
        ] {
            assert!(said.contains(expected), "{expected}:\n{said}");
        }
    }

    proptest! {
        #[test]
        fn no_name_is_markup(name in "\\PC{0,40}") {
            let text = escaped(&name);
            let is_safe = |c: char| !matches!(c, '<' | '>' | '|' | '`' | '*' | '_' | '[' | '@' | '\n' | '\\' | '~');
            prop_assert!(text.chars().all(is_safe), "{}", text);
        }
    }
}
