//! Names, values and defaults of the environment variables: one table for the library, the tool
//! and docs/settings.md.

use skipheap_format::layout::MOST_FRAMES;

/// Which programs are profiled; see [`Mode`].
pub const PROFILE: &str = "SKIP_HEAP_PROFILE";
/// Globs of program names to profile, `!` to exclude; see [`super::filter`].
pub const PROGRAMS: &str = "SKIP_HEAP_PROGRAMS";
/// Globs of further functions to trim from the stacks like allocation wrappers.
pub const TRIM: &str = "SKIP_HEAP_TRIM";
/// Folder in which the library leaves its recordings for the tool, set by the tool: the library
/// then prints nothing and writes no CSV.
pub const SESSION: &str = "SKIP_HEAP_SESSION";
/// Folder for recordings of processes that cannot enter that of [`SESSION`], set by the tool where it runs
/// as root. Who does not know its name cannot find it.
pub const OTHERS: &str = "SKIP_HEAP_SESSION_OTHERS";
/// The programs that the tool's command names although they are left out by default, with the process
/// id of the tool in front: `PID/NAME…`. Set by the tool for the library. See
/// [`super::filter::named_by`].
pub const NAMED: &str = "SKIP_HEAP_NAMED";
/// `1`: keep the recording beside the CSV.
pub const KEEP: &str = "SKIP_HEAP_KEEP";
/// `1`: leave out the lines of the original profiler on standard error.
pub const QUIET: &str = "SKIP_HEAP_QUIET";

/// `1/N`: compare one stack in N with a second unwinder; see [`one_in`].
pub const VERIFY: &str = "SKIP_HEAP_VERIFY";
/// Values that [`VERIFY`] accepts, for messages.
pub const VERIFY_VALUES: &str = "0 (off), or 1/N to compare one stack in N, as 1/1000";

/// Functions to hook by name; see [`super::hook_spec`].
pub const HOOKS: &str = "SKIP_HEAP_HOOKS";
/// Which allocators are reported; see [`Allocators`].
pub const ALLOCATORS: &str = "SKIP_HEAP_ALLOCATORS";

/// Values that [`ALLOCATORS`] accepts, for messages.
pub const ALLOCATORS_VALUES: &str =
    "auto, all, none, or some of malloc, obstack, persistent, jemalloc, mimalloc, tcmalloc";

/// Frames of each stack: a number or `full`; see [`stack_depth`].
pub const STACK_DEPTH: &str = "SKIP_HEAP_STACK_DEPTH";
/// Values that [`STACK_DEPTH`] accepts, for messages.
pub const STACK_DEPTH_VALUES: &str = "a number of frames from 1 to 1024, or full";
/// `1`: follow each block until it is freed.
pub const LIVE: &str = "SKIP_HEAP_LIVE";
/// `1`: tell at exit which live blocks are still reachable. Follows blocks as [`LIVE`] does.
pub const LEAK_CHECK: &str = "SKIP_HEAP_LEAK_CHECK";
/// A file of leaks that are known and not to be reported, as LeakSanitizer has them.
pub const SUPPRESSIONS: &str = "SKIP_HEAP_SUPPRESSIONS";
/// Record one allocation in about so many bytes; see [`sample_bytes`].
pub const SAMPLE: &str = "SKIP_HEAP_SAMPLE";
/// Values that [`SAMPLE`] accepts, for messages.
pub const SAMPLE_VALUES: &str =
    "0 (off), or the mean number of bytes between two samples, as 524288 or 512K";
/// `1`: record nothing until the program, or the tool, says so.
pub const STOPPED: &str = "SKIP_HEAP_STOPPED";
/// Columns of the CSV: `seed` or `all`.
pub const COLUMNS: &str = "SKIP_HEAP_COLUMNS";
/// Values that [`COLUMNS`] accepts, for messages.
pub const COLUMNS_VALUES: &str = "seed (the seven of the original) or all";

/// Values that [`PROFILE`] accepts, for messages.
pub const PROFILE_VALUES: &str =
    "0 (off), 1 (every program but the Skip compiler), 2 (the Skip compiler too)";

