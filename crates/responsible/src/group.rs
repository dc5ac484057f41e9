//! Sites by who is responsible for them.

use crate::plumbing::{Kind, Plumbing, is_unnamed};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::AddAssign;

/// What is known of some allocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Allocations.
    pub calls: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes that were not freed.
    pub live: u64,
    /// Blocks that were not freed.
    pub live_blocks: u64,
    /// Bytes that lived at the peak.
    pub peak: u64,
    /// Blocks that lived at the peak.
    pub peak_blocks: u64,
    /// Blocks that were freed before the next allocation of their thread.
    pub temporary: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        let pairs = [
            (&mut self.calls, other.calls),
            (&mut self.bytes, other.bytes),
            (&mut self.live, other.live),
            (&mut self.live_blocks, other.live_blocks),
            (&mut self.peak, other.peak),
            (&mut self.peak_blocks, other.peak_blocks),
            (&mut self.temporary, other.temporary),
        ];
        for (sum, number) in pairs {
            *sum = sum.saturating_add(number);
        }
    }
}

/// Allocations of one size from one stack.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// The functions, innermost first.
    pub stack: &'a [&'a str],
    /// Size of each allocation in bytes.
    pub size: u64,
    /// What is known of them.
    pub figures: Figures,
}

/// All allocations that one function is responsible for.
#[derive(Clone, Debug, PartialEq)]
pub struct Group<'a> {
    /// The responsible function; empty where there was no stack.
    pub name: &'a str,
    /// Whether the recorded frames are all plumbing, so that `name` is the outermost plumbing that is known.
    pub is_beyond: bool,
    /// The plumbing that it calls, that with the most allocations first.
    pub via: Vec<&'a str>,
    /// Its callers, innermost first, in the site with the largest value.
    pub callers: Vec<&'a str>,
    /// Sums.
    pub figures: Figures,
    /// How many different sizes there are.
    pub sizes: usize,
    /// The size with the most allocations; of several, the largest.
    pub commonest: u64,
    /// Indices of its sites, in the order of the input.
    pub sites: Vec<usize>,
}

#[derive(Default)]
struct Sum<'a> {
    via: Vec<(&'a str, u64)>,
    largest: Option<(u64, &'a [&'a str])>,
    figures: Figures,
    /// Sizes with their allocations, some of them several times.
    sizes: Vec<(u64, u64)>,
    sites: Vec<usize>,
}

/// What was counted of each key.
fn counted<K: Ord + Copy>(mut counts: Vec<(K, u64)>) -> Vec<(K, u64)> {
    counts.sort_unstable_by_key(|&(key, _)| key);
    counts.dedup_by(|next, sum| {
        let is_same = next.0 == sum.0;
        if is_same {
            sum.1 = sum.1.saturating_add(next.1);
        }
        is_same
    });
    counts
}

/// Names by what was counted of them, most first, then by name.
fn by_count(counts: Vec<(&str, u64)>) -> Vec<&str> {
    let mut names = counted(counts);
    names.sort_by_key(|&(name, count)| (Reverse(count), name));
    names.into_iter().map(|(name, _)| name).collect()
}

