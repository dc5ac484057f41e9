//! What may stand at a place of a command line. The scripts of the shells ask for it with
//! `skip-heapprof __complete WORDS...`, whose last word is the one at the cursor.
//!
//! The answer has a line for each word that fits, with a tab and what it means, or a line for what the
//! shell knows best: `:files`, `:folders`, `:programs`, and `:arguments N` where the cursor is among the arguments of
//! the program that is the word number N, counted from 1.

use crate::options::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory, ValueHint};
use clap_complete::Shell;
use std::ffi::OsString;

/// The word by which the scripts ask.
pub(crate) const QUESTION: &str = "__complete";

/// The script for a shell; `None` for those that clap has the script for.
pub(crate) fn script(shell: Shell) -> Option<&'static str> {
    match shell {
        Shell::Bash => Some(include_str!("completion/bash.sh")),
        Shell::Zsh => Some(include_str!("completion/zsh.zsh")),
        Shell::Fish => Some(include_str!("completion/fish.fish")),
        _ => None,
    }
}

/// Answers a script: what fits these words.
pub(crate) fn answer(words: &[OsString]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut root = Cli::command();
    root.build();
    let (current, before) = match words.split_last() {
        Some((current, before)) => (current.as_str(), before),
        None => ("", &[][..]),
    };
    let mut place = Place {
        command: &root,
        is_root: true,
        awaited: None,
        only_words: false,
        words: 0,
    };
    for (index, word) in before.iter().enumerate() {
        if place.takes_a_program() && place.is_word(word) && !place.is_command(word) {
            return format!(":arguments {}\n", index + 1);
        }
        place.pass(word);
    }
    place.fitting(current).join("")
}

/// Where a word of the command line stands.
struct Place<'c> {
    command: &'c Command,
    is_root: bool,
    /// The option whose value it is.
    awaited: Option<&'c Arg>,
    /// A `--` was there.
    only_words: bool,
    /// Words that were there that are no options.
    words: usize,
}

impl<'c> Place<'c> {
    /// Returns whether a word is neither an option nor an option's value.
    fn is_word(&self, word: &str) -> bool {
        self.awaited.is_none() && (self.only_words || !word.starts_with('-') || word == "-")
    }

    /// Returns whether a word is a command of the tool.
    fn is_command(&self, word: &str) -> bool {
        self.is_root && !self.only_words && self.command.find_subcommand(word).is_some()
    }

    /// Returns whether the next word that is no option is a program, and the rest its arguments.
    fn takes_a_program(&self) -> bool {
        match self.command.get_name() {
            "run" => true,
            "check" => self.only_words,
            _ => self.is_root,
        }
    }

    /// Goes on behind a word.
    fn pass(&mut self, word: &str) {
        if self.awaited.take().is_some() {
            return;
        }
        if self.is_word(word) {
            if self.is_command(word)
                && let Some(command) = self.command.find_subcommand(word)
            {
                (self.command, self.is_root) = (command, false);
            } else {
                self.words += 1;
            }
        } else if word == "--" {
            self.only_words = true;
        } else if let Some(long) = word.strip_prefix("--") {
            self.awaited = self.option(|arg| arg.get_long() == Some(long));
        } else {
            // Several flags may stand together; only the last one can have a value in the next word.
            let mut letters = word.chars().skip(1);
            while let Some(letter) = letters.next() {
                if let Some(option) = self.option(|arg| arg.get_short() == Some(letter)) {
                    self.awaited = letters.next().is_none().then_some(option);
                    return;
                }
            }
        }
    }

