//! Where in the source that is being checked a site is: of its frames the innermost one, inlined functions
//! included, in a file of the project. What allocates for it is in libraries.

use super::evidence::Names;
use crate::diff::names::without_addresses;
use skipheap_profile::{NONE, Profile};
use std::collections::HashMap;
use std::rc::Rc;

/// A place in the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Rc<str>,
    /// The line.
    pub line: u32,
    /// The function, where it is known.
    pub function: Option<Rc<str>>,
}

/// Places by the names of a site; of several the one with the most bytes.
pub type Places = HashMap<Names, Place>;

/// Finds the places. `is_ours` tells files of the project from others.
pub fn places(profile: &Profile, is_ours: impl Fn(&str) -> bool) -> Places {
    let mut ours: HashMap<u32, bool> = HashMap::new();
    let mut names: HashMap<u32, Rc<str>> = HashMap::new();
    let mut found: HashMap<Names, (u64, Place)> = HashMap::new();
    for site in &profile.sites {
        let place = profile.stack(site.node).find_map(|(_, node)| {
            let frame = profile.frame(node);
            let function = profile.function(frame);
            let file = function.file;
            let is_known = file != 0 && frame.line != 0;
            let is_ours = is_known
                && *ours
                    .entry(file)
                    .or_insert_with(|| is_ours(profile.text(file)));
            is_ours.then_some((file, frame.line, function.name))
        });
        let Some((file, line, function)) = place else {
            continue;
        };
        let stack = profile.call_site(site.node).map(|function| {
            let function = (function != NONE).then(|| profile.functions[function as usize])?;
            let name = names
                .entry(function.name)
                .or_insert_with(|| without_addresses(profile.text(function.name)).into());
            Some(Rc::clone(name))
        });
        let place = Place {
            file: profile.text(file).into(),
            line,
            function: Some(profile.text(function).into()),
        };
        let place = (site.bytes(), place);
        let largest = found.entry(stack).or_insert_with(|| place.clone());
        if place.0 > largest.0 {
            *largest = place;
        }
    }
    found
        .into_iter()
        .map(|(stack, (_, place))| (stack, place))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_profile::testing::small;

    #[test]
    fn the_innermost_frame_in_a_file_of_the_project_is_the_place() {
        let mut profile = small();
        let places = super::places(&profile, |file| file == "src/main.c");
        let stack: Names = [
            Some("node_new".into()),
            Some("parse".into()),
            Some("main".into()),
            None,
        ];
        // Frames of the test profile have lines from 10 on, the outermost first.
        let place = |line, function: &str| Place {
            file: "src/main.c".into(),
            line,
            function: Some(function.into()),
        };
        assert_eq!(places.get(&stack), Some(&place(12, "node_new")));
        assert_eq!(places.len(), 3);
        assert!(super::places(&profile, |_| false).is_empty());
        // A library in between.
        let function = profile
            .functions
            .iter()
            .position(|function| profile.text(function.name) == "node_new");
        let function = function.expect("there");
        profile.functions[function].file = 0;
        let places = super::places(&profile, |file| file == "src/main.c");
        assert_eq!(places.get(&stack), Some(&place(11, "parse")));
    }
}
