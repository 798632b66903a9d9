"""Secrets to be looked for wherever a server writes: raw, in the usual codings, and in parts."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from urllib.parse import quote

FRAGMENT = 8  # characters of a secret that must not be found; as likely by chance as guessing 48 bits
_HEX_FRAGMENT = 16  # hexadecimal digits carry half as much, and digests are full of them


def fragments(secrets: Iterable[str]) -> dict[bytes, str]:
    """Return every fragment of every form of the secrets, with the form's name."""
    found: dict[bytes, str] = {}
    for secret in secrets:
        raw = secret.encode()
        for form, text, size in (
            ("raw", raw, FRAGMENT),
            ("reversed", raw[::-1], FRAGMENT),
            ("hex", raw.hex().encode(), _HEX_FRAGMENT),
            ("HEX", raw.hex().upper().encode(), _HEX_FRAGMENT),
            ("url", quote(secret, safe="").encode(), FRAGMENT),
            *(
                (f"base64+{shift}", base64.b64encode(b"." * shift + raw)[4 if shift else 0 : -4], FRAGMENT)
                for shift in range(3)
            ),
        ):
            for start in range(len(text) - size + 1):
                found.setdefault(text[start : start + size], form)
    return found


def hits(data: bytes, wanted: dict[bytes, str]) -> list[str]:
    """Return which forms stand in some bytes, each with the place of the first."""
    seen: dict[str, int] = {}
    for size in {len(part) for part in wanted}:
        for start in range(len(data) - size + 1):
            form = wanted.get(data[start : start + size])
            if form is not None:
                seen.setdefault(form, start)
    return [f"{form} at byte {start}" for form, start in sorted(seen.items())]
