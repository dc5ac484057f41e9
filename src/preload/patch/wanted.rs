//! What is to be hooked: the user's specifications and the built-in sets, matched with the
//! functions of the loaded objects.
//!
//! Runs in cold sections.

use super::builtin::{self, NESTED, OF_LIBRARY, OPERATORS, SETS};
use super::clone_size::Words;
use super::find::{Object, Symbol};
use super::trampoline::Told;
use crate::live::regions::EVENTS;
use memchr::memmem;
use skipheap_config::hook_spec::{HookSpec, Nested, SizeOf};
use skipheap_config::settings::{AllocatorKind, Allocators};
use skipheap_symbolize::demangle::demangle;
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::names::Names;
use skipheap_text::glob;

/// A function that is to be hooked.
pub(crate) struct Target {
    /// Address in memory.
    pub(crate) start: u64,
    pub(crate) size: u64,
    pub(crate) name: Vec<u8>,
    pub(crate) is_indirect: bool,
    pub(crate) bytes: Bytes,
    pub(crate) nested: Nested,
    pub(crate) asked_by: AskedBy,
    pub(crate) told: Told,
}

/// How many bytes a call asks for.
pub(crate) enum Bytes {
    /// A term of its arguments.
    Of(SizeOf),
    /// What the type of the Skip object says that is its second argument.
    OfType(Words),
}

/// Who wants a function hooked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum AskedBy {
    /// The specification of this number.
    User(usize),
    /// The built-in set of this number.
    Set(usize),
    /// [`crate::live::regions`], as its event of this number.
    Event(u16),
}

/// A part of a function that the compiler put elsewhere.
pub(crate) struct Part {
    pub(crate) start: u64,
    pub(crate) size: u64,
}

/// What an object has to be hooked.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) targets: Vec<Target>,
    /// Bits of the sets whose signs were seen.
    signs: u8,
}

/// The names of all sets.
pub(crate) struct Builtin {
    sets: FastMap<&'static [u8], (usize, &'static str)>,
    /// These and those of the [`EVENTS`].
    names: Names,
}

impl Builtin {
    pub(crate) fn new() -> Self {
        let mut sets = FastMap::default();
        for (number, set) in SETS.iter().enumerate() {
            for &(name, size) in set.functions {
                sets.insert(name.as_bytes(), (number, size));
            }
        }
        for (name, size) in OPERATORS {
            sets.insert(name.as_bytes(), (SETS.len(), size));
        }
        let functions = SETS.iter().flat_map(|set| set.functions).chain(&OPERATORS);
        let names = functions.chain(&EVENTS).map(|&(name, _)| name);
        Self {
            sets,
            names: Names::new(names),
        }
    }

    fn get(&self, name: &[u8]) -> Option<(usize, &'static str)> {
        self.sets.get(name).copied()
    }
}

/// Collects what in one object the user or a set asks for.
pub(crate) fn search(object: &Object, specs: &[HookSpec], builtin: &Builtin) -> Found {
    let mut found = Found::default();
    let is_system = object.is_system();
    let mut add = |symbol: Symbol<'_>| {
        let by_user = specs.iter().position(|spec| {
            matches(spec, symbol.name) && !(is_system && spec.name.contains(['*', '?']))
        });
        if let Some((spec, number)) = by_user.and_then(|i| Some((specs.get(i)?, i))) {
            let size = spec.size.clone();
            found.add(&symbol, AskedBy::User(number), size, spec.nested);
        } else if (object.is_executable || object.exports_obstack || object.owns_new)
            && let Some((set, size)) = builtin.get(symbol.name)
        {
            found.add(&symbol, AskedBy::Set(set), builtin::size(size), NESTED);
        }
        if let Some(number) = EVENTS
            .iter()
            .position(|event| event.0.as_bytes() == symbol.name)
            && (object.is_executable || object.exports_obstack)
            && let Some(&(_, size)) = EVENTS.get(number)
        {
            let asked_by = AskedBy::Event(number as u16);
            found.add(&symbol, asked_by, builtin::size(size), NESTED);
        }
        if let Some((number, _)) = builtin.get(symbol.name)
            && let Some(set) = SETS.get(number)
            && set.signs.iter().any(|sign| sign.as_bytes() == symbol.name)
        {
            found.signs |= set.kind as u8;
        }
    };
    if specs.is_empty() {
        object.named_functions(&builtin.names, &mut add);
    } else {
        object.functions(&mut add);
    }
    found
}

