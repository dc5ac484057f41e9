//! The file of Parquet: its types, and groups of rows.

use super::columns::{COLUMNS, Column, Kind};
use ::parquet::basic::{
    Compression, ConvertedType, LogicalType, Repetition, Type as Physical, ZstdLevel,
};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::{KeyValue, SortingColumn};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{
    SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter,
};
use ::parquet::schema::types::{PrimitiveTypeBuilder, Type, TypePtr};
use std::io::Write;
use std::sync::Arc;

/// Rows that are written together.
pub(super) const GROUP: usize = 1 << 16;
/// Columns by which the rows of a sorted file are sorted, in this order; unknown values come first.
pub(super) const SORTED_BY: &[&str] = &["program", "build_id", "pc0", "pc1", "pc2", "pc3", "size"];

/// A value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// It is not known.
    Null,
    /// A text.
    Text(ByteArray),
    /// A number or a time.
    Number(i64),
    /// A number that is not whole.
    Real(f64),
    /// A list of texts.
    Texts(Vec<ByteArray>),
}

/// A file in the making.
pub(super) struct File<W: Write + Send> {
    writer: SerializedFileWriter<W>,
}

impl<W: Write + Send> File<W> {
    /// Begins a file without rows. A sorted file says so in each group of rows; the caller gives the rows in
    /// that order.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn new(out: W, is_sorted: bool) -> Result<Self> {
        let sorting =
            is_sorted.then(|| SORTED_BY.iter().filter_map(|name| sorting(name)).collect());
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(skipheap_profile::TOOL.to_owned())
            .set_sorting_columns(sorting)
            .build();
        let writer = SerializedFileWriter::new(out, schema()?, Arc::new(properties))?;
        Ok(Self { writer })
    }

    /// Writes a group of rows: `values` gives those of a column.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn add<I: Iterator<Item = Value>>(
        &mut self,
        values: impl Fn(usize, &Column) -> I,
    ) -> Result<()> {
        let mut group = self.writer.next_row_group()?;
        for (index, column) in COLUMNS.iter().enumerate() {
            write_column(&mut group, column, values(index, column))?;
        }
        group.close()?;
        Ok(())
    }

    /// Adds an entry of metadata.
    pub(super) fn note(&mut self, key: &str, text: String) {
        self.writer
            .append_key_value_metadata(KeyValue::new(key.to_owned(), text));
    }

    /// Completes the file and gives back what it was written to.
    ///
    /// # Errors
    /// Those of `out`.
    pub(super) fn finish(self) -> Result<W> {
        self.writer.into_inner()
    }
}

/// A column by which rows are sorted. Each column of the schema has one leaf, in the same order.
fn sorting(name: &str) -> Option<SortingColumn> {
    let index = COLUMNS.iter().position(|column| column.name == name)?;
    Some(SortingColumn {
        column_idx: i32::try_from(index).ok()?,
        descending: false,
        nulls_first: true,
    })
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

/// Writes a column of a group.
fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &Column,
    cells: impl Iterator<Item = Value>,
) -> Result<()> {
    match column.kind {
        Kind::Text => values::<ByteArrayType, _>(group, column, cells, |value| match value {
            Value::Text(text) => Some(text),
            // A text that must be there is empty at least.
            _ if !column.is_nullable => Some(ByteArray::from("")),
            _ => None,
        }),
        Kind::Number | Kind::Time => {
            values::<Int64Type, _>(group, column, cells, |value| match value {
                Value::Number(number) => Some(number),
                _ => None,
            })
        }
        Kind::Real => values::<DoubleType, _>(group, column, cells, |value| match value {
            Value::Real(number) => Some(number),
            _ => None,
        }),
        Kind::Texts => lists(group, cells),
    }
}

/// Writes values, or that there is none.
fn values<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &Column,
    cells: impl Iterator<Item = Value>,
    known: impl Fn(Value) -> Option<T::T>,
) -> Result<()> {
    let mut values = Vec::new();
    let mut levels = Vec::new();
    for cell in cells {
        match known(cell) {
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
    cells: impl Iterator<Item = Value>,
) -> Result<()> {
    let mut values: Vec<ByteArray> = Vec::new();
    let (mut is_there, mut is_further) = (Vec::new(), Vec::new());
    for cell in cells {
        let texts = match cell {
            Value::Texts(texts) => texts,
            _ => Vec::new(),
        };
        if texts.is_empty() {
            is_there.push(0);
            is_further.push(0);
        }
        for (place, text) in texts.into_iter().enumerate() {
            values.push(text);
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
) -> Result<SerializedColumnWriter<'g>> {
    let column = group.next_column()?;
    column.ok_or_else(|| ParquetError::General("the schema has too few columns".to_owned()))
}
