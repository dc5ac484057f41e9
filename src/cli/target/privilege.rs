//! Finds out whether a program gains privileges when we execute it. Then the kernel starts it in
//! secure mode, in which the loader ignores LD_PRELOAD and takes it out of the environment.

use rustix::fs::{StatVfsMountFlags, getxattr, statvfs};
use rustix::process::{getegid, geteuid, getgid, getuid};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

const SETUID: u32 = 0o4000;
const SETGID: u32 = 0o2000;
/// Without the execute bit for the group, the set-group-id bit means something else.
const GROUP_EXECUTE: u32 = 0o0010;

/// How the program gains privileges that we do not have; `None` when it does not.
pub(super) fn gained(path: &Path) -> Option<&'static str> {
    let data = path.metadata().ok()?;
    let mode = data.permissions().mode();
    let is_nosuid = statvfs(path).is_ok_and(|fs| fs.f_flag.contains(StatVfsMountFlags::NOSUID));
    if is_nosuid || cannot_gain() {
        return None;
    }
    // One's own set-user-id program is an ordinary program.
    let other_user = data.uid() != geteuid().as_raw() || data.uid() != getuid().as_raw();
    if mode & SETUID != 0 && other_user {
        return Some("it is setuid (runs as its owner)");
    }
    let other_group = data.gid() != getegid().as_raw() || data.gid() != getgid().as_raw();
    if mode & SETGID != 0 && mode & GROUP_EXECUTE != 0 && other_group {
        return Some("it is setgid (runs as its group)");
    }
    let mut capabilities = [0_u8; 64];
    let has_any = getxattr(path, "security.capability", &mut capabilities[..]).is_ok();
    // Root has them all anyway and gains nothing.
    (has_any && !getuid().is_root()).then_some("it has file capabilities")
}

/// Returns whether this process and its children can gain no privileges (`no_new_privs`).
fn cannot_gain() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| {
        status.lines().any(|line| {
            line.strip_prefix("NoNewPrivs:")
                .is_some_and(|value| value.trim() == "1")
        })
    })
}
