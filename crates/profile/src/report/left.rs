//! From what is left of each stack to a list: which leaks are known, and their order. The stacks may be
//! those of a recording or of a profile, and the list is the same.

use super::figures::{LiveSums, Rate};
use super::leaked::Leaked;
use super::suppressions::Suppression;
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::places::Place;
use std::cmp::Reverse;
use std::hash::Hash;
use std::rc::Rc;

/// A number of blocks and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blocks {
    /// Bytes of all.
    pub bytes: u64,
    /// How many.
    pub blocks: u64,
}

impl Blocks {
    /// So many blocks of one size.
    fn of(blocks: u64, size: u64) -> Self {
        Self {
            bytes: blocks.saturating_mul(size),
            blocks,
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.blocks = self.blocks.saturating_add(other.blocks);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// The blocks that are left of a stack. In their order, those of which some are directly lost come last: what is
/// lost with them is explained by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    /// Whether some are not lost with others.
    is_direct: bool,
    /// All of them.
    pub all: Blocks,
    /// Those that are indirectly lost: other lost blocks lead to them.
    pub indirect: Blocks,
}

impl Left {
    /// Lost blocks of this size.
    pub fn new(leaked: Leaked, size: u64) -> Self {
        Self {
            is_direct: leaked.direct > 0,
            all: Blocks::of(leaked.all(), size),
            indirect: Blocks::of(leaked.indirect, size),
        }
    }

    /// Those that are directly lost, or all where the leak check was not made.
    pub fn direct(&self) -> Blocks {
        Blocks {
            bytes: self.all.bytes.saturating_sub(self.indirect.bytes),
            blocks: self.all.blocks.saturating_sub(self.indirect.blocks),
        }
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.is_direct |= other.is_direct;
        self.all.add(other.all);
        self.indirect.add(other.indirect);
    }
}

/// The counts of a stack and a size that are needed to compute what is left: a small part of
/// [`LiveSums`], since there may be many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remaining {
    followed: u64,
    frees: u64,
    leaked: Option<Leaked>,
}

impl Remaining {
    /// Adds the blocks of a site. If the leak check ran, `leaked` is the number of unreachable
    /// ones.
    pub fn add(&mut self, live: &LiveSums, leaked: Option<Leaked>) {
        self.followed = self.followed.saturating_add(live.followed);
        self.frees = self.frees.saturating_add(live.frees);
        if let Some(leaked) = leaked {
            self.leaked.get_or_insert_default().add(leaked);
        }
    }

    /// Returns what is left of blocks of this size: only the unreachable ones if the leak check
    /// ran. For a sample this is an estimate.
    pub fn left(self, rate: Rate, size: u64) -> Left {
        let (followed, frees) = (
            rate.whole(self.followed, size),
            rate.whole(self.frees, size),
        );
        let leaked = self.leaked.map(|mut leaked| {
            leaked.scale(rate, size);
            leaked
        });
        let not_freed = Leaked {
            direct: followed.saturating_sub(frees),
            indirect: 0,
        };
        Left::new(leaked.unwrap_or(not_freed), size)
    }
}

/// The blocks of one stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The functions, innermost first, those inlined too.
    pub stack: Vec<Place>,
    /// What is left.
    pub left: Left,
}

/// What is left of all blocks of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaks {
    /// Only blocks to which no pointer was found: the leak check was made.
    pub unreachable: bool,
    /// Without those that are suppressed.
    pub all: Blocks,
    /// Those of them that are indirectly lost.
    pub indirect: Blocks,
    /// Stacks of these.
    pub stacks: usize,
    /// The stacks with the most bytes.
    pub largest: Vec<Leak>,
    /// What each suppression kept away, in their order.
    pub suppressed: Vec<Blocks>,
}

/// A frame of a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// Its functions, innermost first.
    functions: Vec<Place>,
    /// The first suppression that matches one of them, its file or its module.
    known: Option<usize>,
}

impl Frame {
    /// A frame with these functions in this module.
    pub fn new(
        mut functions: Vec<Place>,
        module: Option<&str>,
        suppressions: &[Suppression],
    ) -> Self {
        for place in &mut functions {
            place.function.get_or_insert_with(|| "[inlined]".into());
        }
        let texts = || {
            let places = functions.iter();
            let of_places = places.flat_map(|place| [&place.function, &place.file]);
            of_places.filter_map(|text| text.as_deref()).chain(module)
        };
        let known = suppressions
            .iter()
            .position(|one| texts().any(|text| one.matches(text)));
        Self { functions, known }
    }

    /// Returns whether a suppression matches it.
    pub fn is_known(&self) -> bool {
        self.known.is_some()
    }
}

/// The blocks that are left of each stack, from sums by stack and size.
pub fn by_stack<S: Hash + Eq>(sums: FastMap<(S, u64), Remaining>, rate: Rate) -> FastMap<S, Left> {
    let mut stacks: FastMap<S, Left> = FastMap::default();
    for ((stack, size), sum) in sums {
        let left = sum.left(rate, size);
        if left.all.blocks > 0 {
            stacks.entry(stack).or_default().add(left);
        }
    }
    stacks
}

/// Puts stacks in the order of the list: those with directly lost blocks first, and those with the most
/// bytes.
pub fn in_order<S>(stacks: impl IntoIterator<Item = (S, Left)>) -> Vec<(S, Left)> {
    let mut found: Vec<(S, Left)> = stacks.into_iter().collect();
    found.sort_by_key(|&(_, left)| Reverse(left));
    found
}

