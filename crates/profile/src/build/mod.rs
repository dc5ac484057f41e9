//! Converts a recording to a profile: names, lines and inlined functions are looked up here, once.

#[cfg(feature = "profiles")]
mod described;
mod detail;
mod ends;
mod gather;
mod listed;

pub use detail::{Depth, Detail, Grouping, Lines};

use crate::intern::Tables;
use crate::report::figures::Rate;
use crate::report::frames::FrameNames;
use crate::report::line::Line;
use crate::report::threads::thread_names;
use crate::{Frame, FrameKind, Function, LiveProcess, Module, NONE, Phase, Point, Profile, Str};
use ends::Ends;
use gather::{Gathered, Key};
use skipheap_format::cause::Cause;
use skipheap_format::layout::{FIRST_FRAME_ID, MOST_FRAMES, StackNode};
use skipheap_format::messages;
use skipheap_format::reader::{FormatError, Recording};
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::demangle::demangle;
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::places::Places;
use skipheap_text::printable;

/// The profile of a recording.
///
/// # Errors
/// Fails if the recording refers to a frame, a stack or a module that it does not contain.
pub fn profile(
    recording: &Recording<'_>,
    detail: Detail,
    symbolizer: &mut Symbolizer,
    places: &mut Places,
) -> Result<Profile, FormatError> {
    let mut tables = Tables::default();
    add(&mut tables, recording, detail, symbolizer, places)?;
    Ok(tables.profile)
}

/// Adds the process of a recording.
///
/// # Errors
/// Fails if the recording refers to a frame, a stack or a module that it does not contain.
pub fn add(
    tables: &mut Tables,
    recording: &Recording<'_>,
    detail: Detail,
    symbolizer: &mut Symbolizer,
    places: &mut Places,
) -> Result<(), FormatError> {
    let gathered = Gathered::new(recording, detail);
    let mut frames = FrameNames::new(recording);
    prepare(
        &mut frames,
        recording,
        detail,
        &gathered,
        symbolizer,
        places,
    )?;
    #[cfg(feature = "profiles")]
    let process = described::process(tables, recording);
    // The library's report does not describe the machine.
    #[cfg(not(feature = "profiles"))]
    let process = crate::Process {
        sample_bytes: recording.sample_bytes(),
        stack_depth: recording.stack_depth(),
        live: live(tables, recording),
        ..crate::Process::default()
    };
    tables.profile.processes.push(process);
    let mut adding = Adding {
        process: tables.profile.processes.len() as u32 - 1,
        tables,
        recording,
        detail,
        frames,
        symbolizer,
        places,
        steps: FastMap::default(),
        ends: Ends::default(),
    };
    adding.stacks()?;
    adding.sites(gathered)
}

/// Looks up the names of all frames that are needed, and their lines if requested.
fn prepare(
    frames: &mut FrameNames<'_, '_>,
    recording: &Recording<'_>,
    detail: Detail,
    gathered: &Gathered,
    symbolizer: &mut Symbolizer,
    places: &mut Places,
) -> Result<(), FormatError> {
    if detail.lines == Lines::Innermost {
        let innermost = gathered.keys.iter().map(Key::innermost);
        frames.prepare(innermost, symbolizer, Some(places))?;
    }
    if detail.leaks > 0 && recording.follows_blocks() && detail.lines != Lines::Everywhere {
        let listed = listed::frames(recording, gathered, detail.leaks)?;
        frames.prepare(listed.into_iter(), symbolizer, Some(places))?;
    }
    let places = (detail.lines == Lines::Everywhere).then_some(places);
    if recording.has_whole_stacks() && detail.stacks != Depth::CallSite {
        let ids = recording.stack_nodes().map(|(_, node)| node.frame);
        return frames.prepare(ids, symbolizer, places);
    }
    let ids = gathered.keys.iter().flat_map(|key| key.frames);
    frames.prepare(ids, symbolizer, places)
}

