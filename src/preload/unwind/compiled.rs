//! Unwind information as compilers write it, read in few instructions.
//!
//! [`super::cfi`] reads whatever DWARF allows, which takes some five thousand instructions for an
//! address. A program meets thousands of new return addresses in its first milliseconds, and nearly
//! all of them are covered by entries of one kind: a search table of offsets from
//! `.eh_frame_hdr`, addresses relative to their own place, and instructions that only say where
//! registers were saved. This module reads those in some hundred instructions. Whatever else it
//! meets, it leaves to the other.
//!
//! Runs in cold sections. What is read is untrusted: each read is checked against the bytes there
//! are.

use super::modules::EhFrame;
use super::registers::{COUNT, RA};
use super::row::{Cfa, Row, Saved, through_link};
use crate::arch::{
    LINK_REGISTER, RETURN_COLUMN, RegisterSet, says_nothing_of_entries, says_nothing_of_places,
};

/// `DW_EH_PE_udata4`: how many entries the search table has.
const COUNT_ENCODING: u8 = 0x03;
/// `DW_EH_PE_datarel | DW_EH_PE_sdata4`: the addresses in the search table.
const TABLE_ENCODING: u8 = 0x3b;
/// `DW_EH_PE_pcrel | DW_EH_PE_sdata4`: addresses of code, and that of `.eh_frame`.
const ADDRESS_ENCODING: u8 = 0x1b;
/// Bytes of the header in front of the search table.
const HEADER_LEN: usize = 12;
/// States that an entry remembers at a time.
const MOST_REMEMBERED: usize = 4;

/// What covers an address: the state of the registers there, or nothing.
pub(super) type Covered = Option<State>;

/// Looks up what covers an address of memory; `None` where [`super::cfi`] has to.
pub(super) fn look_up(eh: &EhFrame, lookup: u64) -> Option<Covered> {
    let Some(at) = entry_before(eh, lookup)? else {
        return Some(None);
    };
    let (fde, field) = content(eh.frame, at)?;
    let mut fde = Bytes(fde);
    let back = usize::try_from(fde.u32()?).ok()?;
    let (cie, _) = content(eh.frame, field.checked_sub(back)?)?;
    let cie = Cie::read(cie)?;
    let place = eh.frame_address + field as u64 + 4;
    let start = place.wrapping_add_signed(i64::from(fde.i32()?));
    let len = u64::try_from(fde.i32()?).ok()?;
    if lookup.wrapping_sub(start) >= len {
        return Some(None);
    }
    let augmentation = fde.uleb()?;
    fde.skip(augmentation)?;
    let mut state = State::NEW;
    if !run(&cie, cie.instructions, None, &mut state, u64::MAX)? {
        return None;
    }
    let initial = state;
    run(&cie, fde, Some(&initial), &mut state, lookup - start)?;
    Some(Some(state))
}

/// Where in `.eh_frame` the last entry lies that begins at the address or before it; nothing where
/// all begin behind it. `None` for a table of another kind.
fn entry_before(eh: &EhFrame, lookup: u64) -> Option<Option<usize>> {
    let &[1, ADDRESS_ENCODING, COUNT_ENCODING, TABLE_ENCODING] = eh.hdr.first_chunk()? else {
        return None;
    };
    let count = usize::try_from(Bytes(eh.hdr.get(8..)?).u32()?).ok()?;
    let table = eh
        .hdr
        .get(HEADER_LEN..HEADER_LEN.checked_add(count.checked_mul(8)?)?)?;
    let (rows, _) = table.as_chunks::<8>();
    let wanted = lookup.wrapping_sub(eh.hdr_address) as i64;
    let begin = |row: &[u8; 8]| i64::from(i32::from_le_bytes([row[0], row[1], row[2], row[3]]));
    let Some(last) = rows
        .partition_point(|row| begin(row) <= wanted)
        .checked_sub(1)
    else {
        return Some(None);
    };
    let &[_, _, _, _, a, b, c, d] = rows.get(last)?;
    let offset = i64::from(i32::from_le_bytes([a, b, c, d]));
    let at = eh
        .hdr_address
        .wrapping_add_signed(offset)
        .checked_sub(eh.frame_address)?;
    Some(Some(usize::try_from(at).ok()?))
}

