//! Any bytes as a recording, read all the way to rows and CSV.
//!
//! Input that does not begin with the magic number is put behind a valid header, so that the
//! fuzzer spends its time on chunks and records. Its first byte says what was recorded: whole stacks, the live
//! heap, the leak check, a sample.

#![no_main]

use libfuzzer_sys::fuzz_target;
use skipheap_format::layout::{
    FORMAT_VERSION, HEADER_LEN, Header, LEAK_CHECKED, LIVE, MAGIC, WHOLE_STACKS,
};
use skipheap_format::reader::Recording;
use skipheap_profile::build::{self, Detail};
use skipheap_profile::leaks::leaks;
use skipheap_profile::report::collapsed::Style;
use skipheap_profile::report::rows::totals;
use skipheap_profile::report::{csv, csv_all};
use skipheap_profile::rows::rows;
use skipheap_profile::stacks::stacks;
use skipheap_symbolize::Symbolizer;
use skipheap_symbolize::places::Places;

fn with_header(data: &[u8]) -> Vec<u8> {
    let (&what, chunks) = data.split_first().unwrap_or((&0, &[]));
    let mut bytes = vec![0; HEADER_LEN as usize];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    let cursor = std::mem::offset_of!(Header, cursor);
    bytes[cursor..cursor + 8].copy_from_slice(&(HEADER_LEN + chunks.len() as u64).to_le_bytes());
    let flags = u32::from(what) & (WHOLE_STACKS | LIVE | LEAK_CHECKED);
    let at = std::mem::offset_of!(Header, flags);
    bytes[at..at + 4].copy_from_slice(&flags.to_le_bytes());
    let sample = std::mem::offset_of!(Header, sample_bytes);
    bytes[sample] = what >> 3;
    bytes.extend_from_slice(chunks);
    bytes
}

fuzz_target!(|data: &[u8]| {
    let made;
    let bytes = if data.starts_with(&MAGIC) {
        data
    } else {
        made = with_header(data);
        &made
    };
    // What a process that still runs would have left: halves of it, then all.
    let (half, _) = bytes.split_at(bytes.len() / 2);
    let settled = skipheap_format::settle::settled(half, bytes.to_vec());
    assert_eq!(settled.len(), bytes.len());
    let Ok(recording) = Recording::parse(bytes) else {
        return;
    };
    let _ = recording.cut_off();
    let _ = (recording.exe().len(), recording.cmdline().len());
    let _ = (recording.pid(), recording.ppid(), recording.start_ns());
    let _ = (recording.finished(), recording.forked());
    for loss in skipheap_format::loss::Loss::ALL {
        let _ = recording.loss(*loss);
    }
    for site in recording.sites() {
        for id in site.frames {
            if let Ok(frame) = recording.frame(id)
                && let Ok(module) = recording.module(frame.module)
                // Devices and files of the machine are none of the input.
                && module.path.contains(&b'/')
            {
                return;
            }
        }
    }
    let (mut symbolizer, mut places) = (Symbolizer::new(), Places::default());
    for detail in [
        Detail::CALL_SITES,
        Detail::ORIGINS,
        Detail::STACKS,
        Detail::leaks(3),
        Detail::EVERYTHING,
    ] {
        let built = build::profile(&recording, detail, &mut symbolizer, &mut places);
        let Ok(profile) = built else { continue };
        profile.check().expect("in order");
        for fold_recursion in [false, true] {
            let style = Style {
                fold_recursion,
                ..Style::default()
            };
            stacks(&profile, style)
                .write(std::io::sink())
                .expect("a sink takes everything");
        }
        let sites: Vec<_> = profile.sites.iter().collect();
        let _ = leaks(&profile, 0, &sites, &[], 3);
        let by_origin = rows(&profile, true);
        csv_all::write(&by_origin, std::io::sink()).expect("a sink takes everything");
        let rows = rows(&profile, false);
        assert!(
            rows.iter()
                .all(|row| row.names.iter().flatten().all(|name| !name.is_empty()))
        );
        assert_eq!(totals(&rows).sites, rows.len());
        csv::write(&rows, std::io::sink()).expect("a sink takes everything");
    }
});
