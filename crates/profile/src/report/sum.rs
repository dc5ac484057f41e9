//! Adds up the rows of several processes.

use crate::report::origin::Origin;
use crate::report::rows::{Row, sort};
use std::collections::HashMap;
use std::rc::Rc;

/// Four names, a size, and the origin if there is one.
type Site = ([Option<Rc<str>>; 4], u64, Option<Rc<Origin>>);

/// The sum of rows of several processes, or the rows of the only one.
#[derive(Default)]
pub struct Sum {
    rows: HashMap<Site, Row>,
    only: Vec<Row>,
}

impl Sum {
    /// The rows of the only process there is.
    pub fn set(&mut self, rows: Vec<Row>) {
        self.only = rows;
    }

    /// Adds the rows of one of several processes.
    pub fn add(&mut self, rows: &[Row]) {
        self.add_process(rows, true);
    }

    /// Adds the rows of one of several processes, with what lived at its peak if `has_peak`.
    pub fn add_process(&mut self, rows: &[Row], has_peak: bool) {
        for row in rows {
            let site = (row.names.clone(), row.size, row.origin.clone());
            let sum = self.rows.entry(site).or_insert_with(|| Row {
                names: row.names.clone(),
                size: row.size,
                origin: row.origin.clone(),
                ..Row::default()
            });
            sum.add_process(row, has_peak);
        }
    }

    /// Leaves out what lived at the peak of the processes so far.
    pub fn forget_peak(&mut self) {
        for live in self.rows.values_mut().filter_map(|row| row.live.as_mut()) {
            live.forget_peak();
        }
    }

    /// In the order of every report.
    pub fn rows(self) -> Vec<Row> {
        if !self.only.is_empty() {
            return self.only;
        }
        let mut rows: Vec<Row> = self.rows.into_values().collect();
        sort(&mut rows);
        rows
    }
}

/// The rows that there would be without origins.
pub fn without_origins(rows: &[Row]) -> Vec<Row> {
    let mut sum = Sum::default();
    for row in rows {
        let mut row = row.clone();
        row.origin = None;
        sum.add(&[row]);
    }
    sum.rows()
}
