//! Bad input to the tool: damaged recordings, recordings that grow, object files that lie, names made
//! to do harm.

use crate::support::{
    Outcome, Report, Run, Source, output_of, patched_copy, read_recording, recordings, tool,
};
use std::fs;
use std::io::Write;
use std::mem::size_of;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Bytes of a recording's header, and of the page that chunks are made of.
const PAGE: usize = 4096;
/// An offset in the header.
const VERSION: usize = 8;

fn report(recording: &Path) -> Outcome {
    Run::plain(tool())
        .args(&["report", "-o", "-"])
        .arg(recording)
        .finish()
}

/// A recording of the program, in a folder of its own.
fn recorded(program: &Path) -> (TempDir, PathBuf) {
    let outcome = Run::preloaded(program).env("SKIP_HEAP_KEEP", "1").succeed();
    let folder = tempfile::tempdir().expect("a folder");
    let kept = recordings(&outcome.tmp()).remove(0);
    let path = folder.path().join("1.skipheap-rec");
    fs::write(&path, read_recording(&kept)).expect("a copy");
    (folder, path)
}

/// Everything that may come of a damaged recording: a report, or status 2 and one line with the
/// file's name.
fn assert_survived(outcome: &Outcome, path: &Path) {
    match outcome.status.code() {
        Some(0) => {
            let mut csv = ::csv::Reader::from_reader(outcome.stdout.as_bytes());
            let complete = |row: ::csv::StringRecord| row.len() == 7;
            assert!(
                csv.records().all(|row| row.is_ok_and(complete)),
                "{outcome:?}"
            );
        }
        Some(2) => {
            let said = format!("skip-heapprof: {}: ", path.display());
            assert!(outcome.stderr.starts_with(&said), "{outcome:?}");
            assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
            assert_eq!(outcome.stdout, "", "{outcome:?}");
        }
        _ => panic!("{outcome:?}"),
    }
}

#[test]
fn a_recording_cut_off_anywhere_is_never_taken_for_a_whole_one() {
    let (_folder, path) = recorded(&Source::c("pattern").build());
    let whole = fs::read(&path).expect("the recording");
    let steps = [
        0,
        1,
        7,
        8,
        100,
        PAGE - 1,
        PAGE,
        PAGE + 1,
        PAGE + 31,
        PAGE + 32,
    ];
    let more = (PAGE + 100..whole.len()).step_by(whole.len() / 40 + 1);
    for len in steps.into_iter().chain(more).chain([whole.len() - 1]) {
        fs::write(&path, &whole[..len]).expect("written");
        let outcome = report(&path);
        assert_survived(&outcome, &path);
        let said = if outcome.status.success() {
            format!("warning: {}: cut off at offset {len}, ", path.display())
        } else {
            "offset ".to_owned()
        };
        assert!(outcome.stderr.contains(&said), "{len}: {outcome:?}");
    }
    fs::write(&path, &whole).expect("written");
    let outcome = report(&path);
    assert!(
        outcome.status.success() && !outcome.stderr.contains("warning"),
        "{outcome:?}"
    );
    Report::parse(outcome.stdout).assert_is("pattern.csv");
}

#[test]
fn a_recording_of_another_version_is_refused_with_both_versions() {
    let (_folder, path) = recorded(&Source::c("pattern").build());
    let whole = fs::read(&path).expect("the recording");
    for version in [0_u32, 1, 999, u32::MAX] {
        let mut bytes = whole.clone();
        bytes[VERSION..VERSION + 4].copy_from_slice(&version.to_le_bytes());
        fs::write(&path, bytes).expect("written");
        let outcome = report(&path);
        assert_survived(&outcome, &path);
        let said = format!(
            "recording of format version {version} (at offset 8), but this program reads versions "
        );
        assert!(outcome.stderr.contains(&said), "{outcome:?}");
    }
}

