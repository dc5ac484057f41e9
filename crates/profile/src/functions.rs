//! The allocations of a run by the function that is responsible for them: for everything that people look at. The
//! CSV keeps the call sites.

use crate::report::collapsed::Value;
use crate::report::figures::Figures;
use crate::report::interner::Interner;
use crate::report::rows::Row;
use crate::{FrameKind, Profile, Str};
use skipheap_responsible::{Kind, Plumbing, Site, fold, group, is_unnamed, wrappers_in};
use skipheap_symbolize::hash::FastMap;
use skipheap_text::{grouped, printable_text as printable};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::sync::OnceLock;

/// What the user said of plumbing, for whoever is not told.
static PLUMBING: OnceLock<Plumbing> = OnceLock::new();

/// Has [`plumbing`] return the table with the user's corrections. The first call decides.
pub fn correct_plumbing(plumbing: Plumbing) {
    PLUMBING.get_or_init(|| plumbing);
}

/// The table of plumbing with the user's corrections.
pub fn plumbing() -> Plumbing {
    PLUMBING.get().cloned().unwrap_or_default()
}

/// Frames that are looked at of a stack: so many containers in each other have no name that tells anything.
const DEEPEST: usize = 32;

/// Frames that are kept beyond the first one that is not plumbing: its callers, and what is found to be plumbing
/// after all.
const BEYOND: usize = 6;

/// Figures by stacks of names, innermost first, and sizes.
#[derive(Clone, Default)]
pub struct StackSums {
    interner: Interner,
    /// Each stack once, by numbers of its names.
    stacks: HashMap<Box<[u32]>, u32>,
    /// By the number of the stack and the size.
    sums: HashMap<(u32, u64), skipheap_responsible::Figures>,
    /// Bytes by names of threads, of processes that have several.
    threads: BTreeMap<String, u64>,
}

/// All allocations that a function is responsible for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Function {
    /// Its demangled name; empty where there was no stack.
    pub name: String,
    /// Whether it is plumbing whose callers were not recorded.
    pub is_beyond: bool,
    /// The plumbing that it calls, that with the most allocations first.
    pub via: Vec<String>,
    /// Its callers in the largest site, innermost first.
    pub callers: Vec<String>,
    /// Sums.
    pub figures: skipheap_responsible::Figures,
    /// Different sizes.
    pub sizes: usize,
    /// The size with the most allocations.
    pub commonest: u64,
    /// Where it allocates, as file and line, the place with the most bytes first; only where
    /// [`Functions::add_places`] has added them.
    pub places: Vec<String>,
}

/// The functions of a run.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    /// Those with the most of what was asked for first.
    pub all: Vec<Function>,
    /// Bytes of which only plumbing was recorded.
    pub beyond_bytes: u64,
    /// Bytes of all.
    pub bytes: u64,
    /// Threads and their bytes, those with the most first.
    pub threads: Vec<(String, u64)>,
}

/// Callers of a responsible function that are shown.
const CALLERS: usize = 4;

/// Returns whether a function is where stacks begin, which says nothing.
fn is_root(name: &str) -> bool {
    Plumbing::new().kind(name) == Kind::Root
}

/// A number of a kind.
pub fn figure(figures: &skipheap_responsible::Figures, value: Value) -> u64 {
    match value {
        Value::Bytes => figures.bytes,
        Value::Calls => figures.calls,
        Value::Live => figures.live,
        Value::LiveBlocks => figures.live_blocks,
        Value::Peak => figures.peak,
        Value::Temporary => figures.temporary,
    }
}

fn figures_of(figures: &Figures, size: u64) -> skipheap_responsible::Figures {
    let live = figures.live.as_ref();
    let left = live.map_or(0, |live| live.live());
    let peak = live.map_or(0, |live| live.peak());
    skipheap_responsible::Figures {
        calls: figures.calls,
        bytes: size.saturating_mul(figures.calls),
        live: left.saturating_mul(size),
        live_blocks: left,
        peak: peak.saturating_mul(size),
        peak_blocks: peak,
        temporary: live.map_or(0, |live| live.temporary),
    }
}

