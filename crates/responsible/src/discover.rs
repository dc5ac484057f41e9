//! Wrappers that nobody listed, found in stacks and sizes.
//!
//! A wrapper passes on the size that its caller asked for. So its callers are many, and each of them has a size of
//! its own: `sizeof` something. A function that allocates for itself, such as a parser or a constructor, decides
//! over the size: it is the same whoever calls, or it follows the data whoever calls.

use crate::plumbing::{Kind, Plumbing, is_unnamed};
use std::collections::{BTreeSet, HashMap};

/// Least number of functions that call a wrapper.
const CALLERS: usize = 8;
/// Least number of different sizes that callers with one size ask for.
const OWN_SIZES: usize = 5;
/// What sizes of objects are multiples of. Those of texts are not.
const ALIGNED: u64 = 8;
/// Of the callers, at least one in so many has one size.
const ONE_SIZE_IN: usize = 4;
/// Wrappers of wrappers are found one after the other.
const ROUNDS: usize = 4;

/// Names of wrappers in the stacks and sizes of a profile, in the order of the alphabet.
///
/// A function is a wrapper when, as the innermost one that is not plumbing, it was called by at least eight
/// functions, a quarter of which ask for one size each, and these sizes are at least five different ones, three
/// quarters of them multiples of eight, as sizes of objects are and lengths of texts are not.
/// Measured over perl, jq, python, git, node, redis, sqlite, gcc and cargo, the wrappers that are known have 8 to
/// 25 such sizes, and functions that allocate for themselves have 2 at most.
pub fn wrappers_in<'a, S>(sites: &[(S, u64)], plumbing: &Plumbing) -> Vec<String>
where
    S: AsRef<[&'a str]>,
{
    let mut found = BTreeSet::new();
    let mut kinds: HashMap<&str, Kind> = HashMap::new();
    for (stack, _) in sites {
        for name in stack.as_ref() {
            kinds.entry(name).or_insert_with(|| plumbing.kind(name));
        }
    }
    for _ in 0..ROUNDS {
        // Sorted lists: a map of maps takes ten times the memory, and most functions have one caller.
        let mut calls: Vec<(&str, &str, u64)> = Vec::new();
        for (stack, size) in sites {
            let stack = stack.as_ref();
            let of: Vec<Kind> = stack
                .iter()
                .map(|name| kinds.get(name).copied().unwrap_or(Kind::Own))
                .collect();
            let is_unnamed = |at: usize| stack.get(at).is_some_and(|name| is_unnamed(name));
            let Some(responsible) = Plumbing::responsible(&of, is_unnamed) else {
                continue;
            };
            let caller = stack.get(responsible.at + 1);
            // A container between the two stands for whoever uses it.
            if let (false, Some(name), Some(caller)) =
                (responsible.is_beyond, stack.get(responsible.at), caller)
                && name != caller
                && kinds.get(caller) != Some(&Kind::Root)
            {
                calls.push((*name, *caller, *size));
            }
        }
        calls.sort_unstable();
        calls.dedup();
        let before = found.len();
        for callers in calls.chunk_by(|a, b| a.0 == b.0) {
            if let (true, Some(&(name, ..))) = (is_wrapper(callers), callers.first()) {
                kinds.insert(name, Kind::Wrapper);
                found.insert(name.to_owned());
            }
        }
        if found.len() == before {
            break;
        }
    }
    found.into_iter().collect()
}

/// Of a function's callers with the sizes that each of them asks for, in order.
fn is_wrapper(calls: &[(&str, &str, u64)]) -> bool {
    let callers = calls.chunk_by(|a, b| a.1 == b.1);
    let of_one = callers.clone().filter(|sizes| sizes.len() == 1);
    let with_one = of_one.clone().count();
    let callers = callers.count();
    let own: BTreeSet<u64> = of_one.flatten().map(|&(_, _, size)| size).collect();
    let aligned = own.iter().filter(|&&size| size % ALIGNED == 0).count();
    let is_of_objects = aligned >= OWN_SIZES && aligned * 4 >= own.len() * 3;
    callers >= CALLERS && is_of_objects && with_one * ONE_SIZE_IN >= callers
}

#[cfg(test)]
mod tests {
    use super::*;

    type Stacks = Vec<(Vec<&'static str>, u64)>;

    const CALLERS_OF: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

    fn called_by_all(name: &'static str, size: impl Fn(usize) -> Vec<u64>) -> Stacks {
        let callers = CALLERS_OF.iter().enumerate();
        callers
            .flat_map(|(at, caller)| {
                size(at)
                    .into_iter()
                    .map(move |size| (vec![name, *caller, "main"], size))
            })
            .collect()
    }

    fn found(stacks: &Stacks) -> Vec<String> {
        wrappers_in(stacks, &Plumbing::new())
    }

    #[test]
    fn a_wrapper_has_many_callers_with_a_size_each() {
        assert_eq!(
            found(&called_by_all("take", |at| vec![8 * at as u64 + 8])),
            ["take"]
        );
        // Some of its callers ask for what their data needs.
        let some = |at| match at {
            0..6 => vec![8 * at as u64 + 8],
            _ => (0..20).map(|size| size * 3).collect(),
        };
        assert_eq!(found(&called_by_all("take", some)), ["take"]);
    }

    #[test]
    fn what_decides_over_the_size_itself_is_none() {
        // The same size, whoever calls.
        assert!(found(&called_by_all("new_node", |_| vec![56])).is_empty());
        assert!(found(&called_by_all("new_list", |_| vec![16, 24, 32])).is_empty());
        // Sizes of the data.
        let texts = |at| (0..9).map(|size| size * 7 + at as u64).collect();
        assert!(found(&called_by_all("parse_string", texts)).is_empty());
        // Texts of its callers.
        assert!(found(&called_by_all("set_name", |at| vec![7 * at as u64 + 3])).is_empty());
        // Too few callers.
        let few = called_by_all("take", |at| vec![8 * at as u64 + 8]);
        assert!(found(&few[..7].to_vec()).is_empty());
    }

    #[test]
    fn wrappers_of_wrappers_are_found() {
        let mut stacks = called_by_all("take", |at| vec![8 * at as u64 + 8]);
        for (at, caller) in CALLERS_OF.iter().enumerate() {
            stacks.push((vec!["take", "take_zeroed", caller], 1000 + 8 * at as u64));
        }
        assert_eq!(found(&stacks), ["take", "take_zeroed"]);
        // Behind one that is listed.
        let listed: Stacks = CALLERS_OF
            .iter()
            .enumerate()
            .map(|(at, caller)| {
                (
                    vec!["lib.so+0x10", "sqlite3Malloc", "lib.so+0x20", *caller],
                    8 * at as u64,
                )
            })
            .collect();
        assert_eq!(found(&listed), ["lib.so+0x20"]);
    }
}
