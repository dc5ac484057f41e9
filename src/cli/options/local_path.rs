//! Paths that are written to: a URL is refused, which would become a folder named `s3:`.

use clap::builder::{OsStringValueParser, TypedValueParser};
use std::ffi::OsString;
use std::path::PathBuf;

/// The parser of an option whose value is a path to write to.
pub(crate) fn local_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(parse)
}

/// Returns the path.
///
/// # Errors
/// When it is a URL: its scheme, and what to do.
fn parse(text: OsString) -> Result<PathBuf, String> {
    match scheme(&text.to_string_lossy()) {
        Some(scheme) => Err(format!(
            "URLs are not supported: write to a local path and copy the result (`./{scheme}://...` \
             names a local folder)"
        )),
        None => Ok(PathBuf::from(text)),
    }
}

/// The scheme of a URL, as in RFC 3986 (section 3.1), before `://`; `None` of what is none.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once("://")?;
    let mut letters = scheme.bytes();
    let is_first = letters
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic());
    let is_other = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    (is_first && letters.all(is_other)).then_some(scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_refused_and_paths_are_not() {
        for url in [
            "s3://bucket/x.csv",
            "gs://b",
            "file:///tmp/x",
            "az+https://x/y",
        ] {
            let said = parse(url.into()).unwrap_err();
            assert!(said.contains("local"), "{said}");
        }
        for path in [
            "x.csv",
            "./s3://bucket",
            "/a://b",
            "s3:/bucket",
            "://x",
            "1s://x",
            "",
        ] {
            assert_eq!(parse(path.into()), Ok(PathBuf::from(path)));
        }
    }
}
