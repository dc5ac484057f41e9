//! Real programs, compared with a simple counter of its own (`programs/oracle.c`).
//!
//! Each program runs twice under the oracle and once under the library, with the same arguments,
//! environment and input. The two oracle runs must agree with each other, or the program is not
//! repeatable and the test would prove nothing; the library must agree with them, size by size.

use crate::support::{
    Outcome, Report, Run, Source, is_emulated, is_system_frame, library, output_of,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use tempfile::TempDir;

/// Return addresses in a record of the oracle.
const FRAMES: usize = 31;
/// Bytes of a record, and of the header.
const RECORD: usize = 8 * (1 + FRAMES);

/// What the oracle saw of a call.
struct Call {
    size: u64,
    /// Innermost first.
    frames: Vec<u64>,
}

/// What the oracle saw of a run.
struct Log {
    calls: Vec<Call>,
    /// Load address of the executable and end of its memory.
    base: u64,
    end: u64,
}

impl Log {
    fn read(path: &Path) -> Self {
        let mut file = File::open(path).expect("the oracle's file");
        let mut words = |count: usize| -> Vec<u64> {
            let mut bytes = vec![0; 8 * count];
            file.read_exact(&mut bytes).expect("the oracle's file");
            bytes
                .chunks_exact(8)
                .map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
                .collect()
        };
        let header = words(RECORD / 8);
        let records = words(header[0] as usize * RECORD / 8);
        let calls = records
            .chunks_exact(RECORD / 8)
            .map(|record| Call {
                size: record[0],
                frames: record[1..].iter().copied().filter(|&pc| pc != 0).collect(),
            })
            .collect();
        Self {
            calls,
            base: header[1],
            end: header[2],
        }
    }

    fn by_size(&self) -> BTreeMap<u64, u64> {
        let mut sizes = BTreeMap::new();
        for call in &self.calls {
            *sizes.entry(call.size).or_default() += 1;
        }
        sizes
    }
}

/// Runs a program with a library preloaded. Programs copy their environment and remember paths, so
/// its length is the same for every library: each is preloaded by a link of the same name.
fn preloaded(arrange: &dyn Fn() -> Run, preload: &Path, frames: bool) -> (Outcome, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("preload.so");
    std::os::unix::fs::symlink(preload, &link).expect("a link to the library");
    let outcome = arrange()
        .fixed_addresses()
        .env("LD_PRELOAD", &link)
        .env("ORACLE_FILE", folder.path().join("oracle"))
        .env("ORACLE_FRAMES", if frames { "1" } else { "0" })
        .succeed();
    (outcome, folder)
}

/// Runs a program under the oracle.
fn oracle(arrange: &dyn Fn() -> Run, frames: bool) -> (Outcome, Log) {
    let (outcome, folder) = preloaded(arrange, &Source::c_library("oracle").build(), frames);
    let log = Log::read(&folder.path().join("oracle"));
    (outcome, log)
}

/// Runs a program under both and compares calls by size, and what it printed.
fn compare(least: u64, arrange: &dyn Fn() -> Run) {
    compare_except(&[], least, arrange);
}

/// Runs a program under both and compares calls by size, but for some sizes, and what it printed.
fn compare_except(sizes: &[u64], least: u64, arrange: &dyn Fn() -> Run) {
    let without = |mut by_size: BTreeMap<u64, u64>| {
        by_size.retain(|size, _| !sizes.contains(size));
        by_size
    };
    let (first_run, first) = oracle(arrange, false);
    let (second_run, second) = oracle(arrange, false);
    assert_eq!(
        first.by_size(),
        second.by_size(),
        "two runs of the program differ under the oracle: choose another command"
    );
    assert_eq!(first_run.stdout, second_run.stdout);
    let total: u64 = first.by_size().values().sum();
    assert!(total >= least, "the program made only {total} allocations");

    let (profiled, _folder) = preloaded(arrange, library(), false);
    assert_eq!(profiled.stdout, first_run.stdout);
    let report = profiled.report();
    let wanted = without(first.by_size());
    let found = without(report.by_size());
    let differences: Vec<String> = wanted
        .keys()
        .chain(found.keys())
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .map(|size| (size, wanted.get(size), found.get(size)))
        .filter(|(_, wanted, found)| wanted != found)
        .map(|(size, wanted, found)| format!("{size} bytes: {wanted:?} calls, found {found:?}"))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let bytes: u64 = wanted.iter().map(|(size, calls)| size * calls).sum();
    let found_bytes: u64 = found.iter().map(|(size, calls)| size * calls).sum();
    assert_eq!(found_bytes, bytes);
}

#[test]
fn sqlite3_agrees() {
    let script = "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, value REAL);\n\
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)\n\
        INSERT INTO t SELECT i, 'name ' || i, i * 0.5 FROM n;\n\
        CREATE INDEX by_name ON t (name);\n\
        SELECT count(*), sum(value), max(name) FROM t WHERE name LIKE '%7%';\n\
        SELECT group_concat(name) FROM t WHERE id % 500 = 0 ORDER BY name DESC;\n";
    // That of Debian 13, which is the one for AArch64, keeps its rows in few large blocks.
    let least = if is_emulated() { 500 } else { 10_000 };
    compare(least, &|| {
        Run::plain("/usr/bin/sqlite3")
            .arg(":memory:")
            .stdin(script.as_bytes())
    });
}

#[test]
fn python3_agrees() {
    let script = "import json\n\
        data = [{'name': 'n%d' % i, 'list': list(range(i % 50))} for i in range(3000)]\n\
        text = json.dumps(data)\n\
        print(len(text), sum(len(x['list']) for x in json.loads(text)))\n\
        print(sorted({str(i) for i in range(2000)})[-1])\n";
    compare(100_000, &|| {
        Run::plain("/usr/bin/python3")
            .args(&["-S", "-c", script])
            .env("PYTHONMALLOC", "malloc")
            .env("PYTHONHASHSEED", "0")
            .env("PYTHONDONTWRITEBYTECODE", "1")
    });
}

#[test]
fn perl_agrees() {
    let script = "my %h; for my $i (1..20000) { $h{\"key$i\"} = [$i, \"v\" x ($i % 40)]; } \
        my $n = 0; for my $k (sort keys %h) { $n += length $h{$k}[1]; } print \"$n\\n\";";
    compare(50_000, &|| {
        Run::plain("/usr/bin/perl")
            .args(&["-e", script])
            .env("PERL_HASH_SEED", "0")
            .env("PERL_PERTURB_KEYS", "0")
    });
}

#[test]
fn jq_agrees() {
    let filter = "[range(3000) | {id: ., name: \"n\\(.)\", tags: [\"a\", \"b\\(. % 7)\"]}] \
        | group_by(.tags[1]) | map({tag: .[0].tags[1], count: length})";
    compare(10_000, &|| {
        Run::plain("/usr/bin/jq").args(&["-n", "-c", filter])
    });
}

#[test]
fn git_agrees() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_string_lossy().into_owned();
    let git = |args: &[&str]| {
        let mut all = vec![
            "-C",
            &path,
            "-c",
            "user.name=n",
            "-c",
            "user.email=e@example.org",
        ];
        all.extend(args);
        output_of("git", &all)
    };
    git(&["init", "-q"]);
    for round in 0..20 {
        for file in 0..10 {
            let text = format!("round {round}\n").repeat(file + round);
            std::fs::write(folder.path().join(format!("file{file}")), text).expect("a file");
        }
        git(&["add", "."]);
        git(&["commit", "-q", "-m", &format!("round {round}")]);
    }
    compare(500, &|| {
        Run::plain("git")
            .args(&["-C", &path, "log", "-p", "--stat", "--format=%s"])
            .env("GIT_CONFIG_NOSYSTEM", "1")
    });
}

