//! A consistent copy of a recording that is being written.
//!
//! A copy takes a while. A site that is added meanwhile may refer to a frame that lies where the copy
//! has already passed, so that the copy would contradict itself. Of two copies, one after the other,
//! the sites of the first refer only to what the second has: records are written before what refers
//! to them, and nothing is ever changed but counts.

use super::PAGE;
use super::layout::{
    CHUNK_MAGIC, CHUNK_SITES, ChunkHeader, HEADER_LEN, Header, STATE_RUNNING, STATE_SNAPSHOT,
};
use std::mem::offset_of;

/// The second copy with the sites of the first.
pub fn settled(first: &[u8], mut second: Vec<u8>) -> Vec<u8> {
    settle(first, &mut second);
    second
}

/// Makes a copy of the recording of a process that runs into a snapshot of this moment.
pub fn mark_snapshot(copy: &mut [u8], now_ns: u64) {
    let state = offset_of!(Header, state);
    let end = offset_of!(Header, end_ns);
    match copy.get_mut(state..state + 4) {
        Some(word) if *word == STATE_RUNNING.to_le_bytes() => {
            word.copy_from_slice(&STATE_SNAPSHOT.to_le_bytes());
        }
        _ => return,
    }
    if let Some(word) = copy.get_mut(end..end + 8) {
        word.copy_from_slice(&now_ns.to_le_bytes());
    }
}

/// Puts the sites of the first copy in place of those of the second.
pub fn settle(first: &[u8], second: &mut [u8]) {
    let page = PAGE as usize;
    let mut offset = HEADER_LEN as usize;
    while let Some(header) = second.get(offset..offset + size_of::<ChunkHeader>()) {
        let word = |at: usize| {
            header
                .get(at..at + 4)
                .and_then(|bytes| bytes.try_into().ok())
                .map_or(0, u32::from_le_bytes)
        };
        let pages = word(offset_of!(ChunkHeader, pages)) as usize;
        if word(offset_of!(ChunkHeader, magic)) != CHUNK_MAGIC || pages == 0 {
            offset += page;
            continue;
        }
        let is_sites = word(offset_of!(ChunkHeader, kind)) == CHUNK_SITES;
        let start = offset + size_of::<ChunkHeader>();
        offset = offset.saturating_add(pages * page);
        let end = offset.min(second.len());
        if is_sites && let Some(records) = second.get_mut(start..end) {
            let old = first.get(start..end.min(first.len())).unwrap_or(&[]);
            let (known, new) = records.split_at_mut(old.len());
            known.copy_from_slice(old);
            new.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::*;
    use crate::reader::Recording;

    fn header(cursor: u64) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN as usize];
        bytes[..8].copy_from_slice(&MAGIC);
        let version = offset_of!(Header, version);
        bytes[version..version + 4].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
        let at = offset_of!(Header, cursor);
        bytes[at..at + 8].copy_from_slice(&cursor.to_le_bytes());
        bytes
    }

    fn chunk(kind: u32, used: u32, records: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [CHUNK_MAGIC, kind, 1, used] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.resize(size_of::<ChunkHeader>(), 0);
        bytes.extend(records);
        bytes.resize(PAGE as usize, 0);
        bytes
    }

    fn site(frame: u32, count: u64) -> Vec<u8> {
        let mut bytes = frame.to_le_bytes().to_vec();
        bytes.resize(16, 0);
        bytes.extend(8_u64.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes
    }

    /// A recording in which frames come before sites, with so many of each.
    fn copy(frames: u32, counts: &[u64], chunks: usize) -> Vec<u8> {
        let frame =
            |i: usize| (HEADER_LEN as usize + size_of::<ChunkHeader>()) as u32 / 16 + i as u32;
        let sites: Vec<u8> = counts
            .iter()
            .enumerate()
            .flat_map(|(i, &count)| site(frame(i), count))
            .collect();
        let mut bytes = header(HEADER_LEN + chunks as u64 * PAGE);
        bytes.extend(chunk(CHUNK_FRAMES, frames * 16, &[0; 160]));
        bytes.extend(chunk(CHUNK_SITES, 0, &sites));
        bytes.truncate((HEADER_LEN + chunks as u64 * PAGE) as usize);
        bytes
    }

    fn sites(bytes: &[u8]) -> Vec<u64> {
        let recording = Recording::parse(bytes).unwrap();
        let sites = recording.sites();
        sites
            .map(|site| {
                recording.frame(site.frames[0]).unwrap();
                site.count
            })
            .collect()
    }

    #[test]
    fn sites_never_refer_to_frames_that_a_copy_has_missed() {
        // The copy passed the frames when there was one, and the sites when there were two.
        let torn = copy(1, &[5, 1], 2);
        let recording = Recording::parse(&torn).unwrap();
        let last = recording.sites().last().unwrap();
        assert!(recording.frame(last.frames[0]).is_err());
        // The one after it has passed the frames when there were two or more.
        assert_eq!(sites(&settled(&torn, copy(3, &[6, 2, 1], 2))), [5, 1]);
    }

    #[test]
    fn sites_in_chunks_that_the_first_copy_has_not_are_left_out() {
        assert!(sites(&settled(&copy(1, &[], 1), copy(2, &[6, 2], 2))).is_empty());
        assert!(sites(&settled(&[], copy(2, &[6, 2], 2))).is_empty());
    }

    #[test]
    fn a_snapshot_has_a_time_and_a_state_of_its_own() {
        let mut bytes = copy(2, &[6, 2], 2);
        mark_snapshot(&mut bytes, 77);
        let recording = Recording::parse(&bytes).unwrap();
        assert!(recording.is_snapshot() && !recording.finished());
        assert_eq!(recording.end_ns(), 77);
        // That of a process that has ended is none.
        let state = offset_of!(Header, state);
        bytes[state..state + 4].copy_from_slice(&STATE_FINISHED.to_le_bytes());
        mark_snapshot(&mut bytes, 78);
        let recording = Recording::parse(&bytes).unwrap();
        assert!(recording.finished() && !recording.is_snapshot());
        assert_eq!(recording.end_ns(), 77);
        mark_snapshot(&mut bytes[..10], 1);
    }

    #[test]
    fn any_bytes_are_survived() {
        let whole = copy(2, &[6, 2], 2);
        for len in (0..whole.len()).step_by(509) {
            assert_eq!(settled(&whole, whole[..len].to_vec()), whole[..len]);
            let _ = settled(&whole[..len], whole.clone());
        }
        let mut wild = whole.clone();
        let at = HEADER_LEN as usize + offset_of!(ChunkHeader, pages);
        wild[at..at + 4].fill(0xff);
        assert_eq!(settled(&whole, wild.clone()), wild);
        wild[at..at + 4].fill(0);
        let _ = settled(&whole, wild);
    }
}