fn live(tables: &mut Tables, recording: &Recording<'_>) -> Option<LiveProcess> {
    let totals = recording.live_totals()?;
    let line = Line::of(recording)?;
    let since_start = |ns: u64| ns.saturating_sub(recording.start_ns());
    let point = |point: skipheap_format::layout::TimelinePoint| Point {
        ns: since_start(point.ns),
        ..Point::from(&point)
    };
    let phases = recording.phases().map(|phase| Phase {
        ns: since_start(phase.ns),
        allocations: phase.allocations,
        live_bytes: phase.live_bytes,
        label: tables.string(&printable(phase.label)),
    });
    Some(LiveProcess {
        peak_bytes: line.peak_bytes,
        peak_ns: line.peak_ns,
        unknown_frees: totals.unknown_frees,
        leak_checked: recording.leaks().is_some(),
        leaks_missed: recording.misses_leaks(),
        phases: phases.collect(),
        timeline: line.points.into_iter().map(point).collect(),
        lifetimes: None,
    })
}

/// A recording that is being converted into the profile's tables.
struct Adding<'a, 'r, 'b> {
    process: u32,
    tables: &'a mut Tables,
    recording: &'r Recording<'b>,
    detail: Detail,
    frames: FrameNames<'r, 'b>,
    symbolizer: &'a mut Symbolizer,
    places: &'a Places,
    /// Frames of the profile by frame id, outermost first.
    steps: FastMap<u32, Vec<u32>>,
    /// Nodes of the profile by stack node.
    ends: Ends,
}

