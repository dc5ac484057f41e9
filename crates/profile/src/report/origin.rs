//! Where a site's allocations come from, beyond its four names: file, line, module, function, thread.

use super::frames::FrameNames;
use super::interner::Interner;
use skipheap_format::layout::FIRST_FRAME_ID;
use skipheap_format::reader::{FormatError, Recording, Site};
use skipheap_symbolize::demangle::demangle;
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::places::Places;
use skipheap_text::printable;
use std::rc::Rc;

/// What tells rows with the same names and size apart, where all columns are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    /// Source file of the innermost frame: of the function inlined there, if there is one.
    pub file: Option<Rc<str>>,
    /// Line in it.
    pub line: Option<u32>,
    /// Path of the object file of the innermost frame.
    pub module: Option<Rc<str>>,
    /// The allocation function that was called.
    pub allocator: Option<Rc<str>>,
    /// Name of the thread that allocated.
    pub thread: Option<Rc<str>>,
}

/// The texts of an [`Origin`] by number, and the line.
type Key = [u32; 5];

/// The origins of one report, by number.
#[derive(Default)]
pub(super) struct Origins {
    numbers: FastMap<Key, u32>,
    keys: Vec<Key>,
    texts: Interner,
}

/// What is known of one recording's origins.
pub(super) struct OriginsOf<'r, 'b> {
    recording: &'r Recording<'b>,
    /// By thread number.
    threads: FastMap<u32, u32>,
    functions: FastMap<u16, u32>,
    /// File, line and module by frame.
    frames: FastMap<u32, [u32; 3]>,
}

impl<'r, 'b> OriginsOf<'r, 'b> {
    /// `threads` are the names of the recording's threads, by number.
    pub(super) fn new(
        recording: &'r Recording<'b>,
        threads: Vec<(u32, String)>,
        origins: &mut Origins,
    ) -> Self {
        let threads = threads
            .into_iter()
            .filter(|(_, name)| !name.is_empty())
            .map(|(thread, name)| (thread, origins.texts.number(&name.into())))
            .collect();
        Self {
            recording,
            threads,
            functions: FastMap::default(),
            frames: FastMap::default(),
        }
    }

    /// The number of a site's origin.
    pub(super) fn number(
        &mut self,
        site: &Site,
        frames: &mut FrameNames<'r, 'b>,
        places: &Places,
        origins: &mut Origins,
    ) -> Result<u32, FormatError> {
        let [innermost, ..] = site.frames;
        let [file, line, module] = match self.frames.get(&innermost) {
            Some(&known) => known,
            None => {
                let found = place_of(innermost, frames, places, &mut origins.texts)?;
                self.frames.insert(innermost, found);
                found
            }
        };
        let function = *self.functions.entry(site.function).or_insert_with(|| {
            let name = self.recording.function_name(site.function);
            name.map_or(0, |name| origins.texts.number(&demangle(name).into()))
        });
        let thread = self.threads.get(&site.thread).copied().unwrap_or(0);
        Ok(origins.intern([file, line, module, function, thread]))
    }
}

/// File, line and module of a frame.
fn place_of(
    id: u32,
    frames: &mut FrameNames<'_, '_>,
    places: &Places,
    texts: &mut Interner,
) -> Result<[u32; 3], FormatError> {
    if id < FIRST_FRAME_ID {
        return Ok([0; 3]);
    }
    let module = match frames.module(id)? {
        Some(module) => texts.number(&printable(module.path).into()),
        None => 0,
    };
    let (file, line) = match frames.place(id, places)? {
        Some(place) => (
            place.file.as_ref().map_or(0, |file| texts.number(file)),
            place.line.unwrap_or(0),
        ),
        None => (0, 0),
    };
    Ok([file, line, module])
}

impl Origins {
    fn intern(&mut self, key: Key) -> u32 {
        let next = self.keys.len() as u32;
        let number = *self.numbers.entry(key).or_insert(next);
        if number == next {
            self.keys.push(key);
        }
        number
    }

    /// All of them, by number.
    pub(super) fn all(&self) -> Vec<Rc<Origin>> {
        let text = |number: u32| self.texts.name(number);
        let origin = |&[file, line, module, allocator, thread]: &Key| {
            Rc::new(Origin {
                file: text(file),
                line: (line != 0).then_some(line),
                module: text(module),
                allocator: text(allocator),
                thread: text(thread),
            })
        };
        self.keys.iter().map(origin).collect()
    }
}
