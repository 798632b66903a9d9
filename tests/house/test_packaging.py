"""What pyproject.toml promises is what lies on disk: packages, data files, versions, symlinks."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("adapters", "bandit", "server")
NOT_SHIPPED = {"__pycache__"}


def project(folder: Path) -> dict[str, Any]:
    """Return the parsed pyproject.toml of one distribution."""
    return tomllib.loads((folder / "pyproject.toml").read_text())


def folders(part: Path) -> Iterator[Path]:
    """Yield the folder and all folders below it that can hold shipped files."""
    yield part
    for path in sorted(part.rglob("*")):
        if path.is_dir() and not NOT_SHIPPED & set(path.relative_to(part).parts):
            yield path


def packages_on_disk(root: Path) -> set[str]:
    """Return naiad.* names of every folder below the three parts that holds Python files."""
    return {
        ".".join(("naiad", *folder.relative_to(root).parts))
        for part in PARTS
        for folder in folders(root / part)
        if any(folder.glob("*.py"))
    }


def unshipped_data(root: Path, patterns: list[str], packages: set[str]) -> list[str]:
    """Return the files below the parts that no wheel would carry.

    A data file travels when the folder that holds it is a package and a pattern matches its name, or when an
    ancestor is a package and a pattern with a path matches.
    """
    lost: list[str] = []
    for part in PARTS:
        for folder in folders(root / part):
            for file in sorted(folder.iterdir()):
                if file.is_dir() or file.suffix in {".py", ".pyc"}:
                    continue
                if not any(
                    ".".join(("naiad", *owner.relative_to(root).parts)) in packages
                    and any(_matches(file.relative_to(owner), pattern) for pattern in patterns)
                    for owner in (folder, *folder.parents)
                    if owner.is_relative_to(root / part)
                ):
                    lost.append(str(file.relative_to(root)))
    return lost


def _matches(path: Path, pattern: str) -> bool:
    """Tell whether a setuptools package-data pattern covers the path: `*` does not cross a slash."""
    parts, globs = path.parts, pattern.split("/")
    return len(parts) == len(globs) and all(fnmatch(p, g) for p, g in zip(parts, globs, strict=True))


@pytest.fixture(scope="module")
def server_project() -> dict[str, Any]:
    return project(ROOT)


def test_every_package_on_disk_is_listed_and_nothing_else(server_project: dict[str, Any]) -> None:
    listed = server_project["tool"]["setuptools"]["packages"]
    assert set(listed) == packages_on_disk(ROOT), "fix [tool.setuptools] packages in pyproject.toml"
    assert listed == sorted(set(listed))


def test_a_new_subpackage_is_noticed(tmp_path: Path) -> None:
    """The law above can fail: a folder nobody listed shows up."""
    for part in PARTS:
        (tmp_path / part).mkdir()
        (tmp_path / part / "__init__.py").touch()
    new = tmp_path / "server" / "store" / "deep"
    new.mkdir(parents=True)
    (new / "sqlite.py").touch()
    assert packages_on_disk(tmp_path) == {
        "naiad.adapters",
        "naiad.bandit",
        "naiad.server",
        "naiad.server.store.deep",
    }


def test_every_package_has_an_init_with_a_docstring(server_project: dict[str, Any]) -> None:
    for name in server_project["tool"]["setuptools"]["packages"]:
        init = ROOT.joinpath(*name.split(".")[1:], "__init__.py")
        assert init.is_file(), f"{name} has no __init__.py"
        assert init.read_text().lstrip().startswith('"""'), f"{init} says nothing about itself"


def test_every_data_file_travels_in_the_wheel(server_project: dict[str, Any]) -> None:
    setuptools = server_project["tool"]["setuptools"]
    patterns = setuptools["package-data"]["*"]
    assert unshipped_data(ROOT, patterns, set(setuptools["packages"])) == []


def test_a_data_file_without_pattern_is_noticed(tmp_path: Path) -> None:
    for part in PARTS:
        (tmp_path / part).mkdir()
    static = tmp_path / "server" / "dashboard" / "static"
    static.mkdir(parents=True)
    (static / "page.html").touch()
    packages = {"naiad.server", "naiad.server.dashboard"}
    lost = ["server/dashboard/static/page.html"]
    assert unshipped_data(tmp_path, ["*.toml", "*.html"], packages) == lost
    assert unshipped_data(tmp_path, ["static/*.html"], packages) == []


def test_both_distributions_have_one_version(server_project: dict[str, Any]) -> None:
    """The two are released together, and the server asks for a client at least as new as itself."""
    server = server_project["project"]
    client = project(ROOT / "clients" / "python")["project"]
    assert server["version"] == client["version"]
    assert server["requires-python"] == client["requires-python"]
    assert f"naiad-client>={client['version']}" in server["dependencies"]


def test_server_and_client_agree_on_the_wire_libraries(server_project: dict[str, Any]) -> None:
    """The generated code sets the floor of grpcio and protobuf: the server must not promise a lower one."""
    client = project(ROOT / "clients" / "python")["project"]["dependencies"]
    server = server_project["project"]["dependencies"]
    for requirement in client:
        assert requirement in server


def test_the_namespace_belongs_to_nobody() -> None:
    """An __init__.py in `naiad` would hide the other distribution's half."""
    assert not (ROOT / "clients" / "python" / "naiad" / "__init__.py").exists()
    assert not (ROOT / ".typing" / "naiad" / "__init__.py").exists()


def test_type_checkers_see_every_part(server_project: dict[str, Any]) -> None:
    typing = ROOT / ".typing" / "naiad"
    assert {link.name: link.resolve() for link in typing.iterdir()} == {part: ROOT / part for part in PARTS}
    assert all(link.is_symlink() and not link.readlink().is_absolute() for link in typing.iterdir())
    mapping = server_project["tool"]["setuptools"]["package-dir"]
    assert mapping == {f"naiad.{part}": part for part in PARTS}
