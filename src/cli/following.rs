//! Options of a run about what is recorded of each allocation: how much of its stack, what becomes of the
//! block, and of which allocations at all.

use clap::Args;
use skipheap_config::settings::{
    LEAK_CHECK, LIVE, SAMPLE, SAMPLE_VALUES, STACK_DEPTH, STACK_DEPTH_VALUES, STOPPED,
    sample_bytes, stack_depth,
};
use std::ffi::OsString;

/// What the library is told of it.
#[derive(Args, Debug, Default, Clone)]
pub(crate) struct Following {
    /// Record N frames of each stack, or all with `full` (SKIP_HEAP_STACK_DEPTH; default: 4).
    ///
    /// Formats that need whole stacks imply `full`, and so do C++ and Rust programs built without
    /// optimisation, whose innermost four frames are all containers. The CSV shows at most four
    /// frames.
    #[arg(long, value_name = "N|full", value_parser = depth)]
    pub(crate) stack_depth: Option<String>,
    /// Track each block until it is freed: peak, lifetimes, unfreed blocks (SKIP_HEAP_LIVE).
    #[arg(long)]
    pub(crate) live: bool,
    /// When the program ends, search for blocks that no pointer leads to (SKIP_HEAP_LEAK_CHECK).
    ///
    /// Implies --live and whole stacks. Any word that could be a pointer is treated as one, so the
    /// check may miss leaks.
    #[arg(long)]
    pub(crate) leak_check: bool,
    /// Record only a sample: about one allocation per BYTES, such as 524288 or 512K
    /// (SKIP_HEAP_SAMPLE).
    ///
    /// Totals are then estimates, and reports give their standard error.
    #[arg(long, value_name = "BYTES", value_parser = sample)]
    pub(crate) sample: Option<String>,
    /// Start without recording, until the program or `skip-heapprof start` starts it
    /// (SKIP_HEAP_STOPPED).
    #[arg(long)]
    pub(crate) stopped: bool,
}

fn depth(text: &str) -> Result<String, String> {
    match stack_depth(Some(text.as_bytes())) {
        Some(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Err(format!("it must be {STACK_DEPTH_VALUES}")),
    }
}

fn sample(text: &str) -> Result<String, String> {
    match sample_bytes(Some(text.as_bytes())) {
        Some(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Err(format!("it must be {SAMPLE_VALUES}")),
    }
}

impl Following {
    /// These options, and those of `outer` where they are silent.
    pub(crate) fn or(self, outer: Self) -> Self {
        Self {
            stack_depth: self.stack_depth.or(outer.stack_depth),
            live: self.live || outer.live,
            leak_check: self.leak_check || outer.leak_check,
            sample: self.sample.or(outer.sample),
            stopped: self.stopped || outer.stopped,
        }
    }

    /// The variables that tell the library.
    pub(crate) fn variables(&self) -> Vec<(&'static str, OsString)> {
        let switch = |on: bool| on.then(|| OsString::from("1"));
        let given = [
            (STACK_DEPTH, self.stack_depth.clone().map(Into::into)),
            (LIVE, switch(self.live)),
            (LEAK_CHECK, switch(self.leak_check)),
            (SAMPLE, self.sample.clone().map(Into::into)),
            (STOPPED, switch(self.stopped)),
        ];
        given
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect()
    }
}

/// What a report cannot do without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// More than four frames.
    pub(crate) whole_stacks: bool,
    /// What became of the blocks.
    pub(crate) live: bool,
}

/// The variables to add to those that were given, so that there is what a report needs. What the
/// user has set stays, by option or in the environment, which `value` asks.
pub(crate) fn additions(
    needs: Needs,
    value: impl Fn(&str) -> Option<OsString>,
) -> Vec<(&'static str, OsString)> {
    let is_set = |name: &str| value(name).is_some_and(|value| !value.is_empty());
    let checks = value(LEAK_CHECK).is_some_and(|value| value == "1");
    let mut variables: Vec<(&'static str, OsString)> = Vec::new();
    if (needs.whole_stacks || checks) && !is_set(STACK_DEPTH) {
        variables.push((STACK_DEPTH, "full".into()));
    }
    if needs.live && !is_set(LIVE) {
        variables.push((LIVE, "1".into()));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_refused_with_what_is_right() {
        assert_eq!(depth("full").as_deref(), Ok("full"));
        assert_eq!(sample("512K").as_deref(), Ok("512K"));
        for bad in ["", "0", "1025", "deep"] {
            let error = depth(bad).unwrap_err();
            assert!(error.contains("1 to 1024, or full"), "{error}");
        }
        for bad in ["", "-1", "1/2"] {
            assert!(sample(bad).unwrap_err().contains("512K"), "{bad}");
        }
    }

    #[test]
    fn what_a_report_needs_is_turned_on_unless_the_user_knows_better() {
        let all = Needs {
            whole_stacks: true,
            live: true,
        };
        let nothing = |_: &str| None;
        assert_eq!(
            additions(all, nothing),
            [(STACK_DEPTH, "full".into()), (LIVE, "1".into())]
        );
        assert_eq!(additions(Needs::default(), nothing), []);
        let user = |name: &str| match name {
            STACK_DEPTH => Some("9".into()),
            LIVE => Some("0".into()),
            _ => None,
        };
        assert_eq!(additions(all, user), []);
        let check = |name: &str| (name == LEAK_CHECK).then(|| "1".into());
        assert_eq!(
            additions(Needs::default(), check),
            [(STACK_DEPTH, "full".into())]
        );
    }
}
