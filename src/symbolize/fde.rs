//! Where functions start, by the unwind information: what tells functions apart in a stripped file.

use super::elf::Elf;
use gimli::{
    BaseAddresses, EhFrame, EhFrameHdr, EhFrameOffset, EndianSlice, LittleEndian, Pointer,
    UnwindSection,
};

/// The start of the function that contains an address: that of the frame description entry which
/// covers it, found by the binary search table of `.eh_frame_hdr`.
pub(crate) fn function_start(file: &[u8], address: u64) -> Option<u64> {
    let elf = Elf::parse(file)?;
    let (hdr_address, hdr) = elf.eh_frame_hdr()?;
    let bases = BaseAddresses::default().set_eh_frame_hdr(hdr_address);
    let hdr = EhFrameHdr::new(hdr, LittleEndian).parse(&bases, 8).ok()?;
    let Pointer::Direct(frame_address) = hdr.eh_frame_ptr() else {
        return None;
    };
    let bases = bases.set_eh_frame(frame_address);
    let frame: EhFrame<EndianSlice<'_, LittleEndian>> =
        EhFrame::new(elf.loaded_at(frame_address)?, LittleEndian);
    let Pointer::Direct(entry) = hdr.table()?.lookup(address, &bases).ok()? else {
        return None;
    };
    let offset = EhFrameOffset(usize::try_from(entry.checked_sub(frame_address)?).ok()?);
    let entry = frame
        .fde_from_offset(&bases, offset, EhFrame::cie_from_offset)
        .ok()?;
    entry.contains(address).then(|| entry.initial_address())
}
