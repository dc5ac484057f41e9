//! The environment variables, read once, before the program can change its environment.
//!
//! Runs in the constructor, or in the first allocation when that comes before it. Must not
//! allocate: the values stay where the kernel put them, or are copied into static room.

use crate::{copies, executable, sys};
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char};
use skipheap_config::filter;
use skipheap_config::settings::{self, Allocators, Mode};

/// Longest path that is kept, in bytes.
pub(crate) const PATH_LEN: usize = 1024;

/// Bytes of a setting, copied, with a NUL behind them.
pub(crate) struct Text<const N: usize> {
    len: usize,
    bytes: [u8; N],
}

impl<const N: usize> Text<N> {
    const fn new() -> Self {
        Self {
            len: 0,
            bytes: [0; N],
        }
    }

    /// Copies `value`, unless it is too long for the room.
    pub(crate) fn set(&mut self, value: &[u8]) -> bool {
        let fits = value.len() < N;
        if fits && let Some(room) = self.bytes.get_mut(..value.len()) {
            room.copy_from_slice(value);
            self.len = value.len();
            if let Some(end) = self.bytes.get_mut(value.len()) {
                *end = 0;
            }
        }
        fits
    }

    /// The bytes.
    pub(crate) fn get(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// What the environment said.
pub(crate) struct Settings {
    /// Path of the executable.
    pub(crate) exe: Text<PATH_LEN>,
    /// Folder of the tool's session; empty without the tool.
    pub(crate) session: Text<PATH_LEN>,
    /// Folder for recordings of processes that cannot enter that; empty without one.
    pub(crate) others: Text<PATH_LEN>,
    /// Folder for temporary files, `TMPDIR` or else `/tmp`.
    pub(crate) tmp: Text<PATH_LEN>,
    /// Globs of `SKIP_HEAP_TRIM`.
    pub(crate) trim: Text<4096>,
    /// Specifications of `SKIP_HEAP_HOOKS`.
    pub(crate) hooks: Text<8192>,
    /// They are too long to be kept.
    pub(crate) hooks_too_long: bool,
    /// `SKIP_HEAP_ALLOCATORS`.
    pub(crate) allocators: Allocators,
    /// Its value is none that we know.
    pub(crate) bad_allocators: bool,
    /// `SKIP_HEAP_KEEP`.
    pub(crate) keep: bool,
    /// `SKIP_HEAP_QUIET`.
    pub(crate) quiet: bool,
    /// One stack in how many is verified, `SKIP_HEAP_VERIFY`; 0: none.
    pub(crate) verify: u32,
    /// Its value is none that we know.
    pub(crate) bad_verify: bool,
    /// The value of `SKIP_HEAP_PROFILE` is none that we know.
    pub(crate) bad_profile: bool,
    /// `SKIP_HEAP_STACK_DEPTH`: most frames that reports show of a stack. Above 4, whole stacks are
    /// recorded.
    pub(crate) stack_depth: u32,
    /// Its value is none that we know.
    pub(crate) bad_stack_depth: bool,
    /// `SKIP_HEAP_LIVE` or `SKIP_HEAP_LEAK_CHECK`: blocks are followed until they are freed.
    pub(crate) live: bool,
    /// `SKIP_HEAP_LEAK_CHECK`.
    pub(crate) leak_check: bool,
    /// `SKIP_HEAP_SAMPLE`, 0: every allocation is recorded.
    pub(crate) sample_bytes: u64,
    /// Its value is none that we know.
    pub(crate) bad_sample: bool,
    /// `SKIP_HEAP_STOPPED`.
    pub(crate) stopped: bool,
    /// `SKIP_HEAP_COLUMNS` is `all`.
    pub(crate) all_columns: bool,
    /// Its value is none that we know.
    pub(crate) bad_columns: bool,
    /// `SKIP_HEAP_SUPPRESSIONS`.
    pub(crate) suppressions: Text<PATH_LEN>,
}

struct Shared(UnsafeCell<Settings>);

// SAFETY: written once, in `read`, before the mode that lets others read it is published.
unsafe impl Sync for Shared {}

static SETTINGS: Shared = Shared(UnsafeCell::new(Settings {
    exe: Text::new(),
    session: Text::new(),
    others: Text::new(),
    tmp: Text::new(),
    trim: Text::new(),
    hooks: Text::new(),
    hooks_too_long: false,
    allocators: Allocators::Auto,
    bad_allocators: false,
    keep: false,
    quiet: false,
    verify: 0,
    bad_verify: false,
    bad_profile: false,
    stack_depth: 4,
    bad_stack_depth: false,
    live: false,
    leak_check: false,
    sample_bytes: 0,
    bad_sample: false,
    stopped: false,
    all_columns: false,
    bad_columns: false,
    suppressions: Text::new(),
}));

/// The settings; call it only after [`read`].
pub(crate) fn settings() -> &'static Settings {
    // SAFETY: see `Shared`.
    unsafe { &*SETTINGS.0.get() }
}

/// Settings for the unit tests, with `tmp` as the folder for temporary files.
#[cfg(test)]
pub(crate) fn set_for_tests(tmp: &[u8]) {
    // SAFETY: called once, before anything reads the settings.
    let s = unsafe { &mut *SETTINGS.0.get() };
    let mut buffer = [0; PATH_LEN];
    s.exe.set(executable::path(&mut buffer));
    s.tmp.set(tmp);
}

// By the names that the C library itself uses: a program may have variables of the usual names.
unsafe extern "C" {
    #[link_name = "__environ"]
    static environ: *const *const c_char;
    #[link_name = "__progname_full"]
    static program_invocation_name: *const c_char;
}

/// Returns whether the environment is there yet.
pub(crate) fn is_environment_ready() -> bool {
    // SAFETY: libc's variables; read while the process has one thread.
    unsafe { !environ.is_null() && !program_invocation_name.is_null() }
}

fn variable(name: &str) -> Option<&'static [u8]> {
    // SAFETY: the environment is an array of C strings that ends with null. It is read at start,
    // before the program's own code could change it from another thread.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            if let Some(value) = text
                .strip_prefix(name.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="))
            {
                return Some(value);
            }
            entry = entry.add(1);
        }
    }
    None
}

