//! Names of baselines: `{program}` and `{test}` stand for what is checked.

use crate::check_runs::without_hash;
use skipheap_compare::gate::out::gitlab::fingerprint;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const PROGRAM: &str = "{program}";
const TEST: &str = "{test}";
/// `1` where cargo nextest runs.
const NEXTEST: &str = "NEXTEST";
/// The test that cargo nextest runs.
const NEXTEST_NAME: &str = "NEXTEST_TEST_NAME";
/// The test that pytest runs, and its stage in brackets.
const PYTEST: &str = "PYTEST_CURRENT_TEST";
/// The filter of GoogleTest.
const GTEST: &str = "GTEST_FILTER";
/// Options of Rust's test programs that have a value in a word of its own.
const WITH_VALUE: [&str; 7] = [
    "--test-threads",
    "--skip",
    "--format",
    "--color",
    "--logfile",
    "--shuffle-seed",
    "-Z",
];
/// Options that list the tests of a program: of Rust, Go and GoogleTest.
const LISTS: [&str; 3] = ["--list", "-test.list", "--gtest_list_tests"];
/// Bytes of a test's name that become part of a file's name.
const LONGEST: usize = 150;

/// What is checked, as far as the environment and the command line say.
#[derive(Debug, Default)]
pub(crate) struct Subject {
    program: String,
    test: Option<String>,
    /// Whether cargo nextest runs the program, once for each test and before that for the list of
    /// them.
    is_of_nextest: bool,
    /// Whether the program only lists its tests.
    is_list: bool,
}

impl Subject {
    /// The subject of a check, by its command line, or else by the first of its reports.
    pub(crate) fn new(command: &[OsString], reports: &[PathBuf]) -> Self {
        Self::known(command, reports, |name| {
            let value = env::var_os(name).filter(|value| !value.is_empty())?;
            Some(value.to_string_lossy().into_owned())
        })
    }

    fn known(
        command: &[OsString],
        reports: &[PathBuf],
        variable: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let file = command.first().map(Path::new).and_then(Path::file_name);
        let stem = reports.first().and_then(|path| path.file_stem());
        let name = file.or(stem).unwrap_or_default().to_string_lossy();
        let words: Vec<String> = command
            .iter()
            .skip(1)
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        let of_nextest = variable(NEXTEST_NAME);
        let exact = of_rust(&words);
        let is_list = words.iter().any(|word| LISTS.contains(&word.as_str()));
        // A test may run checks itself, which are none of nextest's.
        let is_its_test = match &of_nextest {
            Some(name) => exact.as_ref() == Some(name),
            None => exact.is_some() || is_list,
        };
        let of_pytest = || {
            let value = variable(PYTEST)?;
            let stage = value.rfind(" (").unwrap_or(value.len());
            Some(value[..stage].to_owned())
        };
        let of_gtest = || one_pattern(variable(GTEST)?);
        Self {
            program: without_hash(&name).to_owned(),
            test: of_nextest
                .or_else(of_pytest)
                .or(exact)
                .or_else(|| of_arguments(&words))
                .or_else(of_gtest),
            is_of_nextest: variable(NEXTEST).is_some() && is_its_test,
            is_list,
        }
    }

    /// A baseline's path with the names in place of `{program}` and `{test}`.
    ///
    /// # Errors
    /// When a name is not known, or the baseline would be one of several tests: a sentence.
    pub(crate) fn baseline(&self, path: &Path) -> Result<PathBuf, String> {
        let text = path.to_string_lossy();
        if self.is_of_nextest && !text.contains(TEST) {
            return Err(format!(
                "cargo nextest runs each test in a process of its own, and all of them would share this baseline: put \
                 {TEST} into its name, as in {PROGRAM}-{TEST}.csv"
            ));
        }
        if !text.contains(PROGRAM) && !text.contains(TEST) {
            return Ok(path.to_owned());
        }
        let test = match (&self.test, text.contains(TEST)) {
            (Some(test), true) => file_name(test),
            (None, true) => {
                return Err(format!(
                    "no name for {TEST}: cargo nextest and pytest set it in the environment, and the program's \
                     arguments can contain it: --exact NAME (Rust), -test.run=^NAME$ (Go), --gtest_filter=NAME, --test-case=NAME"
                ));
            }
            (_, false) => String::new(),
        };
        Ok(text
            .replace(PROGRAM, &self.program)
            .replace(TEST, &test)
            .into())
    }

