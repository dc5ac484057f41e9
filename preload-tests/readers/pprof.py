"""Reads a profile with Go's pprof, which checks it: the sum of each sample type, and the names it shows."""

import json
import subprocess
import sys

PPROF, PROFILE = sys.argv[1:]


def pprof(*options):
    command = [PPROF, *options, PROFILE]
    return subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stdout


raw = pprof("-raw").splitlines()
first = raw.index("Samples:") + 1
types = [name.removesuffix("[dflt]") for name in raw[first].split()]
sums = [0] * len(types)
for line in raw[first + 1 : raw.index("Locations")]:
    values, colon, _ = line.partition(": ")
    # Lines of labels stand deeper.
    if colon and not line.startswith(" " * 16):
        sums = [total + int(value) for total, value in zip(sums, values.split())]
shown = pprof("-top", "-nodecount=100000", "-nodefraction=0", "-edgefraction=0", "-unit=bytes")
table = shown[shown.index("flat%") :].splitlines()[1:]
names = [line.split(None, 5)[5] for line in table]
flat = sum(int(line.split()[0].removesuffix("B")) for line in table)
print(json.dumps({**dict(zip(types, sums)), "names": names, "shown": flat}))
