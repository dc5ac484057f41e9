//! The gate that stops regressions: a run, or several of the same program, judged by a baseline, limits and
//! budgets.
//!
//! A *site* of the gate is four names; its sizes are taken together, since texts and buffers are of other
//! sizes in the next run. Of several runs the least counts as the new state and, of a baseline that was made
//! of several, the most as the old one: what varies between runs is no regression. Nothing
//! here asks the file system: which paths are whose, [`out::ReviewPaths`] is asked.

pub mod baseline;
pub mod budget;
pub mod config;
pub mod evidence;
pub mod limit;
pub mod out;
pub mod places;
mod spellings;
#[cfg(test)]
mod tests;
pub mod verdict;
mod words;
