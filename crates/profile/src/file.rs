//! The file of a profile, `.skipheap`: everything in one compressed piece, to be kept, sent and reported
//! anywhere.
//!
//! ```text
//! offset 0   b"SKIPPROF"
//! offset 8   version, u32 little-endian
//! offset 12  one zstd frame with a checksum: the Profile in the encoding of postcard
//! ```
//!
//! postcard's encoding (<https://postcard.jamesmunns.com/wire-format>) has no names of fields, so that
//! any change of [`Profile`] or what it is made of raises `VERSION`.

use super::Profile;
use super::version2::Profile2;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::Path;
use std::{error, fmt};

/// What the names of profiles end with.
pub const EXTENSION: &str = "skipheap";
/// First bytes of a profile.
pub const MAGIC: [u8; 8] = *b"SKIPPROF";
/// Raised whenever a profile changes in any way. New codes of losses, cuts and notes are no change.
const VERSION: u32 = 3;
/// The oldest version that is read.
const OLDEST_VERSION: u32 = 2;
/// Most bytes that are unpacked, however large the file is.
const MOST_BYTES: u64 = 4 << 30;
/// Most bytes that are unpacked for each byte of the file. Profiles of real programs unpack to 3 to 12
/// times their size, merged ones of a thousand similar runs to 40 times.
const MOST_RATIO: u64 = 256;
/// Bytes that any profile may unpack to: the ratio of the smallest says little.
const ALWAYS_ALLOWED: u64 = 16 << 20;
/// Of zstd: higher ones take longer and save little.
const LEVEL: i32 = 3;

/// Why a file is no profile that can be read.
#[derive(Debug)]
pub enum FileError {
    /// It cannot be read, or unpacked.
    Io(io::Error),
    /// It begins with something else.
    NotAProfile,
    /// It was written by another version.
    Version(u32),
    /// It unpacks to more than this number of bytes, which is more than a file of its size can hold.
    TooLarge(u64),
    /// So many bytes stand behind it.
    Followed(u64),
    /// It was damaged or made up.
    Damaged(String),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::NotAProfile => write!(f, "not a profile (.{EXTENSION})"),
            Self::Version(version) => write!(
                f,
                "a profile of format version {version}, and this version of skip-heapprof reads {OLDEST_VERSION} to {VERSION}: \
                 report it with the version that wrote it"
            ),
            Self::TooLarge(most) => write!(
                f,
                "a damaged profile: it unpacks to more than {most} bytes, the most that a file of its size can hold"
            ),
            Self::Followed(bytes) => write!(
                f,
                "{bytes} bytes behind the profile, which nothing would tell of: give profiles one by one, or add \
                 them up with `skip-heapprof merge`"
            ),
            Self::Damaged(what) => write!(f, "a damaged profile: {what}"),
        }
    }
}

impl error::Error for FileError {}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Writes a profile.
///
/// # Errors
/// Those of `out`.
pub fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(&MAGIC)?;
    out.write_all(&VERSION.to_le_bytes())?;
    let mut packed = zstd::Encoder::new(out, LEVEL)?;
    packed.include_checksum(true)?;
    let buffered = io::BufWriter::with_capacity(1 << 16, packed);
    let buffered = postcard::to_io(profile, buffered).map_err(io::Error::other)?;
    let packed = buffered
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    packed.finish()?.flush()
}

/// Returns whether a file begins as a profile does.
pub fn is_profile(path: &Path) -> bool {
    let read = || -> io::Result<bool> {
        let mut magic = [0; MAGIC.len()];
        if !std::fs::metadata(path)?.is_file() {
            return Ok(false);
        }
        File::open(path)?.read_exact(&mut magic)?;
        Ok(magic == MAGIC)
    };
    read().unwrap_or(false)
}

/// Reads a profile; what is returned has passed [`Profile::check`].
///
/// # Errors
/// When it cannot be read, or is none.
pub fn read(path: &Path) -> Result<Profile, FileError> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    read_from(BufReader::new(file), size)
}

