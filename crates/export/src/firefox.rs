//! Firefox Profiler: native allocations of each process, and its live heap as a track of memory.
//!
//! That format has an entry for each allocation, with its moment and its address. What we have is counted by
//! site: all allocations of a site are one entry at the start with their bytes, and, where blocks were followed,
//! those that were freed another one with an entry for the frees, whose stack is not known. Addresses are numbers that tell
//! these entries apart; where blocks were not followed they are left out, since everything would seem to be retained.

use super::data;
use fxprof_processed_profile::{
    CategoryHandle, Frame, FrameFlags, FrameHandle, FrameInfo, ProcessHandle, ReferenceTimestamp,
    SamplingInterval, StackHandle, ThreadHandle, Timestamp,
};
use skipheap_profile::{NONE, Process, Profile, Site};
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

/// A profile of theirs.
type Theirs = fxprof_processed_profile::Profile;

/// Writes the profile.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let starts = profile.processes.iter().map(|process| process.start_ns);
    let start = starts.min().unwrap_or(0);
    let at = UNIX_EPOCH + Duration::from_nanos(start);
    let title = data::title(profile);
    // Nothing is sampled by time.
    let mut theirs = Theirs::new(
        &title,
        ReferenceTimestamp::from(at),
        SamplingInterval::from_millis(1),
    );
    theirs.set_symbolicated(true);
    if let Some(process) = profile.processes.first() {
        theirs.set_os_name(profile.text(process.os));
    }
    let mut sites: Vec<Vec<&Site>> = vec![Vec::new(); profile.processes.len()];
    for site in &profile.sites {
        sites[site.process as usize].push(site);
    }
    for (process, sites) in profile.processes.iter().zip(&sites) {
        add(&mut theirs, profile, process, start, sites);
    }
    if profile.has_live() {
        serde_json::to_writer(&mut *out, &theirs)?;
    } else {
        serde_json::to_writer(&mut *out, &without_addresses(&theirs)?)?;
    }
    out.write_all(b"\n")
}

/// Returns the profile with allocations that have no frees to be compared with.
fn without_addresses(theirs: &Theirs) -> io::Result<serde_json::Value> {
    let mut value = serde_json::to_value(theirs)?;
    let threads = value
        .get_mut("threads")
        .and_then(|threads| threads.as_array_mut());
    for thread in threads.into_iter().flatten() {
        let table = thread.get_mut("nativeAllocations");
        if let Some(table) = table.and_then(|table| table.as_object_mut()) {
            table.remove("memoryAddress");
            table.remove("threadId");
        }
    }
    Ok(value)
}

/// Adds a process with its allocations.
fn add(theirs: &mut Theirs, profile: &Profile, process: &Process, start: u64, sites: &[&Site]) {
    let since = |ns: u64| Timestamp::from_nanos_since_reference(ns.saturating_sub(start));
    let begin = since(process.start_ns);
    let name = profile.text(process.program);
    let handle = theirs.add_process(name, process.pid, begin);
    let thread = theirs.add_thread(handle, process.pid, begin, true);
    if process.end_ns != 0 {
        theirs.set_process_end_time(handle, since(process.end_ns));
        theirs.set_thread_end_time(thread, since(process.end_ns));
    }
    theirs.set_thread_name(thread, name);
    theirs.add_initial_visible_thread(thread);
    memory(theirs, process, handle, start);
    let mut stacks = Stacks {
        profile,
        thread,
        frames: vec![None; profile.functions.len()],
        stacks: vec![None; profile.nodes.len()],
    };
    let bytes =
        |blocks: u64, size: u64| i64::try_from(blocks.saturating_mul(size)).unwrap_or(i64::MAX);
    let mut address = 0;
    for site in sites {
        let stack = stacks.of(theirs, site.node);
        let live = site.figures.live.as_ref().map_or(0, |live| live.live());
        let gone = match site.figures.live {
            Some(_) => site.figures.calls.saturating_sub(live),
            None => 0,
        };
        let left = site.figures.calls - gone;
        let mut entry = |stack: Option<StackHandle>, address: u64, size: i64| {
            if size != 0 {
                theirs.add_allocation_sample(thread, begin, stack, address, size);
            }
        };
        address += 16;
        entry(stack, address, bytes(left, site.size));
        address += 16;
        entry(stack, address, bytes(gone, site.size));
        entry(None, address, -bytes(gone, site.size));
    }
}

