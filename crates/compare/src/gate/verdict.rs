//! The judgement: what grew beyond the limits, and in which words.

use super::budget::Budget;
use super::config::Written;
use super::evidence::{Evidence, Site, Sum};
use super::limit::Limit;
use super::places::Place;
use super::words::{grown, of_site, stack, unit};
use crate::diff::out::text::percent;
use skipheap_text::{counted, grouped, printable_text as printable};

/// By how much things may grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Bytes of all sites, and of each.
    pub growth: Limit,
    /// Calls of all sites, and of each.
    pub calls_growth: Limit,
    /// Bytes of a new site. A known one may grow by as much, whatever part of it that is.
    pub new_site: Limit,
    /// Calls of a new site, and of a known one.
    pub new_calls: Limit,
}

impl Limits {
    /// Those that are set, and the defaults.
    pub fn new(set: Written) -> Self {
        Self {
            growth: set.max_growth.unwrap_or(Limit::Percent(1.0)),
            calls_growth: set.max_calls_growth.unwrap_or(Limit::Percent(1.0)),
            new_site: set.max_new_site.unwrap_or(Limit::Number(64 << 10)),
            new_calls: set.max_new_calls.unwrap_or(Limit::Number(1000)),
        }
    }
}

/// What was overstepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Bytes of all sites.
    TotalBytes,
    /// Calls of all sites.
    TotalCalls,
    /// A site that the baseline does not have.
    NewSite,
    /// A site that grew.
    Growth,
    /// A budget.
    Budget,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::TotalBytes,
        Self::TotalCalls,
        Self::NewSite,
        Self::Growth,
        Self::Budget,
    ];

    /// A name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::TotalBytes => "total-bytes",
            Self::TotalCalls => "total-calls",
            Self::NewSite => "new-site",
            Self::Growth => "site-growth",
            Self::Budget => "budget",
        }
    }
}

/// Something that grew beyond a limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which limit.
    pub rule: Rule,
    /// What it is about: the site's names, the budget's glob, or all sites.
    pub subject: String,
    /// The numbers and the limit.
    pub message: String,
    /// Where in the source, if that is known.
    pub place: Option<Place>,
    /// The line of the baseline, or of the file of budgets.
    pub line: Option<u64>,
    /// Bytes above the old state, to put findings in order.
    pub more: i128,
}

/// What is to be said of the runs.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Regressions, by rule, the largest first. None: all is well.
    pub findings: Vec<Finding>,
    /// What else there is to know.
    pub notes: Vec<String>,
    /// What could not be judged, and why.
    pub unfit: Vec<String>,
    /// Whether there are fewer bytes or calls than in the baseline, by more than they might grow.
    pub shrank: bool,
    /// How many things were looked at by each rule, in the order of [`Rule::ALL`].
    pub examined: [usize; 5],
}

/// Judges the runs.
pub fn judge(evidence: &Evidence, limits: &Limits, budgets: &[Budget]) -> Verdict {
    let mut verdict = Verdict::default();
    if !evidence.diffs.is_empty() && evidence.sites.iter().any(|site| site.base.is_some()) {
        verdict.totals(evidence, limits);
        verdict.sites(evidence, limits);
    }
    for budget in budgets {
        verdict.budget(budget, evidence);
    }
    verdict.examined[4] = budgets.len();
    verdict
        .findings
        .sort_by(|a, b| (a.rule, -a.more, &a.subject).cmp(&(b.rule, -b.more, &b.subject)));
    verdict.variation(evidence);
    if evidence.without_symbols {
        verdict.notes.push(
            "functions without symbols are combined by object file (`lib.so+?`), because their addresses \
             change with every build: growth in one and shrinkage in another cancel out; debug symbols \
             make it precise"
                .to_owned(),
        );
    }
    verdict
}

impl Verdict {
    fn totals(&mut self, evidence: &Evidence, limits: &Limits) {
        // What it was in the typical run, at most, and what it is.
        let sum = |of: fn(&crate::diff::Totals) -> u128, most: u128| {
            let old = evidence.diffs.first().map_or(0, |diff| of(&diff.old));
            let new = evidence.diffs.iter().map(|diff| of(&diff.new)).min();
            (old, old.max(most), new.unwrap_or(0))
        };
        let (most_calls, most_bytes) = evidence.base;
        let totals = [
            (
                Rule::TotalBytes,
                "bytes",
                sum(|totals| totals.bytes, most_bytes),
                limits.growth,
                "max-growth",
            ),
            (
                Rule::TotalCalls,
                "calls",
                sum(|totals| totals.calls, most_calls),
                limits.calls_growth,
                "max-calls-growth",
            ),
        ];
        for (rule, what, (old, most, new), limit, option) in totals {
            let more = new as i128 - most as i128;
            self.examined[rule as usize] = 1;
            if limit.allows(most, more) {
                // By the typical run: that not every site had its most is no progress.
                if limit.allows(new, old as i128 - new as i128) {
                    continue;
                }
                self.shrank = true;
                self.notes.push(format!(
                    "{what} shrank from {} to {} ({}): --update records it",
                    crate::diff::out::text::large(old),
                    crate::diff::out::text::large(new),
                    percent(old, new)
                ));
                continue;
            }
            self.findings.push(Finding {
                rule,
                subject: "all sites".to_owned(),
                message: format!("{}; {option} allows {limit}", grown(what, most, new)),
                place: None,
                line: None,
                more,
            });
        }
    }

