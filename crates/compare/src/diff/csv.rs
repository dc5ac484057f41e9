//! Reads the CSV files that the reports write, with the seven columns of the original or with all, by the
//! names of their columns. Errors say the line and the column.

use csv::{ByteRecord, Position, ReaderBuilder};
use skipheap_profile::report::csv::HEADER;
use skipheap_profile::report::figures::LiveSums;
use skipheap_profile::report::leaked::Leaked;
use skipheap_profile::report::origin::Origin;
use skipheap_profile::report::rows::{NAMES, Row};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::rc::Rc;
use std::{error, fmt};

/// In place of what is not known.
const MISSING: &[u8] = b"-";
/// Text of a file that is repeated in an error, in characters.
const SHOWN: usize = 40;
/// Most bytes of a line. Four names and some numbers are far from it; a file without an end of line is no CSV, and is
/// not to fill the memory.
const LONGEST: usize = 16 << 20;

/// What is wrong with a file.
#[derive(Debug, PartialEq, Eq)]
pub struct CsvError {
    /// Where, from 1; `None` where it is the file as a whole.
    pub line: Option<u64>,
    /// The name of the column, where it is one.
    pub column: Option<&'static str>,
    /// What, and what to do.
    pub what: String,
}

impl fmt::Display for CsvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}")?;
            if let Some(column) = self.column {
                write!(f, ", column `{column}`")?;
            }
            write!(f, ": ")?;
        }
        self.what.fmt(f)
    }
}

impl error::Error for CsvError {}

/// A file's rows, and the least and most calls of each over several runs where it states them.
#[derive(Debug, Default)]
pub struct Sheet {
    /// In the order of the file.
    pub rows: Vec<Row>,
    /// For each row, if the file has these columns.
    pub spreads: Option<Vec<(u64, u64)>>,
    /// The line of each row.
    pub lines: Vec<u64>,
}

/// The columns behind the original's in a baseline that was made of several runs.
pub const SPREAD: [&str; 2] = ["least calls", "most calls"];

/// Reads a file.
///
/// # Errors
/// When it is no report, or damaged.
pub fn read(input: impl Read) -> Result<Sheet, CsvError> {
    let mut reader = ReaderBuilder::new()
        .flexible(true)
        .has_headers(false)
        .from_reader(Lines {
            input,
            left: LONGEST,
        });
    let mut record = ByteRecord::new();
    let columns = match reader.read_byte_record(&mut record).map_err(unreadable)? {
        true => Columns::of(&record)?,
        false => return Err(whole("it is empty, without a header")),
    };
    let mut sheet = Sheet {
        spreads: columns.has(SPREAD[0]).then(Vec::new),
        ..Sheet::default()
    };
    let mut texts = Texts::default();
    let mut seen = Seen::default();
    while reader.read_byte_record(&mut record).map_err(unreadable)? {
        reader.get_mut().left = LONGEST;
        let line = record.position().map_or(0, Position::line);
        let fields = Fields {
            record: &record,
            columns: &columns,
            line,
        };
        sheet.rows.push(fields.row(&mut texts)?);
        if let Some(first) = seen.before(&fields) {
            let what = format!(
                "it repeats line {first}, the same names and size: was a merge resolved by keeping both sides?"
            );
            return Err(at(line, None, what));
        }
        if let Some(spreads) = &mut sheet.spreads {
            spreads.push(fields.spread()?);
        }
        sheet.lines.push(line);
    }
    Ok(sheet)
}

