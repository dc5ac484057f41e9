//! The function symbols of a module, sorted for look-up by address.
//!
//! Symbols overlap: aliases share an address, labels and parts lie inside functions. They are
//! flattened once into a list of segments, each with the one symbol that names it, so that a
//! look-up is a binary search:
//!
//! - A symbol with a size names `[start, start + size)`, except where one that starts later lies
//!   inside.
//! - A symbol without a size (hand-written assembly) names what is left up to the next symbol or
//!   the end of its section.
//! - Among several symbols at one address, the order is: functions before untyped labels; exported
//!   before local; fewer leading underscores (`malloc` before `__libc_malloc`); strong before weak;
//!   the shorter; the first in the alphabet. Exported ones come early so that a separate debug file
//!   does not change the names.

use super::elf::{Binding, FunctionSymbol, name_at};
use super::object_file::{ObjectFile, StringsAt};
use std::cmp::Ordering;

/// Sorted symbols.
#[derive(Default)]
pub(crate) struct Symbols {
    strings: Vec<StringsAt>,
    symbols: Vec<Entry>,
    /// Sorted by the first address. Each ends where the next begins.
    segments: Vec<Segment>,
}

#[derive(Clone, Copy)]
struct Entry {
    symbol: FunctionSymbol,
    /// Index into [`Symbols::strings`].
    strings: u32,
    /// Exclusive.
    end: u64,
}

#[derive(Clone, Copy)]
struct Segment {
    start: u64,
    /// Index into [`Symbols::symbols`], or [`NOTHING`].
    symbol: u32,
}

/// In a [`Segment`]: no symbol covers it.
const NOTHING: u32 = u32::MAX;

/// The function found for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found<'f> {
    /// Number of the symbol, by which names can be kept.
    pub(crate) id: u32,
    /// First address (SVMA).
    pub(crate) start: u64,
    /// Mangled name without a symbol version.
    pub(crate) name: &'f [u8],
    /// The file does not say how long the function is: its end is a guess.
    pub(crate) guessed: bool,
}

impl Symbols {
    /// Sorts the symbols of a file.
    pub(crate) fn new(file: &ObjectFile) -> Self {
        let mut this = Self::default();
        file.function_tables(|strings, functions| {
            let index = this.strings.len() as u32;
            this.strings.push(strings);
            this.symbols.extend(functions.map(|symbol| Entry {
                symbol,
                strings: index,
                end: symbol.start.saturating_add(symbol.size),
            }));
        });
        // Indices are 32 bits; a file with more symbols than that is none.
        this.symbols.truncate(NOTHING as usize);
        this.symbols
            .sort_unstable_by_key(|entry| entry.symbol.start);
        this.drop_aliases(file);
        this.flatten();
        this
    }

    fn name<'f>(&self, file: &'f ObjectFile, entry: &Entry) -> &'f [u8] {
        self.strings
            .get(entry.strings as usize)
            .map_or(&[], |strings| {
                name_at(
                    file.source(strings.source),
                    &strings.range,
                    entry.symbol.name,
                )
            })
    }

    /// Of the symbols at one address, keeps the best one of each length, the best of all last;
    /// gives those without a size an end.
    fn drop_aliases(&mut self, file: &ObjectFile) {
        let entries = std::mem::take(&mut self.symbols);
        let mut kept: Vec<Entry> = Vec::with_capacity(entries.len());
        let mut group: Vec<(Entry, &[u8])> = Vec::new();
        let mut groups = entries
            .chunk_by(|a, b| a.symbol.start == b.symbol.start)
            .peekable();
        while let Some(entries) = groups.next() {
            let next = groups
                .peek()
                .and_then(|next| next.first())
                .map_or(u64::MAX, |next| next.symbol.start);
            group.clear();
            group.extend(entries.iter().map(|entry| (*entry, self.name(file, entry))));
            let is_sized = group
                .iter()
                .any(|(entry, name)| entry.symbol.size != 0 && !name.is_empty());
            group.retain(|(entry, name)| !name.is_empty() && (entry.symbol.size != 0) == is_sized);
            group.sort_unstable_by(worse_first);
            let first = kept.len();
            // One that a better one covers entirely is never seen.
            let mut covered = 0;
            for (mut entry, _) in group.iter().rev().copied() {
                if !is_sized {
                    entry.end = next.min(entry.symbol.section_end);
                }
                if entry.end > covered {
                    covered = entry.end;
                    kept.push(entry);
                }
            }
            if let Some(group) = kept.get_mut(first..) {
                group.reverse();
            }
        }
        self.symbols = kept;
    }

    /// Makes the segments.
    fn flatten(&mut self) {
        let mut segments: Vec<Segment> = Vec::with_capacity(self.symbols.len());
        // Symbols that the sweep is inside of, the innermost last.
        let mut open: Vec<(u32, u64)> = Vec::new();
        for (index, entry) in (0_u32..).zip(&self.symbols) {
            close(&mut segments, &mut open, entry.symbol.start);
            if entry.symbol.size == 0 && !open.is_empty() {
                continue;
            }
            push(
                &mut segments,
                Segment {
                    start: entry.symbol.start,
                    symbol: index,
                },
            );
            open.push((index, entry.end));
        }
        close(&mut segments, &mut open, u64::MAX);
        self.segments = segments;
    }

    /// The function that contains an address.
    pub(crate) fn find<'f>(&self, file: &'f ObjectFile, address: u64) -> Option<Found<'f>> {
        let behind = self
            .segments
            .partition_point(|segment| segment.start <= address);
        let segment = self.segments.get(behind.checked_sub(1)?)?;
        let entry = self.symbols.get(segment.symbol as usize)?;
        Some(Found {
            id: segment.symbol,
            start: entry.symbol.start,
            name: self.name(file, entry),
            guessed: entry.symbol.size == 0,
        })
    }
}

