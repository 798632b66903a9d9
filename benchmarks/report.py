"""What every benchmark writes: figures with what they are to reach, the machine, the versions and the raw numbers."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

Figure = dict[str, Any]  # {"value": number or map, "reach": text, "pass": bool}


def at_most(value: float, limit: float, unit: str = "") -> Figure:
    """Return a figure that is reached when the value is no greater than the limit."""
    return {"value": value, "reach": f"<= {limit:g}{unit and ' ' + unit}", "pass": value <= limit}


def at_least(value: float, limit: float, unit: str = "") -> Figure:
    """Return a figure that is reached when the value is no smaller than the limit."""
    return {"value": value, "reach": f">= {limit:g}{unit and ' ' + unit}", "pass": value >= limit}


def quantile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that at least a share of the values does not exceed; values must not be empty."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -int(-share * len(ordered) // 1) - 1))]


def middle(values: Iterable[float]) -> float:
    """Return the median."""
    return float(median(values))


def machine() -> dict[str, Any]:
    """Return what the figures depend on besides the code; the load is that of others while this began."""
    return {
        "cpus": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "load_1_min": os.getloadavg()[0],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python and of the packages named; "absent" for one that is not installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def finish(
    figures: Mapping[str, Figure],
    raw: Mapping[str, Any],
    *,
    where: Mapping[str, Any],
    packages: Sequence[str],
    path: Path | None,
) -> int:
    """Print the figures, write them as JSON if a path is given, and return the exit code: 0 when all are reached.

    where: what `machine` returned before the measurement began.
    """
    print()
    for key, figure in figures.items():
        print(f"{'reached' if figure['pass'] else 'MISSED '}  {key} = {_shown(figure['value'])}  ({figure['reach']})")
    known = versions(packages)
    print(f"on {where['cpus']} x {where['processor']}, load {where['load_1_min']:.1f} at the start; ", end="")
    print(", ".join(f"{name} {number}" for name, number in known.items()))
    if path is not None:
        content = {**figures, "machine": dict(where), "versions": known, "raw": dict(raw)}
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return 0 if all(figure["pass"] for figure in figures.values()) else 1


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
