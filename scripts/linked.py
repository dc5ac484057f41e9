"""Which crates are linked into the tool and the library."""

import json
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def metadata(target="x86_64-unknown-linux-gnu"):
    """What cargo says about the workspace and everything that it depends on."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
    out = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    return json.loads(out)


def linked(metadata):
    """The crates that are linked, with the ids of those that each uses: neither build nor test
    dependencies, nor procedural macros. Packages of the workspace are among them."""
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, waiting = {}, [metadata["resolve"]["root"]]
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        used = [
            dependency["pkg"]
            for dependency in nodes[package]["deps"]
            if any(kind["kind"] is None for kind in dependency["dep_kinds"])
            and not runs_in_the_compiler(packages[dependency["pkg"]])
        ]
        found[package] = (packages[package], used)
        waiting += used
    return found


def runs_in_the_compiler(package):
    """Whether it is a procedural macro, which is not linked into what is built."""
    return any("proc-macro" in target["kind"] for target in package["targets"])
