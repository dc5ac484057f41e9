//! Finds out whether another copy of this library stands in front of this one: preloaded by another
//! path, or in another version. The first one counts, and forwards to the others, which must not
//! count the same calls again.

use crate::elf;
use core::ffi::CStr;

/// Read by the tool: copies that have it leave the counting to the first one.
#[used]
static MARK: [u8; 31] = *b"skipheap: the first copy serves";

/// A function that every copy exports.
const EXPORTED: &CStr = c"skipheap_is_recording";

/// Returns whether another copy comes first where symbols are looked up.
///
/// Called once, at start.
pub(crate) fn another_serves() -> bool {
    elf::is_defined_before(EXPORTED)
}
