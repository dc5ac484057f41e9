//! How much of a recording goes into a profile. What a report does not show would cost it time and
//! memory.

/// What of a recording is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail {
    /// How many frames of each stack.
    pub stacks: Depth,
    /// Which frames have lines and inlined functions, which takes the reading of debug information.
    pub lines: Lines,
    /// What tells sites apart.
    pub sites: Grouping,
    /// Whether the process has the sums of what [`Grouping::Size`] leaves out of its sites: bytes by
    /// thread, and ages of freed blocks.
    pub totals: bool,
    /// So many stacks with the most leaked bytes have lines and inlined functions, whatever
    /// [`Self::lines`] is.
    pub leaks: usize,
}

/// How many frames of each stack are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// The innermost four, direct recursion once.
    CallSite,
    /// As many as were to be shown when the program was run.
    Shown,
    /// All that were recorded.
    Whole,
}

/// Which frames have lines and inlined functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// None.
    Nowhere,
    /// The innermost of each stack.
    Innermost,
    /// All.
    Everywhere,
}

/// What tells sites apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grouping {
    /// Stack and size.
    Size,
    /// The thread and the allocation function, too. Each site has ages of its freed blocks.
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

    /// Names of whole stacks, and lines of these many with the most leaked bytes.
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
