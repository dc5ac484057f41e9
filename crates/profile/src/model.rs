//! The tables of a profile, and what can be read off them.

use crate::report::figures::{Figures, Lifetimes, LiveSums, Rate};
use crate::report::line::{self, Course, Together};
use skipheap_format::cause::Cause;
use skipheap_format::layout::{NOT_KNOWN, TimelinePoint};
use skipheap_format::note::Note;
use skipheap_symbolize::hash::FastMap;
use std::borrow::Cow;
use std::cmp::Reverse;

/// Index into [`Profile::strings`]; 0 is the empty text, "not known".
pub type Str = u32;

/// In place of an index: there is none.
pub const NONE: u32 = u32::MAX;

/// Everything that is known of a run: of one process, or of several together.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Profile {
    /// Name and version of what wrote it.
    pub tool: String,
    /// Every text once. The first is empty.
    pub strings: Vec<Box<str>>,
    /// In the order in which they began.
    pub processes: Vec<Process>,
    /// Object files.
    pub modules: Vec<Module>,
    /// Functions by name, file and module.
    pub functions: Vec<Function>,
    /// Places in functions.
    pub frames: Vec<Frame>,
    /// The call tree.
    pub nodes: Vec<Node>,
    /// Names of threads.
    pub threads: Vec<Str>,
    /// Allocations, each (node, size, allocator, thread, process) once.
    pub sites: Vec<Site>,
    /// Whether the figures of samples are scaled to estimates of the whole. See [`Profile::estimated`].
    pub scaled: bool,
    /// Where this is a comparison: what the older run was called. [`Site::old`] is its share.
    pub compared_with: Option<String>,
}

/// A process that was recorded.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Process {
    /// File name of the executable.
    pub program: Str,
    /// Its path.
    pub exe: Str,
    /// The command line.
    pub command: Vec<Str>,
    /// Process id.
    pub pid: u32,
    /// The parent's.
    pub ppid: u32,
    /// The machine that the report was made on, which is the one that ran the process unless the recording
    /// was carried there: name, operating system with release, architecture.
    pub host: Str,
    /// See [`Self::host`].
    pub os: Str,
    /// See [`Self::host`].
    pub arch: Str,
    /// Processors of that machine.
    pub cpus: u32,
    /// Start, nanoseconds since 1970.
    pub start_ns: u64,
    /// End, nanoseconds since 1970; 0 where it is not known.
    pub end_ns: u64,
    /// Whether the library saw the end.
    pub finished: bool,
    /// Whether whole stacks were recorded instead of four frames.
    pub whole_stacks: bool,
    /// Most frames that were to be shown of a stack.
    pub stack_depth: u32,
    /// Mean number of bytes between two samples; 0: every allocation was recorded.
    pub sample_bytes: u64,
    /// The live heap, where blocks were followed.
    pub live: Option<LiveProcess>,
    /// What is missing from the figures, and how often: codes of [`skipheap_format::loss::Loss`].
    pub losses: Vec<(Cause<Str>, u64)>,
    /// Allocations whose stacks were cut, by reason: codes of [`skipheap_format::cut::Cut`].
    pub cuts: Vec<(Cause<Str>, u64)>,
    /// What the library had to say.
    pub notes: Vec<Note<Str>>,
    /// What the user or the CI job calls the run: keys and values, sorted by key.
    pub labels: Vec<(Str, Str)>,
    /// Where this is a sum over the runs of a program: what they were. See [`crate::sum`].
    pub merged: Option<Merged>,
    /// Bytes by thread, an index into [`Profile::threads`] or [`NONE`], where sites do not have their threads;
    /// of a sample an estimate. Not in files, whose sites have them.
    #[cfg_attr(feature = "profiles", serde(skip))]
    pub thread_bytes: Vec<(u32, u64)>,
}

/// The runs that a process of a merged profile stands for.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Merged {
    /// How many.
    pub runs: u64,
    /// The machines, in the order of the alphabet.
    pub hosts: Vec<Str>,
    /// Build ids of the executables in hexadecimal digits, in the order of the alphabet.
    pub builds: Vec<Str>,
}

