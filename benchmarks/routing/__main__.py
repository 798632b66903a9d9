"""Regret, savings, budgets and delay on real outcomes, through the engine that serves.

    python -m benchmarks.routing --data DIR [--set NAME] [--pool NAME] [--seeds N] [--figures r1,r11] [--json FILE]
        [--plots DIR]

DIR holds outcome sets (`benchmarks/README.md` describes the format); it may also come from NAIAD_ROUTING_DATA.
`--peers PYTHON` names an interpreter that has the peers (`make peers` makes one).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from benchmarks.report import finish, machine
from benchmarks.routing.figures import FIGURES
from benchmarks.routing.outcomes import DataMissing, data_folder
from benchmarks.routing.plan import NothingChosen, Plan


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; exit code 0 when every figure is reached, 1 when not, 2 without anything to measure."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.routing", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--data", type=Path, default=None, metavar="DIR", help="folder of outcome sets")
    parser.add_argument("--set", action="append", default=[], metavar="NAME", help="only this set; may be repeated")
    parser.add_argument("--pool", action="append", default=[], metavar="NAME", help="only this pool; may be repeated")
    parser.add_argument("--seeds", type=int, default=40, metavar="N", help="seeds 0 to N - 1 (default 40)")
    parser.add_argument("--first-seed", type=int, default=0, metavar="S", help="seeds from S on")
    parser.add_argument("--figures", default=",".join(FIGURES), metavar="LIST", help=f"of {', '.join(FIGURES)}")
    parser.add_argument("--peers", type=Path, default=None, metavar="PYTHON", help="interpreter that has the peers")
    parser.add_argument(
        "--plots", type=Path, default=None, metavar="DIR", help="draw regret curves and frontiers there"
    )
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="where to write the figures")
    options = parser.parse_args(arguments)
    wanted = options.figures.split(",")
    unknown = [name for name in wanted if name not in FIGURES]
    if unknown or options.seeds < 1:
        parser.error(f"--figures knows {', '.join(FIGURES)}; --seeds is at least 1")
    where = machine()
    try:
        plan = Plan(
            folder=data_folder(options.data),
            seeds=range(options.first_seed, options.first_seed + options.seeds),
            sets=frozenset(options.set),
            pools=frozenset(options.pool),
            python=options.peers,
            plots=options.plots,
        )
        figures, raw = {}, {}
        for name in wanted:
            began = time.perf_counter()
            try:
                figures[name], raw[name] = FIGURES[name](plan)
            except NothingChosen as error:
                print(f"{name}: {error}", file=sys.stderr)
                continue
            print(f"    ({time.perf_counter() - began:.0f} s)\n", flush=True)
    except DataMissing as error:
        print(f"routing: {error}", file=sys.stderr)
        return 2
    if not figures:
        return 2
    return finish(figures, raw, where=where, packages=("naiad", "numpy"), path=options.json)


if __name__ == "__main__":
    raise SystemExit(main())
