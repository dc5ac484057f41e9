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
use skipheap_profile::report::collapsed::{Stacks, Style};
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
    for fold_recursion in [false, true] {
        let style = Style {
            fold_recursion,
            ..Style::default()
        };
        let mut stacks = Stacks::new(style);
        if stacks.add(&recording, &mut symbolizer, &mut places).is_ok() {
            stacks
                .write(std::io::sink())
                .expect("a sink takes everything");
        }
    }
    let _ =
        skipheap_profile::report::leaks::leaks(&recording, &[], 3, &mut symbolizer, &mut places);
    skipheap_profile::report::timeline::write(&recording, std::io::sink())
        .expect("a sink takes everything");
    if let Ok(rows) =
        skipheap_profile::report::rows::rows_by_origin(&[&recording], &mut symbolizer, &mut places)
    {
        skipheap_profile::report::csv_all::write(&rows, std::io::sink())
            .expect("a sink takes everything");
    }
    if let Ok(rows) = skipheap_profile::report::rows::rows(&[&recording], &mut Symbolizer::new()) {
        assert!(
            rows.iter()
                .all(|row| row.names.iter().flatten().all(|name| !name.is_empty()))
        );
        let totals = skipheap_profile::report::rows::totals(&rows);
        assert_eq!(totals.sites, rows.len());
        skipheap_profile::report::csv::write(&rows, std::io::sink())
            .expect("a sink takes everything");
    }
});
