//! What the library, without the tool, says on standard error besides the CSV: that figures are
//! estimates, and what the leak check found.
//!
//! Runs once, in the cold section of the report.

use crate::log;
use crate::settings::settings;
use skipheap_format::reader::Recording;
use skipheap_profile::Site;
use skipheap_profile::build::{self, Detail};
use skipheap_profile::leaks;
use skipheap_profile::report::left::{Blocks, Leak, Left};
use skipheap_profile::report::rows::Row;
use skipheap_profile::report::suppressions::{self, Suppression};
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::places::Places;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

/// Leaks that are listed.
const LISTED: usize = 10;

/// Says how far the rows of a sample are to be trusted.
pub(crate) fn estimate(recording: &Recording<'_>, rows: &[Row]) {
    if recording.sample_bytes() == 0 {
        return;
    }
    let samples: u64 = rows.iter().map(|row| row.samples).sum();
    let bytes: u64 = rows
        .iter()
        .fold(0, |sum, row| sum.saturating_add(row.total));
    let error = rows.iter().map(|row| row.variance).sum::<f64>().sqrt();
    let error = match samples {
        // Nothing is known of what was not in the sample.
        0 => String::new(),
        _ => format!(
            ", standard error ±{:.1} % of all bytes",
            100.0 * error / bytes.max(1) as f64
        ),
    };
    say(&format!(
        "estimated from a sample of {}{error}",
        counted(samples, "allocation")
    ));
}

/// Says what the leak check found, if it was made.
pub(crate) fn leaks(recording: &Recording<'_>, symbolizer: &mut Symbolizer, places: &mut Places) {
    if recording.leaks().is_none() {
        return;
    }
    let known = suppressions();
    let listed = match &known[..] {
        [] => LISTED,
        // Any frame of any stack may be known.
        _ => usize::MAX,
    };
    let Ok(profile) = build::profile(recording, Detail::leaks(listed), symbolizer, places) else {
        return;
    };
    let sites: Vec<&Site> = profile.sites.iter().collect();
    let Some(found) = leaks::leaks(&profile, 0, &sites, &known, LISTED) else {
        return;
    };
    say(&format!(
        "leaked (unreachable): {} from {}",
        amount(found.all),
        counted(found.stacks as u64, "stack")
    ));
    if found.indirect.blocks > 0 {
        say(&format!("of these indirectly: {}", amount(found.indirect)));
    }
    for leak in &found.largest {
        say(&format!("  {}: {}", amounts(leak.left), stack(leak)));
    }
    for (suppression, kept) in known.iter().zip(&found.suppressed) {
        if kept.blocks > 0 {
            say(&format!(
                "suppressed by leak:{}: {}",
                suppression.text.escape_debug(),
                amount(*kept)
            ));
        }
    }
}

/// Those of the file that the environment names.
fn suppressions() -> Vec<Suppression> {
    let path = settings().suppressions.get();
    if path.is_empty() {
        return Vec::new();
    }
    let name = path.escape_ascii();
    match std::fs::read(OsStr::from_bytes(path)) {
        Ok(bytes) => {
            suppressions::parse(&String::from_utf8_lossy(&bytes)).unwrap_or_else(|error| {
                say(&format!("no suppressions: {name}: {error}"));
                Vec::new()
            })
        }
        Err(error) => {
            say(&format!("no suppressions: {name}: {error}"));
            Vec::new()
        }
    }
}

fn amount(blocks: Blocks) -> String {
    let bytes = counted(blocks.bytes, "byte");
    format!("{bytes} in {}", counted(blocks.blocks, "block"))
}

/// A number of things, without separators: scripts read these lines.
fn counted(n: u64, one: &str) -> String {
    match n {
        1 => format!("1 {one}"),
        _ => format!("{n} {one}s"),
    }
}

/// What a stack has lost; indirectly lost blocks by themselves, where there are any.
fn amounts(left: Left) -> String {
    match (left.direct(), left.indirect) {
        (direct, Blocks { blocks: 0, .. }) => amount(direct),
        (Blocks { blocks: 0, .. }, indirect) => format!("{} indirectly", amount(indirect)),
        (direct, indirect) => format!("{}, and {} indirectly", amount(direct), amount(indirect)),
    }
}

fn stack(leak: &Leak) -> String {
    let names = leak
        .stack
        .iter()
        .map(|place| place.function.as_deref().unwrap_or("?"));
    names.collect::<Vec<_>>().join(" < ")
}

fn say(what: &str) {
    log::line(&[b"heap profiler: ", what.as_bytes()]);
}
