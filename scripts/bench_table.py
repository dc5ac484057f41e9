"""The table of BENCHMARKS.md: many programs, four modes, heaptrack beside them, and the targets."""

import math
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import bench_extra
import bench_targets as targets
from bench_peers import peers
from bench_programs import Inputs, programs
from bench_run import Profiler, measure, median_of, wanted
from bench_targets import MODES, verdict

ARROW = " → "


@dataclass
class Candidate:
    """A library to measure, and the tool that reads its recordings."""

    name: str
    path: Path
    tool: Path

    def profiler(self, mode, workloads=None):
        """The library alone, in a mode."""
        env = {"LD_PRELOAD": str(self.path), "SKIP_HEAP_QUIET": "1"} | MODES[mode]
        return Profiler(f"{self.name} {mode}", env, counts=mode == "four frames", workloads=workloads)

    def tool_profiler(self, mode, workloads=None):
        """The tool, with a report of all processes together."""
        prefix = [str(self.tool), "-q", "--merge", "-o", "{out}/all.csv"]
        return Profiler(f"{self.name} {mode}", MODES[mode], prefix, counts=mode == "four frames",
                        workloads=workloads)


class Results:
    """What was measured."""

    def __init__(self, candidates, samples, failures):
        self.candidates, self.samples, self.failures = candidates, samples, failures

    def runs(self, workload, profiler):
        """The runs of a workload under a profiler, each with the plain run of its round."""
        runs = self.samples.get((workload.name, profiler), [])
        return list(zip(runs, self.samples[workload.name, "plain"]))

    def allocations(self, workload):
        """How many allocations the workload makes, as the last library counts them."""
        runs = self.runs(workload, f"{self.candidates[-1].name} four frames")
        return runs[0][0].allocations if runs else 0

    def ratio(self, workload, profiler):
        """Median of the wall time, times plain, or None."""
        runs = self.runs(workload, profiler)
        return statistics.median(run.wall / plain.wall for run, plain in runs) if runs else None

    def added(self, workload, profiler, what="wall"):
        """Median of the nanoseconds added to an allocation, or None."""
        runs, count = self.runs(workload, profiler), self.allocations(workload)
        if not runs or not count:
            return None
        return statistics.median(getattr(run, what) - getattr(plain, what)
                                 for run, plain in runs) / count * 1e9

    def megabytes(self, workload, profiler):
        """Median of what is added to the resident set, or None."""
        runs = self.runs(workload, profiler)
        return statistics.median(run.rss_kb - plain.rss_kb for run, plain in runs) / 1e3 if runs else None

    def modes(self, candidate):
        """The names of a library's profilers, in the order of the modes."""
        return [f"{candidate.name} {mode}" for mode in MODES]

    def cells(self, workload, text):
        """One cell for each mode: of the library, or of both with an arrow between."""
        by_candidate = [[text(workload, name) for name in self.modes(candidate)]
                        for candidate in self.candidates]
        return [ARROW.join(cell) for cell in zip(*by_candidate)]

    def failed(self, workload, profiler):
        """Whether the runs failed."""
        return (workload.name, profiler) in self.failures


def shown(value, digits=2):
    """A figure, or a dash for none."""
    return "-" if value is None else f"{value:.{digits}f}"


def row(*cells):
    """Prints a row of a Markdown table."""
    print("| " + " | ".join(str(cell) for cell in cells) + " |")


def head(*cells, left=1):
    """Prints the head of a Markdown table; the first columns and the last are of text."""
    row(*cells)
    print("|" + "---|" * left + "--:|" * (len(cells) - left - 1) + "---|")


def wall_cell(results, workload, profiler):
    """Wall time, times plain, and the nanoseconds added to an allocation."""
    ratio, added = results.ratio(workload, profiler), results.added(workload, profiler)
    if ratio is None:
        return "fails" if results.failed(workload, profiler) else "-"
    return f"{ratio:.2f}" + (f" ({added:.0f})" if added is not None else "")


def wall_verdict(results, workload):
    """What of the targets for the workload's wall time is met by the last library."""
    names = results.modes(results.candidates[-1])
    if workload.group in targets.NANOSECONDS:
        added = [results.added(workload, name) for name in names]
        return verdict(added, targets.NANOSECONDS[workload.group], 1)
    ratios, limits = [results.ratio(workload, name) for name in names], list(targets.WALL[workload.group])
    peer = results.ratio(workload, "heaptrack")
    if workload.group == "recursive" and peer and ratios[1] and ratios[1] * targets.TIMES_FASTER <= peer:
        limits[1] = ratios[1]
    return verdict(ratios, limits)


def wall_table(results, workloads, missing):
    """Wall times of all workloads."""
    print("\nWall time times plain (nanoseconds added to an allocation), medians.\n")
    head("workload", "input", "allocations", "plain", *MODES, "heaptrack", "targets", left=2)
    for workload in workloads:
        plain = results.samples[workload.name, "plain"]
        count = results.allocations(workload)
        cells = results.cells(workload, lambda *key: wall_cell(results, *key))
        row(workload.name, workload.size, f"{count:,}" if count else "-",
            f"{median_of(plain, 'wall'):.2f} s" if plain else "fails", *cells,
            wall_cell(results, workload, "heaptrack"), wall_verdict(results, workload))
    for name, why in missing.items():
        row(name, f"missing: {' '.join(why.split())[:80]}", *["-"] * (len(MODES) + 3), "not measured")
    real = [workload for workload in workloads if workload.real]
    if real:
        summary_row(results, real, f"geometric mean of {len(real)} programs", mean, targets.MEAN)
        summary_row(results, real, "worst of them", max, targets.WALL["programs"])


