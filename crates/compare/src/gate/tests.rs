//! Judgements as a whole.

use super::baseline::{self, Baseline};
use super::budget::Budget;
use super::config::{Amounts, Written, WrittenBudget};
use super::evidence::Evidence;
use super::limit::{Amount, Limit};
use super::verdict::{Limits, Rule, Verdict, judge};
use crate::diff::csv::read;
use proptest::prelude::*;
use skipheap_profile::report::figures::LiveSums;
use skipheap_profile::report::origin::Origin;
use skipheap_profile::report::rows::Row;
use std::rc::Rc;

fn row(names: &[&str], size: u64, calls: u64) -> Row {
    let mut row = Row {
        size,
        calls,
        total: size * calls,
        ..Row::default()
    };
    for (slot, name) in row.names.iter_mut().zip(names) {
        *slot = Some((*name).into());
    }
    row
}

/// As it is read back from a file.
fn baseline(runs: &[Vec<Row>]) -> Baseline {
    let mut text = Vec::new();
    baseline::write(runs, &mut text).expect("written");
    let sheet = read(&text[..]).expect("read");
    Baseline::new(&sheet.rows, sheet.spreads, sheet.lines)
}

fn judged(base: &[Vec<Row>], runs: &[Vec<Row>]) -> Verdict {
    let evidence = Evidence::new(&baseline(base), runs);
    judge(&evidence, &Limits::new(Written::default()), &[])
}

fn rules(verdict: &Verdict) -> Vec<Rule> {
    verdict
        .findings
        .iter()
        .map(|finding| finding.rule)
        .collect()
}

fn usual() -> Vec<Row> {
    vec![
        row(&["f", "main"], 1000, 5000),
        row(&["libx.so+0x10", "main"], 10, 10_000),
        row(&["m::{closure#0}", "main"], 100, 7),
    ]
}

#[test]
fn the_same_is_no_regression() {
    let verdict = judged(&[usual()], &[usual()]);
    assert_eq!(rules(&verdict), []);
    assert_eq!(verdict.examined, [1, 1, 0, 3, 0]);
    let note = &verdict.notes[0];
    assert!(note.contains("functions without symbols"), "{note}");
}

#[test]
fn a_planted_allocation_is_found_with_its_site() {
    let mut run = usual();
    let origin = Origin {
        file: Some("/src/parse.c".into()),
        line: Some(42),
        ..Origin::default()
    };
    run.push(Row {
        origin: Some(Rc::new(origin)),
        ..row(&["planted", "main"], 100_000, 12)
    });
    let verdict = judged(&[usual()], &[run]);
    assert_eq!(rules(&verdict), [Rule::TotalBytes, Rule::NewSite]);
    let site = &verdict.findings[1];
    assert_eq!(site.subject, "planted ← main");
    assert_eq!(
        site.message,
        "new, 1,200,000 bytes in 12 calls; of size 100,000 (+1,200,000); max-new-site allows 65,536 bytes"
    );
    let place = site.place.as_ref().expect("a place");
    assert_eq!((&*place.file, place.line), ("/src/parse.c", 42));
    let total = &verdict.findings[0].message;
    assert_eq!(
        total,
        "5,100,700 → 6,300,700 bytes (+1,200,000, +23.5 %); max-growth allows 1 %"
    );
}

#[test]
fn growth_of_a_site_is_found_even_when_others_shrink() {
    let mut run = usual();
    run[0] = row(&["f", "main"], 1000, 4000);
    run.push(row(&["f", "main"], 2000, 700));
    run[2] = row(&["m::{closure#0}", "main"], 100, 2000);
    let verdict = judged(&[usual()], &[run]);
    // The sizes of f are one site, and 400,000 bytes more; those of the closure 199,300.
    assert_eq!(
        rules(&verdict),
        [
            Rule::TotalBytes,
            Rule::TotalCalls,
            Rule::Growth,
            Rule::Growth
        ]
    );
    assert_eq!(verdict.findings[2].subject, "f ← main");
    assert_eq!(verdict.findings[2].line, Some(2));
    let mut run = usual();
    run[0] = row(&["f", "main"], 1000, 4800);
    run[2] = row(&["m::{closure#0}", "main"], 100, 2000);
    let verdict = judged(&[usual()], &[run]);
    let found: Vec<&str> = verdict
        .findings
        .iter()
        .map(|finding| &*finding.subject)
        .collect();
    assert!(found.contains(&"m::{closure#0} ← main"), "{found:?}");
}

