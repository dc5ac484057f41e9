//! Prints the functions at addresses of a file, with the names that reports use: `locate FILE <
//! ADDRESSES`.
//!
//! Each line of input is an address of the file, in hexadecimal, which is looked up unchanged. Each
//! line of output has the address and, for each function, innermost first, a tab, its symbol or
//! name, `@`, and the source file and line. `scripts/names-parity` compares this output with that
//! of other programs.

use skipheap_symbolize::ObjectId;
use skipheap_symbolize::dwarf::{Located, locate};
use skipheap_symbolize::object_file::ObjectFile;
use skipheap_symbolize::symbols::find_all;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;

fn main() -> io::Result<()> {
    let path = std::env::args_os()
        .nth(1)
        .ok_or_else(|| io::Error::other("which file?"))?;
    let module = ObjectId {
        path: path.as_bytes(),
        build_id: &[],
        file: None,
    };
    let mut places: BTreeMap<u64, Vec<(String, String)>> = BTreeMap::new();
    for line in io::stdin().lock().lines() {
        let address = u64::from_str_radix(line?.trim(), 16).map_err(io::Error::other)?;
        places.entry(address).or_default();
    }
    let addresses: Vec<u64> = places.keys().copied().collect();
    locate(&module, &addresses, |address, found: Located<'_>| {
        let name = found.function.map(String::from_utf8_lossy);
        let at = format!("{}:{}", found.file.unwrap_or("?"), found.line.unwrap_or(0));
        let functions = places.entry(address).or_default();
        functions.push((name.unwrap_or_default().into_owned(), at));
    });
    let file = ObjectFile::open(&module).map_err(|why| io::Error::other(format!("{why:?}")))?;
    // The outermost function goes by its symbol.
    for (&address, symbol) in addresses.iter().zip(find_all(&file, &addresses)) {
        let Some(symbol) = symbol else { continue };
        let name = String::from_utf8_lossy(symbol.name).into_owned();
        let functions = places.entry(address).or_default();
        match functions.last_mut() {
            Some(outermost) => outermost.0 = name,
            None => functions.push((name, "?:0".to_owned())),
        }
    }
    let mut out = BufWriter::new(io::stdout().lock());
    for (address, functions) in places {
        write!(out, "{address:x}")?;
        for (name, at) in functions {
            write!(out, "\t{name}@{at}")?;
        }
        writeln!(out)?;
    }
    out.flush()
}
