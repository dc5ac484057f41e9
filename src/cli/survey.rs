//! Finds the names of many processes at once: what is known of a module is shared, and modules are
//! gone through side by side on all cores.
//!
//! Without it each process would have the symbols and the debug information of its modules gone
//! through anew for the few addresses that no process before it had. Names are found by the same
//! code in either case.

use crate::load::{self, Head};
use crate::signals;
use skipheap_format::reader::Recording;
use skipheap_profile::report::frames::{self, lookups};
use skipheap_symbolize::hash::FastMap;
use skipheap_symbolize::jit_dump;
use skipheap_symbolize::places::{Place, Places};
use skipheap_symbolize::{Build, ObjectId, Symbolizer};
use std::collections::HashSet;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Path and build of a module.
type Key = (Vec<u8>, Build);

/// The module that a key stands for.
fn object((path, build): &Key) -> ObjectId<'_> {
    let (build_id, file) = match build {
        Build::Id(id) => (&id[..], None),
        Build::File(file) => (&[][..], *file),
    };
    ObjectId {
        path,
        build_id,
        file,
    }
}

/// Most threads: beyond that they wait for the disk.
const MOST_THREADS: usize = 16;

/// Looks up what all these processes will ask for: names, and with `places` lines and inlined
/// functions. What cannot be read is for others to complain of.
pub(crate) fn survey(heads: &[Head], symbolizer: &mut Symbolizer, places: Option<&mut Places>) {
    let mut wanted: FastMap<Key, HashSet<u64>> = FastMap::default();
    for part in side_by_side(heads.len(), |next| lookups_of(heads, next)) {
        for (module, addresses) in part {
            wanted.entry(module).or_default().extend(addresses);
        }
    }
    let mut modules: Vec<(Key, Vec<u64>)> = wanted
        .into_iter()
        .map(|(module, addresses)| (module, addresses.into_iter().collect()))
        .collect();
    // The longest work first, so that no thread begins it last.
    modules.sort_by_key(|(module, addresses)| (usize::MAX - addresses.len(), module.clone()));
    let tasks = match &places {
        Some(_) => modules.len() * 2,
        None => modules.len(),
    };
    // Lines take longer than names.
    let task = |index: usize| {
        let is_places = index < tasks - modules.len();
        let index = if is_places {
            index
        } else {
            index - (tasks - modules.len())
        };
        let (key, addresses) = &modules[index];
        Found::of(index, object(key), addresses, is_places)
    };
    let found = side_by_side(tasks, |next| next.map(task).collect::<Vec<_>>());
    let mut places = places;
    for found in found.into_iter().flatten() {
        let module = object(&modules[found.module].0);
        match (found.is_places, &mut places) {
            (true, Some(places)) => found.teach_places(&module, places),
            _ => found.teach_names(&module, symbolizer),
        }
    }
}

/// Runs `work` in as many threads as there are cores, each with a share of the numbers below
/// `count`, which they take one by one. None is given out once a signal has asked for the report.
fn side_by_side<T: Send>(
    count: usize,
    work: impl Fn(&mut dyn Iterator<Item = usize>) -> T + Sync,
) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let run = || {
        let mut numbers = std::iter::from_fn(|| {
            let number = next.fetch_add(1, Relaxed);
            (number < count && !signals::is_hurried()).then_some(number)
        });
        work(&mut numbers)
    };
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let threads = cores.min(MOST_THREADS).min(count);
    thread::scope(|scope| {
        // Where no thread can be started, this one does what is left.
        let started: Vec<_> = (1..threads)
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, run).ok())
            .collect();
        let mut results = vec![run()];
        for thread in started {
            results.push(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        results
    })
}

/// The addresses that the frames of some recordings are looked up by, each once.
fn lookups_of(
    heads: &[Head],
    numbers: &mut dyn Iterator<Item = usize>,
) -> FastMap<Key, HashSet<u64>> {
    let mut wanted: FastMap<Key, HashSet<u64>> = FastMap::default();
    for number in numbers {
        let Ok((bytes, _)) = load::bytes_and_owner(&heads[number].path) else {
            continue;
        };
        let Ok(recording) = Recording::parse(&bytes) else {
            continue;
        };
        let nodes = recording.stack_nodes().map(|(_, node)| node.frame);
        let sites = recording.sites().flat_map(|site| site.frames);
        let Ok(by_module) = lookups(&recording, nodes.chain(sites)) else {
            continue;
        };
        for (id, addresses) in by_module {
            let Ok(module) = recording.module(id) else {
                continue;
            };
            // What was made at run time is another thing in each process.
            if jit_dump::process_of(module.path).is_none() {
                let key = (module.path.to_vec(), frames::object(&module).build());
                wanted.entry(key).or_default().extend(addresses);
            }
        }
    }
    wanted
}

