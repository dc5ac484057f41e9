//! Secrets in command lines: what looks like one is left out of profiles, and so of everything that
//! is made of them.
//!
//! Left out is the value of an option, a variable or a header whose name says that it is a secret
//! (`--password=VALUE`, `--api-key VALUE`, `PGPASSWORD=VALUE`, `Authorization: VALUE`), the
//! password in a URL, and a word that begins as the tokens of well-known services do. Words inside
//! an argument (`sh -c 'mysql --password=VALUE'`) are looked at in the same way.

use super::Profile;
use std::borrow::Cow;

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// Parts of the names of secrets, in small letters and without `-` and `_`.
const NAMES: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
    "cookie",
    "auth",
];

/// What tokens begin with.
const TOKENS: [&str; 15] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "glc_",
    "glsa_",
    "sk-",
    "sk_live_",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "eyJ",
];
/// A shorter word is no token.
const LEAST_TOKEN: usize = 16;

/// The words of a command line without secrets.
pub fn command<'w>(words: impl Iterator<Item = &'w str>) -> Vec<Cow<'w, str>> {
    let mut is_value = false;
    words
        .map(|word| {
            let mut pieces = Pieces {
                is_value: std::mem::take(&mut is_value),
                ..Pieces::default()
            };
            pieces.all(word);
            is_value = pieces.is_value;
            match pieces.text == word {
                true => Cow::Borrowed(word),
                false => Cow::Owned(pieces.text),
            }
        })
        .collect()
}

/// The pieces of an argument that white space separates.
#[derive(Default)]
struct Pieces {
    text: String,
    /// The next piece is the value of a name that came before.
    is_value: bool,
}

impl Pieces {
    fn all(&mut self, mut rest: &str) {
        loop {
            let start = rest.len() - rest.trim_start().len();
            self.text.push_str(&rest[..start]);
            rest = &rest[start..];
            if rest.is_empty() {
                return;
            }
            let len = length(rest);
            let (piece, behind) = rest.split_at(len);
            self.one(piece);
            rest = behind;
        }
    }

    fn one(&mut self, piece: &str) {
        let bare = piece.trim_start_matches(['"', '\'', '(']);
        let is_option = bare.starts_with('-');
        if std::mem::take(&mut self.is_value) && !is_option {
            // The kind of credentials stands before them.
            self.is_value = matches!(bare, "Bearer" | "Basic" | "Token" | "token");
            match self.is_value {
                true => self.text.push_str(piece),
                false => self.text.push_str(REDACTED),
            }
            return;
        }
        if let Some(at) = piece.find(['=', ':'])
            && is_secret(&piece[..at])
            && !piece[at..].starts_with("://")
        {
            let (name, value) = piece.split_at(at + 1);
            self.text.push_str(name);
            match value {
                "" => self.is_value = piece.ends_with(':'),
                _ => self.text.push_str(REDACTED),
            }
            return;
        }
        if is_option && is_secret(bare) {
            self.is_value = true;
        } else if TOKENS.iter().any(|token| bare.starts_with(token)) && bare.len() >= LEAST_TOKEN {
            self.text.push_str(REDACTED);
            return;
        }
        self.url(piece);
    }

    /// `https://user:password@host/` without the password.
    fn url(&mut self, piece: &str) {
        let parts = || {
            let (scheme, rest) = piece.split_once("://")?;
            let authority = rest.split(['/', '?', '#']).next()?;
            let (user, _) = authority.rsplit_once('@')?;
            let (name, _) = user.split_once(':')?;
            Some((scheme, name, &rest[user.len()..]))
        };
        match parts() {
            Some((scheme, name, behind)) => {
                self.text
                    .push_str(&format!("{scheme}://{name}:{REDACTED}{behind}"));
            }
            None => self.text.push_str(piece),
        }
    }
}

/// Bytes of the first piece; quoted white space is part of it.
fn length(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') if at > 0 => quote = Some(c),
            (Some(open), _) if c == open => quote = None,
            (None, _) if c.is_whitespace() => return at,
            _ => {}
        }
    }
    match quote {
        // It never ends: no quote after all.
        Some(_) => text.find(char::is_whitespace).unwrap_or(text.len()),
        None => text.len(),
    }
}

