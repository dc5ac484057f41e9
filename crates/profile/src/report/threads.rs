//! What the threads of a recording are called.

use super::frames::FrameNames;
use skipheap_format::reader::{Apart, FormatError, Recording};
use skipheap_symbolize::Symbolizer;
use skipheap_text::printable;

/// The threads' names by number. One that was given no name of its own has that of the main thread,
/// and in brackets the function that it started with or, where that is not known, a number.
///
/// # Errors
/// When a thread refers to a frame that the recording does not hold.
pub fn thread_names(
    recording: &Recording<'_>,
    frames: &mut FrameNames<'_, '_>,
    symbolizer: &mut Symbolizer,
) -> Result<Vec<(u32, String)>, FormatError> {
    let starts = recording.threads().filter_map(|thread| match thread.apart {
        Apart::Start(frame) => Some(frame),
        Apart::Named | Apart::Number(_) => None,
    });
    frames.prepare(starts, symbolizer, None)?;
    let mut names = Vec::new();
    for thread in recording.threads() {
        let mut name = printable(thread.name);
        match thread.apart {
            Apart::Named => {}
            Apart::Start(frame) => {
                name = format!("{name} ({})", frames.name(frame, symbolizer)?);
            }
            Apart::Number(number) => name = format!("{name} (thread {number})"),
        }
        names.push((thread.number, name));
    }
    Ok(names)
}
