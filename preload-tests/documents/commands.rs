//! The tool understands each command line of the documents.

use super::{blocks, pages, read, root, shell, spans};
use crate::support::{Run, tool};
use std::collections::HashSet;

const COMMANDS: [&str; 12] = [
    "run",
    "report",
    "diff",
    "check",
    "merge",
    "top",
    "snapshot",
    "start",
    "stop",
    "library",
    "completions",
    "man",
];

/// The options that take a value in a word of their own.
fn with_value(help: &str) -> HashSet<String> {
    let lines = help
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('-'));
    let with_value = lines.filter(|line| line.contains(" <"));
    with_value
        .flat_map(|line| line.split([' ', ',']))
        .filter(|word| word.starts_with('-'))
        .map(str::to_owned)
        .collect()
}

/// Where `--help` has to stand, so that all options of the tool stand before it.
fn end_of_options(words: &[String], with_value: &HashSet<String>) -> usize {
    let of_program = match words.iter().find(|word| COMMANDS.contains(&word.as_str())) {
        // Options may follow the inputs of these.
        Some(command) if command != "run" => None,
        command => Some(usize::from(command.is_some())),
    };
    let mut operands = 0;
    let mut is_value = false;
    for (at, word) in words.iter().enumerate() {
        if std::mem::take(&mut is_value) {
            continue;
        }
        if word == "--" {
            return at;
        }
        if word.starts_with('-') && word.len() > 1 {
            is_value = with_value.contains(word);
        } else if of_program == Some(operands) {
            return at;
        } else {
            operands += 1;
        }
    }
    words.len()
}

/// The command lines of a page that run the tool, without its name.
fn lines(text: &str) -> Vec<Vec<String>> {
    let blocks = ["console", "sh"]
        .map(|language| blocks(text, language))
        .concat();
    let of_blocks = blocks.iter().flat_map(|block| block.lines());
    let of_blocks = of_blocks.filter_map(|line| line.strip_prefix("$ "));
    let spans = spans(text);
    let of_spans = spans
        .iter()
        .filter(|span| span.starts_with("skip-heapprof "));
    let lines: Vec<&str> = of_blocks.chain(of_spans.map(String::as_str)).collect();
    let commands = lines.into_iter().flat_map(shell::commands);
    commands
        .filter_map(|command| {
            let is_variable = |word: &&String| word.contains('=') && !word.starts_with('-');
            let mut words = command.iter().skip_while(is_variable);
            (words.next()? == "skip-heapprof").then(|| words.cloned().collect())
        })
        .collect()
}

#[test]
fn the_tool_understands_each_command_line() {
    let help = |command: &[&str]| {
        let outcome = Run::plain(tool()).args(command).arg("--help").finish();
        assert!(outcome.status.success(), "{outcome:?}");
        outcome.stdout
    };
    let mut options = help(&[]);
    for command in COMMANDS {
        options += &help(&[command]);
    }
    let with_value = with_value(&options);
    let mut checked = 0;
    for page in pages() {
        for mut words in lines(&read(&page)) {
            for word in &mut words {
                // Placeholders have to be values that the tool accepts.
                match word.as_str() {
                    "PID" | "N" | "SECONDS" => *word = "1".to_owned(),
                    "SHELL" => *word = "bash".to_owned(),
                    _ => {}
                }
            }
            if words.iter().any(|word| word.starts_with('[')) {
                continue;
            }
            let at = end_of_options(&words, &with_value);
            words.truncate(at);
            words.push("--help".to_owned());
            let outcome = Run::plain(tool()).args(&words).finish();
            assert!(
                outcome.status.success(),
                "{}: {words:?}: {outcome:?}",
                page.display()
            );
            checked += 1;
        }
    }
    assert!(checked > 50, "only {checked} command lines were found");
}

#[test]
fn an_option_that_does_not_exist_is_found_out() {
    let lines = lines(
        "```console\n$ A=1 skip-heapprof --no-such-option 3 ./program --its-own | head\n```\n",
    );
    assert_eq!(lines, [["--no-such-option", "3", "./program", "--its-own"]]);
    let outcome = Run::plain(tool())
        .args(&["--no-such-option", "--help"])
        .finish();
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    let with_value = HashSet::from(["-o".to_owned()]);
    for (line, at) in [
        ("-o f ./p -x", 2),
        ("run -q ./p", 2),
        ("report -q x -o f", 5),
        ("check a -- p", 2),
    ] {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        assert_eq!(end_of_options(&words, &with_value), at, "{line}");
    }
}

#[test]
fn scripts_that_are_named_exist() {
    let mut checked = 0;
    for page in pages() {
        let text = read(&page);
        for command in blocks(&text, "console")
            .iter()
            .flat_map(|block| block.lines())
        {
            let script = command
                .strip_prefix("$ ")
                .and_then(|line| line.split(' ').next());
            if let Some(script) = script.filter(|script| script.starts_with("scripts/")) {
                assert!(root().join(script).exists(), "{}: {script}", page.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 3, "only {checked} scripts were found");
}
