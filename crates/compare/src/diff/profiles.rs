//! Two profiles as one with the figures of both: what flame graphs and pages of differences are made of.
//!
//! Stacks are matched whole, by stable names, and sites by stack and size. The result is the new profile in
//! which each site has its old figures; sites that are gone are there too, without allocations.

use super::figures::Figures as Counted;
use super::rename::{Renames, renames};
use super::side::{NameId, Names, Site as Window};
use skipheap_profile::intern::Tables;
use skipheap_profile::report::figures::Figures;
use skipheap_profile::report::rows::NAMES;
use skipheap_profile::{Frame, Function, Module, NONE, Profile, Site};
use std::collections::HashMap;
use std::rc::Rc;

/// Number of a stack of stable names; 0 is the empty one.
type StackId = u32;

/// Compares two profiles. `old_name` is what to call the old one.
pub fn compare(old: &Profile, new: &Profile, old_name: &str) -> Profile {
    let (old, new) = (&*old.estimated(), &*new.estimated());
    let mut names = Names::default();
    let old_names = names_of(old, &mut names);
    let new_names = names_of(new, &mut names);
    let renames = renames(&windows(old, &old_names), &windows(new, &new_names), &names);
    let mut stacks = Stacks::default();
    let of_old = stacks.of(old, &old_names, None);
    let of_new = stacks.of(new, &new_names, Some(&renames));
    let mut tables = match new.processes.is_empty() {
        // Sites refer to processes, and the gone ones need one.
        true => Tables::of(Profile {
            sites: Vec::new(),
            ..old.clone()
        }),
        false => Tables::of(new.clone()),
    };
    tables.profile.scaled = old.scaled || new.scaled;
    tables.profile.compared_with = Some(old_name.to_owned());
    let mut joined = Joined::new(tables, &of_new);
    for site in &old.sites {
        let stack = of_old.get(site.node as usize).copied().unwrap_or(0);
        joined.add(old, site, stack, &of_old);
    }
    joined.tables.profile
}

/// The number of the name of each function.
fn names_of(profile: &Profile, names: &mut Names) -> Vec<NameId> {
    let functions = profile.functions.iter();
    functions
        .map(|function| names.number(Some(&Rc::from(profile.text(function.name)))))
        .collect()
}

/// Pieces of all stacks, which show what each function allocates and in whose company.
fn windows(profile: &Profile, names: &[NameId]) -> Vec<Window> {
    let mut windows = Vec::new();
    for site in &profile.sites {
        let stack: Vec<NameId> = profile
            .stack(site.node)
            .map(|(_, node)| names[profile.frame(node).function as usize])
            .collect();
        for piece in stack.chunks(NAMES) {
            let mut window = [0; NAMES];
            window[..piece.len()].copy_from_slice(piece);
            windows.push(Window {
                stack: window,
                size: site.size,
                figures: Counted {
                    calls: site.figures.calls,
                    ..Counted::default()
                },
                rows: Vec::new(),
            });
        }
    }
    windows
}

/// All stacks of both profiles by name.
#[derive(Default)]
struct Stacks {
    known: HashMap<(StackId, NameId), StackId>,
}

impl Stacks {
    /// The stack that ends at each node of a profile.
    fn of(
        &mut self,
        profile: &Profile,
        names: &[NameId],
        renames: Option<&Renames>,
    ) -> Vec<StackId> {
        let mut ends: Vec<StackId> = Vec::with_capacity(profile.nodes.len());
        for node in &profile.nodes {
            let above = ends.get(node.parent as usize).copied().unwrap_or(0);
            let name = names[profile.frame(node).function as usize];
            let renamed = renames.and_then(|renames| renames.to_old.get(&name));
            let next = self.known.len() as StackId + 1;
            let key = (above, renamed.copied().unwrap_or(name));
            ends.push(*self.known.entry(key).or_insert(next));
        }
        ends
    }
}

/// What tells sites of one stack and size apart, by name.
type Exact = (StackId, u64, Box<str>, Box<str>);

