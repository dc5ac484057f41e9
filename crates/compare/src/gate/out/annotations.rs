//! A check as annotations of GitHub: lines on standard output that the runner takes for commands
//! (`::error file=...,line=...,title=...::message`).

use super::Report;

/// Findings as errors, and why data are unfit; one line each.
pub fn write(report: &Report) -> String {
    let mut out = String::new();
    for why in &report.unfit {
        out.push_str(&command("error", None, "Heap: cannot be compared", why));
    }
    for finding in &report.verdict.findings {
        let place = report.place(finding);
        let title = format!("Heap: {}", finding.rule.name());
        let message = match report.advice() {
            Some(advice) => format!("{}\n{advice}", report.sentence(finding)),
            None => report.sentence(finding),
        };
        out.push_str(&command("error", place.as_ref(), &title, &message));
    }
    out
}

fn command(level: &str, place: Option<&(String, u64)>, title: &str, message: &str) -> String {
    let place = place.map_or_else(String::new, |(file, line)| {
        format!("file={},line={line},", property(file))
    });
    format!(
        "::{level} {place}title={}::{}\n",
        property(title),
        data(message)
    )
}

/// Escapes what is behind the second `::`.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Escapes the value of a property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{report, unfit};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn commands_are_escaped() {
        let advice = "%0Ato accept the new state: skip-heapprof check --update\n";
        let expected = [
            "::error file=heap.csv,line=1,title=Heap%3A total-bytes::all sites: 1 → 6 bytes (+5, +500.0 %25)",
            advice,
            "::error file=src/a%2Cb%3Ac.rs,line=7,title=Heap%3A new-site::f<T, 1>(\"a\") ← main: new, 5 bytes; \
             100%25 <b>%0A::x::; at src/a,b:c.rs:7 in inner",
            advice,
        ];
        assert_eq!(write(&report()), expected.concat());
        assert_eq!(
            write(&unfit()),
            "::error title=Heap%3A cannot be compared::the program was killed by signal 9\n"
        );
    }

    proptest! {
        #[test]
        fn each_is_one_line_and_can_be_read_back(message in "\\PC{0,30}|[%\r\n:,a]{0,10}") {
            let text = command("error", Some(&(message.clone(), 3)), &message, &message);
            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert!(!text.contains('\r'));
            let unescaped = |text: &str| {
                text.replace("%3A", ":")
                    .replace("%2C", ",")
                    .replace("%0A", "\n")
                    .replace("%0D", "\r")
                    .replace("%25", "%")
            };
            let rest = text.trim_end_matches('\n').strip_prefix("::error file=").expect("a file");
            let (properties, data) = rest.split_once("::").expect("a message");
            prop_assert_eq!(unescaped(data), message.clone());
            let file = properties.split(',').next().expect("a file");
            prop_assert_eq!(unescaped(file), message);
        }
    }
}
