//! Where the JIT of the program dumps its code for perf, noted as a module of the recording, so
//! that the names can be found after the process is gone as well.
//!
//! Runs in cold sections.

use crate::confined;
use crate::process::Process;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use memchr::memchr;
use skipheap_symbolize::jit_dump::process_of;

/// What is known of the dump.
pub(crate) struct JitDump {
    /// The module's id in the recording; 0 as long as none was found.
    id: AtomicU32,
    /// How often code of no object file was met without one.
    missed: AtomicU32,
}

impl JitDump {
    /// Not looked for yet.
    pub(crate) fn new() -> Self {
        Self {
            id: AtomicU32::new(0),
            missed: AtomicU32::new(0),
        }
    }

    /// The id of the dump, for code that no object file holds; 0 if there is none. To look through
    /// the mappings takes up to a millisecond, and most such code is dumped nowhere: it is done
    /// for the first, the second, the fourth ... piece of code, and not in a program that has confined
    /// its system calls.
    pub(crate) fn id(&self, process: &Process) -> u32 {
        let known = self.id.load(Relaxed);
        if known != 0
            || confined::is_confined()
            || !(self.missed.fetch_add(1, Relaxed) + 1).is_power_of_two()
        {
            return known;
        }
        let maps = std::fs::read("/proc/self/maps").unwrap_or_default();
        let Some(path) = dump_in(&maps) else { return 0 };
        // Its code lies anywhere, and its addresses are absolute.
        let id = process
            .recording
            .add_module(0, 0, 0, path, &[])
            .unwrap_or(0);
        self.id.store(id, Relaxed);
        id
    }
}

/// The path of a dump among the mappings that `/proc/self/maps` lists.
fn dump_in(maps: &[u8]) -> Option<&[u8]> {
    maps.split(|&c| c == b'\n')
        .filter_map(|line| line.get(memchr(b'/', line)?..))
        .find(|path| process_of(path).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dump_is_found_among_other_mappings() {
        let maps = b"7f00-7f10 r-xp 00000000 08:01 99 /usr/lib/x.so\n\
            7f20-7f30 r-xp 00000000 08:01 98                         /a b/jit-12.dump\n\
            7f40-7f50 rw-p 00000000 00:00 0 \n";
        assert_eq!(dump_in(maps), Some(b"/a b/jit-12.dump".as_slice()));
        assert_eq!(dump_in(&maps[..47]), None);
        assert_eq!(dump_in(b""), None);
    }
}
