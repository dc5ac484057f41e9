//! The tests that RELIABILITY.md and SECURITY.md name for each promise exist.

use super::{files, read, root, spans};
use std::path::Path;

/// The modules that lead to a file, which are its folders and its name.
fn modules(file: &Path) -> Vec<String> {
    let below = file.strip_prefix(root()).expect("a file of the repository");
    let mut modules: Vec<String> = below
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    // `NAME_tests.rs` is the module `tests` of NAME.
    if let Some(name) = modules.last().and_then(|last| last.strip_suffix("_tests")) {
        let name = name.to_owned();
        modules.pop();
        modules.extend([name, "tests".to_owned()]);
    }
    modules
}

/// The path of every test, as modules and its name.
fn tests() -> Vec<Vec<String>> {
    let mut sources = Vec::new();
    for folder in ["src", "crates", "preload-tests"] {
        let folder = root().join(folder);
        if folder.exists() {
            files(&folder, "rs", &mut sources);
        }
    }
    let mut tests = Vec::new();
    for source in sources {
        let modules = modules(&source);
        let text = read(&source);
        let (mut inner, mut is_test) = (None, false);
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["#[test]", ..] => is_test = true,
                ["mod", name, "{"] => inner = Some(name),
                ["fn", name, ..] if is_test => {
                    let name = name.split(['(', '<']).next().unwrap_or(name);
                    let inner = inner.into_iter().chain([name]);
                    tests.push(
                        modules
                            .iter()
                            .cloned()
                            .chain(inner.map(str::to_owned))
                            .collect(),
                    );
                    is_test = false;
                }
                _ => {}
            }
        }
    }
    tests
}

/// Returns whether `parts` occur in `path` in this order.
fn in_order(parts: &[&str], path: &[String]) -> bool {
    let mut rest = path.iter();
    parts.iter().all(|part| rest.any(|is| is == part))
}

/// Returns whether a test has this name: `module::…::function`, or `..::function` after another of
/// the same module, or `module::` for all of a module.
fn exists(name: &str, tests: &[Vec<String>]) -> bool {
    let parts: Vec<&str> = name
        .split("::")
        .filter(|part| !["", ".."].contains(part))
        .collect();
    tests.iter().any(|path| {
        let last = path.last().map(String::as_str);
        let names_one = last == parts.last().copied();
        (names_one || !name.starts_with("..")) && in_order(&parts, path)
    })
}

/// Returns whether a code span has the form of a test's name.
fn is_name(span: &str) -> bool {
    let is_part = |part: &str| {
        part.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let rest = span.strip_prefix("..").unwrap_or(span);
    rest.contains("::") && rest.split("::").all(is_part)
}

#[test]
fn every_test_that_is_named_exists() {
    let tests = tests();
    assert!(tests.len() > 500, "only {} tests were found", tests.len());
    let mut wrong = Vec::new();
    let mut checked = 0;
    for page in ["RELIABILITY.md", "SECURITY.md"] {
        let text = read(&root().join(page));
        for line in text.lines().filter(|line| line.starts_with('|')) {
            for span in spans(line).iter().filter(|span| is_name(span)) {
                checked += 1;
                if !exists(span, &tests) {
                    wrong.push(format!("{page}: {span}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(checked > 200, "only {checked} names were found");
}

#[test]
fn fuzz_targets_that_are_named_exist() {
    let text = read(&root().join("RELIABILITY.md")) + &read(&root().join("SECURITY.md"));
    let named: Vec<&str> = text
        .split("fuzz target `")
        .skip(1)
        .filter_map(|rest| rest.split('`').next())
        .collect();
    assert!(named.len() > 5, "{named:?}");
    for name in named {
        let target = root().join(format!("fuzz/fuzz_targets/{name}.rs"));
        assert!(target.exists(), "{}", target.display());
    }
}

#[test]
fn a_name_that_no_test_has_is_found_out() {
    let tests = tests();
    for name in [
        "documents::test_names::a_name_that_no_test_has_is_found_out",
        "test_names::",
        "..::every_test_that_is_named_exists",
    ] {
        assert!(exists(name, &tests), "{name}");
    }
    for name in [
        "test_names::no_such_test",
        "..::no_such_test",
        "links::every_test_that_is_named_exists",
        "nowhere::",
    ] {
        assert!(!exists(name, &tests), "{name}");
    }
}