#[test]
fn damage_anywhere_is_an_error_with_its_offset_or_leaves_a_report() {
    let (_folder, path) = recorded(&Source::c("pattern").build());
    let whole = fs::read(&path).expect("the recording");
    // Chunks, the first records in each, and the header's numbers.
    let chunks = (PAGE..whole.len())
        .step_by(PAGE)
        .flat_map(|at| (at..at + 128).step_by(4));
    let places = (VERSION + 4..144).step_by(4).chain(chunks);
    let mut refused = 0;
    for (n, at) in places.enumerate() {
        let mut bytes = whole.clone();
        bytes[at..at + 4].fill([0xff, 0x00, 0x7f][n % 3]);
        fs::write(&path, bytes).expect("written");
        let outcome = report(&path);
        assert_survived(&outcome, &path);
        if !outcome.status.success() {
            refused += 1;
            assert!(outcome.stderr.contains(" at offset "), "{at}: {outcome:?}");
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn what_is_no_recording_is_said_to_be_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("not\u{1b}[31m\none.skipheap-rec");
    for content in [&b"SKIPHEAX"[..], b"", &[0x7f; 3 * PAGE]] {
        fs::write(&path, content).expect("written");
        let outcome = report(&path);
        assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
        assert!(outcome.stderr.contains("not a recording: "), "{outcome:?}");
        // The name of the file is not to be trusted either.
        assert!(
            outcome
                .stderr
                .contains("not\\x1b[31m\\x0aone.skipheap-rec: "),
            "{outcome:?}"
        );
        assert_harmless(&outcome.stderr);
    }
}

#[test]
fn a_recording_that_grows_while_it_is_read_is_always_whole() {
    // -O0: ten thousand calls take the optimiser long.
    let program = Source::c("growing").flags(&["-O0"]).build();
    let (running, mut pipe) = Run::preloaded(program).start_with_pipe();
    let mut reports: Vec<u64> = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(100);
    while !running.has_ended() {
        assert!(Instant::now() < deadline, "no end: {reports:?}");
        let Some(path) = recordings(&running.tmp()).pop() else {
            // It is not there yet, or not any more.
            std::thread::sleep(Duration::from_millis(1));
            continue;
        };
        let outcome = report(&path);
        if outcome.status.success() {
            reports.push(Report::parse(outcome.stdout.clone()).calls());
            assert!(!outcome.stderr.contains("warning"), "{outcome:?}");
            // It grows by a tenth for each report, however slow reports are.
            if reports.len() <= 10 {
                pipe.write_all(b"\n").expect("told");
            }
        } else {
            // Not there yet, not begun, or removed by the program's end.
            let early = outcome.stderr.contains("No such file")
                || outcome.stderr.contains("not a recording");
            assert!(early, "{outcome:?}");
        }
    }
    let outcome = running.finish();
    assert_eq!(outcome.report().by_size()[&24], 10_000, "{outcome:?}");
    assert!(reports.is_sorted(), "{reports:?}");
    assert!(reports.len() >= 10, "{reports:?}");
}

/// Numbers of an ELF file to tell lies in: offset and bytes.
fn places_to_lie_in(elf: &[u8]) -> Vec<(usize, usize)> {
    let number = |at: usize, len: usize| {
        let mut bytes = [0; 8];
        bytes[..len].copy_from_slice(&elf[at..at + len]);
        u64::from_le_bytes(bytes) as usize
    };
    // e_phoff, e_shoff; e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx.
    let mut places = vec![
        (32, 8),
        (40, 8),
        (54, 2),
        (56, 2),
        (58, 2),
        (60, 2),
        (62, 2),
    ];
    let (sections, count) = (number(40, 8), number(60, 2));
    for section in 0..count {
        let at = sections + section * 64;
        // sh_name, sh_type, sh_addr, sh_offset, sh_size, sh_link, sh_info, sh_entsize.
        places.extend([
            (at, 4),
            (at + 4, 4),
            (at + 16, 8),
            (at + 24, 8),
            (at + 32, 8),
        ]);
        places.extend([(at + 40, 4), (at + 44, 4), (at + 56, 8)]);
    }
    // p_offset, p_filesz of the program headers.
    for header in 0..number(56, 2) {
        let at = number(32, 8) + header * 56;
        places.extend([(at + 8, 8), (at + 32, 8)]);
    }
    places
}

#[test]
fn an_object_file_that_lies_about_its_sizes_costs_names_at_most() {
    let (folder, program) = patched_copy(&Source::c("pattern").build(), |_, _| {});
    let (_recording_folder, recording) = recorded(&program);
    let honest = fs::read(&program).expect("the program");
    let named = report(&recording);
    assert!(named.stdout.contains("\"leaf\""), "{named:?}");
    let calls = Report::parse(named.stdout.clone()).calls();
    let check = |lie: &[u8], what: &str| {
        fs::write(&program, lie).expect("written");
        let outcome = report(&recording);
        assert!(outcome.status.success(), "{what}: {outcome:?}");
        assert_eq!(
            Report::parse(outcome.stdout.clone()).calls(),
            calls,
            "{what}: {outcome:?}"
        );
        assert_harmless(&outcome.stderr);
    };
    for (n, (at, len)) in places_to_lie_in(&honest).into_iter().enumerate() {
        let mut lie = honest.clone();
        let value = [u64::MAX, 0, 1 << 40, honest.len() as u64 - 1][n % 4];
        lie[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        check(&lie, &format!("{value:#x} at {at}"));
    }
    for tenth in 0..10 {
        check(
            &honest[..honest.len() * tenth / 10],
            &format!("{tenth} tenths"),
        );
    }
    // Symbols that reach from anywhere to anywhere, and have names outside the table.
    let symbols = output_of(
        "readelf",
        &["-SW", &Source::c("pattern").build().to_string_lossy()],
    );
    let line = symbols
        .lines()
        .find(|line| line.contains(" SYMTAB "))
        .expect("a symbol table");
    let fields: Vec<&str> = line
        .split_whitespace()
        .skip_while(|word| *word != "SYMTAB")
        .collect();
    let offset = usize::from_str_radix(fields[2], 16).expect("an offset");
    let size = usize::from_str_radix(fields[3], 16).expect("a size");
    for field in [0, 8, 16] {
        let mut lie = honest.clone();
        for at in (offset..offset + size).step_by(24) {
            lie[at + field..at + field + size_of::<u32>()].fill(0xff);
        }
        check(&lie, &format!("field {field} of all symbols"));
    }
    drop(folder);
}

#[test]
fn a_program_whose_file_lies_is_profiled_all_the_same() {
    let program = Source::c("pattern").build();
    let honest = fs::read(&program).expect("the program");
    // The loader does not look at sections: these lies it does not see.
    let lies = places_to_lie_in(&honest);
    let sections = lies
        .iter()
        .filter(|(at, _)| *at == 40 || (58..4096).contains(at) && *at < 64 || *at > 4096);
    for (n, &(at, len)) in sections.enumerate().filter(|(n, _)| n % 5 == 0) {
        let mut lie = honest.clone();
        let value = [u64::MAX, 1 << 40][n % 2];
        lie[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        let (_folder, liar) =
            patched_copy(&program, |_, copy| fs::write(copy, &lie).expect("written"));
        assert_eq!(
            Run::preloaded(&liar).succeed().report().calls(),
            1023,
            "{value:#x} at {at}"
        );
    }
}

/// No character that a terminal could take for a command, or that hides or turns text.
fn assert_harmless(text: &str) {
    let bad = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    assert!(!text.contains(bad), "{text:?}");
}

/// A program whose three functions have these names.
fn named(names: [&[u8]; 3]) -> (TempDir, PathBuf) {
    let program = Source::c("strange_names").flags(&["-no-pie"]).build();
    patched_copy(&program, |folder, copy| {
        let list = folder.join("names");
        let mut text = Vec::new();
        for (old, new) in ["with_quotes", "with_commas", "with_dash"]
            .iter()
            .zip(names)
        {
            text.extend([old.as_bytes(), b" ", new, b"\n"].concat());
        }
        fs::write(&list, text).expect("the list of names");
        let list = format!("--redefine-syms={}", list.display());
        output_of("objcopy", &[&list, &copy.to_string_lossy()]);
    })
}

/// Runs the program with the library alone and under the tool: the reports, which must be the same,
/// and everything that was printed.
fn both_reports(program: &Path) -> (Report, String) {
    let alone = Run::preloaded(program).succeed();
    let csv = program.with_extension("out.csv");
    let tool = Run::plain(tool())
        .arg("-o")
        .arg(&csv)
        .arg(program)
        .succeed();
    let report = alone.report();
    assert_eq!(fs::read_to_string(csv).expect("the report"), report.text);
    (report, alone.stderr + &tool.stderr)
}

/// The frames of the only row of `size` bytes.
fn frames_of_size(report: &Report, size: u64) -> &[String; 4] {
    let mut rows = report.rows.iter().filter(|row| row.size == size);
    let row = rows.next().expect("the row");
    assert!(rows.next().is_none(), "another row: {}", report.text);
    &row.frames
}

#[test]
fn names_that_would_command_a_terminal_reach_none() {
    let (_folder, program) = named([
        b"red\x1b[31m\x1b]0;title\x07",
        b"back\x08\x7f\xc2\x9b31mover",
        b"turned\xe2\x80\xae\xe2\x81\xa6\xff\xfe",
    ]);
    let (report, printed) = both_reports(&program);
    assert_harmless(&printed);
    assert_harmless(&report.text);
    let row = frames_of_size(&report, 5);
    assert_eq!(row[0], "red\\x1b[31m\\x1b]0;title\\x07");
    assert_eq!(row[1], "back\\x08\\x7f\\xc2\\x9b31mover");
    assert_eq!(row[2], "turned\\xe2\\x80\\xae\\xe2\\x81\\xa6\\xff\\xfe");
    assert!(printed.contains("red\\x1b"), "{printed}");
}

#[test]
fn quotes_and_commas_stay_in_their_column_and_a_line_break_in_its_row() {
    let (_folder, program) = patched_copy(
        &Source::c("strange_names").flags(&["-no-pie"]).build(),
        |_, copy| {
            let rename = [
                "with_quotes=\"a\",\"b\",1,2,3",
                "with_commas=one\ntwo\r\n\"x\",1",
                "with_dash=\"\"\"\"",
            ];
            let rename: Vec<String> = rename
                .iter()
                .map(|names| format!("--redefine-sym={names}"))
                .collect();
            let copy = copy.to_string_lossy();
            let mut args: Vec<&str> = rename.iter().map(String::as_str).collect();
            args.push(&copy);
            output_of("objcopy", &args);
        },
    );
    let (report, printed) = both_reports(&program);
    assert_harmless(&printed);
    // One line a row, though names hold line breaks.
    assert_eq!(
        report.text.lines().count(),
        report.rows.len() + 1,
        "{}",
        report.text
    );
    let row = frames_of_size(&report, 5);
    assert_eq!(
        row[..3],
        [
            "\"a\",\"b\",1,2,3",
            "one\\x0atwo\\x0d\\x0a\"x\",1",
            "\"\"\"\""
        ]
    );
}

#[test]
fn a_name_of_a_million_characters_is_cut() {
    let long = "n".repeat(1_000_000);
    let mangled = format!("_ZN{}{long}E", long.len());
    let nested = format!("_ZN1aI{}E", "N1bI".repeat(200_000));
    let (_folder, program) = named([long.as_bytes(), mangled.as_bytes(), nested.as_bytes()]);
    let (report, printed) = both_reports(&program);
    assert_harmless(&printed);
    // In a pipe a line is as long as its four names.
    assert!(
        printed
            .lines()
            .all(|line| line.chars().count() < 4 * 70_000),
        "a long line"
    );
    let row = frames_of_size(&report, 5);
    for name in &row[..3] {
        let len = name.chars().count();
        assert!(
            (1000..70_000).contains(&len) && name.ends_with('…'),
            "{len}"
        );
    }
}

#[test]
fn a_hooked_function_with_a_harmful_name_is_named_harmlessly() {
    let (_folder, program) = named([b"take\x1b[31mthis", b"take\xe2\x80\xaethat", b"with_dash"]);
    let hook = "take*(size=64)";
    let alone = Run::preloaded(&program)
        .env("SKIP_HEAP_HOOKS", hook)
        .succeed();
    assert_harmless(&alone.stderr);
    assert_harmless(&alone.reports().remove(0).text);
    let outcome = Run::plain(tool())
        .args(&["--hook", hook, "-o", "-"])
        .arg(&program)
        .succeed();
    assert_harmless(&outcome.stderr);
    assert_harmless(&outcome.stdout);
    assert!(outcome.stderr.contains("hook"), "{outcome:?}");
    let outcome = Run::plain(tool())
        .args(&["--hook", "no\x1bc\u{202e}such(size=64)"])
        .arg(&program)
        .succeed();
    assert_harmless(&outcome.stderr);
    // Half a bracket is no pattern, which is said before the program runs.
    let outcome = Run::plain(tool())
        .args(&["--hook", "no\x1b[31m\u{202e}such(size=64)"])
        .arg(&program)
        .finish();
    assert_eq!(outcome.status.code(), Some(2), "{outcome:?}");
    assert_harmless(&outcome.stderr);
}
