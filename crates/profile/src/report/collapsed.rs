//! Collapsed stacks, the format that flame graphs are made of: a line for each stack, root first, `;`
//! between the functions, and a number at the end. Functions that the compiler inlined are there as well.
//!
//! Stacks of addresses become a tree of names, so that time and memory follow the number of stacks
//! and not their length.

use super::figures::Figures;
use super::interner::Interner;
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::places::Place;
use std::io::{self, Write};
use std::rc::Rc;

/// What the number at the end of a line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Value {
    /// Bytes of all allocations.
    #[default]
    Bytes,
    /// Allocations.
    Calls,
    /// Bytes that live at the end.
    Live,
    /// Blocks that live at the end.
    LiveBlocks,
    /// Bytes that lived at the peak.
    Peak,
    /// Allocations that were freed before the thread's next one.
    Temporary,
}

impl Value {
    /// Returns whether it is known only if blocks were tracked.
    pub fn needs_live(self) -> bool {
        !matches!(self, Self::Bytes | Self::Calls)
    }

    /// The number, of allocations of this size.
    pub fn of(self, size: u64, figures: &Figures) -> i64 {
        let live = figures.live.as_ref();
        // A thread that frees others' blocks has less than none.
        let alive = live.map_or(0, |live| live.followed.wrapping_sub(live.frees) as i64);
        let blocks = match self {
            Self::Bytes | Self::Calls => figures.calls as i64,
            Self::Live | Self::LiveBlocks => alive,
            Self::Peak => live.map_or(0, |live| live.at_peak),
            Self::Temporary => live.map_or(0, |live| live.temporary as i64),
        };
        match self {
            Self::Calls | Self::LiveBlocks | Self::Temporary => blocks,
            Self::Bytes | Self::Live | Self::Peak => {
                blocks.saturating_mul(i64::try_from(size).unwrap_or(i64::MAX))
            }
        }
    }
}

/// How stacks are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// The number.
    pub value: Value,
    /// A function that calls itself is there once, and so are some that call each other in turn.
    pub fold_recursion: bool,
    /// File and line behind each function.
    pub lines: bool,
}

/// A function called from a chain of others.
struct Node {
    parent: u32,
    name: u32,
    /// Of stacks that end here. Below zero only for a while.
    value: i64,
}

/// Stacks of names and their values.
pub struct Stacks {
    style: Style,
    names: Interner,
    /// The first is the root of all.
    nodes: Vec<Node>,
    /// By parent and name.
    children: FastMap<(u32, u32), u32>,
}

/// Where nothing is known.
const NO_STACK: &str = "[no stack]";
/// The node above all others.
const ROOT: u32 = 0;
/// Most functions that call each other in turn and are folded.
const LONGEST_ROUND: usize = 12;

impl Stacks {
    /// None yet.
    pub fn new(style: Style) -> Self {
        Self {
            style,
            names: Interner::default(),
            nodes: vec![Node {
                parent: ROOT,
                name: 0,
                value: 0,
            }],
            children: FastMap::default(),
        }
    }

    /// As given to [`Self::new`].
    pub fn style(&self) -> Style {
        self.style
    }

    /// Adds the figures of allocations of this size to a stack; `None` is none.
    pub fn add_value(&mut self, end: Option<u32>, size: u64, figures: &Figures) {
        let value = self.style.value.of(size, figures);
        let end = end.unwrap_or_else(|| {
            let name = self.names.number(&NO_STACK.into());
            self.child(ROOT, name)
        });
        if let Some(node) = self.nodes.get_mut(end as usize) {
            node.value = node.value.saturating_add(value);
        }
    }

    /// The stack of a function called from another stack, or from nobody.
    pub fn below(&mut self, caller: Option<u32>, place: &Place) -> u32 {
        let name = self.names.number(&text(place, self.style.lines));
        self.child(caller.unwrap_or(ROOT), name)
    }

