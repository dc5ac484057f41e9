//! Names of functions in few columns: what tells them apart stays, which is the function's own name and not its
//! parameters or where it is declared.

use crate::terminal::term::{columns_of, cut};
use std::ops::Range;

/// Names cut to fewer columns say nothing.
const LEAST_NAME: usize = 15;
/// In place of what was left out.
const REST: &str = "…";

/// A name in at most `columns` columns. One after the other go the parameters, the modules of template
/// arguments, these arguments, the modules in front, and at last what is in the middle. A place behind the
/// name, as in `f (a.c:3)`, stays as long as there is room.
pub(crate) fn shorten(name: &str, columns: usize) -> String {
    let fits = |text: &str, room: usize| columns_of(text) <= room;
    if fits(name, columns) {
        return name.to_owned();
    }
    let (name, place) = name.split_at(place_behind(name).unwrap_or(name.len()));
    let room = columns.saturating_sub(columns_of(place));
    let (place, room) = match room < LEAST_NAME.min(columns_of(name)) {
        true => ("", columns),
        false => (place, room),
    };
    let steps: [fn(&str) -> String; 3] = [
        |name| emptied(name, '(', ')'),
        arguments_without_modules,
        |name| emptied(name, '<', '>'),
    ];
    let mut shorter = name.to_owned();
    for step in steps {
        if fits(&shorter, room) {
            break;
        }
        shorter = step(&shorter);
    }
    let inner = modules(&shorter);
    let within = inner.iter().find_map(|&start| {
        let text = format!("{REST}{}", &shorter[start..]);
        fits(&text, room).then_some(text)
    });
    let shorter = match (fits(&shorter, room), within, inner.last()) {
        (true, ..) => shorter,
        (_, Some(within), _) => within,
        (_, None, Some(&start)) => cut(&shorter[start..], room),
        (_, None, None) => cut(&shorter, room),
    };
    shorter + place
}

/// Joins names, most important first, in at most `columns` columns with a separator of `between` columns.
///
/// Each gets an equal share of the room, and what the short ones do not need goes to the long ones.
/// Names are left out at the end before the share falls below [`LEAST_NAME`], and before a place is.
pub(crate) fn fitted(names: &[&str], between: usize, columns: usize) -> Vec<String> {
    for n in (1..=names.len()).rev() {
        let shown = &names[..n];
        let is_all = n == names.len();
        let rest = match is_all {
            true => 0,
            false => between + columns_of(REST),
        };
        let room = columns.saturating_sub(between * (n - 1) + rest);
        let share = fair_share(shown, room);
        let is_cut = shown.iter().any(|name| columns_of(name) > share);
        let mut fitted: Vec<String> = shown.iter().map(|name| shorten(name, share)).collect();
        // The place of a call says more than its outermost caller.
        let has_place = |name: &str| place_behind(name).is_some();
        let loses_place = || {
            shown
                .iter()
                .zip(&fitted)
                .any(|(name, fitted)| has_place(name) && !has_place(fitted))
        };
        if n > 1 && is_cut && (share < LEAST_NAME || loses_place()) {
            continue;
        }
        // A window may be too narrow for even that.
        if !is_all && columns > rest {
            fitted.push(REST.to_owned());
        }
        return fitted;
    }
    Vec::new()
}

/// As [`fitted`], as one text.
pub(crate) fn join(names: &[&str], separator: &str, columns: usize) -> String {
    let joined = fitted(names, columns_of(separator), columns).join(separator);
    cut(&joined, columns)
}

/// The largest length to which all names can be cut to fit together into `room`.
fn fair_share(names: &[&str], mut room: usize) -> usize {
    let mut lengths: Vec<usize> = names.iter().map(|name| columns_of(name)).collect();
    lengths.sort_unstable();
    for (i, &length) in lengths.iter().enumerate() {
        let share = room / (lengths.len() - i);
        if length > share {
            return share;
        }
        room -= length;
    }
    lengths.last().copied().unwrap_or(0)
}

/// Where ` (file:line)` begins.
fn place_behind(name: &str) -> Option<usize> {
    let start = name.rfind(" (").filter(|start| *start > 0)?;
    let place = name[start..].strip_suffix(')')?;
    let (_, line) = place.rsplit_once(':')?;
    (!line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())).then_some(start)
}

/// What stands between outermost brackets of a kind. Nothing where they do not match.
fn inside(name: &str, open: char, close: char) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut opened: Vec<(char, usize)> = Vec::new();
    let mut before = ' ';
    let mut operator = false;
    for (at, c) in name.char_indices() {
        // `operator<<`, `operator->`, and the arrow of a function's type.
        operator = (operator || name[..at].ends_with("operator")) && "<>=-!".contains(c);
        let is_arrow = c == '>' && "-=".contains(before);
        let is_bracket = !(operator || is_arrow);
        before = c;
        match c {
            '<' | '(' | '{' | '[' if is_bracket => opened.push((c, at + 1)),
            '>' | ')' | '}' | ']' if is_bracket => {
                let Some((begun, start)) = opened.pop() else {
                    return Vec::new();
                };
                let is_match = matches!(
                    (begun, c),
                    ('<', '>') | ('(', ')') | ('{', '}') | ('[', ']')
                );
                if !is_match {
                    return Vec::new();
                }
                if (begun, c) == (open, close) && opened.is_empty() {
                    found.push(start..at);
                }
            }
            _ => {}
        }
    }
    match opened.is_empty() {
        true => found,
        false => Vec::new(),
    }
}

