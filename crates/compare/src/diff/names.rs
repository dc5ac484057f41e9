//! Names without what changes when the same source is built again: hashes, clone suffixes, the folders
//! of the build.
//!
//! What tells functions of one name apart by their position is taken out as well, but kept beside the
//! name: numbers of closures and lambdas, lines, addresses of functions without symbols.

use skipheap_symbolize::demangle::demangle;

/// Digits of a crate's hash in a name: at most 16, without leading zeros.
const HASH_DIGITS: std::ops::RangeInclusive<usize> = 8..=16;

/// By what a function is told from others of the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Told {
    /// There is no other.
    #[default]
    Name,
    /// By the position of a closure, lambda or clone among others, or by a line.
    Position,
    /// By its address alone: it has no symbol.
    Address,
}

/// A name, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The name with `#` in place of each number.
    pub name: String,
    /// The numbers.
    pub numbers: Vec<u64>,
    /// What they mean.
    pub told: Told,
}

/// The name that the next build has as well, as far as names go: demangled, without hashes, with file
/// names in place of paths.
pub fn stable(name: &str) -> String {
    let name = demangle(name.as_bytes());
    let name = without_legacy_hash(&name);
    let name = without_crate_hashes(name);
    without_folders(&name)
}

/// Takes a stable name apart.
pub fn parts(stable: &str) -> Parts {
    if let Some((module, address)) = without_symbol(stable) {
        return Parts {
            name: format!("{module}+?"),
            numbers: vec![address],
            told: Told::Address,
        };
    }
    let mut parts = Parts::default();
    let mut rest = stable;
    while let Some((before, number, after)) = next_number(rest, !parts.numbers.is_empty()) {
        parts.name.push_str(before);
        parts.name.push('#');
        parts.numbers.push(number);
        parts.told = Told::Position;
        rest = after;
    }
    parts.name.push_str(rest);
    parts
}

/// A name without anything that a baseline should hold: [`stable`], and `module+?` for functions without
/// symbols, since addresses move with every build.
pub fn without_addresses(name: &str) -> String {
    let stable = stable(name);
    match without_symbol(&stable) {
        Some((module, _)) => format!("{module}+?"),
        None => stable,
    }
}

/// Returns whether it is the name of a function without a symbol, of whatever address.
pub fn is_without_symbol(name: &str) -> bool {
    name.ends_with("+?") || without_symbol(name).is_some()
}

/// Module and address of `module+0x1234`.
fn without_symbol(name: &str) -> Option<(&str, u64)> {
    let (module, address) = name.rsplit_once("+0x")?;
    let address = u64::from_str_radix(address, 16).ok()?;
    (!module.is_empty()).then_some((module, address))
}

/// Cuts `::h0123456789abcdef`, which Rust's older mangling puts behind every name.
fn without_legacy_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((before, hash)) if hash.len() == 16 && is_hex(hash) && !before.is_empty() => before,
        _ => name,
    }
}

fn is_hex(text: &str) -> bool {
    let is_digit = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
    text.bytes().all(is_digit)
}

/// Cuts `[0123456789abcdef]` behind names of crates.
fn without_crate_hashes(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(open) = rest.find('[') {
        let (before, from) = rest.split_at(open);
        text.push_str(before);
        let is_behind_name = before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let hash = from.find(']').and_then(|close| from.get(1..close));
        match hash {
            Some(hash) if is_behind_name && HASH_DIGITS.contains(&hash.len()) && is_hex(hash) => {
                rest = &from[hash.len() + 2..];
            }
            _ => {
                text.push('[');
                rest = &from[1..];
            }
        }
    }
    text.push_str(rest);
    text
}

/// Cuts the folders of absolute paths inside a name, and of those behind `@` (`{closure@src/main.rs:3:4}`).
fn without_folders(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find('/') {
        // Where the path begins: here, or behind an `@`.
        let begin = rest[..at].rfind(|c| !is_of_path(c)).map_or(0, |i| {
            i + rest[i..].chars().next().map_or(1, char::len_utf8)
        });
        let end = rest[at..]
            .find(|c| !is_of_path(c))
            .map_or(rest.len(), |length| at + length);
        let (before, path) = (&rest[..begin], &rest[begin..end]);
        let file = path.rsplit('/').next().unwrap_or(path);
        let is_path = begin == at || before.ends_with('@');
        text.push_str(before);
        text.push_str(if is_path && !file.is_empty() {
            file
        } else {
            path
        });
        rest = &rest[end..];
    }
    text.push_str(rest);
    text
}

fn is_of_path(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '~')
}

/// The next number that is a position, with what comes before and behind it. `is_behind` is whether such a
/// number stands in front of `name`.
fn next_number(name: &str, is_behind: bool) -> Option<(&str, u64, &str)> {
    let bytes = name.as_bytes();
    let mut start = 0;
    while let Some(found) = name.get(start..)?.find(|c: char| c.is_ascii_digit()) {
        let begin = start + found;
        let digits = bytes[begin..].iter().take_while(|c| c.is_ascii_digit());
        let end = begin + digits.count();
        let (before, after) = (&name[..begin], &name[end..]);
        if let Ok(number) = name[begin..end].parse()
            && (is_position(before, after) || is_behind && matches!(before, ":" | ": "))
        {
            return Some((before, number, after));
        }
        start = end;
    }
    None
}

