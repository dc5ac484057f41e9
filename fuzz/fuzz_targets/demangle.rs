//! Any bytes as the name of a symbol.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skipheap_symbolize::demangle;

fuzz_target!(|data: &[u8]| {
    let name = demangle::demangle(data);
    assert_eq!(name.is_empty(), data.is_empty());
    assert!(!name.chars().any(char::is_control));
    // The same with a prefix that leads into a demangler.
    for prefix in [&b"_Z"[..], b"_ZN", b"_R", b"_RNv"] {
        let symbol = [prefix, data].concat();
        assert!(!demangle::demangle(&symbol).is_empty());
    }
});