/// The content of the entry at `at`, and where that begins. `None` for the end mark and for 64-bit
/// entries.
fn content(frame: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let len = Bytes(frame.get(at..)?).u32()?;
    if len == 0 || len == u32::MAX {
        return None;
    }
    let start = at.checked_add(4)?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    Some((frame.get(start..end)?, start))
}

/// What entries have in common.
struct Cie<'b> {
    code_factor: u64,
    data_factor: i64,
    instructions: Bytes<'b>,
}

impl<'b> Cie<'b> {
    /// `None` for one that is not as compilers write it for this machine, and for that of signal
    /// frames.
    fn read(content: &'b [u8]) -> Option<Self> {
        let mut bytes = Bytes(content);
        if bytes.u32()? != 0 || bytes.u8()? != 1 {
            return None;
        }
        let names = bytes.string()?;
        let code_factor = bytes.uleb()?;
        let data_factor = bytes.sleb()?;
        let return_address = bytes.u8()?;
        let len = usize::try_from(bytes.uleb()?).ok()?;
        let mut data = Bytes(bytes.0.get(..len)?);
        let instructions = Bytes(bytes.0.get(len..)?);
        let mut encoding = 0;
        for name in names.strip_prefix(b"z")? {
            match name {
                b'R' => encoding = data.u8()?,
                b'L' => data.skip(1)?,
                b'P' => {
                    let len = match data.u8()? & 0xf {
                        0x3 | 0xb => 4,
                        0x0 | 0x4 | 0xc => 8,
                        _ => return None,
                    };
                    data.skip(len)?;
                }
                _ if says_nothing_of_entries(*name) => {}
                _ => return None,
            }
        }
        let is_usual = encoding == ADDRESS_ENCODING && return_address == RETURN_COLUMN;
        is_usual.then_some(Self {
            code_factor,
            data_factor,
            instructions,
        })
    }
}

/// Where the registers of the caller are.
#[derive(Clone, Copy)]
pub(super) struct State {
    register: u8,
    offset: i64,
    /// A bit for each register that was saved, at this many bytes from the CFA.
    saved: RegisterSet,
    at: [i64; COUNT],
    /// A bit for each register whose value is lost.
    undefined: RegisterSet,
}

impl State {
    /// Nothing is said.
    const NEW: Self = Self {
        register: u8::MAX,
        offset: 0,
        saved: 0,
        at: [0; COUNT],
        undefined: 0,
    };

    /// Forgets what was said of a register; its place in the list.
    fn clear(&mut self, register: u8) -> Option<&mut i64> {
        let bit = RegisterSet::from(1_u8).checked_shl(u32::from(register))?;
        self.saved &= !bit;
        self.undefined &= !bit;
        self.at.get_mut(usize::from(register))
    }

    fn save(&mut self, register: u8, at: i64) -> Option<()> {
        *self.clear(register)? = at;
        self.saved |= 1 << register;
        Some(())
    }

    fn restore(&mut self, register: u8, initial: &Self) -> Option<()> {
        let at = *initial.at.get(usize::from(register))?;
        let bit = 1 << register;
        *self.clear(register)? = at;
        self.saved |= initial.saved & bit;
        self.undefined |= initial.undefined & bit;
        Some(())
    }

    /// How the CFA is found.
    pub(super) fn cfa(&self) -> Cfa {
        Cfa::Register(self.register, self.offset)
    }

    /// Where the caller's value of a register is.
    pub(super) fn saved(&self, register: u8) -> Saved {
        let is_in = |set: RegisterSet| set >> register & 1 != 0;
        if register == RA
            && let Some(link) = LINK_REGISTER
        {
            through_link(&self.saved(link))
        } else if is_in(self.saved) {
            Saved::At(self.at.get(usize::from(register)).copied().unwrap_or(0))
        } else if is_in(self.undefined) || register == RA {
            Saved::Undefined
        } else {
            Saved::Same
        }
    }

