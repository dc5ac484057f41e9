//! Receives the open files of modules from the processes of a run, so that functions have names
//! even if the files are removed, replaced or out of reach when names are looked up.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, Shutdown, recvmsg, shutdown,
};
use rustix::process::{Resource, geteuid, getrlimit};
use skipheap_config::session::{
    FILE_LEN, FILES_SOCKET, KEY_LEN, SOCKET_PREFIX, key_of, name_of, parse_file,
};
use skipheap_symbolize::bytes::MappedFile;
use skipheap_symbolize::elf::Elf;
use skipheap_symbolize::object_file::look_elsewhere;
use skipheap_symbolize::{FileId, ObjectId};
use std::collections::{HashMap, VecDeque};
use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, thread};

/// The maximum number of files that are held, if the tool may have twice as many descriptors.
const MOST: usize = 512;
/// The maximum number of connections that have not sent anything. Processes send as soon as they have
/// connected.
const MOST_SENDERS: usize = 16;
/// How long to wait before connected processes are polled again.
const PAUSE: Duration = Duration::from_millis(5);

/// All files that were received, in all runs of this tool.
static HELD: LazyLock<Mutex<Held>> = LazyLock::new(Mutex::default);

/// Receives the files of a run until it is dropped.
#[derive(Debug)]
pub(crate) struct Taker {
    /// The socket in the session's folder.
    path: PathBuf,
    sockets: Vec<Arc<Socket>>,
}

impl Taker {
    /// Receives the files of the session with these folders and uses them to look up names. If no
    /// socket can be created, names come from the files' paths alone.
    pub(crate) fn new(session: &Path, others: &[u8]) -> Self {
        look_elsewhere(find);
        let name = name_of(session.as_os_str().as_bytes());
        let name = [SOCKET_PREFIX, name, b"/", FILES_SOCKET].concat();
        let path = session.join(OsStr::from_bytes(FILES_SOCKET));
        let in_folder = UnixListener::bind(&path);
        // The folder belongs to this user alone, and so must the socket in it.
        let _ = fs::set_permissions(&path, Permissions::from_mode(0o600));
        let unnamed =
            SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name));
        let sockets = [in_folder, unnamed]
            .into_iter()
            .flatten()
            .filter(|listener| listener.set_nonblocking(true).is_ok())
            .map(|listener| {
                let key = key_of(others).to_vec();
                let socket = Arc::new(Socket { listener, key });
                held().sockets.push(Arc::clone(&socket));
                socket.watch();
                socket
            })
            .collect();
        Self { path, sockets }
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        // The folder may be kept.
        let _ = fs::remove_file(&self.path);
        for socket in &self.sockets {
            let mut held = held();
            let _ = held.take(socket);
            held.sockets.retain(|other| !Arc::ptr_eq(socket, other));
            held.senders
                .retain(|(other, _)| !Arc::ptr_eq(socket, other));
            // Ends the thread that watches it.
            let _ = shutdown(&socket.listener, Shutdown::Both);
        }
    }
}

/// Where processes connect.
#[derive(Debug)]
struct Socket {
    listener: UnixListener,
    /// The prefix of messages. If it is empty, only messages of the tool's own user are accepted.
    key: Vec<u8>,
}

impl Socket {
    /// Receives files in a thread of its own. If it cannot be started, files wait until names are
    /// looked up.
    fn watch(self: &Arc<Self>) {
        let socket = Arc::clone(self);
        let wait = move || {
            let mut ready = [PollFd::new(&socket.listener, PollFlags::IN)];
            let pause = Timespec::try_from(PAUSE).ok();
            let mut wait = None;
            while poll(&mut ready, wait).is_ok() && !ready[0].revents().contains(PollFlags::HUP) {
                let taken = held().take(&socket);
                if taken.is_err() {
                    // The connection still waits, so `poll` would return at once.
                    thread::sleep(PAUSE);
                }
                wait = pause.as_ref().filter(|_| taken.unwrap_or(true));
            }
        };
        let _ = thread::Builder::new().spawn(wait);
    }

