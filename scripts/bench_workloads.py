"""The workloads of scripts/bench: what is run, and how its input is made."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "workloads"


@dataclass
class Workload:
    """A program that can be run again and again with the same result."""

    name: str
    argv: list
    env: dict = field(default_factory=dict)
    stdin: Path | None = None
    # In the geometric mean of real programs, as opposed to loops made to be worst cases.
    real: bool = True
    # What runs the program's command, which follows these words, and is not profiled itself; {out}
    # stands for a fresh folder.
    wrapper: list = field(default_factory=list)
    # Which of the targets of the table are for it.
    group: str = "programs"
    # What the input is, for the reader of the table.
    size: str = ""
    # Whether other profilers are to be measured on it.
    peers: bool = True
    # Profiled by the tool with all its processes, and not by the library alone.
    under_tool: bool = False


def tool(name):
    """Path of a program as Debian installs it, or None."""
    path = Path("/usr/bin") / name
    return str(path) if path.exists() else shutil.which(name)


def build(name, folder):
    """Builds a C program of scripts/workloads."""
    program = folder / name
    options = ["-O2", "-fomit-frame-pointer", "-pthread"]
    subprocess.run(["gcc", *options, "-o", program, SOURCES / f"{name}.c"], check=True)
    return str(program)


HEADERS = """algorithm any array chrono deque filesystem functional future iostream list map memory
numeric optional random regex set sstream string thread tuple unordered_map variant vector"""


def cxx_source(functions=60):
    """A C++ file full of templates, two or three seconds of work for cc1plus -O2."""
    lines = [f"#include <{header}>" for header in HEADERS.split()]
    lines += [
        "bool matches(const std::string &text) {",
        "  static const std::regex pattern(\"([a-z]+)-([0-9]+)\");",
        "  return std::regex_match(text, pattern);",
        "}",
        "std::variant<int, std::string> pick(const std::unordered_map<std::string, int> &from) {",
        "  for (const auto &[name, value] : from) if (matches(name)) return value;",
        "  return std::string(\"none\");",
        "}",
        "std::future<double> later(std::set<double> values) {",
        "  return std::async([values] {",
        "    std::ostringstream text;",
        "    for (double value : values) text << value << std::endl;",
        "    return double(text.str().size()); });",
        "}",
        "template <int N> struct Node {",
        "  std::vector<std::pair<int, std::string>> items;",
        "  std::map<std::string, std::unique_ptr<Node<N / 2>>> children;",
        "  int sum() const {",
        "    int total = N;",
        "    for (const auto &item : items) total += item.first;",
        "    for (const auto &child : children) total += child.second->sum();",
        "    return total;",
        "  }",
        "};",
        "template <> struct Node<0> { int sum() const { return 0; } };",
    ]
    for i in range(functions):
        if i % 60 == 0:
            lines.append(f"int tree_{i}(const Node<{1000 + i}> &node) {{ return node.sum(); }}")
        lines.append(
            f"int f_{i}(int a, int *b) {{ int t = a * {i}; for (int i = 0; i < a; i++)"
            f" t += b[i] ^ (t << {i % 13}); return t > {i} ? t - b[0] : t + a; }}"
        )
    return "\n".join(lines) + "\n"


def compiler(folder):
    """cc1plus on a preprocessed file: the compiler proper, without its driver."""
    source, preprocessed = folder / "big.cpp", folder / "big.ii"
    source.write_text(cxx_source())
    subprocess.run(["g++", "-std=c++17", "-E", "-P", "-o", preprocessed, source], check=True)
    cc1plus = subprocess.run(
        ["g++", "-print-prog-name=cc1plus"], check=True, capture_output=True, text=True
    ).stdout.strip()
    options = ["-quiet", "-fpreprocessed", "-std=c++17", "-O2", "-o", "/dev/null"]
    return [cc1plus, *options, str(preprocessed)]


def rust_source(functions=2500):
    """A Rust file of some 600 kB for rustfmt."""
    parts = []
    for i in range(functions):
        parts.append(
            f"pub fn function_{i}(a:u32,b:&[u8],c:Option<&str>)->Result<Vec<u64>,String>"
            f"{{ let mut out=Vec::new(); for (k,v) in b.iter().enumerate(){{ if k as u32>a"
            f"{{ return Err(format!(\"{{}} {{}}\",k,v)); }} out.push(match v%{i % 7 + 2}"
            f"{{0=>*v as u64,1|2=>(*v as u64).wrapping_mul({i}),_=>c.map_or(0,|t|t.len()as u64)}}"
            f"); }} Ok(out) }}\n"
        )
    return "".join(parts)


def rustfmt(folder):
    """rustfmt itself, not rustup's launcher of the same name; None without Rust."""
    if shutil.which("rustc") is None:
        return None
    sysroot = subprocess.run(
        ["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True
    ).stdout.strip()
    program = Path(sysroot) / "bin" / "rustfmt"
    if not program.exists():
        return None
    source = folder / "big.rs"
    source.write_text(rust_source())
    return Workload("rustfmt", [str(program), "--edition", "2021"], stdin=source)


def trees(folder):
    """Builds of 500 short processes, by make -j2: name, workload, number of processes."""
    make, gcc = tool("make"), tool("gcc")
    if not make or not gcc:
        return []
    source = folder / "short.c"
    source.write_text("int f(int a) { return a * 3; }\n")
    found = []
    # Of gcc three processes are profiled: the driver, cc1 and as.
    for name, jobs, each, command in [("true", 500, 1, "/bin/true"),
                                      ("gcc -O1 -c", 167, 3, f"{gcc} -O1 -c -o /dev/null {source}")]:
        rules = folder / f"{name.split()[0]}.mk"
        rules.write_text(f"all: $(addprefix job,$(shell seq {jobs}))\njob%: ; @{command}\n")
        found.append((Workload(name, [make, "-s", "-j2", "-f", str(rules)]), jobs * each))
    return found


def all_workloads(folder):
    """Every workload whose program is installed. Inputs are written to the folder."""
    loop = build("loop", folder)
    found = [
        Workload("C loop, 1 thread", [loop, "1", "30000000"], real=False),
        Workload("C loop, 2 threads", [loop, "2", "30000000"], real=False),
        rustfmt(folder),
    ]
    if python := tool("python3"):
        env = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}
        script = str(SOURCES / "python.py")
        found.insert(2, Workload("CPython json+ast", [python, "-S", script], env))
    if sqlite := tool("sqlite3"):
        sql = SOURCES / "sqlite.sql"
        found.insert(-1, Workload("SQLite", [sqlite, ":memory:"], stdin=sql))
    if jq := tool("jq"):
        found.insert(-1, Workload("jq", [jq, "-n", "-c", "-f", str(SOURCES / "filter.jq")]))
    if perl := tool("perl"):
        env = {"PERL_HASH_SEED": "0"}
        found.insert(-1, Workload("perl", [perl, str(SOURCES / "perl.pl")], env))
    if tool("g++"):
        found.insert(-1, Workload("cc1plus -O2", compiler(folder)))
    return [workload for workload in found if workload]
