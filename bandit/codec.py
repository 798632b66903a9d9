"""Statistics to bytes and back: versioned, checksummed, canonical (equal statistics give equal bytes).

Layout: magic, format version, sha256 of the body, body. The body is zlib-compressed JSON of integers, which have no
fixed width to overflow and which any tool can read.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

from naiad.bandit.influence import Caps
from naiad.bandit.statistics import Alarm, Measure, Statistics

_MAGIC = b"NAIADST"
_VERSION = 3


class CorruptStatistics(Exception):
    """The bytes are not statistics that this version wrote: truncated, altered or of another version."""


def encode(statistics: Statistics) -> bytes:
    """Return the canonical bytes of the statistics."""
    content = {
        "heads": sorted(statistics.heads().items()),
        "alarms": [[model, *alarm] for model, alarms in sorted(statistics.alarms().items()) for alarm in alarms],
        "cells": [[*map(int, group), *key, *triple] for group, key, triple in statistics.items()],
    }
    body = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 6)
    return _MAGIC + bytes([_VERSION]) + hashlib.sha256(body).digest() + body


def decode(data: bytes, caps: Caps | None = None) -> Statistics:
    """Return the statistics that `encode` wrote under the same caps; raises CorruptStatistics for anything else."""
    head = len(_MAGIC)
    if data[:head] != _MAGIC:
        raise CorruptStatistics(
            f"these {len(data)} bytes are not a statistics snapshot: they do not start with {_MAGIC!r}"
        )
    if len(data) < head + 33:
        raise CorruptStatistics(f"the snapshot is cut off after {len(data)} bytes")
    if data[head] != _VERSION:
        raise CorruptStatistics(f"the snapshot has format {data[head]}; this version reads format {_VERSION}")
    body = data[head + 33 :]
    if hashlib.sha256(body).digest() != data[head + 1 : head + 33]:
        raise CorruptStatistics("the snapshot's checksum does not match its content: discard it and fold the log")
    try:
        return _parse(json.loads(zlib.decompress(body)), Statistics(caps))
    except (zlib.error, ValueError, TypeError, KeyError) as error:
        raise CorruptStatistics(f"the snapshot's checksum is right but its content is not ours: {error!r}") from error


def _parse(content: Any, statistics: Statistics) -> Statistics:
    for model, ordinal in content["heads"]:
        _check_integers(model, ordinal)
        statistics.advance(model, ordinal)
    for model, bucket, kept, shift in content["alarms"]:
        _check_integers(model, bucket, shift)
        if type(kept) is not float or not 0.0 < kept <= 1.0:
            raise TypeError(f"a factor in (0, 1] expected, got {kept!r:.80}")
        statistics.restore_alarm(model, Alarm(bucket, kept, shift))
    for cell in content["cells"]:
        _check_integers(*cell)
        task_class, model, measure, source, slot, level, block, epoch, weight, total, square = cell
        if not 0 <= epoch < len(statistics.worths(model) or (None,)):
            raise ValueError(f"epoch {epoch} of model {model} follows no alarm")
        group = (task_class, model, Measure(measure))
        statistics.load(group, (source, slot, level, block, epoch), (weight, total, square))
    return statistics


def _check_integers(*values: object) -> None:
    if not all(type(value) is int for value in values):
        raise TypeError(f"integers expected, got {values!r:.80}")