    /// Returns the file that a connection sends and its identity, or an error if nothing has
    /// arrived yet. A sender without the key is ignored; if there is no key, so is a sender that
    /// the kernel reports as another user.
    fn read(&self, stream: &UnixStream) -> Result<Option<(FileId, OwnedFd)>, Errno> {
        let mut message = [0; KEY_LEN + FILE_LEN];
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let received = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut message)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
        )?;
        let file = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        });
        let message = message.get(..received.bytes).and_then(parse_file);
        let (Some((key, [device, inode, size, modified_ns])), Some(file)) = (message, file) else {
            return Ok(None);
        };
        let is_known = !self.key.is_empty() || socket_peercred(stream)?.uid == geteuid();
        let id = FileId {
            device,
            inode,
            size,
            modified_ns,
        };
        Ok((is_known && key == self.key).then_some((id, file)))
    }
}

/// Files that were received.
#[derive(Default)]
struct Held {
    sockets: Vec<Arc<Socket>>,
    /// Those that have connected, and may be about to send.
    senders: VecDeque<(Arc<Socket>, UnixStream)>,
    files: HashMap<FileId, File>,
    by_build_id: HashMap<Vec<u8>, FileId>,
}

impl Held {
    /// Receives the files that wait at a socket. Returns whether a process has connected and not
    /// sent anything yet, or an error if connections cannot be accepted, for lack of descriptors.
    fn take(&mut self, socket: &Arc<Socket>) -> io::Result<bool> {
        let mut result = Ok(());
        // A process that connects without end must not keep the lock for ever.
        for _ in 0..MOST {
            match socket.listener.accept() {
                Ok((stream, _)) => self.hear(Arc::clone(socket), stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        for (socket, stream) in std::mem::take(&mut self.senders) {
            self.hear(socket, stream);
        }
        result.map(|()| !self.senders.is_empty())
    }

    /// Receives what a connection sends, or keeps the connection until it sends something.
    fn hear(&mut self, socket: Arc<Socket>, stream: UnixStream) {
        match socket.read(&stream) {
            Ok(Some((id, file))) => {
                let _ = self.keep(id, file);
            }
            Err(Errno::AGAIN) => {
                // The connection that has been silent for longest makes room.
                if self.senders.len() >= MOST_SENDERS {
                    self.senders.pop_front();
                }
                self.senders.push_back((socket, stream));
            }
            Ok(None) | Err(_) => {}
        }
    }

    fn keep(&mut self, id: FileId, file: OwnedFd) -> io::Result<()> {
        if self.files.len() >= most_files() || self.files.contains_key(&id) {
            return Ok(());
        }
        let file = File::from(file);
        let mapped = MappedFile::of(file.try_clone()?);
        let Some(elf) = mapped.as_ref().and_then(|file| Elf::parse(&file.bytes)) else {
            return Ok(());
        };
        if !elf.build_id().is_empty() {
            self.by_build_id.insert(elf.build_id().to_vec(), id);
        }
        self.files.insert(id, file);
        Ok(())
    }
}

/// Returns how many files are held at most: half of the tool's descriptors are left for reports.
fn most_files() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit / 2).map_or(MOST, |half| half.min(MOST))
}

fn held() -> MutexGuard<'static, Held> {
    HELD.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the file of a module that is not at its path, if it was received.
fn find(module: &ObjectId<'_>) -> Option<MappedFile> {
    let mut held = held();
    for socket in held.sockets.clone() {
        let _ = held.take(&socket);
    }
    let id = match module.build_id {
        [] => module.file?,
        build_id => *held.by_build_id.get(build_id)?,
    };
    let file = MappedFile::of(held.files.get(&id)?.try_clone().ok()?)?;
    Some(match id.is_of_copy() {
        true => MappedFile::of_memory(file.bytes, id),
        // It may have been written to.
        false => file,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use skipheap_config::session::file_words;
    use std::io::IoSlice;
    use std::os::fd::AsFd;

    fn hand_over(session: &Path, key: &[u8], id: FileId, path: &Path) {
        let socket = UnixStream::connect(session.join(".files")).expect("somebody listens");
        let file = File::open(path).expect("a file");
        let words = file_words(id.device, id.inode, id.size, id.modified_ns);
        let message = [key, &words].concat();
        let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        let files = [file.as_fd()];
        assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        let parts = [IoSlice::new(&message)];
        sendmsg(&socket, &parts, &mut control, SendFlags::empty()).expect("sent");
    }

    #[test]
    fn a_file_that_was_handed_over_is_found_after_it_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        fs::copy("/proc/self/exe", &path).expect("copied");
        let id = FileId::of(&path.metadata().expect("it is there"));
        let build_id = {
            let file = MappedFile::of(File::open(&path).expect("a file")).expect("mapped");
            Elf::parse(&file.bytes).expect("a file").build_id().to_vec()
        };
        let others = b"/tmp/x/0123456789abcdef0123456789abcdef";
        let taker = Taker::new(folder.path(), others);
        hand_over(folder.path(), b"0123456789abcdee", id, &path);
        let module = ObjectId {
            path: b"/nowhere/program",
            build_id: &[],
            file: Some(id),
        };
        assert!(
            find(&module).is_none(),
            "a sender without the key is ignored"
        );
        hand_over(folder.path(), b"0123456789abcdef", id, &path);
        fs::remove_file(&path).expect("removed");
        let found = find(&module).expect("the file");
        assert_eq!(found.id(), Some(id));
        let by_build_id = ObjectId {
            build_id: &build_id,
            file: None,
            ..module
        };
        assert_eq!(find(&by_build_id).is_some(), !build_id.is_empty());
        drop(taker);
        assert!(find(&module).is_some(), "files stay");
        let socket = folder.path().join(".files");
        assert!(!socket.exists(), "nobody listens any more");
        let other = FileId {
            modified_ns: id.modified_ns + 1,
            ..id
        };
        let other = ObjectId {
            file: Some(other),
            ..module
        };
        assert!(find(&other).is_none());
        let copy = FileId {
            modified_ns: 0,
            ..id
        };
        let taker = Taker::new(folder.path(), others);
        hand_over(
            folder.path(),
            b"0123456789abcdef",
            copy,
            Path::new("/proc/self/exe"),
        );
        let of_copy = ObjectId {
            file: Some(copy),
            ..module
        };
        assert_eq!(find(&of_copy).and_then(|file| file.id()), Some(copy));
        drop(taker);
    }

    #[test]
    fn those_who_connect_and_send_nothing_keep_nobody_else_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("program");
        // A file of its own, since what other tests hand over stays.
        fs::copy("/proc/self/exe", &path).expect("copied");
        let id = FileId::of(&path.metadata().expect("it is there"));
        let key = b"fedcba9876543210";
        let taker = Taker::new(folder.path(), b"/tmp/x/fedcba9876543210fedcba9876543210");
        let socket = folder.path().join(OsStr::from_bytes(FILES_SOCKET));
        let silent: Vec<UnixStream> = (0..4 * MOST_SENDERS)
            .map(|_| UnixStream::connect(&socket).expect("somebody listens"))
            .collect();
        hand_over(folder.path(), key, id, &path);
        let module = ObjectId {
            path: b"/nowhere/program",
            build_id: &[],
            file: Some(id),
        };
        assert!(find(&module).is_some(), "it is heard");
        let waiting = held()
            .senders
            .iter()
            .filter(|(other, _)| {
                taker
                    .sockets
                    .iter()
                    .any(|socket| Arc::ptr_eq(socket, other))
            })
            .count();
        assert!(waiting <= MOST_SENDERS, "{waiting} are waited for");
        drop(silent);
        drop(taker);
    }

    #[test]
    fn half_of_the_descriptors_are_left_for_reports() {
        let limit = getrlimit(Resource::Nofile).current;
        let most = most_files() as u64;
        assert!(most <= MOST as u64);
        assert!(limit.is_none_or(|limit| most <= limit / 2));
    }
}
