//! Names of code that was made at run time, from the dump that the program's JIT writes for perf.
//!
//! Format: the Linux kernel's tools/perf/Documentation/jitdump-specification.txt, version 1. The
//! JIT maps the first page of its `jit-PID.dump` as code, to leave a trace of where that file is;
//! the library notes the mapping as a module when it first meets code of no object file.
//!
//! Untrusted input: a record that does not fit ends the reading, as the program may have died in
//! the middle of one.

use super::bytes::MappedFile;
use super::code_map::{CodeMap, Entry};
use super::foreign_file;
use super::hash::FastMap;
use crate::identity::Origin;
use skipheap_text::printable;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;

/// "JiTD", as a number of the machine that wrote it.
const MAGIC: u32 = 0x4A69_5444;
const VERSION: u32 = 1;
/// Most bytes of a dump that are read.
const LARGEST_DUMP: u64 = 4 << 30;
/// Bytes of the file's header, and where it says how many there are.
const HEADER_LEN: usize = 40;
const HEADER_LEN_AT: usize = 8;
/// Bytes in front of each record's own: kind, length, time.
const RECORD_LEN: usize = 16;
/// Records that say where code is, and that it was moved.
const CODE_LOAD: u32 = 0;
const CODE_MOVE: u32 = 1;

/// The process that the file of this path is the dump of; `None` for other files.
pub fn process_of(path: &[u8]) -> Option<u32> {
    let name = path.rsplit(|&c| c == b'/').next()?;
    let pid = name.strip_prefix(b"jit-")?.strip_suffix(b".dump")?;
    let is_number = pid.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(pid)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
}

/// Reads the dump of a process; `None` when there is none.
pub fn open(path: &[u8], origin: &Origin) -> Option<CodeMap> {
    let path = Path::new(OsStr::from_bytes(path));
    let file = foreign_file::open(path, LARGEST_DUMP, origin)?;
    parse(&MappedFile::of(file)?.bytes)
}

/// Reads the bytes of a dump, as far as they are whole; `None` when they are something else.
pub fn parse(dump: &[u8]) -> Option<CodeMap> {
    if (u32_at(dump, 0)?, u32_at(dump, 4)?) != (MAGIC, VERSION) {
        return None;
    }
    let header_len = u32_at(dump, HEADER_LEN_AT)? as usize;
    let mut rest = dump.get(header_len.max(HEADER_LEN)..)?;
    let mut entries = Vec::new();
    let mut names = FastMap::default();
    while let Some((record, behind)) = next(rest) {
        if let Some(entry) = entry(record, &mut names) {
            entries.push(entry);
        }
        rest = behind;
    }
    Some(CodeMap::new(entries))
}

/// A whole record, and what is behind it.
fn next(dump: &[u8]) -> Option<(&[u8], &[u8])> {
    let len = u32_at(dump, 4)? as usize;
    (len >= RECORD_LEN).then(|| dump.split_at_checked(len))?
}

/// The function that a record speaks of. `names` has those of before by number.
fn entry(record: &[u8], names: &mut FastMap<u64, Rc<str>>) -> Option<Entry> {
    let made = u64_at(record, 8)?;
    // Behind the process and the thread.
    let body = record.get(RECORD_LEN + 8..)?;
    let (start, size, name) = match u32_at(record, 0)? {
        CODE_LOAD => {
            let text = body.get(32..)?;
            let name: Rc<str> = printable(text.get(..memchr::memchr(0, text)?)?).into();
            names.insert(u64_at(body, 24)?, Rc::clone(&name));
            (u64_at(body, 8)?, u64_at(body, 16)?, name)
        }
        CODE_MOVE => {
            let name = Rc::clone(names.get(&u64_at(body, 32)?)?);
            (u64_at(body, 16)?, u64_at(body, 24)?, name)
        }
        _ => return None,
    };
    Some(Entry {
        start,
        end: start.saturating_add(size),
        made,
        name,
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header() -> Vec<u8> {
        let mut bytes = b"DTiJ".to_vec();
        bytes.extend([1_u32, 40, 62, 0, 7].map(u32::to_le_bytes).concat());
        bytes.extend([0; 16]);
        bytes
    }

    fn record(kind: u32, time: u64, words: &[u64], text: &[u8]) -> Vec<u8> {
        let len = RECORD_LEN + 8 + 8 * words.len() + text.len();
        let mut bytes = [kind, len as u32].map(u32::to_le_bytes).concat();
        bytes.extend(time.to_le_bytes());
        bytes.extend([7_u32, 8].map(u32::to_le_bytes).concat());
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend(text);
        bytes
    }

    /// Code of some length at an address, under a number.
    fn load(time: u64, address: u64, size: u64, number: u64, name: &str) -> Vec<u8> {
        let text = [name.as_bytes(), b"\0", &vec![0xcc; size as usize]].concat();
        record(CODE_LOAD, time, &[address, address, size, number], &text)
    }

    fn dump() -> Vec<u8> {
        [
            header(),
            load(5, 0x1000, 0x100, 1, "JS:*f t.js:1:2"),
            // Written late, but made before: threads write in any order.
            load(2, 0x1080, 0x100, 2, "earlier"),
            record(2, 6, &[1, 2, 3], b"lines of the source"),
            record(CODE_MOVE, 7, &[0x3000, 0x1000, 0x3000, 0x10, 1], b""),
            load(8, 0x2000, 0x10, 3, "a\x1b[1m"),
            record(3, 9, &[], b""),
        ]
        .concat()
    }

    #[test]
    fn the_latest_code_at_an_address_names_it() {
        let map = parse(&dump()).unwrap();
        let name = |address| map.find(address).map(|found| &**found.1);
        assert_eq!(name(0xfff), None);
        assert_eq!(name(0x1000), Some("JS:*f t.js:1:2"));
        assert_eq!(name(0x10ff), Some("JS:*f t.js:1:2"));
        assert_eq!(name(0x1100), Some("earlier"));
        assert_eq!(name(0x1180), None);
        assert_eq!(name(0x2005), Some("a\\x1b[1m"));
        assert_eq!(name(0x300f), Some("JS:*f t.js:1:2"));
        assert_eq!(name(0x3010), None);
    }

    #[test]
    fn a_dump_that_ends_in_a_record_gives_what_is_before() {
        let whole = dump();
        let at = |len: usize| parse(&whole[..len]).map(|map| map.find(0x1000).is_some());
        assert_eq!(at(39), None);
        assert_eq!(at(40), Some(false));
        assert_eq!(at(40 + 100), Some(false));
        assert_eq!(at(whole.len() - 1), Some(true));
        assert!(parse(b"JiTD").is_none() && parse(&[0; 100]).is_none());
    }

    #[test]
    fn dumps_are_known_by_their_names() {
        assert_eq!(process_of(b"/a b/jit-123.dump"), Some(123));
        for other in [
            "/tmp/jit-.dump",
            "/jit-1.dump/x",
            "jit-1x.dump",
            "jit-+1.dump",
            "",
        ] {
            assert_eq!(process_of(other.as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(tail: Vec<u8>, at: prop::sample::Index, byte: u8) {
            let mut bytes = [header(), tail].concat();
            let _ = parse(&bytes).and_then(|map| map.find(0).map(drop));
            bytes = dump();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = parse(&bytes).and_then(|map| map.find(0x1000).map(drop));
        }
    }
}
