//! Everything that depends on the architecture, in one folder each with the same files and names.
//! Nothing else in the library knows registers, instructions or system call numbers.
//!
//! | file | what it defines |
//! |---|---|
//! | `thread_word` | the thread's word and the escape word in initial-exec TLS, the thread pointer; where a thread descriptor lies from there |
//! | `symbols` | addresses of symbols that may be missing, and of this library's dynamic section |
//! | `hooks` | the exported functions: `hook!`, `entry!`, `jump!`, `announced!`, `look_up_and_jump!`, `realloc_*`, `prctl`, `syscall` |
//! | `hot`, `deep_hot`, `sample`, `pages` | the paths that a hook goes on to ([`crate::hot::begin`] chooses) |
//! | `switch` | `catch_escape` and `escape`, `with_callers_on_stack`, `start_helper` |
//! | `registers` | numbers of registers in unwind information, `capture`, the registers that the kernel reports for a stopped thread, floating-point and vector state |
//! | `counters` | updates of a word that are atomic with respect to signal handlers of the same thread |
//! | `system_call` | the system call itself, calls on paths, the processor's counter, and `obstacle`: what cannot be recorded here |
//! | `libc` | functions of the C library that this library defines for itself: jumps, and blocks of memory |
//! | `rule` | the packed unwind rule of a plain step, the step itself, and which rows it can express |
//! | `code` | what machine code shows: calls before return addresses, jumps, signal frames, code without unwind information |
//!
//! # The frame of a hook
//!
//! The code that records a call gets the address of its return address (`entry`) and the caller's
//! frame pointer (`bp`). On both architectures `entry + 8` is the caller's stack pointer: on x86-64
//! the call pushes the return address there, and on AArch64 the hook stores its frame record there.

/// Why the library cannot record in this process, as the text of a message.
pub(crate) type Obstacle = &'static [u8];

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;
