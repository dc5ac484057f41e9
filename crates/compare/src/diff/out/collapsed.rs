//! Differences as collapsed stacks with two numbers, old and new: what `inferno-flamegraph` and `flamegraph.pl`
//! draw in red and blue.

use skipheap_profile::Profile;
use skipheap_profile::report::collapsed::Style;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Writes a line for each stack of a comparison.
///
/// # Errors
/// Those of `out`.
pub fn write(both: &Profile, style: Style, mut out: impl Write) -> io::Result<()> {
    let mut lines: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for site in &both.sites {
        let mut names: Vec<String> = Vec::new();
        for (_, node) in both.stack(site.node) {
            let name = name(both.text(both.function(both.frame(node)).name));
            if !style.fold_recursion || names.last() != Some(&name) {
                names.push(name);
            }
        }
        names.reverse();
        let old = site.old.as_deref().cloned().unwrap_or_default();
        let line = lines.entry(names.join(";")).or_default();
        line.0 = line.0.saturating_add(style.value.of(site.size, &old));
        line.1 = line
            .1
            .saturating_add(style.value.of(site.size, &site.figures));
    }
    for (stack, (old, new)) in lines {
        if old > 0 || new > 0 {
            writeln!(out, "{stack} {} {}", old.max(0), new.max(0))?;
        }
    }
    out.flush()
}

/// A name without what separates in such files.
fn name(text: &str) -> String {
    let text = text.replace(';', ":").replace(['\n', '\r'], " ");
    match text.is_empty() {
        true => "?".to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::profiles::compare;
    use skipheap_profile::testing::of_sites;

    #[test]
    fn each_stack_has_both_numbers() {
        let old = of_sites(
            "p",
            &[(&["main", "a;b"], 8, 5, 5), (&["main", "x"], 16, 3, 1)],
        );
        let new = of_sites(
            "p",
            &[(&["main", "a;b"], 8, 7, 7), (&["main", "c", "c"], 24, 1, 0)],
        );
        let both = compare(&old, &new, "old");
        let text = |style| {
            let mut out = Vec::new();
            write(&both, style, &mut out).expect("written");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(
            text(Style::default()),
            "main;a:b 40 56\nmain;c;c 0 24\nmain;x 48 0\n"
        );
        let folded = Style {
            fold_recursion: true,
            ..Style::default()
        };
        assert!(text(folded).contains("main;c 0 24\n"));
    }
}
