//! Completions in real shells: bash always, zsh and fish where they are installed.

use crate::support::{Run, tool};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A folder with the tool under its name, the script of a shell, and a few files.
fn folder(shell: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink(tool(), path("skip-heapprof")).expect("a link");
    let script = Run::plain(tool()).args(&["completions", shell]).finish();
    assert!(script.status.success(), "{script:?}");
    fs::write(path("script"), script.stdout).expect("the script");
    for name in ["old run.csv", "run.skipheap"] {
        fs::write(path(name), "").expect("a file");
    }
    fs::create_dir(path("symbols")).expect("a folder");
    folder
}

/// The PATH with the folder in front.
fn path_with(folder: &Path) -> String {
    format!(
        "{}:{}",
        folder.display(),
        std::env::var("PATH").expect("a PATH")
    )
}

/// Returns whether a shell is installed.
fn is_installed(shell: &str) -> bool {
    let found = Run::plain("sh")
        .args(&["-c", &format!("command -v {shell}")])
        .finish();
    found.status.success()
}

/// What is offered for these lines of words, the cursor behind the last one; and what is not.
const CASES: [(&[&str], &[&str], &[&str]); 12] = [
    (&["rep"], &["report"], &["diff", "--live"]),
    (&["report", "--form"], &["--format"], &["--wait"]),
    (
        &["report", "--format", "p"],
        &["pprof", "parquet"],
        &["html"],
    ),
    (&["diff", "--sor"], &["--sort"], &["--live"]),
    (&["report", "run.s"], &["run.skipheap"], &["symbols"]),
    (&["-q", "diff", "old"], &["old run.csv"], &["run.skipheap"]),
    (
        &["report", "--symbols", ""],
        &["symbols"],
        &["run.skipheap"],
    ),
    (
        &["run", "--", "skip-heapp"],
        &["skip-heapprof"],
        &["report"],
    ),
    (&["check", "--base"], &["--baseline"], &[]),
    (&["--color=al"], &["always"], &["auto"]),
    (&["completions", "f"], &["fish"], &["bash"]),
    (&["top", "--so"], &["--sort"], &["--live"]),
];

fn check(words: &[&str], offered: &[String], wanted: &[&str], unwanted: &[&str]) {
    let has = |word: &str| {
        offered
            .iter()
            .any(|offer| offer.trim_end_matches(' ') == word)
    };
    for word in wanted {
        assert!(has(word), "{words:?}: {word} in {offered:?}");
    }
    for word in unwanted {
        assert!(!has(word), "{words:?}: {word} in {offered:?}");
    }
}

#[test]
fn bash_completes_commands_options_formats_files_and_programs() {
    let folder = folder("bash");
    // As bash calls it: the words are split at `=`, the function is told by `complete`.
    let script = r#"
        source ./script
        spec=$(complete -p skip-heapprof) && [[ $spec =~ -F\ ([^ ]+) ]] || exit 3
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        "${BASH_REMATCH[1]}" "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    for (words, wanted, unwanted) in CASES {
        let split = words.iter().flat_map(|word| match word.split_once('=') {
            Some((option, value)) => vec![option, "=", value],
            None => vec![*word],
        });
        let split: Vec<&str> = split.collect();
        let outcome = Run::plain("bash")
            .args(&["--norc", "-c"])
            .arg(format!("cd '{}'; {script}", folder.path().display()))
            .args(&["bash", "skip-heapprof"])
            .args(&split)
            .env("PATH", path_with(folder.path()))
            .finish();
        assert!(outcome.status.success(), "{outcome:?}");
        let offered: Vec<String> = outcome.stdout.lines().map(str::to_owned).collect();
        check(words, &offered, wanted, unwanted);
    }
}

#[test]
fn fish_completes_where_it_is_installed() {
    if !is_installed("fish") {
        return;
    }
    let folder = folder("fish");
    for (words, wanted, unwanted) in CASES {
        let line = format!("skip-heapprof {}", words.join(" "));
        let outcome = Run::plain("fish")
            .args(&["--no-config", "-c"])
            .arg(format!(
                "cd '{}'; source ./script; complete -C '{line}'",
                folder.path().display()
            ))
            .env("PATH", path_with(folder.path()))
            .finish();
        assert!(outcome.status.success(), "{outcome:?}");
        let offers = outcome.stdout.lines().map(|line| {
            let word = line.split('\t').next().unwrap_or("");
            let word = word.split_once('=').map_or(word, |(_, value)| value);
            word.trim_end_matches('/').replace('\\', "")
        });
        check(words, &offers.collect::<Vec<_>>(), wanted, unwanted);
    }
}

#[test]
fn zsh_completes_where_it_is_installed() {
    if !is_installed("zsh") {
        return;
    }
    let folder = folder("zsh");
    // An interactive zsh on a terminal of its own; `compadd` tells what it is given.
    let script = r#"
        zmodload zsh/zpty
        zpty z zsh -f -i
        say() { zpty -w z "$1" }
        say "cd ${(q)1}; autoload -U compinit; compinit -u -d ${(q)1}/dump; source ./script"
        say 'compadd() {
            if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
            typeset -a found; builtin compadd -A found "$@"
            (( $#found )) && print -rl -- $found >> offered
            builtin compadd "$@"
        }'
        say "bindkey '^I' complete-word; PS1=; print rea''dy"
        while zpty -r z line; do [[ $line == *ready* ]] && break; done
        zpty -w -n z "skip-heapprof $2"$'\t'
        for i in {1..100}; do sleep 0.1; [[ -s $1/offered ]] && break; done
        sleep 0.3
        zpty -d z
        cat $1/offered
    "#;
    for (words, wanted, unwanted) in CASES {
        let offered = folder.path().join("offered");
        let _ = fs::remove_file(&offered);
        let outcome = Run::plain("zsh")
            .args(&["-f", "-c", script, "zsh"])
            .arg(folder.path())
            .arg(words.join(" "))
            .env("PATH", path_with(folder.path()))
            .finish();
        let offered: Vec<String> = outcome
            .stdout
            .lines()
            .map(|word| word.trim_end_matches('/').replace('\\', ""))
            .collect();
        check(words, &offered, wanted, unwanted);
    }
}
