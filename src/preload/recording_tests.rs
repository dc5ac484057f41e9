//! Recordings written here and read by the reader of the reports.

use super::*;
use crate::testing;
use proptest::prelude::*;
use skipheap_format::reader::{Frame, Recording as Reader};
use std::ffi::CStr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

fn recording() -> &'static Recording {
    // SAFETY: a recording of zeros is one that was not created.
    let recording = unsafe { testing::zeroed::<Recording>() };
    testing::create(recording);
    recording
}

fn path(bytes: &[u8]) -> PathBuf {
    let text = CStr::from_bytes_until_nul(bytes).unwrap();
    PathBuf::from(text.to_str().unwrap())
}

#[test]
fn the_header_describes_the_process() {
    let recording = recording();
    let bytes = recording.snapshot();
    let read = Reader::parse(&bytes).unwrap();
    assert_eq!(read.pid(), std::process::id());
    assert_eq!(read.ppid(), std::os::unix::process::parent_id());
    let exe = std::env::current_exe().unwrap();
    assert_eq!(read.exe(), exe.as_os_str().as_encoded_bytes());
    let cmdline = std::fs::read("/proc/self/cmdline").unwrap();
    assert_eq!(read.cmdline(), &cmdline[..cmdline.len().min(CMDLINE_LEN)]);
    let age = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64
        - read.start_ns();
    assert!(age < 60_000_000_000);
    assert!(!read.forked() && !read.finished());
    assert_eq!(read.sites().count(), 0);
}

#[test]
fn the_end_and_the_losses_are_written() {
    let recording = recording();
    recording.lose(Loss::NoMemory, 3);
    recording.lose(Loss::NoMemory, 4);
    recording.lose(Loss::Internal, 1);
    recording.finish();
    let bytes = recording.snapshot();
    let read = Reader::parse(&bytes).unwrap();
    assert!(read.finished());
    assert_eq!(read.loss(Loss::RecordingFull), 0);
    assert_eq!(read.loss(Loss::NoMemory), 7);
    assert_eq!(read.loss(Loss::Internal), 1);
}

#[test]
fn phases_say_what_had_been_allocated_before() {
    let recording = recording();
    recording.add_phase(b"first").unwrap();
    let chunk = recording.chunk(CHUNK_SITES, 2).unwrap().records;
    for (i, count) in [(0, 5_u64), (1, 6), (254, 7)] {
        // SAFETY: within the chunk, which is ours.
        unsafe { chunk.add(i * 32 + 24).cast::<u64>().write(count) };
    }
    recording.set_live_sums(&Sums {
        bytes: 77,
        ..Sums::default()
    });
    recording.add_phase(&[b'x'; 5000]).unwrap();
    let bytes = recording.snapshot();
    let read = Reader::parse(&bytes).unwrap();
    let phases: Vec<_> = read.phases().collect();
    assert_eq!(phases.len(), 2);
    assert_eq!((phases[0].label, phases[0].allocations), (&b"first"[..], 0));
    assert_eq!((phases[1].label.len(), phases[1].allocations), (2048, 18));
    assert_eq!((phases[0].live_bytes, phases[1].live_bytes), (0, 77));
    assert!(phases[0].ns <= phases[1].ns && phases[0].ns > read.start_ns());
}

#[test]
fn the_control_word_is_seen_at_both_places() {
    // The word is that of the last recording that was created: no other one may be before the end.
    let _turn = testing::recordings_in_turn();
    // SAFETY: as in `recording`.
    let recording = unsafe { testing::zeroed::<Recording>() };
    recording.create(false);
    let path = path(recording.path().unwrap());
    std::fs::remove_file(path).unwrap();
    assert!(!crate::control::is_stopped());
    recording.set_control(STOPPED);
    assert!(crate::control::is_stopped());
    crate::control::set(0);
    let at = offset_of!(Header, control);
    assert_eq!(recording.snapshot()[at..at + 4], [0; 4]);
    // A child keeps the word, and changes its own alone.
    crate::control::set(STOPPED);
    crate::control::give_up_parents();
    assert!(crate::control::is_stopped());
    crate::control::set(0);
    assert_eq!(recording.snapshot()[at..at + 4], STOPPED.to_le_bytes());
}

#[test]
fn a_recording_that_was_not_created_takes_nothing() {
    // SAFETY: as in `recording`.
    let recording = unsafe { testing::zeroed::<Recording>() };
    assert!(recording.chunk(CHUNK_SITES, 1).is_err());
    assert!(recording.add_module(1, 2, 0, b"/x", b"").is_err());
    recording.lose(Loss::Internal, 1);
    recording.finish();
    assert!(recording.snapshot().is_empty());
    assert!(recording.path().is_none() && recording.predecessor().is_none());
}

