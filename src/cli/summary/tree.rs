//! `--tree`: the call tree in the terminal.

use crate::terminal::names::shorten;
use crate::terminal::paint::{HOT, QUIET, TITLE, WARM, painted};
use crate::terminal::table::percent;
use crate::terminal::term::line;
use crate::terminal::term::{counted, grouped, printable, scaled};
use anstyle::Style;
use skipheap_profile::Profile;
use skipheap_profile::report::collapsed::Value;
use skipheap_profile::tree::{Branch, Inner, Name, Wish, tree};

/// Narrowest room for a name, however deep it stands.
const LEAST_NAME: usize = 16;
/// Smaller shares of what is not shown are not told.
const LEAST_REST: f64 = 0.001;
/// Shares that stand out.
const LARGE: f64 = 0.2;
/// Shares that are worth a look.
const SOME: f64 = 0.05;

/// The tree of a profile in lines of about `width` columns.
pub(crate) fn text(profile: &Profile, wish: Wish, width: usize) -> String {
    let tree = tree(&profile.estimated(), wish);
    let mut drawing = Drawing {
        profile,
        wish,
        width,
        total: tree.total,
        text: String::new(),
    };
    drawing.heading();
    drawing.inner(&tree.inner, "", Below::Nothing);
    drawing.text
}

/// What a list of branches stands below.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Below {
    Nothing,
    Branch,
    /// A branch that is the only one, which is not indented.
    Only,
}

struct Drawing<'p> {
    profile: &'p Profile,
    wish: Wish,
    width: usize,
    total: i64,
    text: String,
}

