//! What several formats say of leaks: every stack of which blocks are lost, and who is responsible for it.

use skipheap_profile::functions::{self, Who};
use skipheap_profile::leaks::{LeakStack, leak_stacks};
use skipheap_profile::report::left::Left;
use skipheap_profile::{NONE, Profile};
use std::collections::HashMap;

/// A stack of which blocks are lost.
pub(super) struct Leak {
    /// The stack and its blocks.
    pub(super) stack: LeakStack,
    /// Who is responsible for it.
    pub(super) who: Who,
}

/// All of them, those with directly lost blocks first, then those with the most bytes; `None` where no leak
/// check was made.
pub(super) fn leaks(profile: &Profile) -> Option<Vec<Leak>> {
    let stacks = leak_stacks(profile)?;
    let who = functions::by_site(profile, &functions::plumbing());
    let by_node: HashMap<u32, Who> = profile
        .sites
        .iter()
        .map(|site| site.node)
        .zip(who)
        .filter(|&(node, _)| node != NONE)
        .collect();
    let leak = |stack: LeakStack| Leak {
        who: by_node.get(&stack.node).copied().unwrap_or_default(),
        stack,
    };
    Some(stacks.into_iter().map(leak).collect())
}

/// What all of them have lost together.
pub(super) fn sum(leaks: &[Leak]) -> Left {
    let mut sum = Left::default();
    for leak in leaks {
        sum.add(leak.stack.left);
    }
    sum
}
