//! Links and paths.

use super::{pages, read, root, spans};
use std::collections::HashSet;
use std::path::Path;

/// The targets of the links and pictures of a page.
fn targets(text: &str) -> Vec<&str> {
    let ends = text.split("](").skip(1);
    ends.filter_map(|rest| rest.split(')').next()).collect()
}

/// The anchors that a page's headings have, as GitHub makes them.
fn anchors(text: &str) -> HashSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
            title
                .chars()
                .filter(kept)
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect()
}

#[test]
fn links_lead_to_files_and_sections() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in pages() {
        let text = read(&page);
        for target in targets(&text) {
            if target.contains("://") || target.contains(char::is_whitespace) {
                continue;
            }
            checked += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = page.parent().unwrap_or(Path::new("."));
            let file = if file.is_empty() {
                page.clone()
            } else {
                folder.join(file)
            };
            let has_anchor = || anchor.is_empty() || anchors(&read(&file)).contains(anchor);
            if !file.exists() || !has_anchor() {
                wrong.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 50, "only {checked} links were found");
}

#[test]
fn files_that_a_contributor_is_led_to_exist() {
    const FOLDERS: [&str; 12] = [
        "src",
        "crates",
        "preload-tests",
        "scripts",
        "docs",
        "fuzz",
        "web",
        "ci",
        "fleet",
        "include",
        "examples",
        ".ci",
    ];
    let mut wrong = Vec::new();
    let mut checked = 0;
    let pages = [
        "CONTRIBUTING.md",
        "README.md",
        "docs/README.md",
        "docs/ci.md",
        "docs/fleets.md",
    ];
    for page in pages {
        for span in spans(&read(&root().join(page))) {
            let word = span.split_whitespace().next().unwrap_or_default();
            let is_path = FOLDERS.iter().any(|folder| {
                word.strip_prefix(folder)
                    .is_some_and(|rest| rest.starts_with('/'))
            });
            // `src/arch/NAME` stands for a file that is to be written.
            if !is_path || word.contains(|c: char| c.is_uppercase() || c == '*') {
                continue;
            }
            checked += 1;
            if !root().join(word).exists() {
                wrong.push(format!("{page}: {word}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 20, "only {checked} paths were found");
}
