//! The call tree of a profile by names, with one number for each function: from the roots down to the functions
//! that allocate, or from these out to their callers. Only what is large enough is built.

use super::{NONE, Profile, Str};
use crate::report::collapsed::Value;
use std::cmp::Reverse;
use std::collections::HashMap;

/// More levels are not built: a damaged or hostile profile may have millions.
const MOST_LEVELS: usize = 4096;

/// What a tree is to show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wish {
    /// The number.
    pub value: Value,
    /// From the functions that allocate outwards, not from the roots.
    pub callers: bool,
    /// A function that calls itself is there once.
    pub fold_recursion: bool,
    /// A function is there once for each line.
    pub lines: bool,
    /// The least part of all that is shown.
    pub least: f64,
    /// Most levels.
    pub depth: usize,
}

/// A tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tree {
    /// The sum of everything.
    pub total: i64,
    /// What it is made of.
    pub inner: Inner,
}

/// What a function is made of besides itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inner {
    /// Those that are large enough, the largest first.
    pub branches: Vec<Branch>,
    /// How many others there are.
    pub others: usize,
    /// Their sum.
    pub rest: i64,
}

/// A function, below others.
#[derive(Clone, Debug, PartialEq)]
pub struct Branch {
    /// Which.
    pub name: Name,
    /// With everything below.
    pub total: i64,
    /// Without.
    pub own: i64,
    /// Below: what it calls, or who calls it.
    pub inner: Inner,
}

/// A function, and where lines are wanted the file and the line; `None` is no stack.
pub type Name = Option<(Str, Str, u32)>;

/// A node of the profile on the way into the tree.
#[derive(Clone, Copy)]
struct Item {
    node: u32,
    total: i64,
    own: i64,
}

/// The tree of a profile, whose figures are no samples (see [`Profile::estimated`]).
pub fn tree(profile: &Profile, wish: Wish) -> Tree {
    let mut values = vec![0_i64; profile.nodes.len()];
    let mut without_stack = 0_i64;
    for site in &profile.sites {
        let value = wish.value.of(site.size, &site.figures);
        let sum = values.get_mut(site.node as usize);
        let sum = sum.unwrap_or(&mut without_stack);
        *sum = sum.saturating_add(value);
    }
    let total = values
        .iter()
        .fold(without_stack, |sum, value| sum.saturating_add(*value));
    let growing = Growing::new(profile, wish, values, total);
    let mut items = growing.first();
    if without_stack != 0 {
        items.push(Item {
            node: NONE,
            total: without_stack,
            own: without_stack,
        });
    }
    Tree {
        total,
        inner: growing.inner(items, 0),
    }
}

struct Growing<'p> {
    profile: &'p Profile,
    wish: Wish,
    /// Of stacks that end at each node.
    values: Vec<i64>,
    /// Of stacks that end at each node or go on from there; where trees begin at the roots.
    sums: Vec<i64>,
    /// Nodes with their parents, in the order of these; where trees begin at the roots.
    children: Vec<(u32, u32)>,
    /// Less is not shown.
    least: f64,
}

impl<'p> Growing<'p> {
    fn new(profile: &'p Profile, wish: Wish, values: Vec<i64>, total: i64) -> Self {
        let mut growing = Self {
            profile,
            wish,
            sums: Vec::new(),
            children: Vec::new(),
            least: wish.least * total as f64,
            values,
        };
        if !wish.callers {
            growing.sums = growing.values.clone();
            // A node's parent comes before it.
            for (index, node) in profile.nodes.iter().enumerate().rev() {
                let sum = growing.sums[index];
                if let Some(parent) = growing.sums.get_mut(node.parent as usize) {
                    *parent = parent.saturating_add(sum);
                }
            }
            let parents = profile.nodes.iter().map(|node| node.parent);
            growing.children = parents.zip(0..).collect();
            growing.children.sort_unstable();
        }
        growing
    }

    /// Where the tree begins.
    fn first(&self) -> Vec<Item> {
        if !self.wish.callers {
            return self.children_of(NONE);
        }
        let ends = (0..).zip(&self.values).filter(|(_, value)| **value != 0);
        ends.map(|(node, &value)| self.caller(node, value))
            .collect()
    }

    fn caller(&self, node: u32, value: i64) -> Item {
        let is_root = self.profile.nodes[node as usize].parent == NONE;
        Item {
            node,
            total: value,
            own: if is_root { value } else { 0 },
        }
    }

    fn children_of(&self, node: u32) -> Vec<Item> {
        let start = self.children.partition_point(|child| child.0 < node);
        let children = self.children[start..]
            .iter()
            .take_while(|child| child.0 == node);
        let item = |&(_, node): &(u32, u32)| Item {
            node,
            total: self.sums[node as usize],
            own: self.values[node as usize],
        };
        children.map(item).collect()
    }

    /// One level further.
    fn next(&self, item: Item) -> Vec<Item> {
        let Some(node) = self.profile.nodes.get(item.node as usize) else {
            return Vec::new();
        };
        match (self.wish.callers, node.parent) {
            (false, _) => self.children_of(item.node),
            (true, NONE) => Vec::new(),
            (true, parent) => vec![self.caller(parent, item.total)],
        }
    }

