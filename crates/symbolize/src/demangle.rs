//! Names as people write them. Rust and C++ names are demangled, all others stand as they are:
//! names of Skip functions have dots (`Vector.unsafeMake__call.1`) and are no mangling.
//!
//! Compilers append suffixes to the symbols of a function's clones and parts: `.cold`, `.part.N`,
//! `.isra.N`, `.constprop.N`, `.lto_priv.N`, `.llvm.N`, `.warm`. They are cut, whatever the language, since
//! it is one function to its author; no other suffix is touched.

use cpp_demangle::{DemangleOptions, ParseOptions, Symbol};
use skipheap_text::{LONGEST, printable};
use std::fmt::Write;

/// Nesting that the C++ demangler follows. Of the 22 000 functions of node and libLLVM one nests
/// deeper. Made-up names take about 2 kB of stack for each level, and the stack is the program's.
const DEEPEST: u32 = 64;

/// The name of a symbol for a report. Bytes that are no text, and control characters, are escaped;
/// a name that is too long is cut.
pub fn demangle(symbol: &[u8]) -> String {
    let symbol = without_clone_suffixes(symbol);
    let mangled = match symbol.len() {
        0..LONGEST => std::str::from_utf8(symbol).ok(),
        _ => None,
    };
    match mangled
        .and_then(demangle_text)
        .filter(|text| !text.is_empty())
    {
        Some(text) => printable(text.as_bytes()),
        None => printable(symbol),
    }
}

fn demangle_text(symbol: &str) -> Option<String> {
    if let Ok(rust) = rustc_demangle::try_demangle(symbol) {
        let mut text = Bounded(String::new());
        write!(text, "{rust:#}").ok()?;
        return Some(text.0);
    }
    if !symbol.starts_with("_Z") {
        return None;
    }
    let limits = ParseOptions::default().recursion_limit(DEEPEST);
    let parsed = Symbol::new_with_options(symbol, &limits).ok()?;
    let mut text = Bounded(String::new());
    let options = DemangleOptions::new().recursion_limit(DEEPEST);
    parsed.structured_demangle(&mut text, &options).ok()?;
    Some(text.0)
}

/// Text that refuses to grow beyond [`LONGEST`]: a short mangled name can stand for a huge one.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > LONGEST {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// Cuts what compilers append to the symbols of a function's clones.
fn without_clone_suffixes(mut symbol: &[u8]) -> &[u8] {
    const WITH_NUMBER: [&[u8]; 7] = [
        b".part",
        b".isra",
        b".constprop",
        b".llvm",
        b".lto_priv",
        b".cold",
        // Of BOLT.
        b".warm",
    ];
    loop {
        let number = symbol
            .iter()
            .rev()
            .take_while(|c| c.is_ascii_digit())
            .count();
        let stem = match symbol.split_at(symbol.len() - number) {
            (stem, number) if !number.is_empty() => stem.strip_suffix(b".").unwrap_or(&[]),
            _ => symbol,
        };
        let suffix = WITH_NUMBER.iter().find(|suffix| {
            // These two need no number.
            stem.ends_with(suffix) && (number > 0 || matches!(**suffix, b".cold" | b".warm"))
        });
        match suffix.and_then(|suffix| stem.strip_suffix(*suffix)) {
            Some(rest) if !rest.is_empty() => symbol = rest,
            _ => return symbol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_as_their_authors_wrote_them() {
        for (symbol, name) in [
            (
                "_ZN4skip7Obstack6callocEm",
                "skip::Obstack::calloc(unsigned long)",
            ),
            ("_ZN3fooEv.cold", "foo()"),
            ("_ZN3fooEv.part.0.cold", "foo()"),
            ("_ZN3fooEv.warm", "foo()"),
            ("sk.Leaf_make13__call", "sk.Leaf_make13__call"),
            ("Vector.unsafeMake__call.1", "Vector.unsafeMake__call.1"),
            ("do_thing.constprop.0.isra.0", "do_thing"),
            ("fold.llvm.1234567890", "fold"),
            ("_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write"),
            (
                "_ZN4core3fmt5write17h0123456789abcdefE.llvm.99",
                "core::fmt::write",
            ),
            ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
            ("main", "main"),
            (".cold", ".cold"),
            ("x.5", "x.5"),
        ] {
            assert_eq!(demangle(symbol.as_bytes()), name);
        }
    }

    #[test]
    fn nothing_in_a_name_reaches_a_terminal() {
        assert_eq!(
            demangle(b"a\x1b[31m\nb\xff\xc2\x9b"),
            "a\\x1b[31m\\x0ab\\xff\\xc2\\x9b"
        );
    }

    #[test]
    fn overlong_names_are_cut() {
        let name = demangle(&vec![b'a'; 1_000_000]);
        assert!(name.len() < LONGEST + 8 && name.ends_with("a…"));
    }

    proptest! {
        #[test]
        fn any_bytes_make_a_printable_name(bytes: Vec<u8>) {
            let name = demangle(&bytes);
            prop_assert!(!name.chars().any(char::is_control));
        }

        #[test]
        fn any_mangled_looking_name_is_survived(tail in "(_ZN|_R|_ZT)[0-9A-Za-z_$.]{0,80}") {
            prop_assert!(!demangle(tail.as_bytes()).chars().any(char::is_control));
        }
    }
}
