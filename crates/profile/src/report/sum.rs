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
        for row in rows {
            let site = (row.names.clone(), row.size, row.origin.clone());
            self.rows
                .entry(site)
                .and_modify(|sum| sum.add(row))
                .or_insert_with(|| row.clone());
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
