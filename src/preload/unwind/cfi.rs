//! What the unwind information of a module says about an address.
//!
//! Runs in cold sections.

use super::compiled;
use super::modules::EhFrame;
use super::row::Row;
use crate::arch::VENDOR;
use core::ops::Range;
use gimli::{
    BaseAddresses, EhFrame as Section, EhFrameHdr, EndianSlice, FrameDescriptionEntry,
    LittleEndian, UnwindContext, UnwindSection,
};

type Bytes = EndianSlice<'static, LittleEndian>;
type Fde = FrameDescriptionEntry<Bytes>;

/// What covers an address.
#[derive(Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack of one look-up"
)]
pub(crate) enum Entry {
    /// Nothing does.
    Uncovered,
    /// The kernel's signal frame.
    Signal,
    /// The row to step by.
    Row(Row),
    /// Information that cannot be read, or of a kind that is not followed.
    Unsupported,
}

struct Unwind {
    section: Section<Bytes>,
    bases: BaseAddresses,
}

/// Looks up what covers an address of memory.
pub(crate) fn look_up(eh: &EhFrame, lookup: u64) -> Entry {
    match compiled::look_up(eh, lookup) {
        Some(Some(state)) => Entry::Row(state.row()),
        Some(None) => Entry::Uncovered,
        None => look_up_any(eh, lookup),
    }
}

/// Looks up what covers an address of memory, by unwind information of any kind.
pub(super) fn look_up_any(eh: &EhFrame, lookup: u64) -> Entry {
    let unwind = Unwind::of(eh);
    let Some(fde) = unwind
        .entry_before(eh, lookup)
        .filter(|fde| fde.contains(lookup))
    else {
        return Entry::Uncovered;
    };
    if fde.is_signal_trampoline() {
        return Entry::Signal;
    }
    // Some 18 kB on the heap.
    let mut context = UnwindContext::new();
    fde.unwind_info_for_address(&unwind.section, &unwind.bases, &mut context, lookup)
        .ok()
        .and_then(|row| Row::new(&unwind.section, row))
        .map_or(Entry::Unsupported, Entry::Row)
}

/// The code of the function, or the part of it, that contains an address.
pub(super) fn function_around(eh: &EhFrame, address: u64) -> Option<Range<u64>> {
    let fde = Unwind::of(eh).entry_before(eh, address)?;
    let start = fde.initial_address();
    let range = start..start.checked_add(fde.len())?;
    range.contains(&address).then_some(range)
}

/// The address at which the last entry begins that does not begin behind `address`.
pub(crate) fn last_begin(eh: &EhFrame, address: u64) -> Option<u64> {
    let fde = Unwind::of(eh).entry_before(eh, address)?;
    (fde.initial_address() <= address).then(|| fde.initial_address())
}

impl Unwind {
    fn of(eh: &EhFrame) -> Self {
        let mut section = Section::new(eh.frame, LittleEndian);
        section.set_vendor(VENDOR);
        Self {
            section,
            bases: BaseAddresses::default()
                .set_eh_frame_hdr(eh.hdr_address)
                .set_eh_frame(eh.frame_address),
        }
    }

    /// The last entry in the table's order that begins at the address or before it. (Where all begin
    /// behind it, the first.)
    fn entry_before(&self, eh: &EhFrame, address: u64) -> Option<Fde> {
        let hdr = EhFrameHdr::new(eh.hdr, LittleEndian)
            .parse(&self.bases, 8)
            .ok()?;
        let pointer = hdr.table()?.lookup(address, &self.bases).ok()?;
        let gimli::Pointer::Direct(at) = pointer else {
            return None;
        };
        let offset = at.checked_sub(self.bases.eh_frame.section?)?;
        let cie = |section: &Section<Bytes>, bases: &BaseAddresses, at| {
            section.cie_from_offset(bases, at)
        };
        self.section
            .fde_from_offset(&self.bases, gimli::EhFrameOffset(offset as usize), cie)
            .ok()
    }
}