/// How many of the stacks, in order, [`list`] asks for the frames of.
pub fn named<S>(found: &[(S, Left)], suppressions: &[Suppression], most: usize) -> usize {
    let Some(last) = most.checked_sub(1).and_then(|last| found.get(last)) else {
        return found.len() * usize::from(most > 0 || !suppressions.is_empty());
    };
    match suppressions {
        // Among equals the names decide.
        [] => found.partition_point(|(_, left)| *left >= last.1),
        _ => found.len(),
    }
}

/// The list of stacks in order, with the `most` that have the most bytes. `frames` names a stack,
/// innermost frame first.
///
/// # Errors
/// Those of `frames`.
pub fn list<S, E>(
    found: &[(S, Left)],
    suppressions: &[Suppression],
    most: usize,
    mut frames: impl FnMut(&S) -> Result<Vec<Rc<Frame>>, E>,
) -> Result<Leaks, E> {
    let mut leaks = Leaks {
        suppressed: vec![Blocks::default(); suppressions.len()],
        ..Leaks::default()
    };
    let named = named(found, suppressions, most);
    let (named, others) = found.split_at(named);
    for equals in named.chunk_by(|a, b| a.1 == b.1) {
        let stacks = equals
            .iter()
            .map(|(stack, left)| Ok((frames(stack)?, *left)));
        let mut stacks = stacks.collect::<Result<Vec<_>, E>>()?;
        stacks.sort();
        for (stack, left) in stacks {
            leaks.add(&stack, left, most);
        }
    }
    for &(_, left) in others {
        leaks.add(&[], left, 0);
    }
    Ok(leaks)
}

impl Leaks {
    /// Adds the blocks of a stack, and the stack where it is one of the first `most`.
    fn add(&mut self, stack: &[Rc<Frame>], left: Left, most: usize) {
        let known = stack.iter().filter_map(|frame| frame.known).min();
        if let Some(sum) = known.and_then(|known| self.suppressed.get_mut(known)) {
            sum.add(left.all);
            return;
        }
        self.all.add(left.all);
        self.indirect.add(left.indirect);
        self.stacks += 1;
        if self.largest.len() < most {
            let functions = stack.iter().flat_map(|frame| &frame.functions);
            let stack = functions.cloned().collect();
            self.largest.push(Leak { stack, left });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::suppressions;
    use super::*;
    use std::convert::Infallible;

    fn place(name: &str) -> Place {
        Place {
            function: Some(name.into()),
            file: None,
            line: None,
        }
    }

    /// Stacks of these names and bytes, of a block each.
    fn listed(stacks: &[(&[&str], u64)], known: &str, most: usize) -> (Leaks, usize) {
        let suppressions = suppressions::parse(known).expect("suppressions");
        let stacks = stacks.iter().map(|&(names, bytes)| (names, left(bytes, 0)));
        let found = in_order(stacks);
        let mut asked = 0;
        let frames = |names: &&[&str]| -> Result<_, Infallible> {
            asked += 1;
            let frame = |name: &&str| Frame::new(vec![place(name)], Some("/m"), &suppressions);
            Ok(names.iter().map(|name| Rc::new(frame(name))).collect())
        };
        let Ok(leaks) = list(&found, &suppressions, most, frames);
        (leaks, asked)
    }

    fn left(bytes: u64, indirect: u64) -> Left {
        let leaked = Leaked {
            direct: u64::from(indirect == 0),
            indirect,
        };
        Left::new(leaked, bytes)
    }

    #[test]
    fn what_is_lost_with_others_comes_behind_them() {
        let stacks = [
            ("node", left(100, 9)),
            ("root", left(8, 0)),
            ("leaf", left(200, 1)),
        ];
        let found = in_order(stacks);
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["root", "node", "leaf"]);
        let (_, node) = found[1];
        assert_eq!((node.all.bytes, node.indirect.blocks), (900, 9));
        assert_eq!(node.direct(), Blocks::default());
    }

    const STACKS: &[(&[&str], u64)] = &[
        (&["z"], 5),
        (&["b", "main"], 7),
        (&["a", "main"], 7),
        (&["a", "lib"], 7),
        (&["y"], 9),
    ];

    #[test]
    fn among_equals_the_names_decide_and_no_more_stacks_are_named() {
        let (leaks, asked) = listed(STACKS, "", 2);
        let first = |leak: &Leak| {
            leak.stack
                .iter()
                .map(|place| place.function.clone())
                .collect()
        };
        let names: Vec<Vec<_>> = leaks.largest.iter().map(first).collect();
        assert_eq!(
            names,
            [
                vec![Some("y".into())],
                vec![Some("a".into()), Some("lib".into())]
            ]
        );
        assert_eq!((leaks.stacks, leaks.all.bytes, asked), (5, 35, 4));
        assert_eq!(listed(STACKS, "", 0).1, 0);
    }

    #[test]
    fn the_first_suppression_that_matches_any_frame_counts() {
        let (leaks, _) = listed(STACKS, "leak:^main$\nleak:^a$\nleak:nothing", 9);
        let kept: Vec<u64> = leaks.suppressed.iter().map(|blocks| blocks.bytes).collect();
        assert_eq!(kept, [14, 7, 0]);
        assert_eq!((leaks.stacks, leaks.all.bytes), (2, 14));
        assert_eq!(
            listed(STACKS, "leak:^/m$", 9).0.stacks,
            0,
            "modules are matched too"
        );
    }
}
