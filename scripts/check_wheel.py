"""Compare a built server wheel with the tree: everything of ours is in it, and nothing outside `naiad/`.

    python scripts/check_wheel.py dist/naiad-0.1.0-py3-none-any.whl

A subpackage or data file that pyproject.toml forgets works in an editable install and is missing here. A
top-level folder beside `naiad/` would overwrite other people's packages (PyCQA also owns a `bandit/`).
Exits with 1 and the list of differences when there are any.
"""

from __future__ import annotations

import sys
from pathlib import Path
from zipfile import ZipFile

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("adapters", "bandit", "server")


def expected() -> set[str]:
    """Return the names, as in a wheel, of every file of the three parts."""
    return {
        f"naiad/{path.relative_to(ROOT).as_posix()}"
        for part in PARTS
        for path in (ROOT / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def carried(wheel: Path) -> set[str]:
    """Return the names in the wheel, without its own metadata."""
    with ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name.partition("/")[0] + "/"}


def main() -> int:
    """Print the differences and return the exit code."""
    wheel = Path(sys.argv[1])
    want, have = expected(), carried(wheel)
    for name in sorted(want - have):
        print(f"missing from {wheel.name}: {name}; list its package or its pattern in pyproject.toml")
    for name in sorted(have - want):
        print(f"not ours or stale in {wheel.name}: {name}; remove build/ and build again")
    return 1 if want != have else 0


if __name__ == "__main__":
    sys.exit(main())
