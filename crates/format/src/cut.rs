//! Why stacks end before their root.

use crate::codes::codes;

codes! {
    /// Why a stack was cut. The numbers are those of the markers in recordings
    /// ([`crate::layout::CUT_NO_UNWIND_INFO`] and the next ones).
    Cut {
        /// At code without unwind information.
        NoUnwindInfo = 1,
        /// At stack memory that cannot be read, or at a frame that does not lead towards the root.
        Unreadable = 2,
        /// After the longest walk.
        TooDeep = 3,
        /// At code without unwind information, where the frame pointer is not proved to be one.
        Unproved = 4,
        /// At unwind information of a kind that is not followed.
        Unsupported = 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::*;

    #[test]
    fn the_codes_are_the_markers() {
        let markers = [
            CUT_NO_UNWIND_INFO,
            CUT_UNREADABLE,
            CUT_TOO_DEEP,
            CUT_UNPROVED,
            CUT_UNSUPPORTED,
        ];
        let codes: Vec<u32> = Cut::ALL.iter().map(|cut| cut.code()).collect();
        assert_eq!(codes, markers);
        assert_eq!(codes.last(), Some(&LAST_CUT));
    }
}
