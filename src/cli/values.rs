//! Values of a run's settings: what the library would not understand is an error before anything
//! runs, whether it is an option's or a variable's.

use crate::error::Failure;
use crate::options::RunOptions;
use skipheap_config::filter::patterns;
use skipheap_config::hook_spec;
use skipheap_config::settings::*;
use skipheap_text::glob_error;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// A setting: its variable, its option, and what finds out what is wrong with a value.
type Row = (&'static str, &'static str, fn(&[u8]) -> Option<String>);

const SETTINGS: [Row; 13] = [
    (PROFILE, "--profile", |value| {
        unless(Mode::parse(Some(value)).is_some(), PROFILE_VALUES)
    }),
    (PROGRAMS, "--programs", |value| globs(value)),
    (TRIM, "--trim", |value| globs(value)),
    (HOOKS, "--hook", |value| hooks(value, HOOKS_BY_NAME)),
    (ALLOCATORS, "--allocators", |value| {
        allocators(value, HOOKS_BY_NAME)
    }),
    (VERIFY, "--verify", |value| {
        unless(one_in(Some(value)).is_some(), VERIFY_VALUES)
    }),
    (STACK_DEPTH, "--stack-depth", |value| {
        unless(stack_depth(Some(value)).is_some(), STACK_DEPTH_VALUES)
    }),
    (SAMPLE, "--sample", |value| {
        unless(sample_bytes(Some(value)).is_some(), SAMPLE_VALUES)
    }),
    (COLUMNS, "--columns", |value| {
        unless(matches!(value, b"" | b"seed" | b"all"), COLUMNS_VALUES)
    }),
    (LIVE, "--live", switch),
    (LEAK_CHECK, "--leak-check", switch),
    (STOPPED, "--stopped", switch),
    (KEEP, "--keep", switch),
];

/// Finds out whether the library will understand what it is told.
///
/// # Errors
/// The first value that it would not: where it stands and what is right.
pub(crate) fn check(options: &RunOptions) -> Result<(), Failure> {
    let given = options.variables();
    for (variable, option, wrong) in SETTINGS {
        let of_option = given.iter().find(|given| given.0 == variable);
        let (name, value) = match of_option {
            Some((_, value)) => (option, value.clone()),
            None => (variable, std::env::var_os(variable).unwrap_or_default()),
        };
        if let Some(why) = wrong(value.as_bytes()) {
            return Err(Failure::unusable(format_args!(
                "{name} {}: {why}",
                quoted(&value)
            )));
        }
    }
    Ok(())
}

fn quoted(value: &OsString) -> String {
    format!("\"{}\"", skipheap_text::printable(value.as_bytes()))
}

fn unless(is_right: bool, values: &str) -> Option<String> {
    (!is_right).then(|| format!("must be {values}"))
}

fn switch(value: &[u8]) -> Option<String> {
    unless(matches!(value, b"" | b"0" | b"1"), "0 or 1")
}

fn globs(list: &[u8]) -> Option<String> {
    patterns(list).find_map(|glob| glob_error(glob.strip_prefix(b"!").unwrap_or(glob)))
}

fn allocators(value: &[u8], hooks_by_name: bool) -> Option<String> {
    match Allocators::parse(Some(value)) {
        None => unless(false, ALLOCATORS_VALUES),
        Some(chosen) if chosen.needs_hooks() && !hooks_by_name => Some(NO_HOOKS_BY_NAME.to_owned()),
        Some(_) => None,
    }
}

fn hooks(list: &[u8], hooks_by_name: bool) -> Option<String> {
    if !list.is_empty() && !hooks_by_name {
        return Some(NO_HOOKS_BY_NAME.to_owned());
    }
    hook_spec::parse(&String::from_utf8_lossy(list)).find_map(|spec| match spec {
        Ok(spec) => glob_error(spec.name.as_bytes()),
        Err(error) => Some(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_would_not_understand_is_an_error() {
        let said = |options: RunOptions| {
            check(&options)
                .err()
                .map(|failure| failure.error.to_string())
        };
        if !HOOKS_BY_NAME {
            return;
        }
        let hook = |hook: &str| {
            said(RunOptions {
                hook: vec![hook.to_owned()],
                ..RunOptions::default()
            })
        };
        let trim = |trim: &str| {
            said(RunOptions {
                trim: Some(trim.into()),
                ..RunOptions::default()
            })
        };
        assert_eq!(hook("f(size=arg0);g(size=1)"), None);
        let text = hook("f(size=arg0);g(size=arg9)").expect("an error");
        assert!(text.starts_with("--hook \"f(size=arg0);g"), "{text}");
        assert!(hook("foo").is_some() && hook("f[(size=arg0)").is_some());
        assert_eq!(trim("operator new[]*,<[T]>::to_vec"), None);
        assert_eq!(
            trim("a,["),
            Some("--trim \"a,[\": the glob \"[\" has a bracket without its other half".into())
        );
        let programs = RunOptions {
            programs: Some("!".into()),
            ..RunOptions::default()
        };
        assert!(said(programs).is_some_and(|text| text.contains("empty")));
        let allocators = RunOptions {
            allocators: Some("heap".into()),
            ..RunOptions::default()
        };
        assert!(said(allocators).is_some_and(|text| text.contains("must be auto, all, none")));
    }

    #[test]
    fn hooks_are_refused_where_there_are_none() {
        assert_eq!(hooks(b"", false), None);
        assert_eq!(
            hooks(b"f(size=arg0)", false).as_deref(),
            Some(NO_HOOKS_BY_NAME)
        );
        assert_eq!(allocators(b"auto", false), None);
        assert_eq!(allocators(b"malloc", false), None);
        for value in ["all", "none", "jemalloc", "malloc,obstack"] {
            assert_eq!(allocators(value.as_bytes(), true), None, "{value}");
            let said = allocators(value.as_bytes(), false);
            assert_eq!(said.as_deref(), Some(NO_HOOKS_BY_NAME), "{value}");
        }
    }

    #[test]
    fn switches_are_on_or_off() {
        assert_eq!([b"".as_slice(), b"0", b"1"].map(switch), [None, None, None]);
        assert_eq!(switch(b"yes").as_deref(), Some("must be 0 or 1"));
    }
}