impl Found {
    fn add(&mut self, symbol: &Symbol<'_>, asked_by: AskedBy, bytes: SizeOf, nested: Nested) {
        self.targets.push(Target {
            start: symbol.start,
            size: symbol.size,
            name: symbol.name.to_vec(),
            is_indirect: symbol.is_indirect,
            bytes: Bytes::Of(bytes),
            nested,
            asked_by,
            told: match asked_by {
                AskedBy::Event(_) => Told::Listener,
                _ => Told::Recorder,
            },
        });
    }

    /// Returns whether there is a target that the specification of this number asks for.
    pub(crate) fn matches(&self, spec: usize) -> bool {
        let asked_by = AskedBy::User(spec);
        self.targets
            .iter()
            .any(|target| target.asked_by == asked_by)
    }

    /// Returns whether the target is a function of the Skip runtime that nobody asked for by name.
    pub(crate) fn is_of_runtime(target: &Target) -> bool {
        matches!(target.asked_by, AskedBy::Set(number)
            if SETS.get(number).is_some_and(|set| set.kind == AllocatorKind::Obstack))
    }

    /// Has the objects of the ObStack followed, if its pages can be, and returns whether; else nothing
    /// of that is hooked.
    pub(crate) fn follow(&mut self, may: bool) -> bool {
        let begins_and_ends = [0, 1].iter().all(|&number| {
            let event = AskedBy::Event(number);
            self.targets.iter().any(|target| target.asked_by == event)
        });
        let follows = may && begins_and_ends;
        self.targets
            .retain(|target| follows || target.told != Told::Listener);
        for target in &mut self.targets {
            if follows && Self::is_of_runtime(target) {
                target.told = Told::ObjectRecorder;
            }
        }
        follows
    }

    /// Returns whether the Skip runtime is here.
    pub(crate) fn is_skip(&self) -> bool {
        self.signs & AllocatorKind::Obstack as u8 != 0
    }

    /// Leaves what is to be hooked: the user's choice before a set's, one for each address, and of
    /// the sets those that are asked for.
    pub(crate) fn choose(&mut self, object: &Object, allocators: Allocators, is_skip: bool) {
        let signs = self.signs;
        let is_active = |kind: AllocatorKind| {
            signs & kind as u8 != 0
                && allocators.has(kind, is_skip)
                && (object.is_executable
                    || matches!(kind, AllocatorKind::Obstack | AllocatorKind::Persistent))
        };
        // Whose `operator new` it is cannot be told; it is hooked if there is one to own it.
        let owner = if object.owns_new {
            Some(OF_LIBRARY)
        } else {
            SETS.iter().position(|set| {
                let with_operators = [
                    AllocatorKind::Jemalloc,
                    AllocatorKind::Mimalloc,
                    AllocatorKind::Tcmalloc,
                ];
                with_operators.contains(&set.kind) && is_active(set.kind)
            })
        };
        for target in &mut self.targets {
            if target.asked_by == AskedBy::Set(SETS.len())
                && let Some(owner) = owner
            {
                target.asked_by = AskedBy::Set(owner);
            }
        }
        self.targets.retain(|target| match target.asked_by {
            AskedBy::User(_) => true,
            AskedBy::Set(OF_LIBRARY) => allocators.has(AllocatorKind::Malloc, is_skip),
            AskedBy::Set(number) => SETS.get(number).is_some_and(|set| is_active(set.kind)),
            AskedBy::Event(_) => is_active(AllocatorKind::Obstack),
        });
        let rank = |asked_by| match asked_by {
            AskedBy::User(number) => number,
            AskedBy::Set(number) => usize::MAX / 2 + number,
            AskedBy::Event(_) => usize::MAX,
        };
        self.targets
            .sort_by_key(|target| (target.start, rank(target.asked_by)));
        self.targets.dedup_by_key(|target| target.start);
    }
}

