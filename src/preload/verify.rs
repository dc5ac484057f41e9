//! The stack verifier: compares one stack in so many with what a second unwinder sees, while the
//! program runs (`SKIP_HEAP_VERIFY=1/1000`).
//!
//! While it is on, no thread finds the bounds of its stack, so each allocation leaves the hot path at
//! its first test and comes here. When it is off, nothing of it is on the way.
//!
//! [`fn@walk`] may run at any moment, as the walks; the comparison is a cold section.

use crate::process::{self, Process};
use crate::settings::settings;
use crate::thread::cold_section;
use crate::unwind::{Frames, Seen, Wanted, by_libgcc, careful_walk, walk};
use crate::{log, stack};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use skipheap_config::settings::{VERIFY, VERIFY_VALUES};
use skipheap_format::layout::FIRST_FRAME_ID;
use skipheap_format::messages;
use skipheap_format::note::{Kind, Note};
use skipheap_format::reader::Recording;
use skipheap_format::verified::Verified;

/// Stacks walked so far.
static WALKED: AtomicU64 = AtomicU64::new(0);
/// An example was noted, of each kind below.
static NOTED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];
/// libgcc saw other frames.
const DIFFERENT: usize = 0;
/// libgcc went on where our stack is cut.
const SHORTER: usize = 1;
/// Our own two walks saw different frames.
const CARELESS: usize = 2;

/// Returns whether stacks are compared. Call it only in a program that is profiled.
pub(crate) fn is_on() -> bool {
    settings().verify != 0
}

/// Says that the setting's value is none that we know.
pub(crate) fn warn_of_bad_setting() {
    if settings().bad_verify {
        log::line(&[
            b"heap profiler: ",
            VERIFY.as_bytes(),
            b" must be one of: ",
            VERIFY_VALUES.as_bytes(),
            b"; comparing none",
        ]);
    }
}

/// The walk of the hot path, in its longer form, and now and then the comparison.
///
/// # Safety
/// `entry` points at the return address of the call being recorded, `bp` is the caller's rbp.
pub(crate) unsafe fn walk(process: &Process, entry: *const u64, bp: u64) -> Frames {
    let own = stack::own_bounds(entry as usize);
    // SAFETY: as the caller promises; the stack is readable from `entry` to its end.
    let (frames, careful) = unsafe {
        match own {
            Some(bounds) => (walk::walk(entry, bp, bounds.hi as u64), false),
            None => (careful_walk(entry, bp), true),
        }
    };
    if is_turn() {
        cold_section(|| {
            let theirs = by_libgcc(process, entry as u64 + 8, Wanted::Four);
            compare(process, &ids(frames), theirs, Wanted::Four);
        });
        if !careful {
            // SAFETY: `entry` is readable, as it was for the first walk.
            let again = unsafe { careful_walk(entry, bp) };
            if again != frames {
                cold_section(|| disagree_with_ourselves(process, &ids(frames), &ids(again)));
            }
        }
    }
    frames
}

/// Now and then compares a whole stack. `ours` gives its frames as they were recorded and as our careful walk
/// sees them, or `None` when they are no longer there; `entry` is that of the recorded call. Where the recorded one is cut, a marker stands behind it.
pub(crate) fn whole(ours: impl FnOnce() -> Option<(Vec<u32>, Vec<u32>)>, entry: *const u64) {
    if !is_turn() {
        return;
    }
    let Some(process) = process::process() else {
        return;
    };
    cold_section(|| {
        let Some((recorded, careful)) = ours() else {
            return;
        };
        let theirs = by_libgcc(process, entry as u64 + 8, Wanted::Whole);
        compare(process, &recorded, theirs, Wanted::Whole);
        if recorded != careful {
            disagree_with_ourselves(process, &recorded, &careful);
        }
    });
}

/// Returns whether this is one of the stacks that are compared.
fn is_turn() -> bool {
    let every = u64::from(settings().verify);
    WALKED.fetch_add(1, Relaxed).is_multiple_of(every.max(1))
}

fn disagree_with_ourselves(process: &Process, recorded: &[u32], careful: &[u32]) {
    process.recording.count(Verified::Different as usize, 1);
    let kind = Kind::DisagreesWithCarefulWalk;
    note(process, kind, recorded, careful, CARELESS);
}

/// The ids in a walk's result, up to the end of the stack.
fn ids(frames: Frames) -> Vec<u32> {
    let Frames { first, second } = frames;
    let ids = [first, first >> 32, second, second >> 32].map(|id| id as u32);
    let mut ids: Vec<u32> = ids.into_iter().take_while(|&id| id != 0).collect();
    // A root is repeated to the end.
    ids.dedup();
    ids
}

/// What came of a comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Same,
    Different,
    /// We stopped, and said so in the record, where libgcc went on.
    OursShorter,
    /// libgcc stopped at code without unwind information, as that of a JIT, and we went on along
    /// frame pointers. (Where it stopped at code that has some, we are [`Outcome::Different`].)
    TheirsShorter,
}

