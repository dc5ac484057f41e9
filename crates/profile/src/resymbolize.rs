//! Adds names, lines and inlined functions to a profile that was made without them.
//!
//! A frame's address says what it is. Frames of functions that were inlined stand below the frame of the
//! function that has the code, so what becomes known of an address replaces such a frame and the inlined
//! ones below it by a new chain, and what was called from there is called from the chain's end. What is not
//! found in any file stays as it is.
//!
//! In a merged profile a frame stands for several addresses: only names are added.

use super::intern::Tables;
use super::{Frame, FrameKind, Function, Module, NONE, Node, Profile};
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::places::Place;
use std::rc::Rc;

/// What files say of an address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    /// The name of the function by the symbols.
    pub name: Option<Rc<str>>,
    /// The functions at the address by the debug information, innermost first; the last is the one with a
    /// symbol.
    pub places: Vec<Place>,
}

/// Where names come from.
pub trait Symbols {
    /// Is told all addresses of a module that [`Self::at`] will be asked for, and whether there is a frame
    /// of which no line is known.
    fn prepare(&mut self, path: &str, build_id: &[u8], addresses: Vec<u64>, lacks_lines: bool);

    /// What is known of an address.
    fn at(&self, path: &str, build_id: &[u8], address: u64) -> Option<&Known>;
}

/// The profile with what `symbols` know.
pub fn resymbolize(profile: Profile, symbols: &mut dyn Symbols) -> Profile {
    prepare(&profile, symbols);
    let is_merged = profile.processes.iter().any(|p| p.merged.is_some());
    let empty = Profile {
        functions: Vec::new(),
        frames: Vec::new(),
        nodes: Vec::new(),
        sites: Vec::new(),
        tool: profile.tool.clone(),
        strings: profile.strings.clone(),
        processes: profile.processes.clone(),
        modules: profile.modules.clone(),
        threads: profile.threads.clone(),
        scaled: profile.scaled,
        compared_with: profile.compared_with.clone(),
    };
    let mut rebuilding = Rebuilding {
        old: &profile,
        tables: Tables::of(empty),
        symbols,
        names_only: is_merged,
        frames: FastMap::default(),
    };
    // Of each old node: the new one, and whether the inlined frames below it are replaced.
    let mut nodes: Vec<(u32, bool)> = Vec::with_capacity(profile.nodes.len());
    for node in &profile.nodes {
        let above = match node.parent {
            NONE => (NONE, false),
            parent => nodes[parent as usize],
        };
        nodes.push(rebuilding.node(node, above));
    }
    let mut tables = rebuilding.tables;
    let new = |node: u32| nodes.get(node as usize).map_or(NONE, |new| new.0);
    tables.profile.sites = profile.sites;
    for site in &mut tables.profile.sites {
        site.node = new(site.node);
    }
    tables.profile
}

/// The path and the build id of a module.
fn file<'p>(profile: &'p Profile, module: &'p Module) -> (&'p str, &'p [u8]) {
    (profile.text(module.path), &module.build_id)
}

/// Returns whether there is anything to look up.
fn has_address(frame: &Frame) -> bool {
    frame.kind == FrameKind::Physical && frame.address != 0
}

fn prepare(profile: &Profile, symbols: &mut dyn Symbols) {
    let mut wanted: Vec<(Vec<u64>, bool)> = vec![Default::default(); profile.modules.len()];
    for frame in profile.frames.iter().filter(|frame| has_address(frame)) {
        let module = profile.function(frame).module;
        if let Some((addresses, lacks_lines)) = wanted.get_mut(module as usize) {
            addresses.push(frame.address);
            *lacks_lines |= frame.line == 0;
        }
    }
    for (module, (mut addresses, lacks_lines)) in profile.modules.iter().zip(wanted) {
        addresses.sort_unstable();
        addresses.dedup();
        if !addresses.is_empty() {
            let (path, build_id) = file(profile, module);
            symbols.prepare(path, build_id, addresses, lacks_lines);
        }
    }
}

/// A profile on its way to new stacks.
struct Rebuilding<'a> {
    old: &'a Profile,
    tables: Tables,
    symbols: &'a dyn Symbols,
    names_only: bool,
    /// By old frame: the new ones, outermost first, and whether these have the inlined ones with them.
    frames: FastMap<u32, (Vec<u32>, bool)>,
}

