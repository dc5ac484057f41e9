//! Programs that were built without optimisation. Their containers are made of many small functions, so that four
//! frames of a stack hold nobody who is responsible for an allocation.

use memchr::{memchr, memmem};
use skipheap_symbolize::ObjectId;
use skipheap_symbolize::object_file::ObjectFile;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Parts of the names of functions that an optimising compiler inlines: how the name goes on after the first part, it
/// has the second one. Of libstdc++ and libc++, and of Rust in both of its manglings.
const INLINED: [(&[u8], &[u8]); 3] = [
    (b"16allocator_traitsI", b"8allocateERS"),
    (b"5alloc3vec16Vec$LT$T$C$A$GT$", b"4push17h"),
    (b"5alloc3vecINtB", b"4push"),
];

/// Returns whether the program has its containers' smallest functions as functions of their own. A program without a
/// symbol table does not say.
pub(super) fn is_unoptimized(program: &Path) -> bool {
    let program = ObjectId {
        path: program.as_os_str().as_bytes(),
        build_id: &[],
        file: None,
    };
    let Ok(file) = ObjectFile::open_alone(&program) else {
        return false;
    };
    let mut found = false;
    file.function_tables(|strings, _| {
        let names = file.source(strings.source).get(strings.range);
        found = found || names.is_some_and(has_inlined_function);
    });
    found
}

fn has_inlined_function(names: &[u8]) -> bool {
    INLINED.iter().any(|(first, second)| {
        memmem::find_iter(names, first).any(|at| {
            let name = names.get(at..).unwrap_or(&[]);
            let name = name
                .get(..memchr(0, name).unwrap_or(name.len()))
                .unwrap_or(name);
            memmem::find(name, second).is_some()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_that_are_inlined_otherwise_tell() {
        for names in [
            &b"\0main\0_ZNSt16allocator_traitsISaIiEE8allocateERS0_m\0"[..],
            b"\0_ZN5alloc3vec16Vec$LT$T$C$A$GT$4push17h26ed5c35b5c7dfd7E\0",
        ] {
            assert!(has_inlined_function(names));
        }
        for names in [
            &b"\0main\0_ZNSt6vectorIiSaIiEE9push_backEOi\0"[..],
            b"\0_ZNSt16allocator_traitsISaIiEE10deallocateERS0_Pim\0_ZN1a8allocateERS0_m\0",
            b"\0_ZN5alloc7raw_vec19RawVec$LT$T$C$A$GT$8grow_one17h4ab49f2d342bf39cE\0",
            b"",
        ] {
            assert!(!has_inlined_function(names));
        }
        assert!(!is_unoptimized(Path::new("/no/such/program")));
    }
}
