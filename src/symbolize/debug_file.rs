//! Finds the symbols that were split from a stripped file: by build id, by `.gnu_debuglink`, or
//! packed into `.gnu_debugdata`. Places as in gdb's manual, "Debugging Information in Separate
//! Files".

use super::object_file::{map, parse};
use super::symbols::Data;
use object::{Object, ObjectSection};
use std::ffi::OsStr;
use std::io::{Cursor, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where distributions put debug files.
const DEBUG_ROOT: &str = "/usr/lib/debug";
/// Most bytes that a packed symbol table may unpack to.
const LARGEST_UNPACKED: usize = 256 << 20;

/// The files that have more symbols for the file at `path`, whose bytes are `bytes`.
pub(crate) fn find(path: &Path, bytes: &[u8], build_id: &[u8]) -> Vec<Data> {
    let mut found: Vec<Data> = Vec::new();
    if let Some(file) = by_build_id(build_id).or_else(|| by_debuglink(path, bytes)) {
        found.push(Box::new(file));
    } else if let Some(unpacked) = unpack_debugdata(bytes) {
        found.push(Box::new(unpacked));
    }
    found
}

fn by_build_id(build_id: &[u8]) -> Option<memmap2::Mmap> {
    use std::fmt::Write;
    let (first, rest) = build_id.split_first()?;
    let mut path = format!("{DEBUG_ROOT}/.build-id/{first:02x}/");
    for byte in rest {
        write!(path, "{byte:02x}").ok()?;
    }
    path.push_str(".debug");
    let file = map(Path::new(&path))?;
    let same = parse(&file)?.build_id().ok().flatten() == Some(build_id);
    same.then_some(file)
}

fn by_debuglink(path: &Path, bytes: &[u8]) -> Option<memmap2::Mmap> {
    let (name, crc) = parse(bytes)?.gnu_debuglink().ok()??;
    let name = Path::new(OsStr::from_bytes(name));
    // A name, not a path that leads elsewhere.
    if name.components().count() != 1 {
        return None;
    }
    let folder = std::fs::canonicalize(path).ok()?.parent()?.to_path_buf();
    let in_root = PathBuf::from(format!("{DEBUG_ROOT}{}", folder.to_str()?));
    [
        folder.join(name),
        folder.join(".debug").join(name),
        in_root.join(name),
    ]
    .iter()
    .filter_map(|candidate| map(candidate))
    .find(|file| crc32(file) == crc)
}

/// The checksum of `.gnu_debuglink`: CRC-32 as in zlib.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut table = [0_u32; 256];
    for (i, entry) in table.iter_mut().enumerate() {
        *entry = (0..8).fold(i as u32, |c, _| {
            if c & 1 != 0 {
                c >> 1 ^ POLYNOMIAL
            } else {
                c >> 1
            }
        });
    }
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        let index = (crc as u8 ^ byte) as usize;
        table.get(index).copied().unwrap_or(0) ^ crc >> 8
    })
}

/// Memory that refuses to grow beyond a limit.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST_UNPACKED {
            return Err(std::io::ErrorKind::OutOfMemory.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn unpack_debugdata(bytes: &[u8]) -> Option<Vec<u8>> {
    let elf = parse(bytes)?;
    let packed = elf.section_by_name(".gnu_debugdata")?.data().ok()?;
    let mut unpacked = Limited(Vec::new());
    lzma_rs::xz_decompress(&mut Cursor::new(packed), &mut unpacked).ok()?;
    Some(unpacked.0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
