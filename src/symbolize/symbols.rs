//! The function symbols of one module, from all files that describe it, sorted for look-up.

/// Where a symbol's name is.
#[derive(Clone, Copy)]
struct NameAt {
    /// Index into [`Symbols::data`].
    data: u32,
    offset: u32,
    len: u32,
}

/// A symbol as found in a file.
pub(crate) struct RawSymbol<'d> {
    /// First address (SVMA).
    pub(crate) start: u64,
    /// Bytes of the function; 0 when unknown.
    pub(crate) size: u64,
    /// End of the section that holds it: where a function of unknown size ends at the latest.
    pub(crate) section_end: u64,
    /// Mangled name, a part of the file's bytes.
    pub(crate) name: &'d [u8],
    /// Not local to the file.
    pub(crate) global: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    start: u64,
    /// Exclusive; set by `finish` for symbols of unknown size.
    end: u64,
    section_end: u64,
    global: bool,
    name: NameAt,
}

/// Bytes that hold names: a mapped file, or one that was unpacked.
pub(crate) type Data = Box<dyn std::ops::Deref<Target = [u8]>>;

/// The function symbols of a module.
#[derive(Default)]
pub(crate) struct Symbols {
    entries: Vec<Entry>,
    data: Vec<Data>,
}

/// The function found for an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'s> {
    /// First address (SVMA).
    pub(crate) start: u64,
    /// Mangled name without a symbol version.
    pub(crate) name: &'s [u8],
}

impl Symbols {
    /// Adds what `read` finds in `data`, and keeps `data` for the names.
    pub(crate) fn add(
        &mut self,
        data: Data,
        read: impl FnOnce(&[u8], &mut dyn FnMut(RawSymbol<'_>)),
    ) {
        let index = self.data.len() as u32;
        let entries = &mut self.entries;
        let bytes: &[u8] = &data;
        read(bytes, &mut |symbol| {
            let Some(offset) = (symbol.name.as_ptr() as usize).checked_sub(bytes.as_ptr() as usize)
            else {
                return;
            };
            let (Ok(offset), Ok(len)) = (u32::try_from(offset), u32::try_from(symbol.name.len()))
            else {
                return;
            };
            // Versions stand in the name in some symbol tables.
            let len = symbol
                .name
                .iter()
                .position(|&c| c == b'@')
                .map_or(len, |at| at as u32);
            if len == 0 || symbol.start == 0 {
                return;
            }
            entries.push(Entry {
                start: symbol.start,
                end: symbol.start.saturating_add(symbol.size),
                section_end: symbol.section_end,
                global: symbol.global,
                name: NameAt {
                    data: index,
                    offset,
                    len,
                },
            });
        });
        self.data.push(data);
    }

    /// The bytes of the first file that was added.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        self.data.first().map(|data| &***data)
    }

    /// Sorts, leaves one symbol for each address, and gives symbols of unknown size an end.
    pub(crate) fn finish(&mut self) {
        let mut entries = std::mem::take(&mut self.entries);
        // The first of each address is kept: sized before unsized, then the name a person would
        // use: global, few leading underscores, short, first in the alphabet.
        entries.sort_by(|a, b| {
            let (a_name, b_name) = (self.name(a.name), self.name(b.name));
            let underscores = |name: &[u8]| name.iter().take_while(|&&c| c == b'_').count();
            a.start
                .cmp(&b.start)
                .then((a.end == a.start).cmp(&(b.end == b.start)))
                .then(b.global.cmp(&a.global))
                .then(underscores(a_name).cmp(&underscores(b_name)))
                .then(a_name.len().cmp(&b_name.len()))
                .then(a_name.cmp(b_name))
        });
        entries.dedup_by_key(|entry| entry.start);
        let next: Vec<u64> = entries.iter().skip(1).map(|entry| entry.start).collect();
        for (i, entry) in entries.iter_mut().enumerate() {
            if entry.end == entry.start {
                let next = next.get(i).copied().unwrap_or(u64::MAX);
                entry.end = next.min(entry.section_end).max(entry.start);
            }
        }
        entries.shrink_to_fit();
        self.entries = entries;
    }

    fn name(&self, at: NameAt) -> &[u8] {
        let start = at.offset as usize;
        self.data
            .get(at.data as usize)
            .and_then(|data| data.get(start..start + at.len as usize))
            .unwrap_or(&[])
    }

    /// The function that contains an address.
    pub(crate) fn find(&self, address: u64) -> Option<Found<'_>> {
        /// How many labels inside a function are passed over.
        const NESTED: usize = 16;
        let behind = self.entries.partition_point(|entry| entry.start <= address);
        let first = behind.saturating_sub(NESTED);
        let entry = self
            .entries
            .get(first..behind)?
            .iter()
            .rev()
            .find(|entry| address < entry.end)?;
        Some(Found {
            start: entry.start,
            name: self.name(entry.name),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(list: &[(u64, u64, &str, bool)]) -> Symbols {
        let text: String = list.iter().map(|symbol| symbol.2).collect();
        let mut symbols = Symbols::default();
        symbols.add(Box::new(text.into_bytes()), |bytes, add| {
            let mut at = 0;
            for &(start, size, name, global) in list {
                let name = &bytes[at..at + name.len()];
                at += name.len();
                add(RawSymbol {
                    start,
                    size,
                    section_end: 0x2000,
                    name,
                    global,
                });
            }
        });
        symbols.finish();
        symbols
    }

    fn name_at(symbols: &Symbols, address: u64) -> Option<String> {
        symbols
            .find(address)
            .map(|found| String::from_utf8(found.name.to_vec()).unwrap())
    }

    #[test]
    fn sizes_bound_functions_and_gaps_have_no_name() {
        let s = symbols(&[
            (0x1000, 0x10, "a", true),
            (0x1020, 0, "asm", false),
            (0x1040, 8, "b", false),
        ]);
        assert_eq!(name_at(&s, 0xfff), None);
        assert_eq!(name_at(&s, 0x1000).as_deref(), Some("a"));
        assert_eq!(name_at(&s, 0x100f).as_deref(), Some("a"));
        assert_eq!(name_at(&s, 0x1010), None);
        assert_eq!(name_at(&s, 0x103f).as_deref(), Some("asm"));
        assert_eq!(name_at(&s, 0x1047).as_deref(), Some("b"));
        assert_eq!(name_at(&s, 0x1048), None);
    }

    #[test]
    fn among_aliases_the_plain_global_name_wins() {
        let s = symbols(&[
            (0x1000, 8, "__libc_malloc", true),
            (0x1000, 8, "malloc", true),
            (0x1000, 8, "m", false),
            (0x1000, 0, "label", true),
        ]);
        assert_eq!(name_at(&s, 0x1004).as_deref(), Some("malloc"));
    }

    #[test]
    fn labels_inside_a_function_do_not_hide_it() {
        let s = symbols(&[(0x1000, 0x100, "outer", true), (0x1010, 4, "inner", false)]);
        assert_eq!(name_at(&s, 0x1011).as_deref(), Some("inner"));
        assert_eq!(name_at(&s, 0x1050).as_deref(), Some("outer"));
    }

    #[test]
    fn symbol_versions_are_cut() {
        let s = symbols(&[(0x1000, 8, "memcpy@@GLIBC_2.14", true)]);
        assert_eq!(name_at(&s, 0x1000).as_deref(), Some("memcpy"));
    }
}
