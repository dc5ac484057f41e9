//! What a report file is made of: the rows of a CSV or collapsed stacks, of one process or of several.

use crate::report::collapsed::Stacks;
use crate::report::rows::Row;
use crate::report::{csv, csv_all};
use crate::shape::{Columns, Kind};
use crate::sum::Sum;
use std::io::{self, Write};

/// What was read of one process.
pub(crate) struct Read {
    /// Its rows, with origins where all columns are wanted.
    pub(crate) rows: Vec<Row>,
    /// Its stacks, where they are wanted.
    pub(crate) stacks: Option<Stacks>,
}

impl Read {
    /// Writes the report of this process alone.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn write(&self, kind: Kind, out: impl Write) -> io::Result<()> {
        match (&self.stacks, kind) {
            (Some(stacks), _) => stacks.write(out),
            (None, Kind::Csv(Columns::All)) => csv_all::write(&self.rows, out),
            (None, _) => csv::write(&self.rows, out),
        }
    }
}

/// The sum of several processes.
#[derive(Default)]
pub(crate) struct Sheet {
    rows: Sum,
    stacks: Option<Stacks>,
}

impl Sheet {
    /// All there is, of the only process.
    pub(crate) fn set(&mut self, read: Read) {
        self.rows.set(read.rows);
        self.stacks = read.stacks;
    }

    /// Adds one of several processes.
    pub(crate) fn add(&mut self, read: &Read) {
        self.rows.add(&read.rows);
        if let Some(stacks) = &read.stacks {
            let sum = self
                .stacks
                .get_or_insert_with(|| Stacks::new(stacks.style()));
            sum.merge(stacks);
        }
    }

    /// The sum, in the order of every report.
    pub(crate) fn sum(self) -> Read {
        Read {
            rows: self.rows.rows(),
            stacks: self.stacks,
        }
    }
}
