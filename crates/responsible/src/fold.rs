//! Demangled names, shortened to what tells functions apart.

use crate::path::Path;

/// Types of the standard library that compilers write in full.
const SPELLINGS: [(&str, &str); 12] = [
    (
        "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >",
        "std::string",
    ),
    (
        "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char>>",
        "std::string",
    ),
    (
        "std::basic_string<char, std::char_traits<char>, std::allocator<char> >",
        "std::string",
    ),
    (
        "std::basic_string_view<char, std::char_traits<char> >",
        "std::string_view",
    ),
    (
        "std::basic_ostream<char, std::char_traits<char> >",
        "std::ostream",
    ),
    (
        "std::basic_istream<char, std::char_traits<char> >",
        "std::istream",
    ),
    ("std::__cxx11::", "std::"),
    ("std::__1::", "std::"),
    ("std::__debug::", "std::"),
    ("[abi:cxx11]", ""),
    ("unsigned long", "ulong"),
    ("alloc::string::String", "String"),
];

/// The longest template arguments that are kept as they are.
const SHORT: usize = 16;

/// A demangled name without its return type and parameters, and with `<…>` for long template arguments: function and
/// class stay. A name that nothing can be left out of is returned as it is.
///
/// ```
/// # use skipheap_responsible::fold;
/// assert_eq!(
///     fold("void std::vector<Item, std::allocator<Item> >::_M_realloc_insert<Item const&>(int, Item const&)"),
///     "std::vector<…>::_M_realloc_insert<Item const&>"
/// );
/// ```
pub fn fold(name: &str) -> String {
    let mut spelled = name.to_owned();
    if name.contains("::") {
        for (long, short) in SPELLINGS {
            if spelled.contains(long) {
                spelled = spelled.replace(long, short);
            }
        }
    }
    let path = Path::of(&spelled);
    if path.implementation.is_some() {
        return fold_arguments(path.path, true);
    }
    fold_arguments(path.path, false)
}

/// Replaces long template arguments. Of `<Type as Trait>::method` the outermost brackets are no arguments.
fn fold_arguments(path: &str, is_implementation: bool) -> String {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    if is_implementation && let Some(inside) = rest.strip_prefix('<') {
        text.push('<');
        rest = inside;
    }
    while let Some(at) = rest.find(['<', '{', '(']) {
        let (before, behind) = rest.split_at(at);
        text.push_str(before);
        let is_operator = ["operator", "operator<", "operator-", "operator<="]
            .iter()
            .any(|end| text.ends_with(end));
        let end = match is_operator {
            true => None,
            false => closed_at(behind),
        };
        let Some(end) = end else {
            let mut chars = behind.chars();
            text.extend(chars.next());
            rest = chars.as_str();
            continue;
        };
        let (inside, after) = behind.split_at(end);
        let is_kept = inside.chars().count() <= SHORT
            || !inside.starts_with(['<', '('])
            || inside == "(anonymous namespace";
        match (is_kept, inside.starts_with('<')) {
            (true, _) => text.push_str(inside),
            (false, true) => text.push_str("<…"),
            (false, false) => text.push_str("(…"),
        }
        rest = after;
    }
    text + rest
}

/// Where the bracket at the beginning is closed.
fn closed_at(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' if before == '-' || before == '=' => {}
            '>' | ')' | ']' | '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
        before = c;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn function_and_class_stay() {
        assert_eq!(fold("main"), "main");
        assert_eq!(fold("Index::load(int)"), "Index::load");
        assert_eq!(
            fold(
                "std::__new_allocator<std::_Rb_tree_node<std::pair<int const, Item> > >::allocate(unsigned long, void const*)"
            ),
            "std::__new_allocator<…>::allocate"
        );
        assert_eq!(
            fold(
                "void std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >::_M_construct<char*>(char*, char*, std::forward_iterator_tag)"
            ),
            "std::string::_M_construct<char*>"
        );
        assert_eq!(
            fold("std::vector<int>::push_back(int&&)"),
            "std::vector<int>::push_back"
        );
        assert_eq!(
            fold("(anonymous namespace)::take(int)"),
            "(anonymous namespace)::take"
        );
        assert_eq!(fold("render[abi:cxx11](Index const&)"), "render[abi:cxx11]");
        assert_eq!(
            fold(
                "std::ostream& std::operator<< <std::char_traits<char> >(std::ostream&, char const*)"
            ),
            "std::operator<< <…>"
        );
    }

    #[test]
    fn implementations_in_rust_keep_type_and_trait() {
        assert_eq!(
            fold("<clap_builder::builder::command::Command as cargo::util::CommandExt>::_arg"),
            "<clap_builder::builder::command::Command as cargo::util::CommandExt>::_arg"
        );
        assert_eq!(
            fold("<alloc::raw_vec::RawVec<clap_builder::builder::arg::Arg>>::grow_one"),
            "<alloc::raw_vec::RawVec<…>>::grow_one"
        );
        assert_eq!(fold("cargo::main::{{closure}}"), "cargo::main::{{closure}}");
        assert_eq!(
            fold("std::rt::lang_start::<()>::{closure#0}"),
            "std::rt::lang_start::<()>::{closure#0}"
        );
    }

    #[test]
    fn names_with_brackets_that_do_not_match_are_no_harm() {
        for name in ["", "<", "a<b", "(((", "a::<b(c", "operator<", "{", "ü<ü"] {
            let _ = fold(name);
        }
        assert_eq!(fold("libjq.so.1+0x1bd40"), "libjq.so.1+0x1bd40");
    }
}
