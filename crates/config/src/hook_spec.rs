//! Specifications of hooks on functions by name: `NAME(size=EXPR)`, several separated by `;`.
//!
//! ```text
//! SKIP_Obstack_alloc(size=arg0)
//! my_calloc(size=arg0*arg1); pool_*(size=64*arg2, nested=all)
//! ```
//!
//! The name may be a glob. It ends at the last parenthesis that opens, so that a C++ name may come
//! with its parameters. `EXPR` is a product of arguments, `arg0` to `arg5`, and numbers, to which numbers
//! may be added (`arg0*arg1+16`). Shared by the library (which hooks) and the tool (which checks before
//! it starts the program).

use std::fmt;

/// Which calls of a hooked function count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nested {
    /// Those that are not made from inside a hooked function, or by its tail jump.
    Outermost,
    /// Every call.
    All,
}

/// A size in bytes: the product of a number and of arguments, and another number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeOf {
    /// At most `i32::MAX`.
    pub factor: u32,
    /// Numbers of integer arguments, 0 to 5, rising.
    pub args: Vec<u8>,
    /// What is added to the product. At most `i32::MAX`.
    pub more: u32,
}

/// One specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSpec {
    /// Glob of the function's name.
    pub name: String,
    /// What a call asks for.
    pub size: SizeOf,
    /// Which calls count.
    pub nested: Nested,
}

/// Why a specification cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecError {
    /// The specification, without those before and behind it.
    spec: String,
    /// Where in it, in characters from 1.
    column: usize,
    what: &'static str,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whatever was written, the message stays one line.
        write!(
            f,
            "hook \"{}\": {} at column {}",
            self.spec.escape_debug(),
            self.what,
            self.column
        )
    }
}

impl std::error::Error for SpecError {}

/// Most arguments in a product.
const MOST_FACTORS: usize = 6;

/// Reads a list of specifications. Those that can be read hold, whatever is wrong with others.
pub fn parse(list: &str) -> impl Iterator<Item = Result<HookSpec, SpecError>> + '_ {
    list.split(';')
        .map(str::trim)
        .filter(|spec| !spec.is_empty())
        .map(|spec| {
            parse_one(spec).map_err(|(at, what)| SpecError {
                spec: spec.to_owned(),
                column: spec.get(..at).unwrap_or(spec).chars().count() + 1,
                what,
            })
        })
}