impl Adding<'_, '_, '_> {
    /// Adds whole stacks, if every frame is needed.
    fn stacks(&mut self) -> Result<(), FormatError> {
        let recording = self.recording;
        if !recording.has_whole_stacks() || depth(recording, self.detail) < MOST_FRAMES {
            return Ok(());
        }
        // If no two ids are the same frame, no two stack nodes are the same node. The search for an
        // equal node would take longer than everything else.
        let mut are_apart = self.tables.profile.nodes.is_empty();
        let mut outermost: FastMap<u32, ()> = FastMap::default();
        for (_, node) in recording.stack_nodes() {
            if !self.steps.contains_key(&node.frame) {
                let first = self.frames_of(node.frame)?;
                are_apart &= first
                    .first()
                    .is_some_and(|&first| outermost.insert(first, ()).is_none());
                self.steps.insert(node.frame, first);
            }
        }
        for (id, StackNode { parent, frame }) in recording.stack_nodes() {
            let above = match self.ends.get(parent) {
                _ if parent == 0 => NONE,
                Some(above) => above,
                // The node was written after the snapshot had copied its position, so no site of
                // the snapshot refers to it.
                None if parent < id => continue,
                None => {
                    return Err(FormatError::Corrupt {
                        offset: u64::from(id) * size_of::<StackNode>() as u64,
                        what: "a stack whose caller comes behind it",
                    });
                }
            };
            let mut end = above;
            for &frame in self.steps.get(&frame).into_iter().flatten() {
                end = match are_apart {
                    true => self.tables.new_node(end, frame),
                    false => self.tables.node(end, frame),
                };
            }
            self.ends.push(id, end);
        }
        Ok(())
    }

    fn sites(&mut self, gathered: Gathered) -> Result<(), FormatError> {
        let recording = self.recording;
        let has_threads = self.detail.sites == Grouping::Origin || self.detail.totals;
        let mut threads: FastMap<u32, u32> = FastMap::default();
        if has_threads {
            let names = thread_names(recording, &mut self.frames, self.symbolizer)?;
            let names = names.iter();
            threads.extend(names.map(|(thread, name)| (*thread, self.tables.thread(name))));
        }
        let thread = |number: u32| threads.get(&number).copied().unwrap_or(NONE);
        let mut allocators: FastMap<u16, Str> = FastMap::default();
        let mut sites = gathered.sites;
        for (key, site) in gathered.keys.iter().zip(&mut sites) {
            site.node = self.end_of(key)?;
            site.process = self.process;
            site.thread = thread(site.thread);
            if self.detail.sites == Grouping::Origin {
                site.allocator = *allocators.entry(key.function).or_insert_with(|| {
                    let name = recording.function_name(key.function);
                    self.tables.string(&name.map(demangle).unwrap_or_default())
                });
            }
        }
        match self.tables.profile.sites.is_empty() {
            true => self.tables.profile.sites = sites,
            false => self.tables.profile.sites.append(&mut sites),
        }
        let process = self.tables.profile.processes.get_mut(self.process as usize);
        let Some(process) = process.filter(|_| self.detail.totals) else {
            return Ok(());
        };
        for (number, bytes) in gathered.thread_bytes {
            let name = thread(number);
            match process
                .thread_bytes
                .iter_mut()
                .find(|known| known.0 == name)
            {
                Some((_, sum)) => *sum = sum.saturating_add(bytes),
                None => process.thread_bytes.push((name, bytes)),
            }
        }
        let rate = Rate::new(recording.sample_bytes());
        if let Some(live) = process
            .live
            .as_mut()
            .filter(|_| self.detail.sites == Grouping::Size)
        {
            live.lifetimes = Some(Box::new(gathered.lifetimes.sum(rate)));
        }
        Ok(())
    }

    /// The node where a site's stack ends.
    fn end_of(&mut self, key: &Key) -> Result<u32, FormatError> {
        if key.node != 0
            && let Some(end) = self.ends.get(key.node)
        {
            return Ok(end);
        }
        let ids = key.stack(self.recording, depth(self.recording, self.detail))?;
        let mut end = NONE;
        for &id in ids.iter().rev() {
            end = self.step(end, id)?;
        }
        Ok(end)
    }

    /// Returns the node of a frame below the node of its caller.
    fn step(&mut self, mut node: u32, id: u32) -> Result<u32, FormatError> {
        if !self.steps.contains_key(&id) {
            let frames = self.frames_of(id)?;
            self.steps.insert(id, frames);
        }
        for &frame in self.steps.get(&id).into_iter().flatten() {
            node = self.tables.node(node, frame);
        }
        Ok(node)
    }

    fn frames_of(&mut self, id: u32) -> Result<Vec<u32>, FormatError> {
        if id < FIRST_FRAME_ID {
            let name = self.tables.string(&messages::cut(&Cause::<&str>::Code(id)));
            let function = self.function(name, 0, NONE);
            return Ok(vec![self.tables.frame(Frame {
                function,
                line: 0,
                kind: FrameKind::Marker,
                address: 0,
            })]);
        }
        let places = self.frames.functions(id, self.symbolizer, self.places)?;
        let address = self.frames.lookup(id)?;
        let module = match self.frames.module(id)? {
            None => NONE,
            Some(module) => {
                let path = self.tables.string(&printable(module.path));
                self.tables.module(Module {
                    path,
                    build_id: module.build_id.to_vec(),
                })
            }
        };
        let innermost_first = places.iter().enumerate();
        let frames = innermost_first.rev().map(|(index, place)| {
            let name = place.function.as_deref().unwrap_or("[inlined]");
            let name = self.tables.string(name);
            let file = self.tables.string(place.file.as_deref().unwrap_or(""));
            let function = self.function(name, file, module);
            self.tables.frame(Frame {
                function,
                line: place.line.unwrap_or(0),
                kind: match index + 1 == places.len() {
                    true => FrameKind::Physical,
                    false => FrameKind::Inlined,
                },
                address,
            })
        });
        Ok(frames.collect())
    }

    fn function(&mut self, name: Str, file: Str, module: u32) -> u32 {
        self.tables.function(Function { name, file, module })
    }
}

/// The number of frames that are needed of each stack.
fn depth(recording: &Recording<'_>, detail: Detail) -> u32 {
    match (detail.stacks, recording.stack_depth()) {
        (Depth::Whole, _) | (_, 0) => MOST_FRAMES,
        (Depth::CallSite | Depth::Shown, depth) => depth,
    }
}
