"""Runs programs plain and under profilers, one after the other, and measures each run."""

import csv
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bench_workloads import build

# The name under which reports of the library are read.
OURS = "skip-heapprof"
# Seconds after which a run is given up.
LONGEST = 300
# What takes longer than so many seconds is run once, however many rounds there are.
LONG = 10


class RunFailed(Exception):
    """A run ended with an error or took too long; the message says which and how."""


@dataclass
class Sample:
    """One run of one program."""

    wall: float
    cpu: float
    rss_kb: int
    output_bytes: int
    allocations: int = 0
    sites: int = 0


@dataclass
class Profiler:
    """How to run a program under a profiler; {out} in strings stands for a fresh folder."""

    name: str
    env: dict = field(default_factory=dict)
    prefix: list = field(default_factory=list)
    # Words of the workload's command that the prefix replaces.
    drop: int = 0
    # Only programs whose file name begins with this.
    only: str = ""
    # For those that take long: no more than so many rounds, and for microseconds an allocation only
    # real programs.
    most_rounds: int = 0
    real_only: bool = False
    # Programs that it cannot run.
    fails_on: str = ""
    # Another one, and not the library of this project.
    peer: bool = False
    # Count the allocations in the reports of each run.
    counts: bool = False
    # Names of the only workloads for it; None is all.
    workloads: frozenset | None = None

    def fits(self, workload, number):
        """Returns whether the workload is to be run in the round of this number."""
        return (Path(workload.argv[0]).name.startswith(self.only)
                and (self.workloads is None or workload.name in self.workloads)
                and (workload.real or not self.real_only)
                and (workload.peers or not self.peer)
                and (not self.most_rounds or number < self.most_rounds)
                and (not self.fails_on or not workload.name.startswith(self.fails_on)))


class Runner:
    """Runs programs and measures them with a small program of its own, built in a folder."""

    def __init__(self, folder):
        self.measure = build("measure", folder)

    def run(self, workload, profiler):
        """Runs a workload once and measures it."""
        with tempfile.TemporaryDirectory(prefix="bench-") as out:
            env = {"PATH": os.environ["PATH"], "HOME": out, "LANG": "C.UTF-8", "TMPDIR": out}
            env |= workload.env | filled(profiler.env, out)
            sample = self.measured(self.command(workload, profiler, env, out), workload, env)
            files = [path for path in Path(out).rglob("*") if path.is_file()]
            sample.output_bytes = sum(map(written, files))
            if profiler.counts:
                count_report(files, sample)
            return sample

    def command(self, workload, profiler, env, out):
        """The words that run the workload; what is to be preloaded goes to the program alone."""
        prefix = [word.replace("{out}", out) for word in profiler.prefix]
        argv = prefix + workload.argv[profiler.drop:]
        preload = env.pop("LD_PRELOAD", None)
        if workload.wrapper:
            wrapper = [word.replace("{out}", out) for word in workload.wrapper]
            return wrapper + (["/usr/bin/env", f"LD_PRELOAD={preload}"] if preload else []) + argv
        # The measuring program is measured by nobody.
        if preload:
            env["MEASURE_PRELOAD"] = preload
        return argv

    def measured(self, argv, workload, env):
        """One run of a command."""
        with (tempfile.NamedTemporaryFile("r") as result, tempfile.TemporaryFile() as log,
              open(workload.stdin or os.devnull, "rb") as stdin):
            try:
                subprocess.run([self.measure, result.name, *argv], env=env, stdin=stdin,
                               stdout=subprocess.DEVNULL, stderr=log, check=True, timeout=LONGEST)
            except subprocess.TimeoutExpired:
                raise RunFailed(f"{argv} took more than {LONGEST} seconds") from None
            wall, cpu, rss_kb, status = result.read().split()
            if status != "0":
                log.seek(0)
                raise RunFailed(f"{argv} ended with {status}:\n"
                                + log.read()[-2000:].decode(errors="replace"))
        return Sample(float(wall), float(cpu), int(rss_kb), 0)


def filled(env, out):
    """Variables with the folder's path in the place of {out}."""
    return {name: value.replace("{out}", out) for name, value in env.items()}


def written(path):
    """Bytes of a file, its holes left out."""
    status = path.stat()
    return min(status.st_size, status.st_blocks * 512)


def count_report(files, sample):
    """Adds up the reports of a profiled run."""
    reports = [path for path in files if path.suffix == ".csv"]
    if not reports:
        raise RunFailed("the library wrote no report: is it loaded at all?")
    for path in reports:
        with open(path, newline="") as report:
            for row in csv.DictReader(report):
                sample.allocations += int(row["call count"])
                sample.sites += 1


def measure(runner, workloads, profilers, rounds):
    """Samples by (workload, profiler), each list in the order of the rounds, and failures likewise.

    What has failed, or takes long, is not run again.
    """
    samples, failures = {}, {}
    plain = Profiler("plain")
    for number in range(rounds):
        for workload in workloads:
            todo = [plain] + [each for each in profilers if each.fits(workload, number)]
            # Another order each round: nobody always runs on a machine that others warmed.
            shift = number % len(todo)
            for profiler in todo[shift:] + todo[:shift]:
                key = (workload.name, profiler.name)
                done = samples.setdefault(key, [])
                if key in failures or profiler is not plain and done and done[0].wall > LONG:
                    continue
                print(f"\rround {number + 1}/{rounds}: {workload.name}, {profiler.name}\033[K",
                      end="", file=sys.stderr, flush=True)
                try:
                    done.append(runner.run(workload, profiler))
                except RunFailed as failure:
                    failures[key] = str(failure)
    print("\r\033[K", end="", file=sys.stderr)
    return samples, failures


def median_of(samples, what):
    """The median of one figure of several runs."""
    return statistics.median(getattr(sample, what) for sample in samples)


def wanted(name, words):
    """Returns whether the name contains one of the words, or there are none."""
    return not words or any(word.strip().lower() in name.lower() for word in words.split(","))