#[test]
fn the_file_is_ours_alone_and_what_lay_there_is_put_aside() {
    let _turn = testing::recordings_in_turn();
    // SAFETY: as in `recording`.
    let (first, second) = unsafe {
        (
            testing::zeroed::<Recording>(),
            testing::zeroed::<Recording>(),
        )
    };
    first.create(false);
    let file = path(first.path().unwrap());
    let metadata = std::fs::symlink_metadata(&file).unwrap();
    assert!(metadata.is_file());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    // Who copies or reads it is not to find a terabyte of zeros.
    assert_eq!(metadata.len(), FIRST_LEN);
    assert!(
        metadata.blocks() * 512 < 64 * 1024,
        "a hole, not {metadata:?}"
    );
    assert!(first.predecessor().is_none());
    first.add_module(1, 2, 0, b"/from/the/first", b"").unwrap();

    second.create(true);
    assert_eq!(path(second.path().unwrap()), file);
    let aside = path(second.predecessor().unwrap());
    let bytes = std::fs::read(&aside).unwrap();
    assert!(bytes.starts_with(&first.snapshot()));
    let fresh = second.snapshot();
    assert!(Reader::parse(&fresh).unwrap().forked());
    assert_eq!(fresh.len() as u64, HEADER_LEN);
    std::fs::remove_file(file).unwrap();
    std::fs::remove_file(aside).unwrap();
}

/// A path and a build id.
type Names = (Vec<u8>, Vec<u8>);

fn names() -> impl Strategy<Value = Names> {
    let path = prop_oneof![
        9 => prop::collection::vec(any::<u8>(), 0..60),
        // Longer than a page.
        1 => prop::collection::vec(any::<u8>(), 3000..PATH_LEN * 4 + 500),
    ];
    (path, prop::collection::vec(any::<u8>(), 0..70))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn modules_and_frames_are_read_as_they_were_added(
        added in prop::collection::vec((names(), any::<[u64; 3]>(), 0_usize..400), 0..20),
    ) {
        let recording = recording();
        let mut modules = Vec::new();
        let mut frames = Vec::new();
        for ((path, build_id), [start, end, bias], count) in &added {
            let id = recording.add_module(*start, *end, *bias, path, build_id).unwrap();
            modules.push(id);
            for i in 0..*count as u64 {
                let frame = FrameRecord {
                    module: id,
                    flags: (i % 2) as u32 * FRAME_EXACT,
                    address: start.wrapping_add(i),
                };
                frames.push((recording.add_frame(frame).unwrap(), frame));
            }
        }
        let bytes = recording.snapshot();
        let read = Reader::parse(&bytes).unwrap();
        for (id, ((path, build_id), [start, end, bias], _)) in modules.iter().zip(&added) {
            let module = read.module(*id).unwrap();
            prop_assert_eq!([module.start, module.end, module.bias], [*start, *end, *bias]);
            prop_assert_eq!(module.path, &path[..path.len().min(PATH_LEN * 4)]);
            prop_assert_eq!(module.build_id, &build_id[..build_id.len().min(64)]);
        }
        for (id, frame) in frames {
            let expected = Frame {
                module: frame.module,
                address: frame.address,
                exact: frame.flags == FRAME_EXACT,
            };
            prop_assert_eq!(read.frame(id).unwrap(), expected);
            prop_assert!(id >= FIRST_FRAME_ID);
        }
    }
}

