"""The catalogue of errors as proto/naiad/v1/error_reason.proto documents it: code and metadata keys of each reason."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROTO = ROOT / "proto/naiad/v1/error_reason.proto"
_VALUE = re.compile(r"ERROR_REASON_([A-Z_]+) = (\d+);")
# Keys that the text allows to be missing: a bound that does not exist, and the half that does not apply.
_OPTIONAL = {
    "NUMBER_OUT_OF_RANGE": {"minimum", "maximum"},
    "NOT_IMPLEMENTED": {"method", "field"},
    "RATE_LIMITED": {"left", "needed"},
}


@dataclass(frozen=True, slots=True)
class Documented:
    """What the comment of one reason promises."""

    reason: str
    code: str
    keys: frozenset[str]
    optional: frozenset[str]
    retry_info: bool  # "with RetryInfo", without condition


def documented() -> dict[str, Documented]:
    """Parse the comments; raises ValueError for a value whose comment does not have the agreed form."""
    found: dict[str, Documented] = {}
    comment: list[str] = []
    for line in PROTO.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("//"):
            comment.append(text.removeprefix("//").strip())
            continue
        match = _VALUE.match(text)
        if match and match[2] != "0":
            found[match[1]] = _parse(match[1], " ".join(comment))
        comment = []
    return found


def _parse(reason: str, comment: str) -> Documented:
    head = re.match(r"([A-Z_]+)([^.]*)\.", comment)
    keys = re.search(r"Metadata: (.+?)\. Remedy: .+\.", comment)
    if head is None or keys is None:
        raise ValueError(f"{reason}: the comment must be 'CODE. What. Metadata: keys. Remedy: text.', not {comment!r}")
    names = frozenset(part.strip() for part in re.sub(r"\([^)]*\)", "", keys[1]).split(","))
    return Documented(
        reason, head[1], names, frozenset(_OPTIONAL.get(reason, ())), head[2].strip() == ", with RetryInfo"
    )


def check(reason: str, code: str, metadata: dict[str, str]) -> None:
    """Assert that an error carries what its reason promises."""
    promised = documented()[reason]
    assert code == promised.code, f"{reason} came as {code}; documented is {promised.code}"
    assert metadata.keys() <= promised.keys, f"{reason} has undocumented keys {metadata.keys() - promised.keys}"
    missing = promised.keys - promised.optional - metadata.keys()
    assert not missing, f"{reason} lacks the documented keys {sorted(missing)}"