/// The names of a site's functions as the CSV has them, innermost first: without inlined ones, direct recursion once.
fn names_of(profile: &Profile, node: u32) -> Vec<Str> {
    let frames = profile.stack(node).map(|(_, node)| profile.frame(node));
    let mut last = None;
    let mut names = Vec::new();
    for frame in frames.filter(|frame| frame.kind == FrameKind::Physical) {
        let function = profile.function(frame);
        let place = (function.module, frame.address);
        if last == Some(place) {
            continue;
        }
        if names.len() == DEEPEST {
            break;
        }
        last = Some(place);
        names.push(function.name);
    }
    names
}

/// Numbers of names, and whether each is plumbing, while the stacks of a profile are gone through.
#[derive(Default)]
struct OwnNames {
    plumbing: Plumbing,
    known: FastMap<Str, (u32, bool)>,
}

impl OwnNames {
    /// The names of a stack up to some beyond the first that is not plumbing.
    fn stack(&mut self, profile: &Profile, node: u32, interner: &mut Interner) -> Box<[u32]> {
        let mut end = usize::MAX;
        let mut stack = Vec::new();
        for (at, name) in names_of(profile, node).into_iter().enumerate() {
            if at >= end {
                break;
            }
            let (number, is_plumbing) = *self.known.entry(name).or_insert_with(|| {
                let text = profile.text(name);
                let is_plumbing = self.plumbing.kind(text).is_plumbing();
                (interner.number(&text.into()), is_plumbing)
            });
            if !is_plumbing {
                end = end.min(at + BEYOND);
            }
            stack.push(number);
        }
        stack.into()
    }
}

/// Bytes by the name of the thread, of each process.
fn threads_of(profile: &Profile) -> Vec<HashMap<&str, u64>> {
    let mut threads: Vec<HashMap<&str, u64>> = vec![HashMap::new(); profile.processes.len()];
    let mut add = |process: u32, thread: u32, bytes: u64| {
        let name = profile.threads.get(thread as usize);
        let name = name.map_or("", |&name| profile.text(name));
        let sum = threads[process as usize].entry(name).or_default();
        *sum = sum.saturating_add(bytes);
    };
    for site in &profile.sites {
        let process = &profile.processes[site.process as usize];
        if process.thread_bytes.is_empty() {
            let calls = profile
                .rate_of(process)
                .whole(site.figures.calls, site.size);
            add(site.process, site.thread, calls.saturating_mul(site.size));
        }
    }
    for (index, process) in (0..).zip(&profile.processes) {
        for &(thread, bytes) in &process.thread_bytes {
            add(index, thread, bytes);
        }
    }
    threads
}

/// Who is responsible for a site of a profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The function; 0 where there was no stack.
    pub function: Str,
    /// The plumbing that it called; 0 where there is none.
    pub via: Str,
}

/// Who is responsible for each site of a profile.
pub fn by_site(profile: &Profile, plumbing: &Plumbing) -> Vec<Who> {
    let mut stacks: HashMap<u32, Vec<Str>> = HashMap::new();
    for site in &profile.sites {
        stacks
            .entry(site.node)
            .or_insert_with(|| names_of(profile, site.node));
    }
    let texts: HashMap<u32, Vec<&str>> = stacks
        .iter()
        .map(|(&node, stack)| (node, stack.iter().map(|&name| profile.text(name)).collect()))
        .collect();
    let text = |node: u32| texts.get(&node).map_or(&[][..], |stack| stack);
    let mut plumbing = plumbing.clone();
    plumbing.meet(texts.values().flatten().copied());
    let sites = profile.sites.iter();
    let sites: Vec<(&[&str], u64)> = sites.map(|site| (text(site.node), site.size)).collect();
    let found = wrappers_in(&sites, &plumbing);
    plumbing.add_found(found);
    let mut kinds: HashMap<&str, Kind> = HashMap::new();
    let mut who: HashMap<u32, Who> = HashMap::new();
    for (&node, names) in &stacks {
        let texts = text(node);
        let of = texts
            .iter()
            .map(|&name| *kinds.entry(name).or_insert_with(|| plumbing.kind(name)));
        let of: Vec<Kind> = of.collect();
        let is_unnamed = |at: usize| texts.get(at).is_some_and(|name| is_unnamed(name));
        let found = Plumbing::responsible(&of, is_unnamed);
        let name = |at: usize| names.get(at).copied().unwrap_or(0);
        let found = found.map(|found| Who {
            function: name(found.at),
            via: found.via.map_or(0, name),
        });
        who.insert(node, found.unwrap_or_default());
    }
    let of = |site: &crate::Site| who.get(&site.node).copied().unwrap_or_default();
    profile.sites.iter().map(of).collect()
}

