//! Maps ids of a recording's stack nodes to nodes of a profile. Ids are added in ascending order
//! and mostly without gaps.

/// A map from ascending ids to numbers.
#[derive(Default)]
pub(super) struct Ends {
    /// The start of each run of consecutive ids: its first id, and that id's position in the list.
    runs: Vec<(u32, u32)>,
    nodes: Vec<u32>,
}

impl Ends {
    /// Adds the number of an id. An id that is not larger than all before it is ignored.
    pub(super) fn push(&mut self, id: u32, node: u32) {
        let len = self.nodes.len() as u32;
        match self.runs.last() {
            Some(&(first, start)) if id < first.saturating_add(len - start) => return,
            Some(&(first, start)) if id == first.saturating_add(len - start) => {}
            _ => self.runs.push((id, len)),
        }
        self.nodes.push(node);
    }

    /// Returns the number of an id.
    pub(super) fn get(&self, id: u32) -> Option<u32> {
        let next = self.runs.partition_point(|run| run.0 <= id);
        let &(first, start) = self.runs.get(next.checked_sub(1)?)?;
        let end = self
            .runs
            .get(next)
            .map_or(self.nodes.len(), |run| run.1 as usize);
        let index = start as usize + (id - first) as usize;
        (index < end).then(|| self.nodes.get(index).copied())?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_found_on_both_sides_of_a_gap() {
        let mut ends = Ends::default();
        for (id, node) in [(5, 50), (6, 60), (9, 90), (10, 100), (11, 110)] {
            ends.push(id, node);
        }
        ends.push(6, 61);
        let found: Vec<_> = (4..13).map(|id| ends.get(id)).collect();
        let (a, b) = ([Some(50), Some(60)], [Some(90), Some(100), Some(110)]);
        assert_eq!(found, [&[None], &a[..], &[None; 2], &b, &[None]].concat());
    }
}
