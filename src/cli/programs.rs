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
#[derive(Default)]
pub(crate) struct Programs {
    /// In the order in which they began.
    programs: Vec<(Program, Sheet)>,
    by_name: HashMap<String, usize>,
}

impl Programs {
    /// Counts a process.
    pub(crate) fn count(&mut self, process: &Process) {
        let (program, _) = self.entry(&process.program);
        program.processes += process.runs.unwrap_or(1);
        program.calls = program.calls.saturating_add(process.totals.calls);
        program.bytes = program.bytes.saturating_add(process.totals.bytes);
    }

    /// Adds what was read of processes of a program to its report.
    pub(crate) fn add(&mut self, program: &str, read: &Read) {
        self.entry(program).1.add(read);
    }

    fn entry(&mut self, name: &str) -> &mut (Program, Sheet) {
        let next = self.programs.len();
        let index = match self.by_name.get(name) {
            Some(&known) => known,
            None => {
                self.by_name.insert(name.to_owned(), next);
                let program = Program {
                    name: name.to_owned(),
                    processes: 0,
                    calls: 0,
                    bytes: 0,
                    csv: None,
                };
                self.programs.push((program, Sheet::default()));
                next
            }
        };
        &mut self.programs[index]
    }

    /// The programs, those with the most bytes first.
    pub(crate) fn sums(self) -> Vec<Program> {
        let programs = self.programs.into_iter();
        let mut programs: Vec<Program> = programs.map(|(program, _)| program).collect();
        programs.sort_by_key(|program| Reverse(program.bytes));
        programs
    }

    /// Writes the reports: the main file for the program that began first. Returns the programs, as
    /// [`Self::sums`].
    ///
    /// # Errors
    /// Those of the files.
    pub(crate) fn write(mut self, kind: Kind, output: &mut Output) -> io::Result<Vec<Program>> {
        for (index, (program, sum)) in self.programs.iter_mut().enumerate() {
            let sum = std::mem::take(sum).sum();
            let name = program.name.as_bytes();
            program.csv = match index {
                0 => output.write_main(|out| sum.write(kind, out))?,
                _ => Some(output.write_further(name, None, |out| sum.write(kind, out))?),
            };
        }
        Ok(self.sums())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape::Columns;
    use skipheap_profile::report::rows::{Row, totals};
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
            sums: None,
            peak_bytes: 0,
        };
        programs.count(&process);
        programs.add(program, &read);
    }

    #[test]
    fn each_program_has_one_file_with_the_sums_of_its_processes() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut output = Output::new(Some(&folder.path().join("out.csv")));
        let mut programs = Programs::default();
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
        let mut programs = Programs::default();
        add(&mut programs, "jq", vec![row(8, 3)]);
        let programs = programs.sums();
        assert!(programs[0].csv.is_none());
        assert_eq!((programs[0].calls, programs[0].bytes), (3, 24));
    }
}
