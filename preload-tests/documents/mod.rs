//! The documents keep to the code: tests, files, sections and options that they name exist, and the
//! examples of the README give what the README shows.

mod commands;
mod comments;
mod examples;
mod links;
mod shell;
mod test_names;

use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of a page.
fn read(page: &Path) -> String {
    fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// The files below a folder with an extension, as deep as it goes.
fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|is| is == extension) {
            found.push(path);
        }
    }
}

/// Every page of the documentation.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(root()).expect("the repository") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|is| is == "md") {
            pages.push(path);
        }
    }
    files(&root().join("docs"), "md", &mut pages);
    for page in ["examples/README.md", "web/README.md"] {
        pages.push(root().join(page));
    }
    pages.sort();
    pages
}

/// The code blocks of a page in a language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<(bool, String)> = None;
    for line in text.lines() {
        let fence = line.trim_start().strip_prefix("```");
        block = match (fence, block) {
            (Some(is), None) => Some((is == language, String::new())),
            (Some(_), Some((is_wanted, body))) => {
                if is_wanted {
                    blocks.push(body);
                }
                None
            }
            (None, Some((is_wanted, body))) => Some((is_wanted, body + line.trim_start() + "\n")),
            (None, None) => None,
        };
    }
    assert!(block.is_none(), "a code block does not end");
    blocks
}

/// The code spans of a page, outside of code blocks.
fn spans(text: &str) -> Vec<String> {
    let mut spans = Vec::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    spans
}