impl Rebuilding<'_> {
    /// The new node of an old one, and whether the inlined frames below it are in it.
    fn node(&mut self, node: &Node, (above, is_replaced): (u32, bool)) -> (u32, bool) {
        let kind = self.old.frame(node).kind;
        if kind == FrameKind::Inlined && is_replaced {
            return (above, true);
        }
        if !self.frames.contains_key(&node.frame) {
            let frames = self.frames_of(self.old.frames[node.frame as usize]);
            self.frames.insert(node.frame, frames);
        }
        let mut end = above;
        let mut has_inlined = false;
        if let Some((frames, with_inlined)) = self.frames.get(&node.frame) {
            for &frame in frames {
                end = self.tables.node(end, frame);
            }
            has_inlined = *with_inlined;
        }
        (end, has_inlined)
    }

    fn frames_of(&mut self, frame: Frame) -> (Vec<u32>, bool) {
        let old = *self.old.function(&frame);
        let module = self.old.modules.get(old.module as usize);
        let known = module.filter(|_| has_address(&frame)).and_then(|module| {
            let (path, build_id) = file(self.old, module);
            self.symbols.at(path, build_id, frame.address)
        });
        let Some(known) = known else {
            return (vec![self.frame(old, frame)], false);
        };
        let name = match &known.name {
            Some(name) => self.tables.string(name),
            None => old.name,
        };
        let places = match self.names_only {
            true => &[][..],
            false => &known.places[..],
        };
        let Some((outermost, inlined)) = places.split_last() else {
            return (vec![self.frame(Function { name, ..old }, frame)], false);
        };
        // A name of debug information alone is better than an address.
        let by_address = || self.old.text(old.name).contains("+0x");
        let name = match &outermost.function {
            Some(function) if known.name.is_none() && by_address() => self.tables.string(function),
            _ => name,
        };
        let mut chain = vec![self.at_place(name, old.module, outermost, frame)];
        for place in inlined.iter().rev() {
            let name = place.function.as_deref().unwrap_or("[inlined]");
            let name = self.tables.string(name);
            let frame = Frame {
                kind: FrameKind::Inlined,
                ..frame
            };
            chain.push(self.at_place(name, old.module, place, frame));
        }
        (chain, true)
    }

    /// A frame at a place of the debug information.
    fn at_place(&mut self, name: u32, module: u32, place: &Place, frame: Frame) -> u32 {
        let file = self.tables.string(place.file.as_deref().unwrap_or(""));
        let function = Function { name, file, module };
        let line = place.line.unwrap_or(0);
        self.frame(function, Frame { line, ..frame })
    }

    fn frame(&mut self, function: Function, frame: Frame) -> u32 {
        let function = self.tables.function(function);
        self.tables.frame(Frame { function, ..frame })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Merged;
    use super::super::testing::of_sites;
    use super::*;

    /// Knows a few addresses.
    #[derive(Default)]
    struct Few {
        known: FastMap<u64, Known>,
        asked: Vec<u64>,
    }

    impl Symbols for Few {
        fn prepare(&mut self, _: &str, _: &[u8], addresses: Vec<u64>, _: bool) {
            self.asked.extend(addresses);
        }

        fn at(&self, _: &str, _: &[u8], address: u64) -> Option<&Known> {
            assert!(self.asked.contains(&address));
            self.known.get(&address)
        }
    }

    fn place(function: &str, line: u32) -> Place {
        Place {
            function: Some(function.into()),
            file: Some("a.c".into()),
            line: Some(line),
        }
    }

    /// The stacks of all sites, outermost first, as `name:line`, inlined ones in brackets.
    fn stacks(profile: &Profile) -> Vec<String> {
        profile.check().expect("in order");
        let text = |node: &Node| {
            let frame = profile.frame(node);
            let name = profile.text(profile.function(frame).name);
            match frame.kind {
                FrameKind::Inlined => format!("({name}:{})", frame.line),
                _ => format!("{name}:{}", frame.line),
            }
        };
        let stack = |node: u32| {
            let mut names: Vec<String> = profile.stack(node).map(|(_, node)| text(node)).collect();
            names.reverse();
            names.join(" ")
        };
        profile.sites.iter().map(|site| stack(site.node)).collect()
    }

    /// Sites below `main`, `p+0x10` with `old` inlined, and what that calls.
    fn without_names() -> Profile {
        let mut profile = of_sites(
            "p",
            &[
                (&["main", "p+0x10", "old", "leaf"], 8, 1, 0),
                (&["main", "p+0x10", "other", "leaf"], 8, 1, 0),
                (&["main", "p+0x20"], 8, 1, 0),
            ],
        );
        for frame in &mut profile.frames {
            let name = profile.functions[frame.function as usize].name;
            if matches!(&*profile.strings[name as usize], "old" | "other") {
                frame.kind = FrameKind::Inlined;
                // Those of the function that has the code.
                frame.address = 0x1010;
            }
        }
        profile
    }

    fn all() -> Few {
        let mut few = Few::default();
        let profile = without_names();
        let address = |name: &str| {
            let named = |frame: &&Frame| profile.text(profile.function(frame).name) == name;
            profile.frames.iter().find(named).expect("there").address
        };
        let known = Known {
            name: Some("parse".into()),
            places: vec![place("inner", 3), place("outer", 5), place("parse_", 7)],
        };
        few.known.insert(address("p+0x10"), known);
        let known = Known {
            name: None,
            places: vec![place("by_debug_information", 9)],
        };
        few.known.insert(address("p+0x20"), known);
        let known = Known {
            name: Some("main2".into()),
            places: Vec::new(),
        };
        few.known.insert(address("main"), known);
        few
    }

    #[test]
    fn what_is_known_of_an_address_replaces_its_chain() {
        let profile = without_names();
        assert_eq!(
            stacks(&profile)[..2],
            [
                "main:10 p+0x10:11 (old:12) leaf:13",
                "main:10 p+0x10:11 (other:12) leaf:13"
            ]
        );
        let new = resymbolize(profile, &mut all());
        assert_eq!(
            stacks(&new),
            [
                "main2:10 parse:7 (outer:5) (inner:3) leaf:13",
                "main2:10 parse:7 (outer:5) (inner:3) leaf:13",
                "main2:10 by_debug_information:9",
            ]
        );
        let again = resymbolize(new.clone(), &mut all());
        assert_eq!(stacks(&again), stacks(&new));
    }

    #[test]
    fn what_is_not_known_stays() {
        let profile = without_names();
        let new = resymbolize(profile.clone(), &mut Few::default());
        assert_eq!(stacks(&new), stacks(&profile));
        assert_eq!(new.processes, profile.processes);
    }

    #[test]
    fn of_a_merged_profile_only_names_are_added() {
        let mut profile = without_names();
        profile.processes[0].merged = Some(Merged::default());
        assert_eq!(
            stacks(&resymbolize(profile, &mut all())),
            [
                "main2:10 parse:11 (old:12) leaf:13",
                "main2:10 parse:11 (other:12) leaf:13",
                "main2:10 p+0x20:11",
            ]
        );
    }
}
