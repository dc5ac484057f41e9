//! The stacks of many profiles by the names of their functions.

use super::super::intern::Tables;
use super::super::{Frame, FrameKind, Function, Module, NONE, Str};
use super::Texts;
use skipheap_symbolize::hash::FastMap;

/// A frame below others, in the sum.
#[derive(Clone, Copy)]
struct Step {
    parent: u32,
    /// The nearest step with code of its own, itself included.
    physical: u32,
    /// As in the first profile that had it.
    function: Function,
    /// 0 when profiles disagree.
    line: u32,
    kind: FrameKind,
    /// Whether it is the very place of the nearest physical caller.
    is_same: bool,
    address: u64,
}

/// Caller, name, kind, line where lines are kept apart, and whether it is the very place of the nearest physical caller: recursion that the
/// CSV shows once (see [`super::super::Profile::call_site`]).
type StepKey = (u32, Str, FrameKind, u32, bool);

/// All stacks so far.
pub(super) struct Stacks {
    by_line: bool,
    steps: Vec<Step>,
    known: FastMap<StepKey, u32>,
}

impl Stacks {
    /// None yet.
    pub(super) fn new(by_line: bool) -> Self {
        Self {
            by_line,
            steps: Vec::new(),
            known: FastMap::default(),
        }
    }

    /// Adds the stacks of a profile and returns the steps of its nodes.
    pub(super) fn add(&mut self, tables: &mut Tables, texts: &mut Texts<'_>) -> Vec<u32> {
        let other = texts.profile;
        let names: Vec<Str> = other
            .functions
            .iter()
            .map(|function| texts.get(tables, function.name))
            .collect();
        // Of each node of the profile: its step, and the frame of the nearest node with code of its own.
        let mut steps: Vec<u32> = Vec::with_capacity(other.nodes.len());
        let mut physical: Vec<u32> = Vec::with_capacity(other.nodes.len());
        for node in &other.nodes {
            let frame = other.frames[node.frame as usize];
            let function = other.functions[frame.function as usize];
            let (parent, caller) = match node.parent {
                NONE => (NONE, NONE),
                parent => (steps[parent as usize], physical[parent as usize]),
            };
            let is_physical = frame.kind == FrameKind::Physical;
            let is_same = is_physical
                && other.frames.get(caller as usize).is_some_and(|caller| {
                    let module = other.functions[caller.function as usize].module;
                    (module, caller.address) == (function.module, frame.address)
                });
            physical.push(if is_physical { node.frame } else { caller });
            let name = names[frame.function as usize];
            let line = if self.by_line { frame.line } else { 0 };
            let key = (parent, name, frame.kind, line, is_same);
            // Runs of a program have most stacks in the same order: look behind the last one first, which is
            // near in memory as well.
            let guess = steps.last().map_or(0, |&last: &u32| last.wrapping_add(1));
            let next = self.steps.len() as u32;
            let step = match self.is(guess, key) {
                true => guess,
                false => *self.known.entry(key).or_insert(next),
            };
            if step == next {
                let step = self.new_step(tables, texts, key, frame);
                self.steps.push(step);
            } else {
                let known = &mut self.steps[step as usize];
                if known.line != frame.line {
                    known.line = 0;
                }
            }
            steps.push(step);
        }
        steps
    }

    /// Returns whether it is the step of this key.
    fn is(&self, step: u32, (parent, name, kind, line, is_same): StepKey) -> bool {
        self.steps.get(step as usize).is_some_and(|step| {
            let of_step = (step.parent, step.function.name, step.kind, step.is_same);
            // Where lines are kept apart, each step has the line of its key.
            of_step == (parent, name, kind, is_same) && (!self.by_line || step.line == line)
        })
    }

    /// A step that there was not yet.
    fn new_step(
        &self,
        tables: &mut Tables,
        texts: &mut Texts<'_>,
        (parent, name, kind, _, is_same): StepKey,
        frame: Frame,
    ) -> Step {
        let next = self.steps.len() as u32;
        let above = self.steps.get(parent as usize);
        let caller = above.and_then(|above| self.steps.get(above.physical as usize));
        let mut step = Step {
            parent,
            physical: match kind {
                FrameKind::Physical => next,
                _ => above.map_or(NONE, |above| above.physical),
            },
            function: function(tables, texts, name, frame),
            line: frame.line,
            kind,
            is_same,
            address: frame.address,
        };
        let Some(caller) = caller.filter(|_| kind == FrameKind::Physical) else {
            return step;
        };
        let place = |step: &Step| (step.function.module, step.address);
        if is_same {
            // Of its name, whatever was found for the other.
            step.function.module = caller.function.module;
            step.address = caller.address;
        } else if place(&step) == place(caller) {
            // Of other runs the same address is two places; here they have to stay two.
            step.address = u64::from(step.address == 0);
        }
        step
    }

    /// Fills the tables and returns the nodes of all steps.
    pub(super) fn finish(self, tables: &mut Tables) -> Vec<u32> {
        drop(self.known);
        let mut nodes: Vec<u32> = Vec::with_capacity(self.steps.len());
        for step in self.steps {
            let function = tables.function(step.function);
            let frame = tables.frame(Frame {
                function,
                line: step.line,
                kind: step.kind,
                address: step.address,
            });
            let parent = nodes.get(step.parent as usize).copied();
            nodes.push(tables.node(parent.unwrap_or(NONE), frame));
        }
        nodes
    }
}

/// The function of a frame in the tables of the sum.
fn function(tables: &mut Tables, texts: &mut Texts<'_>, name: Str, frame: Frame) -> Function {
    let other = texts.profile;
    let function = other.functions[frame.function as usize];
    let module = match other.modules.get(function.module as usize) {
        None => NONE,
        Some(module) => {
            let path = texts.get(tables, module.path);
            tables.module(Module {
                path,
                build_id: module.build_id.clone(),
            })
        }
    };
    Function {
        name,
        file: texts.get(tables, function.file),
        module,
    }
}
