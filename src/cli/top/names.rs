//! Names of a recording's frames, each looked up once, by number.
//!
//! To look up one name takes about as long as to look up all of a file's, and new frames appear as the
//! program runs. So they wait for one another, and no more time goes to names than a small part of
//! what passes.

use super::processor_time;
use crate::owner::Owner;
use skipheap_format::layout::FIRST_FRAME_ID;
use skipheap_format::reader::{Frame, Recording};
use skipheap_profile::report::frames::{object, origin_of};
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::hash::FastMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Processor time for names from the start, as much as a large program's report takes.
const AT_ONCE: Duration = Duration::from_millis(500);
/// And then one part in so many of the time that passes.
const SHARE: u32 = 400;

/// What no frame is called.
pub(crate) const NO_NAME: u32 = 0;

/// Names by number, and numbers by frame.
pub(crate) struct Names {
    owner: Option<Owner>,
    symbolizer: Symbolizer,
    by_frame: FastMap<u32, u32>,
    numbers: FastMap<Rc<str>, u32>,
    names: Vec<Rc<str>>,
    since: Instant,
    spent: Duration,
}

impl Names {
    /// Knows no name yet. Object files are opened with the rights of the recording's owner.
    pub(crate) fn new(owner: Option<Owner>) -> Self {
        Self {
            owner,
            symbolizer: Symbolizer::new().with_debug_names(),
            by_frame: FastMap::default(),
            numbers: FastMap::default(),
            names: vec!["".into()],
            since: Instant::now(),
            spent: Duration::ZERO,
        }
    }

    /// Returns whether names may be looked up now.
    pub(crate) fn is_time(&self) -> bool {
        self.spent < AT_ONCE + self.since.elapsed() / SHARE
    }

    /// Processor time that names took so far.
    pub(crate) fn spent(&self) -> Duration {
        self.spent
    }

    /// The name's number; `None` for a frame that was not looked up yet.
    pub(crate) fn number(&self, frame: u32) -> Option<u32> {
        match frame < FIRST_FRAME_ID {
            true => Some(NO_NAME),
            false => self.by_frame.get(&frame).copied(),
        }
    }

    /// The name; empty for [`NO_NAME`].
    pub(crate) fn name(&self, number: u32) -> &Rc<str> {
        let known = self.names.get(number as usize);
        known.unwrap_or(&self.names[0])
    }

    /// All names by number.
    pub(crate) fn all(&self) -> &[Rc<str>] {
        &self.names
    }

    /// Looks up these frames. Those that the recording does not have yet stay unknown, and so do all
    /// when the owner's rights cannot be had.
    pub(crate) fn look_up(&mut self, recording: &Recording<'_>, ids: impl Iterator<Item = u32>) {
        let began = processor_time();
        let Ok(_acting) = self.owner.map(Owner::act).transpose() else {
            return;
        };
        let mut frames: Vec<(u32, Frame)> = Vec::new();
        let mut seen: FastMap<u32, ()> = FastMap::default();
        for id in ids {
            if self.number(id).is_none()
                && seen.insert(id, ()).is_none()
                && let Ok(frame) = recording.frame(id)
            {
                frames.push((id, frame));
            }
        }
        let mut by_module: FastMap<u32, Vec<u64>> = FastMap::default();
        for (_, frame) in frames.iter().filter(|(_, frame)| frame.module != 0) {
            by_module
                .entry(frame.module)
                .or_default()
                .push(lookup(frame));
        }
        for (module, lookups) in by_module {
            if let Ok(module) = recording.module(module) {
                self.symbolizer.prepare(&object(&module), lookups);
            }
        }
        let origin = origin_of(recording);
        for (id, frame) in frames {
            let name = match frame.module {
                0 => self.symbolizer.made_at_run_time(&origin, lookup(&frame)),
                module => match recording.module(module) {
                    Ok(module) => {
                        self.symbolizer
                            .function(&origin, &object(&module), lookup(&frame))
                    }
                    Err(_) => continue,
                },
            };
            let number = self.intern(name);
            self.by_frame.insert(id, number);
        }
        self.spent += processor_time().saturating_sub(began);
    }

    pub(super) fn intern(&mut self, name: Rc<str>) -> u32 {
        if let Some(&number) = self.numbers.get(&name) {
            return number;
        }
        let number = self.names.len() as u32;
        self.names.push(Rc::clone(&name));
        self.numbers.insert(name, number);
        number
    }
}

/// The address to look a frame's name up by: the call before a return address may be the last
/// instruction of its function.
fn lookup(frame: &Frame) -> u64 {
    frame.address.wrapping_sub(u64::from(!frame.exact))
}