#[test]
fn threads_that_add_at_once_do_not_disturb_one_another() {
    const THREADS: u64 = 4;
    const FRAMES: u64 = 3000;
    let recording = recording();
    let address = std::ptr::from_ref(recording) as usize;
    let ids: Vec<Vec<u32>> = std::thread::scope(|scope| {
        let add = |thread: u64| {
            let frame = move |i| FrameRecord {
                module: thread as u32,
                flags: 0,
                address: i,
            };
            move || {
                // SAFETY: it lives as long as the process; threads share it as they do in a program.
                let recording = unsafe { &*(address as *const Recording) };
                (0..FRAMES)
                    .map(|i| {
                        if i % 500 == 0 {
                            recording.chunk(CHUNK_SITES, 1).unwrap();
                        }
                        recording.add_frame(frame(i)).unwrap()
                    })
                    .collect()
            }
        };
        let threads: Vec<_> = (0..THREADS).map(|t| scope.spawn(add(t))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let bytes = recording.snapshot();
    let read = Reader::parse(&bytes).unwrap();
    for (thread, ids) in (0_u32..).zip(ids) {
        for (address, id) in (0_u64..).zip(ids) {
            let frame = read.frame(id).unwrap();
            assert_eq!((frame.module, frame.address), (thread, address));
        }
    }
}

#[test]
fn a_full_recording_keeps_what_it_has() {
    let recording = recording();
    recording.limit_for_tests(5 * PAGE);
    let frame = |address| FrameRecord {
        module: 0,
        flags: 0,
        address,
    };
    let ids: Vec<u32> = (0..)
        .map_while(|address| recording.add_frame(frame(address)).ok())
        .collect();
    // Chunks of one page and of two fit behind the header, one of four does not.
    assert_eq!(ids.len() as u64, (PAGE - 32) / 16 + (2 * PAGE - 32) / 16);
    assert!(recording.chunk(CHUNK_SITES, 1).is_err());
    let bytes = recording.snapshot();
    // Where it would have been is a hole, which nobody looks at.
    assert_eq!(bytes.len() as u64, 4 * PAGE);
    let read = Reader::parse(&bytes).unwrap();
    for (address, id) in (0..).zip(ids) {
        assert_eq!(read.frame(id).unwrap().address, address);
    }
}

/// As long as the recording is looked at: chunks in several pieces.
#[test]
fn a_recording_grows_piece_by_piece() {
    let recording = recording();
    let mut chunks = Vec::new();
    for i in 0..80_u64 {
        let chunk = recording.chunk(CHUNK_SITES, LARGEST_CHUNK).unwrap();
        // SAFETY: the count of the first site in the chunk, which is ours.
        unsafe { chunk.records.add(24).cast::<u64>().write(i + 1) };
        chunks.push(chunk);
    }
    let pieces = recording.pieces().unwrap();
    assert!(pieces.each().count() > 3);
    for chunk in &chunks {
        assert_eq!(recording.at(chunk.offset), chunk.records);
        assert_eq!(recording.offset_of(chunk.records), Some(chunk.offset));
    }
    // What is mapped follows what was written.
    let mapped: u64 = pieces.each().map(|(_, start, end)| end - start).sum();
    let written = recording.written() as u64;
    assert!(mapped >= written && mapped <= written + written / 8 + pieces::FIRST);
    let copy = recording.snapshot();
    assert_eq!(copy.len() as u64, written);
    // SAFETY: nobody else has this recording.
    assert!(unsafe { recording.bytes() }.unwrap() == copy.as_slice());
    let counts: u64 = Reader::parse(&copy)
        .unwrap()
        .sites()
        .map(|site| site.count)
        .sum();
    assert_eq!(counts, 80 * 81 / 2);
    assert_eq!(recording.allocations(), counts);
}

#[test]
fn a_file_that_is_too_short_is_made_longer_as_long_as_it_is_the_same() {
    let _turn = testing::recordings_in_turn();
    // SAFETY: as in `recording`.
    let recording = unsafe { testing::zeroed::<Recording>() };
    recording.create(false);
    let file = path(recording.path().unwrap());
    recording.limit_for_tests(4 * PAGE);
    for _ in 0..20 {
        recording.chunk(CHUNK_SITES, 7).unwrap();
    }
    let len = std::fs::metadata(&file).unwrap().len();
    assert!(len >= recording.written() as u64 && len <= 2 * recording.written() as u64);
    // Another one in its place is left as it is.
    std::fs::remove_file(&file).unwrap();
    std::fs::write(&file, b"precious").unwrap();
    let refused = (0..100).find_map(|_| recording.chunk(CHUNK_SITES, 7).err());
    assert_eq!(refused.map(Full::loss), Some(Loss::TooLong));
    assert_eq!(std::fs::read(&file).unwrap(), b"precious");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn memory_that_stands_in_for_a_file_grows_too() {
    let base = map_memory(MEMORY_LEN).unwrap();
    // SAFETY: the pieces were just made, and are never unmapped.
    let pieces = unsafe { Pieces::make(base, pieces::FIRST).as_ref() }.unwrap();
    pieces
        .grow(pieces::FIRST, 3 * PAGE, MEMORY_LEN, || None)
        .unwrap();
    let start = pieces.at(pieces::FIRST);
    sys::populate(start, 3 * PAGE as usize).unwrap();
    // SAFETY: within the new piece.
    unsafe { start.write(7) };
    let whole = pieces.whole(pieces::FIRST + PAGE).unwrap();
    // SAFETY: within the mapping of both pieces, to which the new one belongs.
    assert_eq!(unsafe { whole.add(pieces::FIRST as usize).read() }, 7);
}

#[test]
fn names_of_files_are_joined_or_refused() {
    let mut path = [0xff; 8];
    assert_eq!(
        join(&mut path, [&b"/a"[..], b"/b", b"\0"].into_iter()),
        Ok(())
    );
    assert_eq!(path[..5], *b"/a/b\0");
    let parts = [&b"/too"[..], b"/long", b"\0"].into_iter();
    assert_eq!(join(&mut path, parts), Err(libc::ENAMETOOLONG));
    for (n, text) in [(0, "0"), (7, "7"), (1234, "1234"), (u32::MAX, "4294967295")] {
        assert_eq!(decimal(&mut [0; 10], n), text.as_bytes());
    }
}
