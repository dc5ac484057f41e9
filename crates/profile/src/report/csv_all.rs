//! The CSV with all columns: the original's seven first, then where the row's allocations come from and
//! what became of the blocks. Text in quotes; numbers, and the `-` of what is not known, without.

use super::csv::{HEADER, MISSING, quote};
use super::rows::Row;
use csv::{QuoteStyle, Writer, WriterBuilder};
use std::io::{self, Write};

/// The columns behind those of [`HEADER`].
pub const MORE: [&str; 22] = [
    "file",
    "line",
    "module",
    "allocator",
    "thread",
    "frees",
    "live blocks",
    "live bytes",
    "peak blocks",
    "peak bytes",
    "temporary",
    "grown",
    "bytes copied",
    "slack bytes",
    "lifetimes in allocations",
    "lifetimes in time",
    "samples",
    "standard error",
    "directly leaked blocks",
    "directly leaked bytes",
    "indirectly leaked blocks",
    "indirectly leaked bytes",
];
/// Columns of [`MORE`] about blocks that were followed.
const LIVE: usize = 11;
/// Columns of [`MORE`] about blocks that are lost.
const LEAKED: usize = 4;

/// Writes the header and a line for each row.
///
/// # Errors
/// Those of `out`.
pub fn write(rows: &[Row], out: impl Write) -> io::Result<()> {
    let mut writer = WriterBuilder::new()
        .quote_style(QuoteStyle::Never)
        .from_writer(out);
    writer.write_record(HEADER.into_iter().chain(MORE))?;
    let mut line = Line {
        writer,
        field: String::new(),
    };
    for row in rows {
        line.seed(row)?;
        line.origin(row)?;
        line.live(row)?;
        line.number(row.samples)?;
        line.number(row.variance.sqrt().round() as u64)?;
        line.leaked(row)?;
        line.writer.write_record(None::<&[u8]>)?;
    }
    line.writer.flush()
}

struct Line<W: Write> {
    writer: Writer<W>,
    field: String,
}

impl<W: Write> Line<W> {
    fn text(&mut self, text: Option<&str>) -> io::Result<()> {
        match text {
            Some(text) => {
                quote(text, &mut self.field);
                self.writer.write_field(&self.field)?;
            }
            None => self.writer.write_field(MISSING)?,
        }
        Ok(())
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        Ok(self.writer.write_field(number.to_string())?)
    }

    fn seed(&mut self, row: &Row) -> io::Result<()> {
        for name in &row.names {
            self.text(name.as_deref())?;
        }
        [row.size, row.calls, row.total]
            .into_iter()
            .try_for_each(|number| self.number(number))
    }

    fn origin(&mut self, row: &Row) -> io::Result<()> {
        let origin = row.origin.as_deref();
        self.text(origin.and_then(|origin| origin.file.as_deref()))?;
        match origin.and_then(|origin| origin.line) {
            Some(line) => self.number(u64::from(line))?,
            None => self.text(None)?,
        }
        self.text(origin.and_then(|origin| origin.module.as_deref()))?;
        self.text(origin.and_then(|origin| origin.allocator.as_deref()))?;
        self.text(origin.and_then(|origin| origin.thread.as_deref()))
    }

    fn leaked(&mut self, row: &Row) -> io::Result<()> {
        let Some(leaked) = row.live.as_ref().and_then(|live| live.leaked) else {
            return (0..LEAKED).try_for_each(|_| self.text(None));
        };
        [leaked.direct, leaked.indirect]
            .into_iter()
            .flat_map(|blocks| [blocks, row.size.saturating_mul(blocks)])
            .try_for_each(|number| self.number(number))
    }

    fn live(&mut self, row: &Row) -> io::Result<()> {
        let Some(live) = &row.live else {
            return (0..LIVE).try_for_each(|_| self.text(None));
        };
        let bytes = |blocks: u64| row.size.saturating_mul(blocks);
        let numbers = [
            live.frees,
            live.live(),
            bytes(live.live()),
            live.peak(),
            bytes(live.peak()),
            live.temporary,
            live.grown,
            live.copied,
            live.slack,
        ];
        numbers
            .into_iter()
            .try_for_each(|number| self.number(number))?;
        let lifetimes = live.lifetimes.as_deref();
        let ages = lifetimes.map(|lifetimes| buckets(&lifetimes.ages));
        self.text(ages.as_deref())?;
        let times = lifetimes.map(|lifetimes| buckets(&lifetimes.times));
        self.text(times.as_deref())
    }
}

/// Counts with blanks between, without the zeros at the end.
pub fn buckets(counts: &[u64]) -> String {
    let used = counts.iter().rposition(|&count| count != 0);
    let used = counts.get(..used.map_or(0, |last| last + 1));
    let texts: Vec<String> = used.unwrap_or(&[]).iter().map(u64::to_string).collect();
    texts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::{Lifetimes, LiveSums};
    use crate::report::leaked::Leaked;
    use crate::report::origin::Origin;
    use std::rc::Rc;

    fn lines(rows: &[Row]) -> Vec<String> {
        let mut out = Vec::new();
        write(rows, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn columns_follow_those_of_the_original() {
        let mut lifetimes = Box::<Lifetimes>::default();
        lifetimes.ages[0] = 2;
        lifetimes.ages[2] = 5;
        let row = Row {
            names: [Some("f".into()), None, None, None],
            size: 16,
            calls: 9,
            total: 144,
            origin: Some(Rc::new(Origin {
                file: Some("/src/a \"b\".c".into()),
                line: Some(12),
                module: Some("/bin/p".into()),
                allocator: Some("calloc".into()),
                thread: None,
            })),
            samples: 9,
            variance: 6.3,
            live: Some(LiveSums {
                followed: 9,
                frees: 7,
                temporary: 2,
                at_peak: 4,
                grown: 1,
                copied: 8,
                slack: 72,
                leaked: Some(Leaked {
                    direct: 1,
                    indirect: 2,
                }),
                lifetimes: Some(lifetimes),
            }),
        };
        let unknown = Row {
            size: 8,
            calls: 1,
            total: 8,
            samples: 1,
            ..Row::default()
        };
        assert_eq!(
            lines(&[row, unknown]),
            [
                "\"f\",-,-,-,16,9,144,\"/src/a \"\"b\"\".c\",12,\"/bin/p\",\"calloc\",-,\
                 7,2,32,4,64,2,1,8,72,\"2 0 5\",\"\",9,3,1,16,2,32",
                "-,-,-,-,8,1,8,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,-,1,0,-,-,-,-",
            ]
        );
    }
}
