//! Allocation wrappers: functions that only pass an allocation on, so that the caller behind them
//! is the one who asked for memory. They are left out of the stacks when these are recorded.

use super::demangle::demangle;
use super::object_file::{read_symbols, sources};
use crate::record::filter::glob;
use memchr::memmem;

/// The wrappers, as globs of demangled names. (Functions of libc such as `strdup` are callers like
/// any other.)
///
/// The last lines are what lies between Rust's `__rdl_alloc` and malloc, and between its
/// collections and `__rust_alloc`, where the optimiser has left them.
const WRAPPERS: [&str; 15] = [
    "operator new(*",
    "operator new[](*",
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
    "alloc::alloc::*",
    "<alloc::alloc::*",
    "<std::alloc::System as core::alloc::*",
];

/// Knows which functions are wrappers.
pub(crate) struct Wrappers {
    extra: Vec<Vec<u8>>,
}

impl Wrappers {
    /// With further globs, separated by white space or `;` (C++ names have commas and colons). They
    /// match demangled names with or without parameters.
    pub(crate) fn new(extra: &[u8]) -> Self {
        let extra = extra
            .split(|&c| c == b';' || c.is_ascii_whitespace())
            .filter(|pattern| !pattern.is_empty())
            .map(<[u8]>::to_vec)
            .collect();
        Self { extra }
    }

    /// The address ranges (SVMA, end exclusive) of the wrappers in a file, sorted.
    pub(crate) fn ranges(&self, path: &[u8], build_id: &[u8]) -> Vec<(u64, u64)> {
        let needles = Needles::new();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        // Not sorted first, and not kept: this runs in the profiled program, once for each module.
        for data in sources(path, build_id) {
            read_symbols(&data, &mut |symbol| {
                let likely = needles.may_be_wrapper(symbol.name) || !self.extra.is_empty();
                if likely && symbol.size != 0 && self.is_wrapper(symbol.name) {
                    ranges.push((symbol.start, symbol.start.saturating_add(symbol.size)));
                }
            });
        }
        ranges.sort_unstable();
        ranges.dedup_by(|next, before| {
            let overlaps = next.0 < before.1;
            if overlaps {
                before.1 = before.1.max(next.1);
            }
            overlaps
        });
        ranges
    }

    fn is_wrapper(&self, symbol: &[u8]) -> bool {
        let name = demangle(symbol);
        let name = name.as_bytes();
        let bare = name.split(|&c| c == b'(').next().unwrap_or(name);
        WRAPPERS
            .iter()
            .any(|pattern| glob(pattern.as_bytes(), name))
            || self
                .extra
                .iter()
                .any(|pattern| glob(pattern, name) || glob(pattern, bare))
    }
}

/// A first look at mangled names, so that the hundred thousand others are not demangled: this runs
/// in the profiled program.
struct Needles {
    rustc: memmem::Finder<'static>,
    alloc: memmem::Finder<'static>,
    alloc_in_impl: memmem::Finder<'static>,
    system: memmem::Finder<'static>,
}

impl Needles {
    fn new() -> Self {
        Self {
            rustc: memmem::Finder::new("___r"),
            alloc: memmem::Finder::new("5alloc5alloc"),
            alloc_in_impl: memmem::Finder::new("alloc..alloc.."),
            system: memmem::Finder::new("System"),
        }
    }

    fn may_be_wrapper(&self, symbol: &[u8]) -> bool {
        let finds = |needle: &memmem::Finder<'_>| needle.find(symbol).is_some();
        match symbol {
            [b'_', b'Z', b'n', b'w' | b'a', ..] => true,
            [b'_', b'_', b'r', ..] => true,
            [b'_', b'R', ..] => finds(&self.rustc) || finds(&self.alloc) || finds(&self.system),
            // Rust's older mangling looks like C++ but for the hash at its end.
            [b'_', b'Z', b'N', ..] if is_legacy_rust(symbol) => {
                finds(&self.alloc) || finds(&self.alloc_in_impl) || finds(&self.system)
            }
            _ => false,
        }
    }
}

/// Does the name end with `17h`, sixteen hexadecimal digits and `E`, perhaps with a clone's suffix
/// behind?
fn is_legacy_rust(symbol: &[u8]) -> bool {
    const TAIL: usize = "17h0123456789abcdefE".len();
    let name = memmem::find(symbol, b"E.llvm.")
        .and_then(|at| symbol.get(..=at))
        .unwrap_or(symbol);
    name.len()
        .checked_sub(TAIL)
        .and_then(|at| name.get(at..))
        .is_some_and(|tail| tail.starts_with(b"17h") && tail.ends_with(b"E"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_wrapper(extra: &str, symbol: &str) -> bool {
        let wrappers = Wrappers::new(extra.as_bytes());
        (Needles::new().may_be_wrapper(symbol.as_bytes()) || !wrappers.extra.is_empty())
            && wrappers.is_wrapper(symbol.as_bytes())
    }

    #[test]
    fn wrappers_are_told_from_callers() {
        for symbol in [
            "_Znwm",
            "_ZnamSt11align_val_tRKSt9nothrow_t",
            "__rust_alloc",
            "__rdl_realloc",
            "_RNvCshQ3lqLnRCrK_7___rustc12___rust_alloc",
            "_RNvCshQ3lqLnRCrK_7___rustc11___rdl_alloc",
            "_ZN5alloc5alloc15exchange_malloc17h0123456789abcdefE",
            "_ZN63_$LT$alloc..alloc..Global$u20$as$u20$core..alloc..Allocator$GT$8allocate17h0123456789abcdefE",
        ] {
            assert!(is_wrapper("", symbol), "{symbol}");
        }
        for symbol in [
            "strdup",
            "main",
            "_ZdlPv",
            "__rust_dealloc",
            "_ZNSt6vectorIiSaIiEE9push_backEOi",
            "_ZN5alloc7raw_vec11finish_grow17h0123456789abcdefE",
            "_ZN3foo5alloc5allocEv",
        ] {
            assert!(!is_wrapper("", symbol), "{symbol}");
        }
    }

    #[test]
    fn further_globs_match_demangled_names_with_or_without_parameters() {
        assert!(is_wrapper("xmalloc", "xmalloc"));
        assert!(is_wrapper("foo;my::pool::*", "_ZN2my4pool3getEi"));
        assert!(is_wrapper("my::pool::get(int)", "_ZN2my4pool3getEi"));
        assert!(is_wrapper("my::pool::get", "_ZN2my4pool3getEi"));
        assert!(!is_wrapper("my::pool", "_ZN2my4pool3getEi"));
    }
}
