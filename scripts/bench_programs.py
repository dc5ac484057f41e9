"""The programs of the table of scripts/bench: installs them, and makes their inputs.

Debian's packages come by apt-get where it may be used; what comes from npm and crates.io, of fixed
versions, lies in target/bench and is installed once.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

from bench_workloads import SOURCES, Workload, build, cxx_source, tool

ROOT = Path(__file__).resolve().parent.parent
INSTALLED = ROOT / "target" / "bench"

TERSER, LODASH, JAQ = "terser@5.44.1", "lodash@4.17.21", "jaq@3.1.2"
CRATES = {"libc": "0.2.191", "quick-xml": "0.41.0", "regex-automata": "0.4.19",
          "regex-syntax": "0.8.12", "syn": "2.0.119", "zerocopy": "0.8.64"}
DOCUMENTED_MODULES = 120
PYTHON_FILES = 40


class Missing(Exception):
    """A program cannot be had on this machine; the message says why."""


class Inputs:
    """Where inputs are written, and how large they are to be."""

    def __init__(self, folder, quick, mimalloc_bench):
        self.folder = folder
        self.mimalloc_bench = mimalloc_bench
        self.share = 0.1 if quick else 1

    def scaled(self, number):
        """A number of repetitions, smaller for a quick run."""
        return max(1, round(number * self.share))


def command(name, package):
    """Path of a program, whose Debian package is installed if it is not there."""
    if tool(name) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", package]
        quietly(install, {"DEBIAN_FRONTEND": "noninteractive"})
    if path := tool(name):
        return path
    raise Missing(f"no {name}: install {package}")


def quietly(argv, env=None, cwd=None):
    """Runs a command without output; returns whether it succeeded."""
    result = subprocess.run([str(word) for word in argv], env=os.environ | (env or {}), cwd=cwd,
                            capture_output=True, stdin=subprocess.DEVNULL, check=False)
    return result.returncode == 0


def cfrac(inputs):
    """Factoring by continued fractions: mimalloc-bench's program if its sources are there."""
    if inputs.mimalloc_bench is None:
        steps = inputs.scaled(500_000)
        program = build("cfrac", inputs.folder)
        return Workload("cfrac", [program, str(steps)], size=f"{steps:,} steps; own program")
    sources = sorted((inputs.mimalloc_bench / "bench" / "cfrac").glob("*.c"))
    sources = [source for source in sources if source.name not in ("getopt.c", "pfactor.c", "ltop.c")]
    program = inputs.folder / "cfrac"
    if not sources or not quietly(["gcc", "-O2", "-std=gnu89", "-w", "-DNOMEMOPT=1", "-o", program,
                                   *sources, "-lm"]):
        raise Missing(f"no sources that compile in {inputs.mimalloc_bench}/bench/cfrac")
    number = "1754518652050731705" if inputs.share < 1 else "17545186520507317056371138836327483"
    return Workload("cfrac", [str(program), number], size=f"{len(number)} digits; mimalloc-bench's")


def sqlite(_inputs):
    """A script of the SQLite shell."""
    script = SOURCES / "sqlite.sql"
    return Workload("SQLite", [command("sqlite3", "sqlite3"), ":memory:"], stdin=script,
                    size="300,000 rows")


def jq(inputs):
    """A filter over a large JSON file."""
    path, count = json_file(inputs)
    words = "map(select(.id % 3 == 0) | .name) | unique | length"
    return Workload("jq", [command("jq", "jq"), words, str(path)], size=f"{count:,} objects, {size_of(path)}")


def jaq(inputs):
    """A filter over the same large JSON file, by a program in Rust."""
    path, count = json_file(inputs)
    root = INSTALLED / "cargo"
    program = root / "bin" / "jaq"
    # Without its allocator, so that it calls malloc.
    install = ["cargo", "install", "--locked", "--no-default-features", "--root", root, JAQ]
    if not program.exists() and not quietly(install):
        raise Missing(f"cargo cannot install {JAQ}")
    words = 'map(select(.id % 3 == 0) | .name, (.tags | join("-"))) | unique | length'
    return Workload("jaq", [str(program), words, str(path)], size=f"{count:,} objects, {size_of(path)}")


def json_file(inputs):
    """Path of a JSON file of some 20 MB, and the number of its objects."""
    path, count = inputs.folder / "items.json", inputs.scaled(150_000)
    if not path.exists():
        items = ({"id": i, "name": f"item {i * 7919 % 100003}", "price": i * 0.25,
                  "tags": [f"t{i % 7}", f"u{i % 11}"],
                  "text": "lorem ipsum dolor sit amet " * (i % 4)} for i in range(count))
        path.write_text("[" + ",\n".join(map(json.dumps, items)) + "]\n")
    return path, count


