//! Which functions of a Skip runtime count, and with which size.
//!
//! The original runtime has `skip::Obstack::alloc(size)`, of which the original profiler counted every
//! call: what the runtime's own C++ allocates, as strings, passes through it too. Functions of the
//! runtime's interface either contain a copy of it or call it. Those that call it are left out, since
//! the call itself counts, with the size that is really allocated.
//!
//! Later runtimes are C and have the interface alone.
//!
//! Runs in cold sections.

use super::clone_size::{CloneSize, clone_size};
use super::find::Object;
use super::leads::{Lead, code_at, lead_of};
use super::plan;
use super::wanted::{Bytes, Target};
use skipheap_config::hook_spec::SizeOf;
use skipheap_format::note::{Kind, Note};

/// `skip::Obstack::alloc(unsigned long)`.
pub(super) const ALLOC: &str = "_ZN4skip7Obstack5allocEm";
/// The function that copies an object.
pub(super) const CLONE: &str = "SKIP_Obstack_shallowClone";

/// Settles what the functions of the runtime in `targets` count: removes those that only pass on to
/// another one with the true size, and finds the size of a clone. Returns a note for the summary when
/// that is not known.
pub(super) fn settle(
    object: &Object,
    targets: &mut Vec<Target>,
    is_of_runtime: impl Fn(&Target) -> bool,
) -> Option<Note<String>> {
    remove_callers(object, targets, &is_of_runtime);
    let allocators: Vec<(u64, Vec<u8>)> = targets
        .iter()
        .filter(|target| is_of_runtime(target) && target.name != CLONE.as_bytes())
        .map(|target| (target.start, target.name.clone()))
        .collect();
    let clone = targets
        .iter_mut()
        .find(|target| is_of_runtime(target) && target.name == CLONE.as_bytes())?;
    let is_allocator = |lead| match lead {
        Lead::To(address) => allocators.iter().any(|(start, _)| *start == address),
        Lead::Named(name) => allocators.iter().any(|(_, known)| known == name.to_bytes()),
    };
    let size = clone_size(object.entry, clone.start, clone.size, &is_allocator);
    match size {
        Some(CloneSize::Argument(more)) => {
            clone.bytes = Bytes::Of(SizeOf {
                factor: 1,
                args: vec![0],
                more,
            });
        }
        Some(CloneSize::OfType(words)) => clone.bytes = Bytes::OfType(words),
        None => {
            let about = [CLONE.to_owned(), object.label()];
            return Some(Note::new(Kind::CloneWithoutSize, about));
        }
    }
    None
}

/// Removes the functions that call `skip::Obstack::alloc`, or another one that does.
fn remove_callers(
    object: &Object,
    targets: &mut Vec<Target>,
    is_of_runtime: impl Fn(&Target) -> bool,
) {
    let mut counted: Vec<(u64, Vec<u8>)> = targets
        .iter()
        .filter(|target| target.name == ALLOC.as_bytes())
        .map(|target| (target.start, target.name.clone()))
        .collect();
    loop {
        let leads_there = |lead: Lead| match lead {
            Lead::To(address) => counted.iter().any(|(start, _)| *start == address),
            // It may be another library's.
            Lead::Named(name) => {
                name.to_bytes() == ALLOC.as_bytes()
                    || counted.iter().any(|(_, known)| known == name.to_bytes())
            }
        };
        let caller = targets.iter().position(|target| {
            is_of_runtime(target)
                && target.name != ALLOC.as_bytes()
                && leads(object, target).any(&leads_there)
        });
        let Some(caller) = caller else {
            return;
        };
        let caller = targets.remove(caller);
        counted.push((caller.start, caller.name));
    }
}

/// Where the calls of a function lead, and its jumps to elsewhere.
fn leads<'a>(object: &'a Object, target: &Target) -> impl Iterator<Item = Lead> + 'a {
    let (start, size) = (target.start, target.size);
    let code = code_at(start, size).unwrap_or(&[]);
    plan::first_instructions(code, start)
        .filter_map(|instruction| lead_of(object.entry, &instruction))
        .filter(move |lead| {
            !matches!(lead, Lead::To(address) if (start..start.saturating_add(size)).contains(address))
        })
}
