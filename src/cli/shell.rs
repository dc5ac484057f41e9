//! What a shell and `man` want to know about the command line: completions and a manual page, made of the same
//! definition that the tool parses its arguments with.

use crate::completion;
use crate::options::Cli;
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use std::io::{self, Write};

/// The tool's name.
const NAME: &str = "skip-heapprof";

/// The script that completes command lines in a shell.
pub(crate) fn completions(shell: Shell) -> Vec<u8> {
    if let Some(script) = completion::script(shell) {
        return script.as_bytes().to_vec();
    }
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), NAME, &mut script);
    script
}

/// The manual page, for section 1: the tool and all its commands.
///
/// # Errors
/// None, when memory suffices.
pub(crate) fn manual() -> io::Result<Vec<u8>> {
    let mut command = Cli::command();
    let notes = command.get_after_long_help().map(ToString::to_string);
    command = command.after_help("").after_long_help("");
    command.build();
    let page = Man::new(command.clone()).source(format!("{NAME} {}", env!("CARGO_PKG_VERSION")));
    let mut out = Vec::new();
    page.render_title(&mut out)?;
    page.render_name_section(&mut out)?;
    writeln!(out, ".SH SYNOPSIS")?;
    for (index, line) in ["[OPTIONS] PROGRAM [ARGUMENTS]...", "[OPTIONS] COMMAND"]
        .iter()
        .enumerate()
    {
        if index > 0 {
            writeln!(out, ".br")?;
        }
        writeln!(out, "\\fB{}\\fR {}", escaped(NAME), escaped(line))?;
    }
    page.render_description_section(&mut out)?;
    page.render_options_section(&mut out)?;
    for verb in command.get_subcommands() {
        if verb.get_name() != "help" && !verb.is_hide_set() {
            of_verb(verb, &mut out)?;
        }
    }
    for section in notes.unwrap_or_default().split("\n\n") {
        of_notes(section, &mut out)?;
    }
    Ok(out)
}

/// A command's section: what it does and its own options.
fn of_verb(verb: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let name = verb.get_name();
    writeln!(out, ".SH \"COMMAND {}\"", escaped(&name.to_uppercase()))?;
    let about = verb.get_long_about().or(verb.get_about());
    for (index, paragraph) in about
        .map(ToString::to_string)
        .unwrap_or_default()
        .split("\n\n")
        .enumerate()
    {
        if index > 0 {
            writeln!(out, ".PP")?;
        }
        writeln!(out, "{}", escaped(paragraph))?;
    }
    let own = verb.clone().disable_help_flag(true);
    let own = own.mut_args(|arg| {
        let is_known = arg.is_global_set() || arg.get_id() == "help" || arg.get_id() == "version";
        if is_known { arg.hide(true) } else { arg }
    });
    if own.get_arguments().any(|arg| !arg.is_hide_set()) {
        let mut options = Vec::new();
        Man::new(own).render_options_section(&mut options)?;
        let options = String::from_utf8_lossy(&options);
        // The headings of its groups are those of the whole page else.
        for line in options.lines() {
            match line.strip_prefix(".SH ") {
                Some(heading) => writeln!(out, ".SS {heading}")?,
                None => writeln!(out, "{line}")?,
            }
        }
    }
    Ok(())
}

/// A paragraph of the notes behind the help: its first line, up to the colon, is the heading; indented lines
/// stay as they are.
fn of_notes(section: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let (heading, text) = section.split_once(':').unwrap_or(("", section));
    let heading = heading.split(',').next().unwrap_or("").to_uppercase();
    if !heading.is_empty() {
        writeln!(out, ".SH \"{}\"", escaped(&heading))?;
    }
    let mut is_plain = false;
    for line in text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
    {
        let indented = line.starts_with("  ");
        if indented != is_plain {
            writeln!(out, "{}", if indented { ".nf" } else { ".fi" })?;
            is_plain = indented;
        }
        writeln!(out, "{}", escaped(line.trim_start()))?;
    }
    if is_plain {
        writeln!(out, ".fi")?;
    }
    Ok(())
}

/// Text as troff prints it literally.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    let lines = text.split('\n').map(|line| match line.chars().next() {
        Some('.' | '\'') => format!("\\&{line}"),
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Options, however they are written in troff.
    fn plain(page: &[u8]) -> String {
        String::from_utf8_lossy(page).replace("\\-", "-")
    }

    #[test]
    fn the_manual_describes_every_option_and_command() {
        let page = plain(&manual().expect("a page"));
        let mut command = Cli::command();
        command.build();
        let verbs = command
            .get_subcommands()
            .filter(|verb| verb.get_name() != "help");
        for verb in verbs.chain([&command]) {
            for arg in verb.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let Some(long) = arg.get_long() else { continue };
                assert!(
                    arg.get_help().is_some(),
                    "{} --{long} has no help",
                    verb.get_name()
                );
                assert!(
                    page.contains(&format!("--{long}")),
                    "--{long} of {}",
                    verb.get_name()
                );
            }
            if verb.get_name() != NAME {
                let heading = format!(".SH \"COMMAND {}\"", verb.get_name().to_uppercase());
                assert!(page.contains(&heading), "{heading}");
            }
        }
        for part in [
            "SKIP_HEAP_PROFILE",
            ".SH \"EXIT STATUS\"",
            ".SH \"EXAMPLES\"",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn text_is_no_request() {
        assert_eq!(escaped(".so\n'x \\n a-b"), "\\&.so\n\\&'x \\en a\\-b");
    }
}
