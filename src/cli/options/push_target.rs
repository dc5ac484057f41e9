//! Where profiles are pushed to: `pyroscope+http://host:port/app?label=value`.

use std::fmt;
use std::str::FromStr;
use ureq::http::Uri;

/// A server and what the profile is called there.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// `POST /ingest`.
    Pyroscope(Place),
    /// `ProfileStoreService/WriteRaw`.
    Parca(Place),
}

/// The parts of the URL.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// Scheme, host, port, and the path but for its last part; no slash at the end.
    pub(crate) base: String,
    /// The last part of the path; may be empty.
    name: String,
    labels: Vec<(String, String)>,
}

impl Target {
    fn place(&self) -> &Place {
        match self {
            Self::Pyroscope(place) | Self::Parca(place) => place,
        }
    }

    /// Name of the application; empty: that of the program.
    pub(crate) fn name(&self) -> &str {
        &self.place().name
    }

    /// Labels of the URL.
    pub(crate) fn labels(&self) -> &[(String, String)] {
        &self.place().labels
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let server = match self {
            Self::Pyroscope(_) => "pyroscope",
            Self::Parca(_) => "parca",
        };
        let Place { base, name, .. } = self.place();
        write!(
            f,
            "{server}+{base}/{}",
            crate::terminal::term::printable(name)
        )
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORMS: &str =
            "expected pyroscope+http://HOST:PORT/APP or parca+http://HOST:PORT/APP (or +https)";
        let (server, url) = text.split_once('+').ok_or(FORMS)?;
        let make = match server {
            "pyroscope" => Self::Pyroscope,
            "parca" => Self::Parca,
            _ => return Err(FORMS.to_owned()),
        };
        let uri: Uri = url.parse().map_err(|error| format!("{error}; {FORMS}"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(FORMS.to_owned());
        };
        if !matches!(scheme, "http" | "https") || authority.host().is_empty() {
            return Err(FORMS.to_owned());
        }
        if authority.as_str().contains('@') {
            return Err(
                "passwords and tokens are given by environment variables, where other users do not see \
                 them: SKIP_HEAP_PYROSCOPE_TOKEN, SKIP_HEAP_PARCA_TOKEN"
                    .to_owned(),
            );
        }
        let (above, name) = uri.path().rsplit_once('/').unwrap_or(("", ""));
        let label = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        };
        let pairs = uri.query().unwrap_or("").split('&');
        Ok(make(Place {
            base: format!("{scheme}://{authority}{above}"),
            name: decoded(name),
            labels: pairs.filter(|pair| !pair.is_empty()).map(label).collect(),
        }))
    }
}

/// Text without percent-encoding; what is no text becomes question marks.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Text as the value of a query.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        match byte {
            b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_a_server_an_application_and_labels() {
        let target: Target = "pyroscope+https://h:4040/prefix/my%20app?env=prod&a=b%2Fc"
            .parse()
            .expect("a target");
        assert_eq!(target.place().base, "https://h:4040/prefix");
        assert_eq!(target.name(), "my app");
        let labels = [("env", "prod"), ("a", "b/c")];
        assert_eq!(
            target.labels(),
            labels.map(|(a, b)| (a.to_owned(), b.to_owned()))
        );
        assert_eq!(target.to_string(), "pyroscope+https://h:4040/prefix/my app");
        for bare in ["parca+http://[::1]:7070", "parca+http://[::1]:7070/"] {
            let target: Target = bare.parse().expect("a target");
            assert_eq!(
                (target.place().base.as_str(), target.name()),
                ("http://[::1]:7070", "")
            );
        }
        assert_eq!(encoded("a{b=c d}"), "a%7Bb%3Dc%20d%7D");
    }

    #[test]
    fn others_are_refused_with_what_is_expected() {
        for url in [
            "http://h/app",
            "pyroscope+ftp://h/app",
            "jaeger+http://h/app",
            "pyroscope+http:///app",
            "pyroscope",
            "",
        ] {
            let said = url.parse::<Target>().unwrap_err();
            assert!(said.contains("pyroscope+http://HOST"), "{url}: {said}");
        }
        let said = "parca+http://user:secret@h/".parse::<Target>().unwrap_err();
        assert!(
            said.contains("environment") && !said.contains("secret"),
            "{said}"
        );
    }
}
