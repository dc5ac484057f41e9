//! Programs under the oracle.

use super::{Allowed, Observed, at_length, compare};
use crate::support::{Run, Source, fixture_dir, output_of};
use std::time::{Duration, Instant};

fn random(arguments: &[u64]) -> Run {
    let arguments: Vec<String> = arguments.iter().map(u64::to_string).collect();
    Run::plain(Source::cpp("live_random").build()).args(&arguments)
}

const EXACT: Allowed = Allowed {
    wrappers: false,
    ended_threads: false,
    no_columns: false,
};

const QUICKLY: Allowed = Allowed {
    no_columns: true,
    ..EXACT
};

#[test]
fn random_programs_of_one_thread_agree() {
    compare(random(&[1, 0, 30_000]), 15_000, EXACT);
    for seed in 2..=4 {
        compare(random(&[seed, 0, 30_000]), 15_000, QUICKLY);
    }
}

#[test]
fn random_programs_with_threads_agree() {
    for (seed, threads, allowed) in [(11, 2, QUICKLY), (12, 4, EXACT), (13, 16, QUICKLY)] {
        compare(random(&[seed, threads, 50_000 / threads]), 20_000, allowed);
    }
}

#[test]
fn random_programs_with_whole_stacks_agree() {
    let run = random(&[21, 3, 10_000]).env("SKIP_HEAP_STACK_DEPTH", "full");
    compare(run, 15_000, EXACT);
}

#[test]
fn random_programs_that_leave_the_hot_path_agree() {
    // The verifier has each stack walked by the longer way.
    let run = random(&[22, 3, 5000]).env("SKIP_HEAP_VERIFY", "1/1");
    compare(run, 8_000, QUICKLY);
}

#[test]
fn random_programs_whose_threads_come_and_go_agree() {
    let allowed = Allowed {
        ended_threads: true,
        ..EXACT
    };
    compare(random(&[31, 8, 200, 30]), 20_000, allowed);
}

#[test]
fn many_random_programs_agree() {
    let (seeds, operations) = at_length((100..104, 20_000), (100..130, 200_000));
    for seed in seeds {
        let threads = seed % 9;
        compare(
            random(&[seed, threads, operations / (threads + 1)]),
            operations / 100,
            QUICKLY,
        );
    }
}

fn python(items: u32) -> Run {
    let script = format!(
        "import json, ast\n\
         data = [{{'name': 'n%d' % i, 'list': list(range(i % 50))}} for i in range({items})]\n\
         text = json.dumps(data)\n\
         print(len(text), sum(len(x['list']) for x in json.loads(text)))\n\
         source = '\\n'.join('x%d = [y * %d for y in z if y > 3]' % (i, i) for i in range({items} // 10))\n\
         print(len(ast.dump(ast.parse(source))), len(compile(source, 's', 'exec').co_code))\n"
    );
    Run::plain("/usr/bin/python3")
        .args(&["-S", "-c", &script])
        .env("PYTHONMALLOC", "malloc")
        .env("PYTHONHASHSEED", "0")
        .env("PYTHONDONTWRITEBYTECODE", "1")
}

#[test]
fn python3_agrees() {
    let (items, least) = at_length((1000, 100_000), (30_000, 1_000_000));
    compare(python(items), least, EXACT);
}

fn sqlite(rows: u32) -> Run {
    let script = format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, value REAL);\n\
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})\n\
         INSERT INTO t SELECT i, 'name ' || i, i * 0.5 FROM n;\n\
         CREATE INDEX by_name ON t (name);\n\
         UPDATE t SET name = name || name WHERE id % 3 = 0;\n\
         SELECT count(*), sum(value), max(name) FROM t WHERE name LIKE '%7%';\n\
         SELECT group_concat(name) FROM t WHERE id % 50 = 0 ORDER BY name DESC;\n"
    );
    Run::plain("/usr/bin/sqlite3")
        .arg(":memory:")
        .stdin(script.as_bytes())
}

#[test]
fn sqlite3_agrees() {
    let (rows, least) = at_length((5000, 10_000), (500_000, 1_000_000));
    compare(sqlite(rows), least, EXACT);
}

/// The C++ compiler proper on a preprocessed file.
fn compiler(source: &str) -> (Run, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let preprocessed = folder.path().join("source.ii");
    let from = fixture_dir().join(source);
    let (from, to) = (from.to_string_lossy(), preprocessed.to_string_lossy());
    output_of("g++", &["-E", "-P", "-o", &to, &from]);
    let run = Run::plain(output_of("g++", &["-print-prog-name=cc1plus"]).trim())
        .args(&["-quiet", "-fpreprocessed", "-O2", "-o", "/dev/null"])
        .arg(&preprocessed);
    (run, folder)
}

/// It has operator new in itself, under no name that the oracle could know.
const WRAPPERS: Allowed = Allowed {
    wrappers: true,
    ended_threads: false,
    no_columns: false,
};

#[test]
fn the_cpp_compiler_agrees() {
    let (source, least) = at_length(("exceptions.cpp", 5000), ("live_headers.cpp", 500_000));
    let (run, _folder) = compiler(source);
    compare(run, least, WRAPPERS);
}

#[test]
fn node_agrees() {
    let script = "const { Worker } = require('worker_threads'); let left = 3;\n\
        for (let i = 0; i < 3; i++) new Worker(`const m = {}; for (let i = 0; i < 3000; i++)\n\
        m['k' + i] = Buffer.alloc(i % 500).toString('hex'); console.log(JSON.stringify(m).length);`, \
        { eval: true });";
    let allowed = Allowed {
        ended_threads: true,
        no_columns: true,
        ..WRAPPERS
    };
    compare(
        Run::plain("/usr/bin/node").args(&["-e", script]),
        10_000,
        allowed,
    );
}

/// redis-server under redis-benchmark.
#[test]
fn redis_agrees() {
    let requests = at_length(2000, 100_000);
    let observed = Observed::new();
    let socket = observed.folder.path().join("socket");
    let socket = socket.to_string_lossy();
    let server = Run::plain("/usr/bin/redis-server")
        .args(&["--port", "0", "--save", "", "--appendonly", "no"])
        .args(&["--unixsocket", &socket]);
    let mut server = observed.arrange(server).start();
    server.wait_for_output("eady to accept connections");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !std::path::Path::new(&*socket).exists() {
        assert!(
            Instant::now() < deadline,
            "redis-server did not start: there is no {socket}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let count = requests.to_string();
    let tests = "set,get,incr,lpush,lpop,sadd,hset,zadd,lrange_100,mset";
    output_of(
        "redis-benchmark",
        &[
            "-s", &socket, "-q", "-n", &count, "-r", "1000", "-c", "10", "-t", tests,
        ],
    );
    output_of(
        "redis-cli",
        &["-s", &socket, "set", "large", &"x".repeat(50_000)],
    );
    server.signal(libc::SIGTERM);
    let outcome = server.finish();
    assert!(outcome.status.success(), "{outcome:?}");
    observed.compare(3 * requests, EXACT);
}