def size_of(*paths):
    """The size of files, for a person."""
    return f"{sum(Path(path).stat().st_size for path in paths) / 1e6:.1f} MB"


def perl(inputs):
    """Manual pages of Perl's own modules."""
    program = command("perl", "perl")
    folders = subprocess.run([program, "-e", "print join qq(\\n), @INC"], check=True,
                             capture_output=True, text=True).stdout.split()
    pages = []
    for folder in map(Path, folders):
        if folder.parts[:2] == ("/", "usr"):
            files = sorted([*folder.rglob("*.pm"), *folder.rglob("*.pod")])
            pages += [path for path in files if b"\n=head1" in path.read_bytes()]
    pages = list(dict.fromkeys(pages))[:inputs.scaled(DOCUMENTED_MODULES)]
    if not pages:
        raise Missing("no documented Perl modules: install perl")
    return Workload("perl", [program, str(SOURCES / "pod_man.pl"), *map(str, pages)],
                    {"PERL_HASH_SEED": "0"}, size=f"Pod::Man, {len(pages)} modules, {size_of(*pages)}")


def python(inputs):
    """Syntax trees of the interpreter's own library, and JSON of them."""
    program = command("python3", "python3")
    library = subprocess.run([program, "-c", "import os; print(os.path.dirname(os.__file__))"],
                             check=True, capture_output=True, text=True).stdout.strip()
    files = sorted(Path(library).glob("*.py"))[:inputs.scaled(PYTHON_FILES)]
    env = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    return Workload("CPython", [program, "-S", str(SOURCES / "ast_json.py"), *map(str, files)], env,
                    size=f"ast and json, {len(files)} files, {size_of(*files)}")


def preprocessed(inputs, compiler):
    """A C++ file after the preprocessor of a compiler, and the number of its lines."""
    source = inputs.folder / "table.cpp"
    source.write_text(cxx_source(inputs.scaled(60)))
    result = inputs.folder / f"{Path(compiler).name}.ii"
    subprocess.run([compiler, "-std=c++17", "-E", "-o", result, source], check=True)
    with open(result, "rb") as lines:
        return result, sum(1 for _ in lines)


def cc1plus(inputs):
    """GCC's compiler proper, without its driver."""
    driver = command("g++", "g++")
    source, lines = preprocessed(inputs, driver)
    program = subprocess.run([driver, "-print-prog-name=cc1plus"], check=True,
                             capture_output=True, text=True).stdout.strip()
    options = ["-quiet", "-fpreprocessed", "-std=c++17", "-O0", "-o", "/dev/null", str(source)]
    return Workload("cc1plus", [program, *options], size=f"{lines:,} lines, -O0")


def clang(inputs):
    """clang on the same source."""
    versions = sorted(Path("/usr/bin").glob("clang++-*"))
    driver = tool("clang++") or (str(versions[-1]) if versions else command("clang++", "clang"))
    source, lines = preprocessed(inputs, driver)
    options = ["-std=c++17", "-O0", "-w", "-c", "-o", "/dev/null", str(source)]
    return Workload("clang", [driver, *options], size=f"{lines:,} lines, -O0")


