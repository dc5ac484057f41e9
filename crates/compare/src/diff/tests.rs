//! Matching as a whole.

use super::figures::Delta;
use super::*;
use proptest::prelude::*;
use skipheap_profile::report::figures::LiveSums;
use skipheap_profile::report::rows::Row;

fn row(names: &[&str], size: u64, calls: u64) -> Row {
    let mut row = Row {
        size,
        calls,
        total: size * calls,
        samples: calls,
        ..Row::default()
    };
    for (slot, name) in row.names.iter_mut().zip(names) {
        *slot = Some((*name).into());
    }
    row
}

/// Kind, sizes and difference in bytes of what changed, in order.
fn changed(diff: &Diff) -> Vec<(Kind, Option<u64>, Option<u64>, i128)> {
    let changes = diff.changes.iter();
    changes
        .filter(|change| change.kind() != Kind::Same)
        .map(|change| {
            let kind = change.kind();
            (kind, change.old_size, change.new_size, change.delta.bytes)
        })
        .collect()
}

fn sum(diff: &Diff) -> Delta {
    let mut sum = Delta::default();
    diff.changes
        .iter()
        .for_each(|change| sum.add(&change.delta));
    sum
}

#[test]
fn equal_runs_have_no_difference() {
    let rows = [
        row(&["f", "main"], 16, 3),
        row(&["x.so+0x10", "main"], 16, 3),
        row(&["m::{closure#0}", "main"], 16, 3),
        row(&["m::{closure#1}", "main"], 16, 3),
    ];
    let diff = compare(&rows, &rows);
    assert_eq!(changed(&diff), []);
    assert_eq!(diff.changes.len(), 4);
    assert_eq!((diff.by_order, diff.unmatched), (0, 0));
}

#[test]
fn what_happened_to_a_site_is_said() {
    let old = [
        row(&["f"], 16, 3),
        row(&["g"], 16, 3),
        row(&["h"], 16, 3),
        row(&["i"], 48, 1000),
        row(&["j"], 8, 7),
    ];
    let new = [
        row(&["f"], 16, 4),
        row(&["h"], 16, 1),
        row(&["k"], 1000, 1),
        row(&["i"], 56, 1000),
        row(&["j"], 8, 7),
    ];
    let diff = compare(&old, &new);
    assert_eq!(
        changed(&diff),
        [
            (Kind::Grown, Some(48), Some(56), 8000),
            (Kind::New, None, Some(1000), 1000),
            (Kind::Gone, Some(16), None, -48),
            (Kind::Shrunk, Some(16), Some(16), -32),
            (Kind::Grown, Some(16), Some(16), 16),
        ]
    );
    assert_eq!(sum(&diff), diff.delta());
    assert_eq!(diff.delta().bytes, 8936);
    assert_eq!(diff.sum(Kind::New).0, 1);
}

#[test]
fn what_a_build_changes_in_names_is_no_difference() {
    let old = [
        row(
            &[
                "f.llvm.1234",
                "a::b::h0123456789abcdef",
                "m[0123456789abcde]::g",
            ],
            16,
            3,
        ),
        row(&["py::run:/home/one/tool.py", "f.part.0"], 8, 3),
    ];
    let new = [
        row(
            &[
                "f.llvm.99",
                "a::b::hfedcba9876543210",
                "m[123456789abcdef0]::g",
            ],
            16,
            3,
        ),
        row(&["py::run:/srv/two/tool.py", "f.part.1.cold"], 8, 3),
    ];
    assert_eq!(changed(&compare(&old, &new)), []);
}

#[test]
fn an_added_closure_is_new_and_shifts_the_others() {
    let closures = |sizes: &[(u64, u64)]| -> Vec<Row> {
        let numbered = sizes.iter().enumerate();
        numbered
            .map(|(i, &(size, calls))| {
                row(&[&format!("m::{{closure#{i}}}"), "m", "main"], size, calls)
            })
            .collect()
    };
    let old = closures(&[(70, 1), (140, 1), (210, 5)]);
    let new = closures(&[(999, 2), (70, 1), (140, 1), (210, 5)]);
    let diff = compare(&old, &new);
    assert_eq!(changed(&diff), [(Kind::New, None, Some(999), 1998)]);
    let moved = diff
        .changes
        .iter()
        .filter(|change| change.matched == Match::Position);
    assert_eq!(moved.count(), 3);
    // The other way round.
    let diff = compare(&new, &old);
    assert_eq!(changed(&diff), [(Kind::Gone, Some(999), None, -1998)]);
    // As many on both sides: a closure may change what it does.
    let diff = compare(&old, &closures(&[(70, 1), (150, 1), (210, 5)]));
    assert_eq!(changed(&diff), [(Kind::Grown, Some(140), Some(150), 10)]);
}

#[test]
fn an_added_lambda_of_the_same_size_is_not_taken_for_another() {
    let lambda = |i: u32, caller: &str, calls| {
        let name = format!("main::{{lambda(int)#{i}}}::operator()(int) const");
        row(&[&name, caller, "main"], 64, calls)
    };
    let old = [lambda(1, "first", 10), lambda(2, "second", 20)];
    let new = [
        lambda(1, "added", 15),
        lambda(2, "first", 10),
        lambda(3, "second", 20),
    ];
    let diff = compare(&old, &new);
    assert_eq!(changed(&diff), [(Kind::New, None, Some(64), 960)]);
    let names = &diff.changes[0].names;
    assert_eq!(names[1].as_deref(), Some("added"));
}

