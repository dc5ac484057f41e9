//! Which functions are not responsible for what they allocate: what the user says of it.
//!
//! ```toml
//! # skipheap.toml
//! [plumbing]
//! add = ["arena_take", "mylib::Pool::*"]
//! remove = ["xmalloc"]
//! ```

use crate::config_file;
use crate::error::{Code, Failure};
use clap::Args;
use skipheap_compare::gate::config::WrittenPlumbing as Written;
use skipheap_profile::functions::correct_plumbing;
use skipheap_responsible::Plumbing;

/// Options that correct the table of plumbing.
#[derive(Args, Debug, Default, Clone)]
pub(crate) struct PlumbingOptions {
    /// Hold functions that match GLOBS responsible for what they allocate, although they are known
    /// as plumbing.
    ///
    /// Plumbing is what allocates for its callers: allocation wrappers (xmalloc, g_malloc),
    /// containers and runtimes (std::, alloc::), and wrappers that are found in the data. The CSV
    /// does not depend on it. In skipheap.toml, `[plumbing]` has lists `add` and `remove`.
    #[arg(long, value_name = "GLOBS", global = true)]
    pub(crate) no_trim: Vec<String>,
    /// Further plumbing, from the `--trim` of the command.
    #[arg(skip)]
    pub(crate) trim: Vec<String>,
}

/// Globs that are separated by `;` or white space, as names in C++ have commas.
fn globs(texts: &[String]) -> impl Iterator<Item = String> {
    let globs = texts
        .iter()
        .flat_map(|text| text.split(|c: char| c == ';' || c.is_whitespace()));
    globs.filter(|glob| !glob.is_empty()).map(str::to_owned)
}

impl PlumbingOptions {
    /// The table with these corrections and those of skipheap.toml, over which options take precedence.
    ///
    /// # Errors
    /// When skipheap.toml has a mistake.
    pub(crate) fn read(&self) -> Result<Plumbing, Failure> {
        let config = config_file::read(None).map_err(|error| Failure {
            code: Code::Unusable,
            error: error.into(),
        })?;
        let plumbing = self.with(config.plumbing);
        correct_plumbing(plumbing.clone());
        Ok(plumbing)
    }

    fn with(&self, written: Written) -> Plumbing {
        let added: Vec<String> = globs(&self.trim).collect();
        let removed: Vec<String> = globs(&self.no_trim).collect();
        let of_file = written
            .remove
            .into_iter()
            .filter(|glob| !added.contains(glob));
        let removed = removed.into_iter().chain(of_file).collect::<Vec<_>>();
        Plumbing::corrected(added.into_iter().chain(written.add), removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_responsible::Kind;

    #[test]
    fn options_take_precedence_over_the_file() {
        let options = PlumbingOptions {
            trim: vec!["take;pool::*".to_owned(), "xcalloc".to_owned()],
            no_trim: vec!["xrealloc".to_owned()],
        };
        let plumbing = options.with(Written {
            add: vec!["grow".to_owned(), "xrealloc".to_owned()],
            remove: vec!["xmalloc".to_owned(), "xcalloc".to_owned()],
        });
        let own = ["xmalloc", "xrealloc", "main"];
        let not = ["take", "pool::get", "grow", "xcalloc"];
        assert!(own.iter().all(|name| plumbing.kind(name) == Kind::Own));
        assert!(not.iter().all(|name| plumbing.kind(name) == Kind::Wrapper));
    }
}
