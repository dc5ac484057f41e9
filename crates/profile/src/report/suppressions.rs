//! Leaks that are known and not to be reported, in the format of LeakSanitizer: lines `leak:PATTERN`,
//! comments behind `#`.
//!
//! A pattern is looked for in the names of functions, source files and object files of the whole
//! stack. `*` stands for anything, `^` and `$` for the start and the end of the name.

use std::fmt;

/// A line of a file of suppressions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// As it was written.
    pub text: String,
    /// Texts that must occur one after the other.
    parts: Vec<String>,
    at_start: bool,
    at_end: bool,
}

/// Why a file of suppressions is not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub number: usize,
    /// What it says.
    pub text: String,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {}: expected leak:PATTERN or a comment (#), not \"{}\"",
            self.number,
            self.text.escape_debug()
        )
    }
}

impl std::error::Error for BadLine {}

/// Reads the text of a file of suppressions.
///
/// # Errors
/// The first line that is none.
pub fn parse(text: &str) -> Result<Vec<Suppression>, BadLine> {
    let mut all = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.strip_prefix("leak:").and_then(Suppression::new) {
            Some(suppression) => all.push(suppression),
            None => {
                let text = line.to_owned();
                return Err(BadLine { number, text });
            }
        }
    }
    Ok(all)
}

/// Returns lines of such a file for leaks of these functions, each of which is matched as a whole. Functions
/// of the same name are one line.
///
/// A pattern has no way to write `*` as itself: it stands for anything there, itself included.
pub fn lines<'n>(functions: impl Iterator<Item = &'n str>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for name in functions {
        // Blanks around a line do not belong to its pattern, and a line ends where the name has an end of line.
        let is_whole = name == name.trim() && !name.is_empty() && !name.contains(['\n', '\r']);
        let line = format!("leak:^{name}$");
        if is_whole && !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

impl Suppression {
    fn new(pattern: &str) -> Option<Self> {
        let inner = pattern.strip_prefix('^').unwrap_or(pattern);
        let at_start = inner.len() < pattern.len();
        let body = inner.strip_suffix('$').unwrap_or(inner);
        let at_end = body.len() < inner.len();
        let is_empty = body.is_empty();
        (!is_empty).then(|| Self {
            text: pattern.to_owned(),
            parts: body.split('*').map(str::to_owned).collect(),
            at_start,
            at_end,
        })
    }

    /// Returns whether the pattern occurs in a name.
    pub fn matches(&self, name: &str) -> bool {
        let mut rest = name;
        let last = self.parts.len().saturating_sub(1);
        for (i, part) in self.parts.iter().enumerate() {
            let anchored = i == 0 && self.at_start;
            let found = match (anchored, i == last && self.at_end) {
                (true, true) => (rest == part).then_some(0),
                (true, false) => rest.starts_with(part.as_str()).then_some(0),
                (false, true) => rest
                    .ends_with(part.as_str())
                    .then(|| rest.len() - part.len()),
                (false, false) => rest.find(part.as_str()),
            };
            let behind = found.and_then(|at| rest.get(at + part.len()..));
            let Some(behind) = behind else { return false };
            rest = behind;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Suppression::new(pattern).expect(pattern).matches(name)
    }

    #[test]
    fn patterns_are_those_of_leak_sanitizer() {
        for (pattern, yes, no) in [
            ("foo", "a::foo()", "a::fo"),
            ("^foo", "foobar", "afoo"),
            ("foo$", "foofoo", "foobar"),
            ("^foo$", "foo", "foofoo"),
            ("a*b", "xaybz", "ba"),
            ("^a*b*c$", "abbc", "abcb"),
            ("*x*", "x", "y"),
            ("^*$", "anything", ""),
        ] {
            assert!(matches(pattern, yes), "{pattern} {yes}");
            assert!(no.is_empty() || !matches(pattern, no), "{pattern} {no}");
        }
    }

    #[test]
    fn files_may_have_comments_and_a_bad_line_is_named() {
        let text = "# known\n\n leak:foo \nleak:^bar$\n";
        let found = parse(text).expect("understood");
        let texts: Vec<&str> = found.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(texts, ["foo", "^bar$"]);
        for bad in ["race:foo", "foo", "leak:", "leak:^$"] {
            let error = parse(&format!("# x\n{bad}\n")).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("line 2: expected leak:PATTERN or a comment (#), not \"{bad}\"")
            );
        }
    }

    /// All ways to match, tried one after the other.
    fn slow(pattern: &[u8], name: &[u8]) -> bool {
        match pattern {
            [] => true,
            b"$" => name.is_empty(),
            [b'*', rest @ ..] => (0..=name.len()).any(|at| slow(rest, &name[at..])),
            [c, rest @ ..] => name.first() == Some(c) && slow(rest, &name[1..]),
        }
    }

    #[test]
    fn the_lines_for_a_function_suppress_it_and_no_other() {
        let names = [
            "take",
            "a::b<c*>(int)",
            "take",
            "^odd$",
            "operator new",
            "",
            " x",
        ];
        let text = lines(names.into_iter());
        let expected = [
            "leak:^take$",
            "leak:^a::b<c*>(int)$",
            "leak:^^odd$$",
            "leak:^operator new$",
        ];
        assert_eq!(text, expected);
        let parsed = parse(&text.join("\n")).expect("suppressions");
        for (suppression, name) in parsed.iter().zip([names[0], names[1], names[3], names[4]]) {
            assert!(suppression.matches(name), "{name}");
        }
        assert!(!parsed[0].matches("take_other") && !parsed[0].matches("mistake"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn a_pattern_matches_where_some_way_to_match_is(
            start in any::<bool>(), body in "[ab*]{1,5}", end in any::<bool>(), name in "[ab]{0,7}",
        ) {
            let caret = if start { "^" } else { "" };
            let dollar = if end { "$" } else { "" };
            let tail = format!("{body}{dollar}");
            let expected = match start {
                true => slow(tail.as_bytes(), name.as_bytes()),
                false => slow(format!("*{tail}").as_bytes(), name.as_bytes()),
            };
            prop_assert_eq!(matches(&format!("{caret}{tail}"), &name), expected);
        }
    }
}
