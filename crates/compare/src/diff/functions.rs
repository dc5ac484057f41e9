//! Differences by the function that is responsible: what people look at before they look at sites.

use super::Diff;
use skipheap_profile::functions::{Function, StackSums};
use skipheap_profile::report::collapsed::Value;
use skipheap_profile::report::rows::Row;
use skipheap_responsible::{Figures, Plumbing};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;

/// A responsible function in both runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FunctionChange {
    /// As the new run has it, or the old one where the function is gone.
    pub function: Function,
    /// Figures of the old run.
    pub old: Figures,
    /// Figures of the new run.
    pub new: Figures,
}

fn less(new: u64, old: u64) -> i128 {
    i128::from(new) - i128::from(old)
}

impl FunctionChange {
    /// More bytes in the new run.
    pub fn bytes(&self) -> i128 {
        less(self.new.bytes, self.old.bytes)
    }

    /// More calls.
    pub fn calls(&self) -> i128 {
        less(self.new.calls, self.old.calls)
    }

    /// More bytes at the peak.
    pub fn peak(&self) -> i128 {
        less(self.new.peak, self.old.peak)
    }

    /// More bytes that were not freed.
    pub fn live(&self) -> i128 {
        less(self.new.live, self.old.live)
    }

    /// What became of it, in a word.
    pub fn word(&self) -> &'static str {
        let differences = [self.bytes(), self.calls(), self.live(), self.peak()];
        match differences.into_iter().find(|&n| n != 0) {
            _ if self.old.calls == 0 => "new",
            _ if self.new.calls == 0 => "gone",
            None => "same",
            Some(1..) => "grown",
            Some(_) => "shrunk",
        }
    }
}

/// One side: the rows that were compared, and their sums by stack.
pub struct Sums<'a> {
    /// The rows.
    pub rows: &'a [Row],
    /// The sums, of whole stacks where these were recorded.
    pub stacks: StackSums,
}

/// The functions of both runs, those with the largest difference in bytes first. Names that only a position or an
/// address tells apart are those that `diff` has matched.
pub fn by_function(
    diff: &Diff,
    old: Sums<'_>,
    new: &Sums<'_>,
    plumbing: &Plumbing,
) -> Vec<FunctionChange> {
    let old_stacks = old.stacks.renamed(&renamed(diff, old.rows));
    // One function is plumbing in both runs or in none.
    let mut both = new.stacks.clone();
    both.add(&old_stacks, true);
    let plumbing = both.with_found(plumbing);
    let mut changes: HashMap<(String, bool), FunctionChange> = HashMap::new();
    for function in old_stacks.grouped(&plumbing, Value::Bytes).all {
        let key = (function.name.clone(), function.is_beyond);
        let change = FunctionChange {
            old: function.figures,
            function,
            ..FunctionChange::default()
        };
        changes.insert(key, change);
    }
    for function in new.stacks.grouped(&plumbing, Value::Bytes).all {
        let key = (function.name.clone(), function.is_beyond);
        let change = changes.entry(key).or_default();
        change.new = function.figures;
        change.function = function;
    }
    let mut changes: Vec<FunctionChange> = changes.into_values().collect();
    changes.sort_by(|a, b| {
        let key = |change: &FunctionChange| {
            (Reverse(change.bytes().abs()), Reverse(change.calls().abs()))
        };
        key(a)
            .cmp(&key(b))
            .then_with(|| a.function.name.cmp(&b.function.name))
            .then_with(|| a.function.is_beyond.cmp(&b.function.is_beyond))
    });
    changes
}

/// Names of the old run that the new one has under others.
fn renamed(diff: &Diff, old: &[Row]) -> HashMap<Rc<str>, Rc<str>> {
    let mut renamed = HashMap::new();
    for change in diff
        .changes
        .iter()
        .filter(|change| change.new_size.is_some())
    {
        let rows = change.old_rows.iter().filter_map(|&row| old.get(row));
        for row in rows {
            for (old, new) in row.names.iter().zip(&change.names) {
                if let (Some(old), Some(new)) = (old, new)
                    && old != new
                {
                    renamed.insert(Rc::clone(old), Rc::clone(new));
                }
            }
        }
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::compare;

    fn row(names: [&str; 2], size: u64, calls: u64) -> Row {
        let [first, second] = names;
        Row {
            names: [Some(first.into()), Some(second.into()), None, None],
            size,
            calls,
            total: size * calls,
            ..Row::default()
        }
    }

    fn changes(old: &[Row], new: &[Row]) -> Vec<(String, i128, &'static str)> {
        let sums = |rows| Sums {
            rows,
            stacks: StackSums::of_rows(rows),
        };
        let changes = by_function(&compare(old, new), sums(old), &sums(new), &Plumbing::new());
        let of =
            |change: FunctionChange| (change.function.name.clone(), change.bytes(), change.word());
        changes.into_iter().map(of).collect()
    }

    #[test]
    fn sizes_and_plumbing_are_added_up() {
        let old = [
            row(["xmalloc", "load"], 8, 10),
            row(["load", "main"], 16, 1),
            row(["xmalloc", "gone"], 4, 1),
        ];
        let new = [
            row(["xcalloc", "load"], 24, 10),
            row(["load", "main"], 16, 1),
            row(["xmalloc", "more"], 50, 1),
        ];
        let changes = changes(&old, &new);
        let expected = [
            ("load", 160, "grown"),
            ("more", 50, "new"),
            ("gone", -4, "gone"),
        ];
        assert_eq!(
            changes,
            expected.map(|(name, bytes, word)| (name.to_owned(), bytes, word))
        );
    }

    #[test]
    fn names_that_were_matched_are_one_function() {
        let old = [row(["a::b::h0123456789abcdef", "main"], 8, 10)];
        let new = [row(["a::b::hfedcba9876543210", "main"], 8, 11)];
        let changes = changes(&old, &new);
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert_eq!((changes[0].1, changes[0].2), (8, "grown"));
    }
}
