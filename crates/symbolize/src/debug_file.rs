//! Finds the symbols that were split from a stripped file: by build id, by `.gnu_debuglink`, or
//! packed into `.gnu_debugdata`. The places are those of gdb's manual, "Debugging Information in
//! Separate Files".

use super::bytes::{Bytes, MappedFile};
use super::elf::Elf;
use super::xz;
use std::ffi::OsStr;
use std::fmt::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Where distributions put debug files.
const DEBUG_ROOT: &str = "/usr/lib/debug";

/// The symbols of the stripped `file`, wherever they are.
pub fn find(file: &MappedFile) -> Option<Bytes> {
    let packed = || {
        let elf = Elf::parse(&file.bytes)?;
        xz::unpack(elf.section(b".gnu_debugdata")?).map(Bytes::Owned)
    };
    find_separate(file).map(|file| file.bytes).or_else(packed)
}

/// The debug file that belongs to `file`, if it is installed.
pub fn find_separate(file: &MappedFile) -> Option<MappedFile> {
    let elf = Elf::parse(&file.bytes)?;
    by_build_id(elf.build_id()).or_else(|| by_debuglink(file, &elf))
}

/// The debug file of this build id, if it is installed.
pub(super) fn by_build_id(build_id: &[u8]) -> Option<MappedFile> {
    let (first, rest) = build_id.split_first()?;
    let mut path = format!("{DEBUG_ROOT}/.build-id/{first:02x}/");
    for byte in rest {
        write!(path, "{byte:02x}").ok()?;
    }
    path.push_str(".debug");
    let file = MappedFile::open(Path::new(&path))?;
    let same = Elf::parse(&file.bytes)?.build_id() == build_id;
    same.then_some(file)
}

fn by_debuglink(file: &MappedFile, elf: &Elf<'_>) -> Option<MappedFile> {
    let (name, crc) = elf.debuglink()?;
    // A name, not a path that leads elsewhere.
    if name.is_empty() || name == b".." || name.contains(&b'/') {
        return None;
    }
    let name = OsStr::from_bytes(name);
    let path = file.real_path()?;
    let folder = path.parent()?;
    let below_root = Path::new(DEBUG_ROOT).join(folder.strip_prefix("/").ok()?);
    let candidates = [
        folder.join(name),
        folder.join(".debug").join(name),
        below_root.join(name),
    ];
    candidates
        .iter()
        .filter(|candidate| **candidate != path)
        .find_map(|candidate| {
            let file = MappedFile::open(candidate)?;
            let build_id = Elf::parse(&file.bytes)?.build_id();
            // The checksum has to read the whole file; a build id says as much.
            let same = match (elf.build_id(), build_id) {
                ([], _) | (_, []) => crc32(&file.bytes) == crc,
                (ours, theirs) => ours == theirs,
            };
            same.then_some(file)
        })
}

/// The checksum of `.gnu_debuglink`: CRC-32 as in zlib.
fn crc32(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut table = [0_u32; 256];
    for (i, entry) in (0_u32..).zip(&mut table) {
        *entry = (0..8).fold(i, |c, _| {
            if c & 1 == 0 {
                c >> 1
            } else {
                (c >> 1) ^ POLYNOMIAL
            }
        });
    }
    !bytes.iter().fold(!0_u32, |crc, &byte| {
        let [low, ..] = crc.to_le_bytes();
        table.get(usize::from(low ^ byte)).copied().unwrap_or(0) ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checksum_is_that_of_zlib() {
        assert_eq!(super::crc32(b"123456789"), 0xcbf4_3926);
    }
}
