//! The CSV of the original profiler: seven columns; names in quotes, numbers and the `-` of a
//! missing frame without.

use super::rows::Row;
use csv::{QuoteStyle, WriterBuilder};
use std::io::{self, Write};

/// The header, as the original wrote it.
pub const HEADER: [&str; 7] = [
    "pc0",
    "pc1",
    "pc2",
    "pc3",
    "bytes allocated",
    "call count",
    "total bytes",
];
/// In place of a missing frame.
pub(super) const MISSING: &str = "-";

/// Writes the header and a line for each row.
///
/// # Errors
/// Those of `out`.
pub fn write(rows: &[Row], out: impl Write) -> io::Result<()> {
    // The crate quotes all fields of a file or those that need it; here it depends on the column,
    // so the names come to it quoted.
    let mut writer = WriterBuilder::new()
        .quote_style(QuoteStyle::Never)
        .from_writer(out);
    writer.write_record(HEADER)?;
    let mut field = String::new();
    for row in rows {
        for name in &row.names {
            match name {
                Some(name) => {
                    quote(name, &mut field);
                    writer.write_field(&field)?;
                }
                None => writer.write_field(MISSING)?,
            }
        }
        writer.write_record([row.size, row.calls, row.total].map(|number| number.to_string()))?;
    }
    writer.flush()
}

/// Leaves `name` in `field`, between quotes, each quote inside doubled.
pub(super) fn quote(name: &str, field: &mut String) {
    field.clear();
    field.push('"');
    for c in name.chars() {
        if c == '"' {
            field.push('"');
        }
        field.push(c);
    }
    field.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(names: [Option<&str>; 4], size: u64, calls: u64) -> Row {
        Row {
            names: names.map(|name| name.map(Into::into)),
            size,
            calls,
            total: size * calls,
            ..Row::default()
        }
    }

    fn text(rows: &[Row]) -> String {
        let mut out = Vec::new();
        write(rows, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_format_is_that_of_the_original() {
        let rows = [
            row(
                [
                    Some("sk.Leaf_make16"),
                    Some("sk.Mid_loop"),
                    Some("skip_main"),
                    Some("main"),
                ],
                16,
                1000,
            ),
            row([Some("f(int, \"x\")"), None, None, None], 0, 1),
        ];
        assert_eq!(
            text(&rows),
            "pc0,pc1,pc2,pc3,bytes allocated,call count,total bytes\n\
             \"sk.Leaf_make16\",\"sk.Mid_loop\",\"skip_main\",\"main\",16,1000,16000\n\
             \"f(int, \"\"x\"\")\",-,-,-,0,1,0\n"
        );
    }

    #[test]
    fn a_file_of_the_original_is_written_back_byte_for_byte() {
        let original = crate::report::testing::ORIGINAL;
        let rows: Vec<Row> = csv::Reader::from_reader(original.as_bytes())
            .records()
            .map(|record| {
                let record = record.unwrap();
                let names: Vec<_> = (0..4)
                    .map(|i| Some(&record[i]).filter(|name| *name != MISSING))
                    .collect();
                row(
                    names.try_into().unwrap(),
                    record[4].parse().unwrap(),
                    record[5].parse().unwrap(),
                )
            })
            .collect();
        assert_eq!(rows.len(), 8);
        assert_eq!(text(&rows), original);
    }

    proptest! {
        #[test]
        fn a_reader_gets_back_what_was_written(
            names in proptest::array::uniform4("[ -~]{1,20}"),
            size in 0_u64..1 << 20,
            calls in 1_u64..1 << 20,
        ) {
            let row = row([Some(&names[0]), Some(&names[1]), Some(&names[2]), Some(&names[3])], size, calls);
            let text = text(&[row]);
            let mut reader = csv::Reader::from_reader(text.as_bytes());
            let record = reader.records().next().unwrap().unwrap();
            for (i, name) in names.iter().enumerate() {
                prop_assert_eq!(&record[i], name);
            }
            prop_assert_eq!(&record[4], size.to_string());
            prop_assert_eq!(&record[6], (size * calls).to_string());
        }
    }
}
