//! Puts the hooks of one object in place: plans, trampolines, and the jumps to them.
//!
//! Runs in cold sections, while nobody can run the object's code: the program has one thread, or the
//! loader has just mapped the object.

use super::find::Object;
use super::leads::code_at;
use super::memory;
use super::paths;
use super::plan::{self, Padding, Plan, Tail};
use super::trampoline::{self, SHARED, SLOT};
use super::wanted::{Part, Piece, Target, piece_of};
use crate::arch::{self, hot};
use crate::unwind::is_code;
use crate::{process, unwind};
use iced_x86::Instruction;
use skipheap_config::hook_spec::Nested;
use skipheap_format::note::Reason;
use skipheap_symbolize::hash::FastMap;

/// A target and what became of it.
pub(crate) struct Hooked {
    pub(crate) target: Target,
    /// What [`skipheap_format::layout::SiteRecord::size`] says of its calls.
    pub(crate) index: u16,
    pub(crate) outcome: Result<(), Reason>,
    /// Its code: itself and its parts.
    pub(crate) ranges: Vec<(u64, u64)>,
    /// Copies that the compiler made of it, which are not hooked.
    pub(crate) copies: Vec<Vec<u8>>,
    /// Its trampoline.
    pub(crate) slot: u64,
    /// Where the displaced instructions were, and the first that is not.
    pub(crate) originals: Vec<u64>,
}

/// Longest padding that is looked at, in bytes: functions are aligned to 16 or 32.
const LONGEST_PADDING: u64 = 32;
/// How far from a function's entry padding can be of use to it.
const NEAR: u64 = 160;

/// The functions around the targets, for what lies between them.
struct Neighbours {
    /// First addresses of all functions, sorted.
    starts: Vec<u64>,
    /// Ends of all functions, sorted.
    ends: Vec<u64>,
}

/// A hook on its way.
struct Draft {
    plan: Plan,
    tails: Vec<Tail>,
    head: Vec<u8>,
    slot: u64,
}

/// The trampolines of one object.
#[derive(Clone)]
pub(crate) struct Region {
    start: usize,
    len: u64,
}

impl Region {
    /// Gives the memory back, and has nobody unwind by what was there. Nothing jumps there any more: the object is no longer mapped.
    pub(crate) fn unmap(&self) {
        if let Some(process) = process::process() {
            let start = self.start as u64;
            unwind::forget(process, start, start + self.len);
        }
        memory::unmap(self.start as *mut u8, self.len);
    }
}

/// Hooks `targets` of an object, each with its function's index, of which none has been hooked
/// before.
pub(crate) fn install(
    object: &Object,
    targets: Vec<(u16, Target)>,
) -> (Vec<Hooked>, Option<Region>) {
    let mut all: Vec<Hooked> = targets
        .into_iter()
        .map(|(index, target)| Hooked {
            ranges: vec![(target.start, target.start.saturating_add(target.size))],
            index,
            outcome: Ok(()),
            copies: Vec::new(),
            slot: 0,
            originals: Vec::new(),
            target,
        })
        .collect();
    let neighbours = look_around(object, &mut all);
    let mut plans = draft_plans(&mut all, &neighbours);
    if plans.iter().all(Option::is_none) {
        return (all, None);
    }
    let len = ((SHARED + all.len() * SLOT) as u64).next_multiple_of(4096);
    let Some(region) = memory::map_near(object.place.start, object.place.end, len) else {
        refuse_all(&mut all, Reason::NoMemoryNearIt);
        return (all, None);
    };
    let base = region as u64;
    let mut drafts: Vec<Option<Draft>> = Vec::new();
    for (i, (hooked, plan)) in all.iter().zip(plans.iter_mut()).enumerate() {
        let slot = base + (SHARED + i * SLOT) as u64;
        drafts.push(plan.take().map(|(plan, tails)| Draft {
            head: trampoline::head(
                &hooked.target.bytes,
                hooked.target.told,
                hooked.index,
                base,
                slot,
            ),
            plan,
            tails,
            slot,
        }));
    }
    let image = assemble(&mut all, &mut drafts, base);
    // SAFETY: the region was just mapped, writable and as long as the image.
    unsafe {
        core::ptr::copy_nonoverlapping(image.as_ptr(), region, image.len());
    }
    if !memory::make_executable(region, len) {
        memory::unmap(region, len);
        refuse_all(&mut all, Reason::NotExecutable);
        return (all, None);
    }
    let bypasses = bypasses(&all, &drafts);
    for (hooked, draft) in all.iter_mut().zip(&drafts) {
        if let Some(draft) = draft {
            let plan = &draft.plan;
            hooked.slot = draft.slot;
            hooked.originals = plan.displaced.iter().map(Instruction::ip).collect();
            hooked
                .originals
                .extend(plan.call.is_none().then_some(plan.resume));
        }
    }
    for (hooked, draft) in all.iter_mut().zip(&drafts) {
        if let Some(draft) = draft
            && !write_entry(draft)
        {
            hooked.outcome = Err(Reason::NotWritable);
        }
    }
    for tail in drafts.iter().flatten().flat_map(|draft| &draft.tails) {
        if let (Some(&bypass), Some(at)) = (bypasses.get(&tail.target), tail.displacement) {
            let distance = bypass.wrapping_sub(tail.next) as i32;
            // SAFETY: the displacement of a jump of a hooked function, which is not running; the
            // new target does what the old one does, without the hook.
            unsafe {
                memory::write_code(at, &distance.to_le_bytes());
            }
        }
    }
    let region = Region {
        start: region as usize,
        len,
    };
    (all, Some(region))
}