/// The new profile, to which the old figures are added.
struct Joined {
    tables: Tables,
    /// A node of the profile for each stack that it has.
    nodes: HashMap<StackId, u32>,
    exact: HashMap<Exact, usize>,
    by_size: HashMap<(StackId, u64), usize>,
}

impl Joined {
    fn new(tables: Tables, ends: &[StackId]) -> Self {
        let mut joined = Self {
            nodes: HashMap::new(),
            exact: HashMap::new(),
            by_size: HashMap::new(),
            tables,
        };
        for (node, &stack) in (0..).zip(ends) {
            joined.nodes.entry(stack).or_insert(node);
        }
        for index in 0..joined.tables.profile.sites.len() {
            let site = &mut joined.tables.profile.sites[index];
            site.old = Some(Box::default());
            let (size, node) = (site.size, site.node);
            let stack = ends.get(node as usize).copied().unwrap_or(0);
            let key = exact(&joined.tables.profile, index, stack);
            joined.exact.entry(key).or_insert(index);
            joined.by_size.entry((stack, size)).or_insert(index);
        }
        joined
    }

    /// Adds a site of the old profile.
    fn add(&mut self, old: &Profile, site: &Site, stack: StackId, ends: &[StackId]) {
        let allocator = old.text(site.allocator);
        let thread = old.threads.get(site.thread as usize);
        let thread = thread.map_or("", |&name| old.text(name));
        let key = (stack, site.size, allocator.into(), thread.into());
        let same = self
            .exact
            .get(&key)
            .or_else(|| self.by_size.get(&(stack, site.size)));
        let index = match same {
            Some(&index) => index,
            None => {
                let gone = Site {
                    node: self.node(old, site.node, ends),
                    allocator: self.tables.string(allocator),
                    thread: self.tables.thread(thread),
                    process: 0,
                    figures: Figures::default(),
                    old: Some(Box::default()),
                    size: site.size,
                };
                let sites = &mut self.tables.profile.sites;
                sites.push(gone);
                let index = sites.len() - 1;
                self.exact.insert(key, index);
                self.by_size.insert((stack, site.size), index);
                index
            }
        };
        if let Some(old) = &mut self.tables.profile.sites[index].old {
            old.add(&site.figures);
        }
    }

    /// The node of the new profile for a stack of the old one, which is added as far as it is missing.
    fn node(&mut self, old: &Profile, node: u32, ends: &[StackId]) -> u32 {
        // From the innermost function to one that is there.
        let mut missing = Vec::new();
        let mut next = node;
        let mut end = NONE;
        while let (Some(of_old), Some(&stack)) =
            (old.nodes.get(next as usize), ends.get(next as usize))
        {
            if let Some(&known) = self.nodes.get(&stack) {
                end = known;
                break;
            }
            missing.push((stack, of_old.frame));
            next = of_old.parent;
        }
        for (stack, frame) in missing.into_iter().rev() {
            let frame = self.frame(old, &old.frames[frame as usize]);
            end = self.tables.node(end, frame);
            self.nodes.insert(stack, end);
        }
        end
    }

    fn frame(&mut self, old: &Profile, frame: &Frame) -> u32 {
        let function = old.function(frame);
        let module = old.modules.get(function.module as usize).map(|module| {
            let path = self.tables.string(old.text(module.path));
            self.tables.module(Module {
                path,
                build_id: module.build_id.clone(),
            })
        });
        let name = self.tables.string(old.text(function.name));
        let file = self.tables.string(old.text(function.file));
        let function = self.tables.function(Function {
            name,
            file,
            module: module.unwrap_or(NONE),
        });
        self.tables.frame(Frame { function, ..*frame })
    }
}

fn exact(profile: &Profile, index: usize, stack: StackId) -> Exact {
    let site = &profile.sites[index];
    let thread = profile.threads.get(site.thread as usize);
    let thread = thread.map_or("", |&name| profile.text(name));
    (
        stack,
        site.size,
        profile.text(site.allocator).into(),
        thread.into(),
    )
}

#[cfg(test)]
#[path = "profiles_tests.rs"]
mod tests;
