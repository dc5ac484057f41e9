//! The rows by the function that is responsible for them: what people look at first.

use super::names::{NO_NAME, Names};
use super::rows::{Figures, Row};
use skipheap_responsible::{Kind, Plumbing, is_unnamed};
use skipheap_symbolize::hash::FastMap;

/// All allocations that a function is responsible for.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    /// Number of its name, and of those of its callers in the largest row.
    pub(crate) names: [u32; 4],
    /// Number of the name of the plumbing that it calls there; [`NO_NAME`] of none.
    pub(crate) via: u32,
    /// Sums.
    pub(crate) figures: Figures,
    /// Size with the most bytes.
    pub(crate) size: u64,
    /// Its rows, by their places.
    pub(crate) rows: Vec<u32>,
    /// Bytes of the largest row.
    largest: u64,
}

/// Where in a row's names the responsible function and its plumbing are.
#[derive(Clone, Copy)]
struct Who {
    at: usize,
    via: Option<usize>,
}

/// Finds responsible functions, each name and each row once.
pub(crate) struct Functions {
    plumbing: Plumbing,
    kinds: FastMap<u32, Kind>,
    who: Vec<Who>,
    all: Vec<Function>,
}

impl Functions {
    /// Knows none yet. Wrappers are those of the table: to find others in the data, all of these have to
    /// be there.
    pub(crate) fn new(plumbing: Plumbing) -> Self {
        Self {
            plumbing,
            kinds: FastMap::default(),
            who: Vec::new(),
            all: Vec::new(),
        }
    }

    /// All functions, in no order.
    pub(crate) fn all(&self) -> &[Function] {
        &self.all
    }

    /// Takes over what the rows say by now.
    pub(crate) fn update(&mut self, rows: &[Row], names: &Names) {
        for row in rows.iter().skip(self.who.len()) {
            let who = self.find(row, names);
            self.who.push(who);
        }
        let mut by_name: FastMap<u32, usize> = FastMap::default();
        self.all.clear();
        for ((row, who), place) in rows.iter().zip(&self.who).zip(0..) {
            let name = row.names[who.at];
            let index = *by_name.entry(name).or_insert_with(|| {
                self.all.push(Function {
                    names: [NO_NAME; 4],
                    via: NO_NAME,
                    figures: Figures::default(),
                    size: 0,
                    rows: Vec::new(),
                    largest: 0,
                });
                self.all.len() - 1
            });
            let function = &mut self.all[index];
            let figures = row.figures();
            if function.rows.is_empty() || figures.bytes > function.largest {
                function.largest = figures.bytes;
                function.size = row.size;
                function.via = who.via.map_or(NO_NAME, |via| row.names[via]);
                function.names = [NO_NAME; 4];
                for (to, &from) in function.names.iter_mut().zip(&row.names[who.at..]) {
                    *to = from;
                }
            }
            function.figures.add(&figures);
            function.rows.push(place);
        }
    }

    fn find(&mut self, row: &Row, names: &Names) -> Who {
        let stack = row.names.iter().take_while(|&&name| name != NO_NAME);
        let stack: Vec<u32> = stack.copied().collect();
        let kinds: Vec<Kind> = stack
            .iter()
            .map(|&name| {
                let kind = self.kinds.entry(name);
                *kind.or_insert_with(|| self.plumbing.kind(names.name(name)))
            })
            .collect();
        let unnamed = |at: usize| {
            let name = stack.get(at);
            name.is_some_and(|&name| is_unnamed(names.name(name)))
        };
        match Plumbing::responsible(&kinds, unnamed) {
            Some(found) => Who {
                at: found.at,
                via: found.via,
            },
            None => Who { at: 0, via: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_wrappers_of_a_function_are_one_line() {
        let mut names = Names::new(None);
        let numbers = ["xmalloc", "load", "main", "parse"].map(|name| names.intern(name.into()));
        let [xmalloc, load, main, parse] = numbers;
        let row = |names: [u32; 4], size, calls| Row::of(names, size, calls);
        let rows = [
            row([xmalloc, load, main, NO_NAME], 100, 1),
            row([load, main, NO_NAME, NO_NAME], 16, 20),
            row([parse, main, NO_NAME, NO_NAME], 8, 3),
        ];
        let mut functions = Functions::new(Plumbing::new());
        functions.update(&rows[..1], &names);
        assert_eq!(functions.all()[0].via, xmalloc);
        functions.update(&rows, &names);
        let all = functions.all();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].names[..2], [load, main]);
        assert_eq!((all[0].figures.bytes, all[0].figures.calls), (420, 21));
        assert_eq!((all[0].size, all[0].via), (16, NO_NAME));
        assert_eq!(all[0].rows, [0, 1]);
        assert_eq!(all[1].figures.bytes, 24);
    }
}
