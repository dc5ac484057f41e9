//! What a return address tells about the hooked functions around it.
//!
//! Runs in cold sections.

use super::hooked;
use crate::sys;
use crate::unwind::is_code;
use skipheap_format::layout::{FRAME_CALLEE_SHIFT, FRAME_HOOKED, FRAME_MAKES_PAGES};

/// What the frame of a return address says about hooks.
#[derive(Clone, Copy)]
pub(crate) struct Flags {
    /// The call was made in a hooked function.
    pub(crate) inside: bool,
    /// The call was made in a function that has pages of an ObStack made.
    makes_pages: bool,
    /// The hooked function that was called there, 0 for none.
    callee: u16,
}

impl Flags {
    /// Of a return address, or of an interrupted one (`exact`).
    pub(crate) fn of(address: u64, exact: bool) -> Self {
        let mut flags = Self {
            inside: false,
            makes_pages: false,
            callee: 0,
        };
        hooked::with(|hooks| {
            let place = if exact { address } else { address - 1 };
            flags.inside = hooks.covers(place);
            flags.makes_pages = hooks.makes_pages(place);
            if !exact && hooks.has_entries() {
                flags.callee = called_before(address)
                    .and_then(|target| hooks.entered_at(target))
                    .unwrap_or(0);
            }
        });
        flags
    }

    /// As they stand in a frame's record.
    pub(crate) fn bits(self) -> u32 {
        let inside = if self.inside { FRAME_HOOKED } else { 0 };
        let makes_pages = if self.makes_pages {
            FRAME_MAKES_PAGES
        } else {
            0
        };
        inside | makes_pages | u32::from(self.callee) << FRAME_CALLEE_SHIFT
    }
}

/// Where the direct call before a return address leads, through a stub of the procedure linkage
/// table too.
fn called_before(address: u64) -> Option<u64> {
    // call rel32
    let call: [u8; 5] = read_code(address.checked_sub(5)?)?;
    if let [0xe8, displacement @ ..] = call {
        let target = relative(address, displacement);
        return Some(behind_stub(target).unwrap_or(target));
    }
    // call [rip + rel32]
    let call: [u8; 6] = read_code(address - 6)?;
    match call {
        [0xff, 0x15, displacement @ ..] => read_word(relative(address, displacement)),
        _ => None,
    }
}

/// Where a stub leads: `[endbr64] [bnd] jmp [rip + rel32]`.
fn behind_stub(mut at: u64) -> Option<u64> {
    if read_code(at)? == [0xf3, 0x0f, 0x1e, 0xfa] {
        at += 4;
    }
    if read_code(at)? == [0xf2] {
        at += 1;
    }
    let jump: [u8; 6] = read_code(at)?;
    match jump {
        [0xff, 0x25, displacement @ ..] => read_word(relative(at + 6, displacement)),
        _ => None,
    }
}

fn relative(next: u64, displacement: [u8; 4]) -> u64 {
    next.wrapping_add_signed(i64::from(i32::from_le_bytes(displacement)))
}

fn read_code<const N: usize>(at: u64) -> Option<[u8; N]> {
    let end = at.checked_add(N as u64)?;
    // SAFETY: the range lies in an executable, readable segment of a mapped object.
    is_code(at, end).then(|| unsafe { *(at as *const [u8; N]) })
}

fn read_word(at: u64) -> Option<u64> {
    // SAFETY: the kernel was asked whether the word can be read.
    (at.is_multiple_of(8) && sys::is_readable(at as usize)).then(|| unsafe { *(at as *const u64) })
}
