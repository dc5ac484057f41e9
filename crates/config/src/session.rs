//! What the library and the tool agree upon besides the folder of a session: where recordings go that
//! cannot lie there, and how the library says that it can make none.

/// Abstract sockets at which tools listen are named after this and the last part of the path of the
/// session's folder.
pub const SOCKET_PREFIX: &[u8] = b"skip-heapprof/";

/// Bytes of the name of the folder for other users that a message begins with: enough to show that the
/// sender knows the name, and not enough to find the folder.
pub const KEY_LEN: usize = 16;

/// The name of the socket at which the tool receives the files of modules. It is in the session's
/// folder, and appended to the abstract name for processes that cannot enter the folder.
pub const FILES_SOCKET: &[u8] = b".files";

/// Bytes of the description of a file that follows the key in a message.
pub const FILE_LEN: usize = 32;

/// The description of the file that comes with a message: device, inode, size and modification
/// time.
pub fn file_words(device: u64, inode: u64, size: u64, modified_ns: u64) -> [u8; FILE_LEN] {
    let mut words = [0; FILE_LEN];
    let values = [device, inode, size, modified_ns];
    for (word, value) in words.chunks_exact_mut(8).zip(values) {
        word.copy_from_slice(&value.to_le_bytes());
    }
    words
}

/// Parses a message that comes with a file: the key, and the words of [`file_words`].
pub fn parse_file(message: &[u8]) -> Option<(&[u8], [u64; 4])> {
    let (key, words) = message.split_at_checked(message.len().checked_sub(FILE_LEN)?)?;
    let mut values = [0; 4];
    for (value, word) in values.iter_mut().zip(words.chunks_exact(8)) {
        *value = u64::from_le_bytes(word.try_into().ok()?);
    }
    Some((key, values))
}

/// The last part of a path.
pub fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// The prefix of messages, for a session with this folder for other users. It is empty if there is
/// no such folder: then only processes of the tool's own user are trusted.
pub fn key_of(others: &[u8]) -> &[u8] {
    let name = name_of(others);
    name.get(..KEY_LEN).unwrap_or(name)
}

/// The message of a process that has no recording.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'m> {
    /// See [`key_of`].
    pub key: &'m [u8],
    /// The number of the error that occurred, or 0 if it is not known.
    pub error: i32,
    /// Path of its executable.
    pub exe: &'m [u8],
}

/// Parses a message: the key, the error and the executable, separated by spaces.
pub fn parse(message: &[u8]) -> Option<Message<'_>> {
    let mut parts = message.splitn(3, |&byte| byte == b' ');
    let key = parts.next()?;
    let error = str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let exe = parts.next()?;
    Some(Message { key, error, exe })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_three_parts() {
        let message = |key: &'static [u8], error, exe: &'static [u8]| Message { key, error, exe };
        assert_eq!(
            parse(b"0123 13 /usr/bin/a b"),
            Some(message(b"0123", 13, b"/usr/bin/a b"))
        );
        assert_eq!(parse(b" 0 "), Some(message(b"", 0, b"")));
        for bad in [b"".as_slice(), b"key", b"key 1", b"key x /bin/sh"] {
            assert_eq!(parse(bad), None);
        }
    }

    #[test]
    fn a_file_is_told_by_four_numbers_behind_the_key() {
        let message = [b"key".as_slice(), &file_words(1, 2, 3, u64::MAX)].concat();
        assert_eq!(
            parse_file(&message),
            Some((&b"key"[..], [1, 2, 3, u64::MAX]))
        );
        assert_eq!(parse_file(&message[4..]), None);
    }

    #[test]
    fn a_key_is_half_of_a_name() {
        assert_eq!(
            key_of(b"/tmp/x/0123456789abcdef0123456789abcdef"),
            b"0123456789abcdef"
        );
        assert_eq!((key_of(b""), name_of(b"/a/b")), (&b""[..], &b"b"[..]));
    }
}
