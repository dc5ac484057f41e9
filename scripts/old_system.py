"""Compares what the profiler counts with an independent counter, for real programs and in all modes: run by
scripts/old-systems in a chroot of the old system, by its own Python.

Usage: old_system.py TOOL LIBRARY COUNTER     COUNTER is preload-tests/programs/oracle.c, built there
"""

import collections
import csv
import os
import re
import struct
import subprocess
import sys
import tempfile

TOOL, LIBRARY, COUNTER = sys.argv[1:4]
# A record of the counter: the size and 31 return addresses, which are not asked for.
RECORD = 32 * 8

SQL = """CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, value REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
INSERT INTO t SELECT i, 'name ' || i, i * 0.5 FROM n;
CREATE INDEX by_name ON t (name);
SELECT count(*), sum(value), max(name) FROM t WHERE name LIKE '%7%';
"""
PYTHON = """import json
data = [{'name': 'n%d' % i, 'list': list(range(i % 50))} for i in range(1000)]
print(len(json.dumps(data)), sorted({str(i) for i in range(2000)})[-1])
"""
PERL = """my %h; for my $i (1..20000) { $h{"key$i"} = [$i, "v" x ($i % 40)]; }
my $n = 0; for my $k (sort keys %h) { $n += length $h{$k}[1]; } print "$n\\n";"""
JQ = '[range(3000) | {id: ., tags: ["a", "b\\(. % 7)"]}] | group_by(.tags[1]) | map({count: length})'
# Sizes of what depends on the addresses that a program gets: a page table of the compiler's collector.
BY_ADDRESS = {"cc1": {32768}}
ATTEMPTS = 3

# Each with what the library's report or the tool's summary must say; None stands for no more than the counts.
MODES = {
    "four frames": ({}, None),
    "whole stacks": ({"SKIP_HEAP_STACK_DEPTH": "full"}, None),
    "live heap": ({"SKIP_HEAP_LIVE": "1"}, None),
    "leak check": ({"SKIP_HEAP_LIVE": "1", "SKIP_HEAP_LEAK_CHECK": "1"}, r"leaked \(unreachable\): |no leaks"),
    "verified": ({"SKIP_HEAP_VERIFY": "1/1"}, r"unwinder: [1-9]\d*, disagreements: 0,"),
    "verified live": (
        {"SKIP_HEAP_VERIFY": "1/1", "SKIP_HEAP_LIVE": "1", "SKIP_HEAP_STACK_DEPTH": "full"},
        r"unwinder: [1-9]\d*, disagreements: 0,",
    ),
}
# What would tell of something that is missing, or was stopped at.
BAD = re.compile(r"not recorded|not tracked|internal error|No space|disk full|cannot be loaded|no leak check")