/// Returns whether a name says that what it names is a secret.
fn is_secret(name: &str) -> bool {
    let name: String = name
        .chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .collect::<String>()
        .to_ascii_lowercase();
    // `--author` is none.
    NAMES.iter().any(|part| match *part {
        "auth" => name.ends_with("auth"),
        part => name.contains(part),
    })
}

impl Profile {
    /// The profile without secrets in its command lines, or without command lines where they are
    /// not to be `kept`. Texts that nothing else needs go.
    pub fn cleaned(mut self, kept: bool) -> Self {
        let mut is_changed = false;
        for process in &mut self.processes {
            if !kept {
                is_changed |= !process.command.is_empty();
                process.command.clear();
                continue;
            }
            let text = |&word: &u32| self.strings.get(word as usize).map_or("", |text| &**text);
            let clean: Vec<Option<String>> = command(process.command.iter().map(text))
                .into_iter()
                .map(|word| match word {
                    Cow::Borrowed(_) => None,
                    Cow::Owned(word) => Some(word),
                })
                .collect();
            for (word, clean) in process.command.iter_mut().zip(clean) {
                if let Some(clean) = clean {
                    *word = self.strings.len() as u32;
                    self.strings.push(clean.into());
                    is_changed = true;
                }
            }
        }
        match is_changed {
            true => self.only(|_| true),
            false => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::small;

    fn redacted(words: &[&str]) -> String {
        command(words.iter().copied()).join(" ")
    }

    #[test]
    fn what_is_named_as_a_secret_is_left_out() {
        for (words, expected) in [
            (
                &["p", "--password=hunter2", "x"][..],
                "p --password=[redacted] x",
            ),
            (
                &["p", "--db-password", "hunter2", "x"],
                "p --db-password [redacted] x",
            ),
            (
                &["p", "--API_KEY=a", "-token=b"],
                "p --API_KEY=[redacted] -token=[redacted]",
            ),
            (
                &["env", "PGPASSWORD=a", "MYSQL_PWD=b"],
                "env PGPASSWORD=[redacted] MYSQL_PWD=[redacted]",
            ),
            (
                &["curl", "-H", "Authorization: Bearer abc"],
                "curl -H Authorization: Bearer [redacted]",
            ),
            (&["curl", "-H", "Cookie:a=b"], "curl -H Cookie:[redacted]"),
            (&["p", "--password", "--verbose"], "p --password --verbose"),
            (
                &["sh", "-c", "mysql --password='a b' -e x"],
                "sh -c mysql --password=[redacted] -e x",
            ),
            (
                &["p", "postgres://me:pw@host/db?a=b"],
                "p postgres://me:[redacted]@host/db?a=b",
            ),
            (&["p", "ghp_0123456789abcdef"], "p [redacted]"),
        ] {
            assert_eq!(redacted(words), expected);
        }
    }

    #[test]
    fn everything_else_stays() {
        for words in [
            &["jq", "-n", "[range(9)]", ".a:b"][..],
            &["git", "log", "--author=me", "https://host:80/x@y"],
            &["p", "it's  two   blanks", "", "-p", "sk-1"],
            &["ssh", "user@host", "a=b"],
        ] {
            assert_eq!(redacted(words), words.join(" "));
        }
    }

    #[test]
    fn nothing_of_a_secret_is_left_in_a_profile() {
        let with_secret = || {
            let mut profile = small();
            profile.strings.push("--password=hunter2".into());
            let word = profile.strings.len() as u32 - 1;
            profile.processes[0].command = vec![profile.processes[0].program, word];
            profile
        };
        let has = |profile: &Profile, text: &str| {
            profile.strings.iter().any(|string| string.contains(text))
        };
        let clean = with_secret().cleaned(true);
        clean.check().expect("in order");
        assert!(!has(&clean, "hunter2") && has(&clean, "--password=[redacted]"));
        assert_eq!(clean.processes[0].command.len(), 2);
        let none = with_secret().cleaned(false);
        none.check().expect("in order");
        assert!(none.processes[0].command.is_empty() && !has(&none, "password"));
    }
}
