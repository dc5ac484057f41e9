//! Checks that a profile is consistent. Every file that is read is checked, so other code need not.

use super::{NONE, Profile};
use skipheap_format::cause::Cause;

/// Most frames of a stack, inlined ones included. The library records 1,024 that are not inlined, and
/// no program is known in which one of them stands for 64.
const DEEPEST: u32 = 1 << 16;

/// What is wrong with a profile.
pub type Fault = &'static str;

impl Profile {
    /// Checks that every index points into its table, and that callers' nodes come before those they
    /// called.
    ///
    /// # Errors
    /// What is wrong, when something is.
    pub fn check(&self) -> Result<(), Fault> {
        let is_in = |index: u32, len: usize| (index as usize) < len;
        let is_in_or_none = |index: u32, len: usize| index == NONE || is_in(index, len);
        let ensure = |is_so: bool, fault: Fault| if is_so { Ok(()) } else { Err(fault) };
        ensure(
            self.strings.first().is_some_and(|first| first.is_empty()),
            "the first text is not the empty one",
        )?;
        let texts = self.strings.len();
        let in_order = |process: &super::Process| {
            let labels = &process.labels;
            labels.is_sorted_by(|a, b| self.text(a.0) < self.text(b.0))
        };
        ensure(
            self.processes.iter().all(in_order),
            "the labels of a process are not sorted by their keys, each once",
        )?;
        ensure(
            self.modules.iter().all(|module| is_in(module.path, texts))
                && self.threads.iter().all(|&name| is_in(name, texts))
                && self.processes.iter().all(|process| {
                    let names = [process.program, process.exe, process.host, process.os];
                    let causes = process.losses.iter().chain(&process.cuts);
                    let phases = process.live.iter().flat_map(|live| &live.phases);
                    let merged = process.merged.iter();
                    names
                        .into_iter()
                        .chain(
                            merged
                                .flat_map(|m| m.hosts.iter().chain(&m.builds))
                                .copied(),
                        )
                        .chain([process.arch])
                        .chain(process.command.iter().copied())
                        .chain(
                            process
                                .notes
                                .iter()
                                .flat_map(|note| note.texts().iter().copied()),
                        )
                        .chain(causes.filter_map(|(cause, _)| match cause {
                            Cause::Sentence(text) => Some(*text),
                            Cause::Code(_) => None,
                        }))
                        .chain(process.labels.iter().flat_map(|&(key, value)| [key, value]))
                        .chain(phases.map(|phase| phase.label))
                        .all(|text| is_in(text, texts))
                }),
            "something refers to a text that is not there",
        )?;
        ensure(
            self.functions.iter().all(|function| {
                is_in(function.name, texts)
                    && is_in(function.file, texts)
                    && is_in_or_none(function.module, self.modules.len())
            }),
            "a function refers to a text or a module that is not there",
        )?;
        ensure(
            self.frames
                .iter()
                .all(|frame| is_in(frame.function, self.functions.len())),
            "a frame refers to a function that is not there",
        )?;
        ensure(
            (0_u32..).zip(&self.nodes).all(|(index, node)| {
                (node.parent == NONE || node.parent < index) && is_in(node.frame, self.frames.len())
            }),
            "a stack refers to a frame that is not there, or to a caller behind it",
        )?;
        self.check_depths()?;
        ensure(
            self.sites.iter().all(|site| {
                is_in_or_none(site.node, self.nodes.len())
                    && is_in_or_none(site.thread, self.threads.len())
                    && is_in(site.process, self.processes.len())
                    && is_in(site.allocator, texts)
            }),
            "a site refers to a stack, a thread, a process or a text that is not there",
        )
    }

    /// Checks that no stack is deeper than [`DEEPEST`]: reports write each stack out, so that a file
    /// of a few kilobytes could stand for gigabytes. Callers come before those they called.
    fn check_depths(&self) -> Result<(), Fault> {
        let mut depths: Vec<u32> = Vec::with_capacity(self.nodes.len());
        for node in &self.nodes {
            let above = depths.get(node.parent as usize).map_or(0, |depth| *depth);
            if above >= DEEPEST {
                return Err("a stack is deeper than any that is recorded");
            }
            depths.push(above + 1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::small;
    use super::*;
    use crate::Node;

    #[test]
    fn what_points_nowhere_is_found() {
        small().check().expect("in order");
        type Damage = fn(&mut Profile);
        let damages: [(&str, Damage); 9] = [
            ("texts", |p| p.strings.clear()),
            ("module", |p| p.modules[0].path = 999),
            ("function", |p| p.functions[0].module = 7),
            ("frame", |p| p.frames[0].function = 99),
            ("cycle", |p| p.nodes[0].parent = 0),
            ("node", |p| p.nodes[1].frame = 99),
            ("stack", |p| p.sites[0].node = 99),
            ("process", |p| p.sites[0].process = 1),
            ("command", |p| p.processes[0].command = vec![999]),
        ];
        let deep = |p: &mut Profile| {
            let nodes = (0..=DEEPEST).map(|i| Node {
                parent: i.checked_sub(1).unwrap_or(NONE),
                frame: 0,
            });
            p.nodes = nodes.collect();
        };
        let mut profile = small();
        deep(&mut profile);
        assert_eq!(
            profile.check(),
            Err("a stack is deeper than any that is recorded")
        );
        for (what, damage) in damages {
            let mut profile = small();
            damage(&mut profile);
            assert!(profile.check().is_err(), "{what}");
        }
    }
}
