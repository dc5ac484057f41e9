//! Finds functions by name in the objects that are loaded: in `.symtab`, `.dynsym` and, for hooks
//! that the user asked for, separate debug files.
//!
//! Runs in cold sections. What is read from files is untrusted input.

use crate::elf::{definition_in, objects, own_dynamic};
use crate::settings::settings;
use crate::symbolize::elf::name_at;
use crate::symbolize::object_file::ObjectFile;
use crate::unwind::{Place, place_of};
use core::ffi::CStr;

/// A loaded object.
pub(crate) struct Object {
    pub(crate) place: Place,
    /// Path for messages and for its debug files.
    pub(crate) path: Vec<u8>,
    pub(crate) is_executable: bool,
    /// Exports the Skip runtime's allocator.
    pub(crate) exports_obstack: bool,
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

/// The objects that are loaded, without this library and the kernel's.
pub(crate) fn loaded() -> Vec<Object> {
    let own = own_dynamic();
    objects()
        .enumerate()
        .filter(|(_, entry)| entry.l_ld != own && !entry.l_ld.is_null())
        .filter_map(|(i, entry)| {
            let name = if entry.l_name.is_null() {
                b""
            } else {
                // SAFETY: the loader keeps the name, a C string, while the object is loaded.
                unsafe { CStr::from_ptr(entry.l_name) }.to_bytes()
            };
            let is_executable = i == 0;
            Some(Object {
                place: place_of(entry.l_ld as u64)?,
                path: if is_executable {
                    settings().exe.get()
                } else {
                    name
                }
                .to_vec(),
                is_executable,
                exports_obstack: !definition_in(entry, c"SKIP_Obstack_alloc").is_null(),
            })
        })
        .collect()
}

impl Object {
    /// Hands each function of the object to `add`. With `everywhere`, separate debug files are
    /// read too, if the object has no symbols of its own: that takes its time.
    pub(crate) fn functions(&self, everywhere: bool, add: &mut dyn FnMut(Symbol<'_>)) {
        // Also when the executable was replaced or removed since it started.
        let path: &[u8] = if self.is_executable {
            b"/proc/self/exe"
        } else {
            &self.path
        };
        let open = if everywhere {
            ObjectFile::open
        } else {
            ObjectFile::open_alone
        };
        let Some(file) = open(path, self.place.build_id) else {
            return;
        };
        file.function_tables(|strings, functions| {
            let source = file.source(strings.source);
            for function in functions.filter(|function| !function.label) {
                add(Symbol {
                    start: function.start.wrapping_add(self.place.bias),
                    size: function.size,
                    name: name_at(source, &strings.range, function.name),
                    is_indirect: function.indirect,
                });
            }
        });
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