fn refuse_all(all: &mut [Hooked], why: Reason) {
    for hooked in all.iter_mut().filter(|hooked| hooked.outcome.is_ok()) {
        hooked.outcome = Err(why);
    }
}

/// Finds the parts of the targets, and where other functions begin and end.
fn look_around(object: &Object, all: &mut [Hooked]) -> Neighbours {
    let mut by_name: FastMap<Vec<u8>, usize> = FastMap::default();
    for (i, hooked) in all.iter().enumerate() {
        by_name.insert(hooked.target.name.clone(), i);
    }
    let mut neighbours = Neighbours {
        starts: Vec::new(),
        ends: Vec::new(),
    };
    object.functions(&mut |symbol| {
        neighbours.starts.push(symbol.start);
        neighbours
            .ends
            .push(symbol.start.saturating_add(symbol.size));
        let Some((name, piece)) = piece_of(symbol.name) else {
            return;
        };
        let Some(hooked) = by_name.get(name).and_then(|&i| all.get_mut(i)) else {
            return;
        };
        match piece {
            Piece::Part => hooked
                .ranges
                .push((symbol.start, symbol.start.saturating_add(symbol.size))),
            Piece::Copy => hooked.copies.push(symbol.name.to_vec()),
        }
    });
    neighbours.starts.sort_unstable();
    neighbours.ends.sort_unstable();
    neighbours
}

impl Neighbours {
    /// What is free near a function: the padding behind each of its neighbours.
    fn padding(&self, entry: u64) -> Vec<Padding> {
        let first = self.ends.partition_point(|&end| end + NEAR < entry);
        let mut ends: Vec<u64> = self
            .ends
            .iter()
            .skip(first)
            .copied()
            .take_while(|&end| end < entry + NEAR)
            .collect();
        ends.dedup();
        ends.retain(|&end| !self.is_inside(end));
        ends.into_iter()
            .filter_map(|end| {
                let next = self.starts.partition_point(|&start| start < end);
                let limit = self.starts.get(next).copied().unwrap_or(u64::MAX);
                let len = padding_in(end, limit.min(end.saturating_add(LONGEST_PADDING)))?;
                Some(Padding {
                    start: end,
                    end: end + len,
                })
            })
            .collect()
    }

    /// Returns whether the end of some function is inside another (a label with a size of its own).
    fn is_inside(&self, address: u64) -> bool {
        let begun = self.starts.partition_point(|&start| start < address);
        let ended = self.ends.partition_point(|&end| end <= address);
        begun != ended
    }
}

/// Bytes of padding at the beginning of a range.
fn padding_in(start: u64, end: u64) -> Option<u64> {
    let code = code_at(start, end.checked_sub(start)?)?;
    Some(plan::padding_len(code)).filter(|&len| len != 0)
}

type Planned = Option<(Plan, Vec<Tail>)>;