/// Reads the value of [`VERIFY`]: one stack in how many, 0 for none; `None` when it is none of the
/// accepted ones.
pub fn one_in(value: Option<&[u8]>) -> Option<u32> {
    match value.map(<[u8]>::trim_ascii) {
        None | Some(b"" | b"0") => Some(0),
        Some(b"1") => Some(1),
        Some(text) => {
            let number = core::str::from_utf8(text.strip_prefix(b"1/")?).ok()?;
            let plain = number.bytes().all(|byte| byte.is_ascii_digit());
            number.parse().ok().filter(|&n| plain && n > 0)
        }
    }
}

/// Reads the value of [`STACK_DEPTH`]: the number of frames, 4 by default; `None` when it is none of
/// the accepted ones.
pub fn stack_depth(value: Option<&[u8]>) -> Option<u32> {
    match value.map(<[u8]>::trim_ascii) {
        None | Some(b"") => Some(4),
        Some(b"full") => Some(MOST_FRAMES),
        Some(text) => {
            let number = plain_number(text)?;
            u32::try_from(number)
                .ok()
                .filter(|depth| (1..=MOST_FRAMES).contains(depth))
        }
    }
}

/// Reads the value of [`SAMPLE`], with K, M or G behind it for powers of 1024; `None` when it is none
/// of the accepted ones.
pub fn sample_bytes(value: Option<&[u8]>) -> Option<u64> {
    let text = value.unwrap_or(b"").trim_ascii();
    if text.is_empty() {
        return Some(0);
    }
    let (number, shift) = match text.split_last()? {
        (b'K', number) => (number, 10),
        (b'M', number) => (number, 20),
        (b'G', number) => (number, 30),
        _ => (text, 0),
    };
    plain_number(number)?
        .checked_mul(1 << shift)
        .filter(|&bytes| bytes < 1 << 40)
}

fn plain_number(text: &[u8]) -> Option<u64> {
    let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = core::str::from_utf8(text).ok()?;
    plain.then(|| text.parse().ok()).flatten()
}

/// What [`PROFILE`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `0`: load the library and do nothing.
    Off,
    /// Unset, empty or `1`: every program but the Skip compiler.
    Programs,
    /// `2`: the Skip compiler too.
    CompilerToo,
}

impl Mode {
    /// Reads the value of [`PROFILE`]; `None` when it is none of the accepted ones.
    pub fn parse(value: Option<&[u8]>) -> Option<Self> {
        match value {
            None | Some(b"" | b"1") => Some(Self::Programs),
            Some(b"0") => Some(Self::Off),
            Some(b"2") => Some(Self::CompilerToo),
            Some(_) => None,
        }
    }
}

/// Which allocators [`ALLOCATORS`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocators {
    /// Unset, empty or `auto`: ObStack alone in a Skip program; in any other malloc and what is
    /// linked into it.
    Auto,
    /// Bits of [`AllocatorKind`].
    Chosen(u8),
}

/// Whether functions, and thus allocators other than the C library's, can be hooked by name: only
/// on x86-64.
pub const HOOKS_BY_NAME: bool = cfg!(target_arch = "x86_64");

/// Why hooks by name are refused on other architectures.
pub const NO_HOOKS_BY_NAME: &str = "functions cannot be hooked by name on this architecture; malloc and its relatives are recorded";

/// An allocator that can be asked for. The value is its bit in [`Allocators::Chosen`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AllocatorKind {
    /// The C library's functions, and those of the same names in the executable.
    Malloc = 1,
    /// The Skip runtime's.
    Obstack = 2,
    /// jemalloc linked into the executable, Rust's `_rjem_` copy too.
    Jemalloc = 4,
    /// mimalloc linked into the executable.
    Mimalloc = 8,
    /// tcmalloc linked into the executable.
    Tcmalloc = 16,
    /// The Skip runtime's persistent heap, which is reported only when it is named.
    Persistent = 32,
}

const MALLOC_ALONE: u8 = AllocatorKind::Malloc as u8;

impl Allocators {
    /// Returns whether functions have to be hooked by name, or the C library's left out, which is done in the
    /// same way. (`auto` asks for what there is.)
    pub fn needs_hooks(self) -> bool {
        !matches!(self, Self::Auto | Self::Chosen(MALLOC_ALONE))
    }

