//! Where functions start, by the unwind information: what tells functions apart in a stripped file.

use super::elf::Elf;
use gimli::{
    BaseAddresses, EhFrame, EhFrameHdr, EhFrameOffset, EndianSlice, LittleEndian, Pointer,
    UnwindSection,
};

/// Encodings of the number of entries in `.eh_frame_hdr`, its third byte: `DW_EH_PE_udata2` and
/// `DW_EH_PE_udata4` of the Linux Standard Base.
const COUNT_OF_2_BYTES: u8 = 2;
const COUNT_OF_4_BYTES: u8 = 3;

/// The start of the function that contains an address: that of the frame description entry which
/// covers it, found by the binary search table of `.eh_frame_hdr`.
pub fn function_start(file: &[u8], address: u64) -> Option<u64> {
    let elf = Elf::parse(file)?;
    let (hdr_address, hdr) = elf.eh_frame_hdr()?;
    // The look-up multiplies the number of entries unchecked: only what cannot overflow is believed,
    // which is what linkers write.
    if !matches!(hdr, [_, _, COUNT_OF_2_BYTES | COUNT_OF_4_BYTES, ..]) {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_countless_entries_is_not_believed() {
        let mut file = std::fs::read("/proc/self/exe").unwrap();
        let (address, offset) = {
            let elf = Elf::parse(&file).unwrap();
            let (_, hdr) = elf.eh_frame_hdr().unwrap();
            let offset = hdr.as_ptr() as usize - file.as_ptr() as usize;
            // The first entry of the table: distances from the header to the function and its entry.
            let (hdr_address, _) = elf.eh_frame_hdr().unwrap();
            let distance = i32::from_le_bytes(hdr[12..16].try_into().unwrap());
            (hdr_address.wrapping_add_signed(distance.into()), offset)
        };
        assert_eq!(function_start(&file, address), Some(address));
        // DW_EH_PE_udata8, a number of entries of which the product with their size overflows.
        file[offset + 2] = 4;
        file[offset + 8..offset + 16].fill(0xff);
        assert_eq!(function_start(&file, address), None);
    }
}
