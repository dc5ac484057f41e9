//! Labels of a run: `--label KEY=VALUE`, and what a CI job says of itself.

use std::env;

/// Labels that a CI job's environment gives: the variable that says that it is one, and for each label the
/// variable that has its value.
///
/// <https://docs.github.com/en/actions/reference/workflows-and-actions/variables>,
/// <https://docs.gitlab.com/ci/variables/predefined_variables/>
const OF_CI: [(&str, &[(&str, &str)]); 2] = [
    (
        "GITHUB_ACTIONS",
        &[
            ("commit", "GITHUB_SHA"),
            ("branch", "GITHUB_REF_NAME"),
            ("job", "GITHUB_JOB"),
        ],
    ),
    (
        "GITLAB_CI",
        &[
            ("commit", "CI_COMMIT_SHA"),
            ("commit_time", "CI_COMMIT_TIMESTAMP"),
            ("branch", "CI_COMMIT_REF_NAME"),
            ("job", "CI_JOB_NAME"),
        ],
    ),
];

/// A label.
pub(crate) type Label = (String, String);

/// The labels that profiles get.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    /// For recordings that become profiles: those of the CI job, then those of the user.
    pub(crate) of_recordings: Vec<Label>,
    /// For every profile: those of the user.
    pub(crate) given: Vec<Label>,
}

impl Labels {
    /// The labels of the options, and of the job that the tool runs in.
    pub(crate) fn new(given: &[Label]) -> Self {
        let mut of_recordings = of_ci(|name| env::var(name).ok());
        of_recordings.extend_from_slice(given);
        Self {
            of_recordings,
            given: given.to_vec(),
        }
    }
}

fn of_ci(variable: impl Fn(&str) -> Option<String>) -> Vec<Label> {
    let is_there = |name: &str| variable(name).is_some_and(|value| value == "true");
    let mut jobs = OF_CI.iter();
    let Some((_, labels)) = jobs.find(|(job, _)| is_there(job)) else {
        return Vec::new();
    };
    labels
        .iter()
        .filter_map(|&(key, name)| {
            Some((key.to_owned(), variable(name).filter(|v| !v.is_empty())?))
        })
        .collect()
}

/// Reads `KEY=VALUE`; an empty value removes a label.
///
/// # Errors
/// When there is no `=`, or the key is none that every format and server takes: a letter or `_`, then letters,
/// digits and `_`, as Prometheus has it (<https://prometheus.io/docs/concepts/data_model/>).
pub(crate) fn parse(text: &str) -> Result<Label, String> {
    let Some((key, value)) = text.split_once('=') else {
        return Err("must be KEY=VALUE, such as commit=1f0c3a".to_owned());
    };
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !key.bytes().all(is_key) || !key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return Err(format!(
            "invalid key {key:?}: use letters, digits and `_`; the first character must not be a digit"
        ));
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_that_servers_take() {
        assert_eq!(parse("commit=a=b"), Ok(("commit".into(), "a=b".into())));
        assert_eq!(parse("_x1="), Ok(("_x1".into(), String::new())));
        for wrong in ["commit", "=x", "1a=x", "a-b=x", "ä=x", "a b=x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_job_says_what_it_is() {
        let of = |variables: &'static [(&str, &str)]| {
            of_ci(|name| {
                let mut known = variables.iter();
                known
                    .find(|known| known.0 == name)
                    .map(|known| known.1.to_owned())
            })
        };
        assert!(of(&[("GITHUB_SHA", "a1")]).is_empty());
        let labels = of(&[
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_SHA", "a1"),
            ("GITHUB_JOB", ""),
        ]);
        assert_eq!(labels, [("commit".to_owned(), "a1".to_owned())]);
        let labels = of(&[("GITLAB_CI", "true"), ("CI_COMMIT_REF_NAME", "main")]);
        assert_eq!(labels, [("branch".to_owned(), "main".to_owned())]);
    }
}