/// A stack of a profile in one line, from its responsible function outwards: `load (via xmalloc) ← main`.
pub fn stack_in_one_line(profile: &Profile, node: u32, who: Who) -> String {
    let owned = |name: Str| profile.text(name).to_owned();
    let names = names_of(profile, node);
    let at = names.iter().position(|&name| name == who.function);
    let callers = at.and_then(|at| names.get(at + 1..)).unwrap_or(&[]);
    let function = Function {
        name: owned(who.function),
        via: (who.via != 0).then(|| owned(who.via)).into_iter().collect(),
        callers: callers.iter().map(|&name| owned(name)).collect(),
        ..Function::default()
    };
    function.in_one_line()
}

impl StackSums {
    /// Those of rows, which have four names at most.
    pub fn of_rows(rows: &[Row]) -> Self {
        let mut sums = Self::default();
        for row in rows {
            let figures = Figures {
                calls: row.calls,
                samples: row.samples,
                variance: row.variance,
                live: row.live.clone(),
            };
            let names = row.names.iter().flatten();
            let stack = names.map(|name| sums.interner.number(name)).collect();
            sums.add_stack(stack, row.size, figures_of(&figures, row.size));
        }
        sums
    }

    /// Those of a profile, with estimates where it is of samples.
    pub fn of_profile(profile: &Profile) -> Self {
        let mut sums = Self::default();
        let mut names = OwnNames::default();
        let mut stacks: FastMap<u32, u32> = FastMap::default();
        let highest = profile.highest();
        for site in profile.estimated_stacks().iter() {
            if site.figures.calls == 0 {
                continue;
            }
            let stack = *stacks.entry(site.node).or_insert_with(|| {
                let stack = names.stack(profile, site.node, &mut sums.interner);
                sums.stack(stack)
            });
            let mut figures = figures_of(&site.figures, site.size);
            if highest != Some(site.process) {
                (figures.peak, figures.peak_blocks) = (0, 0);
            }
            *sums.sums.entry((stack, site.size)).or_default() += figures;
        }
        for threads in threads_of(profile) {
            sums.add_threads(&threads);
        }
        sums
    }

    /// Leaves out what lived at the peak of the processes so far.
    pub fn forget_peak(&mut self) {
        for figures in self.sums.values_mut() {
            (figures.peak, figures.peak_blocks) = (0, 0);
        }
    }

    /// Adds those of other processes, with what lived at their peak if `has_peak`.
    pub fn add(&mut self, other: &Self, has_peak: bool) {
        let mut stacks: HashMap<u32, Box<[u32]>> = HashMap::new();
        for (stack, &number) in &other.stacks {
            let names = stack.iter().filter_map(|&name| other.interner.name(name));
            let own = names.map(|name| self.interner.number(&name));
            stacks.insert(number, own.collect());
        }
        for ((stack, size), figures) in &other.sums {
            let stack = stacks.get(stack).cloned().unwrap_or_default();
            let mut figures = *figures;
            if !has_peak {
                (figures.peak, figures.peak_blocks) = (0, 0);
            }
            self.add_stack(stack, *size, figures);
        }
        for (name, bytes) in &other.threads {
            self.add_thread(name, *bytes);
        }
    }

