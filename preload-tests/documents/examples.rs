//! The examples of the README give what the README shows.

use super::{blocks, read, root, shell};
use crate::support::{Outcome, Run, Source, tool};
use std::fs;
use std::path::Path;

/// A folder with the two versions of the example, and `./words`, which is the version `current`.
fn folder(current: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Source::c("words").flags(&["-O0", "-g"]);
    for (name, built) in [
        ("v1", source.build()),
        ("v2", source.clone().flags(&["-DNEW"]).build()),
    ] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
        fs::copy(&built, folder.path().join(name).join("words")).expect("the program");
        if name == current {
            fs::copy(&built, folder.path().join("words")).expect("the program");
        }
    }
    folder
}

/// Runs a command line of the README.
fn run(line: &str, folder: &Path) -> Outcome {
    let commands = shell::commands(line);
    let [words] = &commands[..] else {
        panic!("{line}")
    };
    assert_eq!(words[0], "skip-heapprof", "{line}");
    let run = Run::plain("env").arg("-C").arg(folder).arg(tool());
    run.args(&words[1..]).finish()
}

/// The commands of the README that begin like this, each with what it shows.
fn examples(beginning: &str) -> Vec<(String, String)> {
    let text = read(&root().join("README.md"));
    let blocks = blocks(&text, "console");
    let block = blocks.iter().find(|block| block.starts_with(beginning));
    let block = block.unwrap_or_else(|| panic!("no block of the README begins with {beginning}"));
    let parts = block.split("$ ").skip(1);
    parts
        .map(|part| part.split_once('\n').unwrap_or((part, "")))
        .map(|(line, shown)| (line.to_owned(), shown.to_owned()))
        .collect()
}

/// A text without its blanks, whose number depends on the table's width.
fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

#[test]
fn the_difference_of_two_runs_is_as_shown() {
    let folder = folder("v1");
    let examples = examples("$ skip-heapprof -q -o old.csv");
    assert_eq!(examples.len(), 3);
    for (line, shown) in examples {
        let outcome = run(&line, folder.path());
        assert!(outcome.status.success(), "{line}: {outcome:?}");
        assert_eq!(words(&outcome.stdout), words(&shown), "{line}: {outcome:?}");
    }
    let csv = read(&folder.path().join("new.csv"));
    let text = read(&root().join("README.md"));
    assert_eq!(blocks(&text, "csv"), [csv]);
}

#[test]
fn the_check_fails_as_shown() {
    let examples = examples("$ skip-heapprof check --update");
    let [(update, _), (check, shown)] = &examples[..] else {
        panic!("{examples:?}")
    };
    let folder = folder("v1");
    let outcome = run(update, folder.path());
    assert!(outcome.status.success(), "{outcome:?}");
    fs::copy(folder.path().join("v2/words"), folder.path().join("words")).expect("the program");
    let outcome = run(check, folder.path());
    assert_eq!(outcome.status.code(), Some(1), "{outcome:?}");
    let said = outcome
        .stderr
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let whole = shown.lines().filter(|line| !line.contains("..."));
    for line in whole.filter(|line| !line.contains('…')) {
        assert!(said.contains(&words(line).join(" ")), "{line}: {outcome:?}");
    }
    assert!(
        said.contains("new-site: build_index ← main ← "),
        "{outcome:?}"
    );
}