/// The live heap of a process as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct LiveProcess {
    /// Most live bytes at any moment: of a sample an estimate; 0 where that is not known.
    pub peak_bytes: u64,
    /// When that was, nanoseconds since 1970.
    pub peak_ns: u64,
    /// Frees of blocks that were not followed.
    pub unknown_frees: u64,
    /// Whether the leak check ran, so that [`leaked`](crate::report::figures::LiveSums::leaked) is
    /// known.
    pub leak_checked: bool,
    /// Whether the leak check could not check some or all blocks. The notes say why.
    pub leaks_missed: bool,
    /// The course of the heap, a line of steps whose highest point is `peak_bytes`.
    pub timeline: Vec<Point>,
    /// Labels that the program gave.
    pub phases: Vec<Phase>,
    /// Ages of all freed blocks, where sites do not have their own; of a sample an estimate. Not in files,
    /// whose sites have them.
    #[cfg_attr(feature = "profiles", serde(skip))]
    pub lifetimes: Option<Box<Lifetimes>>,
}

/// The state of the heap from a moment on, until the next point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Point {
    /// Nanoseconds since the start of the process.
    pub ns: u64,
    /// Allocations so far, or [`NOT_KNOWN`].
    pub allocations: u64,
    /// Live bytes.
    pub live_bytes: u64,
    /// Live blocks, or [`NOT_KNOWN`].
    pub live_blocks: u64,
    /// Resident set size in bytes, as it was read last before the next point; 0 when it is not known.
    pub rss: u64,
}

impl From<&TimelinePoint> for Point {
    /// The point, with its time by the clock of the recording.
    fn from(point: &TimelinePoint) -> Self {
        let &TimelinePoint {
            ns,
            allocations,
            live_bytes,
            live_blocks,
            rss,
        } = point;
        Self {
            ns,
            allocations,
            live_bytes,
            live_blocks,
            rss,
        }
    }
}

impl Point {
    /// Allocations so far, where they were counted.
    pub fn known_allocations(&self) -> Option<u64> {
        (self.allocations != NOT_KNOWN).then_some(self.allocations)
    }

    /// Live blocks, where they were counted.
    pub fn known_blocks(&self) -> Option<u64> {
        (self.live_blocks != NOT_KNOWN).then_some(self.live_blocks)
    }

    /// Resident set size in bytes, where it was read.
    pub fn known_rss(&self) -> Option<u64> {
        (self.rss != 0).then_some(self.rss)
    }
}

/// A label that the program gave to what comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Phase {
    /// Nanoseconds since the start of the process.
    pub ns: u64,
    /// Allocations so far.
    pub allocations: u64,
    /// Live bytes.
    pub live_bytes: u64,
    /// The label.
    pub label: Str,
}

/// An object file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Module {
    /// As the loader knew it.
    pub path: Str,
    /// Empty when the file has none.
    pub build_id: Vec<u8>,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Function {
    /// Demangled; never empty.
    pub name: Str,
    /// Source file.
    pub file: Str,
    /// Index of its module, or [`NONE`].
    pub module: u32,
}

/// A place in a function where it called the next one, or the allocator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Frame {
    /// Index of the function.
    pub function: u32,
    /// Line in its file; 0 where it is not known.
    pub line: u32,
    /// What kind of a frame it is.
    pub kind: FrameKind,
    /// To look names up by, as stated in the module's file (for a return address one less); 0 of a marker.
    pub address: u64,
}

/// Kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub enum FrameKind {
    /// Of a function with code of its own.
    Physical,
    /// Of a function that the compiler inlined into that of the nearest physical frame outwards.
    Inlined,
    /// No function, but why the stack ends here, at its root.
    Marker,
}

/// A frame below others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Node {
    /// Index of the caller's node, which is less than its own; [`NONE`] at a root.
    pub parent: u32,
    /// Index of the frame.
    pub frame: u32,
}

