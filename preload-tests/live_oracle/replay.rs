//! Replays a log: what the figures have to be, from the words of their definitions alone.

use super::figures::{Figures, Key, Sites};
use super::log::{Event, FIRST_FREE, REALLOCS};
use skipheap_format::layout::{AGES, SHORTEST_TIME_LOG2, TIMES};
use std::collections::HashMap;

/// A block that has not been freed.
#[derive(Clone, Copy)]
struct Block {
    key: Key,
    thread: u32,
    /// Its number among the allocations of its thread.
    number: u64,
    /// When it was allocated.
    ns: u64,
}

/// What one event did.
#[derive(Default)]
struct Change {
    died: Option<Key>,
    born: Option<Key>,
}

/// The heap at one moment of the log.
#[derive(Default)]
struct Heap {
    blocks: HashMap<u64, Block>,
    /// Allocations so far, by thread.
    made: HashMap<u32, u64>,
    /// Live bytes.
    bytes: u64,
    /// Frees of blocks of which no allocation was seen.
    unknown_frees: u64,
    sites: Sites,
    times: [u64; TIMES],
}

/// A log's outcome.
pub(crate) struct Replay {
    pub(crate) sites: Sites,
    /// Most live bytes after any event.
    pub(crate) peak_bytes: u64,
    pub(crate) unknown_frees: u64,
    /// Freed blocks by age in time.
    pub(crate) times: [u64; TIMES],
    /// Allocations by thread, in rising order of the counts.
    pub(crate) by_thread: Vec<u64>,
}

/// Age 0 is bucket 0, and bucket k has the ages from 2^(k-1) to 2^k - 1.
fn bucket(age: u64) -> usize {
    (0..AGES - 1).find(|&k| age < 1 << k).unwrap_or(AGES - 1)
}

/// Bucket 0 ends at `1 << SHORTEST_TIME_LOG2` nanoseconds, each next one at twice as many.
fn time_bucket(ns: u64) -> usize {
    (0..TIMES - 1)
        .find(|&k| ns >> SHORTEST_TIME_LOG2 < 1 << k)
        .unwrap_or(TIMES - 1)
}

impl Heap {
    fn event(&mut self, event: &Event) -> Change {
        let mut change = Change::default();
        let is_realloc = REALLOCS.contains(&event.function);
        let frees = event.function >= FIRST_FREE;
        // A realloc that gave nothing has failed and changed nothing, unless the size was 0: that frees.
        let dies = frees || is_realloc && (event.result != 0 || event.requested == 0);
        let mut old = None;
        if event.old != 0 && dies {
            old = self.blocks.remove(&event.old);
            match old {
                Some(block) => self.died(&block, event),
                None => self.unknown_frees += 1,
            }
            change.died = old.map(|block| block.key);
        }
        if event.result != 0 {
            change.born = Some(self.born(event, old));
        }
        change
    }

    fn died(&mut self, block: &Block, event: &Event) {
        let figures = self.sites.entry(block.key).or_default();
        let age = self.made[&block.thread] - block.number;
        figures.frees += 1;
        figures.temporary += u64::from(event.thread == block.thread && age == 0);
        figures.ages[bucket(age)] += 1;
        self.times[time_bucket(event.ns - block.ns)] += 1;
        self.bytes -= block.key.size;
    }

    fn born(&mut self, event: &Event, old: Option<Block>) -> Key {
        let made = self.made.entry(event.thread).or_default();
        *made += 1;
        assert_eq!(*made, event.allocations, "the log has a gap: {event:?}");
        let key = Key {
            function: event.function,
            caller: event.caller,
            size: event.requested,
        };
        let figures = self.sites.entry(key).or_default();
        figures.calls += 1;
        figures.slack += event.usable - event.requested;
        if let Some(old) = old.filter(|old| old.key.size < event.requested) {
            figures.grown += 1;
            if event.old != event.result {
                figures.copied += old.key.size;
            }
        }
        let block = Block {
            key,
            thread: event.thread,
            number: *made,
            ns: event.ns,
        };
        let two = self.blocks.insert(event.result, block);
        assert!(two.is_none(), "a block was handed out twice: {event:?}");
        self.bytes += event.requested;
        key
    }
}

/// Computes everything that a log says.
pub(crate) fn replay(events: &[Event]) -> Replay {
    let mut heap = Heap::default();
    let mut peak_bytes = 0;
    for event in events {
        heap.event(event);
        peak_bytes = heap.bytes.max(peak_bytes);
    }
    let mut by_thread: Vec<u64> = heap.made.into_values().collect();
    by_thread.sort_unstable();
    Replay {
        sites: heap.sites,
        peak_bytes,
        unknown_frees: heap.unknown_frees,
        times: heap.times,
        by_thread,
    }
}

