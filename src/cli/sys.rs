//! What std and the crates have no safe way to.
//!
//! Signal dispositions and masks: what the tool got from its parent, and how the program gets the
//! same although std and the tool change some of it for themselves. The rights of a thread to files.
//!
//! The only unsafe code of the tool.

#![allow(unsafe_code)]

use rustix::process::{Pid, getpid};
use skipheap_format::PAGE;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

/// What the parent of the tool left us.
#[derive(Clone, Copy)]
struct Inherited {
    mask: libc::sigset_t,
    sigpipe_ignored: bool,
    sigchld_ignored: bool,
    /// See [`children_kilobytes`].
    children_kilobytes: u64,
}

static INHERITED: OnceLock<Inherited> = OnceLock::new();

/// Runs before main, where std ignores SIGPIPE and forgets what it was.
#[ctor::ctor(unsafe)]
fn remember() {
    let inherited = Inherited {
        mask: change_mask(libc::SIG_BLOCK, &[]),
        sigpipe_ignored: is_ignored(libc::SIGPIPE),
        sigchld_ignored: is_ignored(libc::SIGCHLD),
        children_kilobytes: children_kilobytes(),
    };
    if inherited.sigchld_ignored {
        // Else the kernel throws the program's exit status away.
        reset(&[libc::SIGCHLD]);
    }
    INHERITED.get_or_init(|| inherited);
}

/// Returns the most resident memory in bytes of any process that the tool has waited for, and of those
/// that these waited for.
///
/// `None` where a process that ran before the tool may have had more: `exec` keeps that figure, so that
/// under `cargo run` it is the compiler's.
pub(crate) fn peak_rss_of_children() -> Option<u64> {
    let before = INHERITED.get()?.children_kilobytes;
    let kilobytes = Some(children_kilobytes()).filter(|&most| most > before)?;
    Some(kilobytes.saturating_mul(1024))
}

/// Returns the most resident memory of the processes that this one has waited for, in the kernel's
/// unit of 1024 bytes; 0 without any.
fn children_kilobytes() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is large enough, and all zeros is a valid value of it, should the call fail.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_CHILDREN, usage.as_mut_ptr());
        usage.assume_init()
    };
    u64::try_from(usage.ru_maxrss).unwrap_or(0)
}

/// Returns whether the signal is ignored.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only; `action` is large enough, and all zeros is a valid value of it, should
    // the call fail.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Lets these signals do what they do by default.
fn reset(signals: &[i32]) {
    for &signal in signals {
        // SAFETY: the default disposition runs no code of ours.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Ends the process by a signal, as if nobody had blocked it.
pub(crate) fn end_by(signal: i32) -> ! {
    reset(&[signal]);
    deliver(&[signal]);
    // SAFETY: the signal has its default disposition, so that no code of ours runs.
    unsafe { libc::raise(signal) };
    // The first process of a namespace does not end by a signal.
    std::process::exit(128 + signal)
}

/// A signal that was taken by [`wait_for`].
pub(crate) struct Taken {
    /// Its number.
    pub(crate) number: i32,
    /// The process that sent it; none for the terminal, a timer or the kernel. (One outside of the tool's
    /// namespace is the tool itself here.)
    pub(crate) sender: Option<Pid>,
}

/// Waits for one of these signals, which are blocked in all threads.
pub(crate) fn wait_for(signals: &[i32]) -> Option<Taken> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    let set = set_of(signals);
    // SAFETY: both are ours and valid when zeroed; the call fills the second one or fails.
    let (number, info) = unsafe {
        let number = libc::sigwaitinfo(set.as_ptr(), info.as_mut_ptr());
        (number, info.assume_init())
    };
    let sent = [libc::SI_USER, libc::SI_QUEUE, libc::SI_TKILL];
    // SAFETY: the call filled it in; signals of these codes have a sender.
    let sender = || unsafe { info.si_pid() };
    (number > 0).then(|| Taken {
        number,
        sender: sent
            .contains(&info.si_code)
            .then(|| Pid::from_raw(sender()).unwrap_or_else(getpid)),
    })
}

/// Sends a signal, which may be a real-time one.
pub(crate) fn send(pid: Pid, signal: i32) {
    // SAFETY: kill has no effect on this process's memory.
    unsafe { libc::kill(pid.as_raw_nonzero().get(), signal) };
}

/// Holds these signals back until [`deliver`]; they stay pending.
pub(crate) fn hold(signals: &[i32]) {
    change_mask(libc::SIG_BLOCK, signals);
}

/// Lets these signals come, also when the parent had blocked them.
pub(crate) fn deliver(signals: &[i32]) {
    change_mask(libc::SIG_UNBLOCK, signals);
}

fn set_of(signals: &[i32]) -> MaybeUninit<libc::sigset_t> {
    let mut set = MaybeUninit::zeroed();
    // SAFETY: the set is large enough, and valid when zeroed; numbers that are no signals are
    // refused.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for &signal in signals {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
    }
    set
}