impl Drawing<'_> {
    fn heading(&mut self) {
        let what = match self.wish.value {
            Value::Bytes => "bytes",
            Value::Calls => "calls",
            Value::Live => "live",
            Value::LiveBlocks => "blocks",
            Value::Peak => "at peak",
            Value::Temporary => "temporary",
        };
        let names = match self.wish.callers {
            true => "allocated by, called by",
            false => "calls from the root",
        };
        let own = if self.wish.callers { "" } else { "    self  " };
        let heading = format!("  total  {own}{what:>10}  {names}");
        line(&mut self.text, format_args!("{}", painted(QUIET, heading)));
    }

    /// Draws what a function is made of; `prefix` stands in front of the names.
    fn inner(&mut self, inner: &Inner, prefix: &str, below: Below) {
        // What is next to nothing is not worth a line.
        let has_rest = inner.branches.is_empty() || self.part(inner.rest) >= LEAST_REST;
        let others = usize::from(inner.others > 0 && has_rest);
        let all = inner.branches.len() + others;
        if let ([only], 0, true) = (&inner.branches[..], others, below != Below::Nothing) {
            // Indented, chains of calls would leave the window.
            self.branch(only, prefix, "╰ ");
            self.inner(&only.inner, prefix, Below::Only);
            return;
        }
        let prefix = match below {
            Below::Only => format!("{prefix}  "),
            _ => prefix.to_owned(),
        };
        for (index, branch) in (1..).zip(&inner.branches) {
            let (joint, next) = match (below, index == all) {
                (Below::Nothing, _) => ("", ""),
                (_, true) => ("└─ ", "   "),
                (_, false) => ("├─ ", "│  "),
            };
            self.branch(branch, &prefix, joint);
            self.inner(&branch.inner, &format!("{prefix}{next}"), Below::Branch);
        }
        if others > 0 {
            let joint = if below == Below::Nothing {
                ""
            } else {
                "└─ "
            };
            let names = counted(inner.others as u64, "other function", "other functions");
            let names = painted(QUIET, format_args!("{prefix}{joint}… {names}"));
            self.row(inner.rest, None, &names);
        }
    }

    fn branch(&mut self, branch: &Branch, prefix: &str, joint: &str) {
        let taken = if self.wish.callers { 21 } else { 31 };
        let taken = taken + prefix.chars().count() + joint.chars().count();
        let room = self.width.saturating_sub(taken).max(LEAST_NAME);
        let name = shorten(&self.name(branch.name), room);
        let name = match self.part(branch.own) >= SOME {
            true => painted(TITLE, name),
            false => name,
        };
        let joints = painted(QUIET, format_args!("{prefix}{joint}"));
        self.row(branch.total, Some(branch.own), &format!("{joints}{name}"));
    }

    fn row(&mut self, total: i64, own: Option<i64>, name: &str) {
        let share =
            |value: Option<i64>| value.map_or(String::new(), |value| percent(self.part(value)));
        let style = match self.part(total) {
            part if part >= LARGE => HOT,
            part if part >= SOME => WARM,
            _ => Style::new(),
        };
        let all = painted(style, format_args!("{:>7}", share(Some(total))));
        let own = match self.wish.callers {
            true => String::new(),
            false => format!("  {:>8}", share(own.filter(|&own| own != 0))),
        };
        let value = u64::try_from(total).unwrap_or(0);
        let value = match self.wish.value {
            Value::Bytes | Value::Live | Value::Peak => scaled(value),
            Value::Calls | Value::LiveBlocks | Value::Temporary => grouped(value),
        };
        line(
            &mut self.text,
            format_args!("{all}{own}  {value:>10}  {name}"),
        );
    }

    fn part(&self, value: i64) -> f64 {
        value as f64 / self.total.max(1) as f64
    }

    fn name(&self, name: Name) -> String {
        let Some((name, file, number)) = name else {
            return "[no stack]".to_owned();
        };
        let name = printable(self.profile.text(name));
        match (self.profile.text(file), number) {
            ("", _) | (_, 0) => name,
            (file, number) => {
                let file = file.rsplit('/').next().unwrap_or(file);
                format!("{name} ({}:{number})", printable(file))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::tree::{From, TreeOptions};
    use crate::terminal::paint::plain;
    use skipheap_profile::testing::{of_sites, small};

    const OPTIONS: TreeOptions = TreeOptions {
        tree: Some(From::Roots),
        min_share: None,
        depth: None,
    };

    fn drawn(profile: &Profile, options: &TreeOptions, width: usize) -> String {
        let wish = options.wish(Value::Bytes, false, false).expect("a tree");
        plain(&text(profile, wish, width))
    }

    #[test]
    fn chains_of_calls_are_not_indented() {
        let expected = "  total      self       bytes  calls from the root
100.0 %                4.7 kB  main
 87.7 %    87.7 %      4.1 kB  ├─ read
 12.3 %                 576 B  └─ parse
  9.9 %     9.9 %       464 B     ├─ node_new
  2.4 %                 112 B     └─ list
  2.4 %                 112 B        ╰ list
  2.4 %     2.4 %       112 B        ╰ push
";
        assert_eq!(drawn(&small(), &OPTIONS, 100), expected);
    }

    #[test]
    fn small_parts_and_deep_levels_are_summed_up() {
        let options = TreeOptions {
            min_share: Some(0.1),
            depth: Some(2),
            ..OPTIONS
        };
        let expected = "  total      self       bytes  calls from the root
100.0 %                4.7 kB  main
 87.7 %    87.7 %      4.1 kB  ├─ read
 12.3 %                 576 B  └─ parse
 12.3 %                 576 B     └─ … 2 other functions
";
        assert_eq!(drawn(&small(), &options, 100), expected);
    }

    #[test]
    fn callers_have_no_self() {
        let options = TreeOptions {
            tree: Some(From::Callers),
            ..OPTIONS
        };
        let profile = of_sites(
            "p",
            &[
                (&["main", "a", "take"], 30, 1, 0),
                (&["main", "take"], 10, 1, 0),
            ],
        );
        let expected = "  total       bytes  allocated by, called by
100.0 %        40 B  take
 75.0 %        30 B  ├─ a
 75.0 %        30 B  │  ╰ main
 25.0 %        10 B  └─ main
";
        assert_eq!(drawn(&profile, &options, 100), expected);
    }

    #[test]
    fn lines_fit_the_window_while_there_is_room() {
        let long = "name".repeat(50);
        let profile = of_sites(
            "p",
            &[(&["main", &long, &long], 8, 1, 0), (&["main"], 8, 1, 0)],
        );
        for width in [60, 100, 200] {
            let text = drawn(&profile, &OPTIONS, width);
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert_eq!(longest, Some(width), "{text}");
        }
    }
}
