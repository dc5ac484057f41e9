//! Which calls are nested: made from inside a hooked function, whose own call counts.
//!
//! Readers leave the sites of nested calls out, and the library leaves their blocks out of what it
//! sums up. Both decide by this rule, so that rows and totals are sums of the same allocations.

use super::layout::{FRAME_CALLEE_SHIFT, FRAME_EXACT, FRAME_HOOKED};

/// Returns whether a call is nested. `function` is the index of the function that was called;
/// `frames` are the flags of the stack's frames ([`super::layout::FrameRecord::flags`]), innermost
/// first.
///
/// A frame that lies in a hooked function says so. A hooked function may also have passed the call
/// on by a jump, which leaves no frame: then the call instruction at the innermost frame names
/// another hooked function than the one that was reached.
pub fn is_nested(function: u16, frames: impl Iterator<Item = u32>) -> bool {
    let mut frames = frames.peekable();
    let callee = frames
        .peek()
        .map_or(0, |flags| (flags >> FRAME_CALLEE_SHIFT) as u16);
    if callee != 0 && callee != function {
        return true;
    }
    // A signal handler is not called by what it interrupted.
    frames
        .take_while(|flags| flags & FRAME_EXACT == 0)
        .any(|flags| flags & FRAME_HOOKED != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: u32 = 0;

    fn calls(function: u32) -> u32 {
        function << FRAME_CALLEE_SHIFT
    }

    #[test]
    fn a_frame_in_a_hooked_function_makes_a_call_nested() {
        assert!(is_nested(0, [PLAIN, FRAME_HOOKED].into_iter()));
        assert!(!is_nested(0, [PLAIN, PLAIN].into_iter()));
        assert!(!is_nested(0, std::iter::empty()));
    }

    #[test]
    fn what_a_signal_handler_interrupted_does_not_call_it() {
        assert!(!is_nested(
            0,
            [PLAIN, FRAME_EXACT | FRAME_HOOKED, FRAME_HOOKED].into_iter()
        ));
    }

    #[test]
    fn a_call_that_was_passed_on_by_a_jump_names_another_function() {
        assert!(is_nested(11, [calls(10), PLAIN].into_iter()));
        assert!(!is_nested(10, [calls(10), PLAIN].into_iter()));
        // Only the innermost frame called the function that was reached.
        assert!(!is_nested(11, [PLAIN, calls(10)].into_iter()));
    }
}
