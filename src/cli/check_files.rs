//! The files of a check, and what the places it runs in want: the summary and the annotations of GitHub.

use crate::error::naming;
use crate::options::check::Files;
use crate::repository::Repository;
use crate::terminal::term;
use crate::whole;
use skipheap_compare::gate::out::{Report, annotations, gitlab, junit, markdown};
use skipheap_text::printable;
use std::env;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A file to which GitHub has jobs append Markdown.
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";
/// `true` in jobs of GitHub.
const ACTIONS: &str = "GITHUB_ACTIONS";
/// The folder of the checked out source in jobs of GitHub.
const WORKSPACE: &str = "GITHUB_WORKSPACE";
/// The folder of the checked out source in jobs of GitLab.
const PROJECT: &str = "CI_PROJECT_DIR";

impl Files {
    /// Writes all that are wanted.
    ///
    /// # Errors
    /// Those of the files, with their names. That the summary of a job cannot be written is said, and no
    /// more.
    pub(crate) fn write(&self, report: &Report) -> io::Result<()> {
        if let Some(path) = &self.markdown {
            let text = markdown::write(report);
            whole::write_named(path, |out| out.write_all(text.as_bytes()))?;
        }
        if let Some(path) = &self.junit {
            whole::write_named(path, |out| junit::write(report, out))?;
        }
        if let Some(path) = &self.gitlab {
            whole::write_named(path, |out| gitlab::write(report, out))?;
        }
        if let Some(path) = env::var_os(SUMMARY).filter(|path| !path.is_empty()) {
            let path = Path::new(&path);
            if let Err(error) = append(path, &markdown::write(report)) {
                term::say(&format!(
                    "skip-heapprof: cannot add to {SUMMARY}, {}: {error}\n",
                    term::path(path)
                ));
            }
        }
        if self.annotations || env::var_os(ACTIONS).is_some_and(|value| value == "true") {
            let commands = annotations::write(report);
            if !commands.is_empty() {
                // A command is a line, and the program may have left one without an end. There is nobody to tell if that
                // fails.
                let _ = io::stdout().write_all(format!("\n{commands}").as_bytes());
            }
        }
        Ok(())
    }
}

impl Files {
    /// Finds out before a long run whether they can be written.
    ///
    /// # Errors
    /// Those of [`writable`].
    pub(crate) fn check(&self) -> io::Result<()> {
        let mut files = [&self.markdown, &self.junit, &self.gitlab]
            .into_iter()
            .flatten();
        files.try_for_each(|path| writable(path))
    }
}

/// Finds out whether a file can be written, and leaves what is there: nothing where nothing was, since a run may
/// not come to write it.
///
/// # Errors
/// The one that writing would meet, with the file's name.
pub(crate) fn writable(path: &Path) -> io::Result<()> {
    whole::check(path).map_err(naming(path))
}

/// The repository that the check runs in.
pub(crate) fn repository() -> Repository {
    let of_job = [WORKSPACE, PROJECT].into_iter().filter_map(env::var_os);
    let of_job: Vec<PathBuf> = of_job.map(PathBuf::from).collect();
    Repository::new(&of_job, env::current_dir().unwrap_or_default())
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")
}

/// A word as a shell takes it.
pub(crate) fn shell_word(word: &[u8]) -> String {
    let is_plain = |c: &u8| c.is_ascii_alphanumeric() || b"-_./=:@%+,".contains(c);
    let text = printable(word);
    match !word.is_empty() && word.iter().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_compare::gate::out::testing;
    use std::fs;

    #[test]
    fn files_are_written_and_errors_name_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| Some(folder.path().join(name));
        let files = Files {
            markdown: path("a.md"),
            junit: path("a.xml"),
            gitlab: path("a.json"),
            annotations: false,
        };
        files.write(&testing::report()).expect("written");
        for (name, start) in [("a.md", "### Heap"), ("a.xml", "<?xml"), ("a.json", "[")] {
            let text = fs::read_to_string(folder.path().join(name)).expect("there");
            assert!(text.starts_with(start), "{name}: {text}");
        }
        let files = Files {
            junit: path("no/such/a.xml"),
            ..Files::default()
        };
        let said = files.write(&testing::report()).unwrap_err().to_string();
        assert!(said.contains("no/such/a.xml: "), "{said}");
    }

    #[test]
    fn what_cannot_be_written_is_known_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        writable(&path("new")).expect("writable");
        assert!(!path("new").exists());
        fs::write(path("old"), "text").expect("written");
        writable(&path("old")).expect("writable");
        assert_eq!(fs::read_to_string(path("old")).expect("there"), "text");
        assert!(writable(folder.path()).is_err(), "a folder");
        let files = Files {
            gitlab: Some(path("no/such/a.json")),
            ..Files::default()
        };
        let said = files.check().unwrap_err().to_string();
        assert!(said.contains("no/such/a.json: "), "{said}");
    }

    #[test]
    fn words_can_be_pasted_into_a_shell() {
        for (word, expected) in [
            ("a-b_c.d/e=1", "a-b_c.d/e=1"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's $x", "'it'\\''s $x'"),
            ("*", "'*'"),
        ] {
            assert_eq!(shell_word(word.as_bytes()), expected);
        }
    }

    #[test]
    fn a_summary_grows() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("summary");
        append(&path, "one").expect("written");
        append(&path, "two").expect("written");
        assert_eq!(fs::read_to_string(path).expect("there"), "one\ntwo\n");
    }
}
