//! What a recording's frames are called and where they are, each looked up once.

use skipheap_format::layout::FIRST_FRAME_ID;
use skipheap_format::reader::{FormatError, Frame, Module, Recording};
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::places::{Place, Places};
use skipheap_symbolize::{FileId, ObjectId, Origin, Symbolizer};
use std::collections::hash_map::Entry;
use std::rc::Rc;

/// The address to look a frame's name up by: the call before a return address may be the last
/// instruction of its function.
fn lookup(frame: &Frame) -> u64 {
    if frame.exact {
        frame.address
    } else {
        frame.address.wrapping_sub(1)
    }
}

/// The file that a module was loaded from.
pub fn object<'a>(module: &Module<'a>) -> ObjectId<'a> {
    ObjectId {
        path: module.path,
        build_id: module.build_id,
        file: module.file.map(|file| FileId {
            device: file.device,
            inode: file.inode,
            size: file.size,
            modified_ns: file.modified_ns,
        }),
    }
}

/// The process that a recording is of.
pub fn origin_of(recording: &Recording<'_>) -> Origin {
    Origin {
        pid: recording.pid(),
        uid: recording.uid(),
        start_ns: recording.start_ns(),
    }
}

/// The addresses that these frames are looked up by, by module. Ids may come several times, and may
/// be no frames.
///
/// # Errors
/// When the recording does not hold one of the frames.
pub fn lookups(
    recording: &Recording<'_>,
    ids: impl Iterator<Item = u32>,
) -> Result<FastMap<u32, Vec<u64>>, FormatError> {
    let mut seen: FastMap<u32, ()> = FastMap::default();
    let mut lookups: FastMap<u32, Vec<u64>> = FastMap::default();
    for id in ids {
        if id < FIRST_FRAME_ID || seen.insert(id, ()).is_some() {
            continue;
        }
        let frame = recording.frame(id)?;
        if frame.module != 0 {
            lookups
                .entry(frame.module)
                .or_default()
                .push(lookup(&frame));
        }
    }
    Ok(lookups)
}

/// Names of one recording's frames.
pub struct FrameNames<'r, 'b> {
    recording: &'r Recording<'b>,
    modules: FastMap<u32, Module<'b>>,
}

impl<'r, 'b> FrameNames<'r, 'b> {
    /// Knows no name yet.
    pub fn new(recording: &'r Recording<'b>) -> Self {
        Self {
            recording,
            modules: FastMap::default(),
        }
    }

    /// Has the names of all these frames looked up, by module; with `places` also their lines and inlined
    /// functions. Ids may come several times, and may be no frames.
    pub fn prepare(
        &mut self,
        ids: impl Iterator<Item = u32>,
        symbolizer: &mut Symbolizer,
        mut places: Option<&mut Places>,
    ) -> Result<(), FormatError> {
        for (module, lookups) in lookups(self.recording, ids)? {
            let module = self.recording.module(module)?;
            if let Some(places) = &mut places {
                places.prepare(&object(&module), lookups.clone());
            }
            symbolizer.prepare(&object(&module), lookups);
        }
        Ok(())
    }

    /// The name of the function with a symbol that contains a frame.
    pub fn name(&mut self, id: u32, symbolizer: &mut Symbolizer) -> Result<Rc<str>, FormatError> {
        let frame = self.recording.frame(id)?;
        let lookup = lookup(&frame);
        let origin = origin_of(self.recording);
        if frame.module == 0 {
            return Ok(symbolizer.made_at_run_time(&origin, lookup));
        }
        let module = self.known(frame.module)?;
        Ok(symbolizer.function(&origin, &object(module), lookup))
    }

    /// The address to look a frame up by, as stated in its module's file.
    pub fn lookup(&self, id: u32) -> Result<u64, FormatError> {
        self.recording.frame(id).map(|frame| lookup(&frame))
    }

    /// The module that a frame is in.
    pub fn module(&mut self, id: u32) -> Result<Option<&Module<'b>>, FormatError> {
        match self.recording.frame(id)?.module {
            0 => Ok(None),
            module => self.known(module).map(Some),
        }
    }

    /// The functions that a frame is in, innermost first, and where: those inlined, and then the one with
    /// a symbol, under the name of that. Without debug information that one alone. To be called of frames
    /// that were prepared with `places`.
    pub fn functions(
        &mut self,
        id: u32,
        symbolizer: &mut Symbolizer,
        places: &Places,
    ) -> Result<Vec<Place>, FormatError> {
        let name = self.name(id, symbolizer)?;
        let lookup = lookup(&self.recording.frame(id)?);
        let mut functions = match self.module(id)? {
            Some(module) => places.at(&object(module), lookup).to_vec(),
            None => Vec::new(),
        };
        match functions.last_mut() {
            Some(place) => place.function = Some(name),
            None => functions.push(Place {
                function: Some(name),
                file: None,
                line: None,
            }),
        }
        Ok(functions)
    }

    fn known(&mut self, id: u32) -> Result<&Module<'b>, FormatError> {
        match self.modules.entry(id) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => Ok(new.insert(self.recording.module(id)?)),
        }
    }
}