/// Keeps a path for the whole run. A relative one is that of the working directory of now, which the
/// program may change before the path is used. False when it is too long, or the folder is unknown.
fn set_path(text: &mut Text<PATH_LEN>, path: &[u8]) -> bool {
    if path.is_empty() || path.starts_with(b"/") {
        return text.set(path);
    }
    let mut buffer = [0; PATH_LEN];
    let folder = sys::working_folder(&mut buffer).len();
    let parts: [&[u8]; 2] = [b"/", path];
    let mut len = folder;
    for &byte in parts.iter().copied().flatten() {
        let Some(place) = buffer.get_mut(len) else {
            return false;
        };
        *place = byte;
        len += 1;
    }
    folder != 0 && text.set(buffer.get(..len).unwrap_or(&[]))
}

/// Reads the environment; true when this program is to be profiled.
///
/// # Safety
/// To be called once, before [`settings()`].
pub(crate) unsafe fn read() -> bool {
    // SAFETY: the caller promises to be the only one.
    let s = unsafe { &mut *SETTINGS.0.get() };
    let mode = Mode::parse(variable(settings::PROFILE));
    s.bad_profile = mode.is_none();
    let mode = mode.unwrap_or(Mode::Programs);
    if mode == Mode::Off || copies::another_serves() {
        return false;
    }
    let mut buffer = [0; PATH_LEN];
    s.exe.set(executable::path(&mut buffer));
    // SAFETY: libc's variable; checked by `is_environment_ready`.
    let argv0 = unsafe { CStr::from_ptr(program_invocation_name) }.to_bytes();
    if s.exe.get().is_empty() {
        s.exe.set(argv0);
    }
    let named = variable(settings::NAMED).unwrap_or(b"");
    let is_named = !named.is_empty() && {
        // SAFETY: a plain system call.
        let parent = unsafe { libc::getppid() } as u32;
        filter::is_named(named, parent, argv0, s.exe.get())
    };
    let programs = variable(settings::PROGRAMS);
    if !filter::is_profiled(mode, programs, argv0, s.exe.get(), is_named) {
        return false;
    }
    s.session.set(variable(settings::SESSION).unwrap_or(b""));
    s.others.set(variable(settings::OTHERS).unwrap_or(b""));
    let tmp = variable("TMPDIR").unwrap_or(b"");
    if tmp.is_empty() || !set_path(&mut s.tmp, tmp) {
        s.tmp.set(b"/tmp");
    }
    s.trim.set(variable(settings::TRIM).unwrap_or(b""));
    s.hooks_too_long = !s.hooks.set(variable(settings::HOOKS).unwrap_or(b""));
    let allocators = Allocators::parse(variable(settings::ALLOCATORS));
    s.bad_allocators = allocators.is_none();
    s.allocators = allocators.unwrap_or(Allocators::Auto);
    let verify = settings::one_in(variable(settings::VERIFY));
    s.bad_verify = verify.is_none();
    s.verify = verify.unwrap_or(0);
    s.keep = variable(settings::KEEP) == Some(b"1");
    s.quiet = variable(settings::QUIET) == Some(b"1");
    let depth = settings::stack_depth(variable(settings::STACK_DEPTH));
    s.bad_stack_depth = depth.is_none();
    s.stack_depth = depth.unwrap_or(4);
    let sample = settings::sample_bytes(variable(settings::SAMPLE));
    s.bad_sample = sample.is_none();
    s.sample_bytes = sample.unwrap_or(0);
    s.leak_check = variable(settings::LEAK_CHECK) == Some(b"1");
    s.live = s.leak_check || variable(settings::LIVE) == Some(b"1");
    s.stopped = variable(settings::STOPPED) == Some(b"1");
    set_path(
        &mut s.suppressions,
        variable(settings::SUPPRESSIONS).unwrap_or(b""),
    );
    let columns = variable(settings::COLUMNS).unwrap_or(b"");
    s.all_columns = columns == b"all";
    s.bad_columns = !matches!(columns, b"" | b"seed" | b"all");
    true
}