def mean(values):
    """The geometric mean."""
    return math.exp(statistics.fmean(math.log(value) for value in values))


def summary_row(results, workloads, title, of, limits):
    """Prints one figure for all programs that were measured."""
    def figure(profiler):
        ratios = [results.ratio(workload, profiler) for workload in workloads]
        ratios = [ratio for ratio in ratios if ratio is not None]
        return of(ratios) if ratios else None

    by_candidate = [[figure(name) for name in results.modes(each)] for each in results.candidates]
    cells = [ARROW.join(map(shown, cell)) for cell in zip(*by_candidate)]
    row(title, "", "", "", *cells, shown(figure("heaptrack")), verdict(by_candidate[-1], limits))


def cpu_table(results, workloads):
    """Processor time beside heaptrack's, which records whole stacks and the live heap."""
    print("\nNanoseconds of processor time added to an allocation; what records no more than heaptrack may "
          f"take {targets.PEER_SHARE:g} of its time.\n")
    head("workload", *MODES, "heaptrack", "both / heaptrack", "target")
    for workload in workloads:
        peer = results.added(workload, "heaptrack", "cpu")
        cells = results.cells(workload, lambda each, name: shown(results.added(each, name, "cpu"), 0))
        shares = [results.added(workload, name, "cpu") for name in results.modes(results.candidates[-1])]
        shares = [None if not peer or value is None else value / peer for value in shares]
        row(workload.name, *cells, shown(peer, 0), shown(shares[-1]),
            verdict(shares, [targets.PEER_SHARE] * len(MODES), 3))


def memory_table(results, workloads):
    """What is added to resident sets."""
    print("\nMegabytes added to the largest resident set.\n")
    head("workload", "plain", *MODES, "heaptrack", "targets")
    for workload in workloads:
        cells = results.cells(workload, lambda *key: shown(results.megabytes(*key), 1))
        last = [results.megabytes(workload, name) for name in results.modes(results.candidates[-1])]
        plain = results.samples[workload.name, "plain"]
        row(workload.name, f"{median_of(plain, 'rss_kb') / 1e3:.0f}", *cells,
            shown(results.megabytes(workload, "heaptrack"), 1),
            verdict(last, targets.MEGABYTES.get(workload.name, [None] * len(MODES)), 1))


def threads_table(results, workloads):
    """Whether many threads lose more than one."""
    by_name = {workload.name: workload for workload in workloads}
    one = by_name.get("short stacks, 1 thread")
    many = [each for each in workloads if each.name.startswith("short stacks") and each is not one]
    if not one or not many:
        return
    print("\nWall time times plain of many threads, divided by that of one thread.\n")
    head("workload", *MODES, "target")
    for workload in many:
        def relative(each, name):
            ratio, base = results.ratio(each, name), results.ratio(one, name)
            return ratio / base if ratio and base else None

        cells = results.cells(workload, lambda *key: shown(relative(*key)))
        last = [relative(workload, name) for name in results.modes(results.candidates[-1])]
        row(workload.name, *cells, verdict(last, [targets.THREADS] * len(MODES)))


def measured(runner, workloads, candidates, rounds):
    """Runs all workloads; those of many processes under the tools, the others with the libraries."""
    profilers = [peer for peer in peers() if peer.name == "heaptrack"]
    many = frozenset(each.name for each in workloads if each.under_tool)
    others = frozenset(each.name for each in workloads if not each.under_tool)
    for candidate in candidates:
        for mode in MODES:
            profilers += [candidate.tool_profiler(mode, many), candidate.profiler(mode, others)]
    return Results(candidates, *measure(runner, workloads, profilers, rounds))


def full_table(runner, folder, candidates, rounds, arguments):
    """Measures everything and prints it as Markdown; returns the status of the process."""
    start = time.monotonic()
    inputs = Inputs(folder, arguments.quick, arguments.mimalloc_bench)
    workloads, missing = programs(inputs, lambda name: wanted(name, arguments.only))
    results = measured(runner, workloads, candidates, rounds)
    print(f"{rounds} round{'s' if rounds > 1 else ''}, interleaved; {os.cpu_count()} processors, "
          f"{platform.system()} {platform.release()}, {' '.join(platform.libc_ver())}"
          + (f"; {ARROW.strip()} stands between before and after" if len(candidates) > 1 else "")
          + ("; a quick run of small inputs, whose figures mean nothing" if arguments.quick else "")
          + ".")
    workloads = [each for each in workloads if results.samples[each.name, "plain"]]
    if workloads or missing:
        wall_table(results, workloads, missing)
        cpu_table(results, workloads)
        memory_table(results, workloads)
        threads_table(results, workloads)
    bench_extra.tables(runner, inputs, candidates, rounds, lambda name: wanted(name, arguments.only))
    for (workload, profiler), why in results.failures.items():
        print(f"{workload}, {profiler.strip()}: {why}", file=sys.stderr)
    print(f"scripts/bench: {(time.monotonic() - start) / 60:.1f} minutes", file=sys.stderr)
    return 1 if any(profiler != "heaptrack" for _, profiler in results.failures) else 0