/// Returns whether a specification means this symbol. Names of C++ and Rust match as people write them, with
/// or without parameters.
fn matches(spec: &HookSpec, symbol: &[u8]) -> bool {
    let pattern = spec.name.as_bytes();
    if glob(pattern, symbol) {
        return true;
    }
    let is_mangled = matches!(symbol, [b'_', b'Z' | b'R', ..]);
    if !is_mangled {
        return false;
    }
    // Demangling all names of a large program takes its time; a plain name stands in the mangled
    // one as it is.
    let is_plain = pattern
        .iter()
        .all(|&c| c == b'_' || c.is_ascii_alphanumeric());
    if is_plain && memmem::find(symbol, pattern).is_none() {
        return false;
    }
    let name = demangle(symbol);
    let name = name.as_bytes();
    let bare = name.split(|&c| c == b'(').next().unwrap_or(name);
    glob(pattern, name) || glob(pattern, bare)
}

/// What a symbol is to the function of which its name is the beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Piece {
    /// Its rarely executed or split-off part.
    Part,
    /// A specialised copy, which callers reach without passing the function's entry.
    Copy,
}

/// Returns the function of which `symbol` is a piece or copy that the compiler made, and its kind.
pub(crate) fn piece_of(symbol: &[u8]) -> Option<(&[u8], Piece)> {
    const SUFFIXES: [(&[u8], Piece); 4] = [
        (b".cold", Piece::Part),
        (b".part.", Piece::Part),
        (b".constprop.", Piece::Copy),
        (b".isra.", Piece::Copy),
    ];
    let (at, _) = symbol.iter().enumerate().find(|&(_, &c)| c == b'.')?;
    let (name, suffix) = symbol.split_at_checked(at)?;
    let (_, piece) = SUFFIXES
        .into_iter()
        .find(|(beginning, _)| suffix.starts_with(beginning))?;
    Some((name, piece))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skipheap_config::hook_spec::parse;

    fn is_match(name: &str, symbol: &str) -> bool {
        let spec = parse(&format!("{name}(size=arg0)"))
            .next()
            .unwrap()
            .unwrap();
        matches(&spec, symbol.as_bytes())
    }

    #[test]
    fn names_match_as_symbols_and_as_people_write_them() {
        assert!(is_match("je_*alloc", "je_realloc"));
        assert!(is_match("acme::take", "_ZN4acme4takeEi"));
        assert!(is_match("acme::take(int)", "_ZN4acme4takeEi"));
        assert!(is_match("*::take", "_ZN4acme4takeEi"));
        assert!(is_match("_ZN4acme4takeEi", "_ZN4acme4takeEi"));
        assert!(is_match("take", "_Z4takei"));
        assert!(!is_match("take", "_ZN4acme4takeEi"));
        assert!(!is_match("malloc", "mallocx"));
    }

    #[test]
    fn pieces_are_told_by_their_suffix() {
        assert_eq!(piece_of(b"f.cold"), Some((&b"f"[..], Piece::Part)));
        assert_eq!(piece_of(b"f.part.0.cold"), Some((&b"f"[..], Piece::Part)));
        assert_eq!(piece_of(b"f.constprop.0"), Some((&b"f"[..], Piece::Copy)));
        assert_eq!(piece_of(b"f.isra.0"), Some((&b"f"[..], Piece::Copy)));
        assert_eq!(piece_of(b"f.123"), None);
        assert_eq!(piece_of(b"f"), None);
    }

    #[test]
    fn sizes_of_the_sets_are_arguments_in_order() {
        let all = SETS.iter().flat_map(|set| set.functions).chain(&OPERATORS);
        for &(name, digits) in all {
            let size = builtin::size(digits);
            assert!(size.args.iter().all(|&arg| arg < 6), "{name}");
            assert!(size.args.is_sorted(), "{name}");
            assert_eq!(size.factor, u32::from(!digits.is_empty()), "{name}");
        }
    }
}
