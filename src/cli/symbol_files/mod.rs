//! Files that name the functions of a profile: those below `--symbols DIR`, and debug files from debuginfod.
//!
//! A file counts when its build id is that of the module; a name proves nothing.

pub(crate) mod debuginfod;
mod folder;

use crate::terminal::term;
use debuginfod::Debuginfod;
use folder::Folder;
use skipheap_profile::Profile;
use skipheap_profile::resymbolize::{Known, Symbols, resymbolize};
use skipheap_profile::sum::hex;
use skipheap_symbolize::bytes::{Bytes, MappedFile};
use skipheap_symbolize::demangle::demangle;
use skipheap_symbolize::dwarf::{Located, locate_in};
use skipheap_symbolize::elf::Elf;
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::object_file::ObjectFile;
use skipheap_symbolize::places::Place;
use skipheap_symbolize::symbols::find_all;
use skipheap_text::printable;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Messages of one kind that are printed.
const SAID: usize = 10;

/// What is known of a module's addresses; nothing where there is no file of it.
type Addresses = FastMap<u64, Known>;

/// Where to look, and what was found.
pub(crate) struct SymbolFiles {
    folders: Vec<Folder>,
    debuginfod: Option<Debuginfod>,
    /// By build id.
    modules: FastMap<Vec<u8>, Addresses>,
    mismatches: Vec<String>,
}

impl SymbolFiles {
    /// Looks in these folders, and asks debuginfod where the environment names a server; `None` when
    /// there is nowhere to look.
    pub(crate) fn new(folders: &[PathBuf]) -> Option<Self> {
        let debuginfod = Debuginfod::from_environment();
        (!folders.is_empty() || debuginfod.is_some()).then(|| Self {
            folders: folders.iter().map(|path| Folder::new(path)).collect(),
            debuginfod,
            modules: FastMap::default(),
            mismatches: Vec::new(),
        })
    }

    /// The profile with what the files know.
    pub(crate) fn add_to(&mut self, profile: Profile) -> Profile {
        resymbolize(profile, self)
    }

    /// Returns whether functions of the module with this build id have got names.
    pub(crate) fn names(&self, build_id: &[u8]) -> bool {
        let known = self.modules.get(build_id);
        known.is_some_and(|known| known.values().any(|known| known.name.is_some()))
    }

    /// What did not fit.
    pub(crate) fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = self.mismatches.iter().take(SAID).cloned().collect();
        if self.mismatches.len() > SAID {
            remarks.push(format!(
                "and {} more such files",
                self.mismatches.len() - SAID
            ));
        }
        remarks.extend(self.debuginfod.as_ref().and_then(Debuginfod::complaint));
        remarks
    }

    /// The files of a module: those with code first, since they have unwind information.
    fn files(&mut self, path: &str, build_id: &[u8], lacks_lines: bool) -> Vec<Bytes> {
        let mut files: Vec<Bytes> = Vec::new();
        for folder in &mut self.folders {
            let found = folder.find(build_id);
            files.extend(found.iter().filter_map(|path| open(path, build_id)));
        }
        if files.is_empty() {
            self.note_mismatches(path, build_id);
        }
        let has_lines = files.iter().any(has_debug_information);
        if let Some(debuginfod) = self
            .debuginfod
            .as_mut()
            .filter(|_| !has_lines && lacks_lines)
        {
            let found = debuginfod.find(build_id);
            files.extend(found.and_then(|path| open(&path, build_id)));
        }
        files.sort_by_key(has_debug_information);
        files
    }

    /// Notes files that have the module's name but are others.
    fn note_mismatches(&mut self, path: &str, build_id: &[u8]) {
        let name = path.rsplit('/').next().unwrap_or(path);
        for folder in &mut self.folders {
            for (path, other) in folder.named(name) {
                let file = term::path(path);
                self.mismatches.push(match build_id {
                    [] => format!(
                        "{file} is not used: the recorded {name} had no build id, so nothing tells that it is the \
                         same"
                    ),
                    _ => format!(
                        "{file} is not used: its build id is {}, that of the recorded {name} {}",
                        if other.is_empty() { "none".to_owned() } else { hex(other) },
                        hex(build_id)
                    ),
                });
            }
        }
    }
}

/// Opens a file of that build.
fn open(path: &Path, build_id: &[u8]) -> Option<Bytes> {
    let bytes = MappedFile::open(path)?.bytes;
    let is_it = Elf::parse(&bytes)?.build_id() == build_id;
    is_it.then_some(bytes)
}

fn has_debug_information(bytes: &Bytes) -> bool {
    Elf::parse(bytes).is_some_and(|elf| elf.has_debug_info())
}

impl Symbols for SymbolFiles {
    fn prepare(&mut self, path: &str, build_id: &[u8], addresses: Vec<u64>, lacks_lines: bool) {
        if build_id.is_empty() {
            return self.note_mismatches(path, build_id);
        }
        let known = self.modules.get(build_id);
        let is_new = |address: &u64| known.is_none_or(|known| !known.contains_key(address));
        let new: Vec<u64> = addresses.into_iter().filter(is_new).collect();
        if new.is_empty() {
            return;
        }
        let files = self.files(path, build_id, lacks_lines);
        let known = self.modules.entry(build_id.to_vec()).or_default();
        // What is not found is not looked for again.
        known.extend(new.iter().map(|&address| (address, Known::default())));
        if !files.is_empty() {
            look_up(files, &new, known);
        }
    }

    fn at(&self, _: &str, build_id: &[u8], address: u64) -> Option<&Known> {
        let known = self.modules.get(build_id)?.get(&address)?;
        (known.name.is_some() || !known.places.is_empty()).then_some(known)
    }
}

/// Looks addresses up, which are sorted and each there once.
fn look_up(files: Vec<Bytes>, addresses: &[u64], known: &mut Addresses) {
    let mut texts: FastMap<String, Rc<str>> = FastMap::default();
    let mut shared = |text: String| match texts.get(&text) {
        Some(known) => Rc::clone(known),
        None => {
            let new: Rc<str> = text.as_str().into();
            texts.insert(text, Rc::clone(&new));
            new
        }
    };
    for bytes in files.iter().filter(|bytes| has_debug_information(bytes)) {
        locate_in(bytes, addresses, &mut |address, located: Located<'_>| {
            let place = Place {
                function: located.function.map(|name| shared(demangle(name))),
                file: located.file.map(|file| shared(printable(file.as_bytes()))),
                line: located.line,
            };
            known.entry(address).or_default().places.push(place);
        });
    }
    let file = ObjectFile::new(files);
    for (&address, found) in addresses.iter().zip(find_all(&file, addresses)) {
        // A symbol without a size reaches up to the next one, but not into a function in between that has
        // no symbol.
        let is_in = |start: u64| match file.function_start(address) {
            Some(function) => function <= start,
            None => true,
        };
        let found = found.filter(|found| !found.guessed || is_in(found.start));
        if let Some(found) = found {
            known.entry(address).or_default().name = Some(shared(demangle(found.name)));
        }
    }
}