    /// An option that takes its value from the next word.
    fn option(&self, is_wanted: impl Fn(&Arg) -> bool) -> Option<&'c Arg> {
        let takes_word = |arg: &&Arg| {
            let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
            takes_value && !arg.is_require_equals_set() && is_wanted(arg)
        };
        self.command.get_arguments().find(takes_word)
    }

    /// Lines for all that fits.
    fn fitting(&self, current: &str) -> Vec<String> {
        if let Some(option) = self.awaited {
            return values(option, current);
        }
        if self.only_words || !current.starts_with('-') {
            return self.words_that_fit(current);
        }
        if let Some((long, value)) = current
            .strip_prefix("--")
            .and_then(|rest| rest.split_once('='))
        {
            let known = self.command.get_arguments();
            let mut known = known.filter(|arg| arg.get_long() == Some(long));
            return known
                .next()
                .map_or(Vec::new(), |option| values(option, value));
        }
        let mut lines = Vec::new();
        let options = self.command.get_arguments();
        for option in options.filter(|arg| !arg.is_hide_set() && !arg.is_positional()) {
            let about = option
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            let long = option.get_long().map(|long| format!("--{long}"));
            let short = option.get_short().map(|short| format!("-{short}"));
            let names = [long, short].into_iter().flatten();
            lines.extend(
                names
                    .filter(|name| name.starts_with(current))
                    .map(|name| line(&name, &about)),
            );
        }
        lines
    }

    fn words_that_fit(&self, current: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if self.is_root && !self.only_words {
            let commands = self.command.get_subcommands();
            for command in commands.filter(|command| !command.is_hide_set()) {
                if command.get_name().starts_with(current) {
                    let about = command.get_about().map(ToString::to_string);
                    lines.push(line(command.get_name(), &about.unwrap_or_default()));
                }
            }
        }
        if self.takes_a_program() {
            lines.push(":programs\n".to_owned());
            return lines;
        }
        let mut positional: Vec<&Arg> = self.command.get_positionals().collect();
        positional.sort_by_key(|arg| arg.get_index());
        // The last one may be there several times.
        if let Some(arg) = positional.get(self.words).or(positional.last()) {
            lines.extend(values(arg, current));
        }
        lines
    }
}

/// Lines for the values of an argument that fit.
fn values(arg: &Arg, current: &str) -> Vec<String> {
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let fits = possible
            .iter()
            .filter(|value| value.get_name().starts_with(current));
        let lines = fits.map(|value| {
            let about = value
                .get_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            line(value.get_name(), &about)
        });
        return lines.collect();
    }
    let is_folder = arg
        .get_value_names()
        .is_some_and(|names| names.iter().any(|name| name.as_str() == "DIR"));
    match arg.get_value_hint() {
        _ if is_folder => vec![":folders\n".to_owned()],
        ValueHint::AnyPath | ValueHint::FilePath => vec![":files\n".to_owned()],
        ValueHint::DirPath => vec![":folders\n".to_owned()],
        _ => Vec::new(),
    }
}

/// A word that fits, and the first line of what it means.
fn line(word: &str, about: &str) -> String {
    let about = about.lines().next().unwrap_or_default();
    format!("{word}\t{}\n", about.trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(line: &str) -> Vec<String> {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let answer = answer(&words);
        let words = answer
            .lines()
            .map(|line| line.split('\t').next().unwrap_or("").to_owned());
        words.collect()
    }

    #[test]
    fn commands_and_programs_stand_first() {
        assert_eq!(lines("rep"), ["report", ":programs"]);
        assert_eq!(lines("-q --top 3 rep"), ["report", ":programs"]);
        assert_eq!(lines("-- rep"), [":programs"]);
        assert_eq!(lines("run rep"), [":programs"]);
        assert_eq!(lines("check --baseline b -- x"), [":programs"]);
        assert!(lines("").contains(&"snapshot".to_owned()));
    }

    #[test]
    fn arguments_of_a_program_are_its_own() {
        assert_eq!(lines("jq -"), [":arguments 1"]);
        assert_eq!(lines("-o f --live run --keep jq x "), [":arguments 6"]);
        assert_eq!(lines("-- report -"), [":arguments 2"]);
        assert_eq!(lines("check --baseline b -- jq -n x"), [":arguments 5"]);
    }

    #[test]
    fn every_command_completes_its_options_and_arguments() {
        for verb in Cli::command()
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
        {
            let name = verb.get_name();
            let options = lines(&format!("{name} --"));
            assert!(
                options.contains(&"--help".to_owned()),
                "{name}: {options:?}"
            );
        }
        assert!(lines("report --fo").contains(&"--format".to_owned()));
        for command in ["report", "report a", "diff", "diff a", "merge", "check"] {
            assert_eq!(lines(&format!("{command} x")), [":files"], "{command}");
        }
        assert_eq!(lines("completions z"), ["zsh"]);
    }

    #[test]
    fn values_are_those_of_the_option() {
        let formats = lines("report --format ");
        for format in ["csv", "html", "pprof", "parquet"] {
            assert!(formats.contains(&format.to_owned()), "{formats:?}");
        }
        assert_eq!(lines("--format=ht"), ["html"]);
        assert_eq!(lines("--merge=p"), ["program"]);
        assert_eq!(lines("--merge rep"), ["report", ":programs"]);
        assert_eq!(lines("-o "), [":files"]);
        assert_eq!(lines("-qo "), [":files"]);
        assert_eq!(lines("report --symbols "), [":folders"]);
        assert_eq!(lines("--sort p"), ["peak"]);
        assert!(lines("--top ").is_empty());
    }
}