/// Reads a profile of `size` bytes, as [`read`] does.
///
/// # Errors
/// As [`read`].
pub fn read_from(mut file: impl io::BufRead, size: u64) -> Result<Profile, FileError> {
    let mut head = [0; MAGIC.len() + 4];
    match file.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(FileError::NotAProfile);
        }
        other => other?,
    }
    let Some(version) = head.strip_prefix(&MAGIC) else {
        return Err(FileError::NotAProfile);
    };
    let version = version
        .iter()
        .rev()
        .fold(0, |sum, &byte| sum << 8 | u32::from(byte));
    if !(OLDEST_VERSION..=VERSION).contains(&version) {
        return Err(FileError::Version(version));
    }
    let most = size
        .saturating_mul(MOST_RATIO)
        .clamp(ALWAYS_ALLOWED, MOST_BYTES);
    let mut bytes = Vec::new();
    let mut unpacked = zstd::Decoder::with_buffer(file)?.single_frame();
    unpacked
        .by_ref()
        .take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| FileError::Damaged(error.to_string()))?;
    if bytes.len() as u64 > most {
        return Err(FileError::TooLarge(most));
    }
    let behind = io::copy(&mut unpacked.finish(), &mut io::sink())?;
    if behind > 0 {
        return Err(FileError::Followed(behind));
    }
    let decoded = match version {
        OLDEST_VERSION => {
            postcard::take_from_bytes::<Profile2>(&bytes).map(|(old, rest)| (old.into(), rest))
        }
        _ => postcard::take_from_bytes::<Profile>(&bytes),
    };
    let (profile, rest) = decoded.map_err(|error| FileError::Damaged(error.to_string()))?;
    if !rest.is_empty() {
        let what = format!("{} bytes that belong to nothing", rest.len());
        return Err(FileError::Damaged(what));
    }
    profile
        .check()
        .map_err(|fault| FileError::Damaged(fault.to_owned()))?;
    Ok(profile)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{leaky, small};
    use super::*;

    fn packed(profile: &Profile) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(profile, &mut bytes).expect("written");
        bytes
    }

    fn unpacked(bytes: &[u8]) -> Result<Profile, FileError> {
        read_from(bytes, bytes.len() as u64)
    }

    #[test]
    fn a_small_file_that_unpacks_to_gigabytes_is_refused() {
        let mut bomb = packed(&small())[..MAGIC.len() + 4].to_vec();
        let zeros = io::repeat(0).take(1 << 30);
        zstd::stream::copy_encode(zeros, &mut bomb, 19).expect("packed");
        let said = unpacked(&bomb).unwrap_err().to_string();
        let most = ALWAYS_ALLOWED.max(MOST_RATIO * bomb.len() as u64);
        assert!(
            said.contains(&format!("more than {most} bytes")),
            "{said}, of {} bytes",
            bomb.len()
        );
    }

    #[test]
    fn what_was_written_is_read() {
        for profile in [small(), leaky()] {
            let bytes = packed(&profile);
            assert_eq!(unpacked(&bytes[..]).expect("read"), profile);
        }
    }

    #[test]
    fn damage_is_an_error_and_never_another_profile() {
        let bytes = packed(&small());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x15;
            // zstd's header has bits that say how to unpack, and not what.
            let read = unpacked(&damaged[..]);
            assert!(
                read.is_err() || read.is_ok_and(|read| read == small()),
                "byte {at}"
            );
            assert!(unpacked(&bytes[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn nothing_may_stand_behind_a_profile() {
        let mut bytes = packed(&small());
        let len = bytes.len();
        bytes.extend_from_within(..);
        let said = unpacked(&bytes[..]).unwrap_err().to_string();
        assert!(said.starts_with(&format!("{len} bytes behind")), "{said}");
        let buffered = BufReader::with_capacity(100, &bytes[..=len]);
        let said = read_from(buffered, len as u64).unwrap_err().to_string();
        assert!(said.starts_with("1 bytes behind"), "{said}");
        let mut inside = postcard::to_stdvec(&small()).expect("encoded");
        inside.push(0);
        let mut file = bytes[..MAGIC.len() + 4].to_vec();
        zstd::stream::copy_encode(&inside[..], &mut file, LEVEL).expect("packed");
        let said = unpacked(&file[..]).unwrap_err().to_string();
        assert!(said.contains("1 bytes that belong to nothing"), "{said}");
    }

    #[test]
    fn other_versions_are_named() {
        let mut bytes = packed(&small());
        bytes[8] = 99;
        let said = unpacked(&bytes[..]).unwrap_err().to_string();
        assert!(said.contains("version 99"), "{said}");
        let said = unpacked(b"pc0,pc1,pc2,pc3\n").unwrap_err().to_string();
        assert!(said.contains("not a profile"), "{said}");
    }

    #[test]
    fn indices_that_point_nowhere_are_damage() {
        let mut profile = small();
        profile.sites[0].node = 1000;
        let said = unpacked(&packed(&profile)).unwrap_err().to_string();
        assert!(said.contains("a site refers to"), "{said}");
    }
}
