//! Doc comments: hover help shows one alone.

use super::{files, read, root};

/// A comment without what stands in backquotes.
fn without_code(comment: &str) -> String {
    let parts = comment.split('`');
    parts.step_by(2).collect::<Vec<_>>().join("…")
}

#[test]
fn doc_comments_stand_alone_and_ask_nothing() {
    let mut wrong = Vec::new();
    let mut checked = 0;
    let mut sources = Vec::new();
    for folder in ["src", "crates", "preload-tests", "fuzz/fuzz_targets"] {
        files(&root().join(folder), "rs", &mut sources);
    }
    for file in sources {
        let text = read(&file);
        let mut is_first = true;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_start();
            let Some(comment) = line.strip_prefix("///").or(line.strip_prefix("//!")) else {
                is_first = true;
                continue;
            };
            checked += 1;
            let comment = without_code(comment.trim_start());
            let asks = comment.ends_with('?') || comment.contains("? ");
            let points = ["The same", "As there", "Likewise"];
            let points = is_first && points.iter().any(|start| comment.starts_with(start));
            if asks || points {
                wrong.push(format!("{}:{number}: {comment}", file.display()));
            }
            is_first = false;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 5000, "only {checked} lines were found");
}
