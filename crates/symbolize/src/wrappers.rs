//! Allocation wrappers: functions that only pass an allocation on, so that the caller behind them
//! is the one who asked for memory. They are left out of the stacks when these are recorded.
//!
//! Runs inside the profiled program when it first runs code of a module, over all of the module's
//! symbols. So a look at the mangled name sorts out nearly all of them (`may_wrap`), and only the
//! rest is demangled and compared. Globs for which no such look will do are left to
//! [`super::module_wrappers`].

use super::demangle::demangle;
use super::module_wrappers::{ByName, ModuleWrappers};
use super::object_file::ObjectFile;
use memchr::{memchr, memchr_iter, memmem};
use skipheap_text::glob;
use std::sync::Arc;

/// The wrappers, as globs of demangled names. Functions of libc such as `strdup` are none: they are
/// callers like any other.
///
/// A name that is added here needs a line in `may_wrap`, too; a test sees to it.
const WRAPPERS: [&str; 20] = [
    // C++: the global ones in all forms, and those of a class.
    "operator new(*",
    "operator new[](*",
    "*::operator new(*",
    "*::operator new[](*",
    // Rust: what the compiler calls, before and since these symbols are mangled (1.88).
    "__rust_alloc",
    "__rust_alloc_zeroed",
    "__rust_realloc",
    "__rdl_*",
    "__rg_*",
    "__rustc::__rust_alloc",
    "__rustc::__rust_alloc_zeroed",
    "__rustc::__rust_realloc",
    "__rustc::__rdl_*",
    "__rustc::__rg_*",
    // Rust: between these and the collections. `box_new_uninit` is what `Box::new` calls in builds
    // without optimisation, once named `alloc::alloc::exchange_malloc`.
    "alloc::alloc::*",
    "<alloc::alloc::*",
    "alloc::boxed::box_new_uninit*",
    // Rust: between `__rust_alloc` and malloc, where a program has an allocator of its own.
    "<* as core::alloc::global::GlobalAlloc>::*",
    "*<impl core::alloc::global::GlobalAlloc for *",
    "core::alloc::global::GlobalAlloc::*",
];

/// Knows which functions are wrappers.
pub struct Wrappers {
    extra: Vec<Extra>,
    /// Globs of the user that need the demangled name of each function.
    by_name: Arc<[Vec<u8>]>,
}

/// A glob that the user added.
struct Extra {
    glob: Vec<u8>,
    /// What the mangled name of a match has in it.
    needle: memmem::Finder<'static>,
}

impl Wrappers {
    /// With further globs, separated by white space or `;` (names in C++ have commas and colons).
    /// They match demangled names with or without parameters.
    pub fn new(extra: &[u8]) -> Self {
        let mut with_needle = Vec::new();
        let mut by_name = Vec::new();
        for glob in extra
            .split(|&c| c == b';' || c.is_ascii_whitespace())
            .filter(|glob| !glob.is_empty())
        {
            match needle(glob) {
                Some(word) => with_needle.push(Extra {
                    glob: glob.to_vec(),
                    needle: memmem::Finder::new(word).into_owned(),
                }),
                None => by_name.push(glob.to_vec()),
            }
        }
        Self {
            extra: with_needle,
            by_name: by_name.into(),
        }
    }

    /// The wrappers of a module.
    ///
    /// Symbols without a size are passed over: hand-written assembly wraps no allocator.
    pub fn in_file(&self, file: ObjectFile) -> ModuleWrappers {
        ModuleWrappers {
            ranges: self.ranges_in(&file),
            by_name: (!self.by_name.is_empty())
                .then(|| ByName::new(file, Arc::clone(&self.by_name))),
        }
    }

