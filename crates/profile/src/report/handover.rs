//! Frees go to the thread that allocated.
//!
//! Each thread counts what it frees in its own record of a site, also where another thread had allocated the
//! block. In a report by threads that would be blocks that live for ever in one row, and less than
//! none in another. Which thread a freed block came from is not recorded; but a record with more frees than
//! allocations has freed others' blocks, and where one other thread alone used the site, they were its.
//! Of several the one with the lowest number gives first, as many as it has, so that no row's live count
//! falls below zero and all sums stay as they are. The same is done with the shares in the peak.

use super::figures::{Lifetimes, LiveSums};
use super::leaked::Leaked;

/// One thread's share in a site.
pub struct Share {
    /// The thread's number.
    pub thread: u32,
    /// Its figures.
    pub live: LiveSums,
}

/// Returns whether there is something that belongs to others.
pub fn owes(live: &LiveSums) -> bool {
    let leaked = live.leaked.map_or(0, Leaked::all);
    live.frees > live.followed || live.at_peak < 0 || leaked > live.live()
}

/// Hands over what belongs to others. All shares are of the same site; each thread has one.
pub fn hand_over(shares: &mut [Share]) {
    shares.sort_by_key(|share| share.thread);
    for from in 0..shares.len() {
        for to in 0..shares.len() {
            if let Ok([from, to]) = shares.get_disjoint_mut([from, to]) {
                hand_frees(&mut from.live, &mut to.live);
                hand_peak(&mut from.live, &mut to.live);
            }
        }
    }
    hand_leaks(shares);
}

fn hand_frees(from: &mut LiveSums, to: &mut LiveSums) {
    let excess = from.frees.saturating_sub(from.followed);
    let moved = excess.min(to.live());
    if moved == 0 {
        return;
    }
    let all = from.frees;
    from.frees -= moved;
    to.frees += moved;
    if let (Some(from), Some(to)) = (&mut from.lifetimes, &mut to.lifetimes) {
        hand_lifetimes(from, to, moved, all);
    }
}

/// The lifetimes of `moved` of `all` frees. The oldest go first: what another thread frees has been handed
/// to it.
fn hand_lifetimes(from: &mut Lifetimes, to: &mut Lifetimes, moved: u64, all: u64) {
    let hand = |from: &mut [u64], to: &mut [u64]| {
        // Times are of a part of the blocks only.
        let counted = from.iter().map(|&n| u128::from(n)).sum::<u128>();
        let part = (counted * u128::from(moved)).div_ceil(u128::from(all));
        let mut rest = u64::try_from(part).unwrap_or(u64::MAX);
        for (from, to) in from.iter_mut().zip(to).rev() {
            let part = rest.min(*from);
            *from -= part;
            *to += part;
            rest -= part;
        }
    };
    hand(&mut from.ages, &mut to.ages);
    hand(&mut from.times, &mut to.times);
}

/// Hands over lost blocks: the records that they lead to are those of the state that their thread had,
/// whose counts went to the thread's name when it ended. No share keeps more than its blocks that are
/// alive while others have too few.
fn hand_leaks(shares: &mut [Share]) {
    for from in 0..shares.len() {
        for to in 0..shares.len() {
            let Ok([from, to]) = shares.get_disjoint_mut([from, to]) else {
                continue;
            };
            let (has, can_have) = (from.live.live(), to.live.live());
            let Some(owed) = &mut from.live.leaked else {
                continue;
            };
            let known = to.live.leaked.get_or_insert_default();
            let excess = owed.all().saturating_sub(has);
            owed.hand(known, excess.min(can_have.saturating_sub(known.all())));
        }
    }
}

fn hand_peak(from: &mut LiveSums, to: &mut LiveSums) {
    let missing = from.at_peak.min(0).unsigned_abs();
    let moved = missing.min(to.peak()) as i64;
    from.at_peak += moved;
    to.at_peak -= moved;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn share(thread: u32, followed: u64, frees: u64, at_peak: i64) -> Share {
        let mut lifetimes = Box::<Lifetimes>::default();
        lifetimes.ages[0] = frees / 2;
        lifetimes.ages[3] = frees - frees / 2;
        lifetimes.times[7] = frees;
        Share {
            thread,
            live: LiveSums {
                followed,
                frees,
                at_peak,
                lifetimes: Some(lifetimes),
                ..LiveSums::default()
            },
        }
    }

    fn frees(shares: &[Share]) -> Vec<u64> {
        shares.iter().map(|share| share.live.frees).collect()
    }

    #[test]
    fn what_one_thread_freed_of_the_only_other_is_the_others() {
        let mut shares = [share(2, 0, 5, -3), share(1, 8, 1, 4)];
        hand_over(&mut shares);
        assert_eq!(frees(&shares), [6, 0]);
        assert_eq!(shares[0].live.at_peak, 1);
        let lifetimes = shares[0].live.lifetimes.as_ref().expect("there");
        assert_eq!((lifetimes.ages[0], lifetimes.ages[3]), (2, 4));
        assert_eq!(lifetimes.times[7], 6);
    }

    #[test]
    fn of_several_each_gives_what_it_has() {
        let mut shares = [share(1, 2, 1, 0), share(2, 4, 0, 0), share(3, 1, 5, 0)];
        hand_over(&mut shares);
        assert_eq!(frees(&shares), [2, 3, 1]);
    }

    #[test]
    fn lost_blocks_are_those_of_who_has_blocks() {
        let lost = |indirect: [u64; 3]| {
            // The second has the records, and has ended like the others.
            let mut shares = [share(1, 10, 4, 0), share(2, 0, 0, 0), share(3, 5, 0, 0)];
            for (share, indirect) in shares.iter_mut().zip(indirect) {
                share.live.leaked = Some(Leaked {
                    direct: 0,
                    indirect,
                });
            }
            assert!(owes(&shares[1].live) && !owes(&shares[0].live));
            hand_over(&mut shares);
            shares.map(|share| share.live.indirectly_leaked())
        };
        assert_eq!(lost([0, 9, 1]), [6, 0, 4]);
        // Of a sample nothing is known for certain: nothing is lost.
        assert_eq!(lost([0, 90, 1]), [6, 80, 5]);
    }

    fn any_share() -> impl Strategy<Value = (u64, u64, i64)> {
        (0_u64..20, 0_u64..20, -9_i64..20)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nobody_owes_while_others_have(
            all in prop::collection::vec(any_share(), 0..6),
        ) {
            let mut shares: Vec<Share> = (1..)
                .zip(&all)
                .map(|(thread, &(followed, frees, at_peak))| share(thread, followed, frees, at_peak))
                .collect();
            hand_over(&mut shares);
            prop_assert_eq!(frees(&shares).iter().sum::<u64>(), all.iter().map(|s| s.1).sum::<u64>());
            let peak: i64 = shares.iter().map(|share| share.live.at_peak).sum();
            prop_assert_eq!(peak, all.iter().map(|s| s.2).sum::<i64>());
            for share in &shares {
                let lifetimes = share.live.lifetimes.as_ref().unwrap();
                prop_assert_eq!(lifetimes.ages.iter().sum::<u64>(), share.live.frees);
                prop_assert_eq!(lifetimes.times.iter().sum::<u64>(), share.live.frees);
            }
            let followed: u64 = all.iter().map(|s| s.0).sum();
            if frees(&shares).iter().sum::<u64>() <= followed {
                prop_assert!(shares.iter().all(|share| share.live.frees <= share.live.followed));
            }
            if peak >= 0 {
                prop_assert!(shares.iter().all(|share| share.live.at_peak >= 0));
            }
        }
    }
}