/// Ends the symbols that end up to an address.
fn close(segments: &mut Vec<Segment>, open: &mut Vec<(u32, u64)>, address: u64) {
    while let Some(&(_, end)) = open.last() {
        if end > address {
            return;
        }
        // Those around it that ended inside it are over, too.
        while open.last().is_some_and(|around| around.1 <= end) {
            open.pop();
        }
        push(
            segments,
            Segment {
                start: end,
                symbol: open.last().map_or(NOTHING, |around| around.0),
            },
        );
    }
}

/// Adds a segment; it replaces one of no length.
fn push(segments: &mut Vec<Segment>, segment: Segment) {
    match segments.last_mut() {
        Some(last) if last.start == segment.start => *last = segment,
        _ => segments.push(segment),
    }
}

/// The order of symbols at one address; see the head of this file.
fn worse_first((a, a_name): &(Entry, &[u8]), (b, b_name): &(Entry, &[u8])) -> Ordering {
    let is_local = |entry: &Entry| entry.symbol.binding == Binding::Local;
    let better_first = (a.symbol.label.cmp(&b.symbol.label))
        .then_with(|| is_local(a).cmp(&is_local(b)))
        .then_with(|| underscores(a_name).cmp(&underscores(b_name)))
        .then_with(|| a.symbol.binding.cmp(&b.symbol.binding))
        .then_with(|| a_name.len().cmp(&b_name.len()))
        .then_with(|| a_name.cmp(b_name))
        .then_with(|| b.end.cmp(&a.end));
    better_first.reverse()
}

/// Leading underscores, without that of a mangled name.
fn underscores(name: &[u8]) -> usize {
    match name {
        [b'_', b'Z' | b'R', ..] => 0,
        _ => name.iter().take_while(|&&c| c == b'_').count(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbolize::tests::{Sym, elf};
    use proptest::prelude::*;

    fn name_at(list: &[Sym], address: u64) -> Option<String> {
        let file = elf(list);
        let symbols = Symbols::new(&file);
        symbols
            .find(&file, address)
            .map(|found| String::from_utf8(found.name.to_vec()).unwrap())
    }

    #[test]
    fn sizes_bound_functions_and_gaps_have_no_name() {
        let list = [
            Sym::function("a", 0x1000, 0x10),
            Sym::function("asm", 0x1020, 0).local(),
            Sym::function("b", 0x1040, 8).local(),
            Sym::function("end", 0x1ff0, 0),
        ];
        for (address, name) in [
            (0xfff, None),
            (0x1000, Some("a")),
            (0x100f, Some("a")),
            (0x1010, None),
            (0x101f, None),
            (0x1020, Some("asm")),
            (0x103f, Some("asm")),
            (0x1040, Some("b")),
            (0x1047, Some("b")),
            (0x1048, None),
            (0x1fff, Some("end")),
            (0x2000, None),
            (u64::MAX, None),
        ] {
            assert_eq!(name_at(&list, address).as_deref(), name, "{address:#x}");
        }
    }

    #[test]
    fn among_aliases_the_plain_exported_name_wins() {
        let list = [
            Sym::function("__libc_malloc", 0x1000, 8),
            Sym::function("m", 0x1000, 8).local(),
            Sym::function("label", 0x1000, 0),
            Sym::function("a", 0x1000, 8).label(),
            Sym::function("malloc@@GLIBC_2.2.5", 0x1000, 8),
            Sym::function("mallocs", 0x1000, 8).weak(),
        ];
        assert_eq!(name_at(&list, 0x1004).as_deref(), Some("malloc"));
        let list = [
            Sym::function("__write", 0x1000, 8),
            Sym::function("write", 0x1000, 8).weak(),
        ];
        assert_eq!(name_at(&list, 0x1004).as_deref(), Some("write"));
        let list = [
            Sym::function("zz", 0x1000, 8),
            Sym::function("a", 0x1000, 8).weak(),
        ];
        assert_eq!(name_at(&list, 0x1004).as_deref(), Some("zz"));
    }

    #[test]
    fn what_lies_inside_a_function_hides_only_its_own_part() {
        let list = [
            Sym::function("outer", 0x1000, 0x100),
            Sym::function("inner", 0x1010, 4).local(),
            Sym::function("label", 0x1020, 0).label().local(),
            Sym::function("short", 0x1000, 4).local(),
        ];
        assert_eq!(name_at(&list, 0x1002).as_deref(), Some("outer"));
        assert_eq!(name_at(&list, 0x1013).as_deref(), Some("inner"));
        assert_eq!(name_at(&list, 0x1014).as_deref(), Some("outer"));
        assert_eq!(name_at(&list, 0x1050).as_deref(), Some("outer"));
        assert_eq!(name_at(&list, 0x1100), None);
    }

    proptest! {
        #[test]
        fn the_segments_say_what_a_search_of_all_symbols_says(
            list in prop::collection::vec((0x1000_u64..0x1040, 1_u64..24, 0_usize..3), 0..20),
            address in 0xff8_u64..0x1068,
        ) {
            let names = ["a", "bb", "_c"];
            let list: Vec<Sym> =
                list.iter().map(|&(start, size, name)| Sym::function(names[name], start, size)).collect();
            // The one that starts last, then the best name of those that cover the address.
            let expected = list
                .iter()
                .filter(|sym| sym.start <= address && address < sym.start + sym.size)
                .max_by_key(|sym| (sym.start, std::cmp::Reverse(names.iter().position(|name| *name == sym.name))))
                .map(|sym| sym.name.to_owned());
            prop_assert_eq!(name_at(&list, address), expected);
        }
    }
}