    /// The address ranges of the functions that are known by a look at their mangled names.
    pub fn ranges_in(&self, file: &ObjectFile) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        // A name is shown to the end of the table: most are known by how they begin.
        let likely = |name: &[u8]| may_wrap(name) || self.may_be_extra(name);
        file.likely_functions(likely, |symbol, name| {
            if symbol.size != 0 && self.is_wrapper(name) {
                ranges.push((symbol.start, symbol.start.saturating_add(symbol.size)));
            }
        });
        ranges.sort_unstable();
        ranges.dedup_by(|next, range| {
            let joins = next.0 <= range.1;
            if joins {
                range.1 = range.1.max(next.1);
            }
            joins
        });
        ranges
    }

    fn may_be_extra(&self, name: &[u8]) -> bool {
        if self.extra.is_empty() {
            return false;
        }
        let name = name
            .get(..memchr(0, name).unwrap_or(name.len()))
            .unwrap_or(name);
        let may_be = |extra: &Extra| extra.needle.find(name).is_some();
        self.extra.iter().any(may_be)
    }

    fn is_wrapper(&self, symbol: &[u8]) -> bool {
        let name = demangle(symbol);
        let name = name.as_bytes();
        WRAPPERS
            .iter()
            .any(|wrapper| glob(wrapper.as_bytes(), name))
            || self.extra.iter().any(|extra| matches(&extra.glob, name))
    }
}

/// Returns whether a glob of the user matches a demangled name, with or without its parameters.
pub(super) fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let bare = name
        .get(..memchr(b'(', name).unwrap_or(name.len()))
        .unwrap_or(name);
    glob(pattern, name) || glob(pattern, bare)
}

/// Returns whether the symbol may be one of [`WRAPPERS`]. `name` may have more behind its NUL.
///
/// Tells nearly all names by how they begin. Measured over the 150 000 symbols of node: 65 ns each
/// with the cache misses of fetching the name, 10 ns in a table that fits the caches (libc);
/// demangling takes 4 µs.
fn may_wrap(name: &[u8]) -> bool {
    match name {
        [b'_', b'_', b'r', ..] => true,
        [b'_', b'Z', b'n', b'w' | b'a', ..] => true,
        [b'_', b'Z', b'N', path @ ..] => is_nested_wrapper(path),
        [b'_', b'R', path @ ..] => is_rust_wrapper(path),
        _ => false,
    }
}

/// Of a name that C++, or Rust in its older mangling, writes as a list of parts with their lengths
/// in front.
fn is_nested_wrapper(path: &[u8]) -> bool {
    let is_rust = match path {
        [b'5', ..] => {
            path.starts_with(b"5alloc5alloc") || path.starts_with(b"5alloc5boxed14box_new_uninit")
        }
        [b'4', ..] => path.starts_with(b"4core5alloc6global11GlobalAlloc"),
        _ => false,
    };
    if is_rust {
        return true;
    }
    let mut rest = path;
    loop {
        let mut len = 0_usize;
        while let [digit @ b'0'..=b'9', behind @ ..] = rest {
            len = len.wrapping_mul(10).wrapping_add(usize::from(digit - b'0'));
            rest = behind;
        }
        let Some((part, behind)) = rest.split_at_checked(len) else {
            return false;
        };
        if part.starts_with(b"_$LT$") && is_rust_impl(part) {
            return true;
        }
        match behind {
            [b'0'..=b'9', ..] => rest = behind,
            // `operator new` of a class.
            [b'n', b'w' | b'a', b'E', ..] => return true,
            // The same of a class with parameters, if its own parameter is the size alone.
            [b'I', ..] => {
                let end = memchr(0, behind).unwrap_or(behind.len());
                let behind = behind.get(..end).unwrap_or(behind);
                return behind.ends_with(b"EnwEm") || behind.ends_with(b"EnaEm");
            }
            _ => return false,
        }
    }
}

/// Of the part of a name in Rust's older mangling that stands for an implementation.
fn is_rust_impl(part: &[u8]) -> bool {
    part.starts_with(b"_$LT$alloc..alloc..")
        || part.starts_with(b"_$LT$impl$u20$core..alloc..global..GlobalAlloc$u20$for")
        || part.ends_with(b"$u20$as$u20$core..alloc..global..GlobalAlloc$GT$")
}

