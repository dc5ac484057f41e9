//! What a report file is made of: the rows of a CSV or collapsed stacks, of one process or of several.

use crate::shape::{Columns, Kind};
use skipheap_export as export;
use skipheap_profile::Profile;
use skipheap_profile::functions::StackSums;
use skipheap_profile::intern::Tables;
use skipheap_profile::report::collapsed::{Stacks, Value};
use skipheap_profile::report::rows::Row;
use skipheap_profile::report::sum::Sum;
use skipheap_profile::report::{csv, csv_all};
use std::io::{self, Write};

/// What was read of one process.
#[derive(Default)]
pub(crate) struct Read {
    /// Its rows, with origins where all columns are wanted.
    pub(crate) rows: Vec<Row>,
    /// Its stacks, where they are wanted.
    pub(crate) stacks: Option<Stacks>,
    /// All there is, where that is wanted.
    pub(crate) profile: Option<Profile>,
    /// Sums for responsible functions, where they are wanted.
    pub(crate) sums: Option<StackSums>,
    /// The peak that its figures at the peak are of; 0 where none is known.
    pub(crate) peak_bytes: u64,
}

impl Read {
    /// Writes the report of this process alone.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn write(&self, kind: Kind, out: &mut dyn Write) -> io::Result<()> {
        match kind {
            Kind::Csv(Columns::All) => csv_all::write(&self.rows, out),
            Kind::Csv(Columns::Seed) => csv::write(&self.rows, out),
            Kind::Collapsed(style) => match &self.stacks {
                Some(stacks) => stacks.write(out),
                None => Stacks::new(style).write(out),
            },
            Kind::Export(format, style) => {
                let nothing = Profile::default();
                let profile = self.profile.as_ref().unwrap_or(&nothing);
                export::write(profile, format, style, out)
            }
        }
    }
}

/// The sum of several processes.
#[derive(Default)]
pub(crate) struct Sheet {
    rows: Sum,
    stacks: Option<Stacks>,
    profile: Option<Tables>,
    sums: Option<StackSums>,
    /// The highest peak so far. Figures at the peak are those of the process that had it: processes reach their
    /// peaks at different times.
    peak_bytes: u64,
}

impl Sheet {
    /// All there is, of the only process.
    pub(crate) fn set(&mut self, read: Read) {
        self.rows.set(read.rows);
        self.stacks = read.stacks;
        self.profile = read.profile.map(Tables::of);
        self.sums = read.sums;
        self.peak_bytes = read.peak_bytes;
    }

    /// Adds one of several processes.
    pub(crate) fn add(&mut self, read: &Read) {
        let has_peak = read.peak_bytes > self.peak_bytes;
        if has_peak {
            self.peak_bytes = read.peak_bytes;
            self.rows.forget_peak();
            if let Some(sums) = &mut self.sums {
                sums.forget_peak();
            }
        }
        self.rows.add_process(&read.rows, has_peak);
        if let Some(stacks) = &read.stacks {
            let is_peak = stacks.style().value == Value::Peak;
            if is_peak && has_peak {
                self.stacks = None;
            }
            let sum = self
                .stacks
                .get_or_insert_with(|| Stacks::new(stacks.style()));
            if !is_peak || has_peak {
                sum.merge(stacks);
            }
        }
        if let Some(profile) = &read.profile {
            self.profile.get_or_insert_default().add(profile);
        }
        if let Some(sums) = &read.sums {
            self.sums.get_or_insert_default().add(sums, has_peak);
        }
    }

    /// The sum, in the order of every report.
    pub(crate) fn sum(self) -> Read {
        Read {
            rows: self.rows.rows(),
            stacks: self.stacks,
            profile: self.profile.map(|tables| tables.profile),
            sums: self.sums,
            peak_bytes: self.peak_bytes,
        }
    }
}
