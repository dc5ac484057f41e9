//! Sends a request: a few times where the server or the way to it failed, and not beyond a moment in time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::env;
use std::io::Read;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, Uri};

/// Tries, the first included.
const TRIES: u32 = 3;
/// Before the second try; twice as long before the next.
const PAUSE: Duration = Duration::from_millis(300);
/// Bytes of an answer that are looked at.
const MOST_ANSWER: u64 = 1 << 16;
/// Bytes of it that are shown.
const SHOWN: usize = 200;

/// The header that tells who we are.
const AUTHORIZATION: &str = "Authorization";

/// What is sent.
pub(super) struct Request {
    pub(super) url: String,
    pub(super) headers: Vec<(&'static str, String)>,
    /// What the names of the environment variables with secrets begin with.
    pub(super) secrets: &'static str,
    pub(super) body: Vec<u8>,
    pub(super) answer: Answer,
}

/// How the server says that all is well.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// By HTTP's status.
    Status,
    /// By gRPC's, in the headers or in a last frame.
    GrpcWeb,
}

/// Why it failed, and whether another try may do better.
struct Failed {
    why: String,
    again: bool,
}

/// Sends a request until it is taken.
///
/// # Errors
/// Why it was not, the last time.
pub(super) fn send(
    request: &Request,
    deadline: Instant,
    token_over_http: bool,
) -> Result<(), String> {
    let secrets = secrets(request.secrets);
    let has_token = secrets.iter().any(|(name, _)| *name == AUTHORIZATION);
    if has_token && !token_over_http && !is_private(&request.url) {
        return Err(format!(
            "{}_TOKEN is not sent to another machine over plain http, where others could read it: use \
             https, or --push-token-over-http",
            request.secrets
        ));
    }
    let sent = send_with(request, &secrets, deadline);
    // Servers may repeat what they were told.
    sent.map_err(|why| without(why, &secrets))
}

