//! What the summary says about memory and names that a run did not see, and how to see them.

use crate::harvest::Harvest;
use crate::terminal::table::share;
use crate::terminal::term::{printable, scaled};
use skipheap_responsible::is_unnamed;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Part of all bytes whose responsible functions have no names before that is said.
const MOST_UNNAMED: f64 = 0.2;
/// Resident memory that is not the program's own: of libraries, and of the profiler.
const USUAL_RSS: u64 = 40_000_000;
/// RSS in terms of bytes from malloc from which on most of it comes from somewhere else.
const MOSTLY: u64 = 2;

/// The hints there are, each a sentence.
pub(crate) fn hints(harvest: &Harvest) -> Vec<String> {
    rss(harvest).into_iter().chain(unnamed(harvest)).collect()
}

/// Says where most memory did not come from malloc.
fn rss(harvest: &Harvest) -> Option<String> {
    let peak_rss = harvest.peak_rss?;
    let [process] = &harvest.processes[..] else {
        return None;
    };
    let peak_live = process.live.as_ref().map(|live| live.peak_bytes);
    let (bytes, what) = match peak_live {
        Some(peak) if peak > 0 => (peak, ""),
        // All of it at once is the most that there can have been.
        _ => (process.totals.bytes, "at most "),
    };
    let is_usual = peak_rss < USUAL_RSS || peak_rss / MOSTLY < bytes;
    (!is_usual).then(|| {
        format!(
            "{}: {what}{} of {} RSS came from malloc; {}",
            printable(&process.program),
            scaled(bytes),
            scaled(peak_rss),
            more_of(&process.program)
        )
    })
}

/// How to see more of the memory of a program.
fn more_of(program: &str) -> &'static str {
    let starts = |name: &str| program.starts_with(name);
    match () {
        () if starts("python") => {
            "set PYTHONMALLOC=malloc to allocate Python's objects with malloc"
        }
        () if starts("php") => "set USE_ZEND_ALLOC=0 to allocate PHP's objects with malloc",
        () if starts("node") || starts("java") => {
            "the garbage-collected heap has a profiler of its own"
        }
        () => {
            "the rest is code, mappings, and memory that the program manages itself; --hook 'NAME(size=arg0)' counts \
             the calls of its allocator"
        }
    }
}

/// Says which module has no names, and what has them.
fn unnamed(harvest: &Harvest) -> Option<String> {
    let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
    for function in &harvest.functions.all {
        if is_unnamed(&function.name)
            && let Some((module, _)) = function.name.rsplit_once("+0x")
        {
            let sum = bytes.entry(module).or_default();
            *sum = sum.saturating_add(function.figures.bytes);
        }
    }
    let (module, bytes) = bytes.into_iter().max_by_key(|&(_, bytes)| bytes)?;
    if share(bytes, harvest.functions.bytes) < MOST_UNNAMED {
        return None;
    }
    let package = package_of(module, Path::new("/var/lib/dpkg/info"));
    let package = package.map_or(String::new(), |package| {
        format!("the package {package}-dbgsym or ")
    });
    Some(format!(
        "{} has no symbols for functions of its own: {package}`DEBUGINFOD_URLS=... skip-heapprof report` has their names",
        printable(module)
    ))
}

/// The package of Debian that has a file of this name among its programs and libraries.
fn package_of(module: &str, lists: &Path) -> Option<String> {
    let ending = format!("/{module}");
    let mut owners: Vec<String> = Vec::new();
    for entry in fs::read_dir(lists).ok()?.flatten() {
        let name = entry.file_name();
        let Some(package) = name.to_str().and_then(|name| name.strip_suffix(".list")) else {
            continue;
        };
        let Ok(text) = fs::read_to_string(entry.path()) else {
            continue;
        };
        let is_of_code = |line: &str| line.contains("/lib") || line.contains("bin/");
        if text
            .lines()
            .any(|line| line.ends_with(&ending) && is_of_code(line))
        {
            let package = package.split(':').next().unwrap_or(package);
            owners.push(package.to_owned());
        }
    }
    owners.sort_by_key(|name| (name.len(), name.clone()));
    owners.into_iter().next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harvest::Process;
    use crate::live::LiveHeap;
    use skipheap_profile::functions::{Function, Functions};
    use skipheap_profile::report::rows::Totals;

    fn harvest(program: &str, bytes: u64, peak: Option<u64>, rss: u64) -> Harvest {
        let live = peak.map(|peak_bytes| LiveHeap {
            peak_bytes,
            ..LiveHeap::default()
        });
        Harvest {
            peak_rss: Some(rss),
            processes: vec![Process {
                program: program.into(),
                totals: Totals {
                    bytes,
                    ..Totals::default()
                },
                live,
                ..Process::default()
            }],
            ..Harvest::default()
        }
    }

    #[test]
    fn memory_that_is_not_of_malloc_is_told() {
        let said = hints(&harvest("php8.2", 9_000_000, Some(2_300_000), 165_000_000));
        assert_eq!(said.len(), 1);
        assert!(
            said[0].starts_with(
                "php8.2: 2.3 MB of 165.0 MB RSS came from malloc; set USE_ZEND_ALLOC=0"
            )
        );
        let said = hints(&harvest("python3", 9_000_000, None, 165_000_000));
        assert!(said[0].starts_with(
            "python3: at most 9.0 MB of 165.0 MB RSS came from malloc; set PYTHONMALLOC"
        ));
        // What was allocated over time says nothing of RSS.
        assert!(hints(&harvest("jq", 150_000_000, None, 165_000_000)).is_empty());
        assert!(hints(&harvest("jq", 1_000, Some(1_000), 20_000_000)).is_empty());
    }

    #[test]
    fn the_package_with_names_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let write =
            |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write(
            "libfoo1:amd64.list",
            "/.\n/usr/lib/x86_64-linux-gnu/libfoo.so.1\n",
        );
        write("foo-doc.list", "/usr/share/doc/foo\n");
        assert_eq!(
            package_of("libfoo.so.1", folder.path()).as_deref(),
            Some("libfoo1")
        );
        assert_eq!(package_of("libbar.so.1", folder.path()), None);
        let function = |name: &str, bytes| Function {
            name: name.into(),
            figures: skipheap_responsible::Figures {
                bytes,
                ..skipheap_responsible::Figures::default()
            },
            ..Function::default()
        };
        let mut harvest = harvest("a", 1, None, 1);
        harvest.functions = Functions {
            all: vec![function("main", 60), function("libbar.so.1+0x10", 40)],
            bytes: 100,
            ..Functions::default()
        };
        assert!(
            hints(&harvest)[0].starts_with("libbar.so.1 has no symbols for functions of its own: ")
        );
        harvest.functions.bytes = 1000;
        assert!(hints(&harvest).is_empty());
    }
}
