//! Sends a profile as pprof to servers of continuous profiling, after everything local is written.
//!
//! A push that fails is a warning: it changes neither files nor the exit status, and all pushes together
//! take no longer than the limit.

mod parca;
mod pyroscope;
mod send;

use crate::options::ReportOptions;
use crate::options::push_target::Target;
use crate::terminal::term;
use skipheap_export as export;
use skipheap_export::Format;
use skipheap_profile::Profile;
use skipheap_profile::report::collapsed::Style;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// What servers are told besides the profile.
struct About {
    /// Name of the application.
    name: String,
    /// Labels, the user's last.
    labels: Vec<(String, String)>,
    /// Seconds since 1970.
    from: u64,
    /// Seconds since 1970, after `from`.
    until: u64,
}

impl About {
    fn new(profile: &Profile, target: &Target) -> Self {
        let first = profile.processes.first();
        let text = |index: Option<u32>| index.map_or("", |index| profile.text(index));
        let name = match target.name() {
            "" => text(first.map(|process| process.program)),
            name => name,
        };
        let mut labels = Vec::new();
        let host = text(first.map(|process| process.host));
        let is_one_host = profile
            .processes
            .iter()
            .all(|p| profile.text(p.host) == host);
        if is_one_host && !host.is_empty() {
            labels.push(("hostname".to_owned(), host.to_owned()));
        }
        // Of several processes those that all have.
        let all = |label: &(&str, &str)| {
            let mut processes = profile.processes.iter();
            processes.all(|process| profile.labels(process).any(|own| own == *label))
        };
        let common = first
            .into_iter()
            .flat_map(|first| profile.labels(first))
            .filter(all);
        let common = common.map(|(key, value)| (key.to_owned(), value.to_owned()));
        // Labels of the run override the host's, and those of the URL override both.
        for label in common.chain(target.labels().iter().cloned()) {
            labels.retain(|known| known.0 != label.0);
            labels.push(label);
        }
        let seconds = |ns: u64| ns / 1_000_000_000;
        let starts = profile.processes.iter().map(|process| process.start_ns);
        let ends = profile.processes.iter().map(|process| process.end_ns);
        let from = seconds(starts.min().unwrap_or(0));
        Self {
            name: if name.is_empty() { "unknown" } else { name }.to_owned(),
            labels,
            from,
            until: seconds(ends.max().unwrap_or(0)).max(from + 1),
        }
    }
}

/// Sends the profile wherever it is wanted, and says on standard error what came of it.
pub(crate) fn push(profile: &Profile, wanted: &ReportOptions, kept: &str) {
    let options = &wanted.push;
    if !options.is_wanted() {
        return;
    }
    let deadline = Instant::now() + Duration::from_secs(options.push_timeout);
    let mut text = String::new();
    for target in &options.push {
        // Writing to a string cannot fail.
        let pushed = push_to(profile, target, deadline, options.push_token_over_http);
        let _ = match pushed {
            Ok(()) if wanted.quiet => Ok(()),
            Ok(()) => writeln!(text, "pushed to {target}"),
            Err(error) => writeln!(
                text,
                "skip-heapprof: warning: the profile was not pushed to {target}: {}{kept}",
                term::printable(&error)
            ),
        };
    }
    term::say(&text);
}

/// Sends the profile to one server.
fn push_to(
    profile: &Profile,
    target: &Target,
    deadline: Instant,
    token_over_http: bool,
) -> Result<(), String> {
    let mut pprof = Vec::new();
    export::write(profile, Format::Pprof, Style::default(), &mut pprof)
        .map_err(|error| error.to_string())?;
    let about = About::new(profile, target);
    let request = match target {
        Target::Pyroscope(place) => pyroscope::request(place, &about, &pprof),
        Target::Parca(place) => parca::request(place, &about, pprof),
    };
    send::send(&request, deadline, token_over_http)
}

#[cfg(test)]
mod tests;