/// The name with other texts in some places, which are in order.
fn replaced(name: &str, places: &[Range<usize>], by: impl Fn(&str) -> String) -> String {
    let mut text = String::new();
    let mut end = 0;
    for place in places {
        text.push_str(&name[end..place.start]);
        text.push_str(&by(&name[place.clone()]));
        end = place.end;
    }
    text + &name[end..]
}

/// Without what is between outermost brackets.
fn emptied(name: &str, open: char, close: char) -> String {
    replaced(name, &inside(name, open, close), |inner| match inner {
        "" | "anonymous namespace" => inner.to_owned(),
        // Rust's `<T as Trait>` is about the trait as much as about the type.
        _ => REST.to_owned(),
    })
}

/// `std::vector<std::string>` as `std::vector<string>`.
fn arguments_without_modules(name: &str) -> String {
    replaced(name, &inside(name, '<', '>'), |inner| {
        let mut text = String::new();
        let mut word = 0;
        for (at, c) in inner.char_indices() {
            if c.is_alphanumeric() || c == '_' || c == ':' {
                continue;
            }
            text.push_str(last_of_path(&inner[word..at]));
            text.push(c);
            word = at + c.len_utf8();
        }
        text + last_of_path(&inner[word..])
    })
}

fn last_of_path(path: &str) -> &str {
    let start = path.trim_end_matches(':').rfind("::");
    start.map_or(path, |start| &path[start + 2..])
}

/// Where `::` stands outside of brackets, outermost first.
fn modules(name: &str) -> Vec<usize> {
    let brackets: Vec<Range<usize>> = [('<', '>'), ('(', ')'), ('{', '}'), ('[', ']')]
        .into_iter()
        .flat_map(|(open, close)| inside(name, open, close))
        .collect();
    let starts = name.match_indices("::").map(|(at, _)| at);
    starts
        .filter(|at| *at > 0 && !brackets.iter().any(|range| range.contains(at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_own_name_of_a_function_stays() {
        let full = "acme::json::Parser<std::allocator<char>, 16>::parse_object(std::string const&, int) const";
        for (columns, expected) in [
            (200, full),
            (
                84,
                "acme::json::Parser<std::allocator<char>, 16>::parse_object(…) const",
            ),
            (
                64,
                "acme::json::Parser<allocator<char>, 16>::parse_object(…) const",
            ),
            (50, "acme::json::Parser<…>::parse_object(…) const"),
            (40, "…::Parser<…>::parse_object(…) const"),
            (30, "…::parse_object(…) const"),
            (15, "::parse…) const"),
        ] {
            assert_eq!(shorten(full, columns), expected, "{columns}");
        }
        assert_eq!(shorten("libjq.so.1.0.4+0x1c2c0", 15), "libjq.s…0x1c2c0");
        assert_eq!(
            shorten("(anonymous namespace)::take(int)", 30),
            "(anonymous namespace)::take(…)"
        );
    }

    #[test]
    fn operators_and_lambdas_are_no_brackets() {
        let name = "std::ostream& std::operator<< <char>(std::ostream&, char const*)";
        assert_eq!(shorten(name, 45), "std::ostream& std::operator<< <char>(…)");
        let name = "std::function<void (int)>::operator()(int) const";
        assert_eq!(shorten(name, 40), "std::function<…>::operator()(…) const");
        let name = "run(int)::{lambda(int)#1}::operator()(int) const";
        assert_eq!(
            shorten(name, 46),
            "run(…)::{lambda(int)#1}::operator()(…) const"
        );
        let name = "<alloc::vec::Vec<u8> as core::convert::From<&[u8]>>::from";
        assert_eq!(shorten(name, 40), "<Vec<u8> as From<&[u8]>>::from");
        // Brackets that do not match.
        assert_eq!(shorten("a<b<c::d>", 8), "…::d>");
    }

    #[test]
    fn the_place_behind_a_name_stays_while_there_is_room() {
        assert_eq!(
            shorten("take_something_new(int, int) (a.c:3)", 30),
            "take_something_new(…) (a.c:3)"
        );
        assert_eq!(
            shorten("take_something_new (heap.c:31)", 20),
            "take_something_new"
        );
        assert_eq!(place_behind("f (a.c:3)"), Some(1));
        assert_eq!(place_behind("f(int) (*)(int)"), None);
    }

    #[test]
    fn long_names_are_shortened_and_short_ones_are_not() {
        let long = "abcdefghijklmnopqrstuvwxyz".repeat(2);
        let join = |names: &[&str], columns| join(names, " < ", columns);
        assert_eq!(join(&["main"], 10), "main");
        assert_eq!(join(&[&long, "main"], 30), "abcdefghijk…pqrstuvwxyz < main");
        assert_eq!(
            join(&[&long, &long, "main"], 28),
            "abcdefghijkl…pqrstuvwxyz < …"
        );
        assert_eq!(join(&["abcd", "efgh"], 9), "abcd < …");
        assert_eq!(join(&[], 9), "");
    }

    proptest! {
        #[test]
        fn joined_names_fit(
            names in proptest::collection::vec("[a-zä:<>() ]{0,30}", 0..5), columns in 9_usize..80,
        ) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let joined = fitted(&names, 3, columns).join(" ← ");
            prop_assert!(columns_of(&joined) <= columns, "{joined}");
            if columns_of(&names.join(" ← ")) <= columns {
                prop_assert_eq!(joined, names.join(" ← "));
            }
        }

        #[test]
        fn any_name_is_shortened(name in "(::|<|>|operator|\\(|\\)|->|a|ß|漢| |\\(a:1\\)){0,20}", columns in 1_usize..40) {
            let shorter = shorten(&name, columns);
            prop_assert!(columns_of(&shorter) <= columns, "{shorter}");
        }
    }
}
