//! Known names, looked for among all the names of an object file.
//!
//! A file has up to a million symbols, and the names in question are some hundred: where the file has
//! a hash table for the loader, each name takes one look; elsewhere the first bytes sort out nearly
//! all symbols.

/// Bytes of a name by which most others are told from it.
const START: usize = 4;
/// Bits of the filter, a power of two.
const BITS: usize = 1024;

/// A set of names.
pub struct Names {
    list: Vec<Name>,
    /// A bit for each hash of the first bytes of a name.
    starts: [u64; BITS / 64],
}

/// A name and its hash in the manner of GNU hash tables.
pub struct Name {
    /// The name.
    pub text: &'static [u8],
    /// Its hash.
    pub hash: u32,
}

impl Names {
    /// None of them is shorter than four bytes.
    pub fn new(names: impl Iterator<Item = &'static str>) -> Self {
        let mut starts = [0; BITS / 64];
        let list = names.map(|name| {
            let text = name.as_bytes();
            if let Some(bit) = start_bit(text)
                && let Some(word) = starts.get_mut(bit / 64)
            {
                *word |= 1_u64 << (bit % 64);
            }
            Name {
                text,
                hash: gnu_hash(text),
            }
        });
        Self {
            list: list.collect(),
            starts,
        }
    }

    /// All of them.
    pub fn list(&self) -> &[Name] {
        &self.list
    }

    /// Returns whether bytes may begin with one of the names.
    pub fn may_begin(&self, text: &[u8]) -> bool {
        let word = |bit: usize| self.starts.get(bit / 64).copied().unwrap_or(0);
        start_bit(text).is_some_and(|bit| word(bit) >> (bit % 64) & 1 != 0)
    }
}

/// Which bit stands for the first bytes of a name; `None` when there are not so many.
fn start_bit(text: &[u8]) -> Option<usize> {
    let start = u32::from_le_bytes(*text.first_chunk::<START>()?);
    Some((start.wrapping_mul(0x9E37_79B9) >> (32 - BITS.ilog2())) as usize)
}

fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381_u32, |hash, &c| {
        hash.wrapping_mul(33).wrapping_add(u32::from(c))
    })
}

/// A section of the type `SHT_GNU_HASH`: untrusted input.
pub struct HashTable<'d> {
    bloom: &'d [[u8; 8]],
    shift: u32,
    buckets: &'d [[u8; 4]],
    /// Index of the first symbol that is in it.
    first: u32,
    chains: &'d [[u8; 4]],
}

impl<'d> HashTable<'d> {
    /// `None` for what is none.
    pub fn parse(section: &'d [u8]) -> Option<Self> {
        let (header, rest) = section.split_first_chunk::<16>()?;
        let (words, _) = header.as_chunks::<4>();
        let &[buckets, first, bloom, shift] = words else {
            return None;
        };
        let len = |word: [u8; 4]| u32::from_le_bytes(word) as usize;
        let (bloom, rest) = rest.split_at_checked(len(bloom).checked_mul(8)?)?;
        let (buckets, chains) = rest.split_at_checked(len(buckets).checked_mul(4)?)?;
        let table = Self {
            bloom: bloom.as_chunks().0,
            shift: u32::from_le_bytes(shift),
            buckets: buckets.as_chunks().0,
            first: u32::from_le_bytes(first),
            chains: chains.as_chunks().0,
        };
        let is_usable = !table.bloom.is_empty() && !table.buckets.is_empty() && table.shift < 32;
        is_usable.then_some(table)
    }

    /// Calls `f` with the indices of the symbols that may have the name with this hash, until it
    /// returns `None`.
    pub fn each(&self, hash: u32, mut f: impl FnMut(usize) -> Option<()>) {
        let mut look = || {
            let word = u64::from_le_bytes(*self.bloom.get(hash as usize / 64 % self.bloom.len())?);
            let bits = 1 << (hash % 64) | 1 << ((hash >> self.shift) % 64);
            if word & bits != bits {
                return None;
            }
            let bucket = self.buckets.get(hash as usize % self.buckets.len())?;
            let start = u32::from_le_bytes(*bucket).checked_sub(self.first)? as usize;
            for (i, found) in self.chains.get(start..)?.iter().enumerate() {
                let found = u32::from_le_bytes(*found);
                if found | 1 == hash | 1 {
                    f(self.first as usize + start + i)?;
                }
                if found & 1 != 0 {
                    return None;
                }
            }
            None::<()>
        };
        look();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_starts_of_names_pass() {
        let names = Names::new(["malloc", "_Znwm"].into_iter());
        assert!(names.may_begin(b"malloc\0") && names.may_begin(b"_Znwm"));
        assert!(names.may_begin(b"mallet"));
        assert!(!names.may_begin(b"free\0") && !names.may_begin(b"_ZN") && !names.may_begin(b""));
    }

    #[test]
    fn tables_that_lie_lead_nowhere() {
        let word = |value: u32| value.to_le_bytes();
        let hash = gnu_hash(b"malloc");
        let bloom = [word(!0), word(!0)].concat();
        let table = |buckets: u32, first: u32, bucket: u32, chain: u32| {
            let header = [word(buckets), word(first), word(1), word(5)].concat();
            [
                header,
                bloom.clone(),
                word(bucket).to_vec(),
                word(chain).to_vec(),
            ]
            .concat()
        };
        let found = |section: &[u8]| {
            let mut found = Vec::new();
            if let Some(table) = HashTable::parse(section) {
                table.each(hash, |index| {
                    found.push(index);
                    Some(())
                });
            }
            found
        };
        assert_eq!(found(&table(1, 7, 7, hash | 1)), [7]);
        // Another hash; a bucket in front of the first, and one behind the last symbol; no buckets.
        assert_eq!(found(&table(1, 7, 7, !hash | 1)), [0; 0]);
        assert_eq!(found(&table(1, 7, 6, hash | 1)), [0; 0]);
        assert_eq!(found(&table(1, 7, u32::MAX, hash | 1)), [0; 0]);
        assert_eq!(found(&table(0, 7, 7, hash | 1)), [0; 0]);
        assert_eq!(found(&table(u32::MAX, 7, 7, hash | 1)), [0; 0]);
        // A chain without an end.
        assert_eq!(found(&table(1, 7, 7, hash & !1)), [7]);
        assert_eq!(found(b"short"), [0; 0]);
    }
}
