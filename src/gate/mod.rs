//! The gate that stops regressions: a run, or several of the same program, judged by a baseline, limits and
//! budgets.
//!
//! A *site* of the gate is four names; its sizes are taken together, since texts and buffers are of other
//! sizes in the next run. Of several runs the least counts as the new state and, of a baseline that was made
//! of several, the most as the old one: what varies between runs is no regression. Pure, but for
//! [`config`], which reads a file.

pub(crate) mod baseline;
pub(crate) mod budget;
pub(crate) mod config;
pub(crate) mod evidence;
pub(crate) mod limit;
pub(crate) mod out;
pub(crate) mod places;
pub(crate) mod repository;
mod spellings;
#[cfg(test)]
mod tests;
pub(crate) mod verdict;
mod words;