    fn add_stack(&mut self, stack: Box<[u32]>, size: u64, figures: skipheap_responsible::Figures) {
        let number = self.stack(stack);
        *self.sums.entry((number, size)).or_default() += figures;
    }

    /// The number of a stack.
    fn stack(&mut self, stack: Box<[u32]>) -> u32 {
        let next = self.stacks.len() as u32;
        *self.stacks.entry(stack).or_insert(next)
    }

    /// Adds the threads of a process, where there are several.
    fn add_threads(&mut self, threads: &HashMap<&str, u64>) {
        if threads.len() > 1 {
            for (name, &bytes) in threads {
                self.add_thread(name, bytes);
            }
        }
    }

    fn add_thread(&mut self, name: &str, bytes: u64) {
        let sum = self.threads.entry(name.to_owned()).or_default();
        *sum = sum.saturating_add(bytes);
    }

    /// Returns a copy of the sums in which the functions named in `names` have new names.
    pub fn renamed(&self, names: &HashMap<Rc<str>, Rc<str>>) -> Self {
        let mut renamed = Self::default();
        let mut stacks: HashMap<u32, Box<[u32]>> = HashMap::new();
        for (stack, &number) in &self.stacks {
            let own = stack.iter().filter_map(|&name| self.interner.name(name));
            let new = own.map(|name| names.get(&name).cloned().unwrap_or(name));
            let new = new.map(|name| renamed.interner.number(&name));
            stacks.insert(number, new.collect());
        }
        for ((stack, size), figures) in &self.sums {
            let stack = stacks.get(stack).cloned().unwrap_or_default();
            renamed.add_stack(stack, *size, *figures);
        }
        renamed.threads.clone_from(&self.threads);
        renamed
    }

    /// The responsible functions, those with the most of `value` first.
    pub fn functions(&self, plumbing: &Plumbing, value: Value) -> Functions {
        self.grouped(&self.with_found(plumbing), value)
    }

    /// The plumbing with what these stacks and sizes say of wrappers that nobody listed.
    pub fn with_found(&self, plumbing: &Plumbing) -> Plumbing {
        let names = self.interner.all();
        let mut plumbing = plumbing.clone();
        plumbing.meet(names.iter().map(|name| &**name));
        let stacks = self.named_stacks();
        let stack = |number: u32| stacks.get(number as usize).map_or(&[][..], |stack| stack);
        let sites = self
            .sums
            .keys()
            .map(|&(number, size)| (stack(number), size));
        let found = wrappers_in(&sites.collect::<Vec<_>>(), &plumbing);
        plumbing.add_found(found);
        plumbing
    }

    /// The names of each stack, by its number.
    fn named_stacks(&self) -> Vec<Vec<&str>> {
        let names = self.interner.all();
        let name = |&number: &u32| -> &str {
            let at = (number as usize).checked_sub(1);
            at.and_then(|at| names.get(at)).map_or("", |name| name)
        };
        let mut stacks: Vec<Vec<&str>> = vec![Vec::new(); self.stacks.len()];
        for (stack, &number) in &self.stacks {
            if let Some(slot) = stacks.get_mut(number as usize) {
                *slot = stack.iter().map(name).collect();
            }
        }
        stacks
    }

