//! The stacks of a row or a function.

use super::names::{NO_NAME, Names};
use super::rows::Rows;
use skipheap_format::layout::{
    CUT_NO_UNWIND_INFO, CUT_TOO_DEEP, CUT_UNPROVED, CUT_UNREADABLE, CUT_UNSUPPORTED,
};
use skipheap_format::reader::Recording;
use skipheap_symbolize::hash::FastMap;
use std::cmp::Reverse;

/// Stacks that are shown.
const MOST: usize = 100;

/// A stack and what came from it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stack {
    /// Allocations that were recorded.
    pub(crate) calls: u64,
    /// Names of the functions, innermost first.
    pub(crate) names: Vec<String>,
    /// Allocation function.
    pub(crate) function: String,
}

/// The stacks of these rows that allocated most, and how many there are.
pub(crate) fn of_rows(
    wanted: &[u32],
    rows: &Rows,
    recording: &Recording<'_>,
    names: &mut Names,
) -> (Vec<Stack>, usize) {
    let mut calls: FastMap<(Vec<u32>, u16), u64> = FastMap::default();
    for site in rows.sites_of(wanted, recording) {
        // A copy that does not have all of it yet has it the next time.
        let Ok(frames) = recording.stack(&site) else {
            continue;
        };
        *calls.entry((frames, site.function)).or_default() += site.count;
    }
    // Places in the same functions are one.
    names.look_up(
        recording,
        calls.keys().flat_map(|(frames, _)| frames.iter().copied()),
    );
    let mut stacks: FastMap<(Vec<String>, u16), u64> = FastMap::default();
    for ((frames, function), calls) in calls {
        let named = frames.iter().map(|&id| name_of(id, names)).collect();
        *stacks.entry((named, function)).or_default() += calls;
    }
    let all = stacks.len();
    let mut stacks: Vec<Stack> = stacks
        .into_iter()
        .map(|((names, function), calls)| Stack {
            calls,
            names,
            function: recording
                .function_name(function)
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .unwrap_or_default(),
        })
        .collect();
    stacks.sort_by(|a, b| (Reverse(a.calls), &a.names).cmp(&(Reverse(b.calls), &b.names)));
    stacks.truncate(MOST);
    (stacks, all)
}

fn name_of(id: u32, names: &Names) -> String {
    match id {
        CUT_NO_UNWIND_INFO => "… (no unwind information)".to_owned(),
        CUT_UNREADABLE => "… (the stack cannot be followed)".to_owned(),
        CUT_TOO_DEEP => "… (too deep)".to_owned(),
        CUT_UNPROVED => "… (frame pointer not proved)".to_owned(),
        CUT_UNSUPPORTED => "… (unwind information not followed)".to_owned(),
        _ => match names.number(id) {
            None | Some(NO_NAME) => "?".to_owned(),
            Some(number) => names.name(number).to_string(),
        },
    }
}
