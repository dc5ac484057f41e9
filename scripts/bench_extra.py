"""Figures of the table that are no wall times of programs: start-up, instructions, reports."""

import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench_programs import Missing, cc1plus, command
from bench_run import Profiler
from bench_targets import CC1, CSV_SECONDS, PROFILE_MEGABYTES, PROFILE_SECONDS, START_UP, single
from bench_workloads import Workload, build

PLAIN = Profiler("plain")


def tables(runner, inputs, candidates, rounds, wanted):
    """Prints the rows that are wanted: one for each figure, a column for each library."""
    rows = []
    if wanted("true"):
        rows += guarded("start-up and end of `true`, ms added", candidates,
                        lambda each: start_up(runner, each, rounds), [(START_UP, 2)])
    if wanted("cc1"):
        rows += guarded("cc1 of one line, instructions added, in millions: first process of a session",
                        candidates, lambda each: cc1_instructions(inputs, each),
                        [(None, 1), (CC1 / 1e6, 1)], ["the next process"])
    if wanted("report"):
        rows += guarded("CSV of cc1plus by the tool (whole stacks and live), seconds", candidates,
                        lambda each: csv_seconds(runner, inputs, each, rounds), [(CSV_SECONDS, 2)])
        rows += guarded(f"profile of {inputs.scaled(1_500_000):,} stacks, seconds", candidates,
                        lambda each: profile(runner, inputs, each, rounds),
                        [(PROFILE_SECONDS, 2), (PROFILE_MEGABYTES, 0)], ["its memory, MB"])
    if not rows:
        return
    names = [each.name or "measured" for each in candidates]
    print("\n| | " + " | ".join(names) + " | target |\n|---|" + "--:|" * len(names) + "---|")
    for cells in rows:
        print("| " + " | ".join(cells) + " |")


def guarded(title, candidates, measure, limits, more=()):
    """Rows of figures that one measurement gives; a missing program is said in the row."""
    try:
        by_candidate = [measure(each) for each in candidates]
    except (Missing, subprocess.CalledProcessError) as why:
        return [[title, *["-"] * len(candidates), f"missing: {why}"]]
    rows = []
    for number, (name, (limit, digits)) in enumerate(zip([title, *more], limits)):
        values = [figures[number] for figures in by_candidate]
        rows.append([name, *[f"{value:.{digits}f}" for value in values],
                     single(values[-1], limit, digits) if limit else ""])
    return rows


def start_up(runner, candidate, rounds):
    """Milliseconds that the library adds to a program that does nothing."""
    workload, ours = Workload("true", ["/bin/true"]), candidate.profiler("four frames")
    ours.counts = False
    pairs = [(runner.run(workload, ours), runner.run(workload, PLAIN)) for _ in range(rounds * 40)]
    return [statistics.median((run.wall - plain.wall) * 1e3 for run, plain in pairs)]


def cc1_instructions(inputs, candidate):
    """Millions of instructions added to cc1 in the first process of a session, and in the next."""
    valgrind, gcc = command("valgrind", "valgrind"), command("gcc", "gcc")
    cc1 = subprocess.run([gcc, "-print-prog-name=cc1"], check=True, capture_output=True,
                         text=True).stdout.strip()
    source = inputs.folder / "cc1.c"
    source.write_text("int f(int a) { return a * 3; }\n")
    with tempfile.TemporaryDirectory(prefix="bench-cc1-") as folder:
        script = Path(folder) / "session.sh"
        script.write_text(f'for run in "$@"; do {valgrind} -q --tool=callgrind '
                          f'--callgrind-out-file={folder}/$run {cc1} -quiet -O1 -o /dev/null '
                          f"{source} || exit 1; done\n")
        env = {"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder}
        shell = ["/bin/sh", str(script)]
        subprocess.run([*shell, "plain"], env=env, check=True, capture_output=True)
        profiled = [str(candidate.tool), "-q", "--merge", "-o", f"{folder}/all.csv", "--"]
        subprocess.run([*profiled, *shell, "first", "next"], env=env, check=True, capture_output=True)
        plain, first, later = (total(Path(folder) / run) for run in ("plain", "first", "next"))
    return [(first - plain) / 1e6, (later - plain) / 1e6]


def total(path):
    """The instructions that callgrind counted."""
    for line in path.read_text().splitlines():
        if line.startswith("totals: "):
            return int(line.split()[1])
    raise Missing(f"callgrind wrote no total to {path.name}")


def csv_seconds(runner, inputs, candidate, rounds):
    """Seconds that the tool takes for the CSV of a compiler's recording."""
    with tempfile.TemporaryDirectory(prefix="bench-report-") as folder:
        recording = recorded(runner, cc1plus(inputs), candidate, "both", folder)
        words = [str(candidate.tool), "report", "-q", "-o", f"{folder}/again.csv", recording]
        runs = [runner.run(Workload("report", words), PLAIN) for _ in range(rounds)]
    return [statistics.median(run.wall for run in runs)]


def profile(runner, inputs, candidate, rounds):
    """Seconds and megabytes that the tool takes for a profile of many stacks."""
    stacks = inputs.scaled(1_500_000)
    workload = Workload("recursive", [build("recursive", inputs.folder), str(stacks), "1"])
    with tempfile.TemporaryDirectory(prefix="bench-report-") as folder:
        recording = recorded(runner, workload, candidate, "whole stacks", folder)
        words = [str(candidate.tool), "report", "-q", "-o", f"{folder}/all.skipheap", recording]
        runs = [runner.run(Workload("report", words), PLAIN) for _ in range(rounds)]
    return [statistics.median(run.wall for run in runs),
            statistics.median(run.rss_kb for run in runs) / 1e3]


def recorded(runner, workload, candidate, mode, folder):
    """Path of the recording of a run, which is kept in the folder."""
    ours = candidate.profiler(mode)
    ours.counts = False
    ours.env |= {"SKIP_HEAP_KEEP": "1", "TMPDIR": folder}
    runner.run(workload, ours)
    found = [path for path in Path(folder).iterdir() if path.is_file() and path.suffix != ".csv"]
    if len(found) != 1:
        raise Missing(f"{workload.name} left {len(found)} recordings")
    return str(found[0])
