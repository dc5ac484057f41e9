//! Numbers and sentences that table and Markdown have in common.

use super::super::{Change, Delta, Diff, Kind, Totals};
use skipheap_text::{counted, grouped};

/// `+1,234`, `−1,234`, `0`.
pub fn signed(n: i128) -> String {
    let sign = match n {
        0 => "",
        1.. => "+",
        _ => "−",
    };
    format!("{sign}{}", large(n.unsigned_abs()))
}

/// A sum with its digits in groups.
pub fn large(n: u128) -> String {
    match u64::try_from(n) {
        Ok(n) => grouped(n),
        Err(_) => n.to_string(),
    }
}

/// The new number in comparison with the old one: `+12.3 %`, `×12`; empty where there is nothing to compare
/// with.
pub fn percent(old: u128, new: u128) -> String {
    if old == 0 || old == new {
        return String::new();
    }
    let ratio = new as f64 / old as f64;
    if ratio >= 10.0 {
        return format!("×{ratio:.0}");
    }
    let percent = 100.0 * (ratio - 1.0);
    let sign = if percent < 0.0 { "−" } else { "+" };
    let size = percent.abs();
    let digits = match size {
        0.0..0.01 => return format!("{sign}<0.01 %"),
        0.01..0.1 => 2,
        _ => 1,
    };
    format!("{sign}{size:.digits$} %")
}

/// A line of the table of totals: what, old, new, difference.
pub fn totals(diff: &Diff) -> Vec<[String; 5]> {
    let line = |what: &str, old: u128, new: u128| {
        [
            what.to_owned(),
            large(old),
            large(new),
            signed(new as i128 - old as i128),
            percent(old, new),
        ]
    };
    let Totals {
        calls, bytes, rows, ..
    } = diff.old;
    let new = &diff.new;
    let mut lines = vec![
        line("bytes", bytes, new.bytes),
        line("calls", calls, new.calls),
    ];
    if let (Some(old), Some(new)) = (diff.old.live, new.live) {
        for (i, what) in ["blocks not freed", "bytes not freed", "bytes at the peak"]
            .into_iter()
            .enumerate()
        {
            lines.push(line(what, old[i], new[i]));
        }
    }
    lines.push(line("sites", rows as u128, new.rows as u128));
    lines
}

/// How the difference in bytes comes about: a sentence with each kind that occurs.
pub fn explained(diff: &Diff) -> String {
    let kinds = [Kind::New, Kind::Gone, Kind::Grown, Kind::Shrunk];
    let parts: Vec<String> = kinds
        .into_iter()
        .filter_map(|kind| {
            let (count, delta) = diff.sum(kind);
            let sites = counted(count as u64, "site", "sites");
            (count > 0).then(|| format!("{sites} {} {}", kind.word(), signed(delta.bytes)))
        })
        .collect();
    let (same, _) = diff.sum(Kind::Same);
    let same = counted(same as u64, "site is", "sites are");
    match parts.is_empty() {
        true => format!("no difference: {same} the same"),
        false => format!(
            "{} bytes = {}; {same} the same",
            signed(diff.delta().bytes),
            parts.join(", ")
        ),
    }
}

/// `48 → 56`, or the one size there is.
pub fn size(change: &Change) -> String {
    match (change.old_size, change.new_size) {
        (Some(old), Some(new)) if old != new => format!("{} → {}", grouped(old), grouped(new)),
        (Some(size), _) | (None, Some(size)) => grouped(size),
        (None, None) => String::new(),
    }
}

/// What can be said about how far names are to be trusted.
pub fn notes(diff: &Diff) -> Vec<String> {
    let mut notes = Vec::new();
    if diff.by_order > 0 {
        notes.push(format!(
            "{} without symbols at other addresses were matched by their order in the object file and by \
             what they allocate (marked ~); with debug symbols they would be matched by name",
            counted(diff.by_order as u64, "function", "functions")
        ));
    }
    if diff.unmatched > 0 {
        notes.push(format!(
            "{} without symbols of the new run could not be matched: their sites count as new",
            counted(diff.unmatched as u64, "function", "functions")
        ));
    }
    if diff.is_estimate() {
        let error = (diff.old.variance + diff.new.variance).sqrt();
        notes.push(format!(
            "figures are estimates from a sample: the standard error of the difference is {} bytes",
            large(error.round() as u128)
        ));
    }
    if diff.old.live.is_some() != diff.new.live.is_some() {
        notes.push(
            "live and peak bytes are not compared, because only one side has them (--live)"
                .to_owned(),
        );
    }
    notes
}

/// The live figure that a list shows: bytes not freed.
pub fn not_freed(delta: &Delta) -> Option<i128> {
    delta.live.map(|[_, bytes, _]| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_a_sign() {
        assert_eq!(
            [signed(0), signed(1234), signed(-1234)],
            ["0", "+1,234", "−1,234"]
        );
    }

    #[test]
    fn comparisons_are_short() {
        for (old, new, expected) in [
            (100, 110, "+10.0 %"),
            (100, 90, "−10.0 %"),
            (100, 5000, "×50"),
            (10_000, 10_005, "+0.05 %"),
            (1_000_000, 1_000_001, "+<0.01 %"),
            (0, 5, ""),
            (5, 5, ""),
            (5, 0, "−100.0 %"),
        ] {
            assert_eq!(percent(old, new), expected, "{old} {new}");
        }
    }
}