fn draft_plans(all: &mut [Hooked], neighbours: &Neighbours) -> Vec<Planned> {
    let mut used: Vec<u64> = Vec::new();
    let mut plans = Vec::new();
    for hooked in all {
        let target = &hooked.target;
        let mut padding = neighbours.padding(target.start);
        padding.retain(|room| !used.iter().any(|at| (room.start..room.end).contains(at)));
        let planned = plan_of(target, &padding);
        match planned {
            Ok(plan) => {
                used.extend(plan.relay);
                let mut tails = plan.tails.clone();
                for &(start, end) in hooked.ranges.get(1..).unwrap_or(&[]) {
                    tails.extend(tails_of(&Part {
                        start,
                        size: end - start,
                    }));
                }
                plans.push(Some((plan, tails)));
            }
            Err(why) => {
                hooked.outcome = Err(why);
                plans.push(None);
            }
        }
    }
    plans
}

fn plan_of(target: &Target, padding: &[Padding]) -> Result<Plan, Reason> {
    if target.is_indirect {
        return Err(Reason::Indirect);
    }
    if target.size == 0 {
        return Err(Reason::SizeUnknown);
    }
    let code = code_at(target.start, target.size).ok_or(Reason::CodeElsewhere)?;
    plan::plan(
        code,
        target.start,
        padding,
        !arch::has_shadow_stack(),
        |address| is_code(address, address + 1),
    )
}

fn tails_of(part: &Part) -> Vec<Tail> {
    code_at(part.start, part.size)
        .and_then(|code| plan::decode(code, part.start).ok())
        .map(|body| plan::tails(&body, part.start..part.start + part.size, [0, 0]))
        .unwrap_or_default()
}

/// Where jumps to hooked functions lead instead: their displaced code. Not to those of which every
/// call counts.
fn bypasses(all: &[Hooked], drafts: &[Option<Draft>]) -> FastMap<u64, u64> {
    let mut bypasses = FastMap::default();
    for (hooked, draft) in all.iter().zip(drafts) {
        if let Some(draft) = draft
            && hooked.target.nested == Nested::Outermost
        {
            let bypass = draft.slot + draft.head.len() as u64;
            bypasses.insert(draft.plan.entry, bypass);
            bypasses.insert(draft.plan.at, bypass);
        }
    }
    bypasses
}

/// The region's bytes. Drops the drafts whose displaced code cannot be moved.
fn assemble(all: &mut [Hooked], drafts: &mut [Option<Draft>], base: u64) -> Vec<u8> {
    loop {
        let mut image = trampoline::shared([
            paths::at_entry() as *const () as u64,
            paths::at_entry_of_object() as *const () as u64,
            hot::tell_at_entry as *const () as u64,
        ])
        .to_vec();
        let known = bypasses(all, drafts);
        let mut failed = false;
        for (hooked, slot) in all.iter_mut().zip(drafts.iter_mut()) {
            let start = image.len();
            if let Some(draft) = slot {
                let at = draft.slot + draft.head.len() as u64;
                debug_assert_eq!(base + start as u64, draft.slot);
                let tail = trampoline::tail(&draft.plan, at, |target| known.get(&target).copied());
                match tail {
                    Ok(tail) if draft.head.len() + tail.len() <= SLOT => {
                        image.extend_from_slice(&draft.head);
                        image.extend_from_slice(&tail);
                    }
                    Ok(_) => hooked.outcome = Err(Reason::TooLong),
                    Err(why) => hooked.outcome = Err(why),
                }
            }
            if hooked.outcome.is_err() && slot.take().is_some() {
                failed = true;
            }
            // int3
            image.resize(start + SLOT, 0xcc);
        }
        // Others may lead to the bypass of one that failed.
        if !failed {
            return image;
        }
    }
}

/// Writes the jump to the trampoline.
fn write_entry(draft: &Draft) -> bool {
    let entrance = trampoline::entrance(draft.slot);
    let near = |from: u64| {
        let mut jump = [0xe9, 0, 0, 0, 0];
        let distance = entrance.wrapping_sub(from + 5) as i32;
        jump[1..].copy_from_slice(&distance.to_le_bytes());
        jump
    };
    // SAFETY: the plan says that the bytes at `at` can be replaced, and that nothing runs through
    // those at `relay`; nobody else can run them now.
    unsafe {
        match draft.plan.relay {
            None => memory::write_code(draft.plan.at, &near(draft.plan.at)),
            Some(relay) => {
                let distance = relay.wrapping_sub(draft.plan.at + 2) as u8;
                memory::write_code(relay, &near(relay))
                    && memory::write_code(draft.plan.at, &[0xeb, distance])
            }
        }
    }
}
