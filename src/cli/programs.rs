//! The processes of a tree by program: sums for the summary, and a CSV for each if that is wanted.

use crate::harvest::Process;
use crate::output::Output;
use crate::shape::Kind;
use crate::sheet::{Read, Sheet};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

/// All processes of one program.
#[derive(Debug)]
pub(crate) struct Program {
    /// File name of the executable.
    pub(crate) name: String,
    /// How many there were.
    pub(crate) processes: u64,
    /// Their allocations.
    pub(crate) calls: u64,
    /// The bytes of these.
    pub(crate) bytes: u64,
    /// The CSV of all of them together, if that was wanted.
    pub(crate) csv: Option<PathBuf>,
}

/// The programs of a tree, by and by.
pub(crate) struct Programs {
    /// In the order in which they began.
    programs: Vec<(Program, Sheet)>,
    by_name: HashMap<String, usize>,
    /// Is each to have a CSV?
    merge: bool,
}

impl Programs {
    /// None yet; with `merge` each will have a CSV.
    pub(crate) fn new(merge: bool) -> Self {
        Self {
            programs: Vec::new(),
            by_name: HashMap::new(),
            merge,
        }
    }

    /// Adds processes and what was read of them together: it goes to the program of the first.
    pub(crate) fn add(&mut self, processes: &[Process], read: &Read) {
        for (i, process) in processes.iter().enumerate() {
            self.add_one(process, (i == 0).then_some(read));
        }
    }

    fn add_one(&mut self, process: &Process, read: Option<&Read>) {
        let next = self.programs.len();
        let index = *self.by_name.entry(process.program.clone()).or_insert(next);
        if index == next {
            let program = Program {
                name: process.program.clone(),
                processes: 0,
                calls: 0,
                bytes: 0,
                csv: None,
            };
            self.programs.push((program, Sheet::default()));
        }
        let (program, sum) = &mut self.programs[index];
        program.processes += process.runs.unwrap_or(1);
        program.calls = program.calls.saturating_add(process.totals.calls);
        program.bytes = program.bytes.saturating_add(process.totals.bytes);
        if let Some(read) = read.filter(|_| self.merge) {
            sum.add(read);
        }
    }

    /// Writes the CSV files, if they are wanted: the main one for the program that began first.
    /// Returns the programs, those with the most bytes first.
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn write(self, kind: Kind, output: &mut Output) -> io::Result<Vec<Program>> {
        let mut programs = Vec::new();
        for (mut program, sum) in self.programs {
            if self.merge {
                let sum = sum.sum();
                let name = program.name.as_bytes();
                program.csv = if programs.is_empty() {
                    output.write_main(|out| sum.write(kind, out))?
                } else {
                    Some(output.write_further(name, None, |out| sum.write(kind, out))?)
                };
            }
            programs.push(program);
        }
        programs.sort_by_key(|program| Reverse(program.bytes));
        Ok(programs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::rows::{Row, totals};
    use crate::shape::Columns;
    use std::fs;

    fn row(size: u64, calls: u64) -> Row {
        Row {
            names: [const { None }; 4],
            size,
            calls,
            total: size * calls,
            ..Row::default()
        }
    }

    const CSV: Kind = Kind::Csv(Columns::Seed);

    fn add(programs: &mut Programs, program: &str, rows: Vec<Row>) {
        let process = Process {
            program: program.into(),
            pid: 1,
            totals: totals(&rows),
            ..Process::default()
        };
        let read = Read {
            rows,
            stacks: None,
            profile: None,
        };
        programs.add(&[process], &read);
    }

    #[test]
    fn each_program_has_one_file_with_the_sums_of_its_processes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut output = Output::new(Some(&folder.path().join("out.csv")));
        let mut programs = Programs::new(true);
        for (name, rows) in [
            ("as", vec![row(8, 1)]),
            ("cc1", vec![row(16, 2), row(8, 1)]),
            ("as", vec![row(8, 2)]),
            ("c c", vec![]),
            ("c_c", vec![]),
        ] {
            add(&mut programs, name, rows);
        }
        let programs = programs.write(CSV, &mut output).expect("written");
        let found: Vec<_> = programs
            .iter()
            .map(|program| {
                let csv = program.csv.as_ref().expect("a file");
                let name = csv.file_name().expect("a name").to_string_lossy();
                let lines = fs::read_to_string(csv).expect("read").lines().count();
                let Program {
                    processes,
                    calls,
                    bytes,
                    ..
                } = *program;
                (name.into_owned(), processes, calls, bytes, lines - 1)
            })
            .collect();
        let expected = [
            ("out.cc1.csv", 1, 3, 40, 2),
            ("out.csv", 2, 3, 24, 1),
            ("out.c_c.csv", 1, 0, 0, 0),
            ("out.c_c-2.csv", 1, 0, 0, 0),
        ];
        assert_eq!(
            found,
            expected.map(|(name, p, c, b, l)| (name.to_owned(), p, c, b, l))
        );
    }

    #[test]
    fn sums_alone_write_nothing() {
        let mut programs = Programs::new(false);
        add(&mut programs, "jq", vec![row(8, 3)]);
        let mut output = Output::new(Some("/no/such/folder/out.csv".as_ref()));
        let programs = programs.write(CSV, &mut output).expect("nothing to write");
        assert!(programs[0].csv.is_none());
        assert_eq!((programs[0].calls, programs[0].bytes), (3, 24));
    }
}