#[test]
fn little_growth_is_allowed() {
    let mut run = usual();
    run[0].calls = 5040;
    run[0].total = 5_040_000;
    run.push(row(&["new", "main"], 100, 40));
    assert_eq!(rules(&judged(&[usual()], &[run])), []);
}

#[test]
fn a_function_that_moved_is_no_regression() {
    let mut run = usual();
    run[1] = row(&["libx.so+0x5550", "main"], 10, 10_000);
    run[2] = row(&["m::{closure#1}", "main"], 100, 7);
    run.push(row(&["m::{closure#0}", "main"], 8, 1));
    assert_eq!(rules(&judged(&[usual()], &[run])), []);
}

#[test]
fn what_varies_between_runs_is_no_regression() {
    let with = |calls| {
        let mut run = usual();
        run.push(row(&["varies", "main"], 1000, calls));
        run
    };
    // In the runs: the least counts.
    let verdict = judged(&[with(100)], &[with(5000), with(100), with(900)]);
    assert_eq!(rules(&verdict), []);
    let note = &verdict.notes[0];
    assert!(
        note.contains("1 of 4 sites vary between the 3 runs")
            && note.contains("varies ← main: 100,000 to 5,000,000"),
        "{note}"
    );
    // In the baseline: the most counts.
    let verdict = judged(&[with(100), with(90), with(300)], &[with(290)]);
    assert!(
        !rules(&verdict).contains(&Rule::Growth),
        "{:?}",
        verdict.findings
    );
    // What every run has more is one all the same.
    let verdict = judged(&[with(100)], &[with(5000), with(4000)]);
    assert!(rules(&verdict).contains(&Rule::Growth));
    let message = &verdict.findings.last().expect("found").message;
    assert!(
        message.contains("it varies from 4,000,000 to 5,000,000"),
        "{message}"
    );
}

#[test]
fn budgets_are_kept_or_not() {
    let budget = |glob: &str, amounts| {
        let written = WrittenBudget {
            glob: glob.into(),
            line: 4,
            amounts,
        };
        Budget::new(written).expect("a glob")
    };
    let amounts = Amounts::default();
    let budgets = [
        budget(
            "f",
            Amounts {
                calls: Some(Amount(5000)),
                ..amounts
            },
        ),
        budget(
            "main",
            Amounts {
                bytes: Some(Amount(1000)),
                ..amounts
            },
        ),
        budget(
            "leaky*",
            Amounts {
                leaks: Some(Amount(0)),
                peak: Some(Amount(50)),
                ..amounts
            },
        ),
        budget(
            "nobody",
            Amounts {
                calls: Some(Amount(0)),
                ..amounts
            },
        ),
    ];
    let mut run = usual();
    run.push(Row {
        live: Some(LiveSums {
            followed: 9,
            frees: 5,
            at_peak: 6,
            ..LiveSums::default()
        }),
        ..row(&["leaky_f(int)", "start"], 10, 9)
    });
    let evidence = Evidence::new(&Baseline::default(), &[run]);
    let verdict = judge(&evidence, &Limits::new(Written::default()), &budgets);
    // Without a baseline there is nothing to grow from.
    assert_eq!(rules(&verdict), [Rule::Budget, Rule::Budget]);
    let found: Vec<(&str, &str)> = verdict
        .findings
        .iter()
        .map(|finding| (&*finding.subject, &*finding.message))
        .collect();
    assert_eq!(
        found,
        [
            (
                "main",
                "5,100,700 bytes, 1,000 allowed at 3 sites; the largest is f ← main with 5,000,000 bytes"
            ),
            (
                "leaky*",
                "60 bytes at the peak, 50 allowed; 40 bytes not freed, 0 allowed at 1 site; the largest is \
                 leaky_f(int) ← start with 90 bytes"
            ),
        ]
    );
    assert!(verdict.notes.iter().any(|note| note.contains("`nobody`")));
}

