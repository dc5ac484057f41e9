//! Findings in words.

use super::evidence::{Names, Site, Sum};
use super::limit::Limit;
use super::verdict::{Finding, Rule};
use crate::diff::out::text::{large, percent, signed};
use skipheap_text::{counted, grouped, printable_text as printable};

/// Sizes of a site that are listed.
const SIZES: usize = 3;

/// What a limit is a number of, or a part of.
pub(super) fn unit(limit: Limit, what: &str) -> String {
    match limit {
        Limit::Number(_) => format!(" {what}"),
        Limit::Percent(_) => " of the baseline".to_owned(),
        Limit::Off => String::new(),
    }
}

/// The finding about a site that broke some limits.
pub(super) fn of_site(site: &Site, new: &Sum, broken: &[String], more: i128) -> Finding {
    let (rule, numbers) = match site.base {
        None => (
            Rule::NewSite,
            format!(
                "new, {} bytes in {}",
                grouped(new.bytes),
                counted(new.calls, "call", "calls")
            ),
        ),
        Some((calls, bytes)) => {
            let mut numbers = vec![grown("bytes", bytes.into(), new.bytes.into())];
            if calls != new.calls {
                numbers.push(grown("calls", calls.into(), new.calls.into()));
            }
            (Rule::Growth, numbers.join(", "))
        }
    };
    let varies = match site.varies() {
        true => {
            let (least, most) = site.range();
            format!(
                "; between the runs it varies from {} to {}",
                grouped(least),
                grouped(most)
            )
        }
        false => String::new(),
    };
    Finding {
        rule,
        subject: stack(&site.names),
        message: format!("{numbers}{}{varies}; {}", sizes(site), broken.join("; ")),
        place: site.place.clone(),
        line: site.base_line,
        more,
    }
}

/// The sizes that made most of it.
fn sizes(site: &Site) -> String {
    let size = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), grouped);
    let listed: Vec<String> = site
        .sizes
        .iter()
        .filter(|&&(_, _, bytes)| bytes > 0)
        .take(SIZES)
        .map(|&(old, new, bytes)| match (old, new) {
            (Some(a), Some(b)) if a != b => {
                format!("{} → {} ({})", size(old), size(new), signed(bytes))
            }
            _ => format!("{} ({})", size(new), signed(bytes)),
        })
        .collect();
    match listed.is_empty() {
        true => String::new(),
        false => format!("; of size {}", listed.join(", ")),
    }
}

/// `1,000 → 1,200 bytes (+200, +20.0 %)`.
pub(super) fn grown(what: &str, old: u128, new: u128) -> String {
    let more = signed(new as i128 - old as i128);
    let part = match percent(old, new) {
        part if part.is_empty() => part,
        part => format!(", {part}"),
    };
    format!("{} → {} {what} ({more}{part})", large(old), large(new))
}

/// Names for a message, innermost first.
pub(super) fn stack(names: &Names) -> String {
    let names: Vec<String> = names.iter().flatten().map(|name| printable(name)).collect();
    match names.is_empty() {
        true => "(no stack)".to_owned(),
        false => names.join(" ← "),
    }
}
