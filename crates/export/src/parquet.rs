//! Parquet: one row a site, with everything about its process repeated, which costs next to nothing once it is
//! compressed. The columns are documented in `docs/parquet.md` and listed in `super::parquet_columns`.
//!
//! [`Rows`] takes any number of profiles, one after the other, and keeps one group of rows in memory at most.

use super::data;
use super::parquet_columns::{COLUMNS, Cell, Column, Context, Kind};
use ::parquet::basic::{
    Compression, ConvertedType, LogicalType, Repetition, Type as Physical, ZstdLevel,
};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::KeyValue;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::types::{PrimitiveTypeBuilder, Type, TypePtr};
use serde::Serialize;
use skipheap_profile::{Profile, Site};
use std::io::{self, Write};
use std::sync::Arc;

/// Rows that are written together.
const GROUP: usize = 1 << 16;
/// Name of the only entry of metadata: JSON with the processes and their honesty counters.
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
    writer: SerializedFileWriter<W>,
}

#[derive(Serialize)]
struct Metadata<'p> {
    tool: &'p str,
    compared_with: Option<&'p str>,
    processes: Vec<data::Process<'p>>,
    losses: Vec<data::Loss<'p>>,
}

impl<W: Write + Send> Rows<W> {
    /// Without rows yet.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W) -> Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(skipheap_profile::TOOL.to_owned())
            .build();
        let writer = SerializedFileWriter::new(out, schema()?, Arc::new(properties))?;
        Ok(Self { writer })
    }

    /// Adds a row for each site of a profile, in the profile's order.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn add(&mut self, profile: &Profile) -> Result<()> {
        let profile = &*profile.estimated();
        let context = Context::new(profile);
        for sites in profile.sites.chunks(GROUP) {
            let mut group = self.writer.next_row_group()?;
            for column in COLUMNS {
                write_column(&mut group, &context, column, sites)?;
            }
            group.close()?;
        }
        let metadata = Metadata {
            tool: &profile.tool,
            compared_with: profile.compared_with.as_deref(),
            processes: data::processes(profile),
            losses: data::losses(profile),
        };
        let text = serde_json::to_string(&metadata)
            .map_err(|error| ParquetError::General(error.to_string()))?;
        self.writer
            .append_key_value_metadata(KeyValue::new(METADATA.to_owned(), text));
        Ok(())
    }

    /// Completes the file and gives back what it was written to.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(self) -> Result<W> {
        self.writer.into_inner()
    }
}

/// The types of the columns.
fn schema() -> Result<TypePtr> {
    let fields = COLUMNS
        .iter()
        .map(field)
        .collect::<Result<Vec<TypePtr>>>()?;
    let schema = Type::group_type_builder("site")
        .with_fields(fields)
        .build()?;
    Ok(Arc::new(schema))
}

/// A type of single values, which are always there.
fn plain(name: &str, physical: Physical, logical: Option<LogicalType>) -> PrimitiveTypeBuilder<'_> {
    Type::primitive_type_builder(name, physical)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(logical)
}

fn field(column: &Column) -> Result<TypePtr> {
    let repetition = match column.is_nullable {
        true => Repetition::OPTIONAL,
        false => Repetition::REQUIRED,
    };
    let built = match column.kind {
        Kind::Text => plain(column.name, Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::Number => plain(column.name, Physical::INT64, None),
        Kind::Real => plain(column.name, Physical::DOUBLE, None),
        Kind::Time => {
            let unit = ::parquet::basic::TimeUnit::MICROS;
            plain(
                column.name,
                Physical::INT64,
                Some(LogicalType::timestamp(true, unit)),
            )
        }
        Kind::Texts => {
            let element = plain("element", Physical::BYTE_ARRAY, Some(LogicalType::String));
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![Arc::new(element.build()?)])
                .build()?;
            let group = Type::group_type_builder(column.name)
                .with_repetition(Repetition::REQUIRED)
                .with_logical_type(Some(LogicalType::List))
                .with_converted_type(ConvertedType::LIST)
                .with_fields(vec![Arc::new(list)]);
            return Ok(Arc::new(group.build()?));
        }
    };
    Ok(Arc::new(built.with_repetition(repetition).build()?))
}

/// Writes a column of these rows.
fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    context: &Context<'_>,
    column: &Column,
    sites: &[Site],
) -> Result<()> {
    let cells = sites.iter().map(|site| (column.of)(context, site));
    match column.kind {
        Kind::Text => {
            let texts = cells.map(|cell| match cell {
                // One that has to be there is empty at least.
                Cell::Text(None) if !column.is_nullable => Some(ByteArray::from("")),
                Cell::Text(index) => context.text(index),
                _ => None,
            });
            values::<ByteArrayType, _>(group, column, texts)
        }
        Kind::Number | Kind::Time => {
            let numbers = cells.map(|cell| match cell {
                Cell::Number(number) => {
                    number.map(|number| i64::try_from(number).unwrap_or(i64::MAX))
                }
                _ => None,
            });
            values::<Int64Type, _>(group, column, numbers)
        }
        Kind::Real => {
            let numbers = cells.map(|cell| match cell {
                Cell::Real(number) => Some(number),
                _ => None,
            });
            values::<DoubleType, _>(group, column, numbers)
        }
        Kind::Texts => lists(group, context, cells),
    }
}

/// Writes values, or that there is none.
fn values<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &Column,
    cells: impl Iterator<Item = Option<T::T>>,
) -> Result<()> {
    let mut values = Vec::new();
    let mut levels = Vec::new();
    for cell in cells {
        match cell {
            Some(value) => {
                values.push(value);
                levels.push(1);
            }
            None if column.is_nullable => levels.push(0),
            None => values.push(T::T::default()),
        }
    }
    let levels = column.is_nullable.then_some(&levels[..]);
    let mut writer = next_column(group)?;
    writer.typed::<T>().write_batch(&values, levels, None)?;
    writer.close()
}

/// Writes lists of texts, which may be empty.
fn lists<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    context: &Context<'_>,
    cells: impl Iterator<Item = Cell>,
) -> Result<()> {
    let mut values: Vec<ByteArray> = Vec::new();
    let (mut is_there, mut is_further) = (Vec::new(), Vec::new());
    for cell in cells {
        let texts = match cell {
            Cell::Texts(texts) => texts,
            _ => Vec::new(),
        };
        if texts.is_empty() {
            is_there.push(0);
            is_further.push(0);
        }
        for (place, &index) in texts.iter().enumerate() {
            values.push(context.text(index).unwrap_or_else(|| ByteArray::from("")));
            is_there.push(1);
            is_further.push(i16::from(place > 0));
        }
    }
    let mut writer = next_column(group)?;
    let typed = writer.typed::<ByteArrayType>();
    typed.write_batch(&values, Some(&is_there), Some(&is_further))?;
    writer.close()
}

fn next_column<'g, W: Write + Send>(
    group: &'g mut SerializedRowGroupWriter<'_, W>,
) -> Result<::parquet::file::writer::SerializedColumnWriter<'g>> {
    let column = group.next_column()?;
    column.ok_or_else(|| ParquetError::General("the schema has too few columns".to_owned()))
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
