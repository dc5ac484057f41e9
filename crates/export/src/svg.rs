//! Flame graphs as SVG, drawn by inferno: red and blue where two runs are compared.
//!
//! Names are escaped by inferno. What it takes for something else in its lines is kept from it: a name that
//! ends with a number would be a second column.

use super::data;
use inferno::flamegraph::color::{BasicPalette, Palette};
use inferno::flamegraph::{Direction, Options, from_lines};
use skipheap_compare::diff::out::collapsed;
use skipheap_profile::Profile;
use skipheap_profile::report::collapsed::{Style, Value};
use skipheap_profile::stacks::stacks;
use std::io::{self, Write};

/// Sums that stay exact on their way through JavaScript.
const LARGEST_SUM: u128 = 1 << 53;

/// Writes the graph of one value.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(profile: &Profile, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut text = Vec::new();
    let columns = match profile.compared_with {
        Some(_) => {
            collapsed::write(profile, style, &mut text)?;
            2
        }
        None => {
            stacks(profile, style).write(&mut text)?;
            1
        }
    };
    let text = String::from_utf8_lossy(&text);
    let mut lines: Vec<Line<'_>> = text
        .lines()
        .filter_map(|line| Line::of(line, columns))
        .collect();
    lines.retain(|line| line.width() > 0);
    if lines.is_empty() {
        return nothing(profile, style, out);
    }
    // In the order of a tree; lines in the order of the alphabet have `a.b` between `a` and `a;c`.
    lines.sort_by(|a, b| a.stack.split(';').cmp(b.stack.split(';')));
    let sum = lines
        .iter()
        .map(|line| u128::from(line.width()))
        .sum::<u128>();
    let shift = (sum / LARGEST_SUM)
        .checked_ilog2()
        .map_or(0, |bits| bits + 1);
    let lines: Vec<String> = lines.iter().map(|line| line.text(shift)).collect();
    let mut options = Options::default();
    options.title = data::title(profile);
    options.subtitle = Some(subtitle(profile, style.value));
    options.count_name = unit(style.value).to_owned();
    options.notes = notes(profile);
    options.colors = Palette::Basic(BasicPalette::Mem);
    // Roots at the top: of stacks that are a hundred frames deep the window shows the wide part.
    options.direction = Direction::Inverted;
    // The same file for the same profile.
    options.deterministic = true;
    options.factor = (1_u64 << shift.min(63)) as f64;
    // As they stand, and drawn from the last one on.
    options.flame_chart = true;
    from_lines(&mut options, lines.iter().rev().map(String::as_str), out)
}

/// A stack with its numbers: one, or those of the old and of the new run.
struct Line<'t> {
    stack: &'t str,
    old: Option<u64>,
    new: u64,
}

impl<'t> Line<'t> {
    fn of(line: &'t str, columns: usize) -> Option<Self> {
        let (rest, new) = line.rsplit_once(' ')?;
        let new = new.parse().ok()?;
        let (stack, old) = match columns {
            1 => (rest, None),
            _ => {
                let (stack, old) = rest.rsplit_once(' ')?;
                (stack, Some(old.parse().ok()?))
            }
        };
        Some(Self { stack, old, new })
    }

    /// A stack has the width of the new run.
    fn width(&self) -> u64 {
        self.new
    }

    fn text(&self, shift: u32) -> String {
        let scaled = |number: u64| number.checked_shr(shift).unwrap_or(0);
        let stack = guarded(self.stack);
        match self.old {
            Some(old) => format!("{stack} {} {}", scaled(old), scaled(self.new)),
            None => format!("{stack} {}", scaled(self.new)),
        }
    }
}

/// A stack that cannot be taken for a comment, nor its end for a number: with another blank in that place.
fn guarded(stack: &str) -> String {
    let mut stack = stack.to_owned();
    let is_number = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let last = stack.rfind(' ').filter(|&at| is_number(&stack[at + 1..]));
    let first = stack.starts_with("# ").then_some(1);
    for at in [last, first].into_iter().flatten() {
        if stack.get(at..=at) == Some(" ") {
            stack.replace_range(at..=at, "\u{a0}");
        }
    }
    stack
}

fn unit(value: Value) -> &'static str {
    match value {
        Value::Bytes | Value::Live | Value::Peak => "bytes",
        Value::Calls | Value::Temporary => "allocations",
        Value::LiveBlocks => "blocks",
    }
}

