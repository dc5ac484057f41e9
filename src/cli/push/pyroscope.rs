//! Pyroscope's `POST /ingest`: metadata in the query, and a form with the profile and the meaning of its sample
//! types. (With `format=pprof` in the query the server would take the form itself for a profile.)
//! <https://grafana.com/docs/pyroscope/latest/reference-server-api/>

use super::About;
use super::send::{Answer, Request};
use crate::options::push_target::{Place, encoded};

/// Names and units of the sample types. Blocks in use are a state, the others happen.
const SAMPLE_TYPES: &str = r#"{
"alloc_objects":{"units":"objects","aggregation":"sum","display-name":"alloc_objects"},
"alloc_space":{"units":"bytes","aggregation":"sum","display-name":"alloc_space"},
"inuse_objects":{"units":"objects","aggregation":"average","display-name":"inuse_objects"},
"inuse_space":{"units":"bytes","aggregation":"average","display-name":"inuse_space"}
}"#;

/// The request.
pub(super) fn request(place: &Place, about: &About, pprof: &[u8]) -> Request {
    let labels: Vec<String> = about
        .labels
        .iter()
        .map(|(name, value)| format!("{}={}", plain(name), plain(value)))
        .collect();
    let name = match labels.is_empty() {
        true => plain(&about.name),
        false => format!("{}{{{}}}", plain(&about.name), labels.join(",")),
    };
    let url = format!(
        "{}/ingest?name={}&from={}&until={}&spyName=skip-heapprof",
        place.base,
        encoded(&name),
        about.from,
        about.until
    );
    let boundary = boundary(pprof);
    let part = |name: &str, file: &str, kind: &str| {
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{file}\"\r\n\
             Content-Type: {kind}\r\n\r\n"
        )
    };
    let mut body = part("profile", "profile.pprof", "application/octet-stream").into_bytes();
    body.extend_from_slice(pprof);
    let config = part(
        "sample_type_config",
        "sample_type_config.json",
        "application/json",
    );
    body.extend_from_slice(format!("\r\n{config}{SAMPLE_TYPES}\r\n--{boundary}--\r\n").as_bytes());
    Request {
        url,
        headers: vec![(
            "Content-Type",
            format!("multipart/form-data; boundary={boundary}"),
        )],
        secrets: "SKIP_HEAP_PYROSCOPE",
        body,
        answer: Answer::Status,
    }
}

/// A line that the profile does not contain.
fn boundary(pprof: &[u8]) -> String {
    let is_free = |boundary: &String| memchr::memmem::find(pprof, boundary.as_bytes()).is_none();
    let mut candidates = (0_u64..).map(|number| format!("skip-heapprof-{number:016x}"));
    candidates.find(is_free).unwrap_or_default()
}

/// Text without what has a meaning in names of series.
fn plain(text: &str) -> String {
    let plain = |c: char| match c {
        '{' | '}' | '=' | ',' | '"' => '_',
        c if c.is_control() || c.is_whitespace() => '_',
        c => c,
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boundary_is_not_in_the_profile() {
        assert_eq!(boundary(b""), "skip-heapprof-0000000000000000");
        let taken = b"x skip-heapprof-0000000000000000 y";
        assert_eq!(boundary(taken), "skip-heapprof-0000000000000001");
    }

    #[test]
    fn names_cannot_add_labels() {
        assert_eq!(plain("a{b=\"c\"},d e\n"), "a_b__c___d_e_");
    }
}
