//! From a recording to a profile: names, lines and inlined functions are looked up here, once.

use super::intern::Tables;
use super::{
    Frame, FrameKind, Function, LiveProcess, Module, NONE, Phase, Point, Process, Site, Str,
};
use super::{redact, started};
use crate::report::cuts::cuts;
use crate::report::figures::{Figures, LiveSums};
use crate::report::frames::FrameNames;
use crate::report::handover::{Share, hand_over, owes};
use crate::report::leaked::LeaksBySite;
use crate::report::line::Line;
use crate::report::threads::thread_names;
use rustix::system::uname;
use skipheap_format::cause::Cause;
use skipheap_format::cut::Cut;
use skipheap_format::layout::{FIRST_FRAME_ID, MOST_FRAMES, StackNode};
use skipheap_format::loss::Loss;
use skipheap_format::messages;
use skipheap_format::reader::{FormatError, Recording, Site as Recorded};
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::demangle::demangle;
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::places::Places;
use skipheap_text::printable;

/// Adds the process of a recording.
///
/// # Errors
/// When the recording refers to a frame, a stack or a module that it does not hold.
pub fn add(
    tables: &mut Tables,
    recording: &Recording<'_>,
    symbolizer: &mut Symbolizer,
    places: &mut Places,
) -> Result<(), FormatError> {
    let mut frames = FrameNames::new(recording);
    if recording.has_whole_stacks() {
        let ids = recording.stack_nodes().map(|(_, node)| node.frame);
        frames.prepare(ids, symbolizer, Some(places))?;
    }
    let ids = recording.sites().flat_map(|site| site.frames);
    frames.prepare(ids, symbolizer, Some(places))?;
    let process = process(tables, recording);
    tables.profile.processes.push(process);
    let mut adding = Adding {
        process: tables.profile.processes.len() as u32 - 1,
        tables,
        frames,
        symbolizer,
        places,
        steps: FastMap::default(),
        ends: FastMap::default(),
    };
    adding.stacks(recording)?;
    adding.sites(recording)
}

/// What there is to say of the process besides its sites.
fn process(tables: &mut Tables, recording: &Recording<'_>) -> Process {
    let exe = printable(recording.exe());
    let arguments = recording.cmdline().split(|&byte| byte == 0);
    let mut words: Vec<String> = arguments.map(printable).collect();
    // The last one is ended by NUL as well.
    if words.last().is_some_and(String::is_empty) {
        words.pop();
    }
    let words = redact::command(words.iter().map(String::as_str));
    let command: Vec<Str> = words.iter().map(|word| tables.string(word)).collect();
    let machine = uname();
    let text = |text: &std::ffi::CStr| printable(text.to_bytes());
    let os = format!("{} {}", text(machine.sysname()), text(machine.release()));
    let losses = Loss::ALL
        .iter()
        .map(|loss| (Cause::Code(loss.code()), recording.loss(*loss)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let cuts = Cut::ALL
        .iter()
        .zip(cuts(recording))
        .map(|(cut, count)| (Cause::Code(cut.code()), count))
        .filter(|(_, count)| *count > 0)
        .collect();
    Process {
        program: tables.string(&printable(started::program(recording))),
        exe: tables.string(&exe),
        command,
        pid: recording.pid(),
        ppid: recording.ppid(),
        host: tables.string(&text(machine.nodename())),
        os: tables.string(&os),
        arch: tables.string(&text(machine.machine())),
        cpus: std::thread::available_parallelism().map_or(0, |cpus| cpus.get() as u32),
        start_ns: recording.start_ns(),
        end_ns: recording.end_ns(),
        finished: recording.finished(),
        whole_stacks: recording.has_whole_stacks(),
        stack_depth: recording.stack_depth(),
        sample_bytes: recording.sample_bytes(),
        live: live(tables, recording),
        losses,
        cuts,
        notes: recording
            .notes()
            .map(|note| note.map(|text| tables.string(&printable(text.as_bytes()))))
            .collect(),
        labels: Vec::new(),
        merged: None,
    }
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
    })
}

/// A recording on its way into the tables.
struct Adding<'a, 'r, 'b> {
    process: u32,
    tables: &'a mut Tables,
    frames: FrameNames<'r, 'b>,
    symbolizer: &'a mut Symbolizer,
    places: &'a Places,
    /// Frames of the profile by frame id, outermost first.
    steps: FastMap<u32, Vec<u32>>,
    /// Nodes of the profile by stack node.
    ends: FastMap<u32, u32>,
}

/// A stack, a size and a function: the same in each thread's records.
type SiteKey = ([u32; 4], u32, u64, u16);