    /// Returns whether the program only lists its tests and a baseline of that name is one of a
    /// test: there is nothing to check then.
    pub(crate) fn is_list_for(&self, baseline: Option<&Path>) -> bool {
        let is_of_test = |path: &Path| path.to_string_lossy().contains(TEST);
        self.is_list && baseline.is_some_and(is_of_test)
    }
}

/// The test that a Rust test program is told to run alone: `--exact` and one filter.
fn of_rust(words: &[String]) -> Option<String> {
    if !words.iter().any(|word| word == "--exact") {
        return None;
    }
    let mut filters = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with('-') {
            filters.push(word);
        }
    }
    match filters[..] {
        [filter] => Some(filter.clone()),
        _ => None,
    }
}

/// The test that a program of Go, GoogleTest or doctest is told to run alone.
fn of_arguments(words: &[String]) -> Option<String> {
    const GO: [&str; 2] = ["-test.run", "--test.run"];
    const OTHERS: [&str; 3] = ["--gtest_filter", "--test-case", "-tc"];
    let mut following = words.iter().skip(1);
    words.iter().find_map(|word| {
        let next = following.next();
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.as_str(), next.map(String::as_str)),
        };
        if GO.contains(&name) {
            let pattern = value?.strip_prefix('^')?.strip_suffix('$')?;
            // Parts of a subtest are anchored one by one: ^TestA$/^part$.
            let name = pattern.replace("$/^", "/");
            let is_plain = |c: char| c.is_alphanumeric() || "_-/=,#".contains(c);
            return (!name.is_empty() && name.chars().all(is_plain)).then_some(name);
        }
        let is_other = OTHERS.contains(&name) && word.contains('=');
        one_pattern(value.filter(|_| is_other)?.to_owned())
    })
}

/// A filter that is the name of one test.
fn one_pattern(filter: String) -> Option<String> {
    let is_one =
        !filter.is_empty() && !filter.contains(['*', '?', ':', ',']) && !filter.starts_with('-');
    is_one.then_some(filter)
}