/// Adds up sites by who is responsible. Groups with the most of `value` come first, then those with the most
/// bytes, then by name.
pub fn group<'a>(
    sites: &[Site<'a>],
    plumbing: &Plumbing,
    value: impl Fn(&Figures) -> u64,
) -> Vec<Group<'a>> {
    let mut kinds: HashMap<&str, Kind> = HashMap::new();
    let mut sums: HashMap<(&str, bool), Sum<'a>> = HashMap::new();
    for (index, site) in sites.iter().enumerate() {
        let of: Vec<Kind> = site
            .stack
            .iter()
            .map(|name| *kinds.entry(name).or_insert_with(|| plumbing.kind(name)))
            .collect();
        let unnamed = |at: usize| site.stack.get(at).is_some_and(|name| is_unnamed(name));
        let found = Plumbing::responsible(&of, unnamed);
        let name = |at: usize| site.stack.get(at).copied();
        let key = found.map_or(("", false), |found| {
            (name(found.at).unwrap_or(""), found.is_beyond)
        });
        let sum = sums.entry(key).or_default();
        if let Some(via) = found.and_then(|found| name(found.via?)) {
            sum.via.push((via, site.figures.calls));
        }
        let own = value(&site.figures);
        if sum.largest.is_none_or(|(largest, _)| own > largest) {
            let callers = found.and_then(|found| site.stack.get(found.at + 1..));
            sum.largest = Some((own, callers.unwrap_or(&[])));
        }
        sum.figures += site.figures;
        sum.sizes.push((site.size, site.figures.calls));
        sum.sites.push(index);
    }
    let groups = sums.into_iter().map(|((name, is_beyond), sum)| {
        let sizes = counted(sum.sizes);
        let commonest = sizes.iter().max_by_key(|&&(size, calls)| (calls, size));
        Group {
            name,
            is_beyond,
            commonest: commonest.map_or(0, |&(size, _)| size),
            sizes: sizes.len(),
            via: by_count(sum.via),
            callers: sum
                .largest
                .map_or(&[] as &[&str], |(_, callers)| callers)
                .to_vec(),
            figures: sum.figures,
            sites: sum.sites,
        }
    });
    let mut groups: Vec<Group<'_>> = groups.collect();
    groups.sort_by(|a, b| {
        let key = |group: &Group<'a>| {
            (
                Reverse(value(&group.figures)),
                Reverse(group.figures.bytes),
                group.name,
                group.is_beyond,
            )
        };
        key(a).cmp(&key(b))
    });
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(stack: &'static [&'static str], size: u64, calls: u64) -> Site<'static> {
        Site {
            stack,
            size,
            figures: Figures {
                calls,
                bytes: size * calls,
                peak: size,
                peak_blocks: 1,
                ..Figures::default()
            },
        }
    }

    #[test]
    fn sizes_and_stacks_of_one_function_are_one_group() {
        let sites = [
            site(&["xmalloc", "load", "main"], 100, 1),
            site(&["xrealloc", "load", "run"], 16, 5),
            site(&["load", "main"], 200, 1),
            site(&["parse", "main"], 1000, 1),
            site(&[], 3, 1),
        ];
        let groups = group(&sites, &Plumbing::new(), |figures| figures.bytes);
        let names: Vec<&str> = groups.iter().map(|group| group.name).collect();
        assert_eq!(names, ["parse", "load", ""]);
        let load = &groups[1];
        assert_eq!((load.figures.calls, load.figures.bytes), (7, 380));
        assert_eq!((load.figures.peak, load.figures.peak_blocks), (316, 3));
        assert_eq!((load.sizes, load.commonest), (3, 16));
        assert_eq!(load.via, ["xrealloc", "xmalloc"]);
        assert_eq!(load.callers, ["main"]);
        assert_eq!(load.sites, [0, 1, 2]);
    }

    #[test]
    fn the_order_is_determined_by_values_and_names() {
        let sites = [site(&["b"], 8, 2), site(&["a"], 16, 1), site(&["c"], 4, 4)];
        let names = |value: fn(&Figures) -> u64| -> Vec<&str> {
            group(&sites, &Plumbing::new(), value)
                .iter()
                .map(|group| group.name)
                .collect()
        };
        assert_eq!(names(|figures| figures.bytes), ["a", "b", "c"]);
        assert_eq!(names(|figures| figures.calls), ["c", "b", "a"]);
    }

    #[test]
    fn plumbing_of_unknown_callers_is_apart() {
        const PUSH: &str = "std::vector<int>::push_back(int)";
        let sites = [site(&[PUSH], 8, 1), site(&[PUSH, "_start"], 8, 1)];
        let groups = group(&sites, &Plumbing::new(), |figures| figures.bytes);
        let beyond: Vec<(&str, bool)> = groups
            .iter()
            .map(|group| (group.name, group.is_beyond))
            .collect();
        assert_eq!(beyond, [(PUSH, false), (PUSH, true)]);
    }
}
