//! Several profiles as one: texts, functions and stacks are shared, processes stay apart.

use super::intern::Tables;
use super::{Frame, Function, Module, NONE, Process, Profile, Site, Str};
use skipheap_format::cause::Cause;
use skipheap_format::note::Note;

impl Tables {
    /// Adds the processes of another profile and their sites. A comparison is added as its newer run.
    pub fn add(&mut self, other: &Profile) {
        debug_assert_eq!(self.profile.scaled, other.scaled);
        let strings: Vec<Str> = other.strings.iter().map(|text| self.string(text)).collect();
        let text = |index: Str| strings[index as usize];
        let or_none = |table: &[u32], index: u32| match index {
            NONE => NONE,
            index => table[index as usize],
        };
        let modules: Vec<u32> = other
            .modules
            .iter()
            .map(|module| {
                self.module(Module {
                    path: text(module.path),
                    build_id: module.build_id.clone(),
                })
            })
            .collect();
        let functions: Vec<u32> = other
            .functions
            .iter()
            .map(|function| {
                self.function(Function {
                    name: text(function.name),
                    file: text(function.file),
                    module: or_none(&modules, function.module),
                })
            })
            .collect();
        let frames: Vec<u32> = other
            .frames
            .iter()
            .map(|frame| {
                self.frame(Frame {
                    function: functions[frame.function as usize],
                    ..*frame
                })
            })
            .collect();
        let mut nodes: Vec<u32> = Vec::with_capacity(other.nodes.len());
        for node in &other.nodes {
            let parent = or_none(&nodes, node.parent);
            nodes.push(self.node(parent, frames[node.frame as usize]));
        }
        let threads: Vec<u32> = other
            .threads
            .iter()
            .map(|&name| self.thread(other.text(name)))
            .collect();
        let first = self.profile.processes.len() as u32;
        for process in &other.processes {
            let process = with_texts(process, text);
            self.profile.processes.push(process);
        }
        for site in &other.sites {
            self.profile.sites.push(Site {
                node: or_none(&nodes, site.node),
                allocator: text(site.allocator),
                thread: or_none(&threads, site.thread),
                process: first + site.process,
                old: None,
                ..site.clone()
            });
        }
    }
}

/// Returns a process with its texts in another table.
pub(super) fn with_texts(process: &Process, mut text: impl FnMut(Str) -> Str) -> Process {
    let mut process = process.clone();
    let counted = process.losses.iter_mut().chain(&mut process.cuts);
    let phases = process.live.iter_mut().flat_map(|live| &mut live.phases);
    let merged = process.merged.iter_mut();
    for index in [
        &mut process.program,
        &mut process.exe,
        &mut process.host,
        &mut process.os,
        &mut process.arch,
    ]
    .into_iter()
    .chain(&mut process.command)
    .chain(process.notes.iter_mut().flat_map(Note::texts_mut))
    .chain(
        process
            .labels
            .iter_mut()
            .flat_map(|(key, value)| [key, value]),
    )
    .chain(merged.flat_map(|merged| merged.hosts.iter_mut().chain(&mut merged.builds)))
    .chain(counted.filter_map(|counted| match &mut counted.0 {
        Cause::Sentence(text) => Some(text),
        Cause::Code(_) => None,
    }))
    .chain(phases.map(|phase| &mut phase.label))
    {
        *index = text(*index);
    }
    process
}

#[cfg(test)]
mod tests {
    use super::super::rows::rows;
    use super::super::testing::small;
    use super::*;

    #[test]
    fn the_sum_has_the_rows_of_both_and_one_table() {
        let one = small();
        let mut tables = Tables::of(one.clone());
        tables.add(&one);
        let both = tables.profile;
        both.check().expect("in order");
        assert_eq!(both.functions, one.functions);
        assert_eq!(both.nodes, one.nodes);
        assert_eq!(both.processes.len(), 2);
        let doubled: Vec<u64> = rows(&one, true).iter().map(|row| 2 * row.calls).collect();
        let calls: Vec<u64> = rows(&both, true).iter().map(|row| row.calls).collect();
        assert_eq!(calls, doubled);
    }
}
