//! Which functions are plumbing, and who is responsible for a stack.

use crate::path::Path;
use crate::table::{CALLING_BACK, CPP, FAMILIES, ROOTS, RUST, VALUES, WRAPPERS};
use skipheap_text::glob as matches;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;

/// What a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function that somebody wrote to do some work.
    Own,
    /// An allocation wrapper: it asks for memory for its caller, and so do the functions that it calls.
    Wrapper,
    /// A container or a runtime. It may call functions of its user, which are responsible themselves.
    Container,
    /// The outermost function of a stack, which belongs to the C library.
    Root,
}

impl Kind {
    /// Returns whether the function is not responsible for what it allocates.
    pub fn is_plumbing(self) -> bool {
        self != Self::Own
    }
}

/// Who is responsible for a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Responsible {
    /// Index of the frame; that of the outermost plumbing where no other is known.
    pub at: usize,
    /// Index of the plumbing that it called, if there is any.
    pub via: Option<usize>,
    /// Whether all frames are plumbing, so that the responsible function is farther out.
    pub is_beyond: bool,
}

/// The names of plumbing.
#[derive(Clone, Debug, Default)]
pub struct Plumbing {
    added: Vec<String>,
    removed: Vec<String>,
    found: BTreeSet<String>,
    /// Of each of [`FAMILIES`], whether its program was met.
    met: [bool; FAMILIES.len()],
}

/// Returns whether a name matches a glob.
fn glob(pattern: &str, name: &str) -> bool {
    matches(pattern.as_bytes(), name.as_bytes())
}

/// Names of a table without and with `*` or `?`, the latter by their first byte.
struct Index {
    exact: HashSet<&'static str>,
    globs: HashMap<u8, Vec<&'static str>>,
    anywhere: Vec<&'static str>,
}

impl Index {
    fn of(table: &[&'static str]) -> Self {
        let (globs, exact): (Vec<_>, Vec<_>) = table
            .iter()
            .copied()
            .partition(|name| name.contains(['*', '?']));
        let mut by_first: HashMap<u8, Vec<&'static str>> = HashMap::new();
        let mut anywhere = Vec::new();
        for name in globs {
            match name.bytes().next() {
                Some(b'*') | None => anywhere.push(name),
                Some(first) => by_first.entry(first).or_default().push(name),
            }
        }
        Self {
            exact: exact.into_iter().collect(),
            globs: by_first,
            anywhere,
        }
    }

    fn has(&self, path: &str) -> bool {
        let first = path.bytes().next().unwrap_or(0);
        let globs = self.globs.get(&first).into_iter().flatten();
        self.exact.contains(path)
            || globs
                .chain(&self.anywhere)
                .any(|pattern| glob(pattern, path))
    }
}

/// Listed names that ask for memory for their callers.
fn wrappers() -> &'static Index {
    static INDEX: OnceLock<Index> = OnceLock::new();
    INDEX.get_or_init(|| Index::of(&[WRAPPERS, VALUES].concat()))
}