/// Returns whether the number between these is a position.
fn is_position(before: &str, after: &str) -> bool {
    // {closure#0}, {lambda(int)#2}, {unnamed type#1}
    let in_braces = before.ends_with('#') && after.starts_with('}');
    // What clang calls a lambda.
    let of_clang = before.ends_with("$_");
    // file.rs:12:5
    let of_file = before.strip_suffix(':').is_some_and(is_file);
    // What linkers append to names that occur twice.
    let of_twin = after.is_empty() && before.strip_suffix('.').is_some_and(is_identifier_end);
    in_braces || of_clang || of_file || of_twin
}

/// Returns whether the text ends with a file name with an extension.
fn is_file(text: &str) -> bool {
    let extension = text.rsplit(|c: char| !c.is_alphanumeric()).next();
    let before = extension.and_then(|extension| {
        let is_short = (1..=4).contains(&extension.len());
        text.strip_suffix(extension).filter(|_| is_short)
    });
    before.is_some_and(|before| before.ends_with('.'))
}

fn is_identifier_end(text: &str) -> bool {
    text.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_build_adds_is_cut() {
        for (name, expected) in [
            ("main", "main"),
            ("fold.llvm.12345", "fold"),
            ("f.constprop.0.isra.0", "f"),
            ("f.part.3.cold", "f"),
            ("core::fmt::write::h0123456789abcdef", "core::fmt::write"),
            ("core::fmt::write::hello", "core::fmt::write::hello"),
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
            ("_ZN1a1bEv.constprop.0", "a::b()"),
            (
                "alloc[39b2cc7c8a6e9c28]::vec::Vec<core[1f8a7e3b2c9d0e4f]::u8>::push",
                "alloc::vec::Vec<core::u8>::push",
            ),
            ("<[u8; 4]>::f[x]", "<[u8; 4]>::f[x]"),
            ("py::run:/home/a/b/tool.py", "py::run:tool.py"),
            ("JS:*f /build/1/x.js:12:5", "JS:*f x.js:12:5"),
            ("{closure@src/bin/main.rs:3:4}", "{closure@main.rs:3:4}"),
            ("(lambda at /b/x.cpp:3:5)", "(lambda at x.cpp:3:5)"),
            ("operator/(A, B)", "operator/(A, B)"),
            ("github.com/a/b.Run", "github.com/a/b.Run"),
            ("libjq.so.1+0x1c2c0", "libjq.so.1+0x1c2c0"),
        ] {
            assert_eq!(stable(name), expected);
        }
    }

    #[test]
    fn positions_are_taken_out() {
        use Told::{Address, Name, Position};
        for (name, expected, numbers, told) in [
            ("f2::g3(int4)", "f2::g3(int4)", &[][..], Name),
            (
                "m::f::{closure#1}::{closure#0}",
                "m::f::{closure##}::{closure##}",
                &[1, 0],
                Position,
            ),
            (
                "call<main::{lambda(int)#2}>(main::{lambda(int)#2})",
                "call<main::{lambda(int)##}>(main::{lambda(int)##})",
                &[2, 2],
                Position,
            ),
            (
                "main::$_10::operator()() const",
                "main::$_#::operator()() const",
                &[10],
                Position,
            ),
            ("JS:*f x.js:12:5", "JS:*f x.js:#:#", &[12, 5], Position),
            ("Vector.make__call.1", "Vector.make__call.#", &[1], Position),
            ("libjq.so.1+0x1c2c0", "libjq.so.1+?", &[0x1c2c0], Address),
            ("a::b::c:7", "a::b::c:7", &[], Name),
        ] {
            let parts = parts(name);
            assert_eq!(parts.name, expected, "{name}");
            assert_eq!(parts.numbers, numbers, "{name}");
            assert_eq!(parts.told, told, "{name}");
        }
    }

    #[test]
    fn a_baseline_holds_no_address() {
        assert_eq!(without_addresses("libjq.so.1+0x1c2c0"), "libjq.so.1+?");
        assert_eq!(without_addresses("libjq.so.1+?"), "libjq.so.1+?");
        assert!(is_without_symbol("libjq.so.1+?"));
        assert!(!is_without_symbol("f+g"));
    }

    proptest! {
        #[test]
        fn stable_names_stay_so(name in "[ -~äß]{0,40}") {
            let once = stable(&name);
            prop_assert_eq!(&stable(&once), &once, "{}", name);
        }

        #[test]
        fn any_name_comes_apart(name in "[a-z:{}#$_.0-9/@+x ]{0,40}") {
            let parts = parts(&name);
            prop_assert_eq!(parts.numbers.is_empty(), parts.told == Told::Name);
        }
    }
}