/// What the widths are.
fn subtitle(profile: &Profile, value: Value) -> String {
    let what = match value {
        Value::Bytes => "bytes of all allocations",
        Value::Calls => "allocations",
        Value::Live => "bytes that were not freed",
        Value::LiveBlocks => "blocks that were not freed",
        Value::Peak => "bytes that lived at the peak",
        Value::Temporary => "allocations that were freed before the thread's next one",
    };
    match &profile.compared_with {
        Some(old) => format!("{what}; red: more than in {old}, blue: less"),
        None => what.to_owned(),
    }
}

/// For a comment in the file, which two hyphens would end.
fn notes(profile: &Profile) -> String {
    let losses = data::losses(profile);
    let losses = losses.iter().map(ToString::to_string);
    let all: Vec<String> = std::iter::once(profile.tool.clone())
        .chain(losses)
        .collect();
    all.join("; ").replace("--", "- -")
}

/// A picture that says that there is none.
fn nothing(profile: &Profile, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let escape = |text: &str| {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        text.replace('>', "&gt;")
    };
    writeln!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1200\" \
         height=\"60\" font-family=\"monospace\" font-size=\"12\"><text x=\"10\" y=\"20\">{}</text><text x=\"10\" \
         y=\"40\">{}: none</text></svg>",
        escape(&data::title(profile)),
        escape(&subtitle(profile, style.value)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_profile::report::figures::Figures;
    use skipheap_profile::testing::{of_sites, small};

    fn svg(profile: &Profile, value: Value) -> String {
        let style = Style {
            value,
            ..Style::default()
        };
        let mut out = Vec::new();
        write(profile, style, &mut out).expect("written");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn frames_have_their_sums_and_the_file_is_the_same_each_time() {
        let text = svg(&small(), Value::Bytes);
        assert!(
            text.contains("<title>all (4,672 bytes, 100%)</title>"),
            "{text}"
        );
        assert!(
            text.contains("<title>parse (576 bytes, 12.33%)</title>"),
            "{text}"
        );
        assert_eq!(text, svg(&small(), Value::Bytes));
        assert!(svg(&small(), Value::Calls).contains("all (19 allocations, 100%)"));
    }

    #[test]
    fn names_are_no_markup_no_numbers_and_no_comments() {
        let profile = of_sites(
            "p--><script>",
            &[
                (&["# main", "<script>alert(1)</script> 7"], 8, 3, 0),
                (&["# main", "a 1 2.5"], 8, 2, 0),
            ],
        );
        let text = svg(&profile, Value::Bytes);
        assert!(!text.contains("<script>alert"));
        assert!(
            text.contains("&lt;script&gt;alert(1)&lt;/script&gt;\u{a0}7 (24 bytes, 60.00%)"),
            "{text}"
        );
        assert!(text.contains("a 1\u{a0}2.5 (16 bytes"), "{text}");
        assert!(text.contains("#\u{a0}main (40 bytes, 100.00%)"), "{text}");
    }

    #[test]
    fn a_caller_is_one_frame_whatever_its_siblings_are_called() {
        let profile = of_sites(
            "p",
            &[
                (&["a"], 8, 1, 0),
                (&["a.b"], 8, 1, 0),
                (&["a", "c"], 8, 1, 0),
            ],
        );
        let text = svg(&profile, Value::Calls);
        assert!(
            text.contains("<title>a (2 allocations, 66.67%)</title>"),
            "{text}"
        );
    }

    #[test]
    fn a_comparison_is_red_and_blue() {
        let mut profile = of_sites("p", &[(&["more"], 8, 3, 0), (&["less"], 8, 3, 0)]);
        profile.compared_with = Some("old.csv".into());
        for (site, calls) in profile.sites.iter_mut().zip([1, 9]) {
            site.old = Some(Box::new(Figures {
                calls,
                ..Figures::default()
            }));
        }
        let text = svg(&profile, Value::Bytes);
        assert!(text.contains("more (24 bytes, 50.00%; +33.33%)"), "{text}");
        assert!(text.contains("less (24 bytes, 50.00%; -100.00%)"), "{text}");
        assert!(text.contains("red: more than in old.csv"));
    }

    #[test]
    fn sums_beyond_all_bounds_are_drawn() {
        let profile = of_sites(
            "p",
            &[
                (&["a"], u64::MAX, 3, 0),
                (&["b"], u64::MAX, 3, 0),
                (&["c"], u64::MAX, 9, 0),
            ],
        );
        assert!(svg(&profile, Value::Bytes).contains("33.33%"));
    }

    #[test]
    fn nothing_is_a_picture_too() {
        let text = svg(&of_sites("<p>", &[(&["a"], 8, 3, 3)]), Value::Live);
        assert!(text.contains("&lt;p&gt; -n"), "{text}");
        assert!(text.contains("bytes that were not freed: none"));
    }
}
