"""The house: which room may know which, and what the guides say of it."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PACKAGE = REPOSITORY / "mmoe_repro"
#: From the ground up: a module imports from its own floor and from lower ones.
FLOORS = (
    ("errors", "names", "text", "paper"),
    ("settings",),
    ("compiler", "processes"),
    ("data",),
    ("models",),
    ("runs",),
    ("training",),
    ("jobs",),
    ("findings",),
    ("views",),
    ("recovery", "atlas"),
    ("commands",),
    ("api",),
    ("cli",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def module(path):
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in PACKAGE.rglob("*.py")}


def imported(path):
    """The package's modules that a module imports, inside functions and for types too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmoe_repro"):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("mmoe_repro")}
    return found


def room(name):
    return name.split(".")[1] if "." in name else ""


def test_every_room_has_a_floor():
    assert {room(name) for name in MODULES} - {""} == set(FLOOR)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_imports_from_above(name):
    if not room(name):
        return  # the package itself offers what lies above
    for other in imported(MODULES[name]):
        if room(other):
            assert FLOOR[room(other)] <= FLOOR[room(name)], f"{name} imports {other}"


def test_no_circle_among_modules():
    graph = {name: imported(path) - {name} for name, path in MODULES.items() if room(name)}
    done, path = set(), []

    def walk(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name in done or name not in graph:
            return
        path.append(name)
        for other in sorted(graph[name]):
            walk(other)
        path.pop()
        done.add(name)

    for name in sorted(graph):
        walk(name)
    assert len(done) == len(graph)


def test_the_paths_that_the_guide_names_exist():
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    named = set(re.findall(r"`((?:mmoe_repro|conf|tests|scripts|docs|results|hydra_plugins)/[\w./-]*)`", text))
    assert len(named) > 25
    for path in sorted(named):
        assert (REPOSITORY / path).exists(), path


def test_the_commits_that_the_guide_names_exist():
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)

    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("no whole history here")
    named = re.findall(r"\| ([0-9a-f]{7}) \|", (REPOSITORY / "CONTRIBUTING.md").read_text())
    assert len(named) > 10
    for commit in named:
        assert git("merge-base", "--is-ancestor", commit, "HEAD").returncode == 0, commit