#[test]
fn functions_without_symbols_follow_their_order_and_what_they_allocate() {
    let at = |address: u64, size, calls| {
        row(
            &[&format!("x.so+{address:#x}"), "work", "main"],
            size,
            calls,
        )
    };
    let old = [at(0x1000, 16, 5), at(0x1100, 24, 9), at(0x1200, 48, 2)];
    // Another build: everything is elsewhere, and one function is new.
    let new = [
        at(0x1010, 16, 5),
        at(0x1050, 4096, 1),
        at(0x1150, 24, 9),
        at(0x1300, 48, 2),
    ];
    let diff = compare(&old, &new);
    assert_eq!(changed(&diff), [(Kind::New, None, Some(4096), 4096)]);
    assert_eq!((diff.by_order, diff.unmatched), (3, 1));
    // The same build and another input: an address is a name.
    let other = [at(0x1000, 16, 5), at(0x1100, 24, 9), at(0x1240, 48, 2)];
    let diff = compare(&old, &other);
    let kinds: Vec<Kind> = changed(&diff).iter().map(|change| change.0).collect();
    assert_eq!(kinds.len(), 2, "{kinds:?}");
    assert!(kinds.contains(&Kind::New) && kinds.contains(&Kind::Gone));
}

#[test]
fn an_address_in_common_by_chance_proves_nothing() {
    let at = |address: u64, size, calls| row(&[&format!("x.so+{address:#x}"), "work"], size, calls);
    let old = [
        at(0x1000, 16, 50),
        at(0x1100, 24, 90),
        at(0x1200, 48, 20),
        at(0x1300, 56, 70),
    ];
    let new = [
        at(0x1100, 16, 50),
        at(0x1150, 24, 90),
        at(0x1250, 48, 20),
        at(0x1350, 56, 70),
    ];
    let diff = compare(&old, &new);
    assert_eq!(changed(&diff), []);
    assert_eq!(diff.by_order, 4);
}

#[test]
fn live_figures_are_compared_where_both_have_them() {
    let with_live = |calls, frees, at_peak| Row {
        live: Some(LiveSums {
            followed: calls,
            frees,
            at_peak,
            ..LiveSums::default()
        }),
        ..row(&["f"], 10, calls)
    };
    let diff = compare(&[with_live(9, 9, 3)], &[with_live(9, 8, 4)]);
    assert_eq!(diff.delta().live, Some([1, 10, 10]));
    assert_eq!(diff.changes[0].kind(), Kind::Grown);
    let diff = compare(&[row(&["f"], 10, 9)], &[with_live(9, 8, 4)]);
    assert_eq!(diff.delta().live, None);
    assert_eq!(diff.changes[0].kind(), Kind::Same);
}

/// Names that collide in every way.
fn any_row() -> impl Strategy<Value = Row> {
    let name = prop_oneof![
        "[fgh]",
        "m::\\{closure#[0-3]\\}",
        "x\\.so\\+0x1[0-9]0",
        "f\\.llvm\\.[0-9]",
    ];
    let live = proptest::option::of((0_u64..50, -5_i64..50));
    (
        proptest::collection::vec(name, 0..4),
        0_u64..6,
        1_u64..50,
        live,
    )
        .prop_map(|(names, size, calls, live)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            Row {
                live: live.map(|(frees, at_peak)| LiveSums {
                    followed: calls,
                    frees,
                    at_peak,
                    ..LiveSums::default()
                }),
                ..row(&names, size * 8, calls)
            }
        })
}

proptest! {
    #[test]
    fn changes_add_up_to_the_difference_of_the_totals(
        old in proptest::collection::vec(any_row(), 0..30),
        new in proptest::collection::vec(any_row(), 0..30),
    ) {
        let diff = compare(&old, &new);
        let expected = diff.delta();
        let sum = sum(&diff);
        prop_assert_eq!((sum.calls, sum.bytes), (expected.calls, expected.bytes));
        prop_assert_eq!(sum.live.unwrap_or_default(), expected.live.unwrap_or_default());
        // Each row is in one change.
        let rows = |of: fn(&Change) -> &Vec<usize>| {
            let mut rows: Vec<usize> = diff.changes.iter().flat_map(of).copied().collect();
            rows.sort_unstable();
            rows
        };
        prop_assert_eq!(rows(|change| &change.old_rows), (0..old.len()).collect::<Vec<_>>());
        prop_assert_eq!(rows(|change| &change.new_rows), (0..new.len()).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_is_equal_to_itself(rows in proptest::collection::vec(any_row(), 0..30)) {
        prop_assert_eq!(changed(&compare(&rows, &rows)), []);
    }

    #[test]
    fn the_same_rows_in_another_order_are_no_difference(
        rows in proptest::collection::vec(any_row(), 0..30),
    ) {
        let mut other = rows.clone();
        other.reverse();
        prop_assert_eq!(changed(&compare(&rows, &other)), []);
    }
}
