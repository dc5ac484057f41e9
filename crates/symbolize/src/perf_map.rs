//! Names of code that was made at run time, from the map that the program's JIT leaves for perf.
//!
//! Format: the Linux kernel's tools/perf/Documentation/jit-interface.txt, lines of `START SIZE
//! name` with START and SIZE in hexadecimal, in `/tmp/perf-PID.map`.

use super::code_map::{CodeMap, Entry};
use super::foreign_file;
use crate::identity::Origin;
use skipheap_text::printable;
use std::path::Path;

/// Most bytes of a map that are read.
const LARGEST_MAP: u64 = 256 << 20;

/// Reads the map of a process; `None` when it left none. One that an earlier process of the same number
/// left is none of this one's.
pub fn of_process(origin: &Origin) -> Option<CodeMap> {
    let path = format!("/tmp/perf-{}.map", origin.pid);
    let text = foreign_file::read(Path::new(&path), LARGEST_MAP, origin)?;
    Some(parse(&text))
}

/// Reads the text of a map. Lines that are none of its kind are passed over: the program may have
/// died in the middle of one.
pub fn parse(text: &[u8]) -> CodeMap {
    let hex = |field: &[u8]| {
        let text = std::str::from_utf8(field).ok()?;
        u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
    };
    let entry = |(line, text): (u64, &[u8])| {
        let mut fields = text.splitn(3, |&c| c == b' ');
        let (start, size) = (hex(fields.next()?)?, hex(fields.next()?)?);
        Some(Entry {
            start,
            end: start.saturating_add(size),
            made: line,
            name: printable(fields.next()?.trim_ascii()).into(),
        })
    };
    let lines = text.split(|&c| c == b'\n');
    CodeMap::new((0..).zip(lines).filter_map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_entry_that_covers_an_address_names_it() {
        let map = parse(b"1000 100 old\n2000 10 JS:~f file.js:1:2\n1080 20 new\nbroken\n30");
        let name = |address| map.find(address).map(|found| &**found.1);
        assert_eq!(name(0xfff), None);
        assert_eq!(name(0x1000), Some("old"));
        assert_eq!(name(0x1090), Some("new"));
        assert_eq!(name(0x10a0), Some("old"));
        assert_eq!(name(0x1100), None);
        assert_eq!(name(0x200f), Some("JS:~f file.js:1:2"));
    }

    #[test]
    fn names_are_made_safe_to_print() {
        let map = parse(b"10 10 a\x1b[1m\n");
        assert_eq!(map.find(0x10), Some((0x10, &"a\\x1b[1m".into())));
    }
}