    /// The node that stands for a function called from `parent` where functions have called each other in
    /// the same order just before: the last of that round, of the shortest one.
    fn round_before(&self, parent: u32, name: u32) -> Option<u32> {
        // From the function on outwards, those that are shown, and their nodes.
        let mut path = [(name, ROOT); 2 * LONGEST_ROUND];
        let mut len = 1;
        let mut at = parent;
        for slot in path.iter_mut().skip(1) {
            if at == ROOT {
                break;
            }
            let node = self.nodes.get(at as usize)?;
            *slot = (node.name, at);
            (at, len) = (node.parent, len + 1);
        }
        (1..=len / 2).find_map(|round| {
            let (inner, outer) = path.get(..2 * round)?.split_at(round);
            let is_same = inner.iter().zip(outer).all(|(a, b)| a.0 == b.0);
            is_same.then(|| outer.first().map(|node| node.1))?
        })
    }

    /// The node of a function called from `parent`.
    fn child(&mut self, parent: u32, name: u32) -> u32 {
        if let Some(&known) = self.children.get(&(parent, name)) {
            return known;
        }
        if self.style.fold_recursion
            && let Some(node) = self.round_before(parent, name)
        {
            return node;
        }
        let child = self.nodes.len() as u32;
        self.children.insert((parent, name), child);
        self.nodes.push(Node {
            parent,
            name,
            value: 0,
        });
        child
    }

    /// Adds stacks of the same style.
    pub fn merge(&mut self, other: &Self) {
        let mut ours: Vec<u32> = Vec::with_capacity(other.nodes.len());
        for node in &other.nodes {
            let name = other.names.name(node.name);
            let own = match (ours.get(node.parent as usize), name) {
                (Some(&parent), Some(name)) => {
                    let name = self.names.number(&name);
                    self.child(parent, name)
                }
                _ => ROOT,
            };
            if let Some(own) = self.nodes.get_mut(own as usize) {
                own.value = own.value.saturating_add(node.value);
            }
            ours.push(own);
        }
    }

    /// Writes a line for each stack with a value above zero, in the order of the names.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&self, mut out: impl Write) -> io::Result<()> {
        let ranks = self.names.ranks();
        let rank = |node: &Node| ranks.get(node.name as usize).copied().unwrap_or(0);
        // Behind each other: the children of each node, the last in the alphabet first.
        let mut order: Vec<(u32, u32, u32)> = (0..)
            .zip(&self.nodes)
            .skip(1)
            .map(|(id, node)| (node.parent, u32::MAX - rank(node), id))
            .collect();
        order.sort_unstable();
        let children = |parent: u32| {
            let start = order.partition_point(|child| child.0 < parent);
            let of_parent = order.get(start..).unwrap_or(&[]).iter();
            of_parent
                .take_while(move |child| child.0 == parent)
                .map(|child| child.2)
        };
        let mut path = String::new();
        // Nodes to come, with the length of their caller's path.
        let mut todo: Vec<(u32, usize)> = children(ROOT).map(|id| (id, 0)).collect();
        while let Some((id, len)) = todo.pop() {
            let Some(node) = self.nodes.get(id as usize) else {
                continue;
            };
            path.truncate(len);
            if len > 0 {
                path.push(';');
            }
            path.push_str(self.names.name(node.name).as_deref().unwrap_or(""));
            if node.value > 0 {
                writeln!(out, "{path} {}", node.value)?;
            }
            todo.extend(children(id).map(|id| (id, path.len())));
        }
        out.flush()
    }
}

/// A function as it stands in a line.
fn text(place: &Place, lines: bool) -> Rc<str> {
    let name: Rc<str> = place.function.clone().unwrap_or_else(|| "[inlined]".into());
    let located = match (&place.file, place.line) {
        (Some(file), Some(line)) if lines => Some(format!("{name} ({file}:{line})")),
        _ => None,
    };
    match located {
        Some(text) => text.replace(';', ":").into(),
        // It ends a function's name.
        None if name.contains(';') => name.replace(';', ":").into(),
        None => name,
    }
}
