"""The import contracts of pyproject.toml hold on a lawful tree and each of them catches its own violation."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

LAWFUL = {
    "adapters/transport.py": "import httpx\nfrom naiad.adapters import dialling",
    "adapters/dialling.py": "import aiohttp",
    "adapters/openai.py": "from naiad.adapters import transport",
    "bandit/belief.py": "import numpy",
    "client/sync.py": "import naiad.v1.api",
    "server/engine.py": "from naiad.bandit import belief",
    "server/app.py": "import grpc\nfrom naiad.adapters import openai\nfrom naiad.server import engine",
    "v1/api.py": "import google.protobuf",
}

# contract id -> the file that breaks it, and how
VIOLATIONS = {
    "client": ("client/sync.py", "from naiad.server import app"),
    "api": ("v1/api.py", "import naiad.client.sync"),
    "alone": ("bandit/belief.py", "from naiad.adapters import openai"),
    "adapters": ("adapters/openai.py", "import grpc.aio"),
    "pure-bandit": ("bandit/belief.py", "from time import monotonic"),
    "engine": ("server/engine.py", "from naiad.server import app"),
    "one-http": ("server/app.py", "import httpx"),
    "one-socket": ("adapters/openai.py", "import aiohttp"),
}


def contracts() -> list[dict[str, Any]]:
    """Return the contracts as pyproject.toml states them."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[dict[str, Any]] = config["tool"]["importlinter"]["contracts"]
    return found


def lint(folder: Path, files: dict[str, str]) -> dict[str, bool]:
    """Write a `naiad` made of these files, run import-linter on it, and return contract id -> kept."""
    for name, source in files.items():
        path = folder / "naiad" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source + "\n")
        (path.parent / "__init__.py").touch()
    command = Path(sys.executable).parent / "lint-imports"
    result = subprocess.run(
        [command, "--no-logo", "--no-cache", "--config", ROOT / "pyproject.toml"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    kept: dict[str, bool] = {}
    for contract in contracts():
        lines = [line for line in result.stdout.splitlines() if line.startswith(contract["name"])]
        assert lines, f"no verdict on {contract['id']!r}:\n{result.stdout}{result.stderr}"
        kept[contract["id"]] = " KEPT" in lines[0]
    assert (result.returncode == 0) == all(kept.values())
    return kept


def test_every_contract_has_a_violation_to_catch() -> None:
    assert {contract["id"] for contract in contracts()} == set(VIOLATIONS)


def test_a_lawful_tree_is_kept(tmp_path: Path) -> None:
    assert lint(tmp_path, LAWFUL) == dict.fromkeys(VIOLATIONS, True)


@pytest.mark.parametrize("contract", VIOLATIONS)
def test_a_violation_is_caught(contract: str, tmp_path: Path) -> None:
    path, line = VIOLATIONS[contract]
    kept = lint(tmp_path, {**LAWFUL, path: f"{LAWFUL[path]}\n{line}"})
    assert not kept[contract]