/// Changes the calling thread's mask and returns the one before.
fn change_mask(how: i32, signals: &[i32]) -> libc::sigset_t {
    let set = set_of(signals);
    let mut before = MaybeUninit::zeroed();
    // SAFETY: both sets are ours, large enough, and valid when zeroed.
    unsafe {
        libc::pthread_sigmask(how, set.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

/// Starts the command with the mask and the dispositions that the tool was started with, in place
/// of those that std gives a child (nothing blocked, SIGPIPE not ignored).
pub(crate) fn pass_on(command: &mut Command) {
    let Some(&inherited) = INHERITED.get() else {
        return;
    };
    let restore = move || {
        // SAFETY: no code of ours is installed as a handler, and the set is a copy in the closure.
        unsafe {
            for (signal, ignored) in [
                (libc::SIGPIPE, inherited.sigpipe_ignored),
                (libc::SIGCHLD, inherited.sigchld_ignored),
            ] {
                if ignored {
                    libc::signal(signal, libc::SIG_IGN);
                }
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &inherited.mask, std::ptr::null_mut());
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec and makes only async-signal-safe calls.
    unsafe { command.pre_exec(restore) };
}

/// Keeps the tool alive when a file that it has mapped is truncated: from then on the missing pages
/// read as zeros, and what they held is damage like any other in the file.
///
/// Object files are mapped, since copying hundreds of megabytes is no option; somebody may be writing
/// to one of them.
pub(crate) fn survive_truncated_files() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: all zeros are a valid action with an empty mask. The handler has the signature that
    // SA_SIGINFO asks for, makes one system call, and needs no state of the interrupted thread.
    unsafe {
        let action = action.assume_init_mut();
        action.sa_sigaction = on_missing_page as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaction(libc::SIGBUS, action, std::ptr::null_mut());
    }
}

/// Puts a page of zeros where a page of a file is missing. The access is then made again; any other
/// cause of SIGBUS ends the tool as it would have.
extern "C" fn on_missing_page(
    signal: i32,
    info: *mut libc::siginfo_t,
    _context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid record, in which SIGBUS has an address.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    let page = address & !(PAGE as usize - 1);
    // SAFETY: BUS_ADRERR is sent for a page of a mapping whose file has none there (mmap(2)); the
    // only files that the tool maps are read-only and private, and the page is replaced by zeros
    // where an access would fail for ever.
    let replaced = code == libc::BUS_ADRERR
        && unsafe {
            libc::mmap(
                page as *mut libc::c_void,
                PAGE as usize,
                libc::PROT_READ,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
                -1,
                0,
            )
        } != libc::MAP_FAILED;
    if !replaced {
        reset(&[signal]);
    }
}

/// A user's rights to files, as a thread has them.
pub(crate) struct FileRights {
    /// The user.
    pub(crate) uid: u32,
    /// The group.
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
}

impl FileRights {
    /// Gives the calling thread these rights, and no other thread. The kernel takes the capabilities
    /// that override rights to files from a thread whose user for files is not root, and gives them
    /// back with root (capabilities(7), "Effect of user ID changes on capabilities").
    ///
    /// # Errors
    /// When the kernel refuses one of them; some may have changed by then.
    pub(crate) fn take(&self) -> std::io::Result<()> {
        // While the user for files is root, groups can be changed. A user that does not exist changes
        // nothing and returns the one before.
        // SAFETY: the calls have no preconditions. The raw call changes the groups of this thread
        // alone, where the C library's would change those of all; the list is as long as said.
        unsafe {
            let changed =
                libc::syscall(libc::SYS_setgroups, self.groups.len(), self.groups.as_ptr());
            if changed != 0 {
                return Err(std::io::Error::last_os_error());
            }
            libc::setfsgid(self.gid);
            libc::setfsuid(self.uid);
            let (uid, gid) = (libc::setfsuid(u32::MAX), libc::setfsgid(u32::MAX));
            match (uid.cast_unsigned(), gid.cast_unsigned()) == (self.uid, self.gid) {
                true => Ok(()),
                false => Err(std::io::ErrorKind::PermissionDenied.into()),
            }
        }
    }
}

/// Returns whether a folder lies in a file system in which a mapped page needs new room for each change.
pub(crate) fn is_copy_on_write(folder: &std::path::Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let Ok(path) = std::ffi::CString::new(folder.as_os_str().as_bytes()) else {
        return false;
    };
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: a path that ends with NUL, and room for a statfs, which is read only when the call filled it.
    unsafe {
        libc::statfs(path.as_ptr(), stat.as_mut_ptr()) == 0
            && skipheap_format::disks::is_copy_on_write(stat.assume_init().f_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(prepare: impl FnOnce(&mut Command)) -> String {
        let mut command = Command::new("/bin/grep");
        command.args(["Sig[BI]", "/proc/self/status"]);
        prepare(&mut command);
        String::from_utf8(command.output().expect("grep").stdout).expect("text")
    }

    #[test]
    fn a_program_gets_the_mask_and_the_ignored_signals_of_the_parent() {
        let own = std::fs::read_to_string("/proc/thread-self/status").expect("status");
        let blocked = own.lines().find(|line| line.starts_with("SigBlk"));
        let passed = status_of(pass_on);
        assert!(passed.contains(blocked.expect("a mask")), "{passed}");
    }

    #[test]
    fn a_file_that_is_truncated_while_it_is_mapped_reads_as_zeros() {
        use skipheap_symbolize::bytes::MappedFile;
        survive_truncated_files();
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), vec![7; 3 * PAGE as usize]).expect("written");
        let mapped = MappedFile::open(file.path()).expect("mapped").bytes;
        assert_eq!(mapped[2 * PAGE as usize], 7);
        file.as_file().set_len(PAGE).expect("truncated");
        let sum: u64 = mapped.iter().map(|&byte| u64::from(byte)).sum();
        assert_eq!(sum, 7 * PAGE);
    }

    #[test]
    fn held_signals_wait() {
        hold(&[libc::SIGWINCH]);
        let held = change_mask(libc::SIG_BLOCK, &[]);
        deliver(&[libc::SIGWINCH]);
        let free = change_mask(libc::SIG_BLOCK, &[]);
        // SAFETY: both sets are initialised.
        unsafe {
            assert_eq!(libc::sigismember(&held, libc::SIGWINCH), 1);
            assert_eq!(libc::sigismember(&free, libc::SIGWINCH), 0);
        }
    }

    #[test]
    fn ignored_signals_are_known() {
        // std ignores it in every program.
        assert!(is_ignored(libc::SIGPIPE));
        assert!(!is_ignored(libc::SIGXFSZ));
    }
}