    /// Groups the sums by responsible function, with `value` as the order. `plumbing` is the finished
    /// table, including the wrappers that were found in the data.
    pub fn grouped(&self, plumbing: &Plumbing, value: Value) -> Functions {
        let stacks = self.named_stacks();
        let mut sites: Vec<Site<'_>> = self
            .sums
            .iter()
            .map(|(&(stack, size), figures)| Site {
                stack: stacks.get(stack as usize).map_or(&[], |stack| stack),
                size,
                figures: *figures,
            })
            .collect();
        sites.sort_unstable_by(|a, b| {
            let key = |site: &Site<'_>| (Reverse(site.figures.bytes), site.size);
            key(a).cmp(&key(b)).then_with(|| a.stack.cmp(b.stack))
        });
        let groups = group(&sites, plumbing, |figures| figure(figures, value));
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        let mut functions = Functions::default();
        for group in groups {
            let bytes = group.figures.bytes;
            functions.bytes = functions.bytes.saturating_add(bytes);
            if group.is_beyond {
                functions.beyond_bytes = functions.beyond_bytes.saturating_add(bytes);
            }
            functions.all.push(Function {
                name: group.name.to_owned(),
                is_beyond: group.is_beyond,
                via: owned(group.via),
                callers: owned(group.callers),
                figures: group.figures,
                sizes: group.sizes,
                commonest: group.commonest,
                places: Vec::new(),
            });
        }
        let threads = self
            .threads
            .iter()
            .map(|(name, &bytes)| (name.clone(), bytes));
        functions.threads = threads.filter(|(_, bytes)| *bytes > 0).collect();
        functions.threads.sort_by_key(|(_, bytes)| Reverse(*bytes));
        functions
    }
}

/// Where each responsible function of a profile allocates, by its name: source files and lines with their
/// bytes.
fn places(profile: &Profile) -> HashMap<Str, HashMap<(Str, u32), u64>> {
    let mut found: HashMap<Str, HashMap<(Str, u32), u64>> = HashMap::new();
    let who = by_site(profile, &plumbing());
    for (site, who) in profile.sites.iter().zip(who) {
        let frames = profile
            .stack(site.node)
            .map(|(_, node)| profile.frame(node));
        let mut frames = frames.filter(|frame| frame.kind == FrameKind::Physical);
        let own = frames.find(|frame| profile.function(frame).name == who.function);
        let Some(own) = own.filter(|own| own.line != 0) else {
            continue;
        };
        let place = (profile.function(own).file, own.line);
        let sums = found.entry(who.function).or_default();
        let sum = sums.entry(place).or_default();
        *sum = sum.saturating_add(site.bytes());
    }
    found
}

impl Functions {
    /// Adds the source lines where the functions allocate, of the profile that they are those of.
    pub fn add_places(&mut self, profile: &Profile) {
        let mut by_name: HashMap<&str, Vec<String>> = HashMap::new();
        for (name, sums) in places(profile) {
            let mut sums: Vec<((Str, u32), u64)> = sums.into_iter().collect();
            sums.sort_unstable_by_key(|&(place, bytes)| (Reverse(bytes), place));
            let shown = sums.into_iter().map(|((file, line), _)| {
                let file = profile.text(file);
                format!("{}:{line}", file.rsplit('/').next().unwrap_or(file))
            });
            by_name.insert(profile.text(name), shown.collect());
        }
        for function in &mut self.all {
            if let Some(places) = by_name.remove(&*function.name) {
                function.places = places;
            }
        }
    }

    /// The `most` functions with the largest numbers of a kind, without those that have none.
    pub fn largest(&self, value: Value, most: usize) -> Vec<&Function> {
        let has =
            |function: &&Function| value == Value::Bytes || figure(&function.figures, value) > 0;
        let mut found: Vec<&Function> = self.all.iter().filter(has).collect();
        found.sort_by_key(|function| Reverse(figure(&function.figures, value)));
        found.truncate(most);
        found
    }
}

impl Function {
    /// The name for a terminal; `-` where there was no stack.
    pub fn shown(&self) -> String {
        match &*self.name {
            "" => "-".to_owned(),
            name => printable(&fold(name)),
        }
    }

    /// Callers up to [`CALLERS`] without where stacks begin. Of a function without a name, the first one that has a
    /// name tells more than those that have none.
    fn telling_callers(&self) -> &[String] {
        let end = self.callers.iter().position(|name| is_root(name));
        let callers = self
            .callers
            .get(..end.unwrap_or(self.callers.len()))
            .unwrap_or(&[]);
        let named = callers.iter().position(|name| !is_unnamed(name));
        let first = match named {
            Some(first) if is_unnamed(&self.name) => first,
            _ => 0,
        };
        let callers = callers.get(first..).unwrap_or(&[]);
        callers.get(..CALLERS).unwrap_or(callers)
    }

