//! Recordings for unit tests, written with the structures of the format.

use skipheap_format::PAGE;
use skipheap_format::layout::*;
use std::mem::offset_of;

/// Bytes of a finished recording of process `pid` that started at `start_ns` and has a site
/// without frames for each (size, count).
pub(crate) fn recording(pid: u32, start_ns: u64, sites: &[(u64, u64)]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_LEN as usize];
    let put = |bytes: &mut Vec<u8>, at: usize, value: &[u8]| {
        bytes[at..at + value.len()].copy_from_slice(value);
    };
    let exe = b"/usr/bin/program";
    put(&mut bytes, 0, &MAGIC);
    put(
        &mut bytes,
        offset_of!(Header, version),
        &FORMAT_VERSION.to_le_bytes(),
    );
    put(
        &mut bytes,
        offset_of!(Header, state),
        &STATE_FINISHED.to_le_bytes(),
    );
    put(&mut bytes, offset_of!(Header, pid), &pid.to_le_bytes());
    put(
        &mut bytes,
        offset_of!(Header, start_ns),
        &start_ns.to_le_bytes(),
    );
    put(
        &mut bytes,
        offset_of!(Header, exe_len),
        &(exe.len() as u32).to_le_bytes(),
    );
    put(&mut bytes, offset_of!(Header, exe), exe);
    let records = sites.len() * size_of::<SiteRecord>() + size_of::<ChunkHeader>();
    let len = records.next_multiple_of(PAGE as usize);
    let cursor = HEADER_LEN + len as u64;
    put(
        &mut bytes,
        offset_of!(Header, cursor),
        &cursor.to_le_bytes(),
    );
    bytes.extend(CHUNK_MAGIC.to_le_bytes());
    bytes.extend(CHUNK_SITES.to_le_bytes());
    bytes.extend((len as u32 / PAGE as u32).to_le_bytes());
    bytes.extend([0; 20]);
    for &(size, count) in sites {
        bytes.extend([0; 16]);
        bytes.extend(size.to_le_bytes());
        bytes.extend(count.to_le_bytes());
    }
    bytes.resize(cursor as usize, 0);
    bytes
}
