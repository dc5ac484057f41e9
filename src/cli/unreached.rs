//! Processes that could make no recording: they cannot enter the session's folder, because it does not exist
//! in their view of the files (containers, `chroot`) or is closed to their user, or there is no room for
//! them there. They say so at an abstract socket, which needs no file.

use crate::terminal::term::{counted, grouped, path, printable};
use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;
use skipheap_config::session::{KEY_LEN, SOCKET_PREFIX, key_of, name_of, parse};
use std::io::{self, Read};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

/// Processes that are named.
const NAMED: usize = 3;
/// Longest message.
const LONGEST: u64 = 2048;
/// Processes that are counted at most: others of the user could go on calling.
const MOST: usize = 10_000;

/// A process without a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreached {
    /// Its id, as the tool sees it.
    pub(crate) pid: u32,
    /// Its user.
    pub(crate) user: u32,
    /// Path of its executable.
    pub(crate) exe: String,
    /// The error that it met; 0: not known.
    pub(crate) error: i32,
}

/// Where processes say so. What they say waits until it is asked for: up to as many as the kernel
/// lets wait for a connection (`net.core.somaxconn`).
#[derive(Debug)]
pub(crate) struct Listener {
    socket: UnixListener,
    key: Vec<u8>,
}

impl Listener {
    /// Listens for processes of the session with these folders.
    ///
    /// # Errors
    /// Those of the socket: somebody else may have taken the name.
    pub(crate) fn new(session: &Path, others: &[u8]) -> io::Result<Self> {
        let name = [SOCKET_PREFIX, name_of(session.as_os_str().as_bytes())].concat();
        let socket = UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?;
        socket.set_nonblocking(true)?;
        let key = key_of(others).to_vec();
        debug_assert!(key.is_empty() || key.len() == KEY_LEN);
        Ok(Self { socket, key })
    }

    /// The processes that have said so by now. Who they are the kernel says; who does not know the
    /// key, or is another user where there is none, is not heard.
    pub(crate) fn take(&self) -> Vec<Unreached> {
        let mut found = Vec::new();
        while found.len() < MOST
            && let Ok((stream, _)) = self.socket.accept()
        {
            let Ok(from) = socket_peercred(&stream) else {
                continue;
            };
            let (pid, user) = (from.pid.as_raw_nonzero().get(), from.uid.as_raw());
            let is_known = !self.key.is_empty() || user == geteuid().as_raw();
            let mut text = Vec::new();
            // Who has connected and says nothing is not waited for.
            let read = stream.set_nonblocking(true);
            let _ = read.and_then(|()| stream.take(LONGEST).read_to_end(&mut text));
            if let Some(message) = parse(&text).filter(|said| is_known && said.key == self.key) {
                found.push(Unreached {
                    pid: pid.unsigned_abs(),
                    user,
                    exe: String::from_utf8_lossy(message.exe).into_owned(),
                    error: message.error,
                });
            }
        }
        found.sort_by_key(|process| process.pid);
        found.dedup();
        found
    }
}

/// What is said of them; `None` when there are none.
pub(crate) fn text(unreached: &[Unreached], session: &Path) -> Option<String> {
    let user = geteuid().as_raw();
    let name = |process: &Unreached| {
        let exe = printable(&process.exe);
        let of = match process.user == user {
            true => String::new(),
            false => format!(" of user {}", process.user),
        };
        let why = match process.error {
            0 => "no room".to_owned(),
            error => io::Error::from_raw_os_error(error).to_string(),
        };
        format!("{exe} {}{of}: {why}", process.pid)
    };
    let mut names: Vec<String> = unreached.iter().take(NAMED).map(name).collect();
    let more = unreached.len() - names.len();
    if more > 0 {
        names.push(format!("and {} more", grouped(more as u64)));
    }
    (!unreached.is_empty()).then(|| {
        format!(
            "{} could not create a recording in {} and {} missing from the report ({})",
            counted(unreached.len() as u64, "process", "processes"),
            path(session),
            if unreached.len() == 1 { "is" } else { "are" },
            names.join("; ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn call(session: &Path, message: &[u8]) {
        let name = [SOCKET_PREFIX, name_of(session.as_os_str().as_bytes())].concat();
        let address = SocketAddr::from_abstract_name(name).expect("a name");
        let mut stream = UnixStream::connect_addr(&address).expect("somebody listens");
        stream.write_all(message).expect("room");
    }

    #[test]
    fn only_who_knows_the_key_is_heard() {
        let folder = tempfile::tempdir().expect("a folder");
        let session = folder.path();
        let others = b"/tmp/x/0123456789abcdef0123456789abcdef";
        let listener = Listener::new(session, others).expect("a listener");
        assert!(Listener::new(session, others).is_err(), "the name is taken");
        call(session, b"");
        call(session, b"0123 2 /bin/a");
        call(session, b"0123456789abcdee 2 /bin/a");
        call(session, b" 2 /bin/a");
        assert_eq!(listener.take(), []);
        call(session, b"0123456789abcdef 13 /bin/\x1b[31ma");
        let heard = listener.take();
        assert_eq!((heard.len(), heard[0].pid), (1, std::process::id()));
        let said = text(&heard, Path::new("/tmp/s")).expect("a text");
        assert!(
            said.starts_with("1 process could not create a recording in /tmp/s and is missing"),
            "{said}"
        );
        assert!(
            said.contains("Permission denied") && !said.contains('\x1b'),
            "{said}"
        );
        assert_eq!(text(&[], session), None);
    }
}
