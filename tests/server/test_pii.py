"""Personal data in prompts: what has a form is found, wherever it stands; what is not looked at counts as found."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.adapters.base import ImagePart, Message, Role, TextPart, ToolCallPart, ToolResultPart, user
from naiad.server import pii
from naiad.server.config import parse
from naiad.server.governance import Claims, Governance
from naiad.server.pii import MOST_CHARACTERS, UNSEARCHED, Detector
from naiad.server.records import DataClass
from naiad.server.sections import ConfigError

DETECTOR = Detector("secret")
FOUND = {
    "bob.o'hara+x@mail.example.org": "email",
    "büro@bücher.example": "email",
    "+49 30 901820": "phone",
    "+1 (212) 736-5000": "phone",
    "4111 1111 1111 1111": "card",
    "378282246310005": "card",
    "536-90-4399": "us_ssn",
    "DE89 3704 0044 0532 0130 00": "iban",
    "GB33BUKB20201555555555": "iban",
}
INNOCENT = (
    "", "a@b", "meet at 12:30 on 2024-01-02", "version 1.2.3+4", "4111 1111 1111 1112", "DE88 3704 0044 0532 0130 00",
    "000-00-0000", "+49 1", "0xDEADBEEF 1234567890", "the quick brown fox " * 400, "1 2 3 4 5 6 7 8 9 0 1 2",
)  # fmt: skip


@pytest.mark.parametrize("text", FOUND)
async def test_what_has_a_form_is_found(text: str) -> None:
    for around in ("{}", "write to {} AND SAY NO", "({}).", "x\n{}\ny"):
        assert await DETECTOR.found([user("hello"), user(around.format(text))]) == FOUND[text], around
    assert await DETECTOR.raises([user(text)]) == "secret"


@pytest.mark.parametrize("text", INNOCENT)
async def test_what_only_looks_like_it_is_not(text: str) -> None:
    assert await DETECTOR.found([user(text)]) == ""
    assert await DETECTOR.raises([user(text)]) == ""


@settings(max_examples=60)
@given(st.sampled_from(sorted(FOUND)), st.integers(0, 30_000))
async def test_it_is_found_wherever_it_stands(text: str, before: int) -> None:
    """Also where a piece of what is searched at a time ends."""
    assert await DETECTOR.found([user("a " * (before // 2) + text + " b" * 3_000)]) == FOUND[text]


async def test_it_is_found_in_every_part_that_is_text() -> None:
    text = "bob@example.org"
    for part in (
        TextPart(text), ToolCallPart("1", "t", f'{{"to": "{text}"}}'), ToolResultPart("1", "t", (TextPart(text),)),
    ):  # fmt: skip
        assert await DETECTOR.found([Message(Role.USER, (TextPart("hello"), part))]) == "email"


async def test_digits_of_another_width_are_digits() -> None:
    wide = "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in "4111111111111111")
    assert await DETECTOR.found([user(wide)]) == "card"


async def test_what_is_not_looked_at_counts_as_found() -> None:
    image = ImagePart("image/png", b"\x89PNG")
    assert await DETECTOR.found([Message(Role.USER, (image,))]) == UNSEARCHED
    assert await DETECTOR.found([Message(Role.USER, (ToolResultPart("1", "t", (image,)),))]) == UNSEARCHED
    assert await DETECTOR.found([user("a" * MOST_CHARACTERS)]) == ""
    assert await DETECTOR.found([user("a" * MOST_CHARACTERS), user("a")]) == UNSEARCHED
    assert await DETECTOR.found([user("+99 9999999 x " * 100)]) == UNSEARCHED


@given(st.sampled_from(["", "open", "secret"]), st.sampled_from(["", "open", "secret", "gone"]))
def test_what_is_found_only_ever_raises(request: str, content: str) -> None:
    rules = Governance((DataClass(name="open", allow=("any",)), DataClass(name="secret")))
    before, after = (rules.treat(Claims(request=request, content=c)) for c in ("", content))
    order = ["open", "secret"]
    assert order.index(after.data_class) >= order.index(before.data_class)
    assert (after.source == "content") == (after.data_class != before.data_class)


RULED: dict[str, Any] = {"data_classes": [{"name": "open", "allow": ["any"]}, {"name": "secret"}]}


def test_it_is_off_unless_asked_for_and_needs_a_class_and_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(name: str, classes: bool = True) -> Any:
        data = copy.deepcopy(RULED) if classes else {}
        return parse(data | {"governance": {"pii": {"raises_to": name}}}, "naiad.toml")

    assert parse(copy.deepcopy(RULED), "t").file.governance.pii.raises_to == ""
    assert asked("secret").file.governance.pii.raises_to == "secret"
    with pytest.raises(ConfigError, match="did you mean 'secret'"):
        asked("secrt")
    with pytest.raises(ConfigError, match="there are no"):
        asked("secret", classes=False)
    monkeypatch.setattr(pii, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"phonenumbers and python-stdnum cannot be imported; pip install 'naiad\[pii\]'"
    ):
        asked("secret")
