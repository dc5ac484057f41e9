//! The path of the program's file, also where the loader was started with the program as its
//! argument (`/lib64/ld-linux-x86-64.so.2 ./program`).

use crate::{c_library, sys};

/// Longest line of `/proc/self/maps` that is read: the numbers, and a path.
const LINE: usize = 4096 + 128;

/// Writes the path to `buffer` and returns it; empty when it cannot be found.
///
/// Called once, at start.
pub(crate) fn path(buffer: &mut [u8]) -> &[u8] {
    // SAFETY: asks for a number.
    let loader = unsafe { libc::getauxval(libc::AT_BASE) };
    // The kernel loads a loader for every program but for the loader itself.
    let len = if loader == 0 {
        mapped_at(c_library::place_in_program(), buffer)
    } else {
        None
    };
    match len {
        Some(len) => buffer.get(..len).unwrap_or(&[]),
        None => sys::read_link(b"/proc/self/exe\0", buffer),
    }
}

/// Writes the path of the file that is mapped at an address, and returns its length.
fn mapped_at(address: u64, path: &mut [u8]) -> Option<usize> {
    let maps = sys::open_to_read(b"/proc/self/maps\0");
    if maps < 0 {
        return None;
    }
    let (mut line, mut len) = ([0; LINE], 0);
    let mut part = [0; 1024];
    let found = 'reading: loop {
        let read = sys::read(maps, &mut part);
        if read.is_empty() {
            break None;
        }
        for &byte in read {
            if byte == b'\n' {
                if let Some(found) = file_of(line.get(..len).unwrap_or(&[]), address) {
                    let room = path.get_mut(..found.len());
                    break 'reading room.map(|room| {
                        room.copy_from_slice(found);
                        found.len()
                    });
                }
                len = 0;
            } else if let Some(place) = line.get_mut(len) {
                *place = byte;
                len += 1;
            }
        }
    };
    sys::close(maps);
    found
}

/// The path in a line of `/proc/self/maps` whose range holds the address.
fn file_of(line: &[u8], address: u64) -> Option<&[u8]> {
    let mut words = line
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty());
    let mut ends = words.next()?.split(|&byte| byte == b'-');
    let number = |text: &[u8]| u64::from_str_radix(core::str::from_utf8(text).ok()?, 16).ok();
    let (start, end) = (number(ends.next()?)?, number(ends.next()?)?);
    if !(start..end).contains(&address) {
        return None;
    }
    let path = line.iter().position(|&byte| byte == b'/')?;
    line.get(path..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_at_an_address_is_found() {
        let line = b"7f00-7f10 r-xp 00000000 fe:01 123                  /a path/of it";
        assert_eq!(file_of(line, 0x7f0f), Some(&b"/a path/of it"[..]));
        assert_eq!(file_of(line, 0x7f10), None);
        assert_eq!(file_of(b"7f00-7f10 rw-p 00000000 00:00 0", 0x7f00), None);
        let mut buffer = [0; 4096];
        let own: fn() = the_file_at_an_address_is_found;
        let len = mapped_at(own as usize as u64, &mut buffer).expect("a file");
        let exe = std::env::current_exe().unwrap();
        assert_eq!(&buffer[..len], exe.as_os_str().as_encoded_bytes());
        assert_eq!(path(&mut buffer), exe.as_os_str().as_encoded_bytes());
    }
}