    fn name(&self, node: u32) -> Name {
        let node = self.profile.nodes.get(node as usize)?;
        let frame = self.profile.frame(node);
        let function = self.profile.function(frame);
        Some(match self.wish.lines {
            true => (function.name, function.file, frame.line),
            false => (function.name, 0, 0),
        })
    }

    /// What these are made of, by name.
    fn inner(&self, items: Vec<Item>, level: usize) -> Inner {
        let mut by_name: HashMap<Name, Vec<Item>> = HashMap::new();
        for item in items {
            by_name.entry(self.name(item.node)).or_default().push(item);
        }
        let mut inner = Inner::default();
        let mut large = Vec::new();
        let is_last = level >= self.wish.depth.min(MOST_LEVELS);
        for (name, items) in by_name {
            let total = items
                .iter()
                .fold(0_i64, |sum, item| sum.saturating_add(item.total));
            if total > 0 && total as f64 >= self.least && !is_last {
                large.push((total, name, items));
            } else if total != 0 {
                inner.others += 1;
                inner.rest = inner.rest.saturating_add(total);
            }
        }
        let text = |name: &Name| {
            name.map(|(name, file, line)| (self.profile.text(name), self.profile.text(file), line))
        };
        large.sort_by(|a, b| (Reverse(a.0), text(&a.1)).cmp(&(Reverse(b.0), text(&b.1))));
        let branches = large.into_iter();
        inner.branches = branches
            .map(|(total, name, items)| self.branch(name, total, items, level))
            .collect();
        inner
    }

    fn branch(&self, name: Name, total: i64, items: Vec<Item>, level: usize) -> Branch {
        let mut own = 0_i64;
        let mut next = Vec::new();
        let mut todo = items;
        while let Some(item) = todo.pop() {
            own = own.saturating_add(item.own);
            for item in self.next(item) {
                let folds = self.wish.fold_recursion && self.name(item.node) == name;
                if folds { &mut todo } else { &mut next }.push(item);
            }
        }
        if self.wish.callers {
            // Many stacks have the same callers.
            next.sort_unstable_by_key(|item| item.node);
            next.dedup_by(|item, kept| {
                let is_same = item.node == kept.node;
                if is_same {
                    kept.total = kept.total.saturating_add(item.total);
                    kept.own = kept.own.saturating_add(item.own);
                }
                is_same
            });
        }
        Branch {
            name,
            total,
            own,
            inner: self.inner(next, level + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{of_sites, small};
    use super::*;

    const WISH: Wish = Wish {
        value: Value::Bytes,
        callers: false,
        fold_recursion: false,
        lines: false,
        least: 0.0,
        depth: usize::MAX,
    };

    /// Lines `name total own`, indented by level.
    fn drawn(profile: &Profile, wish: Wish) -> Vec<String> {
        fn draw(profile: &Profile, inner: &Inner, level: usize, lines: &mut Vec<String>) {
            let indent = " ".repeat(level);
            for branch in &inner.branches {
                let name = branch.name.map_or("-", |name| profile.text(name.0));
                lines.push(format!("{indent}{name} {} {}", branch.total, branch.own));
                draw(profile, &branch.inner, level + 1, lines);
            }
            if inner.others > 0 {
                lines.push(format!("{indent}+{} {}", inner.others, inner.rest));
            }
        }
        let tree = tree(profile, wish);
        let mut lines = vec![tree.total.to_string()];
        draw(profile, &tree.inner, 0, &mut lines);
        lines
    }

    #[test]
    fn from_the_roots() {
        assert_eq!(
            drawn(&small(), WISH),
            [
                "4672",
                "main 4672 0",
                " read 4096 4096",
                " parse 576 0",
                "  node_new 464 464",
                "  list 112 0",
                "   list 112 0",
                "    push 112 112",
            ]
        );
        let wish = Wish {
            fold_recursion: true,
            least: 0.1,
            depth: 3,
            ..WISH
        };
        assert_eq!(
            drawn(&small(), wish),
            [
                "4672",
                "main 4672 0",
                " read 4096 4096",
                " parse 576 0",
                "  +2 576"
            ]
        );
        let wish = Wish {
            fold_recursion: true,
            ..WISH
        };
        let lines = drawn(&small(), wish);
        assert_eq!(lines[5..], ["  list 112 0", "   push 112 112"]);
    }

    #[test]
    fn from_those_who_allocate_outwards() {
        let profile = of_sites(
            "p",
            &[
                (&["main", "a", "take"], 10, 3, 0),
                (&["main", "b", "a", "take"], 10, 1, 0),
                (&["main", "take"], 5, 1, 1),
                (&[], 1, 1, 0),
            ],
        );
        let wish = Wish {
            callers: true,
            ..WISH
        };
        assert_eq!(
            drawn(&profile, wish),
            [
                "46",
                "take 45 0",
                " a 40 0",
                "  main 30 30",
                "  b 10 0",
                "   main 10 10",
                " main 5 5",
                "- 1 1",
            ]
        );
        let live = Wish {
            value: Value::LiveBlocks,
            callers: true,
            depth: 1,
            ..WISH
        };
        assert_eq!(drawn(&profile, live), ["5", "take 4 0", " +1 4", "- 1 1"]);
    }
}