/// All allocations of one size from one stack in one thread.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Site {
    /// Index of the innermost node; [`NONE`] without a stack.
    pub node: u32,
    /// Size of each allocation in bytes.
    pub size: u64,
    /// The allocation function.
    pub allocator: Str,
    /// Index into [`Profile::threads`], or [`NONE`].
    pub thread: u32,
    /// Index into [`Profile::processes`].
    pub process: u32,
    /// What was counted: of a sample, unless [`Profile::scaled`], the sample alone.
    pub figures: Figures,
    /// The figures of the older run, in a comparison.
    pub old: Option<Box<Figures>>,
}

impl Site {
    /// Bytes of all its allocations.
    pub fn bytes(&self) -> u64 {
        self.size.saturating_mul(self.figures.calls)
    }
}

/// Who writes a profile.
pub const TOOL: &str = concat!("skip-heapprof ", env!("CARGO_PKG_VERSION"));

impl Default for Profile {
    fn default() -> Self {
        Self {
            tool: TOOL.to_owned(),
            strings: vec!["".into()],
            processes: Vec::new(),
            modules: Vec::new(),
            functions: Vec::new(),
            frames: Vec::new(),
            nodes: Vec::new(),
            threads: Vec::new(),
            sites: Vec::new(),
            scaled: false,
            compared_with: None,
        }
    }
}

