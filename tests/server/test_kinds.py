"""Kinds of endpoint that reach a provider, as `naiad check` sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from naiad.adapters.profiles import PROFILES
from naiad.server.cli import main
from naiad.server.config import parse
from tests.adapters.peer import KEY

ROOT = Path(__file__).resolve().parents[2]
MODEL = 'name = "mine/m"\nendpoint = "mine"\ninput_usd_per_million = 1.0\noutput_usd_per_million = 2.0\n'


@pytest.mark.parametrize(
    ("section", "code", "words"),
    [
        ('kind = "openai"', 0, "mine"),
        ('kind = "openai_compatible"', 2, "lacks base_url"),
        ('kind = "openai"\nbase_url = "http://api.example.com/v1"', 2, "use https"),
        ('kind = "openai"\napi_version = "v2"', 2, "no versions"),
        ('kind = "openia"', 2, "did you mean 'openai'"),
        ('kind = "vllm"', 0, "mine"),
        ('kind = "vllm"\nbase_url = "http://10.0.0.7:8000/v1"', 2, "private = true"),
        ('kind = "openai"\nheaders = { Authorization = "Bearer x" }', 2, "api_key_env"),
    ],
)
def test_check(
    section: str, code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    file = tmp_path / "naiad.toml"
    file.write_text(f"[endpoints.mine]\n{section}\n[[models]]\n{MODEL}", encoding="utf-8")
    assert main(["check", "--config", str(file)]) == code
    shown = capsys.readouterr()
    assert words in shown.out + shown.err
    assert KEY not in shown.out + shown.err


@pytest.mark.parametrize("kind", sorted(set(PROFILES) - {"openai_compatible"}))
def test_a_kind_needs_nothing_but_its_name(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    profile = PROFILES[kind]
    if profile.key_env:
        monkeypatch.setenv(profile.key_env, KEY)
    found = parse({"endpoints": {"mine": {"kind": kind}}}, "my.toml").networks["mine"]
    assert found.place.url == profile.base_url
    assert found.private == profile.private
    assert (found.key is not None) == bool(profile.key_env)


def test_every_kind_is_in_the_documents() -> None:
    for name in ("docs/configuration.md", "docs/providers.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert [kind for kind in PROFILES if f"`{kind}`" not in text] == [], name
