//! Budgets: what functions of some names may allocate, whatever the baseline says.

use super::config::WrittenBudget;
use super::evidence::{Site, Sum};
use globset::{GlobBuilder, GlobMatcher};

/// A budget that can be asked.
#[derive(Debug)]
pub(crate) struct Budget {
    /// As it is written.
    pub(crate) written: WrittenBudget,
    matcher: GlobMatcher,
}

impl Budget {
    /// Compiles the glob. In names nothing separates: `*` stands for any text.
    ///
    /// # Errors
    /// When it is no glob.
    pub(crate) fn new(written: WrittenBudget) -> Result<Self, globset::Error> {
        let glob = GlobBuilder::new(&written.glob)
            .literal_separator(false)
            .backslash_escape(true)
            .build()?;
        Ok(Self {
            matcher: glob.compile_matcher(),
            written,
        })
    }

    /// Is a site's memory that of these functions: does one of its four names match, with or without
    /// parameters?
    pub(crate) fn covers(&self, site: &Site) -> bool {
        let mut names = site.names.iter().flatten();
        names.any(|name| {
            self.matcher.is_match(&**name) || self.matcher.is_match(without_parameters(name))
        })
    }

    /// The figures of each run over all sites that are covered, and how many these are.
    pub(crate) fn sums(&self, sites: &[Site], runs: usize) -> (usize, Vec<Sum>) {
        let mut sums = vec![Sum::default(); runs];
        let mut count = 0;
        for site in sites.iter().filter(|site| self.covers(site)) {
            count += 1;
            for (sum, of_site) in sums.iter_mut().zip(&site.runs) {
                sum.add(of_site);
            }
        }
        (count, sums)
    }
}

/// `a::b` of `a::b(int, c<d>) const`.
fn without_parameters(name: &str) -> &str {
    const ANONYMOUS: &str = "(anonymous namespace)";
    // Of the same length, so that offsets hold.
    let masked = name.replace(ANONYMOUS, &"a".repeat(ANONYMOUS.len()));
    match masked.find('(') {
        Some(at) if at > 0 => &name[..at],
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::config::Amounts;

    fn covers(glob: &str, name: &str) -> bool {
        let budget = Budget::new(WrittenBudget {
            glob: glob.into(),
            line: 1,
            amounts: Amounts::default(),
        });
        let site = Site {
            names: [Some("malloc".into()), Some(name.into()), None, None],
            ..Site::default()
        };
        budget.expect("a glob").covers(&site)
    }

    #[test]
    fn any_name_of_a_site_may_match() {
        assert!(covers("parser::*", "parser::a::b"));
        assert!(covers("parser::*", "parser::a(std::string const&)"));
        assert!(covers("parser::run", "parser::run(int)"));
        assert!(covers("*", "x/y"));
        assert!(covers("mal?oc", "x"));
        assert!(!covers("parser::*", "my_parser::a"));
        assert!(!covers("parser", "parser::a"));
    }

    #[test]
    fn parameters_may_be_left_out() {
        for (name, expected) in [
            ("f", "f"),
            ("a::f(int)", "a::f"),
            ("(anonymous namespace)::f(int)", "(anonymous namespace)::f"),
            ("(x)", "(x)"),
        ] {
            assert_eq!(without_parameters(name), expected, "{name}");
        }
    }
}