    /// The plumbing for a terminal: `xmalloc`, `xmalloc, …`. Of a function without a name it says less than its
    /// callers.
    pub fn shown_via(&self) -> Option<String> {
        if is_unnamed(&self.name) && self.telling_callers().iter().any(|name| !is_unnamed(name)) {
            return None;
        }
        let first = printable(&fold(self.via.first()?));
        Some(match self.via.len() {
            1 => first,
            _ => format!("{first}, …"),
        })
    }

    /// Where it allocates for a terminal: `a.c:12`, `a.c:12 (+2)` where there are two other places.
    pub fn shown_place(&self) -> Option<String> {
        let first = printable(self.places.first()?);
        Some(match self.places.len() {
            1 => first,
            many => format!("{first} (+{})", many - 1),
        })
    }

    /// The callers for a terminal, innermost first.
    pub fn shown_callers(&self) -> Vec<String> {
        match self.is_beyond {
            true => vec!["…".to_owned()],
            false => {
                let callers = self.telling_callers();
                let mut shown: Vec<String> =
                    callers.iter().map(|name| printable(&fold(name))).collect();
                // Some are left out between.
                if !callers.is_empty() && self.callers.first() != callers.first() {
                    shown.insert(0, "…".to_owned());
                }
                shown
            }
        }
    }

    /// All of it in one line: `load (via xmalloc) ← main`.
    pub fn in_one_line(&self) -> String {
        let via = self
            .shown_via()
            .map_or(String::new(), |via| format!(" (via {via})"));
        let mut text = format!("{}{via}", self.shown());
        for caller in self.shown_callers() {
            text += " ← ";
            text += &caller;
        }
        text
    }

