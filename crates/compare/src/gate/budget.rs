//! Budgets: what functions of some names may allocate, whatever the baseline says.

use super::config::WrittenBudget;
use super::evidence::{Site, Sum};
use super::spellings::spellings;
use globset::{GlobBuilder, GlobSet};

/// A budget that can be asked.
#[derive(Debug)]
pub struct Budget {
    /// As it is written.
    pub written: WrittenBudget,
    matcher: GlobSet,
}

impl Budget {
    /// Compiles the glob. In names nothing separates: `*` stands for any text.
    ///
    /// # Errors
    /// When it is no glob, or larger than what can be matched in a few megabytes.
    pub fn new(written: WrittenBudget) -> Result<Self, globset::Error> {
        let build = |glob: &str| {
            GlobBuilder::new(glob)
                .literal_separator(false)
                .backslash_escape(true)
                .build()
        };
        // An empty class is none: it is part of a name, as in `operator[]`.
        let glob = build(&written.glob)
            .or_else(|error| build(&written.glob.replace("[]", "\\[\\]")).map_err(|_| error))?;
        // A set of one: a single matcher panics where the glob is too large to compile.
        let matcher = GlobSet::builder().add(glob).build()?;
        Ok(Self { matcher, written })
    }

    /// Returns whether these functions allocated a site's memory: one of its four names matches, as
    /// it is, without parameters, or without its return type. A name that is the glob, letter by
    /// letter, matches too: those of Rust have brackets and braces.
    pub fn covers(&self, site: &Site) -> bool {
        let mut names = site.names.iter().flatten();
        names.any(|name| {
            let mut spellings = spellings(name).into_iter().flatten();
            spellings.any(|name| name == self.written.glob || self.matcher.is_match(name))
        })
    }

    /// The figures of each run over all sites that are covered, and how many these are.
    pub fn sums(&self, sites: &[Site], runs: usize) -> (usize, Vec<Sum>) {
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
    fn a_glob_that_is_too_large_is_refused() {
        let many = (0..400_000).map(|i| format!("f{i}*g")).collect::<Vec<_>>();
        let written = WrittenBudget {
            glob: format!("{{{}}}", many.join(",")),
            line: 1,
            amounts: Amounts::default(),
        };
        assert!(Budget::new(written).is_err());
    }

    #[test]
    fn functions_are_found_under_the_names_they_are_known_by() {
        for (glob, name) in [
            ("app::tmpl<int>", "void* app::tmpl<int>(int)"),
            ("app::*", "void* app::tmpl<int>(int)"),
            ("app::F::operator()", "app::F::operator()(int)"),
            ("app::*", "app::F::operator()(int) const"),
            ("app::W<int (int)>::run", "app::W<int (int)>::run(int)"),
            ("app::*", "app::W<int (int)>::run(int)"),
            ("A::operator[]", "A::operator[](unsigned long)"),
        ] {
            assert!(covers(glob, name), "{glob}: {name}");
        }
        assert!(!covers("app", "void* app::tmpl<int>(int)"));
    }

    #[test]
    fn a_name_matches_itself_whatever_it_means_as_a_glob() {
        for name in [
            "m::f::{closure#0}",
            "<[T]>::to_vec",
            "m::{lambda(int)#1}::operator()(int) const",
            "f::<[u8; 4]>",
        ] {
            assert!(covers(name, name), "{name}");
        }
        assert!(!covers("m::f::{closure#0}", "m::f::{closure#1}"));
    }
}
