//! Profiles of two runs as one.

use super::*;
use proptest::prelude::*;
use skipheap_profile::testing::{of_sites, small};

/// Sums of calls and bytes, of the new and of the old figures.
fn sums(profile: &Profile) -> [u64; 4] {
    let mut sums = [0; 4];
    for site in &profile.sites {
        let old = site.old.as_ref().map_or(0, |old| old.calls);
        let calls = site.figures.calls;
        let of_site = [calls, calls * site.size, old, old * site.size];
        sums.iter_mut().zip(of_site).for_each(|(sum, n)| *sum += n);
    }
    sums
}

#[test]
fn a_profile_is_equal_to_itself() {
    let both = compare(&small(), &small(), "old");
    both.check().expect("in order");
    assert_eq!(both.compared_with.as_deref(), Some("old"));
    assert_eq!(both.nodes, small().nodes);
    for site in &both.sites {
        assert_eq!(site.old.as_deref(), Some(&site.figures));
    }
}

#[test]
fn sites_that_are_gone_keep_their_stacks() {
    let old = of_sites(
        "p",
        &[
            (&["main", "a", "b"], 8, 5, 5),
            (&["main", "x", "y"], 16, 3, 1),
        ],
    );
    let new = of_sites(
        "p",
        &[
            (&["main", "a", "b"], 8, 7, 7),
            (&["main", "a", "c"], 24, 1, 0),
        ],
    );
    let both = compare(&old, &new, "old");
    both.check().expect("in order");
    let found: Vec<_> = both
        .sites
        .iter()
        .map(|site| {
            let stack = both
                .stack(site.node)
                .map(|(_, node)| both.text(both.function(both.frame(node)).name).to_owned());
            let stack: Vec<String> = stack.collect();
            let old = site.old.as_ref().map(|old| old.calls);
            (stack.join(" "), site.size, site.figures.calls, old)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("b a main".to_owned(), 8, 7, Some(5)),
            ("c a main".to_owned(), 24, 1, Some(0)),
            ("y x main".to_owned(), 16, 0, Some(3)),
        ]
    );
}

#[test]
fn an_added_closure_shifts_the_others() {
    let old = of_sites("p", &[(&["main", "m::{closure#0}"], 70, 3, 0)]);
    let new = of_sites(
        "p",
        &[
            (&["main", "m::{closure#0}"], 999, 1, 0),
            (&["main", "m::{closure#1}"], 70, 3, 0),
        ],
    );
    let both = compare(&old, &new, "old");
    let old: Vec<u64> = both
        .sites
        .iter()
        .filter_map(|site| Some(site.old.as_ref()?.calls))
        .collect();
    assert_eq!(old, [0, 3]);
    let nothing = compare(&small(), &Profile::default(), "old");
    nothing.check().expect("in order");
    assert_eq!(sums(&nothing)[..2], [0, 0]);
    assert_eq!(sums(&nothing)[2..], sums(&small())[..2]);
}

type AnySite = (Vec<String>, u64, u64);

fn any_profile() -> impl Strategy<Value = Vec<AnySite>> {
    let name = prop_oneof!["[fgh]", "m::\\{closure#[0-2]\\}", "x\\.so\\+0x1[0-3]0"];
    let site = (proptest::collection::vec(name, 1..5), 1_u64..4, 1_u64..20);
    proptest::collection::vec(site, 0..12)
}

fn profile(sites: &[AnySite]) -> Profile {
    let stacks: Vec<Vec<&str>> = sites
        .iter()
        .map(|(names, ..)| names.iter().map(String::as_str).collect())
        .collect();
    let sites: Vec<_> = stacks
        .iter()
        .zip(sites)
        .map(|(stack, &(_, size, calls))| (stack.as_slice(), size * 8, calls, 0))
        .collect();
    of_sites("p", &sites)
}

proptest! {
    #[test]
    fn nothing_is_lost_of_either(old in any_profile(), new in any_profile()) {
        let (old, new) = (profile(&old), profile(&new));
        let both = compare(&old, &new, "old");
        prop_assert_eq!(both.check(), Ok(()));
        prop_assert_eq!(&sums(&both)[..2], &sums(&new)[..2]);
        prop_assert_eq!(&sums(&both)[2..], &sums(&old)[..2]);
    }
}
