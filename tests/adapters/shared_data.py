"""What lies beside the repository and not in it: recorded exchanges and API descriptions of real providers.

`NAIAD_SHARED` says where, else `../shared`. A test that needs what is not there is skipped and says so.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("NAIAD_SHARED") or _ROOT.parent / "shared")


@dataclass(frozen=True, slots=True)
class Recorded:
    """One exchange with a real provider."""

    id: str
    path: str
    query: str
    request: Any
    status: int
    headers: dict[str, str]
    body: bytes  # of the reply


def path_of(name: str) -> Path:
    """Return the path of a shared file; skips the test where it is absent."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"{name} is absent: set NAIAD_SHARED to the folder that has it")
    return path


def recorded(host: str) -> Iterator[Recorded]:
    """Yield the exchanges with a host; skips the test where they are absent."""
    with gzip.open(path_of(f"recorded/{host}.jsonl.gz"), "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            body = json.dumps(row["json"]) if row.get("json") is not None else row.get("text") or ""
            yield Recorded(
                row["id"], row["path"], row.get("query") or "", row.get("request"), row["status"],
                row.get("headers") or {}, body.encode(),
            )  # fmt: skip


def description(name: str) -> Any:
    """Return an API's description, JSON or YAML; skips the test where it is absent."""
    with gzip.open(path_of(f"specs/{name}.gz"), "rt", encoding="utf-8") as text:
        if name.endswith(".json"):
            return json.load(text)
        import yaml

        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
        return json.loads(json.dumps(found, default=str))  # YAML's dates are no JSON values
