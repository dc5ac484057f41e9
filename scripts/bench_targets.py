"""What profiling may cost, by kind of program and by what is recorded."""

# What is recorded, and the variables that ask for it.
MODES = {
    "four frames": {},
    "whole stacks": {"SKIP_HEAP_STACK_DEPTH": "full"},
    "live": {"SKIP_HEAP_LIVE": "1"},
    "both": {"SKIP_HEAP_STACK_DEPTH": "full", "SKIP_HEAP_LIVE": "1"},
}

# Most wall time, times plain, of a workload of each group, in the order of the modes; None is no target.
WALL = {
    "programs": (1.25, 1.7, 1.45, 2.0),
    "short stacks": (1.4, 1.5, 1.9, 2.0),
    "recursive": (1.4, 2.5, 1.8, 3.0),
    "processes": (1.25, 1.4, 1.35, 1.5),
    "bump": (1.2, 2.0, None, None),
}
# Geometric mean over the real programs.
MEAN = (1.08, 1.25, 1.18, 1.35)
# Most nanoseconds added to a pair of malloc and free.
NANOSECONDS = {
    "C loop": (5, 12, 10, 18),
    "alternating": (None, 25, None, None),
}
# Most megabytes added to the resident set, by workload.
MEGABYTES = {"rustfmt": (40, 150, 80, 300)}
# Most of another profiler's added processor time, where that records as much.
PEER_SHARE = 0.1
# On a program with many stacks, as good as the target: so many times less wall time than heaptrack.
TIMES_FASTER = 10
# Most times what one thread loses that many threads may lose; measured times differ by as much.
THREADS = 1.05
# Milliseconds added to a process that does nothing.
START_UP = 0.35
# Instructions added to cc1 with one line, in a process that is not the first of its session.
CC1 = 20e6
# The CSV of cc1plus by the tool, in seconds.
CSV_SECONDS = 0.3
# A profile of 1.5 million stacks.
PROFILE_SECONDS, PROFILE_MEGABYTES = 5, 600


def verdict(values, limits, digits=2):
    """One word, or what is above its limit; `values` has None for what was not measured."""
    pairs = [(mode, value, limit) for mode, value, limit in zip(MODES, values, limits)
             if value is not None and limit is not None]
    short = [f"{mode} {value:.{digits}f} > {limit:g}" for mode, value, limit in pairs if value > limit]
    if not pairs:
        return ""
    return "short: " + ", ".join(short) if short else "met"


def single(value, limit, digits=2):
    """The verdict on one figure."""
    return "met" if value <= limit else f"short: {value:.{digits}f} > {limit:g}"
