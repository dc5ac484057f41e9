"""Other heap profilers, set up to see every allocation."""

import shutil
import subprocess
from pathlib import Path

from bench_run import Profiler

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = [Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib/aarch64-linux-gnu"),
             Path("/usr/local/lib"), Path("/usr/lib")]


def find_library(name):
    """Path of a library that is installed, or None."""
    return next((str(folder / name) for folder in LIBRARIES if (folder / name).exists()), None)


def memray():
    """The interpreter that has memray, or None. It is Debian's, which the workload runs on."""
    python = ROOT / "target" / "peers" / "bin" / "python3"
    if not python.exists():
        make = ["/usr/bin/python3", "-m", "venv", python.parent.parent]
        if subprocess.run(make, capture_output=True, check=False).returncode:
            return None
    install = [python, "-m", "pip", "install", "--quiet", "memray==1.20.0"]
    return None if subprocess.run(install, capture_output=True, check=False).returncode else str(python)


def peers():
    """Other profilers that are installed, set up to see every allocation."""
    found = []
    if shutil.which("heaptrack"):
        found.append(Profiler("heaptrack", prefix=["heaptrack", "-o", "{out}/heaptrack"],
                              most_rounds=3, peer=True,
                              # It ends with std::bad_alloc.
                              fails_on="cc1plus"))
    if path := find_library("libbytehound.so"):
        env = {"LD_PRELOAD": path, "MEMORY_PROFILER_OUTPUT": "{out}/bytehound.dat"}
        found.append(Profiler("bytehound", env, most_rounds=3))
    if path := find_library("libtcmalloc.so.4"):
        env = {"LD_PRELOAD": path, "HEAPPROFILE": "{out}/gperf"}
        found.append(Profiler("gperftools", env, most_rounds=2, real_only=True))
    if path := find_library("libjemalloc.so.2"):
        conf = "prof:true,lg_prof_sample:0,prof_final:true,prof_prefix:{out}/jeprof"
        env = {"LD_PRELOAD": path, "MALLOC_CONF": conf}
        found.append(Profiler("jemalloc, all", env, most_rounds=2, real_only=True))
        conf = "prof:true,prof_final:true,prof_prefix:{out}/jeprof"
        env = {"LD_PRELOAD": path, "MALLOC_CONF": conf}
        found.append(Profiler("jemalloc, sampled", env))
    if python := memray():
        # In place of `python3 -S SCRIPT`.
        prefix = [python, "-m", "memray", "run", "-q", "--native",
                  "--trace-python-allocators", "-o", "{out}/memray.bin"]
        found.append(Profiler("memray", prefix=prefix, drop=2, only="python", most_rounds=3))
    if shutil.which("valgrind"):
        prefix = ["valgrind", "--tool=dhat", "--dhat-out-file={out}/dhat"]
        found.append(Profiler("valgrind dhat", prefix=prefix, most_rounds=1, real_only=True))
    return found