    fn sites(&mut self, evidence: &Evidence, limits: &Limits) {
        let (all_calls, all_bytes) = evidence.base;
        let is_small = |bytes: i128, calls: i128| {
            let bytes = limits.new_site.allows(all_bytes, bytes);
            (bytes, limits.new_calls.allows(all_calls, calls))
        };
        for site in &evidence.sites {
            let new = Sum::least(&site.runs);
            let (old_calls, old_bytes) = site.base.unwrap_or_default();
            let more_bytes = i128::from(new.bytes) - i128::from(old_bytes);
            let more_calls = i128::from(new.calls) - i128::from(old_calls);
            let (few_bytes, few_calls) = is_small(more_bytes, more_calls);
            let broken: Vec<String> = match site.base {
                None => {
                    self.examined[Rule::NewSite as usize] += 1;
                    [
                        (few_bytes, "max-new-site", limits.new_site, "bytes"),
                        (few_calls, "max-new-calls", limits.new_calls, "calls"),
                    ]
                    .into_iter()
                    .filter(|broken| !broken.0)
                    .map(|(_, option, limit, what)| {
                        format!("{option} allows {limit}{}", unit(limit, what))
                    })
                    .collect()
                }
                Some(_) => {
                    self.examined[Rule::Growth as usize] += 1;
                    let bytes = few_bytes || limits.growth.allows(old_bytes.into(), more_bytes);
                    let calls =
                        few_calls || limits.calls_growth.allows(old_calls.into(), more_calls);
                    [
                        (bytes, "max-growth", limits.growth, limits.new_site, "bytes"),
                        (
                            calls,
                            "max-calls-growth",
                            limits.calls_growth,
                            limits.new_calls,
                            "calls",
                        ),
                    ]
                    .into_iter()
                    .filter(|broken| !broken.0)
                    .map(|(_, option, limit, floor, what)| {
                        format!(
                            "{option} allows {limit}, and {floor}{} in any case",
                            unit(floor, what)
                        )
                    })
                    .collect()
                }
            };
            if !broken.is_empty() {
                self.findings.push(of_site(site, &new, &broken, more_bytes));
            }
        }
    }

    fn budget(&mut self, budget: &Budget, evidence: &Evidence) {
        let (count, sums) = budget.sums(&evidence.sites, evidence.diffs.len());
        let new = Sum::least(&sums);
        let amounts = budget.written.amounts;
        let needs_live = amounts.peak.is_some() || amounts.leaks.is_some();
        if needs_live && new.untold {
            self.unfit.push(format!(
                "the budget `{}` limits `peak` or `leaks`, and the report does not have lifetimes of \
                 blocks; record with --live (blocks of hooked functions are not tracked)",
                printable(&budget.written.glob)
            ));
        }
        let lines = [
            ("calls", new.calls, amounts.calls),
            ("bytes", new.bytes, amounts.bytes),
            ("bytes at the peak", new.peak, amounts.peak),
            ("bytes not freed", new.left, amounts.leaks),
        ];
        let over: Vec<String> = lines
            .into_iter()
            .filter_map(|(what, n, amount)| {
                let most = amount?.0;
                (n > most).then(|| format!("{} {what}, {} allowed", grouped(n), grouped(most)))
            })
            .collect();
        if over.is_empty() {
            if count == 0 {
                self.notes.push(format!(
                    "no site has a function that matches the budget `{}`",
                    printable(&budget.written.glob)
                ));
            }
            return;
        }
        let covered = evidence.sites.iter().filter(|site| budget.covers(site));
        let largest = covered.max_by_key(|site| Sum::least(&site.runs).bytes);
        let of_largest = largest.map_or_else(String::new, |site| {
            let bytes = grouped(Sum::least(&site.runs).bytes);
            format!("; the largest is {} with {bytes} bytes", stack(&site.names))
        });
        self.findings.push(Finding {
            rule: Rule::Budget,
            subject: printable(&budget.written.glob),
            message: format!(
                "{} at {}{of_largest}",
                over.join("; "),
                counted(count as u64, "site", "sites")
            ),
            place: None,
            line: Some(budget.written.line as u64),
            more: i128::from(new.bytes),
        });
    }

    /// Says which sites vary between the runs.
    fn variation(&mut self, evidence: &Evidence) {
        let runs = evidence.diffs.len();
        if runs < 2 {
            return;
        }
        let varying: Vec<&Site> = evidence.sites.iter().filter(|site| site.varies()).collect();
        let note = match varying.iter().max_by_key(|site| {
            let (least, most) = site.range();
            most - least
        }) {
            None => format!(
                "all {} sites were the same in {runs} runs",
                grouped(evidence.sites.len() as u64)
            ),
            Some(site) => {
                let (least, most) = site.range();
                format!(
                    "{} of {} vary between the {runs} runs, and the lowest value is used; the largest variation is {}: \
                     {} to {} bytes",
                    grouped(varying.len() as u64),
                    counted(evidence.sites.len() as u64, "site", "sites"),
                    stack(&site.names),
                    grouped(least),
                    grouped(most)
                )
            }
        };
        self.notes.push(note);
    }
}