/// Function and file as numbers of texts, and the line.
type FoundPlace = (u32, u32, Option<u32>);

/// What was found in a module, in a form that can go from thread to thread.
#[derive(Default)]
struct Found {
    module: usize,
    is_places: bool,
    texts: Texts,
    /// By address: a name, or function, file and line of each place.
    names: Vec<(u64, u32)>,
    places: Vec<(u64, Vec<FoundPlace>)>,
}

impl Found {
    fn of(index: usize, module: ObjectId<'_>, addresses: &[u64], is_places: bool) -> Self {
        let mut found = Self {
            module: index,
            is_places,
            ..Self::default()
        };
        if is_places {
            let mut places = Places::default();
            places.prepare(&module, addresses.to_vec());
            for &address in addresses {
                let texts = &mut found.texts;
                let place = |place: &Place| {
                    let function = texts.number(place.function.as_ref());
                    (function, texts.number(place.file.as_ref()), place.line)
                };
                let places = places.at(&module, address).iter().map(place).collect();
                found.places.push((address, places));
            }
        } else {
            let mut symbolizer = Symbolizer::new();
            symbolizer.prepare(&module, addresses.to_vec());
            for &address in addresses {
                let name = symbolizer.in_file(&module, address);
                found.names.push((address, found.texts.number(Some(&name))));
            }
        }
        found
    }

    fn teach_names(self, module: &ObjectId<'_>, symbolizer: &mut Symbolizer) {
        let texts = self.texts.shared();
        let names = self.names.into_iter();
        let named = names.filter_map(|(address, name)| Some((address, texts.get(name)?)));
        symbolizer.learn(module, named);
    }

    fn teach_places(self, module: &ObjectId<'_>, places: &mut Places) {
        let texts = self.texts.shared();
        let place = |(function, file, line)| Place {
            function: texts.get(function),
            file: texts.get(file),
            line,
        };
        for (address, found) in self.places {
            places.learn(module, address, found.into_iter().map(place));
        }
    }
}

/// Texts with numbers from 1; 0 is none.
#[derive(Default)]
struct Texts {
    texts: Vec<String>,
    numbers: FastMap<String, u32>,
}

impl Texts {
    fn number(&mut self, text: Option<&Rc<str>>) -> u32 {
        let Some(text) = text else { return 0 };
        if let Some(&number) = self.numbers.get(&**text) {
            return number;
        }
        self.texts.push(text.to_string());
        let number = self.texts.len() as u32;
        self.numbers.insert(text.to_string(), number);
        number
    }

    fn shared(&self) -> Shared {
        Shared(self.texts.iter().map(|text| text.as_str().into()).collect())
    }
}

/// Texts that each stand once, for one thread alone.
struct Shared(Vec<Rc<str>>);

impl Shared {
    fn get(&self, number: u32) -> Option<Rc<str>> {
        self.0.get((number as usize).checked_sub(1)?).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_given_out_once() {
        let mut given: Vec<usize> = side_by_side(100, |numbers| numbers.collect::<Vec<_>>())
            .into_iter()
            .flatten()
            .collect();
        given.sort_unstable();
        assert_eq!(given, (0..100).collect::<Vec<_>>());
        assert_eq!(side_by_side(0, |numbers| numbers.count()), [0]);
    }

    #[test]
    fn texts_come_back_as_they_were() {
        let mut texts = Texts::default();
        let (one, two): (Rc<str>, Rc<str>) = ("one".into(), "two".into());
        let numbers = [None, Some(&one), Some(&two), Some(&one)].map(|text| texts.number(text));
        assert_eq!(numbers, [0, 1, 2, 1]);
        let shared = texts.shared();
        assert_eq!(
            numbers.map(|number| shared.get(number)),
            [None, Some(one.clone()), Some(two), Some(one)]
        );
    }
}