impl Profile {
    /// With the figures of samples scaled to estimates of the whole, as every report shows them. (Files hold
    /// the samples, since estimates are rounded: they are made of sums.)
    pub fn estimated(&self) -> Cow<'_, Self> {
        if self.scaled || !self.is_sampled() {
            return Cow::Borrowed(self);
        }
        let mut scaled = self.clone();
        scaled.scaled = true;
        for site in &mut scaled.sites {
            let rate = self.rate_of(&self.processes[site.process as usize]);
            site.figures.scale(rate, site.size);
        }
        Cow::Owned(scaled)
    }

    /// The sites with estimates. Where figures are of samples, those of one stack and size are one, whatever
    /// their functions and threads: estimates are rounded, and so are made of sums.
    pub fn estimated_stacks(&self) -> Cow<'_, [Site]> {
        if self.scaled || !self.is_sampled() {
            return Cow::Borrowed(&self.sites);
        }
        let mut indices: FastMap<(u32, u32, u64), usize> = FastMap::default();
        let mut sums: Vec<Site> = Vec::new();
        for site in &self.sites {
            let key = (site.process, site.node, site.size);
            let index = *indices.entry(key).or_insert(sums.len());
            match sums.get_mut(index) {
                Some(sum) => sum.figures.add(&site.figures),
                None => sums.push(Site {
                    allocator: 0,
                    thread: NONE,
                    ..site.clone()
                }),
            }
        }
        for site in &mut sums {
            let rate = self.rate_of(&self.processes[site.process as usize]);
            site.figures.scale(rate, site.size);
        }
        Cow::Owned(sums)
    }

    /// Returns whether figures are of samples in any process.
    fn is_sampled(&self) -> bool {
        let mut processes = self.processes.iter();
        processes.any(|process| process.sample_bytes != 0)
    }

    /// The rate by which the figures of a process are scaled.
    pub fn rate_of(&self, process: &Process) -> Rate {
        match self.scaled {
            true => Rate::new(0),
            false => Rate::new(process.sample_bytes),
        }
    }

    /// The build id of a process's executable; empty where it has none, or is not known.
    pub fn build_id(&self, process: &Process) -> &[u8] {
        let own = |module: &&Module| module.path == process.exe;
        let module = self.modules.iter().find(own);
        module.map_or(&[], |module| &module.build_id)
    }

    /// A text.
    pub fn text(&self, index: Str) -> &str {
        self.strings.get(index as usize).map_or("", |text| text)
    }

    /// A cause with its text.
    pub fn cause(&self, cause: Cause<Str>) -> Cause<&str> {
        cause.map(|text| self.text(text))
    }

    /// A note with its texts.
    pub fn note(&self, note: &Note<Str>) -> Note<&str> {
        note.map(|&text| self.text(text))
    }

    /// The nodes of a site's stack, innermost first.
    pub fn stack(&self, node: u32) -> impl Iterator<Item = (u32, &Node)> {
        let mut next = node;
        std::iter::from_fn(move || {
            let index = next;
            let node = self.nodes.get(index as usize)?;
            next = node.parent;
            Some((index, node))
        })
    }

    /// The frame of a node.
    pub fn frame(&self, node: &Node) -> &Frame {
        &self.frames[node.frame as usize]
    }

    /// The function of a frame.
    pub fn function(&self, frame: &Frame) -> &Function {
        &self.functions[frame.function as usize]
    }

    /// The functions of the innermost four frames as the CSV has them: without inlined ones, direct
    /// recursion once. Indices into [`Self::functions`], [`NONE`] where the stack was shorter.
    pub fn call_site(&self, node: u32) -> [u32; 4] {
        let mut functions = [NONE; 4];
        let mut slots = functions.iter_mut();
        let mut last = None;
        for (_, node) in self.stack(node) {
            let frame = self.frame(node);
            let place = (self.function(frame).module, frame.address);
            if frame.kind != FrameKind::Physical || last == Some(place) {
                continue;
            }
            last = Some(place);
            let Some(slot) = slots.next() else { break };
            *slot = frame.function;
        }
        functions
    }

    /// Returns whether any process had a leak check.
    pub fn is_leak_checked(&self) -> bool {
        let mut lives = self
            .processes
            .iter()
            .filter_map(|process| process.live.as_ref());
        lives.any(|live| live.leak_checked)
    }

    /// The process with the highest peak: what lived at a peak, in sums over processes, lived at its. The only
    /// process, or the first one, where no peak is known.
    pub fn highest(&self) -> Option<u32> {
        let peaks = self.processes.iter();
        let peaks = peaks.map(|process| process.live.as_ref().map_or(0, |live| live.peak_bytes));
        let highest = (0..)
            .zip(peaks)
            .max_by_key(|&(index, peak)| (peak, Reverse(index)));
        highest.map(|(index, _)| index)
    }

    /// With what lived at the peak of [`Self::highest`] alone, for formats that add up processes.
    pub fn with_one_peak(&self) -> Cow<'_, Self> {
        if self.processes.len() < 2 || !self.has_live() {
            return Cow::Borrowed(self);
        }
        let highest = self.highest();
        let mut profile = self.clone();
        for site in &mut profile.sites {
            let old = site.old.as_mut().and_then(|old| old.live.as_mut());
            let lives = site.figures.live.iter_mut().chain(old);
            if highest != Some(site.process) {
                lives.for_each(LiveSums::forget_peak);
            }
        }
        Cow::Owned(profile)
    }

    /// The peak of all processes together, where they are several that have timelines.
    pub fn together(&self) -> Option<Together> {
        let courses = self.processes.iter().filter_map(|process| {
            let live = process.live.as_ref()?;
            let since_1970 = |point: &Point| process.start_ns.saturating_add(point.ns);
            Some(Course {
                points: live
                    .timeline
                    .iter()
                    .map(move |point| (since_1970(point), point.live_bytes)),
                end_ns: process.end_ns,
            })
        });
        line::together(courses)
    }

    /// Standard error, in bytes, of the peak of a process; 0 where that is exact.
    pub fn peak_error(&self, process: u32) -> f64 {
        let sample_bytes = |process: &Process| process.sample_bytes;
        let bytes = self.processes.get(process as usize).map_or(0, sample_bytes);
        if bytes == 0 {
            return 0.0;
        }
        let rate = Rate::new(bytes);
        let sites = self.sites.iter().filter(|site| site.process == process);
        let variances = sites.filter_map(|site| {
            let at_peak = site.figures.live.as_ref()?.at_peak as f64;
            let samples = match self.scaled {
                true => rate.sample(at_peak, site.size),
                false => at_peak,
            };
            Some(rate.variance(samples, site.size))
        });
        variances.sum::<f64>().max(0.0).sqrt()
    }

    /// Returns whether blocks were tracked in any process.
    pub fn has_live(&self) -> bool {
        self.processes.iter().any(|process| process.live.is_some())
    }
}
