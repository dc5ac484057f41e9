//! Reading of CSV files.

use super::*;
use proptest::prelude::*;
use skipheap_profile::report::{csv as seed, csv_all};

fn error(text: &str) -> String {
    read(text.as_bytes()).unwrap_err().to_string()
}

fn header() -> String {
    HEADER.join(",")
}

#[test]
fn the_original_profilers_file_is_read() {
    let original = skipheap_profile::report::testing::ORIGINAL.as_bytes();
    let sheet = read(original).unwrap();
    assert_eq!(sheet.rows.len(), 8);
    assert!(sheet.spreads.is_none());
    let mut again = Vec::new();
    seed::write(&sheet.rows, &mut again).unwrap();
    assert_eq!(again, original);
}

#[test]
fn errors_say_line_and_column() {
    let h = header();
    for (text, expected) in [
        (String::new(), "it is empty, without a header"),
        ("a,b\n".into(), "line 1: there is no column `pc0`"),
        (
            format!("{h},pc0\n"),
            "line 1: the column `pc0` occurs twice",
        ),
        (
            format!("{h}\nf,-,-,-,16,2,32\nf,-,-,-,x,2,32\n"),
            "line 3, column `bytes allocated`: `x` is not a whole number",
        ),
        (
            format!("{h}\nf,-,-,-,16,-,32\n"),
            "line 2, column `call count`: a number is missing",
        ),
        (
            format!("{h}\nf,-,-,-,16,-2,32\n"),
            "line 2, column `call count`: `-2` is not a whole number",
        ),
        (
            format!("{h}\nf,-,-,-,16,2,33\n"),
            "line 2, column `total bytes`: 33, but 16 × 2 is 32",
        ),
        (
            format!("{h}\n<<<<<<< HEAD\n"),
            "line 2: 1 field, but the header has 7; this is the mark of a merge",
        ),
        (
            format!("{h},least calls,most calls\nf,-,-,-,16,2,32,3,2\n"),
            "line 2, column `least calls`: 3 is more than `most calls`, 2",
        ),
        (
            format!("{h},least calls\nf,-,-,-,16,2,32,3\n"),
            "line 2, column `most calls`: a number is missing",
        ),
        (
            format!("{h}\nf,-,-,-,16,2,32\nf,-,-,-,8,2,16\nf,-,-,-,16,3,48\n"),
            "line 4: it repeats line 2, the same names and size",
        ),
    ] {
        let said = error(&text);
        assert!(said.starts_with(expected), "{text:?}: {said}");
    }
    let no_text = [h.as_bytes(), b"\n\xff,-,-,-,1,1,1\n"].concat();
    let said = read(&no_text[..]).unwrap_err().to_string();
    assert_eq!(said, "line 2, column `pc0`: not UTF-8 text");
}

#[test]
fn lines_that_more_columns_tell_apart_are_no_repetition() {
    let h = format!("{},file,line,thread", header());
    let line = |thread: &str| format!("f,-,-,-,16,2,32,a.c,7,{thread}\n");
    let text = format!("{h}\n{}{}", line("one"), line("two"));
    assert_eq!(read(text.as_bytes()).expect("read").rows.len(), 2);
    let said = error(&format!("{text}{}", line("one")));
    assert!(said.starts_with("line 4: it repeats line 2"), "{said}");
}

#[test]
fn a_line_without_an_end_does_not_fill_the_memory() {
    let header = format!("{}\n", header());
    for input in [
        Box::new(io::repeat(0)) as Box<dyn Read>,
        Box::new(header.as_bytes().chain(io::repeat(b'a'))),
    ] {
        let said = read(input).unwrap_err().to_string();
        assert!(said.contains("a line longer than 16 MiB"), "{said}");
    }
}

#[test]
fn what_is_repeated_of_a_file_reaches_no_terminal() {
    let said = error(&format!("{}\nf,-,-,-,\x1b[31m,2,32\n", header()));
    assert!(said.contains("`\\x1b[31m` is not a whole number"), "{said}");
}

proptest! {
    #[test]
    fn all_columns_are_read_back(
        name in "[ -~]{2,20}",
        size in 0_u64..1 << 20,
        (frees, live, peak) in (0_u64..1000, 0_u64..1000, 0_i64..1000),
        line in proptest::option::of(1_u32..1000),
    ) {
        let row = Row {
            names: [Some(name.as_str().into()), None, Some("g".into()), None],
            size,
            calls: frees + live,
            total: size * (frees + live),
            origin: Some(Rc::new(Origin {
                file: Some("/a/b.c".into()),
                line,
                module: None,
                allocator: Some("malloc".into()),
                thread: None,
            })),
            samples: frees + live,
            variance: 0.0,
            live: Some(LiveSums {
                followed: frees + live,
                frees,
                at_peak: peak,
                ..LiveSums::default()
            }),
        };
        let mut text = Vec::new();
        csv_all::write(std::slice::from_ref(&row), &mut text).unwrap();
        let sheet = read(&text[..]).unwrap();
        prop_assert_eq!(&sheet.rows[..], &[row][..]);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(pc0,pc1|[a-z0-9,\"\n-]){0,80}") {
        let with_header = format!("{}\n{text}", header());
        let _ = read(text.as_bytes());
        if let Ok(sheet) = read(with_header.as_bytes()) {
            prop_assert_eq!(sheet.rows.len(), sheet.lines.len());
        }
    }
}
