//! What a function's name is to who writes it down: without parameters, and without the type that it returns,
//! which demangled names of C++ templates begin with.

/// What may look like a bracket behind `operator`, longest first.
const OPERATORS: [&str; 13] = [
    "<=>", "<<=", ">>=", "->*", "<<", ">>", "<=", ">=", "->", "()", "[]", "<", ">",
];

/// A name as it is, without its parameters, and without its return type as well, where it has them.
pub(super) fn spellings(name: &str) -> [Option<&str>; 3] {
    let without = without_parameters(name);
    // Functions that are no templates have no return type, and other names may have blanks anywhere.
    let bare = without.map(without_return_type);
    [
        Some(name),
        without,
        bare.filter(|&bare| Some(bare) != without),
    ]
}

/// `a::b` of `a::b(int, c<d>) const`: what is in front of the last parentheses that nothing encloses. `None`
/// where there are none, or more of the name follows.
fn without_parameters(name: &str) -> Option<&str> {
    let (open, close) = Outside::of(name).parentheses?;
    let is_end = !name[close..].starts_with("::");
    let name = name[..open].trim_end();
    (is_end && !name.is_empty()).then_some(name)
}

/// `a::b` of `c<d> a::b`: what is behind the last blank that nothing encloses.
fn without_return_type(name: &str) -> &str {
    let blank = Outside::of(name).blank;
    blank.map_or(name, |blank| &name[blank + 1..])
}

/// Where in a name things are that no bracket encloses.
#[derive(Default)]
struct Outside {
    /// The last pair of parentheses, from the first to behind the last character.
    parentheses: Option<(usize, usize)>,
    /// The last blank that does not belong to an operator, as that of `operator new` does.
    blank: Option<usize>,
}

impl Outside {
    fn of(name: &str) -> Self {
        let bytes = name.as_bytes();
        let mut found = Self::default();
        // The brackets that are open, and where the outermost is.
        let (mut depth, mut open) = (0_usize, 0);
        let mut is_operator = false;
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Some(length) = operator(name, at) {
                is_operator |= depth == 0;
                at += length;
                continue;
            }
            match byte {
                // The arrow of a type that returns something.
                b'>' if at > 0 && bytes[at - 1] == b'-' => {}
                b'(' | b'<' | b'[' | b'{' => {
                    if depth == 0 {
                        open = at;
                    }
                    depth += 1;
                }
                b')' | b'>' | b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 && byte == b')' {
                        found.parentheses = Some((open, at + 1));
                    }
                }
                b' ' if depth == 0 && !is_operator => found.blank = Some(at),
                _ => {}
            }
            at += 1;
        }
        found
    }
}

/// The length of `operator` and its sign, where the word begins.
fn operator(name: &str, at: usize) -> Option<usize> {
    const WORD: &str = "operator";
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let before = name.as_bytes()[..at].last();
    let rest = name.get(at..)?.strip_prefix(WORD)?;
    if before.is_some_and(|&byte| is_part(byte)) || rest.bytes().next().is_some_and(is_part) {
        return None;
    }
    let sign = OPERATORS.iter().find(|sign| rest.starts_with(**sign));
    Some(WORD.len() + sign.map_or(0, |sign| sign.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parameters_and_return_types_may_be_left_out() {
        for (name, without, bare) in [
            ("f", None, None),
            ("a::f(int)", Some("a::f"), None),
            ("a::f(int) const", Some("a::f"), None),
            ("f(int) [clone .cold]", Some("f"), None),
            ("(x)", None, None),
            (
                "(anonymous namespace)::f(int)",
                Some("(anonymous namespace)::f"),
                None,
            ),
            (
                "int (anonymous namespace)::f<int>(int)",
                Some("int (anonymous namespace)::f<int>"),
                Some("(anonymous namespace)::f<int>"),
            ),
            ("(anonymous namespace)::f", None, None),
            (
                "void* app::tmpl<int>(int)",
                Some("void* app::tmpl<int>"),
                Some("app::tmpl<int>"),
            ),
            (
                "std::vector<int, std::allocator<int> > m::f<int>(std::less<int>, int (*)(int))",
                Some("std::vector<int, std::allocator<int> > m::f<int>"),
                Some("m::f<int>"),
            ),
            ("app::F::operator()(int)", Some("app::F::operator()"), None),
            ("app::F::operator()", None, None),
            (
                "main::{lambda(int)#1}::operator()(int) const",
                Some("main::{lambda(int)#1}::operator()"),
                None,
            ),
            (
                "f(int)::{lambda()#1}::operator()() const",
                Some("f(int)::{lambda()#1}::operator()"),
                None,
            ),
            ("main::{lambda(int)#1}", None, None),
            (
                "app::W<int (int)>::run(int)",
                Some("app::W<int (int)>::run"),
                None,
            ),
            ("A::operator<(A const&)", Some("A::operator<"), None),
            (
                "bool m::operator< <int>(int)",
                Some("bool m::operator< <int>"),
                Some("m::operator< <int>"),
            ),
            ("A::operator->() const", Some("A::operator->"), None),
            ("A::operator<=>(A)", Some("A::operator<=>"), None),
            ("A::operator>>(int)", Some("A::operator>>"), None),
            ("A::operator[](int)", Some("A::operator[]"), None),
            ("operator new(unsigned long)", Some("operator new"), None),
            (
                "A::operator unsigned long() const",
                Some("A::operator unsigned long"),
                None,
            ),
            ("my_operator(int)", Some("my_operator"), None),
            ("<F as core::ops::Fn<(i32,)>>::call", None, None),
            ("<fn(i32) -> u8 as m::T>::f", None, None),
            ("m::f::{closure#0}", None, None),
            ("run:/a b/tool.py", None, None),
        ] {
            assert_eq!(spellings(name), [Some(name), without, bare], "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_is_taken_apart(name in "(operator|::|[a-z()<>{}\\[\\] ,é-]){0,20}") {
            for spelling in spellings(&name).into_iter().flatten() {
                prop_assert!(name.contains(spelling));
            }
        }
    }
}
