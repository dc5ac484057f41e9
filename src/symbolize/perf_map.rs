//! Names of code that was made at run time, from the map that the program's JIT leaves for perf.
//!
//! Format: the Linux kernel's tools/perf/Documentation/jit-interface.txt, lines of `START SIZE
//! name` with START and SIZE in hexadecimal, in `/tmp/perf-PID.map`.

use super::demangle::printable;
use std::path::Path;

/// Most bytes of a map that are read.
const LARGEST_MAP: u64 = 256 << 20;

struct Entry {
    start: u64,
    end: u64,
    /// Line of the file: of two entries for one place, the later one is right.
    line: usize,
    name: String,
}

/// The functions of one process's map.
pub(crate) struct PerfMap {
    entries: Vec<Entry>,
    /// Largest `end` of the entries up to each one, to know where a search backwards ends.
    reach: Vec<u64>,
}

impl PerfMap {
    /// Reads the map of a process; `None` when it left none.
    pub(crate) fn of_process(pid: u32) -> Option<Self> {
        let path = format!("/tmp/perf-{pid}.map");
        let path = Path::new(&path);
        let metadata = std::fs::symlink_metadata(path).ok()?;
        if !metadata.is_file() || metadata.len() > LARGEST_MAP {
            return None;
        }
        Some(Self::parse(&std::fs::read(path).ok()?))
    }

    /// Reads the text of a map. Lines that are none of its kind are passed over: the program may
    /// have died in the middle of one.
    pub(crate) fn parse(text: &[u8]) -> Self {
        let hex = |field: &[u8]| {
            let text = std::str::from_utf8(field).ok()?;
            u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
        };
        let mut entries: Vec<Entry> = text
            .split(|&c| c == b'\n')
            .enumerate()
            .filter_map(|(line, text)| {
                let mut fields = text.splitn(3, |&c| c == b' ');
                let (start, size) = (hex(fields.next()?)?, hex(fields.next()?)?);
                let name = printable(fields.next()?.trim_ascii());
                let end = start.saturating_add(size);
                (end > start && !name.is_empty()).then_some(Entry {
                    start,
                    end,
                    line,
                    name,
                })
            })
            .collect();
        entries.sort_by_key(|entry| (entry.start, entry.line));
        let reach = entries
            .iter()
            .scan(0, |furthest, entry| {
                *furthest = entry.end.max(*furthest);
                Some(*furthest)
            })
            .collect();
        Self { entries, reach }
    }

    /// The function that contains an address, by its start and name.
    pub(crate) fn find(&self, address: u64) -> Option<(u64, &str)> {
        let behind = self.entries.partition_point(|entry| entry.start <= address);
        let mut best: Option<&Entry> = None;
        for (entry, reach) in self.entries.iter().zip(&self.reach).take(behind).rev() {
            if *reach <= address {
                break;
            }
            if address < entry.end && best.is_none_or(|best| best.line < entry.line) {
                best = Some(entry);
            }
        }
        best.map(|entry| (entry.start, entry.name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_entry_that_covers_an_address_names_it() {
        let map =
            PerfMap::parse(b"1000 100 old\n2000 10 JS:~f file.js:1:2\n1080 20 new\nbroken\n30");
        let name = |address| map.find(address).map(|found| found.1);
        assert_eq!(name(0xfff), None);
        assert_eq!(name(0x1000), Some("old"));
        assert_eq!(name(0x1090), Some("new"));
        assert_eq!(name(0x10a0), Some("old"));
        assert_eq!(name(0x1100), None);
        assert_eq!(name(0x200f), Some("JS:~f file.js:1:2"));
    }

    #[test]
    fn names_are_made_safe_to_print() {
        let map = PerfMap::parse(b"10 10 a\x1b[1m\n");
        assert_eq!(map.find(0x10), Some((0x10, "a\\x1b[1m")));
    }
}
