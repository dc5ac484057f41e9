//! Reads the rows that [`super::write`](mod@super::write) wrote.

use super::columns::{COLUMNS, Column, Kind};
use super::write::Value;
use ::parquet::basic::Type as Physical;
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, DataType};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::reader::{ChunkReader, FileReader, RowGroupReader, SerializedFileReader};

/// A file that is read, one group of rows at a time.
pub(super) struct Source {
    reader: Box<dyn FileReader>,
    /// By column of [`COLUMNS`]: its place in the file; `None` if an older version of the tool wrote the file, which
    /// had no such column.
    places: Vec<Option<usize>>,
}

impl Source {
    /// Opens a file.
    ///
    /// # Errors
    /// When it is not a file of Parquet, or lacks a column whose value is always known.
    pub(super) fn new(file: impl ChunkReader + 'static) -> Result<Self> {
        let reader = SerializedFileReader::new(file)?;
        let schema = reader.metadata().file_metadata().schema_descr_ptr();
        let mut places = Vec::with_capacity(COLUMNS.len());
        for column in COLUMNS {
            let is_it = |&place: &usize| {
                let found = schema.column(place);
                found
                    .path()
                    .parts()
                    .first()
                    .is_some_and(|name| name == column.name)
            };
            let Some(place) = (0..schema.num_columns()).find(is_it) else {
                if column.is_nullable || column.kind == Kind::Texts {
                    places.push(None);
                    continue;
                }
                let name = column.name;
                let what = format!("there is no column `{name}`");
                return Err(ParquetError::General(what));
            };
            let found = schema.column(place);
            let levels = (found.max_def_level(), found.max_rep_level());
            if found.physical_type() != physical(column) || levels != expected_levels(column) {
                let name = column.name;
                let what =
                    format!("the column `{name}` is of another type than skip-heapprof writes");
                return Err(ParquetError::General(what));
            }
            places.push(Some(place));
        }
        Ok(Self {
            reader: Box::new(reader),
            places,
        })
    }

    /// The text of an entry of metadata; `None` where there is none.
    pub(super) fn note(&self, key: &str) -> Option<&str> {
        let metadata = self.reader.metadata().file_metadata();
        let mut entries = metadata.key_value_metadata()?.iter();
        entries.find(|entry| entry.key == key)?.value.as_deref()
    }

    /// How many groups of rows there are.
    pub(super) fn groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// Reads a group: the values of its rows by column of [`COLUMNS`].
    ///
    /// # Errors
    /// Those of the file.
    pub(super) fn group(&self, group: usize) -> Result<Vec<Vec<Value>>> {
        let group = self.reader.get_row_group(group)?;
        let rows = usize::try_from(group.metadata().num_rows())
            .map_err(|_| ParquetError::General("a negative number of rows".to_owned()))?;
        let columns = COLUMNS.iter().zip(&self.places);
        columns
            .map(|(column, &place)| {
                let values = match place {
                    Some(place) => column_of(&*group, place, column, rows)?,
                    None if column.kind == Kind::Texts => vec![Value::Texts(Vec::new()); rows],
                    None => vec![Value::Null; rows],
                };
                match values.len() == rows {
                    true => Ok(values),
                    false => Err(ParquetError::General(format!(
                        "the column `{}` has {} rows of {rows}",
                        column.name,
                        values.len()
                    ))),
                }
            })
            .collect()
    }
}

fn physical(column: &Column) -> Physical {
    match column.kind {
        Kind::Text | Kind::Texts => Physical::BYTE_ARRAY,
        Kind::Number | Kind::Time => Physical::INT64,
        Kind::Real => Physical::DOUBLE,
    }
}

/// The highest levels of definition and of repetition.
fn expected_levels(column: &Column) -> (i16, i16) {
    match column.kind {
        Kind::Texts => (1, 1),
        _ => (i16::from(column.is_nullable), 0),
    }
}

fn column_of(
    group: &dyn RowGroupReader,
    place: usize,
    column: &Column,
    rows: usize,
) -> Result<Vec<Value>> {
    match (column.kind, group.get_column_reader(place)?) {
        (Kind::Texts, ColumnReader::ByteArrayColumnReader(reader)) => lists(reader, rows),
        (Kind::Text, ColumnReader::ByteArrayColumnReader(reader)) => {
            single(reader, column, rows, Value::Text)
        }
        (Kind::Number | Kind::Time, ColumnReader::Int64ColumnReader(reader)) => {
            single(reader, column, rows, Value::Number)
        }
        (Kind::Real, ColumnReader::DoubleColumnReader(reader)) => {
            single(reader, column, rows, Value::Real)
        }
        _ => Err(ParquetError::General(format!(
            "the column `{}` is of another type than skip-heapprof writes",
            column.name
        ))),
    }
}

/// The values of a column, or that there is none.
fn single<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    column: &Column,
    rows: usize,
    value: impl Fn(T::T) -> Value,
) -> Result<Vec<Value>> {
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    reader.read_records(rows, Some(&mut levels), None, &mut values)?;
    let mut values = values.into_iter().map(value);
    if !column.is_nullable {
        return Ok(values.collect());
    }
    let next = |level: i16| match level {
        0 => Value::Null,
        _ => values.next().unwrap_or(Value::Null),
    };
    Ok(levels.into_iter().map(next).collect())
}

/// Lists of texts.
fn lists(
    mut reader: ColumnReaderImpl<::parquet::data_type::ByteArrayType>,
    rows: usize,
) -> Result<Vec<Value>> {
    let (mut is_there, mut is_further, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    reader.read_records(rows, Some(&mut is_there), Some(&mut is_further), &mut texts)?;
    let mut texts = texts.into_iter();
    let mut lists: Vec<Vec<ByteArray>> = Vec::with_capacity(rows);
    for (there, further) in is_there.into_iter().zip(is_further) {
        if further == 0 {
            lists.push(Vec::new());
        }
        if there != 0
            && let (Some(list), Some(text)) = (lists.last_mut(), texts.next())
        {
            list.push(text);
        }
    }
    Ok(lists.into_iter().map(Value::Texts).collect())
}
