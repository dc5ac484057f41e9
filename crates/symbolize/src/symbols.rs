//! The functions that contain some addresses, found in one pass over a module's symbols.
//!
//! A report wants a few hundred of the functions of a module that may have half a million: sorting
//! them all would take more time and memory than many a program that is profiled. So the addresses
//! are sorted, and each symbol looks for those that it covers.
//!
//! Symbols overlap: aliases share an address, labels and parts lie inside functions. For each
//! address one symbol is the right one:
//!
//! - A symbol with a size names `[start, start + size)`, except where one that starts later lies
//!   inside.
//! - A symbol without a size (hand-written assembly) names what is left up to the next symbol or
//!   the end of its section; nothing if it lies inside one with a size, or beside one.
//! - Among several symbols at one address, the order is: functions before untyped labels; exported
//!   before local; fewer leading underscores (`malloc` before `__libc_malloc`); strong before weak;
//!   the shorter; the first in the alphabet. Exported ones come early so that a separate debug file
//!   does not change the names.

use super::elf::{Binding, FunctionSymbol, name_at};
use super::object_file::{ObjectFile, StringsAt};
use super::wanted::Wanted;
use std::cmp::Ordering;

/// The function found for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found<'f> {
    /// First address (SVMA).
    pub start: u64,
    /// Mangled name without a symbol version.
    pub name: &'f [u8],
    /// The file does not say how long the function is: its end is a guess.
    pub guessed: bool,
}

/// A symbol that covers an address.
#[derive(Clone, Copy)]
struct Entry<'f> {
    symbol: FunctionSymbol,
    name: &'f [u8],
}

impl<'f> Entry<'f> {
    /// `None` for a symbol without a name.
    fn new(file: &'f ObjectFile, strings: &StringsAt, symbol: FunctionSymbol) -> Option<Self> {
        let name = name_at(file.source(strings.source), &strings.range, symbol.name);
        (!name.is_empty()).then_some(Self { symbol, name })
    }

    fn found(self) -> Found<'f> {
        Found {
            start: self.symbol.start,
            name: self.name,
            guessed: self.symbol.size == 0,
        }
    }
}

/// The functions that contain these addresses, which are sorted and each there once.
pub fn find_all<'f>(file: &'f ObjectFile, addresses: &[u64]) -> Vec<Option<Found<'f>>> {
    let sized = sized(file, &Wanted::new(addresses));
    let mut found: Vec<_> = sized.iter().map(|entry| entry.map(Entry::found)).collect();
    let is_missing = |i: usize| found.get(i).is_some_and(Option::is_none);
    let missing: Vec<(usize, u64)> = addresses
        .iter()
        .copied()
        .enumerate()
        .filter(|(i, _)| is_missing(*i))
        .collect();
    if missing.is_empty() {
        return found;
    }
    let guesses = unsized_ones(
        file,
        &missing.iter().map(|missing| missing.1).collect::<Vec<_>>(),
    );
    // What lies inside of a symbol with a size is a label, and ends nobody knows where.
    let mut starts: Vec<u64> = guesses
        .iter()
        .flatten()
        .map(|guess| guess.symbol.start)
        .collect();
    starts.dedup();
    let around = self::sized(file, &Wanted::new(&starts));
    for ((i, _), guess) in missing.iter().zip(guesses) {
        let Some(guess) = guess else { continue };
        let at = starts.partition_point(|&start| start < guess.symbol.start);
        if let (Some(slot), Some(None)) = (found.get_mut(*i), around.get(at)) {
            *slot = Some(guess.found());
        }
    }
    found
}

/// For each address the right one of the symbols with a size.
fn sized<'f>(file: &'f ObjectFile, wanted: &Wanted<'_>) -> Vec<Option<Entry<'f>>> {
    let mut best: Vec<Option<Entry<'f>>> = vec![None; wanted.addresses().len()];
    file.function_tables(|strings, symbols| {
        for symbol in symbols.filter(|symbol| symbol.size != 0) {
            let covered = wanted.within(symbol.start, symbol.start.saturating_add(symbol.size));
            // The name is only looked at where there is something to name.
            let Some(places) = best.get_mut(covered).filter(|places| !places.is_empty()) else {
                continue;
            };
            let Some(entry) = Entry::new(file, &strings, symbol) else {
                continue;
            };
            for place in places {
                if place.is_none_or(|old| comes_later(&entry, &old) == Ordering::Greater) {
                    *place = Some(entry);
                }
            }
        }
    });
    best
}

/// By start, then by quality.
fn comes_later(a: &Entry<'_>, b: &Entry<'_>) -> Ordering {
    (a.symbol.start.cmp(&b.symbol.start)).then_with(|| worse_first(a, b))
}

/// The symbols that start closest before an address.
#[derive(Default, Clone)]
struct Nearest<'f> {
    start: u64,
    /// One of them has a size: the others do not count.
    is_sized: bool,
    without_size: Vec<Entry<'f>>,
}