/// An error and its offset in bytes.
type Failure = (usize, &'static str);

fn parse_one(spec: &str) -> Result<HookSpec, Failure> {
    let inner_end = spec
        .strip_suffix(')')
        .ok_or((spec.len(), "expected \"(size=...)\" behind the name"))?
        .len();
    let open = spec
        .rfind('(')
        .ok_or((inner_end, "no parenthesis opens the one here"))?;
    let name = spec.get(..open).unwrap_or("").trim();
    if name.is_empty() {
        return Err((0, "no name of a function"));
    }
    let (mut size, mut nested) = (None, None);
    let mut at = open + 1;
    for setting in spec.get(at..inner_end).unwrap_or("").split(',') {
        let start = at + (setting.len() - setting.trim_start().len());
        at += setting.len() + 1;
        let Some((key, value)) = setting.trim().split_once('=') else {
            return Err((start, "expected \"size=...\" or \"nested=...\""));
        };
        let value_at = start + key.len() + 1;
        match key.trim_end() {
            "size" if size.is_none() => size = Some(parse_size(value, value_at)?),
            "nested" if nested.is_none() => nested = Some(parse_nested(value, value_at)?),
            "size" | "nested" => return Err((start, "said twice")),
            _ => return Err((start, "expected \"size=...\" or \"nested=...\"")),
        }
    }
    Ok(HookSpec {
        name: name.to_owned(),
        size: size.ok_or((open, "no \"size=...\""))?,
        nested: nested.unwrap_or(Nested::Outermost),
    })
}

fn parse_nested(value: &str, at: usize) -> Result<Nested, Failure> {
    match value.trim() {
        "outermost" => Ok(Nested::Outermost),
        "all" => Ok(Nested::All),
        _ => Err((at, "nested is \"outermost\" or \"all\"")),
    }
}

fn parse_size(value: &str, mut at: usize) -> Result<SizeOf, Failure> {
    let mut size = SizeOf {
        factor: 1,
        args: Vec::new(),
        more: 0,
    };
    let mut terms = value.split('+');
    let product = terms.next().unwrap_or("");
    for factor in product.split('*') {
        let start = at + (factor.len() - factor.trim_start().len());
        at += factor.len() + 1;
        let factor = factor.trim();
        if let Some(number) = factor.strip_prefix("arg") {
            match number.as_bytes() {
                [digit @ b'0'..=b'5'] => size.args.push(digit - b'0'),
                _ => return Err((start, "arguments are arg0 to arg5")),
            }
            if size.args.len() > MOST_FACTORS {
                return Err((start, "too many factors"));
            }
        } else {
            let expected = "expected arg0 to arg5 or a number";
            size.factor = number(factor, expected, |number| size.factor.checked_mul(number))
                .map_err(|what| (start, what))?;
        }
    }
    for term in terms {
        let start = at + (term.len() - term.trim_start().len());
        at += term.len() + 1;
        let expected = "only numbers may be added";
        size.more = number(term.trim(), expected, |number| {
            size.more.checked_add(number)
        })
        .map_err(|what| (start, what))?;
    }
    size.args.sort_unstable();
    Ok(size)
}

/// What `combine` makes of the number that `text` is, if it is one.
fn number(
    text: &str,
    expected: &'static str,
    combine: impl Fn(u32) -> Option<u32>,
) -> Result<u32, &'static str> {
    if text.is_empty() || !text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(expected);
    }
    text.parse()
        .ok()
        .and_then(combine)
        .filter(|&number| i32::try_from(number).is_ok())
        .ok_or("numbers end at 2147483647")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(spec: &str) -> HookSpec {
        let all: Vec<_> = parse(spec).collect();
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap().unwrap()
    }

    fn error(spec: &str) -> String {
        parse(spec)
            .find_map(Result::err)
            .map_or_else(|| panic!("{spec} is accepted"), |error| error.to_string())
    }

    #[test]
    fn a_name_and_a_size_are_enough() {
        let spec = one(" SKIP_Obstack_alloc(size=arg0) ; ");
        assert_eq!(spec.name, "SKIP_Obstack_alloc");
        assert_eq!((spec.size.factor, spec.size.args.as_slice()), (1, &[0][..]));
        assert_eq!(spec.nested, Nested::Outermost);
    }

    #[test]
    fn sizes_are_products() {
        let spec = one("pool_*( size = 4 * arg3*2 *arg1 , nested=all )");
        assert_eq!(spec.name, "pool_*");
        assert_eq!(
            (spec.size.factor, spec.size.args.as_slice()),
            (8, &[1, 3][..])
        );
        assert_eq!(spec.nested, Nested::All);
        assert!(one("f(size=64)").size.args.is_empty());
        let spec = one("f(size=arg1 * 8 + 16+ 8)");
        assert_eq!((spec.size.factor, spec.size.more), (8, 24));
    }

    #[test]
    fn names_of_cpp_come_with_their_parameters() {
        assert_eq!(
            one("acme::take(int, char)(size=arg1)").name,
            "acme::take(int, char)"
        );
    }

    #[test]
    fn several_are_read_and_a_bad_one_spoils_only_itself() {
        let all: Vec<_> = parse("a(size=arg0);b;c(size=arg1)").collect();
        assert_eq!(all.len(), 3);
        assert!(all[0].is_ok() && all[1].is_err() && all[2].is_ok());
    }

    #[test]
    fn errors_name_the_specification_and_the_place() {
        for (spec, wanted) in [
            (
                "x(size=arg0); b",
                "hook \"b\": expected \"(size=...)\" behind the name at column 2",
            ),
            (
                "(size=1)",
                "hook \"(size=1)\": no name of a function at column 1",
            ),
            (
                "a(size=arg6)",
                "hook \"a(size=arg6)\": arguments are arg0 to arg5 at column 8",
            ),
            (
                "a(size=arg0*)",
                "hook \"a(size=arg0*)\": expected arg0 to arg5 or a number at column 13",
            ),
            (
                "a(size=8*arg1+arg0)",
                "hook \"a(size=8*arg1+arg0)\": only numbers may be added at column 15",
            ),
            (
                "a(size=arg0+)",
                "hook \"a(size=arg0+)\": only numbers may be added at column 13",
            ),
            (
                "a(nested=all)",
                "hook \"a(nested=all)\": no \"size=...\" at column 2",
            ),
            (
                "a(size=1, nested=no)",
                "hook \"a(size=1, nested=no)\": nested is \"outermost\" or \"all\" at column 18",
            ),
            (
                "é(size=1,size=1)",
                "hook \"é(size=1,size=1)\": said twice at column 10",
            ),
            (
                "a(size=65536*65536)",
                "hook \"a(size=65536*65536)\": numbers end at 2147483647 at column 14",
            ),
            (
                "a(sise=1)",
                "hook \"a(sise=1)\": expected \"size=...\" or \"nested=...\" at column 3",
            ),
            (
                "a)",
                "hook \"a)\": no parenthesis opens the one here at column 2",
            ),
        ] {
            assert_eq!(error(spec), wanted);
        }
        assert!(!error("a\nb").contains('\n'));
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused_in_one_line(list in ".*") {
            for result in parse(&list) {
                if let Err(error) = result {
                    prop_assert!(!error.to_string().contains('\n'));
                }
            }
        }
    }
}