def rustfmt(inputs):
    """rustfmt itself, not rustup's launcher of the same name, on crates of fixed versions."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True,
                             text=True, cwd=ROOT).stdout.strip()
    program = Path(sysroot) / "bin" / "rustfmt"
    if not program.exists():
        raise Missing("no rustfmt: rustup component add rustfmt")
    crates = vendored()
    names = ["syn"] if inputs.share < 1 else list(CRATES)
    folders = [crates / f"{name}-{CRATES[name]}" / "src" for name in names]
    files = [path for folder in folders for path in folder.rglob("*.rs")]
    roots = [str(folder / "lib.rs") for folder in folders]
    return Workload("rustfmt", [str(program), "--edition", "2021", "--emit", "stdout", *roots],
                    size=f"{len(names)} crate{'s' if len(names) > 1 else ''}, {size_of(*files)}")


def vendored():
    """The folder with the sources of the crates, from crates.io."""
    folder = INSTALLED / "crates"
    if all((folder / "vendor" / f"{name}-{version}").exists() for name, version in CRATES.items()):
        return folder / "vendor"
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "lib.rs").write_text("")
    # The project's own options are not for these files.
    (folder / "rustfmt.toml").write_text("")
    wanted = "".join(f'{name} = "={version}"\n' for name, version in CRATES.items())
    (folder / "Cargo.toml").write_text('[package]\nname = "crates"\nversion = "0.0.0"\n'
                                       f"edition = \"2021\"\n[workspace]\n[dependencies]\n{wanted}")
    if not quietly(["cargo", "vendor", "--versioned-dirs", "vendor"], cwd=folder):
        raise Missing(f"cargo cannot get the sources of {', '.join(CRATES)}")
    return folder / "vendor"


def redis(inputs):
    """A Redis server; its benchmark is not profiled."""
    server, _ = command("redis-server", "redis-server"), command("redis-benchmark", "redis-tools")
    requests = inputs.scaled(200_000)
    wrapper = [str(SOURCES / "serve.sh"), "{out}", str(requests)]
    return Workload("redis", [server], wrapper=wrapper, size=f"redis-benchmark, 5 × {requests:,} requests")


def node(_inputs):
    """A JavaScript minifier on a library."""
    program = command("node", "nodejs")
    modules = INSTALLED / "npm" / "node_modules"
    script, library = modules / "terser" / "bin" / "terser", modules / "lodash" / "lodash.js"
    if not script.exists() or not library.exists():
        npm = command("npm", "npm")
        modules.parent.mkdir(parents=True, exist_ok=True)
        if not quietly([npm, "install", "--no-audit", "--no-fund", "--prefix", modules.parent,
                        TERSER, LODASH]):
            raise Missing(f"npm cannot install {TERSER} and {LODASH}")
    options = ["-c", "-m", "-o", "/dev/null"]
    return Workload("node", [program, str(script), str(library), *options],
                    size=f"terser -c -m on lodash, {size_of(library)}")


def larson(inputs):
    """Two threads that replace each other's blocks, in the shape of Larson's server."""
    rounds = inputs.scaled(60)
    return Workload("larson", [build("larson", inputs.folder), "2", str(rounds)], real=False,
                    group="short stacks", size=f"2 threads, {rounds} × 100,000 blocks each; own program")


def short_stacks(threads):
    """Threads that allocate in their start functions, which have stacks of three frames."""
    def workload(inputs):
        count = inputs.scaled(12_000_000)
        name = f"short stacks, {threads} thread{'s' if threads > 1 else ''}"
        return Workload(name, [build("short_stacks", inputs.folder), str(threads), str(count)],
                        real=False, group="short stacks", peers=threads == 1, size=f"{count:,} blocks")
    return workload


def recursive(inputs):
    """A recursive program with many distinct stacks."""
    stacks = inputs.scaled(760_000)
    return Workload("recursive", [build("recursive", inputs.folder), str(stacks), "7"], real=False,
                    group="recursive", size=f"{stacks:,} stacks, 7 times each")


def alternating(inputs):
    """Stacks of 10 and 20 frames in turn."""
    pairs = inputs.scaled(8_000_000)
    return Workload("alternating", [build("alternating", inputs.folder), str(pairs)], real=False,
                    group="alternating", size=f"10 and 20 frames, {pairs:,} pairs", peers=False)


def loop(inputs):
    """malloc and free in the tightest loop."""
    pairs = inputs.scaled(30_000_000)
    return Workload("C loop", [build("loop", inputs.folder), "1", str(pairs)], real=False,
                    group="C loop", size=f"{pairs:,} pairs", peers=False)


def bump(inputs):
    """A program in little whose objects come from a Skip runtime's bump allocator."""
    trees = inputs.scaled(5_000)
    return Workload("bump allocator", [build("bump", inputs.folder), str(trees)], real=False,
                    group="bump", size=f"{trees:,} trees, hooked calls", peers=False)


def short_processes(inputs):
    """A shell script that compiles a line of C thirty times."""
    shell, _, times = command("sh", "dash"), command("gcc", "gcc"), inputs.scaled(30)
    source = inputs.folder / "line.c"
    source.write_text("int f(int a) { return a * 3; }\n")
    script = str(SOURCES / "compile.sh")
    return Workload("short processes", [shell, script, str(source), str(times)], real=False,
                    group="processes", size=f"{3 * times + 1} of sh, gcc, cc1, as", peers=False,
                    under_tool=True)


PROGRAMS = {
    "cfrac": cfrac, "SQLite": sqlite, "jq": jq, "perl": perl, "CPython": python,
    "cc1plus": cc1plus, "clang": clang, "rustfmt": rustfmt, "jaq": jaq, "redis": redis, "node": node,
    "larson": larson, "short stacks, 1 thread": short_stacks(1),
    "short stacks, 8 threads": short_stacks(8), "short stacks, 64 threads": short_stacks(64),
    "recursive": recursive, "C loop": loop, "alternating": alternating,
    "bump allocator": bump, "short processes": short_processes,
}


def programs(inputs, wanted):
    """The workloads of the table that are wanted, and why others are missing, by name."""
    found, missing = [], {}
    for name, make in PROGRAMS.items():
        if not wanted(name):
            continue
        try:
            found.append(make(inputs))
        except (Missing, OSError, subprocess.CalledProcessError) as why:
            missing[name] = str(why)
    return found, missing