/// Returns whether nobody but this machine and the server can read what is sent.
fn is_private(url: &str) -> bool {
    let Some(uri) = url.parse::<Uri>().ok() else {
        return false;
    };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    uri.scheme_str() == Some("https")
        || host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A text without the values of these headers.
fn without(mut text: String, secrets: &[(&'static str, String)]) -> String {
    for (name, value) in secrets {
        if *name == AUTHORIZATION {
            let bare = value.rsplit(' ').next().unwrap_or(value);
            text = text.replace(bare, "[redacted]");
        }
    }
    text
}

fn send_with(
    request: &Request,
    secrets: &[(&'static str, String)],
    deadline: Instant,
) -> Result<(), String> {
    let mut pause = PAUSE;
    let mut last = "there was no time left".to_owned();
    for attempt in 1..=TRIES {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match try_once(request, secrets, left) {
            Ok(()) => return Ok(()),
            Err(Failed { why, again }) => {
                last = match attempt {
                    1 => why,
                    _ => format!("{why} ({attempt} tries)"),
                };
                let left = deadline.saturating_duration_since(Instant::now());
                if !again || attempt == TRIES || left <= pause {
                    break;
                }
                thread::sleep(pause);
                pause *= 2;
            }
        }
    }
    Err(last)
}

fn try_once(
    request: &Request,
    secrets: &[(&'static str, String)],
    time: Duration,
) -> Result<(), Failed> {
    // A token must not follow a redirection to somebody else.
    let config = Agent::config_builder()
        .timeout_global(Some(time))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(skipheap_profile::TOOL)
        .build();
    let mut builder = config.new_agent().post(&request.url);
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    for (name, value) in secrets {
        builder = builder.header(*name, value);
    }
    let connection = |error: ureq::Error| {
        // What is wrong with the request itself stays wrong.
        let again = !matches!(error, ureq::Error::BadUri(_) | ureq::Error::Http(_));
        Failed {
            why: error.to_string(),
            again,
        }
    };
    let response = builder.send(&request.body[..]).map_err(connection)?;
    let (head, body) = response.into_parts();
    let mut answer = Vec::new();
    let read = body
        .into_reader()
        .take(MOST_ANSWER)
        .read_to_end(&mut answer);
    if !head.status.is_success() {
        return Err(refused(head.status, &answer));
    }
    read.map_err(|error| Failed {
        why: error.to_string(),
        again: true,
    })?;
    match request.answer {
        Answer::Status => Ok(()),
        Answer::GrpcWeb => grpc_status(&head.headers, &answer),
    }
}

/// The headers that tell who we are.
fn secrets(prefix: &str) -> Vec<(&'static str, String)> {
    let variable = |name: &str| {
        let value = env::var(format!("{prefix}_{name}")).ok();
        value.filter(|value| !value.is_empty())
    };
    let mut headers = Vec::new();
    if let Some(token) = variable("TOKEN") {
        headers.push(match variable("USER") {
            Some(user) => {
                let both = STANDARD.encode(format!("{user}:{token}"));
                (AUTHORIZATION, format!("Basic {both}"))
            }
            None => (AUTHORIZATION, format!("Bearer {token}")),
        });
    }
    headers.extend(variable("TENANT").map(|tenant| ("X-Scope-OrgID", tenant)));
    headers
}

fn refused(status: StatusCode, answer: &[u8]) -> Failed {
    let text = String::from_utf8_lossy(answer);
    let text = text.trim();
    let shown: String = text.chars().take(SHOWN).collect();
    Failed {
        why: match shown.is_empty() {
            true => format!("HTTP status {status}"),
            false => format!("HTTP status {status}: {shown}"),
        },
        again: status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
    }
}

/// gRPC's status: in the headers when there is nothing else, or in the frame of trailers.
fn grpc_status(headers: &HeaderMap, answer: &[u8]) -> Result<(), Failed> {
    let of_headers = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let trailers = trailers(answer);
    let of_trailers = |name: &str| {
        let mut lines = trailers.lines().filter_map(|line| line.split_once(':'));
        let line = lines.find(|line| line.0.trim().eq_ignore_ascii_case(name))?;
        Some(line.1.trim().to_owned())
    };
    let find = |name: &str| of_headers(name).or_else(|| of_trailers(name));
    match find("grpc-status").as_deref() {
        Some("0") => Ok(()),
        Some(code) => Err(Failed {
            why: format!(
                "gRPC status {code}: {}",
                find("grpc-message")
                    .unwrap_or_default()
                    .chars()
                    .take(SHOWN)
                    .collect::<String>()
            ),
            // Deadline exceeded, resources exhausted, aborted, unavailable.
            again: matches!(code, "4" | "8" | "10" | "14"),
        }),
        None => Err(Failed {
            why: "not a gRPC-Web response: is this a Parca server?".to_owned(),
            again: false,
        }),
    }
}

/// The frame of trailers, which has the highest bit in its first byte.
fn trailers(mut answer: &[u8]) -> String {
    while let Some((head, rest)) = answer.split_first_chunk::<5>() {
        let [flags, length @ ..] = *head;
        let length = u32::from_be_bytes(length) as usize;
        let frame = rest.get(..length).unwrap_or(rest);
        if flags & 0x80 != 0 {
            return String::from_utf8_lossy(frame).into_owned();
        }
        answer = rest.get(length..).unwrap_or(&[]);
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_private_on_this_machine_alone() {
        for url in [
            "https://h/a",
            "http://localhost:1/a",
            "http://127.1.2.3/a",
            "http://[::1]:7/a",
        ] {
            assert!(is_private(url), "{url}");
        }
        for url in [
            "http://h/a",
            "http://localhost.h/a",
            "http://10.0.0.1/a",
            "http://[::2]/a",
            "x",
        ] {
            assert!(!is_private(url), "{url}");
        }
    }

    #[test]
    fn a_token_that_a_server_repeats_is_not_shown() {
        let secrets = [(AUTHORIZATION, "Bearer s3cret".to_owned())];
        let text = without("HTTP status 401: s3cret is unknown".to_owned(), &secrets);
        assert_eq!(text, "HTTP status 401: [redacted] is unknown");
    }
}
