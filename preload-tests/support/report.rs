//! Reads reports, and makes them comparable where libc's names differ between machines.

use super::{fixture_dir, is_musl};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The first line of every report.
pub(crate) const HEADER: &str = "pc0,pc1,pc2,pc3,bytes allocated,call count,total bytes";

/// One site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Names, innermost first, `-` where there is none.
    pub(crate) frames: [String; 4],
    pub(crate) size: u64,
    pub(crate) calls: u64,
    pub(crate) total: u64,
}

/// A whole report.
#[derive(Debug)]
pub(crate) struct Report {
    /// The file, byte for byte.
    pub(crate) text: String,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    pub(crate) fn read(path: &Path) -> Self {
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self::parse(text)
    }

    pub(crate) fn parse(text: String) -> Self {
        assert_eq!(text.lines().next(), Some(HEADER));
        assert!(text.ends_with('\n'), "the last line ends: {text}");
        let rows = ::csv::Reader::from_reader(text.as_bytes())
            .records()
            .map(|record| {
                let record = record.expect("a row of seven columns");
                let number = |column: usize| -> u64 {
                    record[column]
                        .parse()
                        .unwrap_or_else(|_| panic!("column {column} of {record:?}"))
                };
                let row = Row {
                    frames: [0, 1, 2, 3].map(|column: usize| record[column].to_owned()),
                    size: number(4),
                    calls: number(5),
                    total: number(6),
                };
                assert_eq!(row.total, row.size * row.calls, "{row:?}");
                assert!(row.calls > 0, "{row:?}");
                assert!(row.frames.iter().all(|name| !name.is_empty()), "{row:?}");
                row
            })
            .collect();
        Self { text, rows }
    }

    /// Allocations in all rows.
    pub(crate) fn calls(&self) -> u64 {
        self.rows.iter().map(|row| row.calls).sum()
    }

    /// Allocations that the function itself asked for.
    pub(crate) fn calls_by(&self, pc0: &str) -> u64 {
        self.rows
            .iter()
            .filter(|row| row.frames[0] == pc0)
            .map(|row| row.calls)
            .sum()
    }

    /// Allocations by size.
    pub(crate) fn by_size(&self) -> BTreeMap<u64, u64> {
        let mut sizes = BTreeMap::new();
        for row in &self.rows {
            *sizes.entry(row.size).or_default() += row.calls;
        }
        sizes
    }

    /// The report as it would be with rows of this function alone.
    pub(crate) fn rows_by(&self, pc0: &str) -> Vec<&Row> {
        self.rows
            .iter()
            .filter(|row| row.frames[0] == pc0)
            .collect()
    }

    /// Fails unless exactly this row is there. Frames of libc are written `libc`.
    pub(crate) fn assert_row(&self, frames: [&str; 4], size: u64, calls: u64) {
        let found = self
            .rows
            .iter()
            .any(|row| row.size == size && row.calls == calls && row.matches(frames));
        assert!(
            found,
            "no row {frames:?}, {size}, {calls} in\n{}",
            self.text
        );
    }

    /// The text with every quoted name of a function of libc or of the loader replaced by `libc`.
    pub(crate) fn without_libc_names(&self) -> String {
        self.text
            .split('"')
            .enumerate()
            .map(|(index, part)| match index % 2 {
                1 if is_system_frame(part) => "libc",
                _ => part,
            })
            .collect::<Vec<_>>()
            .join("\"")
    }

    /// Fails unless its rows are those of the expected file beside the fixture, without frames of libc: C
    /// libraries differ in how many there are.
    pub(crate) fn assert_has_rows_of(&self, expected_file: &str) {
        let own = |report: &Self| {
            let rows = report.rows.iter();
            let rows = rows.map(|row| (row.own_frames(), row.size, row.calls));
            rows.collect::<BTreeSet<_>>()
        };
        let wanted = expected(expected_file);
        assert_eq!(own(self), own(&Self::parse(wanted)), "{}", self.text);
    }

    /// Fails unless the file is, byte for byte, the expected one beside the fixture.
    pub(crate) fn assert_is(&self, expected_file: &str) {
        if is_musl() {
            return self.assert_has_rows_of(expected_file);
        }
        let found = self.without_libc_names();
        let wanted = expected(expected_file);
        assert!(
            found == wanted,
            "expected {expected_file}:\n{wanted}\nfound:\n{found}\nwith libc's names:\n{}",
            self.text
        );
    }
}

impl Row {
    /// Its frames but for those of libc and the program's start.
    fn own_frames(&self) -> Vec<String> {
        let is_own =
            |name: &&String| !is_system_frame(name) && !["libc", "-", "_start"].contains(&&***name);
        self.frames.iter().filter(is_own).cloned().collect()
    }

    fn matches(&self, frames: [&str; 4]) -> bool {
        self.frames
            .iter()
            .zip(frames)
            .all(|(found, wanted)| match wanted {
                // musl's functions that start a program end the stack.
                "libc" | "_start" if is_musl() => found == "-" || is_system_frame(found),
                "libc" => is_system_frame(found),
                _ => found == wanted,
            })
    }
}

/// An expected report of `programs/`.
pub(crate) fn expected(file: &str) -> String {
    let path = fixture_dir().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Returns whether this is the name of something in libc or the loader that stands above or below a program's
/// own frames. With libc's debug file installed these are names, else offsets.
pub(crate) fn is_system_frame(name: &str) -> bool {
    const NAMES: [&str; 12] = [
        "start_thread",
        "clone",
        "clone3",
        "__clone",
        "__clone3",
        "__clone_internal",
        "__libc_start_call_main",
        "call_init",
        "_start_user",
        "exit",
        "__run_exit_handlers",
        "__nptl_deallocate_tsd",
    ];
    let offset = |module: &str| name.starts_with(&format!("{module}+0x"));
    offset("libc.so.6")
        || offset("ld-musl-x86_64.so.1")
        || offset("ld-linux-x86-64.so.2")
        || NAMES.contains(&name)
        || ["__libc_start_main", "_dl_", "__GI_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}
