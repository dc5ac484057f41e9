//! Any bytes as an object file: symbols, unwind table, packed symbols, build id, debug link,
//! wrappers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skipheap_symbolize::ModuleNames;
use skipheap_symbolize::bytes::Bytes;
use skipheap_symbolize::elf::Elf;
use skipheap_symbolize::object_file::ObjectFile;
use skipheap_symbolize::wrappers::Wrappers;

fuzz_target!(|data: &[u8]| {
    let packed = Elf::parse(data).and_then(|elf| {
        let _ = (elf.build_id(), elf.debuglink(), elf.has_symtab());
        elf.section(b".gnu_debugdata")
    });
    let unpacked = skipheap_symbolize::xz::unpack(packed.unwrap_or(data))
        .filter(|bytes| bytes.len() < 1 << 20);
    let sources = || {
        std::iter::once(data.to_vec())
            .chain(unpacked.clone())
            .map(Bytes::Owned)
            .collect()
    };

    let file = ObjectFile::new(sources());
    let ranges = Wrappers::new(b"aaa*").ranges_in(&file);
    assert!(ranges.iter().all(|range| range.0 < range.1));
    assert!(ranges.is_sorted_by(|a, b| a.1 < b.0));
    let all = Wrappers::new(b"*").in_file(ObjectFile::new(sources()));
    // Around each symbol, and some addresses of nobody.
    let mut addresses = vec![0, 1, 0x1000, u64::MAX];
    file.function_tables(|_, functions| {
        for symbol in functions.take(20) {
            let end = symbol.start.wrapping_add(symbol.size);
            addresses.extend([
                symbol.start,
                symbol.start.wrapping_sub(1),
                end.wrapping_sub(1),
                end,
            ]);
        }
    });
    if let Some((address, _)) = Elf::parse(data).and_then(|elf| elf.eh_frame_hdr()) {
        addresses.extend([
            address,
            address.wrapping_sub(0x20),
            address.wrapping_add(0x100),
        ]);
    }
    let mut names = ModuleNames::new(b"/lib/x.so", Some(file));
    names.prepare(addresses.clone());
    for address in addresses {
        if ranges
            .iter()
            .any(|range| (range.0..range.1).contains(&address))
        {
            assert!(all.contains(address));
        }
        let name = names.function(address);
        assert!(!name.is_empty() && !name.chars().any(char::is_control));
        assert_eq!(name, names.function(address));
    }
});