/// Returns whether a name stands for a function whose symbol is not known: a module and an offset.
pub fn is_unnamed(name: &str) -> bool {
    let offset = name.rsplit_once("+0x");
    offset.is_some_and(|(module, digits)| {
        !module.is_empty()
            && !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// A type of Rust that says nothing of who wrote the function: a parameter or a type of the language.
fn is_neutral_type(name: &str) -> bool {
    const PRIMITIVES: [&str; 17] = [
        "str", "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32",
        "i64", "i128", "isize", "f32", "f64",
    ];
    let is_parameter = name.len() <= 2
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    is_parameter || PRIMITIVES.contains(&name) || name.starts_with(['[', '('])
}

/// Without references and what stands before a type.
fn bare_type(name: &str) -> &str {
    let mut name = name.trim();
    loop {
        let rest = ["&", "mut ", "dyn ", "*const ", "*mut ", "'_ "]
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix));
        match rest {
            Some(rest) => name = rest.trim_start(),
            None => return name,
        }
    }
}

fn is_rust_container(path: &str) -> bool {
    // In C++ and in user code such a name does not have to mean this.
    RUST.iter().any(|start| path.starts_with(start))
}

fn kind_of_implementation(of: &str, as_: Option<&str>) -> Kind {
    let of = bare_type(of);
    // A trait that is declared within a function of the language's own types: `<[_]>::to_vec_in::ConvertVec`.
    let is_of_language = |as_: &str| {
        let inside = as_
            .strip_prefix('<')
            .and_then(|rest| rest.split('>').next());
        inside.is_some_and(is_neutral_type)
    };
    let is_generic_trait =
        as_.is_none_or(|as_| is_rust_container(bare_type(as_)) || is_of_language(as_));
    let is_container = match is_neutral_type(of) {
        true => is_generic_trait,
        false => is_generic_trait && is_rust_container(of.trim_start_matches('<')),
    };
    match is_container {
        true => Kind::Container,
        false => Kind::Own,
    }
}

/// Without the suffixes of clones: `xmalloc.part.0`.
fn without_suffix(path: &str) -> &str {
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
    match path.find('.') {
        Some(at) if is_plain && at > 0 => path.get(..at).unwrap_or(path),
        _ => path,
    }
}

impl Plumbing {
    /// The names of the table alone.
    pub const fn new() -> Self {
        Self {
            added: Vec::new(),
            removed: Vec::new(),
            found: BTreeSet::new(),
            met: [false; FAMILIES.len()],
        }
    }

    /// With further names as globs of paths or whole names, and without those that match `removed`, which has
    /// precedence.
    pub fn corrected<A: Into<String>, R: Into<String>>(
        added: impl IntoIterator<Item = A>,
        removed: impl IntoIterator<Item = R>,
    ) -> Self {
        Self {
            added: added.into_iter().map(Into::into).collect(),
            removed: removed.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Notes the names of a profile, some of which say what others mean.
    pub fn meet<'a>(&mut self, names: impl IntoIterator<Item = &'a str>) {
        for name in names {
            for (met, (marker, _)) in self.met.iter_mut().zip(FAMILIES) {
                *met = *met || glob(marker, name);
            }
        }
    }

    fn is_of_family(&self, path: &str) -> bool {
        let families = self.met.iter().zip(FAMILIES).filter(|(met, _)| **met);
        families
            .flat_map(|(_, (_, names))| *names)
            .any(|pattern| glob(pattern, path))
    }

    /// Adds wrappers that [`crate::wrappers_in`] found, by their full names.
    pub fn add_found(&mut self, names: impl IntoIterator<Item = String>) {
        self.found.extend(names);
    }

    /// The wrappers that were found, in the order of the alphabet.
    pub fn found(&self) -> impl Iterator<Item = &str> {
        self.found.iter().map(String::as_str)
    }

    /// What the function of this demangled name is.
    pub fn kind(&self, name: &str) -> Kind {
        let is_corrected = !(self.added.is_empty() && self.removed.is_empty());
        if is_unnamed(name) && !is_corrected && !self.found.contains(name) {
            return Kind::Own;
        }
        let parsed = Path::of(name);
        let path = without_suffix(parsed.path);
        let is_in = |globs: &[String]| {
            globs
                .iter()
                .any(|pattern| glob(pattern, path) || glob(pattern, name))
        };
        if is_in(&self.removed) {
            return Kind::Own;
        }
        if self.found.contains(name)
            || is_in(&self.added)
            || wrappers().has(path)
            || self.is_of_family(path)
        {
            return Kind::Wrapper;
        }
        if ROOTS.iter().any(|root| glob(root, path)) {
            return Kind::Root;
        }
        if CALLING_BACK.iter().any(|pattern| glob(pattern, path)) {
            return Kind::Container;
        }
        if let Some((of, as_)) = parsed.implementation {
            return kind_of_implementation(of, as_);
        }
        let starts = match parsed.has_parameters {
            true => CPP,
            false => RUST,
        };
        let is_known = |starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
        // Without parameters it may still be C++: a name that could not be demangled as a whole.
        match is_known(starts) || !parsed.has_parameters && is_known(CPP) && path.contains("::") {
            true => Kind::Container,
            false => Kind::Own,
        }
    }

    /// Who is responsible for a stack of functions of these kinds, innermost first; `None` of no stack.
    /// `is_unnamed` tells which of them have no known name.
    pub fn responsible(kinds: &[Kind], is_unnamed: impl Fn(usize) -> bool) -> Option<Responsible> {
        let last = kinds.len().checked_sub(1)?;
        let kind = |at: usize| kinds.get(at).copied();
        let mut at = 0;
        loop {
            while kind(at).is_some_and(Kind::is_plumbing) {
                at += 1;
            }
            // What a wrapper calls is a part of it. Of named functions this need not be so.
            let wrapper = (at + 1..=at + 2).rev().find(|&outer| {
                kind(outer) == Some(Kind::Wrapper)
                    && (at..outer).all(|inner| {
                        kind(inner).is_some_and(Kind::is_plumbing) || is_unnamed(inner)
                    })
            });
            match wrapper {
                Some(outer) => at = outer + 1,
                None => break,
            }
        }
        if at <= last {
            return Some(Responsible {
                at,
                via: at.checked_sub(1),
                is_beyond: false,
            });
        }
        let outermost = (0..=last).rev().find(|&at| kind(at) != Some(Kind::Root));
        let is_rooted = kind(last) == Some(Kind::Root);
        Some(Responsible {
            at: outermost.unwrap_or(0),
            via: None,
            is_beyond: !is_rooted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(name: &str) -> Kind {
        Plumbing::new().kind(name)
    }

    #[test]
    fn wrappers_and_containers_are_plumbing() {
        for name in [
            "xmalloc",
            "xmalloc.part.0",
            "Perl_safesysrealloc",
            "_PyObject_GC_New",
            "PyMem_RawMalloc",
            "sqlite3MallocZero",
            "zmalloc_usable",
            "os::malloc(unsigned long, MEMFLAGS)",
            "operator new(unsigned long)",
            "llvm::User::operator new(unsigned long, unsigned int)",
            "ggc_internal_alloc(unsigned long, void (*)(void*))",
            "_IO_file_doallocate",
            "v8::internal::AllocAtLeastWithRetry(unsigned long)",
        ] {
            assert_eq!(kind(name), Kind::Wrapper, "{name}");
        }
        for name in [
            "void std::vector<Item, std::allocator<Item> >::_M_realloc_insert<Item const&>(int, Item const&)",
            "std::__cxx11::basic_string<char>::_M_mutate(unsigned long)",
            "std::ostream& std::operator<< <char>(std::ostream&, char const*)",
            "alloc::raw_vec::RawVecInner<A>::finish_grow",
            "<alloc::raw_vec::RawVecInner>::finish_grow",
            "<T as alloc::vec::spec_from_elem::SpecFromElem>::from_elem",
            "<alloc::vec::Vec<T> as core::convert::From<&[T]>>::from",
            "<str as alloc::string::ToString>::to_string",
            "<&mut dyn core::fmt::Write as core::fmt::Write>::write_str",
            "<hashbrown::raw::RawTable<(alloc::string::String, u32)>>::reserve_rehash",
            "alloc::slice::<impl [T]>::to_vec",
            "<u8 as <[_]>::to_vec_in::ConvertVec>::to_vec::<alloc::alloc::Global>",
            "<[u8]>::to_vec_in::<alloc::alloc::Global>",
            "core::ops::function::FnOnce::call_once{{vtable.shim}}",
            "std::_Function_handler<void (), main::{lambda()#1}>::_M_invoke(std::_Any_data const&)",
            "vec<tree_node*, va_heap, vl_ptr>::reserve(unsigned int, bool)",
        ] {
            assert_eq!(kind(name), Kind::Container, "{name}");
        }
        assert_eq!(kind("__libc_start_call_main"), Kind::Root);
    }

    #[test]
    fn functions_that_people_wrote_are_not() {
        for name in [
            "main",
            "load_index",
            "Index::load(int)",
            "std::string acme::name<int>(int)",
            "<acme::Text as core::fmt::Display>::fmt",
            "<acme::Text as core::clone::Clone>::clone",
            "<alloc::vec::Vec<T> as acme::Encode>::encode",
            "<T as acme::Encode>::encode",
            "<acme::run::{closure#0} as core::ops::function::FnOnce<()>>::call_once",
            "core::Engine::run(int)",
            "alloc::Pool::take(unsigned long)",
            "standard_parse",
            "jq_next",
            "main::{lambda(int)#1}::operator()(int) const",
            "<clap_builder::builder::arg::Arg>::add",
            "sqlite3VdbeExec",
            "zmap_insert",
            "libjq.so.1+0x1bd40",
            "Perl_pp_anonlist",
            "xml_parse",
            "vector_push",
        ] {
            assert_eq!(kind(name), Kind::Own, "{name}");
        }
    }

    #[test]
    fn the_user_has_the_last_word() {
        let plumbing = Plumbing::corrected(["acme::pool::*", "get"], ["xmalloc", "std::vector<*"]);
        assert_eq!(plumbing.kind("acme::pool::take(int)"), Kind::Wrapper);
        assert_eq!(plumbing.kind("get"), Kind::Wrapper);
        assert_eq!(plumbing.kind("xmalloc"), Kind::Own);
        assert_eq!(plumbing.kind("std::vector<int>::push_back(int)"), Kind::Own);
        assert_eq!(plumbing.kind("xcalloc"), Kind::Wrapper);
    }

    #[test]
    fn some_names_mean_this_in_one_program_only() {
        let mut plumbing = Plumbing::new();
        plumbing.meet(["createObject", "main"]);
        assert_eq!(plumbing.kind("createObject"), Kind::Own);
        plumbing.meet(["zmalloc"]);
        assert_eq!(plumbing.kind("createObject"), Kind::Wrapper);
        assert_eq!(plumbing.kind("list_append"), Kind::Own);
    }

    fn of(stack: &[&str]) -> (String, Option<String>, bool) {
        let kinds: Vec<Kind> = stack.iter().map(|name| kind(name)).collect();
        let found = Plumbing::responsible(&kinds, |at| is_unnamed(stack[at])).expect("a stack");
        (
            stack[found.at].to_owned(),
            found.via.map(|via| stack[via].to_owned()),
            found.is_beyond,
        )
    }

    #[test]
    fn the_first_function_that_is_not_plumbing_is_responsible() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            of(&["xmalloc", "load_index", "main"]),
            ("load_index".into(), some("xmalloc"), false)
        );
        assert_eq!(
            of(&["load_index", "main"]),
            ("load_index".into(), None, false)
        );
        // What a wrapper calls is plumbing even without a name.
        assert_eq!(
            of(&[
                "libsqlite3.so.0+0xa74f0",
                "sqlite3Malloc",
                "sqlite3VdbeExec",
                "x"
            ]),
            ("sqlite3VdbeExec".into(), some("sqlite3Malloc"), false)
        );
        // Of an own function that a container calls, that is not so.
        let item = "Item::Item(Item const&)";
        assert_eq!(
            of(&[item, "std::vector<Item>::push_back(Item const&)", "main"]).0,
            item
        );
    }

    #[test]
    fn beyond_plumbing_somebody_is_responsible_whom_nobody_recorded() {
        let push = "std::vector<int>::push_back(int)";
        let take = "std::allocator<int>::allocate(unsigned long)";
        assert_eq!(of(&[take, push]), (push.into(), None, true));
        assert_eq!(
            of(&[take, push, "start_thread", "clone3"]),
            (push.into(), None, false)
        );
        assert_eq!(Plumbing::responsible(&[], |_| false), None);
    }
}