#[test]
fn a_budget_of_what_is_not_known_is_not_kept() {
    let budget = |amounts| {
        let written = WrittenBudget {
            glob: "f".into(),
            line: 1,
            amounts,
        };
        Budget::new(written).expect("a glob")
    };
    let nothing = Amounts::default();
    let peak = Amounts {
        peak: Some(Amount(0)),
        ..nothing
    };
    let leaks = Amounts {
        leaks: Some(Amount(0)),
        ..nothing
    };
    let bytes = Amounts {
        bytes: Some(Amount(1 << 30)),
        ..nothing
    };
    let judged = |rows: &[Row], amounts| {
        let evidence = Evidence::new(&Baseline::default(), &[rows.to_vec()]);
        let limits = Limits::new(Written::default());
        judge(&evidence, &limits, &[budget(amounts)])
    };
    let freed = |row: Row| Row {
        live: Some(LiveSums {
            followed: row.calls,
            frees: row.calls,
            ..LiveSums::default()
        }),
        ..row
    };
    let all = [freed(row(&["f", "main"], 8, 3)), row(&["g", "main"], 8, 3)];
    // One of two rows under the same names.
    let some = [
        freed(row(&["f", "main"], 8, 3)),
        row(&["f", "main"], 8, 3),
        row(&["g", "main"], 8, 3),
    ];
    for amounts in [peak, leaks] {
        let verdict = judged(&all, amounts);
        assert_eq!((rules(&verdict), verdict.unfit.len()), (vec![], 0));
        for rows in [&usual()[..], &some] {
            let verdict = judged(rows, amounts);
            let said = verdict.unfit.concat();
            assert!(
                said.contains("`f`") && said.contains("record with --live"),
                "{said}"
            );
        }
    }
    assert_eq!(judged(&usual(), bytes).unfit, [""; 0]);
}

#[test]
fn the_spread_of_a_baseline_is_that_of_its_totals() {
    // The calls move from one site to the other: each run has as many.
    let with = |one, two| {
        vec![
            row(&["f", "main"], 1000, one),
            row(&["g", "main"], 1000, two),
        ]
    };
    let base = [with(100, 900), with(900, 100), with(500, 500)];
    let verdict = judged(&base, &[with(900, 900)]);
    assert_eq!(rules(&verdict), []);
    // That there are less than the most is no progress.
    assert_eq!(verdict.notes, [""; 0]);
    assert!(!verdict.shrank);
    let verdict = judged(&base, &[with(1000, 900)]);
    assert_eq!(rules(&verdict)[..2], [Rule::TotalBytes, Rule::TotalCalls]);
    assert!(
        verdict.findings[0]
            .message
            .starts_with("1,800,000 → 1,900,000 bytes"),
        "{:?}",
        verdict.findings
    );
    let verdict = judged(&base, &[with(100, 500)]);
    assert!(verdict.shrank && verdict.notes[0].contains("shrank"));
}

#[test]
fn limits_that_are_set_hold() {
    let mut run = usual();
    run[0].calls = 5040;
    run[0].total = 5_040_000;
    let limits = Limits::new(Written {
        max_growth: Some(Limit::Number(0)),
        max_new_site: Some(Limit::Number(0)),
        max_calls_growth: Some(Limit::Off),
        ..Written::default()
    });
    let evidence = Evidence::new(&baseline(&[usual()]), &[run]);
    assert_eq!(
        rules(&judge(&evidence, &limits, &[])),
        [Rule::TotalBytes, Rule::Growth]
    );
    assert_eq!(evidence.in_common(), (5_100_700, 5_100_700));
}

#[test]
fn another_program_has_little_in_common() {
    let other = vec![row(&["g", "start"], 8, 5)];
    let evidence = Evidence::new(&baseline(&[usual()]), &[other]);
    assert_eq!(evidence.in_common(), (0, 5_100_700));
}

proptest! {
    #[test]
    fn a_run_passes_its_own_baseline(
        sites in proptest::collection::vec(
            ("[fg]|m::\\{closure#[0-2]\\}|x\\.so\\+0x[1-3]0", 1_u64..100_000, 1_u64..5000),
            1..20,
        ),
    ) {
        let run: Vec<Row> = sites
            .iter()
            .map(|(name, size, calls)| row(&[name, "main"], *size, *calls))
            .collect();
        let limits = Limits::new(Written {
            max_growth: Some(Limit::Number(0)),
            max_calls_growth: Some(Limit::Number(0)),
            max_new_site: Some(Limit::Number(0)),
            max_new_calls: Some(Limit::Number(0)),
            repeat: None,
        });
        let evidence = Evidence::new(&baseline(std::slice::from_ref(&run)), &[run]);
        prop_assert_eq!(rules(&judge(&evidence, &limits, &[])), []);
    }
}