fn key_of(site: &Recorded) -> SiteKey {
    (site.frames, site.node, site.size, site.function)
}

impl<'r> Adding<'_, 'r, '_> {
    /// Adds whole stacks, where every frame is wanted.
    fn stacks(&mut self, recording: &Recording<'_>) -> Result<(), FormatError> {
        if !recording.has_whole_stacks() || depth(recording) < MOST_FRAMES {
            return Ok(());
        }
        for (id, StackNode { parent, frame }) in recording.stack_nodes() {
            let above = match self.ends.get(&parent) {
                _ if parent == 0 => NONE,
                Some(&above) => above,
                // Written after a copy had passed its place: no site of that copy has it.
                None if parent < id => continue,
                None => {
                    return Err(FormatError::Corrupt {
                        offset: u64::from(id) * size_of::<StackNode>() as u64,
                        what: "a stack whose caller comes behind it",
                    });
                }
            };
            let end = self.step(above, frame)?;
            self.ends.insert(id, end);
        }
        Ok(())
    }

    fn sites(&mut self, recording: &'r Recording<'_>) -> Result<(), FormatError> {
        let leaks = LeaksBySite::new(recording);
        let names = thread_names(recording, &mut self.frames, self.symbolizer)?;
        let threads: FastMap<u32, u32> = names
            .iter()
            .map(|(thread, name)| (*thread, self.tables.thread(name)))
            .collect();
        // Records of the same site follow each other: each thread has one, and a thread's number may have
        // several, where a later thread took it over.
        let mut order: Vec<(SiteKey, u32, u64)> = recording
            .sites()
            .map(|site| (key_of(&site), site.thread, site.offset))
            .collect();
        order.sort_unstable();
        for records in order.chunk_by(|a, b| a.0 == b.0) {
            let mut shares = Vec::with_capacity(records.len());
            let mut known = None;
            for &(_, thread, offset) in records {
                let Some(site) = recording.site_at(offset) else {
                    continue;
                };
                let mut figures = Figures::of(&site, true, leaks.of(offset));
                let live = figures.live.take().unwrap_or_default();
                shares.push((figures, Share { thread, live }));
                known = Some(site);
            }
            let Some(site) = known else { continue };
            let node = self.end_of(recording, &site)?;
            let name = recording.function_name(site.function);
            let allocator = self.tables.string(&name.map(demangle).unwrap_or_default());
            for (thread, mut figures) in settled(shares, site.live.is_some()) {
                if let Some(live) = &mut figures.live {
                    live.forget_empty_lifetimes();
                }
                self.tables.profile.sites.push(Site {
                    node,
                    size: site.size,
                    allocator,
                    thread: threads.get(&thread).copied().unwrap_or(NONE),
                    process: self.process,
                    figures,
                    old: None,
                });
            }
        }
        Ok(())
    }

    /// The node where a site's stack ends.
    fn end_of(&mut self, recording: &Recording<'_>, site: &Recorded) -> Result<u32, FormatError> {
        if let Some(&end) = self.ends.get(&site.node) {
            return Ok(end);
        }
        let mut ids = recording.stack(site)?;
        ids.truncate(depth(recording) as usize);
        let mut end = NONE;
        for &id in ids.iter().rev() {
            end = self.step(end, id)?;
        }
        Ok(end)
    }

    /// From the node of a caller to that of a frame.
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

/// How many frames of each stack are wanted.
fn depth(recording: &Recording<'_>) -> u32 {
    match recording.stack_depth() {
        0 => MOST_FRAMES,
        depth => depth,
    }
}

/// The figures of a site by thread, with frees where the blocks came from.
fn settled(shares: Vec<(Figures, Share)>, has_live: bool) -> impl Iterator<Item = (u32, Figures)> {
    let mut by_thread: Vec<(u32, Figures, LiveSums)> = Vec::new();
    for (figures, share) in shares {
        match by_thread.iter_mut().find(|known| known.0 == share.thread) {
            Some(known) => {
                known.1.add(&figures);
                known.2.add(&share.live);
            }
            None => by_thread.push((share.thread, figures, share.live)),
        }
    }
    by_thread.sort_by_key(|share| share.0);
    let mut lives: Vec<Share> = by_thread
        .iter_mut()
        .map(|share| Share {
            thread: share.0,
            live: std::mem::take(&mut share.2),
        })
        .collect();
    if lives.iter().any(|share| owes(&share.live)) {
        hand_over(&mut lives);
    }
    by_thread
        .into_iter()
        .zip(lives)
        .map(move |((thread, mut figures, _), share)| {
            figures.live = has_live.then_some(share.live);
            (thread, figures)
        })
}
