//! Any bytes as a dump of a JIT and as a map for perf, read to the names of functions.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skipheap_symbolize::{jit_dump, perf_map};

/// Magic number, version and length of the header, so that the fuzzer begins at the records.
const HEADER: [u8; 12] = *b"DTiJ\x01\0\0\0\x28\0\0\0";

fuzz_target!(|data: &[u8]| {
    let mut dump = HEADER.to_vec();
    dump.resize(40, 0);
    dump.extend_from_slice(data);
    let maps = [
        jit_dump::parse(data),
        jit_dump::parse(&dump),
        Some(perf_map::parse(data)),
    ];
    for map in maps.iter().flatten() {
        for address in data
            .chunks(8)
            .filter_map(|bytes| bytes.first_chunk().copied())
        {
            if let Some((start, name)) = map.find(u64::from_le_bytes(address)) {
                assert!(start <= u64::from_le_bytes(address));
                assert!(!name.is_empty() && !name.chars().any(char::is_control));
            }
        }
    }
});
