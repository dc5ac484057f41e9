//! A part of a profile: some of its processes, with what these need of the tables.

use super::intern::Tables;
use super::merge::with_texts;
use super::{Frame, Function, Module, NONE, Process, Profile, Site, Str};

impl Profile {
    /// The processes that are wanted, by index, with their sites.
    pub fn only(&self, wanted: impl Fn(u32) -> bool) -> Self {
        let mut part = Part {
            whole: self,
            tables: Tables::default(),
            nodes: vec![NONE; self.nodes.len()],
        };
        let mut processes = vec![NONE; self.processes.len()];
        for (index, process) in (0..).zip(&self.processes) {
            if wanted(index) {
                processes[index as usize] = part.tables.profile.processes.len() as u32;
                let process = part.process(process);
                part.tables.profile.processes.push(process);
            }
        }
        for site in &self.sites {
            let process = processes[site.process as usize];
            if process != NONE {
                let site = part.site(site, process);
                part.tables.profile.sites.push(site);
            }
        }
        Self {
            tool: self.tool.clone(),
            scaled: self.scaled,
            compared_with: self.compared_with.clone(),
            ..part.tables.profile
        }
    }
}

/// The part in the making.
struct Part<'p> {
    whole: &'p Profile,
    tables: Tables,
    /// The part's nodes by those of the whole, [`NONE`] of those that nobody asked for yet.
    nodes: Vec<u32>,
}

impl Part<'_> {
    fn text(&mut self, index: Str) -> Str {
        self.tables.string(self.whole.text(index))
    }

    fn process(&mut self, process: &Process) -> Process {
        with_texts(process, |index| self.text(index))
    }

    fn site(&mut self, site: &Site, process: u32) -> Site {
        let thread = match self.whole.threads.get(site.thread as usize) {
            Some(&name) => self.tables.thread(self.whole.text(name)),
            None => NONE,
        };
        Site {
            node: self.node(site.node),
            allocator: self.text(site.allocator),
            thread,
            process,
            ..site.clone()
        }
    }

    /// The node with those above it.
    fn node(&mut self, node: u32) -> u32 {
        let mut missing: Vec<u32> = Vec::new();
        let mut above = NONE;
        for (index, _) in self.whole.stack(node) {
            above = self.nodes[index as usize];
            if above != NONE {
                break;
            }
            missing.push(index);
        }
        for index in missing.into_iter().rev() {
            let frame = self.frame(self.whole.nodes[index as usize].frame);
            above = self.tables.node(above, frame);
            self.nodes[index as usize] = above;
        }
        above
    }

    fn frame(&mut self, index: u32) -> u32 {
        let frame = &self.whole.frames[index as usize];
        let Function { name, file, module } = *self.whole.function(frame);
        let module = self.whole.modules.get(module as usize).map(|module| {
            let path = self.text(module.path);
            self.tables.module(Module {
                path,
                build_id: module.build_id.clone(),
            })
        });
        let function = Function {
            name: self.text(name),
            file: self.text(file),
            module: module.unwrap_or(NONE),
        };
        let function = self.tables.function(function);
        self.tables.frame(Frame { function, ..*frame })
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::rows;
    use super::super::testing::{of_sites, small};
    use super::*;

    #[test]
    fn a_part_is_as_if_the_others_had_never_been_added() {
        let other = of_sites("other", &[(&["start", "parse", "take"], 8, 3, 0)]);
        let mut tables = Tables::of(small());
        tables.add(&other);
        tables.add(&small());
        let all = tables.profile;
        let middle = all.only(|process| process == 1);
        middle.check().expect("in order");
        assert_eq!(rows(&middle, true), rows(&other, true));
        assert_eq!(middle.strings.len(), other.strings.len());
        assert_eq!(middle.processes.len(), 1);
        assert_eq!(middle.text(middle.processes[0].program), "other");
        assert_eq!(middle.processes[0].losses, small().processes[0].losses);
        let outer = all.only(|process| process != 1);
        outer.check().expect("in order");
        assert_eq!(outer.nodes.len(), small().nodes.len());
        let calls =
            |profile: &Profile| rows(profile, true).iter().map(|row| row.calls).sum::<u64>();
        assert_eq!(calls(&outer), 2 * calls(&small()));
        assert_eq!(outer.sites[4].process, 1);
    }
}