/// Compares the frames of a walk with those of the second unwinder. Fewer than were wanted say that the stack ends
/// behind them, or is cut there.
fn judge(ours: &[u32], theirs: &Seen, wanted: Wanted) -> Outcome {
    let end = (ours.len() < wanted.most().0).then_some(0);
    for (i, our) in ours.iter().copied().chain(end).enumerate() {
        let cut = our != 0 && our < FIRST_FRAME_ID;
        match theirs.ids.get(i) {
            Some(_) if cut => return Outcome::OursShorter,
            Some(&their) if our != their => return Outcome::Different,
            Some(_) => {}
            // Both stop here.
            None if our == 0 || cut => return Outcome::Same,
            None if theirs.at_root => return Outcome::Different,
            None => return Outcome::TheirsShorter,
        }
    }
    Outcome::Same
}

fn compare(process: &Process, ours: &[u32], theirs: Seen, wanted: Wanted) {
    let recording = &process.recording;
    if !theirs.found {
        // The unwinder did not come as far as the recorded call.
        recording.count(Verified::TheirsShorter as usize, 1);
        return;
    }
    let outcome = judge(ours, &theirs, wanted);
    let (counter, example) = match outcome {
        Outcome::Same => (Verified::Same, None),
        Outcome::Different => (Verified::Different, Some(DIFFERENT)),
        Outcome::OursShorter => (Verified::OursShorter, Some(SHORTER)),
        Outcome::TheirsShorter => (Verified::TheirsShorter, None),
    };
    recording.count(counter as usize, 1);
    if let Some(example) = example {
        note(
            process,
            Kind::DisagreesWithLibgcc,
            ours,
            &theirs.ids,
            example,
        );
    }
}

/// Keeps the first example of a disagreement, as a note for the summary.
fn note(process: &Process, kind: Kind, ours: &[u32], theirs: &[u32], example: usize) {
    if NOTED
        .get(example)
        .is_none_or(|noted| noted.swap(true, Relaxed))
    {
        return;
    }
    let bytes = process.recording.snapshot();
    let Ok(recording) = Recording::parse(&bytes) else {
        return;
    };
    let stacks = [ours, theirs].map(|ids| stack_text(&recording, ids));
    let note = Note::new(kind, stacks);
    let _ = process.recording.add_note(&note);
    if settings().session.get().is_empty() {
        log::line(&[b"heap profiler: ", messages::note(&note).as_bytes()]);
    }
}

/// Return addresses as `module+0x1234`, innermost first. Four at least, as far as there are that many.
fn stack_text(recording: &Recording<'_>, ids: &[u32]) -> String {
    let ends = core::iter::repeat_n(0, 4_usize.saturating_sub(ids.len()));
    let texts: Vec<String> = ids
        .iter()
        .copied()
        .chain(ends)
        .map(|id| {
            let Some(frame) = recording.frame(id).ok().filter(|_| id >= FIRST_FRAME_ID) else {
                return if id == 0 {
                    "end".into()
                } else {
                    format!("cut {id}")
                };
            };
            let module = recording.module(frame.module).ok();
            let path = module.as_ref().map_or(&b"[unknown]"[..], |m| m.path);
            let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
            format!("{}+{:#x}", name.escape_ascii(), frame.address)
        })
        .collect();
    texts.join(" <- ")
}

/// Says at the end of the process what came of it, where the tool does not.
pub(crate) fn report(recording: &Recording<'_>) {
    if is_on() && settings().session.get().is_empty() {
        let counts = Verified::ALL.map(|what| recording.counter(what as usize));
        log::line(&[b"heap profiler: ", messages::verified(&counts).as_bytes()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stacks_are_judged_up_to_where_both_lead() {
        let seen = |ids: &[u32], at_root| Seen {
            ids: ids.to_vec(),
            at_root,
            found: true,
        };
        let judge = |ours: &[u32], theirs| super::judge(ours, theirs, Wanted::Four);
        let all = seen(&[500, 501, 502, 503], false);
        let judged = |ours: &[u32]| judge(ours, &all);
        assert_eq!(judged(&[500, 501, 502, 503]), Outcome::Same);
        assert_eq!(judged(&[500, 501, 502, 504]), Outcome::Different);
        // The end of the stack is a claim; a cut is none.
        assert_eq!(judged(&[500, 501]), Outcome::Different);
        assert_eq!(judged(&[500, 501, 1]), Outcome::OursShorter);
        let ended = seen(&[500, 501], true);
        assert_eq!(judge(&[500, 501], &ended), Outcome::Same);
        assert_eq!(judge(&[500, 501, 1], &ended), Outcome::Same);
        assert_eq!(judge(&[500, 501, 502], &ended), Outcome::Different);
        let stopped = seen(&[500, 501], false);
        assert_eq!(
            judge(&[500, 501, 502, 503], &stopped),
            Outcome::TheirsShorter
        );
        assert_eq!(judge(&[500, 502], &stopped), Outcome::Different);
        assert_eq!(judge(&[500, 501], &stopped), Outcome::Same);
        // Of whole stacks all frames count, and where they end.
        let whole = |ours: &[u32]| {
            super::judge(
                ours,
                &seen(&[9; 20].map(|id| id + 500), true),
                Wanted::Whole,
            )
        };
        assert_eq!(whole(&[509; 20]), Outcome::Same);
        assert_eq!(whole(&[509; 19]), Outcome::Different);
        assert_eq!(whole(&[509; 21]), Outcome::Different);
    }
}