    /// Sizes for a cell: `16`, or `16 (+2)` where there are two others.
    pub fn shown_sizes(&self) -> String {
        let commonest = grouped(self.commonest);
        match self.sizes {
            0 | 1 => commonest,
            many => format!("{commonest} (+{})", grouped(many as u64 - 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::LiveSums;
    use crate::testing::of_sites;

    fn row(names: [&str; 2], size: u64, calls: u64, at_peak: i64) -> Row {
        let [first, second] = names;
        Row {
            names: [Some(first.into()), Some(second.into()), None, None],
            size,
            calls,
            total: size * calls,
            live: Some(LiveSums {
                followed: calls,
                at_peak,
                ..LiveSums::default()
            }),
            ..Row::default()
        }
    }

    #[test]
    fn sizes_of_a_function_are_added_up() {
        let rows = [
            row(["xmalloc", "load"], 100, 1, 1),
            row(["xmalloc", "load"], 16, 3, 0),
            row(["parse", "main"], 120, 1, 1),
        ];
        let functions = StackSums::of_rows(&rows).functions(&Plumbing::new(), Value::Bytes);
        let load = &functions.all[0];
        assert_eq!(
            (&*load.name, load.figures.bytes, load.figures.calls),
            ("load", 148, 4)
        );
        assert_eq!(
            (load.shown_sizes(), load.shown_via()),
            ("16 (+1)".to_owned(), Some("xmalloc".to_owned()))
        );
        assert_eq!(functions.bytes, 268);
        let at_peak: Vec<&str> = functions
            .largest(Value::Peak, 9)
            .iter()
            .map(|function| &*function.name)
            .collect();
        assert_eq!(at_peak, ["parse", "load"]);
    }

    #[test]
    fn each_site_of_a_profile_has_its_function() {
        let sites: &[(&[&str], u64, u64, u64)] = &[
            (&["main", "load", "xmalloc"], 8, 1, 0),
            (&["main"], 16, 1, 0),
        ];
        let profile = of_sites("p", sites);
        let who = by_site(&profile, &Plumbing::new());
        let names: Vec<[&str; 2]> = who
            .iter()
            .map(|who| [profile.text(who.function), profile.text(who.via)])
            .collect();
        assert_eq!(names, [["load", "xmalloc"], ["main", ""]]);
        let line = |site: usize| stack_in_one_line(&profile, profile.sites[site].node, who[site]);
        assert_eq!([line(0), line(1)], ["load (via xmalloc) ← main", "main"]);
        let functions = StackSums::of_profile(&profile).functions(&Plumbing::new(), Value::Bytes);
        let names: Vec<&str> = functions
            .all
            .iter()
            .map(|function| &*function.name)
            .collect();
        assert_eq!(names, ["main", "load"]);
    }

    #[test]
    fn a_function_without_a_name_is_told_by_its_caller_that_has_one() {
        let names = |name: &str, callers: &[&str]| {
            let function = Function {
                name: name.to_owned(),
                via: vec!["xmalloc".to_owned()],
                callers: callers.iter().map(|&name| name.to_owned()).collect(),
                ..Function::default()
            };
            function.in_one_line()
        };
        let callers = ["a.so+0x20", "parse", "main", "_start"];
        assert_eq!(names("a.so+0x10", &callers), "a.so+0x10 ← … ← parse ← main");
        assert_eq!(
            names("a.so+0x10", &callers[1..]),
            "a.so+0x10 ← parse ← main"
        );
        assert_eq!(
            names("a.so+0x10", &callers[..1]),
            "a.so+0x10 (via xmalloc) ← a.so+0x20"
        );
        assert_eq!(
            names("load", &callers),
            "load (via xmalloc) ← a.so+0x20 ← parse ← main"
        );
    }

    #[test]
    fn a_function_is_shown_with_the_line_that_allocates_most() {
        let mut profile = of_sites(
            "p",
            &[
                (&["main", "load", "xmalloc"], 8, 1, 0),
                (&["main", "other", "xmalloc"], 16, 1, 0),
            ],
        );
        // The same function at another line.
        let node = profile.nodes[profile.sites[0].node as usize].parent;
        let mut frame = *profile.frame(&profile.nodes[node as usize]);
        frame.line = 99;
        let mut caller = profile.nodes[node as usize];
        caller.frame = profile.frames.len() as u32;
        profile.frames.push(frame);
        profile.nodes.push(caller);
        let mut innermost = profile.nodes[profile.sites[0].node as usize];
        innermost.parent = profile.nodes.len() as u32 - 1;
        profile.nodes.push(innermost);
        let mut site = profile.sites[0].clone();
        (site.node, site.size) = (profile.nodes.len() as u32 - 1, 100);
        profile.sites.push(site);
        let mut functions =
            StackSums::of_profile(&profile).functions(&Plumbing::new(), Value::Bytes);
        functions.add_places(&profile);
        let shown: Vec<_> = functions
            .all
            .iter()
            .map(|function| (&*function.name, function.shown_place()))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown,
            [
                ("load", some("main.c:99 (+1)")),
                ("other", some("main.c:11"))
            ]
        );
    }

    #[test]
    fn two_processes_are_added_up() {
        let one = StackSums::of_rows(&[row(["load", "main"], 8, 1, 0)]);
        let mut sum = one.clone();
        sum.add(&one, true);
        let functions = sum.functions(&Plumbing::new(), Value::Calls);
        assert_eq!(functions.all.len(), 1);
        assert_eq!(functions.all[0].figures.calls, 2);
    }

    #[test]
    fn what_the_user_says_is_plumbing_is_plumbing() {
        let sums = StackSums::of_rows(&[
            row(["xmalloc", "take"], 8, 1, 0),
            row(["take", "main"], 8, 1, 0),
        ]);
        let of = |plumbing: &Plumbing| -> Vec<String> {
            let functions = sums.functions(plumbing, Value::Bytes);
            functions
                .all
                .into_iter()
                .map(|function| function.name)
                .collect()
        };
        assert_eq!(of(&Plumbing::new()), ["take"]);
        assert_eq!(
            of(&Plumbing::corrected([] as [&str; 0], ["xmalloc"])),
            ["take", "xmalloc"]
        );
        assert_eq!(
            of(&Plumbing::corrected(["take"], [] as [&str; 0])),
            ["main", "take"]
        );
    }
}
