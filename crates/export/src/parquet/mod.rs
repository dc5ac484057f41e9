//! Parquet: one row a site, with everything about its process repeated, which costs next to nothing once it is
//! compressed. The columns are documented in `docs/parquet.md` and listed in `columns`.
//!
//! [`Rows`] takes any number of profiles, one after the other. [`Compaction`] sums up the rows of many files.

mod columns;
mod compact;
mod read;
mod write;

use super::data;
use ::parquet::data_type::ByteArray;
use ::parquet::errors::{ParquetError, Result};
use columns::{COLUMNS, Cell, Column, Context};
pub use compact::{Compaction, inputs_of};
use serde::Serialize;
use skipheap_profile::{Profile, Site};
use std::io::{self, Write};
use write::{File, GROUP, SORTED_BY, Value};

/// Name of the entry of metadata: JSON with the processes and their honesty counters.
const METADATA: &str = "skipheap";

/// Writes one profile as a file.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(profile: &Profile, out: &mut dyn Write) -> io::Result<()> {
    let in_io = |error: ParquetError| io::Error::other(error.to_string());
    // The writer wants one that can be sent to other threads.
    let mut rows = Rows::new(Vec::new()).map_err(in_io)?;
    rows.add(profile).map_err(in_io)?;
    out.write_all(&rows.finish().map_err(in_io)?)
}

/// A file in the making.
pub struct Rows<W: Write + Send> {
    file: File<W>,
    is_sorted: bool,
}

#[derive(Serialize)]
struct Metadata<'p> {
    tool: &'p str,
    compared_with: Option<&'p str>,
    processes: Vec<data::Process<'p>>,
    losses: Vec<data::Loss<'p>>,
}

impl<W: Write + Send> Rows<W> {
    /// Begins a file without rows.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> Result<Self> {
        let file = File::new(out, false)?;
        Ok(Self {
            file,
            is_sorted: false,
        })
    }

    /// Begins a file without rows, whose groups of rows will be sorted by program, build id, the names of the
    /// four functions and size, and say so.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn sorted(out: W) -> Result<Self> {
        let file = File::new(out, true)?;
        Ok(Self {
            file,
            is_sorted: true,
        })
    }

    /// Adds a row for each site of a profile, in the profile's order unless the file is sorted.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn add(&mut self, profile: &Profile) -> Result<()> {
        let profile = &*profile.estimated();
        let context = Context::new(profile);
        let mut sites: Vec<&Site> = profile.sites.iter().collect();
        if self.is_sorted {
            let sorting: Vec<&Column> = SORTED_BY
                .iter()
                .filter_map(|name| COLUMNS.iter().find(|column| column.name == *name))
                .collect();
            sites.sort_by_cached_key(|&site| {
                let values = sorting.iter().map(|column| context.value(column, site));
                values.map(SortKey::from).collect::<Vec<_>>()
            });
        }
        for sites in sites.chunks(GROUP) {
            self.file.add(|_, column| {
                let context = &context;
                let column = column.of;
                sites
                    .iter()
                    .map(move |&site| context.converted(column(context, site)))
            })?;
        }
        let metadata = Metadata {
            tool: &profile.tool,
            compared_with: profile.compared_with.as_deref(),
            processes: data::processes(profile),
            losses: data::losses(profile),
        };
        let text = serde_json::to_string(&metadata)
            .map_err(|error| ParquetError::General(error.to_string()))?;
        self.file.note(METADATA, text);
        Ok(())
    }

    /// Completes the file and gives back what it was written to.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(self) -> Result<W> {
        self.file.finish()
    }
}

/// A value by which rows are sorted: unknown ones come first, texts are compared by their bytes, as Parquet
/// compares them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Null,
    Number(i64),
    Text(Vec<u8>),
}

impl From<Value> for SortKey {
    fn from(value: Value) -> Self {
        match value {
            Value::Number(number) => Self::Number(number),
            Value::Text(text) => Self::Text(text.data().to_vec()),
            Value::Null | Value::Real(_) | Value::Texts(_) => Self::Null,
        }
    }
}

impl Context<'_> {
    /// The value of a site in a column.
    fn value(&self, column: &Column, site: &Site) -> Value {
        self.converted((column.of)(self, site))
    }

    fn converted(&self, cell: Cell) -> Value {
        match cell {
            Cell::Text(index) => self.text(index).map_or(Value::Null, Value::Text),
            Cell::Number(number) => number.map_or(Value::Null, |number| {
                Value::Number(i64::try_from(number).unwrap_or(i64::MAX))
            }),
            Cell::Real(number) => Value::Real(number),
            Cell::Texts(texts) => {
                let text = |index| self.text(index).unwrap_or_else(|| ByteArray::from(""));
                Value::Texts(texts.into_iter().map(text).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::parquet::file::reader::{FileReader, SerializedFileReader};
    use ::parquet::record::{Field, Row};
    use skipheap_profile::testing::small;

    fn rows(file: Vec<u8>) -> Vec<Row> {
        let mut copy = tempfile::tempfile().expect("a file");
        copy.write_all(&file).expect("written");
        let reader = SerializedFileReader::new(copy).expect("a file of Parquet");
        let rows = reader.get_row_iter(None).expect("rows");
        rows.map(|row| row.expect("a row")).collect()
    }

    fn cell(row: &Row, name: &str) -> Field {
        let mut columns = row.get_column_iter();
        let found = columns.find(|(column, _)| *column == name);
        found
            .unwrap_or_else(|| panic!("no column {name}"))
            .1
            .clone()
    }

    #[test]
    fn a_row_says_what_the_site_says() {
        let mut file = Vec::new();
        write(&small(), &mut file).expect("written");
        let rows = rows(file);
        assert_eq!(rows.len(), 4);
        assert_eq!(cell(&rows[0], "calls"), Field::Long(10));
        assert_eq!(cell(&rows[0], "live_bytes"), Field::Long(240));
        assert_eq!(cell(&rows[0], "pc0"), Field::Str("node_new".into()));
        assert_eq!(cell(&rows[0], "pc3"), Field::Null);
        assert_eq!(cell(&rows[0], "build_id"), Field::Str("abcd".into()));
        assert_eq!(
            cell(&rows[0], "start"),
            Field::TimestampMicros(1_700_000_000_000_000)
        );
        let stack = cell(&rows[3], "stack").to_string();
        assert_eq!(stack, r#"["push", "list", "list", "parse", "main"]"#);
    }

    #[test]
    fn several_profiles_are_one_file_and_what_is_not_known_is_null() {
        let mut without = small();
        without.processes[0].live = None;
        for site in &mut without.sites {
            site.figures.live = None;
            site.node = skipheap_profile::NONE;
        }
        let mut rows_of = Rows::new(Vec::new()).expect("begun");
        rows_of.add(&small()).expect("added");
        rows_of.add(&without).expect("added");
        let rows = rows(rows_of.finish().expect("finished"));
        assert_eq!(rows.len(), 8);
        assert_eq!(cell(&rows[4], "live_bytes"), Field::Null);
        assert_eq!(cell(&rows[4], "pc0"), Field::Null);
        assert_eq!(cell(&rows[4], "stack").to_string(), "[]");
        assert_eq!(cell(&rows[7], "calls"), Field::Long(7));
    }
}