#[test]
fn the_c_compiler_agrees() {
    // The compiler proper on a preprocessed file: gcc itself only starts it.
    let compiler = output_of("gcc", &["-print-prog-name=cc1"]);
    let source = crate::support::fixture_dir().join("behaviour.c");
    let folder = tempfile::tempdir().expect("a folder");
    let preprocessed = folder.path().join("behaviour.i");
    let (from, to) = (source.to_string_lossy(), preprocessed.to_string_lossy());
    output_of("gcc", &["-E", "-P", "-o", &to, &from]);
    // The compiler's own collector has a page table of this size for each 4 GB of addresses that
    // its memory lies in, and where that is depends on what else is mapped.
    const PAGE_TABLE: u64 = 32_768;
    compare_except(&[PAGE_TABLE], 5_000, &|| {
        Run::plain(compiler.trim())
            .args(&["-quiet", "-fpreprocessed", "-O2", "-o", "/dev/null"])
            .arg(&preprocessed)
    });
}

/// Names of a program's functions by the address where they start.
fn functions(program: &Path) -> BTreeMap<u64, (u64, String)> {
    output_of("nm", &["-S", "--defined-only", &program.to_string_lossy()])
        .lines()
        .filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [start, size, kind, name] = words[..] else {
                return None;
            };
            let hex = |text| u64::from_str_radix(text, 16).ok();
            matches!(kind, "t" | "T").then_some((hex(start)?, (hex(size)?, name.to_owned())))
        })
        .collect()
}

/// The four names that the issue asks for, from a whole stack of the oracle.
fn four_names(log: &Log, call: &Call, functions: &BTreeMap<u64, (u64, String)>) -> [String; 4] {
    let mut frames = call.frames.clone();
    frames.dedup();
    let mut names = frames.iter().take(4).map(|&pc| {
        if !(log.base..log.end).contains(&pc) {
            return "libc".to_owned();
        }
        let address = pc - log.base - 1;
        functions
            .range(..=address)
            .next_back()
            .filter(|(start, (size, _))| address < *start + size)
            .map_or("?".to_owned(), |(_, (_, name))| name.clone())
    });
    std::array::from_fn(|_| names.next().unwrap_or("-".to_owned()))
}

fn names_of(report: &Report) -> BTreeMap<([String; 4], u64), u64> {
    let mut rows = BTreeMap::new();
    for row in &report.rows {
        let names = row.frames.clone().map(|name| match is_system_frame(&name) {
            true => "libc".to_owned(),
            false => name,
        });
        *rows.entry((names, row.size)).or_default() += row.calls;
    }
    rows
}

#[test]
fn every_stack_of_a_large_call_graph_agrees() {
    for flags in [
        ["-O2", "-fomit-frame-pointer"],
        ["-O1", "-fno-omit-frame-pointer"],
    ] {
        let program = Source::c("call_graph").flags(&flags).build();
        let (_, log) = oracle(&|| Run::plain(&program), true);
        let functions = functions(&program);
        let mut wanted = BTreeMap::new();
        for call in &log.calls {
            let site = (four_names(&log, call, &functions), call.size);
            *wanted.entry(site).or_default() += 1;
        }
        let report = Run::preloaded(&program).succeed().report();
        let found = names_of(&report);
        assert!(wanted.len() > 300, "{} sites", wanted.len());
        for (site, calls) in &wanted {
            assert_eq!(found.get(site), Some(calls), "{site:?}");
        }
        assert_eq!(found.len(), wanted.len());
    }
}
