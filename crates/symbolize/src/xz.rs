//! Unpacks `.gnu_debugdata`: an xz file with the symbol table that was left out of a stripped file.
//!
//! lzma-rs unpacks as much as its input says. An xz file of a megabyte can say seven gigabytes, so
//! the container is walked here first: every piece of LZMA2 data states its unpacked size in front.
//! The checksums are not looked at: what comes out is untrusted anyway.

use std::io::Cursor;

/// Most bytes that a packed symbol table may unpack to. The largest programs' tables take some tens
/// of megabytes.
const LARGEST_UNPACKED: usize = 256 << 20;
/// Most bytes that are unpacked for each packed byte. Symbol tables of real programs unpack to 3 to 8
/// times their size.
const MOST_RATIO: usize = 100;
/// Bytes that any file may unpack to: the ratio of a small one says little.
const ALWAYS_ALLOWED: usize = 1 << 20;

/// What is packed in an xz file; `None` when it is damaged, too large or uses filters other than
/// LZMA2.
pub fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut at = StreamHeader::LEN;
    let header = StreamHeader::read(packed)?;
    let most = packed
        .len()
        .saturating_mul(MOST_RATIO)
        .clamp(ALWAYS_ALLOWED, LARGEST_UNPACKED);
    let mut unpacked = Vec::new();
    // A block whose header has no length is the index, which ends the blocks.
    while *packed.get(at)? != 0 {
        let data = at.checked_add(block_header(packed.get(at..)?)?)?;
        let (len, size) = lzma2_extent(packed.get(data..)?)?;
        if size > most.checked_sub(unpacked.len())? {
            return None;
        }
        let end = data.checked_add(len)?;
        lzma_rs::lzma2_decompress(&mut Cursor::new(packed.get(data..end)?), &mut unpacked).ok()?;
        at = end
            .checked_next_multiple_of(4)?
            .checked_add(header.check_len)?;
    }
    Some(unpacked)
}

struct StreamHeader {
    /// Bytes of the checksum behind each block.
    check_len: usize,
}

impl StreamHeader {
    const LEN: usize = 12;

    fn read(packed: &[u8]) -> Option<Self> {
        let (magic, flags) = packed.get(..Self::LEN)?.split_at_checked(6)?;
        let kind = flags.get(1)?;
        if magic != b"\xfd7zXZ\0" {
            return None;
        }
        // None, CRC-32, CRC-64, SHA-256.
        let check_len = [(0, 0), (1, 4), (4, 8), (10, 32)]
            .iter()
            .find(|check| check.0 == *kind)?
            .1;
        Some(Self { check_len })
    }
}

/// Length of a block's header, if its only filter is LZMA2.
fn block_header(block: &[u8]) -> Option<usize> {
    const LZMA2: u8 = 0x21;
    let len = (usize::from(*block.first()?) + 1) * 4;
    let flags = *block.get(1)?;
    let mut fields = block.get(2..len)?;
    // Packed and unpacked size, seven bits a byte, are there when these flags are set.
    for present in [flags & 0x40 != 0, flags & 0x80 != 0] {
        if present {
            let last = fields.iter().position(|byte| byte & 0x80 == 0)?;
            fields = fields.get(last + 1..)?;
        }
    }
    (flags & 0x3f == 0 && *fields.first()? == LZMA2).then_some(len)
}

/// Bytes that LZMA2 data takes, its end mark included, and bytes that it unpacks to.
fn lzma2_extent(data: &[u8]) -> Option<(usize, usize)> {
    let mut at = 0_usize;
    let mut unpacked = 0_usize;
    loop {
        let chunk = data.get(at..)?;
        let control = *chunk.first()?;
        let word =
            |at: usize| Some(usize::from(u16::from_be_bytes(*chunk.get(at..)?.first_chunk()?)) + 1);
        let (len, size) = match control {
            0 => return Some((at.checked_add(1)?, unpacked)),
            // Stored as it is.
            1 | 2 => (3 + word(1)?, word(1)?),
            3..0x80 => return None,
            _ => {
                let properties = usize::from(control >= 0xc0);
                (
                    5 + properties + word(3)?,
                    (usize::from(control & 0x1f) << 16) + word(1)?,
                )
            }
        };
        at = at.checked_add(len)?;
        unpacked = unpacked.checked_add(size)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut packed = Vec::new();
        lzma_rs::xz_compress(&mut Cursor::new(bytes), &mut packed).unwrap();
        packed
    }

    /// `printf 'skip skip skip skip skip skip skip skip\n' | xz`
    const BY_XZ: [u8; 76] = [
        0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x04, 0xe6, 0xd6, 0xb4, 0x46, 0x02, 0x00, 0x21,
        0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3, 0xe0, 0x00, 0x27, 0x00, 0x0d, 0x5d,
        0x00, 0x39, 0x9a, 0xc9, 0x63, 0x53, 0xe7, 0x21, 0x61, 0x24, 0x3a, 0x98, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x56, 0x77, 0x8f, 0x5c, 0x77, 0x61, 0xd0, 0xd7, 0x00, 0x01, 0x29, 0x28,
        0x3a, 0x82, 0x75, 0x51, 0x1f, 0xb6, 0xf3, 0x7d, 0x01, 0x00, 0x00, 0x00, 0x00, 0x04, 0x59,
        0x5a,
    ];

    #[test]
    fn what_xz_packed_is_unpacked() {
        assert_eq!(
            unpack(&BY_XZ).unwrap(),
            [b"skip ".repeat(7).as_slice(), b"skip\n"].concat()
        );
    }

    #[test]
    fn a_file_that_says_it_is_huge_is_refused() {
        // 200 chunks of 2 MB each, in less than 2 kB.
        let mut bomb = pack(b"x");
        bomb.truncate(StreamHeader::LEN + block_header(&bomb[StreamHeader::LEN..]).unwrap());
        for _ in 0..200 {
            bomb.extend([0x9f, 0xff, 0xff, 0, 0, 0]);
        }
        bomb.push(0);
        let (_, size) = lzma2_extent(&bomb[24..]).unwrap();
        assert_eq!(size, 200 << 21);
        assert_eq!(unpack(&bomb), None);
    }

    proptest! {
        #[test]
        fn packed_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
            prop_assert_eq!(unpack(&pack(&bytes)), Some(bytes));
        }

        #[test]
        fn damage_is_survived(at: prop::sample::Index, byte: u8) {
            let mut packed = BY_XZ.to_vec();
            let at = at.index(packed.len());
            packed[at] = byte;
            let _ = unpack(&packed);
        }
    }
}
