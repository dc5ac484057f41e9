//! Finds functions by name in the objects that are loaded: in `.symtab`, `.dynsym` and, for hooks
//! that the user asked for, separate debug files.
//!
//! Runs in cold sections. What is read from files is untrusted input.

use crate::elf::{
    LinkMap, definition_beside, definition_in, exports, has_text_relocations, next_definition,
    objects, own_dynamic,
};
use crate::settings::settings;
use crate::unwind::{Place, place_of};
use core::ffi::CStr;
use skipheap_symbolize::ObjectId;
use skipheap_symbolize::elf::{FunctionSymbol, name_at};
use skipheap_symbolize::names::Names;
use skipheap_symbolize::object_file::ObjectFile;

/// One of these is exported by a library that has the Skip runtime.
const OBSTACK_SIGNS: [&CStr; 2] = [c"SKIP_Obstack_alloc", c"_ZN4skip7Obstack5allocEm"];

/// A loaded object.
pub(crate) struct Object {
    pub(crate) place: Place,
    /// Its entry in the loader's list.
    pub(crate) entry: &'static LinkMap,
    /// Its dynamic section.
    pub(crate) dynamic: usize,
    /// Path for messages and for its debug files.
    pub(crate) path: Vec<u8>,
    pub(crate) is_executable: bool,
    /// Exports an allocator of the Skip runtime.
    pub(crate) exports_obstack: bool,
    /// It is a library, and both `malloc` and `operator new` of the program are its.
    pub(crate) owns_new: bool,
    /// The loader changes its code after mapping it.
    pub(crate) has_text_relocations: bool,
}

/// A function as its object's file states it.
pub(crate) struct Symbol<'d> {
    /// Address in memory.
    pub(crate) start: u64,
    pub(crate) size: u64,
    pub(crate) name: &'d [u8],
    /// Its address is that of a function that chooses the real one.
    pub(crate) is_indirect: bool,
}

/// The library that both `malloc` and `operator new` of the program would be found in, were this one not there: its dynamic
/// section. 0 if they are not in the same one.
pub(crate) fn owner_of_new() -> usize {
    let new = next_definition(c"_Znwm");
    let is_owner = |entry: &&LinkMap| {
        !definition_in(entry, c"malloc").is_null() && definition_in(entry, c"_Znwm") == new
    };
    if new.is_null() || definition_beside(c"malloc", c"_Znwm") != new {
        return 0;
    }
    objects()
        .find(is_owner)
        .map_or(0, |entry| entry.l_ld as usize)
}

/// What the loader's list has there; `None` for this library, and for what is no mapped file. `owner_of_new` as the function
/// of this name says.
pub(crate) fn object(
    entry: &'static LinkMap,
    is_executable: bool,
    owner_of_new: usize,
) -> Option<Object> {
    if entry.l_ld == own_dynamic() || entry.l_ld.is_null() {
        return None;
    }
    let name = if entry.l_name.is_null() {
        b""
    } else {
        // SAFETY: the loader keeps the name, a C string, while the object is loaded.
        unsafe { CStr::from_ptr(entry.l_name) }.to_bytes()
    };
    Some(Object {
        place: place_of(entry.l_ld as u64)?,
        entry,
        dynamic: entry.l_ld as usize,
        path: if is_executable {
            settings().exe.get()
        } else {
            name
        }
        .to_vec(),
        is_executable,
        exports_obstack: OBSTACK_SIGNS.iter().any(|sign| exports(entry, sign)),
        owns_new: !is_executable && entry.l_ld as usize == owner_of_new,
        has_text_relocations: has_text_relocations(entry),
    })
}

impl Object {
    /// Hands each function of the object to `add`. Separate debug files are read too, if the object
    /// has no symbols of its own: that takes its time.
    pub(crate) fn functions(&self, add: &mut dyn FnMut(Symbol<'_>)) {
        let Ok(file) = ObjectFile::open(&self.id()) else {
            return;
        };
        file.function_tables(|strings, functions| {
            let source = file.source(strings.source);
            for function in functions {
                self.add(
                    function,
                    name_at(source, &strings.range, function.name),
                    add,
                );
            }
        });
    }

    /// Hands each function of the object that has one of these names to `add`.
    pub(crate) fn named_functions(&self, names: &Names, add: &mut dyn FnMut(Symbol<'_>)) {
        if let Ok(file) = ObjectFile::open_alone(&self.id()) {
            file.named_functions(names, |function, name| self.add(function, name, add));
        }
    }

    fn add(&self, function: FunctionSymbol, name: &[u8], add: &mut dyn FnMut(Symbol<'_>)) {
        if !function.label {
            add(Symbol {
                start: function.start.wrapping_add(self.place.bias),
                size: function.size,
                name,
                is_indirect: function.indirect,
            });
        }
    }

    /// What its file is known by.
    fn id(&self) -> ObjectId<'_> {
        ObjectId {
            path: self.file(),
            build_id: self.place.build_id,
            file: None,
        }
    }

    /// Where its file is, also when the executable was replaced or removed since it started.
    fn file(&self) -> &[u8] {
        if self.is_executable {
            b"/proc/self/exe"
        } else {
            &self.path
        }
    }

    /// The C library and the loader: globs do not reach into them.
    pub(crate) fn is_system(&self) -> bool {
        let label = self.label();
        label.starts_with("libc.so") || label.starts_with("ld-linux")
    }

    /// The object's file name.
    pub(crate) fn label(&self) -> String {
        let name = self.path.rsplit(|&c| c == b'/').next().unwrap_or(&[]);
        name.escape_ascii().to_string()
    }
}
