"""A secret that does not show itself, and how to take it out of a text that came from outside."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import NoReturn, Self
from urllib.parse import quote

HIDDEN = "****"
_WINDOW = 8  # characters of a secret that may stand in a text, less one


class Secret:
    """A key or token; only `reveal` gives its text.

    `repr`, `str` and `format` hide it, pickling is refused, copies are the object itself, and comparing takes the
    same time wherever two secrets differ. Raises ValueError for a text that no header can carry.
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        if not text or not all("!" <= char <= "~" or char == " " for char in text) or text != text.strip():
            raise ValueError(
                "a secret must be printable ASCII without spaces around it, at least one character; "
                f"this one has {len(text)} characters and breaks that rule"
            )
        self.__text = text

    def reveal(self) -> str:
        """Return the text; call it in the expression that sends it, so that no variable holds it."""
        return self.__text

    def prefixed(self, prefix: str) -> Secret:
        """Return the secret with a text before it, e.g. `"Bearer "` for the header `authorization`."""
        return Secret(prefix + self.__text)

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__text, other.__text)

    def __hash__(self) -> int:
        return hash((Secret, self.__text))

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is not pickled: hand over where it comes from, and read it there")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


def scrub(text: str, *secrets: Secret) -> str:
    """Return a text in which no secret stands, nor eight characters of one in a row.

    Looks for the secret itself and for its hexadecimal, base64 (at each of the three offsets) and URL-quoted forms,
    without regard to case. Takes len(secret) searches of the text: cut a long text first.
    """
    folded = text.lower()
    if len(folded) != len(text):  # a few characters change their length in lower case
        folded = text = "".join(char if len(char.lower()) == 1 else "?" for char in text).lower()
    hidden = bytearray(len(text))
    for secret in secrets:
        for form in _forms(secret.reveal()):
            for start in range(max(1, len(form) - _WINDOW + 1)):
                _hide(folded, form[start : start + _WINDOW], hidden)
    if not any(hidden):
        return text
    kept: list[str] = []
    for char, hide in zip(text, hidden, strict=True):
        if not hide:
            kept.append(char)
        elif not kept or kept[-1] != HIDDEN:
            kept.append(HIDDEN)
    return "".join(kept)


def _hide(folded: str, piece: str, hidden: bytearray) -> None:
    at = folded.find(piece)
    while at >= 0:
        hidden[at : at + len(piece)] = b"\1" * len(piece)
        at = folded.find(piece, at + 1)


def _forms(text: str) -> set[str]:
    data = text.encode()
    forms = {text, quote(text, safe=""), binascii.hexlify(data).decode()}
    for offset in range(3):
        whole = data[offset : offset + (len(data) - offset) // 3 * 3]
        forms |= {base64.b64encode(whole).decode(), base64.urlsafe_b64encode(whole).decode()}
    return {form.lower() for form in forms if form}
