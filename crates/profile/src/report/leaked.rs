//! Blocks that the leak check found, as every report counts them: directly and indirectly lost apart.

use super::figures::Rate;
use skipheap_format::layout::LeakRecord;
use skipheap_format::reader::Recording;
use skipheap_symbolize::hash::FastMap;

/// Blocks to which the program has no pointer any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "profiles", derive(serde::Serialize, serde::Deserialize))]
pub struct Leaked {
    /// Blocks to which no other lost block leads. Of blocks in a ring it is one.
    pub direct: u64,
    /// Blocks to which only lost blocks lead, such as the rest of a list.
    pub indirect: u64,
}

impl Leaked {
    /// The blocks of a record.
    fn of(record: &LeakRecord) -> Self {
        let indirect = record.indirect.min(record.blocks);
        Self {
            direct: record.blocks - indirect,
            indirect,
        }
    }

    /// Blocks of both kinds.
    pub fn all(self) -> u64 {
        self.direct.saturating_add(self.indirect)
    }

    /// Adds others.
    pub fn add(&mut self, other: Self) {
        self.direct = self.direct.saturating_add(other.direct);
        self.indirect = self.indirect.saturating_add(other.indirect);
    }

    /// From blocks of a sample to an estimate of the whole.
    pub(super) fn scale(&mut self, rate: Rate, size: u64) {
        self.direct = rate.whole(self.direct, size);
        self.indirect = rate.whole(self.indirect, size);
    }

    /// Hands so many blocks over to `to`, those that are directly lost first.
    pub(super) fn hand(&mut self, to: &mut Self, blocks: u64) {
        let direct = blocks.min(self.direct);
        let indirect = (blocks - direct).min(self.indirect);
        self.direct -= direct;
        self.indirect -= indirect;
        to.add(Self { direct, indirect });
    }
}

/// What the leak check of a recording found, by site.
pub struct LeaksBySite(Option<FastMap<u64, Leaked>>);

impl LeaksBySite {
    /// Reads it.
    pub fn new(recording: &Recording<'_>) -> Self {
        Self(recording.leaks().map(|leaks| {
            let mut sites: FastMap<u64, Leaked> = FastMap::default();
            for leak in leaks {
                sites.entry(leak.site).or_default().add(Leaked::of(&leak));
            }
            sites
        }))
    }

    /// The leaked blocks of the site whose record lies at `offset`; `None` where no check was made.
    pub fn of(&self, offset: u64) -> Option<Leaked> {
        let sites = self.0.as_ref()?;
        Some(sites.get(&offset).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_record_that_says_more_than_all_blocks_nothing_is_made_up() {
        let record = |blocks, indirect| LeakRecord {
            site: 0,
            blocks,
            indirect,
            reserved: 0,
        };
        let leaked = |direct, indirect| Leaked { direct, indirect };
        assert_eq!(Leaked::of(&record(5, 2)), leaked(3, 2));
        assert_eq!(Leaked::of(&record(5, 9)), leaked(0, 5));
        assert_eq!(leaked(u64::MAX, 1).all(), u64::MAX);
    }

    #[test]
    fn what_is_handed_over_is_lost_nowhere() {
        let mut from = Leaked {
            direct: 2,
            indirect: 3,
        };
        let mut to = Leaked::default();
        from.hand(&mut to, 4);
        assert_eq!((from.all(), to.direct, to.indirect), (1, 2, 2));
        from.hand(&mut to, 9);
        assert_eq!((from.all(), to.all()), (0, 5));
    }
}