    /// Reads the value of [`ALLOCATORS`], names separated by commas; `None` when one of them is
    /// unknown.
    pub fn parse(value: Option<&[u8]>) -> Option<Self> {
        let value = value.unwrap_or(b"").trim_ascii();
        if value.is_empty() || value == b"auto" {
            return Some(Self::Auto);
        }
        let mut chosen = 0;
        for name in value.split(|&c| c == b',') {
            chosen |= match name.trim_ascii() {
                b"all" => 63,
                b"none" => 0,
                b"malloc" => AllocatorKind::Malloc as u8,
                b"obstack" => AllocatorKind::Obstack as u8,
                b"jemalloc" => AllocatorKind::Jemalloc as u8,
                b"mimalloc" => AllocatorKind::Mimalloc as u8,
                b"tcmalloc" => AllocatorKind::Tcmalloc as u8,
                b"persistent" => AllocatorKind::Persistent as u8,
                _ => return None,
            };
        }
        Some(Self::Chosen(chosen))
    }

    /// Returns whether this one is reported, in a program that is or is not a Skip program.
    pub fn has(self, kind: AllocatorKind, is_skip_program: bool) -> bool {
        match self {
            Self::Auto => {
                kind != AllocatorKind::Persistent
                    && (kind == AllocatorKind::Obstack) == is_skip_program
            }
            Self::Chosen(chosen) => chosen & kind as u8 != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_stacks_is_one_in_so_many() {
        let parse = |text: &str| one_in(Some(text.as_bytes()));
        assert_eq!(one_in(None), Some(0));
        assert_eq!(
            [parse(""), parse("0"), parse("1")],
            [Some(0), Some(0), Some(1)]
        );
        assert_eq!([parse("1/1"), parse(" 1/1000 ")], [Some(1), Some(1000)]);
        for bad in [
            "2/3",
            "1/0",
            "1/",
            "1/-5",
            "1/+5",
            "yes",
            "1000",
            "1/99999999999",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn depths_and_sampling_rates_are_read() {
        let depth = |text: &str| stack_depth(Some(text.as_bytes()));
        assert_eq!(stack_depth(None), Some(4));
        assert_eq!(
            [depth(""), depth("full"), depth(" 12 "), depth("1024")],
            [Some(4), Some(1024), Some(12), Some(1024)]
        );
        for bad in [
            "0",
            "1025",
            "-1",
            "+4",
            "all",
            "4.0",
            "99999999999999999999",
        ] {
            assert_eq!(depth(bad), None, "{bad}");
        }
        let sample = |text: &str| sample_bytes(Some(text.as_bytes()));
        assert_eq!(sample_bytes(None), Some(0));
        assert_eq!(
            [sample("0"), sample("512K"), sample("3M"), sample("1000")],
            [Some(0), Some(512 << 10), Some(3 << 20), Some(1000)]
        );
        for bad in ["K", "1/2", "-1", "1KB", "2000G", "99999999999999999999"] {
            assert_eq!(sample(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_skip_program_reports_obstack_alone_unless_asked() {
        use AllocatorKind::*;
        let parse = |text: &str| Allocators::parse(Some(text.as_bytes()));
        let auto = Allocators::parse(None).unwrap();
        assert_eq!(parse(" auto "), Some(auto));
        assert!(auto.has(Obstack, true) && !auto.has(Malloc, true) && !auto.has(Jemalloc, true));
        assert!(!auto.has(Obstack, false) && auto.has(Malloc, false) && auto.has(Jemalloc, false));
        assert!(!auto.has(Persistent, true) && !auto.has(Persistent, false));
        assert!(parse("persistent").unwrap().has(Persistent, true));
        let both = parse("malloc, obstack").unwrap();
        assert!(both.has(Malloc, true) && both.has(Obstack, true) && !both.has(Mimalloc, true));
        let all = parse("all").unwrap();
        for kind in [Malloc, Obstack, Jemalloc, Mimalloc, Tcmalloc, Persistent] {
            assert!(all.has(kind, true) && all.has(kind, false));
            assert!(!parse("none").unwrap().has(kind, false));
        }
        assert_eq!(parse("malloc,x"), None);
        assert_eq!(parse("malloc,"), None);
    }
}