/// The live heap by time.
fn memory(theirs: &mut Theirs, process: &Process, handle: ProcessHandle, start: u64) {
    let Some(live) = process
        .live
        .as_ref()
        .filter(|live| !live.timeline.is_empty())
    else {
        return;
    };
    let counter = theirs.add_counter(handle, "malloc", "Memory", "Live bytes");
    let at = |ns: u64| {
        let ns = process.start_ns.saturating_add(ns).saturating_sub(start);
        Timestamp::from_nanos_since_reference(ns)
    };
    let (mut bytes, mut allocations, mut last) = (0, 0, 0_u64);
    for point in &live.timeline {
        // They draw slopes: so that this is a step, the state before it is there until right before it.
        if point.live_bytes != bytes && point.ns > last.saturating_add(1) {
            theirs.add_counter_sample(counter, at(point.ns - 1), 0.0, 0);
        }
        let so_far = point.known_allocations().unwrap_or(allocations);
        let made = so_far.saturating_sub(allocations);
        theirs.add_counter_sample(
            counter,
            at(point.ns),
            point.live_bytes as f64 - bytes as f64,
            u32::try_from(made).unwrap_or(u32::MAX),
        );
        (bytes, allocations, last) = (point.live_bytes, so_far, point.ns);
    }
}

/// Stacks of a profile in a thread of theirs.
struct Stacks<'p> {
    profile: &'p Profile,
    thread: ThreadHandle,
    /// By function.
    frames: Vec<Option<FrameHandle>>,
    /// By node.
    stacks: Vec<Option<StackHandle>>,
}

impl Stacks<'_> {
    fn of(&mut self, theirs: &mut Theirs, node: u32) -> Option<StackHandle> {
        let mut missing = Vec::new();
        let mut stack = None;
        for (index, node) in self.profile.stack(node) {
            if let Some(known) = self.stacks[index as usize] {
                stack = Some(known);
                break;
            }
            missing.push((index, self.profile.frame(node).function));
        }
        for (index, function) in missing.into_iter().rev() {
            let frame = self.frame(theirs, function);
            let below = theirs.intern_stack(self.thread, stack, frame);
            self.stacks[index as usize] = Some(below);
            stack = Some(below);
        }
        debug_assert!(stack.is_some() || node == NONE);
        stack
    }

    fn frame(&mut self, theirs: &mut Theirs, function: u32) -> FrameHandle {
        if let Some(known) = self.frames[function as usize] {
            return known;
        }
        let name = self
            .profile
            .text(self.profile.functions[function as usize].name);
        let frame = FrameInfo {
            frame: Frame::Label(theirs.intern_string(name)),
            category_pair: CategoryHandle::OTHER.into(),
            flags: FrameFlags::empty(),
        };
        let frame = theirs.intern_frame(self.thread, frame);
        self.frames[function as usize] = Some(frame);
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use skipheap_profile::testing::small;

    fn file(profile: &Profile) -> Value {
        let mut bytes = Vec::new();
        write(profile, &mut bytes).expect("written");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    fn weights(thread: &Value) -> Vec<i64> {
        let weights = thread["nativeAllocations"]["weight"]
            .as_array()
            .expect("weights");
        weights
            .iter()
            .map(|weight| weight.as_i64().expect("bytes"))
            .collect()
    }

    #[test]
    fn allocations_and_frees_of_a_site_are_paired_and_the_rest_is_retained() {
        let file = file(&small());
        let weights = weights(&file["threads"][0]);
        assert_eq!(weights, [240, 160, -160, 64, -64, 4096, 112, -112]);
        let table = &file["threads"][0]["nativeAllocations"];
        assert_eq!(table["memoryAddress"][1], table["memoryAddress"][2]);
        assert_eq!(table["stack"][2], Value::Null);
        assert_eq!(file["counters"][0]["category"], "Memory");
        assert_eq!(file["meta"]["product"], "program -n");
    }

    #[test]
    fn what_was_not_followed_is_not_said_to_be_retained() {
        let mut profile = small();
        profile.processes[0].live = None;
        for site in &mut profile.sites {
            site.figures.live = None;
        }
        let file = file(&profile);
        assert_eq!(weights(&file["threads"][0]), [400, 64, 4096, 112]);
        assert_eq!(
            file["threads"][0]["nativeAllocations"].get("memoryAddress"),
            None
        );
    }
}