def output(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.decode().strip()


def programs(folder):
    """Name, command line, standard input."""
    yield "perl", ["perl", "-e", PERL], ""
    yield "python3", ["python3", "-S", "-c", PYTHON], ""
    yield "sqlite3", ["sqlite3", ":memory:"], SQL
    yield "jq", ["jq", "-n", "-c", JQ], ""
    repository = os.path.join(folder, "repository")
    git = ["git", "-C", repository, "-c", "user.name=n", "-c", "user.email=e@example.org"]
    output("git", "init", "-q", repository)
    for number in range(20):
        with open(os.path.join(repository, "file"), "a") as file:
            file.write("line %d\n" % number * (number + 1))
        output(*git, "add", ".")
        output(*git, "commit", "-q", "-m", "round %d" % number)
    yield "git", ["git", "-C", repository, "log", "-p", "--stat", "--format=%s"], ""
    source = os.path.join(folder, "a.c")
    with open(source, "w") as file:
        file.write("#include <stdio.h>\n#include <stdlib.h>\nint main(void) { printf(\"%d\\n\", atoi(\"3\")); return 0; }\n")
    output("gcc", "-E", "-P", "-o", source + ".i", source)
    cc1 = output("gcc", "-print-prog-name=cc1")
    yield "cc1", [cc1, "-quiet", "-fpreprocessed", "-O2", "-o", "/dev/null", source + ".i"], ""


def run(command, text, library, settings, folder):
    """Runs a program with a library preloaded. The environment has the same length with each of them, because programs
    copy it."""
    link = os.path.join(folder, "preload.so")
    if os.path.lexists(link):
        os.unlink(link)
    os.symlink(library, link)
    environment = {
        "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": folder, "TMPDIR": folder, "LD_PRELOAD": link,
        "ORACLE_FILE": os.path.join(folder, "counter"), "ORACLE_FRAMES": "0", "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_PAGER": "cat", "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
        "PERL_HASH_SEED": "0", "PERL_PERTURB_KEYS": "0",
    }
    environment.update(settings)
    # The loader reads LD_PRELOAD of setarch, too; the program itself is what counts.
    done = subprocess.run(
        ["env", "-u", "LD_PRELOAD", "setarch", "-R", "env", "LD_PRELOAD=" + link] + command,
        input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(environment, LD_PRELOAD=""),
    )
    return done.returncode, done.stdout, done.stderr.decode()


def counted(path):
    """Calls by size, of the counter."""
    sizes = collections.Counter()
    with open(path, "rb") as file:
        (used,) = struct.unpack("<Q", file.read(8))
        for number in range(used):
            file.seek((1 + number) * RECORD)
            sizes[struct.unpack("<Q", file.read(8))[0]] += 1
    os.unlink(path)
    return sizes


def profiled(text):
    """Calls by size, of the report that a run names."""
    sizes = collections.Counter()
    (path,) = re.findall(r"wrote allocation log to (\S+)", text)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            sizes[int(row["bytes allocated"])] += int(row["call count"])
    return sizes


def compare(name, command, text, settings, wanted, folder):
    """The calls that the counter saw, and what is wrong with what the library reports."""
    status, out, _ = run(command, text, COUNTER, settings, folder)
    expected = counted(os.path.join(folder, "counter"))
    got_status, got_out, said = run(command, text, LIBRARY, settings, folder)
    wrong = []
    if (status, out) != (got_status, got_out):
        wrong.append("status %s and %s, or another output" % (status, got_status))
    try:
        got = profiled(said)
    except ValueError:
        got = collections.Counter()
        wrong.append("no report")
    for size in BY_ADDRESS.get(name, ()):
        expected.pop(size, None)
        got.pop(size, None)
    if got != expected:
        differ = [(size, expected[size], got[size]) for size in expected | got if expected[size] != got[size]]
        wrong.append("sizes with expected and counted calls: %s" % sorted(differ)[:10])
    if BAD.search(said) or (wanted and not re.search(wanted, said)):
        wrong.append("it says: " + said)
    return sum(expected.values()), wrong


def main():
    faults = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, command, text in programs(folder):
            for mode, (settings, wanted) in MODES.items():
                # Some programs, as python3, do not make the same calls in each run.
                for _ in range(ATTEMPTS):
                    calls, wrong = compare(name, command, text, settings, wanted, folder)
                    if not wrong:
                        break
                print("%-8s %-14s %8d calls %s" % (name, mode, calls, "agree" if not wrong else "FAIL"), flush=True)
                for line in wrong:
                    print("    " + line.replace("\n", "\n    "))
                faults += bool(wrong) or calls < 300
            done = subprocess.run(
                [TOOL, "--leak-check", "--stack-depth", "full", "-o", os.path.join(folder, "out.csv")] + command,
                input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            said = done.stderr.decode()
            if done.returncode or BAD.search(said) or "allocations" not in said:
                print("%-8s under the tool: FAIL, status %s\n%s" % (name, done.returncode, said))
                faults += 1
    print(output(TOOL, "--version"))
    print(output("ldd", "--version").splitlines()[0])
    print("%d faults" % faults)
    sys.exit(faults > 0)


main()
