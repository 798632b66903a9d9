"""Personal data in prompts, found where it has a form that can be checked: it only ever raises the data class.

The extra `naiad[pii]` brings the two libraries that check: python-stdnum (IBAN, payment cards, US social security
numbers) and phonenumbers (international telephone numbers); e-mail addresses need none. Names, addresses and whatever
else has no such form are not found. What is not looked at counts as found: images, texts beyond a length, and more
candidates than can be checked. The work is linear in the text; other calls are served between its pieces.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec

from naiad.adapters.base import ImagePart, Message, Part, TextPart, ToolCallPart, ToolResultPart

INSTALL = "pip install 'naiad[pii]'"
MOST_CHARACTERS = 1_000_000  # of a request
_PIECE = 8_192  # characters that are searched at a time: under a millisecond, some twenty at worst
_OVERLAP = 640  # characters that two pieces share: no form is longer
_MOST_CANDIDATES = 50  # of a form in a piece
_LONGEST_IBAN, _SHORTEST_IBAN = 34, 15
_EMAIL = re.compile(r"[\w.%+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")
_PHONE = re.compile(r"\+\d[\d ().\-/]{5,22}\d")
_CARD = re.compile(r"(?<!\d)[3-6](?:[ -]?\d){12,18}(?!\d)")
_SSN = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,40}")
UNSEARCHED = "unsearched"


def missing() -> str:
    """Return what detection needs and does not find here, "" if it has all."""
    absent = [name for name, module in (("phonenumbers", "phonenumbers"), ("python-stdnum", "stdnum"))
              if find_spec(module) is None]  # fmt: skip
    return f"{' and '.join(absent)} cannot be imported; {INSTALL}" if absent else ""


class Detector:
    """Looks for personal data in messages. Raises ImportError where the extra is not installed."""

    def __init__(self, raises_to: str) -> None:
        import phonenumbers
        from stdnum import iban, luhn
        from stdnum.us import ssn

        self.raises_to = raises_to  # the least data class of a request in which something is found

        def phone(text: str) -> bool:
            try:
                return phonenumbers.is_valid_number(phonenumbers.parse(text))
            except phonenumbers.NumberParseException:
                return False

        def bank(text: str) -> bool:
            compact = text.replace(" ", "")  # words that follow look like more of it: try every length
            return any(iban.is_valid(compact[:n]) for n in range(_SHORTEST_IBAN, min(len(compact), _LONGEST_IBAN) + 1))

        self._forms: tuple[tuple[str, str, re.Pattern[str], Callable[[str], bool]], ...] = (  # with a sign that it has
            ("email", "@", _EMAIL, lambda _: True),
            ("phone", "+", _PHONE, phone),
            ("card", "", _CARD, lambda text: bool(luhn.is_valid(re.sub("[ -]", "", text)))),
            ("us_ssn", "-", _SSN, lambda text: bool(ssn.is_valid(text))),
            ("iban", "", _IBAN, bank),
        )

    def __repr__(self) -> str:
        return f"Detector(raises_to={self.raises_to!r})"

    async def raises(self, messages: Iterable[Message]) -> str:
        """Return the least data class that the messages call for, "" if nothing was found in them."""
        return self.raises_to if await self.found(messages) else ""

    async def found(self, messages: Iterable[Message]) -> str:
        """Return the form of the first piece of personal data, "" if there is none, UNSEARCHED where it cannot say."""
        pieces, size = [], 0
        for piece in _texts(part for message in messages for part in message.parts):
            if piece is None or (size := size + len(piece)) > MOST_CHARACTERS:
                return UNSEARCHED
            pieces.append(piece)
        text = unicodedata.normalize("NFKC", "\n".join(pieces))  # digits and signs of other widths
        for start in range(0, len(text), _PIECE):
            if start:
                await asyncio.sleep(0)
            if found := self._search(text[max(0, start - _OVERLAP) : start + _PIECE]):
                return found
        return ""

    def _search(self, text: str) -> str:
        for name, sign, pattern, valid in self._forms:
            if sign not in text:
                continue
            for count, candidate in enumerate(pattern.finditer(text)):
                if count == _MOST_CANDIDATES:
                    return UNSEARCHED
                if valid(candidate[0]):
                    return name
        return ""


def _texts(parts: Iterable[Part]) -> Iterator[str | None]:
    """Yield the texts of parts; None for what is no text."""
    for part in parts:
        if isinstance(part, TextPart):
            yield part.text
        elif isinstance(part, ToolCallPart):
            yield part.arguments
        elif isinstance(part, ToolResultPart):
            yield from _texts(part.content)
        elif isinstance(part, ImagePart):
            yield None