    /// All of it.
    pub(super) fn row(&self) -> Row {
        Row {
            cfa: self.cfa(),
            saved: core::array::from_fn(|register| self.saved(register as u8)),
        }
    }
}

/// Runs instructions up to the address `wanted`, counted from where the function starts. Returns
/// whether they end before it; `None` for one that is left to [`super::cfi`].
fn run(
    cie: &Cie<'_>,
    mut code: Bytes<'_>,
    initial: Option<&State>,
    state: &mut State,
    wanted: u64,
) -> Option<bool> {
    let mut location = 0_u64;
    let mut remembered = [const { None }; MOST_REMEMBERED];
    let mut depth = 0;
    while let Some(instruction) = code.u8() {
        let operand = instruction & 0x3f;
        let delta = match instruction {
            // DW_CFA_advance_loc, _loc1, _loc2, _loc4
            0x40..=0x7f => u64::from(operand),
            0x02 => u64::from(code.u8()?),
            0x03 => u64::from(code.u16()?),
            0x04 => u64::from(code.u32()?),
            _ => {
                match instruction {
                    // DW_CFA_offset
                    0x80..=0xbf => {
                        let factored = i64::try_from(code.uleb()?).ok()?;
                        state.save(operand, factored.checked_mul(cie.data_factor)?)?;
                    }
                    // DW_CFA_restore
                    0xc0..=0xff => state.restore(operand, initial?)?,
                    // DW_CFA_nop
                    0x00 => {}
                    _ if says_nothing_of_places(instruction) => {}
                    // DW_CFA_undefined
                    0x07 => {
                        let register = u8::try_from(code.uleb()?).ok()?;
                        state.clear(register)?;
                        state.undefined |= 1 << register;
                    }
                    // DW_CFA_remember_state
                    0x0a => {
                        *remembered.get_mut(depth)? = Some(*state);
                        depth += 1;
                    }
                    // DW_CFA_restore_state
                    0x0b => {
                        depth = depth.checked_sub(1)?;
                        *state = (*remembered.get(depth)?)?;
                    }
                    // DW_CFA_def_cfa
                    0x0c => {
                        state.register = register(code.uleb()?)?;
                        state.offset = i64::try_from(code.uleb()?).ok()?;
                    }
                    // DW_CFA_def_cfa_register
                    0x0d if state.register != u8::MAX => {
                        state.register = register(code.uleb()?)?;
                    }
                    // DW_CFA_def_cfa_offset
                    0x0e if state.register != u8::MAX => {
                        state.offset = i64::try_from(code.uleb()?).ok()?;
                    }
                    // DW_CFA_GNU_args_size
                    0x2e => {
                        code.uleb()?;
                    }
                    _ => return None,
                }
                continue;
            }
        };
        location = location.checked_add(delta.checked_mul(cie.code_factor)?)?;
        if location > wanted {
            return Some(false).filter(|_| state.register != u8::MAX);
        }
    }
    Some(true).filter(|_| state.register != u8::MAX)
}

/// A register of general purpose by its number.
fn register(number: u64) -> Option<u8> {
    u8::try_from(number)
        .ok()
        .filter(|&number| usize::from(number) < COUNT)
}

/// Bytes that are taken one after the other from the front.
#[derive(Clone, Copy)]
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    #[inline]
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    #[inline]
    fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_le_bytes)
    }

    #[inline]
    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    #[inline]
    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    #[inline]
    fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_le_bytes)
    }

    fn skip(&mut self, len: u64) -> Option<()> {
        self.0 = self.0.get(usize::try_from(len).ok()?..)?;
        Some(())
    }

    /// The bytes up to a NUL.
    fn string(&mut self) -> Option<&'b [u8]> {
        let len = self.0.iter().position(|&byte| byte == 0)?;
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest.get(1..)?;
        Some(text)
    }

    /// An unsigned number of up to 63 bits.
    #[inline]
    fn uleb(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// A signed number of up to 63 bits.
    fn sleb(&mut self) -> Option<i64> {
        let before = *self;
        let value = self.uleb()?;
        let bits = 7 * (before.0.len() - self.0.len()) as u32;
        Some((value << (64 - bits)) as i64 >> (64 - bits))
    }
}