/// Input of which no more than so many bytes are read, until somebody says that there may be more.
struct Lines<R> {
    input: R,
    left: usize,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(self.left);
        if most == 0 && !buffer.is_empty() {
            let what = format!("a line longer than {} MiB: is it a CSV?", LONGEST >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let read = self.input.read(&mut buffer[..most])?;
        self.left -= read;
        Ok(read)
    }
}

/// Lines that were there, by what tells them from others. No report has two of them, and added up they would hide as
/// much growth as one of them has.
#[derive(Default)]
struct Seen {
    /// Of each hash the first line.
    lines: HashMap<u64, u64>,
}

impl Seen {
    /// The line that this one repeats, if there is one.
    fn before(&mut self, fields: &Fields<'_>) -> Option<u64> {
        let mut hasher = DefaultHasher::new();
        if fields.columns.has("file") {
            // Any of the further columns may be the one that tells two lines apart.
            fields
                .record
                .iter()
                .for_each(|field| field.hash(&mut hasher));
        } else {
            let [names @ .., _, _] = &HEADER;
            names
                .iter()
                .for_each(|name| fields.field(name).hash(&mut hasher));
        }
        let first = *self.lines.entry(hasher.finish()).or_insert(fields.line);
        (first != fields.line).then_some(first)
    }
}

fn unreadable(error: csv::Error) -> CsvError {
    CsvError {
        line: error.position().map(Position::line),
        column: None,
        what: error.to_string(),
    }
}

fn whole(what: &str) -> CsvError {
    CsvError {
        line: None,
        column: None,
        what: what.to_owned(),
    }
}

/// Where each column is.
struct Columns {
    by_name: HashMap<String, usize>,
    count: usize,
}

impl Columns {
    fn of(header: &ByteRecord) -> Result<Self, CsvError> {
        let text = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
        let mut by_name = HashMap::new();
        for (index, field) in header.iter().enumerate() {
            // What some editors put in front of a file.
            let name = text(field.strip_prefix("\u{feff}".as_bytes()).unwrap_or(field));
            if by_name.insert(name.clone(), index).is_some() && !name.is_empty() {
                return Err(at(
                    1,
                    None,
                    format!("the column `{}` occurs twice", cut(&name)),
                ));
            }
        }
        let lacks = HEADER.iter().find(|name| !by_name.contains_key(**name));
        match lacks {
            None => Ok(Self {
                by_name,
                count: header.len(),
            }),
            Some(name) => Err(at(
                1,
                None,
                format!(
                    "there is no column `{name}`: is it a report of skip-heapprof? Its header begins with \
                     `{}`",
                    HEADER.join(",")
                ),
            )),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}

fn at(line: u64, column: Option<&'static str>, what: String) -> CsvError {
    CsvError {
        line: Some(line),
        column,
        what,
    }
}

/// A field's text for a message.
fn cut(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    skipheap_text::printable(shown.as_bytes())
}

/// Each text once.
#[derive(Default)]
struct Texts {
    known: HashMap<Box<str>, Rc<str>>,
    origins: HashMap<Origin, Rc<Origin>>,
}

impl Texts {
    fn get(&mut self, text: &str) -> Rc<str> {
        match self.known.get(text) {
            Some(known) => Rc::clone(known),
            None => {
                let new: Rc<str> = text.into();
                self.known.insert(text.into(), Rc::clone(&new));
                new
            }
        }
    }

    fn origin(&mut self, origin: Origin) -> Rc<Origin> {
        let known = self.origins.entry(origin);
        let shared = known.or_insert_with_key(|origin| Rc::new(origin.clone()));
        Rc::clone(shared)
    }
}

/// One line of a file.
struct Fields<'a> {
    record: &'a ByteRecord,
    columns: &'a Columns,
    line: u64,
}

impl Fields<'_> {
    fn row(&self, texts: &mut Texts) -> Result<Row, CsvError> {
        let (found, expected) = (self.record.len(), self.columns.count);
        if found != expected {
            let why = if self.is_conflict() {
                "; this is the mark of a merge that was not resolved"
            } else {
                ""
            };
            let fields = if found == 1 { "field" } else { "fields" };
            let what = format!("{found} {fields}, but the header has {expected}{why}");
            return Err(at(self.line, None, what));
        }
        let mut names = [const { None }; NAMES];
        for (name, column) in names.iter_mut().zip(HEADER) {
            *name = self.text(column, texts)?;
        }
        let [_, _, _, _, of_size, of_calls, of_total] = HEADER;
        let size = self.required(of_size)?;
        let calls = self.required(of_calls)?;
        let total = self.required(of_total)?;
        if total != size.saturating_mul(calls) {
            return Err(at(
                self.line,
                Some(of_total),
                format!(
                    "{total}, but {size} × {calls} is {}: was the file edited by hand?",
                    size.saturating_mul(calls)
                ),
            ));
        }
        Ok(Row {
            names,
            size,
            calls,
            total,
            origin: self.origin(texts)?,
            samples: self.number("samples")?.unwrap_or(calls),
            variance: self
                .number("standard error")?
                .map_or(0.0, |n| (n as f64).powi(2)),
            live: self.live(calls)?,
        })
    }

