//! Fills the tables of a [`Profile`]: each text, function, frame and node once.

use super::{Frame, Function, Module, NONE, Node, Profile, Str};
use skipheap_symbolize::hash::FastMap;

/// A profile in the making.
#[derive(Default)]
pub struct Tables {
    /// What there is so far; complete at any moment.
    pub profile: Profile,
    strings: FastMap<Box<str>, Str>,
    modules: FastMap<Module, u32>,
    functions: FastMap<Function, u32>,
    frames: FastMap<Frame, u32>,
    /// Of the first so many nodes. [`Self::new_node`] leaves the others to whoever looks for one.
    nodes: FastMap<(u32, u32), u32>,
    threads: FastMap<Str, u32>,
}

/// The index of a value in a table, to which it is added when it is new.
fn index<K, V>(known: &mut FastMap<K, u32>, table: &mut Vec<V>, key: K, value: V) -> u32
where
    K: std::hash::Hash + Eq,
{
    *known.entry(key).or_insert_with(|| {
        table.push(value);
        table.len() as u32 - 1
    })
}

impl Tables {
    /// Of a profile that goes on to grow.
    pub fn of(profile: Profile) -> Self {
        let mut tables = Self::default();
        let p = &profile;
        tables.strings = p.strings.iter().cloned().zip(0..).collect();
        tables.modules = p.modules.iter().cloned().zip(0..).collect();
        tables.functions = p.functions.iter().copied().zip(0..).collect();
        tables.frames = p.frames.iter().copied().zip(0..).collect();
        let keys = p.nodes.iter().map(|node| (node.parent, node.frame));
        tables.nodes = keys.zip(0..).collect();
        tables.threads = p.threads.iter().copied().zip(0..).collect();
        tables.profile = profile;
        tables
    }

    /// The index of a text.
    pub fn string(&mut self, text: &str) -> Str {
        if text.is_empty() {
            return 0;
        }
        if let Some(&known) = self.strings.get(text) {
            return known;
        }
        let table = &mut self.profile.strings;
        index(&mut self.strings, table, text.into(), text.into())
    }

    /// The index of a module.
    pub fn module(&mut self, module: Module) -> u32 {
        let table = &mut self.profile.modules;
        index(&mut self.modules, table, module.clone(), module)
    }

    /// The index of a function.
    pub fn function(&mut self, function: Function) -> u32 {
        let table = &mut self.profile.functions;
        index(&mut self.functions, table, function, function)
    }

    /// The index of a frame.
    pub fn frame(&mut self, frame: Frame) -> u32 {
        index(&mut self.frames, &mut self.profile.frames, frame, frame)
    }

    /// Adds a node that is none of those so far.
    pub(crate) fn new_node(&mut self, parent: u32, frame: u32) -> u32 {
        self.profile.nodes.push(Node { parent, frame });
        self.profile.nodes.len() as u32 - 1
    }

    /// The index of a node.
    pub fn node(&mut self, parent: u32, frame: u32) -> u32 {
        if self.nodes.len() < self.profile.nodes.len() {
            let known = self.nodes.len();
            let new = self.profile.nodes.iter().skip(known);
            let keys = new.map(|node| (node.parent, node.frame));
            self.nodes.extend(keys.zip(known as u32..));
        }
        let node = Node { parent, frame };
        index(
            &mut self.nodes,
            &mut self.profile.nodes,
            (parent, frame),
            node,
        )
    }

    /// The index of a thread's name; [`NONE`] of no name.
    pub fn thread(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return NONE;
        }
        let name = self.string(name);
        index(&mut self.threads, &mut self.profile.threads, name, name)
    }
}
