//! Converts a profile to collapsed stacks.

use super::Profile;
use crate::report::collapsed::{Stacks, Style, Value};
use skipheap_symbolize::places::Place;
use std::rc::Rc;

/// The stacks of a profile, with estimates where it is of samples.
pub fn stacks(profile: &Profile, style: Style) -> Stacks {
    let mut stacks = Stacks::new(style);
    let texts: Vec<Rc<str>> = profile
        .strings
        .iter()
        .map(|text| Rc::from(&**text))
        .collect();
    let mut ends = Vec::with_capacity(profile.nodes.len());
    for node in &profile.nodes {
        let frame = profile.frame(node);
        let function = profile.function(frame);
        let place = Place {
            function: Some(Rc::clone(&texts[function.name as usize])),
            file: (function.file != 0).then(|| Rc::clone(&texts[function.file as usize])),
            line: (frame.line != 0).then_some(frame.line),
        };
        let above = ends.get(node.parent as usize).copied();
        ends.push(stacks.below(above, &place));
    }
    let highest = profile.highest();
    for site in profile.estimated_stacks().iter() {
        if style.value == Value::Peak && highest != Some(site.process) {
            continue;
        }
        let end = ends.get(site.node as usize).copied();
        stacks.add_value(end, site.size, &site.figures);
    }
    stacks
}