    /// Returns whether it is a line that git leaves where both sides have changed.
    fn is_conflict(&self) -> bool {
        let first = self.record.get(0).unwrap_or_default();
        [&b"<<<<<<<"[..], b"=======", b">>>>>>>", b"|||||||"]
            .iter()
            .any(|mark| first.starts_with(mark))
    }

    fn spread(&self) -> Result<(u64, u64), CsvError> {
        let [of_least, of_most] = SPREAD;
        let (least, most) = (self.required(of_least)?, self.required(of_most)?);
        if least > most {
            let what = format!("{least} is more than `{of_most}`, {most}");
            return Err(at(self.line, Some(of_least), what));
        }
        Ok((least, most))
    }

    fn origin(&self, texts: &mut Texts) -> Result<Option<Rc<Origin>>, CsvError> {
        if !self.columns.has("file") {
            return Ok(None);
        }
        let line = self.number("line")?;
        let origin = Origin {
            file: self.text("file", texts)?,
            line: line.and_then(|line| u32::try_from(line).ok()),
            module: self.text("module", texts)?,
            allocator: self.text("allocator", texts)?,
            thread: self.text("thread", texts)?,
        };
        Ok(Some(texts.origin(origin)))
    }

    /// What became of the blocks; a file has all of these figures or none.
    fn live(&self, calls: u64) -> Result<Option<LiveSums>, CsvError> {
        let Some(frees) = self.number("frees")? else {
            return Ok(None);
        };
        let number = |column| Ok(self.number(column)?.unwrap_or(0));
        let live = number("live blocks")?;
        let peak = number("peak blocks")?;
        Ok(Some(LiveSums {
            followed: frees.saturating_add(live).max(calls.min(frees)),
            frees,
            temporary: number("temporary")?,
            at_peak: i64::try_from(peak).unwrap_or(i64::MAX),
            grown: number("grown")?,
            copied: number("bytes copied")?,
            slack: number("slack bytes")?,
            leaked: self.leaked()?,
            lifetimes: None,
        }))
    }

    /// Blocks that are lost, where the leak check was made.
    fn leaked(&self) -> Result<Option<Leaked>, CsvError> {
        let Some(direct) = self.number("directly leaked blocks")? else {
            return Ok(None);
        };
        let indirect = self.number("indirectly leaked blocks")?.unwrap_or(0);
        Ok(Some(Leaked { direct, indirect }))
    }

    fn field(&self, column: &str) -> Option<&[u8]> {
        let index = *self.columns.by_name.get(column)?;
        self.record.get(index).filter(|field| *field != MISSING)
    }

    fn text(&self, column: &'static str, texts: &mut Texts) -> Result<Option<Rc<str>>, CsvError> {
        let Some(field) = self.field(column) else {
            return Ok(None);
        };
        match std::str::from_utf8(field) {
            Ok(text) => Ok(Some(texts.get(text))),
            Err(_) => {
                let what = "not UTF-8 text".to_owned();
                Err(at(self.line, Some(column), what))
            }
        }
    }

    /// A number, or `None` where it is not known.
    fn number(&self, column: &'static str) -> Result<Option<u64>, CsvError> {
        let Some(field) = self.field(column) else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(field);
        match text.trim().parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => {
                let what = format!("`{}` is not a whole number", cut(&text));
                Err(at(self.line, Some(column), what))
            }
        }
    }

    fn required(&self, column: &'static str) -> Result<u64, CsvError> {
        self.number(column)?
            .ok_or_else(|| at(self.line, Some(column), "a number is missing".to_owned()))
    }
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