/// Of a name in Rust's newer mangling.
fn is_rust_wrapper(path: &[u8]) -> bool {
    // Behind the kinds of paths and the hash of the crate, each of which may end with an
    // underscore.
    let start = path.get(..48).unwrap_or(path);
    let is_known = memchr_iter(b'_', start).take(3).any(|at| {
        let behind = path.get(at + 1..).unwrap_or(&[]);
        behind.starts_with(b"7___rustc")
            || behind.starts_with(b"5alloc5alloc")
            || behind.starts_with(b"5alloc5boxed14box_new_uninit")
    });
    // A method of a trait: `X` in its implementation, `Y` in the trait itself.
    is_known
        || matches!(path, [b'N', b'v', b'X' | b'Y', ..]) && {
            let path = path
                .get(..memchr(0, path).unwrap_or(path.len()))
                .unwrap_or(path);
            memmem::find(path, b"11GlobalAlloc").is_some()
        }
}

/// The longest word of a glob that stands in the mangled name of every match.
fn needle(glob: &[u8]) -> Option<&[u8]> {
    /// What mangling abbreviates.
    const ABBREVIATED: [&str; 10] = [
        "std",
        "allocator",
        "string",
        "basic_string",
        "istream",
        "ostream",
        "iostream",
        "basic_istream",
        "basic_ostream",
        "basic_iostream",
    ];
    let is_word = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    // Parameters, operators and closures are mangled as something else.
    let is_path = glob
        .iter()
        .all(|&c| is_word(c) || matches!(c, b':' | b'*' | b'?' | b'.'));
    if !is_path || memmem::find(glob, b"operator").is_some() {
        return None;
    }
    glob.split(|&c| !is_word(c))
        .filter(|word| word.len() > 2 && !ABBREVIATED.iter().any(|short| short.as_bytes() == *word))
        .max_by_key(|word| word.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_wrapper(extra: &str, symbol: &str) -> bool {
        let wrappers = Wrappers::new(extra.as_bytes());
        let in_table = [symbol.as_bytes(), b"\0_Znwm\0"].concat();
        let likely = may_wrap(&in_table) || wrappers.may_be_extra(&in_table);
        let name = demangle(symbol.as_bytes());
        let is_by_name = |glob: &Vec<u8>| matches(glob, name.as_bytes());
        likely && wrappers.is_wrapper(symbol.as_bytes()) || wrappers.by_name.iter().any(is_by_name)
    }

    /// At least one symbol for each line of the table, as compilers wrote them.
    const SYMBOLS: [&str; 30] = [
        "_Znwm",
        "_Znam",
        "_ZnwmSt11align_val_t",
        "_ZnamSt11align_val_tRKSt9nothrow_t",
        "_Znwm.cold",
        "_ZN4llvm4UsernwEmj",
        "_ZN4llvm4UsernaEm",
        "_ZN4pool4PoolIiLm4EEnwEm",
        "__rust_alloc",
        "__rust_alloc_zeroed",
        "__rust_realloc",
        "__rdl_realloc",
        "__rg_alloc",
        "_RNvCsfLfy6EI15iL_7___rustc12___rust_alloc",
        "_RNvCsfLfy6EI15iL_7___rustc14___rust_realloc",
        "_RNvCsfLfy6EI15iL_7___rustc19___rust_alloc_zeroed",
        "_RNvCsfLfy6EI15iL_7___rustc11___rdl_alloc",
        "_RNvCsfLfy6EI15iL_7___rustc10___rg_alloc",
        "_ZN5alloc5alloc5alloc17h958fd0d8036887aaE",
        "_ZN5alloc5alloc15exchange_malloc17h0123456789abcdefE",
        "_ZN5alloc5alloc6Global18alloc_impl_runtime17hca9bb17491ee28b4E",
        "_ZN63_$LT$alloc..alloc..Global$u20$as$u20$core..alloc..Allocator$GT$8allocate17h1395f4bcf7ad4f0aE",
        "_RNvNtCslNYArtu3iFV_5alloc5alloc18handle_alloc_error",
        "_RNvMNtCslNYArtu3iFV_5alloc5allocNtB2_6Global18alloc_impl_runtime",
        "_ZN5alloc5boxed14box_new_uninit17h8b8059c8f6a723b4E",
        "_RNvNtCslNYArtu3iFV_5alloc5boxed14box_new_uninit",
        "_ZN4core5alloc6global11GlobalAlloc7realloc17h644008eb6e2a3748E",
        "_ZN64_$LT$a..Counting$u20$as$u20$core..alloc..global..GlobalAlloc$GT$5alloc17h28bf35b031ed4c82E",
        "_ZN3std3sys5alloc4unix81_$LT$impl$u20$core..alloc..global..GlobalAlloc$u20$for$u20$std..alloc..System$GT$\
         5alloc17hfae9f36fe454d2abE",
        "_RNvXCs1234_1aNtB2_8CountingNtNtNtCs1234_4core5alloc6global11GlobalAlloc5alloc",
    ];

    #[test]
    fn wrappers_are_told_from_callers() {
        for symbol in SYMBOLS {
            assert!(
                is_wrapper("", symbol),
                "{symbol}: {}",
                demangle(symbol.as_bytes())
            );
        }
        for symbol in [
            "strdup",
            "main",
            "_ZdlPv",
            "__rust_dealloc",
            "_RNvCsfLfy6EI15iL_7___rustc13___rust_dealloc",
            "_RNvCsfLfy6EI15iL_7___rustc17rust_begin_unwind",
            "_ZNSt6vectorIiSaIiEE9push_backEOi",
            "_ZN5alloc7raw_vec11finish_grow17h0123456789abcdefE",
            "_ZN5alloc7raw_vec19RawVec$LT$T$C$A$GT$8grow_one17h4ab49f2d342bf39cE",
            "_RNvMNtCslNYArtu3iFV_5alloc7raw_vecNtB2_11RawVecInner11finish_grow",
            "_ZN3foo5alloc5allocEv",
            "_ZN3foo3newEm",
        ] {
            assert!(
                !is_wrapper("", symbol),
                "{symbol}: {}",
                demangle(symbol.as_bytes())
            );
        }
    }

    #[test]
    fn every_line_of_the_table_is_needed_and_passes_the_first_look() {
        for wrapper in WRAPPERS {
            let matches =
                |symbol: &&str| glob(wrapper.as_bytes(), demangle(symbol.as_bytes()).as_bytes());
            assert!(SYMBOLS.iter().any(matches), "{wrapper}");
        }
    }

    #[test]
    fn further_globs_match_demangled_names_with_or_without_parameters() {
        assert!(is_wrapper("xmalloc", "xmalloc"));
        assert!(is_wrapper("xmalloc", "xmalloc.part.0"));
        assert!(is_wrapper("x?alloc", "xmalloc"));
        assert!(is_wrapper("foo;my::pool::*", "_ZN2my4pool3getEi"));
        assert!(is_wrapper("foo\tmy::pool::get(int)", "_ZN2my4pool3getEi"));
        assert!(is_wrapper("my::pool::get", "_ZN2my4pool3getEi"));
        assert!(is_wrapper("std::allocator*", "_ZNSaIcE8allocateEm"));
        assert!(!is_wrapper("my::pool", "_ZN2my4pool3getEi"));
        assert!(!is_wrapper("xmalloc", "xrealloc"));
    }

    #[test]
    fn the_first_look_for_a_glob_is_never_too_narrow() {
        assert_eq!(needle(b"my::pool::*"), Some(b"pool".as_slice()));
        assert_eq!(needle(b"std::allocator*"), None);
        assert_eq!(needle(b"Foo::operator*"), None);
        assert_eq!(needle(b"get(int)"), None);
        assert_eq!(needle(b"*"), None);
    }
}
