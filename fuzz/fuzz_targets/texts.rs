//! Any bytes as the texts that people and other programs write: reports in CSV, suppressions,
//! configurations with their globs.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skipheap_compare::diff::csv;
use skipheap_compare::gate::config;
use skipheap_profile::report::csv::HEADER;
use skipheap_text::harmless;

fuzz_target!(|data: &[u8]| {
    let mut file = HEADER.join(",").into_bytes();
    file.push(b'\n');
    file.extend_from_slice(data);
    for bytes in [data, &file] {
        if let Ok(sheet) = csv::read(bytes) {
            assert_eq!(sheet.rows.len(), sheet.lines.len());
        }
    }
    let text = String::from_utf8_lossy(data);
    let said = harmless(&text);
    assert_eq!(harmless(&said), said);
    if let Ok(suppressions) = skipheap_profile::report::suppressions::parse(&text) {
        for suppression in suppressions {
            let _ = suppression.matches("operator new(unsigned long)");
        }
    }
    let _ = config::parse(&text);
});
