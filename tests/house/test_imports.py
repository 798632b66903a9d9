"""Who may import what, beyond the graph that import-linter checks: allow-lists and declared dependencies.

`make lint` checks the direction of imports. These tests check what a graph of modules cannot say: that the
learning core uses numpy and a few harmless parts of the standard library and nothing else, and that whatever
the shipped code imports is declared, so that an environment without the `dev` extra can run it.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients" / "python" / "naiad"

# Standard library that cannot reach a clock, a network, a file or a global random generator.
PURE = {
    "__future__", "abc", "bisect", "collections", "copy", "dataclasses", "enum", "fractions", "functools",
    "hashlib", "heapq", "itertools", "json", "math", "numbers", "operator", "struct", "types", "typing",
    "zlib",
}  # fmt: skip

# Libraries for which an extra exists: only these modules may import them.
OPTIONAL = {"matplotlib": "server/demo", "phonenumbers": "server/pii.py", "stdnum": "server/pii.py"}


def modules(folder: Path) -> list[Path]:
    """Return the Python files below a folder."""
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def imports(source: str) -> Iterator[str]:
    """Yield the dotted name of every absolute import in the source, wherever it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


def foreign(path: Path, allowed: set[str]) -> set[str]:
    """Return the top-level names that a file imports and that are neither allowed nor ours."""
    names = {name.partition(".")[0] for name in imports(path.read_text())}
    return names - allowed - {"naiad"}


def declared(pyproject: Path) -> set[str]:
    """Return the distribution names that a project needs, normalised."""
    wanted = tomllib.loads(pyproject.read_text())["project"]["dependencies"]
    return {normal(requirement) for requirement in wanted}


def normal(requirement: str) -> str:
    """Return the normalised name of a requirement: `Foo_bar[x]>=1` is `foo-bar`."""
    head = requirement
    for stop in "[<>=!~; ":
        head = head.partition(stop)[0]
    return head.lower().replace("_", "-").replace(".", "-")


@cache
def providers() -> Mapping[str, list[str]]:
    """Return top-level import name -> the distributions that provide it; reads every installed one, once."""
    return packages_distributions()


def undeclared(path: Path, wanted: set[str]) -> set[str]:
    """Return imported third-party names whose distribution the project does not declare."""
    missing: set[str] = set()
    for name in foreign(path, set(sys.stdlib_module_names)):
        if name in OPTIONAL and path.is_relative_to(ROOT / OPTIONAL[name]):
            continue
        if not {normal(provider) for provider in providers().get(name, [])} & wanted:
            missing.add(name)
    return missing


@pytest.mark.parametrize("path", modules(ROOT / "bandit"), ids=lambda path: path.name)
def test_the_learning_core_needs_numpy_and_nothing_else(path: Path) -> None:
    assert foreign(path, PURE | {"numpy"}) == set()


@pytest.mark.parametrize("part", ["adapters", "bandit", "server"])
def test_the_server_imports_only_what_it_declares(part: str) -> None:
    wanted = declared(ROOT / "pyproject.toml")
    found = {str(path.relative_to(ROOT)): undeclared(path, wanted) for path in modules(ROOT / part)}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_client_imports_only_what_it_declares() -> None:
    wanted = declared(ROOT / "clients" / "python" / "pyproject.toml")
    found = {str(path.relative_to(ROOT)): undeclared(path, wanted) for path in modules(CLIENT)}
    assert found, f"no client code found in {CLIENT}"
    assert {path: names for path, names in found.items() if names} == {}


def test_recorded_outcomes_are_read_never_imported() -> None:
    """Importing the data wheel would pull its own learning code, and dependencies nobody installed, in."""
    peers = ROOT / "benchmarks" / "routing" / "peers_main.py"  # in an environment of its own, where it is the peer
    for part in ("adapters", "bandit", "server", "clients", "benchmarks", "tests", "scripts"):
        for path in modules(ROOT / part):
            if path == peers:
                continue
            names = {name.partition(".")[0] for name in imports(path.read_text())}
            assert "pareto_bandit" not in names, path


def test_a_forbidden_import_is_noticed(tmp_path: Path) -> None:
    """The laws above can fail, at any depth of the file."""
    path = tmp_path / "belief.py"
    path.write_text("import numpy as np\n\n\ndef f():\n    from time import monotonic\n    import scipy.special\n")
    assert foreign(path, PURE | {"numpy"}) == {"time", "scipy"}
    assert undeclared(path, {"numpy"}) == {"scipy"}
