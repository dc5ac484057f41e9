//! How many allocations have a stack that was cut.

use skipheap_format::layout::{CUT_NO_UNWIND_INFO, LAST_CUT};
use skipheap_format::reader::Recording;
use skipheap_symbolize::hash::FastMap;

/// Allocations whose stacks were cut, by the reason: from [`CUT_NO_UNWIND_INFO`] to
/// [`LAST_CUT`].
pub type Cuts = [u64; (LAST_CUT - CUT_NO_UNWIND_INFO + 1) as usize];

/// Counts the allocations whose stacks were cut.
pub fn cuts(recording: &Recording<'_>) -> Cuts {
    let mut cuts = Cuts::default();
    let reasons = CUT_NO_UNWIND_INFO..=LAST_CUT;
    // The marker stands at the root, which is not among the innermost frames of a long stack.
    let mut cut_stacks: FastMap<u32, u32> = FastMap::default();
    for (id, node) in recording.stack_nodes() {
        let reason = match node.parent {
            0 => reasons.contains(&node.frame).then_some(node.frame),
            parent => cut_stacks.get(&parent).copied(),
        };
        cut_stacks.extend(reason.map(|reason| (id, reason)));
    }
    for site in recording.sites() {
        let marker = site.frames.iter().find(|id| reasons.contains(id));
        if let Some(id) = marker.or_else(|| cut_stacks.get(&site.node)) {
            let index = (id - CUT_NO_UNWIND_INFO) as usize;
            if let Some(count) = cuts.get_mut(index) {
                *count = count.saturating_add(site.count);
            }
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing::Builder;
    use skipheap_format::layout::{CUT_TOO_DEEP, Header, SiteRecord, WHOLE_STACKS};

    #[test]
    fn a_cut_is_found_at_the_root_of_a_long_stack() {
        let mut builder = Builder::new();
        builder.put(std::mem::offset_of!(Header, flags), WHOLE_STACKS);
        let cut = [900, 901, 902, 903, 904, CUT_NO_UNWIND_INFO];
        let stacks = builder.stacks(&[cut.to_vec(), cut[..5].to_vec(), vec![CUT_TOO_DEEP]]);
        let site = |(&node, count): (&u32, u64)| SiteRecord {
            frames: [0, 0, node, 0],
            size: 8,
            count,
        };
        let sites: Vec<SiteRecord> = stacks.iter().zip([2, 3, 4]).map(site).collect();
        builder.sites(1, &sites);
        let bytes = builder.finish(0);
        assert_eq!(
            cuts(&Recording::parse(&bytes).expect("parsed")),
            [2, 0, 4, 0, 0]
        );
    }
}
