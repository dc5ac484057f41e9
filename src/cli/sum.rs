//! Adds up the rows of several processes.

use crate::report::rows::{Row, sort};
use std::collections::HashMap;
use std::rc::Rc;

/// Four names and a size.
type Site = ([Option<Rc<str>>; 4], u64);

/// The sum of rows of several processes, or the rows of the only one.
#[derive(Default)]
pub(crate) struct Sum {
    calls: HashMap<Site, u64>,
    only: Vec<Row>,
}

impl Sum {
    /// The rows of the only process there is.
    pub(crate) fn set(&mut self, rows: Vec<Row>) {
        self.only = rows;
    }

    /// Adds the rows of one of several processes.
    pub(crate) fn add(&mut self, rows: &[Row]) {
        for row in rows {
            let calls = self.calls.entry((row.names.clone(), row.size)).or_insert(0);
            *calls = calls.saturating_add(row.calls);
        }
    }

    /// In the order of every report.
    pub(crate) fn rows(self) -> Vec<Row> {
        if !self.only.is_empty() {
            return self.only;
        }
        let mut rows: Vec<Row> = self
            .calls
            .into_iter()
            .map(|((names, size), calls)| Row {
                names,
                size,
                calls,
                total: size.saturating_mul(calls),
            })
            .collect();
        sort(&mut rows);
        rows
    }
}
