//! Which call a return address belongs to, and where that call goes.
//!
//! May run at any moment.

use super::modules;
use crate::arch::code::{LONGEST_CALL, call_in, jump_at};
use crate::{confined, sys};

/// What the bytes in front of a return address may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    /// A call of this address, and nothing else.
    Direct(u64),
    /// A call of what the word at this address says, and nothing else.
    Through(u64),
    /// A call of a register or of some word in memory.
    Indirect,
}

/// Returns whether the word at an address can be read; false where the kernel may not be asked.
pub(crate) fn is_readable(address: u64) -> bool {
    !confined::is_strict() && sys::is_readable(address as usize)
}

/// Returns whether there is a call instruction that returns to this address.
pub(crate) fn is_before(address: u64) -> bool {
    before(address).is_some()
}

/// The call that returns to this address; `None` where there is none.
pub(crate) fn before(address: u64) -> Option<Call> {
    let start = address.checked_sub(LONGEST_CALL)?;
    // Of code that was made at run time: it may have been unmade since the address was left on the
    // stack.
    let is_code = match modules::find(start) {
        Some(_) => modules::is_code(start, address),
        None => [start & !7, (address - 1) & !7]
            .into_iter()
            .all(is_readable),
    };
    if !is_code {
        return None;
    }
    // SAFETY: the bytes in front of the address were just found readable.
    let bytes = unsafe { *(start as *const [u8; LONGEST_CALL as usize]) };
    call_in(bytes, address)
}

/// Most jumps in a row that are followed.
const MOST_JUMPS: usize = 4;

/// The addresses that a call of `target` comes to by nothing but jumps: itself, what a procedure
/// linkage table or a thunk leads to.
pub(crate) fn reached_from(target: u64) -> impl Iterator<Item = u64> {
    core::iter::successors(Some(target), |&at| jump_at(at)).take(MOST_JUMPS)
}

/// Bytes of code, where it is known to be there.
pub(crate) fn code_at<const N: usize>(at: u64) -> Option<[u8; N]> {
    let end = at.checked_add(N as u64)?;
    let is_code = match modules::find(at) {
        Some(_) => modules::is_code(at, end),
        None => [at & !7, (end - 1) & !7].into_iter().all(is_readable),
    };
    // SAFETY: the bytes were just found readable.
    is_code.then(|| unsafe { *(at as *const [u8; N]) })
}

/// The word at an address, where it can be read.
pub(crate) fn word_at(address: u64) -> Option<u64> {
    let last = address.checked_add(7)?;
    (is_readable(address & !7) && is_readable(last & !7))
        // SAFETY: it was just found readable.
        .then(|| unsafe { (address as *const u64).read_unaligned() })
}
