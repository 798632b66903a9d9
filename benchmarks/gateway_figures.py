"""From the blocks of `gateway` to its figures: added times, what they are to reach, and what could not be measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.report import Figure, middle

Facts = Mapping[tuple[str, str, int], Sequence[Mapping[str, float]]]
_MEASURED = "measured beside"


class Added:
    """Differences to the provider itself, by gateway, kind of answer and number in flight."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def ms(self, name: str, kind: str, fact: str) -> dict[str, float] | None:
        """Return what a gateway adds, {"at_1": ms, "at_16": ms}, the median of the rounds; None if it was absent."""
        counts = sorted(count for found, of, count in self._facts if (found, of) == (name, kind))
        if not counts:
            return None
        return {
            f"at_{count}": middle(
                there[fact] - here[fact]
                for there, here in zip(self._facts[name, kind, count], self._facts["direct", kind, count], strict=True)
            )
            for count in counts
        }

    def of(self, name: str, kind: str, fact: str) -> dict[str, float] | None:
        """Return a fact itself, the median of the rounds; None if the gateway was absent."""
        found = {
            f"at_{count}": middle(block[fact] for block in blocks)
            for (who, of, count), blocks in sorted(self._facts.items())
            if (who, of) == (name, kind)
        }
        return found or None


def figures_of(
    facts: Facts, commits: Mapping[int, Sequence[float]], peers: Sequence[str], absent: Sequence[str]
) -> dict[str, Figure]:
    """Return all figures; one that needs an absent peer is not measured, and so not reached."""
    added = Added(facts)
    figures: dict[str, Figure] = {}
    for key, kind, fact in (
        ("", "whole", "p50_ms"), ("stream_", "stream", "p50_ms"), ("stream_first_token_", "stream", "first_p50_ms"),
    ):  # fmt: skip
        ours = added.ms("complete", kind, fact)
        theirs = {name: added.ms(name, kind, fact) for name in peers}
        figures[f"{key or 'complete_'}added_ms"] = _within(ours, theirs, absent)
        figures |= {f"{name}_{key}added_ms": _beside(value, name, absent) for name, value in theirs.items()}
    commit = {f"at_{count}": middle(found) for count, found in sorted(commits.items())}
    echo = added.of("echo", "whole", "p50_ms")
    figures["complete_commit_ms"] = _beside(commit, "complete", absent)
    figures["echo_ms"] = _beside(echo, "echo", absent)
    figures["complete_without_commit_ms"] = _without_commit(added, commit, echo, absent)
    rates = {name: added.of(name, "whole", "per_s") for name in ("complete", *peers)}
    figures["complete_per_s"] = _faster(rates, absent)
    figures |= {f"{name}_per_s": _beside(rates[name], name, absent) for name in peers}
    failed = sum(block["failed"] for blocks in facts.values() for block in blocks)
    figures["replies_not_ok"] = {"value": int(failed), "reach": "<= 0", "pass": not failed}
    return figures


def _missing(reach: str, absent: Sequence[str], names: Sequence[str]) -> Figure:
    why = [reason for reason in absent if reason.split(" ", 1)[0] in names]
    return {"value": f"not measured: {'; '.join(why)}", "reach": reach, "pass": False}


def _beside(value: Mapping[str, float] | None, name: str, absent: Sequence[str]) -> Figure:
    if value is None:
        return _missing(_MEASURED, absent, (name,))
    return {"value": dict(value), "reach": _MEASURED, "pass": True}


def _within(
    ours: Mapping[str, float] | None, theirs: Mapping[str, Mapping[str, float] | None], absent: Sequence[str]
) -> Figure:
    """Judge against half of Portkey's time and a tenth of LiteLLM's, at each number in flight."""
    reach = "<= portkey's / 2 and <= litellm's / 10, at each number in flight"
    value: dict[str, Any] = dict(ours or {})
    passed = True
    for name, part in (("portkey", 2.0), ("litellm", 10.0)):
        found = theirs[name]
        if found is None:
            value[f"{name}"] = _missing("", absent, (name,))["value"]
            passed = False
            continue
        for at, limit in found.items():
            value[f"limit_by_{name}_{at}"] = limit / part
            passed &= ours is not None and ours[at] <= limit / part
    return {"value": value, "reach": reach, "pass": passed}


def _without_commit(
    added: Added, commit: Mapping[str, float], echo: Mapping[str, float] | None, absent: Sequence[str]
) -> Figure:
    """Judge one at a time: with more in flight, a wait for the processor is in everybody's time, and in the commit."""
    reach = "one at a time <= tensorzero's + a bare gRPC echo"
    ours, theirs = added.ms("complete", "whole", "p50_ms"), added.ms("tensorzero", "whole", "p50_ms")
    if ours is None or theirs is None or echo is None:
        return _missing(reach, absent, ("tensorzero",))
    value = {at: ours[at] - commit[at] for at in ours}
    limit = {f"limit_{at}": theirs[at] + echo[at] for at in ours}
    return {"value": value | limit, "reach": reach, "pass": value["at_1"] <= limit["limit_at_1"]}


def _faster(rates: Mapping[str, Mapping[str, float] | None], absent: Sequence[str]) -> Figure:
    reach = "with 16 in flight > portkey's"
    ours, theirs = rates["complete"], rates["portkey"]
    if ours is None or theirs is None:
        return _missing(reach, absent, ("portkey",))
    return {"value": dict(ours), "reach": reach, "pass": ours["at_16"] > theirs["at_16"]}


def table(facts: Facts) -> None:
    """Print the medians of all rounds."""
    for (name, kind, count), blocks in sorted(facts.items(), key=lambda item: item[0][1:]):
        row = {fact: middle(block[fact] for block in blocks) for fact in blocks[0]}
        print(
            f"{kind:6} {count:3} in flight  {name:10}  {row['p50_ms']:8.3f} ms p50  {row['p99_ms']:8.3f} ms p99", end=""
        )
        print(
            f"  {row['first_p50_ms']:8.3f} ms to the first text  {row['per_s']:6.0f}/s  {row['cpu_us']:6.0f} us of cpu"
        )
