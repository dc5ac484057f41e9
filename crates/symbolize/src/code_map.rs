//! Functions that were made at run time, by address.
//!
//! A JIT uses the room of code that it has thrown away again. A recording does not say when a stack
//! was seen, so of several functions that were at a place the last one names it.

use std::rc::Rc;

/// A function.
pub struct Entry {
    /// First address.
    pub start: u64,
    /// Exclusive.
    pub end: u64,
    /// When it was made: of two entries for one place, the later one is right.
    pub made: u64,
    /// Never empty.
    pub name: Rc<str>,
}

/// The functions of one process.
pub struct CodeMap {
    entries: Vec<Entry>,
    /// Largest `end` of the entries up to each one, to know where a search backwards ends.
    reach: Vec<u64>,
}

impl CodeMap {
    /// Sorts the functions; of those made at the same time the last is the latest.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.retain(|entry| entry.end > entry.start && !entry.name.is_empty());
        entries.sort_by_key(|entry| (entry.start, entry.made));
        let reach = entries
            .iter()
            .scan(0, |furthest, entry| {
                *furthest = entry.end.max(*furthest);
                Some(*furthest)
            })
            .collect();
        Self { entries, reach }
    }

    /// The function that contains an address, by its start and name.
    pub fn find(&self, address: u64) -> Option<(u64, &Rc<str>)> {
        let behind = self.entries.partition_point(|entry| entry.start <= address);
        let mut best: Option<&Entry> = None;
        for (entry, reach) in self.entries.iter().zip(&self.reach).take(behind).rev() {
            if *reach <= address {
                break;
            }
            if address < entry.end && best.is_none_or(|best| best.made < entry.made) {
                best = Some(entry);
            }
        }
        best.map(|entry| (entry.start, &entry.name))
    }
}