/// The name of a test as part of a file's name. Names that differ keep differing: where a character
/// has to be replaced by one that other names may have, a hash of the name follows.
fn file_name(test: &str) -> String {
    let plain = test.replace("::", ".").replace('/', ".");
    let is_plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut name: String = plain
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect();
    // A name that begins with a dot is hidden, or a folder.
    if name.starts_with('.') {
        name.replace_range(..1, "_");
    }
    let is_whole = name == plain && name.len() <= LONGEST;
    if is_whole {
        return name;
    }
    let end = (0..=LONGEST.min(name.len()))
        .rev()
        .find(|&end| name.is_char_boundary(end));
    name.truncate(end.unwrap_or(0));
    let hash = fingerprint(&[test]);
    format!("{name}-{}", &hash[..8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// The baseline of a command line, with these variables.
    fn named(path: &str, command: &[&str], variables: &[(&str, &str)]) -> Result<String, String> {
        let baseline = subject(command, variables).baseline(Path::new(path))?;
        Ok(crate::terminal::term::path(&baseline))
    }

    fn subject(command: &[&str], variables: &[(&str, &str)]) -> Subject {
        let command: Vec<OsString> = command.iter().map(OsString::from).collect();
        Subject::known(&command, &[], |name| {
            let found = variables.iter().find(|variable| variable.0 == name);
            found.map(|variable| variable.1.to_owned())
        })
    }

    #[test]
    fn the_programs_name_may_be_part_of_the_baselines() {
        let named = |path: &str, command: &str| named(path, &[command], &[]).expect("a name");
        assert_eq!(named("heap/a.csv", "/x/y"), "heap/a.csv");
        assert_eq!(
            named(
                "heap/{program}.csv",
                "target/debug/deps/parse-0123456789abcdef"
            ),
            "heap/parse.csv"
        );
        assert_eq!(named("{program}.csv", "/bin/run-fast"), "run-fast.csv");
        let of_report = Subject::known(&[], &["a/new.csv".into()], |_| None);
        let of_report = of_report.baseline(Path::new("{program}.csv"));
        assert_eq!(of_report.as_deref(), Ok(Path::new("new.csv")));
    }

    #[test]
    fn the_tests_name_is_the_one_that_the_runner_says() {
        let name = |command: &[&str], variables: &[(&str, &str)]| {
            named("{program}-{test}.csv", command, variables).ok()
        };
        let nextest = ["p", "--exact", "tests::one", "--nocapture"];
        for (command, variables, expected) in [
            (&nextest[..], &[][..], "p-tests.one.csv"),
            (&nextest, &[("NEXTEST", "1")], "p-tests.one.csv"),
            (
                &["p"],
                &[("NEXTEST", "1"), ("NEXTEST_TEST_NAME", "a::b")],
                "p-a.b.csv",
            ),
            (
                &["p", "--test-threads", "1", "one", "--exact"],
                &[],
                "p-one.csv",
            ),
            (
                &["p"],
                &[("PYTEST_CURRENT_TEST", "tests/test_a.py::test_b (call)")],
                "p-tests.test_a.py.test_b.csv",
            ),
            (&["p", "-test.v", "-test.run=^TestA$"], &[], "p-TestA.csv"),
            (
                &["p", "-test.run", "^TestA$/^part$"],
                &[],
                "p-TestA.part.csv",
            ),
            (
                &["p", "--gtest_filter=Suite.Name/0"],
                &[],
                "p-Suite.Name.0.csv",
            ),
            (
                &["p"],
                &[("GTEST_FILTER", "Suite.Name")],
                "p-Suite.Name.csv",
            ),
            (&["p", "--test-case=words"], &[], "p-words.csv"),
        ] {
            assert_eq!(name(command, variables).as_deref(), Some(expected));
        }
        // Several tests, or all.
        for command in [
            &["p"][..],
            &["p", "one"],
            &["p", "one", "two", "--exact"],
            &["p", "-test.run=Test"],
            &["p", "-test.run=^(TestA|TestB)$"],
            &["p", "--gtest_filter=Suite.*"],
            &["p", "--gtest_filter=A.b:A.c"],
            &["p", "--gtest_filter"],
            &["p", "-test.run"],
        ] {
            let said = named("{test}.csv", command, &[]).unwrap_err();
            assert!(said.starts_with("no name for {test}"), "{said}");
        }
    }

    #[test]
    fn tests_of_nextest_do_not_share_a_baseline() {
        let nextest = [("NEXTEST", "1"), ("NEXTEST_TEST_NAME", "tests::one")];
        let test = ["p", "--exact", "tests::one"];
        for path in ["{program}.csv", "heap.csv"] {
            let said = named(path, &test, &nextest).unwrap_err();
            assert!(said.contains("put {test} into its name"), "{said}");
            // Nor does the list of tests make one.
            assert!(named(path, &["p", "--list"], &nextest[..1]).is_err());
            // A check that a test makes.
            assert!(named(path, &["p"], &nextest).is_ok());
            assert!(named(path, &["p", "--exact", "other"], &nextest).is_ok());
            assert!(named(path, &["p", "--list"], &nextest).is_ok());
            assert!(named(path, &test, &[]).is_ok());
        }
    }

    #[test]
    fn lists_of_tests_are_none() {
        let is_list = |path: Option<&str>, command: &[&str]| {
            subject(command, &[]).is_list_for(path.map(Path::new))
        };
        let list = ["p", "--list", "--format", "terse"];
        assert!(is_list(Some("{test}.csv"), &list));
        assert!(!is_list(Some("{program}.csv"), &list) && !is_list(None, &list));
        assert!(!is_list(Some("{test}.csv"), &["p", "--exact", "a"]));
    }

    #[test]
    fn names_of_files_are_harmless_and_differ() {
        let long = ["a", "b"].map(|end| "x".repeat(300) + end);
        let tests = [
            "a::b", "a b", "a_b", "a\"b", "a:b", "..", ".", "t[1-2]", "t[1_2]", "ä", &long[0],
            &long[1],
        ];
        let names: HashSet<String> = tests.iter().map(|test| file_name(test)).collect();
        assert_eq!(names.len(), tests.len(), "{names:?}");
        for name in names {
            assert!(!name.starts_with('.') && name.len() < 200, "{name}");
            assert!(!name.contains(['/', ':', '"', ' ', '\\']), "{name}");
        }
    }
}
