//! The path of a function within its demangled name: without return type, parameters and the text of
//! template arguments.

/// What a demangled name says of its function.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path<'a> {
    /// The qualified name, with template arguments: `std::vector<int>::push_back`.
    pub(crate) path: &'a str,
    /// Whether parameters follow, as in C++ and never in Rust.
    pub(crate) has_parameters: bool,
    /// Of Rust's `<Type as Trait>::method` and `<Type>::method`: the type, and the trait if there is one.
    pub(crate) implementation: Option<(&'a str, Option<&'a str>)>,
}

/// Where an opening bracket at `start` is closed, and the text within.
fn closing(name: &str, start: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut before = ' ';
    for (at, c) in name.get(start..)?.char_indices() {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' if before == '-' || before == '=' => {}
            '>' | ')' | ']' | '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(start + at);
                }
            }
            _ => {}
        }
        before = c;
    }
    None
}

/// Characters that belong to the name of an operator.
fn operator_end(name: &str, after: usize) -> usize {
    let rest = name.get(after..).unwrap_or("");
    if rest.starts_with("()") || rest.starts_with("[]") {
        return after + 2;
    }
    let symbols = rest.find(|c: char| !"<>=-+*/%!~&|^,".contains(c));
    after + symbols.unwrap_or(rest.len())
}

impl<'a> Path<'a> {
    /// Reads a demangled name.
    pub(crate) fn of(name: &'a str) -> Self {
        if name.starts_with('<')
            && let Some(end) = closing(name, 0)
        {
            let inside = name.get(1..end).unwrap_or("");
            let implementation = match split_as(inside) {
                Some((of, as_)) => (of, Some(as_)),
                None => (inside, None),
            };
            return Self {
                path: name,
                has_parameters: false,
                implementation: Some(implementation),
            };
        }
        let mut start = 0;
        let mut at = 0;
        let mut operator = false;
        while let Some(c) = name.get(at..).and_then(|rest| rest.chars().next()) {
            let rest = name.get(at..).unwrap_or("");
            let is_boundary = at == start || !is_word_before(name, at);
            if is_boundary
                && let Some(after) = rest.strip_prefix("operator")
                && !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
            {
                operator = true;
                at = operator_end(name, at + "operator".len());
                continue;
            }
            match c {
                '(' if rest.starts_with("(anonymous namespace)") => {
                    at += "(anonymous namespace)".len();
                }
                '(' if name
                    .get(start..at)
                    .is_some_and(|text| text.trim_end() == "decltype") =>
                {
                    match closing(name, at) {
                        Some(end) => at = end + 1,
                        None => break,
                    }
                }
                '(' => {
                    // A function's local class has its own path behind the parameters.
                    let end = closing(name, at);
                    let behind = end.and_then(|end| name.get(end + 1..)).unwrap_or("");
                    let behind = behind.strip_prefix(" const").unwrap_or(behind);
                    if let (Some(end), true) = (end, behind.starts_with("::")) {
                        at = end + 1;
                        continue;
                    }
                    return Self {
                        path: name.get(start..at).unwrap_or(name).trim(),
                        has_parameters: true,
                        implementation: None,
                    };
                }
                '<' | '[' | '{' => match closing(name, at) {
                    Some(end) => at = end + 1,
                    None => break,
                },
                ' ' if !operator && !rest.starts_with(" [") && !rest.starts_with(" (") => {
                    at += 1;
                    start = at;
                }
                _ => at += c.len_utf8(),
            }
        }
        let path = name.get(start..).unwrap_or(name);
        Self {
            path: path.trim_start_matches(['*', '&']),
            has_parameters: false,
            implementation: None,
        }
    }
}

fn is_word_before(name: &str, at: usize) -> bool {
    let before = name.get(..at).and_then(|text| text.chars().next_back());
    before.is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// `Type as Trait` at its outermost ` as `.
fn split_as(inside: &str) -> Option<(&str, &str)> {
    let mut depth = 0_i32;
    let mut before = ' ';
    for (at, c) in inside.char_indices() {
        match c {
            '<' | '(' | '[' | '{' => depth += 1,
            '>' if before == '-' || before == '=' => {}
            '>' | ')' | ']' | '}' => depth -= 1,
            ' ' if depth == 0 && inside.get(at..)?.starts_with(" as ") => {
                return Some((inside.get(..at)?, inside.get(at + 4..)?));
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

    fn path(name: &str) -> &str {
        Path::of(name).path
    }

    #[test]
    fn return_types_and_parameters_are_left_out() {
        assert_eq!(path("xmalloc"), "xmalloc");
        assert_eq!(path("Index::load(int)"), "Index::load");
        assert_eq!(
            path(
                "void std::vector<Item, std::allocator<Item> >::_M_realloc_insert<Item const&>(int, Item const&)"
            ),
            "std::vector<Item, std::allocator<Item> >::_M_realloc_insert<Item const&>"
        );
        assert_eq!(path("std::string acme::name<int>(int)"), "acme::name<int>");
        assert_eq!(
            path("(anonymous namespace)::take(int) const"),
            "(anonymous namespace)::take"
        );
        assert_eq!(
            path("main::{lambda(int)#1}::operator()(int) const"),
            "main::{lambda(int)#1}::operator()"
        );
        assert_eq!(
            path("run(int)::{lambda()#1}::operator()() const"),
            "run(int)::{lambda()#1}::operator()"
        );
        assert_eq!(
            path("core::ops::function::FnOnce::call_once{{vtable.shim}}"),
            "core::ops::function::FnOnce::call_once{{vtable.shim}}"
        );
    }

    #[test]
    fn operators_are_part_of_the_path() {
        assert_eq!(
            path("std::ostream& std::operator<< <char>(std::ostream&, char const*)"),
            "std::operator<< <char>"
        );
        assert_eq!(
            path("llvm::User::operator new(unsigned long)"),
            "llvm::User::operator new"
        );
        assert_eq!(path("operator new[](unsigned long)"), "operator new[]");
        assert_eq!(
            path("acme::Text::operator std::string() const"),
            "acme::Text::operator std::string"
        );
        assert_eq!(path("acme::operator->(int)"), "acme::operator->");
        assert_eq!(path("decltype (a(b)) acme::f<int>(int)"), "acme::f<int>");
        assert_eq!(path("acme::cooperator(int)"), "acme::cooperator");
    }

    #[test]
    fn implementations_in_rust_have_a_type_and_a_trait() {
        let of = |name| Path::of(name).implementation;
        assert_eq!(
            of("<alloc::vec::Vec<T> as core::convert::From<&[T]>>::from"),
            Some(("alloc::vec::Vec<T>", Some("core::convert::From<&[T]>")))
        );
        assert_eq!(
            of("<alloc::raw_vec::RawVecInner>::finish_grow"),
            Some(("alloc::raw_vec::RawVecInner", None))
        );
        assert_eq!(of("alloc::vec::Vec<T>::push"), None);
        assert_eq!(
            of("<F as Fn(i32) -> bool>::call"),
            Some(("F", Some("Fn(i32) -> bool")))
        );
    }

    #[test]
    fn broken_names_are_no_harm() {
        for name in [
            "",
            "<",
            "a<b",
            "operator",
            "(",
            "((",
            "a(b",
            "<a as",
            "{",
            "ü(",
            "decltype (",
            "x operator<",
            ">>>",
        ] {
            let _ = Path::of(name);
        }
    }
}