/// For each address the symbol without a size that would name it if it lay inside of no other.
fn unsized_ones<'f>(file: &'f ObjectFile, addresses: &[u64]) -> Vec<Option<Entry<'f>>> {
    let wanted = Wanted::new(addresses);
    // Of the symbols between one address and the next, those that start last.
    let mut nearest: Vec<Option<Nearest<'f>>> = vec![None; addresses.len()];
    file.function_tables(|strings, symbols| {
        for symbol in symbols {
            let Some(place) = nearest.get_mut(wanted.from(symbol.start)) else {
                continue;
            };
            if place.as_ref().is_some_and(|near| near.start > symbol.start) {
                continue;
            }
            let near = place.get_or_insert_default();
            if near.start < symbol.start {
                *near = Nearest {
                    start: symbol.start,
                    ..Nearest::default()
                };
            }
            match Entry::new(file, &strings, symbol) {
                Some(_) if symbol.size != 0 => near.is_sized = true,
                Some(entry) => near.without_size.push(entry),
                None => {}
            }
        }
    });
    let mut last: Option<&Nearest<'f>> = None;
    let mut names = Vec::with_capacity(addresses.len());
    for (&address, near) in addresses.iter().zip(&nearest) {
        last = near.as_ref().or(last);
        let candidates = last.map_or(&[][..], |near| match near.is_sized {
            true => &[],
            false => near.without_size.as_slice(),
        });
        let covers = |entry: &&Entry<'_>| address < entry.symbol.section_end;
        names.push(
            candidates
                .iter()
                .filter(covers)
                .copied()
                .max_by(worse_first),
        );
    }
    names
}

/// The order of symbols at one address; see the head of this file.
fn worse_first(a: &Entry<'_>, b: &Entry<'_>) -> Ordering {
    let is_local = |entry: &Entry<'_>| entry.symbol.binding == Binding::Local;
    let better_first = (a.symbol.label.cmp(&b.symbol.label))
        .then_with(|| is_local(a).cmp(&is_local(b)))
        .then_with(|| underscores(a.name).cmp(&underscores(b.name)))
        .then_with(|| a.symbol.binding.cmp(&b.symbol.binding))
        .then_with(|| a.name.len().cmp(&b.name.len()))
        .then_with(|| a.name.cmp(b.name));
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
    use crate::tests::{Sym, elf};
    use proptest::prelude::*;

    fn name_at(list: &[Sym], address: u64) -> Option<String> {
        names_at(list, &[address]).remove(0)
    }

    fn names_at(list: &[Sym], addresses: &[u64]) -> Vec<Option<String>> {
        let file = elf(list);
        let name = |found: Found<'_>| String::from_utf8(found.name.to_vec()).unwrap();
        find_all(&file, addresses)
            .into_iter()
            .map(|found| found.map(name))
            .collect()
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

    /// The rules at the head of the file, one address and all symbols at a time.
    fn by_the_rules(list: &[Sym], address: u64) -> Option<&'static str> {
        let end = |sym: &Sym| sym.start + sym.size;
        let around = |place: u64| {
            let covers = move |sym: &&Sym| sym.start <= place && place < end(sym);
            let covering = || list.iter().filter(|sym| sym.size != 0).filter(covers);
            let last = covering().map(|sym| sym.start).max()?;
            covering().filter(|sym| sym.start == last).max_by(worse)
        };
        if let Some(found) = around(address) {
            return Some(found.name);
        }
        let start = list
            .iter()
            .map(|sym| sym.start)
            .filter(|&start| start <= address)
            .max()?;
        let here = || list.iter().filter(|sym| sym.start == start);
        if here().any(|sym| sym.size != 0) || around(start).is_some() || address >= 0x2000 {
            return None;
        }
        here().max_by(worse).map(|sym| sym.name)
    }

    /// Of symbols of one address, the worse first.
    fn worse(a: &&Sym, b: &&Sym) -> Ordering {
        let key = |sym: &Sym| {
            let (label, local, weak) = sym.attributes();
            let underscores = sym.name.len() - sym.name.trim_start_matches('_').len();
            (label, local, underscores, weak, sym.name.len(), sym.name)
        };
        key(b).cmp(&key(a))
    }

    fn any_symbol() -> impl Strategy<Value = Sym> {
        let name = prop::sample::select(vec!["a", "bb", "_c", "d", "__e", "ff"]);
        let start = prop_oneof![0x1000_u64..0x1040, 0x1ff8_u64..0x2000];
        let size = prop_oneof![Just(0), 1_u64..24, 0x800_u64..0x1000];
        (name, start, size, 0_usize..3, any::<bool>()).prop_map(
            |(name, start, size, binding, label)| {
                let sym = Sym::function(name, start, size);
                let sym = [sym, sym.local(), sym.weak()][binding];
                if label { sym.label() } else { sym }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn one_pass_says_what_the_rules_say(
            list in prop::collection::vec(any_symbol(), 0..20),
            addresses in prop::collection::btree_set(
                prop_oneof![0xff8_u64..0x1068, 0x1ff0_u64..0x2010], 1..30),
        ) {
            let addresses: Vec<u64> = addresses.into_iter().collect();
            let expected: Vec<Option<String>> = addresses
                .iter()
                .map(|&address| by_the_rules(&list, address).map(str::to_owned))
                .collect();
            prop_assert_eq!(names_at(&list, &addresses), expected);
        }
    }
}
