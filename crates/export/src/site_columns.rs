//! Figures of sites by columns, for [`super::columns`]: made while they are written, so that they are not all in
//! memory once more.

use super::data;
use serde::{Serialize, Serializer};
use skipheap_profile::functions;
use skipheap_profile::report::figures::{Figures, LiveSums};
use skipheap_profile::{NONE, Profile, Site, Str};
use std::collections::HashMap;

/// The figures of a difference's older run.
#[derive(Serialize)]
pub(super) struct Difference<'p> {
    old_title: &'p str,
    new_title: String,
    old: Old<'p>,
}

#[derive(Serialize)]
struct Old<'p> {
    calls: Column<'p, u64>,
    bytes: Column<'p, u64>,
    live_bytes: Option<Column<'p, u64>>,
    peak_bytes: Option<Column<'p, u64>>,
}

/// What there is of each site.
#[derive(Serialize)]
pub(super) struct Sites<'p> {
    node: Column<'p, i64>,
    pc: [Vec<i64>; 4],
    responsible: Vec<i64>,
    via: Vec<i64>,
    size: Column<'p, u64>,
    allocator: Column<'p, u32>,
    thread: Column<'p, i64>,
    process: Column<'p, u32>,
    calls: Column<'p, u64>,
    bytes: Column<'p, u64>,
    frees: Option<Column<'p, u64>>,
    live_blocks: Option<Column<'p, u64>>,
    live_bytes: Option<Column<'p, u64>>,
    peak_blocks: Option<Column<'p, u64>>,
    peak_bytes: Option<Column<'p, u64>>,
    temporary: Option<Column<'p, u64>>,
    grown: Option<Column<'p, u64>>,
    copied: Option<Column<'p, u64>>,
    slack: Option<Column<'p, u64>>,
    direct_blocks: Option<Column<'p, u64>>,
    direct_bytes: Option<Column<'p, u64>>,
    indirect_blocks: Option<Column<'p, u64>>,
    indirect_bytes: Option<Column<'p, u64>>,
}

/// A number of each site, made while it is written.
struct Column<'p, T> {
    sites: &'p [Site],
    of: fn(&Site) -> T,
}

impl<T: Serialize> Serialize for Column<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.sites.iter().map(self.of))
    }
}

/// An index, or -1 in place of none.
pub(super) fn signed(index: u32) -> i64 {
    match index {
        NONE => -1,
        index => i64::from(index),
    }
}

/// A live figure of a site, 0 where its process was not followed.
fn live(site: &Site) -> Option<&LiveSums> {
    site.figures.live.as_ref()
}

/// Bytes that a site's older figures say, where there are any.
fn of_old(site: &Site, of: fn(&Figures) -> u64) -> u64 {
    site.old.as_deref().map_or(0, of)
}

fn old_blocks(site: &Site, of: fn(&LiveSums) -> u64) -> u64 {
    let live = site.old.as_deref().and_then(|old| old.live.as_ref());
    live.map_or(0, of).saturating_mul(site.size)
}

/// Functions of a site by name: those of one name are one, so that the page can group by index.
fn call_sites(profile: &Profile) -> [Vec<i64>; 4] {
    let mut first: HashMap<Str, i64> = HashMap::new();
    let canonical: Vec<i64> = (0..)
        .zip(&profile.functions)
        .map(|(index, function)| *first.entry(function.name).or_insert(index))
        .collect();
    let mut columns = [const { Vec::new() }; 4];
    for site in &profile.sites {
        let functions = profile.call_site(site.node);
        for (column, function) in columns.iter_mut().zip(functions) {
            column.push(canonical.get(function as usize).copied().unwrap_or(-1));
        }
    }
    columns
}

/// The responsible function of each site and the plumbing that it calls, by name as in [`call_sites`].
fn responsible(profile: &Profile) -> [Vec<i64>; 2] {
    let mut first: HashMap<Str, i64> = HashMap::new();
    for (index, function) in (0..).zip(&profile.functions) {
        first.entry(function.name).or_insert(index);
    }
    let index = |name: Str| {
        first
            .get(&name)
            .copied()
            .filter(|_| name != 0)
            .unwrap_or(-1)
    };
    let who = functions::by_site(profile, &functions::plumbing());
    [
        who.iter().map(|who| index(who.function)).collect(),
        who.iter().map(|who| index(who.via)).collect(),
    ]
}

/// Of all sites.
pub(super) fn sites(profile: &Profile) -> Sites<'_> {
    let [responsible, via] = responsible(profile);
    let sites = &profile.sites[..];
    let is_followed = profile.has_live();
    let followed = |of: fn(&Site) -> u64| is_followed.then_some(Column { sites, of });
    let is_checked = profile.is_leak_checked();
    let checked = |of: fn(&Site) -> u64| is_checked.then_some(Column { sites, of });
    Sites {
        node: Column {
            sites,
            of: |site| signed(site.node),
        },
        pc: call_sites(profile),
        responsible,
        via,
        size: Column {
            sites,
            of: |site| site.size,
        },
        allocator: Column {
            sites,
            of: |site| site.allocator,
        },
        thread: Column {
            sites,
            of: |site| signed(site.thread),
        },
        process: Column {
            sites,
            of: |site| site.process,
        },
        calls: Column {
            sites,
            of: |site| site.figures.calls,
        },
        bytes: Column {
            sites,
            of: Site::bytes,
        },
        frees: followed(|site| live(site).map_or(0, |live| live.frees)),
        live_blocks: followed(|site| live(site).map_or(0, LiveSums::live)),
        live_bytes: followed(|site| {
            live(site)
                .map_or(0, LiveSums::live)
                .saturating_mul(site.size)
        }),
        peak_blocks: followed(|site| live(site).map_or(0, LiveSums::peak)),
        peak_bytes: followed(|site| {
            live(site)
                .map_or(0, LiveSums::peak)
                .saturating_mul(site.size)
        }),
        temporary: followed(|site| live(site).map_or(0, |live| live.temporary)),
        grown: followed(|site| live(site).map_or(0, |live| live.grown)),
        copied: followed(|site| live(site).map_or(0, |live| live.copied)),
        slack: followed(|site| live(site).map_or(0, |live| live.slack)),
        direct_blocks: checked(|site| live(site).map_or(0, LiveSums::directly_leaked)),
        direct_bytes: checked(|site| {
            let blocks = live(site).map_or(0, LiveSums::directly_leaked);
            blocks.saturating_mul(site.size)
        }),
        indirect_blocks: checked(|site| live(site).map_or(0, LiveSums::indirectly_leaked)),
        indirect_bytes: checked(|site| {
            let blocks = live(site).map_or(0, LiveSums::indirectly_leaked);
            blocks.saturating_mul(site.size)
        }),
    }
}

/// Of the older run, where this is a comparison.
pub(super) fn difference(profile: &Profile) -> Option<Difference<'_>> {
    let sites = &profile.sites[..];
    let mut olds = sites.iter().filter_map(|site| site.old.as_deref());
    let is_followed = olds.any(|old| old.live.is_some());
    let followed = |of: fn(&Site) -> u64| is_followed.then_some(Column { sites, of });
    Some(Difference {
        old_title: profile.compared_with.as_deref()?,
        new_title: data::title(profile),
        old: Old {
            calls: Column {
                sites,
                of: |site| of_old(site, |old| old.calls),
            },
            bytes: Column {
                sites,
                of: |site| of_old(site, |old| old.calls).saturating_mul(site.size),
            },
            live_bytes: followed(|site| old_blocks(site, LiveSums::live)),
            peak_bytes: followed(|site| old_blocks(site, LiveSums::peak)),
        },
    })
}