/// How far `shares` (live blocks by key) is from the live heap at the moment at which it is nearest,
/// in bytes, among the moments at which at least `least` bytes were live.
pub(crate) fn distance(events: &[Event], least: u64, shares: &HashMap<Key, i64>) -> Option<u64> {
    let mut heap = Heap::default();
    // What is missing (below 0: too much) at each key, and the sum of the bytes.
    let mut missing = shares.clone();
    let mut off: u64 = missing
        .iter()
        .map(|(key, blocks)| key.size * blocks.unsigned_abs())
        .sum();
    let mut nearest = None;
    for event in events {
        let change = heap.event(event);
        for (key, step) in [(change.died, 1), (change.born, -1)] {
            let Some(key) = key else { continue };
            let blocks = missing.entry(key).or_default();
            off -= key.size * blocks.unsigned_abs();
            *blocks += step;
            off += key.size * blocks.unsigned_abs();
        }
        if heap.bytes >= least && nearest.is_none_or(|nearest| off < nearest) {
            nearest = Some(off);
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    const MALLOC: u32 = 0;
    const REALLOC: u32 = 2;
    const FREE: u32 = FIRST_FREE;

    /// Events of threads, with the thread's allocations filled in.
    fn events(calls: &[(u32, u32, u64, u64, u64)]) -> Vec<Event> {
        let mut made = HashMap::new();
        let event = |&(thread, function, old, result, requested): &(u32, u32, u64, u64, u64)| {
            let made: &mut u64 = made.entry(thread).or_default();
            *made += u64::from(result != 0);
            Event {
                old,
                result,
                requested,
                usable: requested + 3,
                caller: 7,
                allocations: *made,
                thread,
                function,
                ns: 0,
            }
        };
        calls.iter().map(event).collect()
    }

    fn of(replay: &Replay, function: u32, size: u64) -> Figures {
        let key = Key {
            function,
            caller: 7,
            size,
        };
        replay.sites[&key].clone()
    }

    #[test]
    fn ages_are_in_powers_of_two() {
        let ages = [0, 1, 2, 3, 4, 7, 8, (1 << 24) - 1, 1 << 24, 1 << 40];
        assert_eq!(ages.map(bucket), [0, 1, 2, 2, 3, 3, 4, 24, 25, 25]);
        let times = [0, 1023, 1024, 2047, 2048, 1 << 62];
        assert_eq!(times.map(time_bucket), [0, 0, 1, 1, 2, TIMES - 1]);
    }

    #[test]
    fn a_block_is_temporary_only_to_its_own_thread() {
        let replay = replay(&events(&[
            (1, MALLOC, 0, 0x10, 8),
            (1, FREE, 0x10, 0, 0),
            (1, MALLOC, 0, 0x10, 8),
            (2, FREE, 0x10, 0, 0),
            (1, MALLOC, 0, 0x10, 8),
            (1, MALLOC, 0, 0x20, 9),
            (2, MALLOC, 0, 0x30, 9),
            (1, FREE, 0x10, 0, 0),
        ]));
        let eight = of(&replay, MALLOC, 8);
        assert_eq!((eight.calls, eight.frees, eight.temporary), (3, 3, 1));
        assert_eq!(eight.ages[..3], [2, 1, 0]);
        assert_eq!(eight.slack, 9);
        assert_eq!(replay.by_thread, [1, 4]);
        assert_eq!(replay.peak_bytes, 26);
    }

    #[test]
    fn realloc_frees_grows_fails_and_copies() {
        let replay = replay(&events(&[
            (1, REALLOC, 0, 0x10, 8),
            (1, REALLOC, 0x10, 0x10, 20),
            (1, REALLOC, 0x10, 0x40, 30),
            (1, REALLOC, 0x40, 0x50, 5),
            (1, REALLOC, 0x50, 0, 1 << 46),
            (1, REALLOC, 0x50, 0, 0),
            (1, REALLOC, 0x99, 0, 0),
        ]));
        assert_eq!(of(&replay, REALLOC, 8).grown, 0);
        let (twenty, thirty) = (of(&replay, REALLOC, 20), of(&replay, REALLOC, 30));
        assert_eq!((twenty.grown, twenty.copied), (1, 0));
        assert_eq!((thirty.grown, thirty.copied), (1, 20));
        let five = of(&replay, REALLOC, 5);
        assert_eq!((five.grown, five.copied, five.frees), (0, 0, 1));
        assert_eq!(replay.unknown_frees, 1);
        assert_eq!(replay.peak_bytes, 30);
    }

    #[test]
    fn the_nearest_heap_is_found() {
        let log = events(&[
            (1, MALLOC, 0, 0x10, 8),
            (1, MALLOC, 0, 0x20, 100),
            (1, FREE, 0x10, 0, 0),
            (1, MALLOC, 0, 0x30, 4),
        ]);
        let key = |size| Key {
            function: MALLOC,
            caller: 7,
            size,
        };
        let shares = |pairs: &[(u64, i64)]| pairs.iter().map(|&(s, n)| (key(s), n)).collect();
        let nearest = |least, pairs: &[(u64, i64)]| distance(&log, least, &shares(pairs));
        assert_eq!(nearest(100, &[(8, 1), (100, 1)]), Some(0));
        assert_eq!(nearest(105, &[(100, 1)]), Some(8));
        assert_eq!(nearest(100, &[(100, 1)]), Some(0));
        assert_eq!(nearest(100, &[(100, 1), (4, -1)]), Some(4));
        assert_eq!(nearest(200, &[]), None);
    }
}
