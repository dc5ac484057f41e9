//! How much of a recording goes into a profile. Details that a report does not show would only cost
//! time and memory.

/// The parts of a recording that a report needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The number of frames of each stack.
    pub stacks: Depth,
    /// Which frames get source lines and inlined functions. These require debug information to be
    /// read.
    pub lines: Lines,
    /// What distinguishes sites.
    pub sites: Grouping,
    /// Whether the process has sums of what [`Grouping::Size`] omits from its sites: bytes by
    /// thread, and ages of freed blocks.
    pub totals: bool,
    /// The number of stacks, those with the most leaked bytes, that get lines and inlined functions
    /// whatever [`Self::lines`] is.
    pub leaks: usize,
}

/// The number of frames that are needed of each stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The innermost four, with direct recursion collapsed.
    CallSite,
    /// As many as the run was asked to show.
    Shown,
    /// All that were recorded.
    Whole,
}

/// Which frames get lines and inlined functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// None.
    Nowhere,
    /// The innermost of each stack.
    Innermost,
    /// All.
    Everywhere,
}

/// What distinguishes sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Stack and size.
    Size,
    /// Stack, size, thread and allocation function. Each site has the ages of its freed blocks.
    Origin,
}

impl Detail {
    /// Everything that is known.
    pub const EVERYTHING: Self = Self {
        stacks: Depth::Shown,
        lines: Lines::Everywhere,
        sites: Grouping::Origin,
        totals: false,
        leaks: 0,
    };
    /// Names and sizes of call sites: no debug information is read.
    pub const CALL_SITES: Self = Self {
        stacks: Depth::CallSite,
        lines: Lines::Nowhere,
        sites: Grouping::Size,
        totals: false,
        leaks: 0,
    };
    /// Call sites, and where each allocation comes from.
    pub const ORIGINS: Self = Self {
        stacks: Depth::CallSite,
        lines: Lines::Innermost,
        sites: Grouping::Origin,
        totals: false,
        leaks: 0,
    };
    /// Stacks and sizes.
    pub const STACKS: Self = Self {
        stacks: Depth::Shown,
        lines: Lines::Everywhere,
        sites: Grouping::Size,
        totals: false,
        leaks: 0,
    };

    /// Names of whole stacks, and lines of the `most` stacks with the most leaked bytes.
    pub const fn leaks(most: usize) -> Self {
        Self {
            stacks: Depth::Whole,
            lines: Lines::Nowhere,
            sites: Grouping::Size,
            totals: false,
            leaks: most,
        }
    }
}
