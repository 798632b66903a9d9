"""Every fault that llmock knows, against Complete and StreamComplete, and llmock's verdict on how Naiad behaved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.llmock.cells import ANSWERED, ECHO, STREAM, Cell, cells_of
from tests.llmock.play import VENDORS, Result, Stage, prompt, stage

CELLS = [(provider, cell) for provider in VENDORS for cell in cells_of(provider)]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return what came of all cells; those of a provider are played together, once."""
    with stage(tmp_path_factory.mktemp("llmock")) as found:
        yield found


@pytest.mark.parametrize(("provider", "cell"), [pytest.param(p, cell, id=f"{p}-{cell.id}") for p, cell in CELLS])
def test_the_caller_gets_what_it_should_and_llmock_finds_no_fault(provider: str, cell: Cell, played: Stage) -> None:
    result = played.results(provider)[cell.id]
    assert (result.reason, result.failed) == (cell.ends, cell.failed)
    if cell.ends == ANSWERED:
        _check_answer(provider, cell, result)
    said = {finding.code for finding in result.findings}
    assert cell.says <= said <= cell.says | cell.may_say, [finding.words for finding in result.findings]
    assert len(result.seen) == len(result.attempts), "every attempt is one request, and is on record"


def _check_answer(provider: str, cell: Cell, result: Result) -> None:
    whole = ECHO.format(prompt(cell)) if cell.text == ECHO else cell.text
    assert result.text == whole, "the answer is whole"
    if cell.rpc == STREAM:
        assert result.streamed == whole, "and so are the pieces that count"
    assert [call.name for call in result.calls] == ([cell.tool] if cell.tool else [])
    assert result.finish == cell.finish
    assert result.usage.input_tokens > 0
    assert result.usage.output_tokens > 0
    # Mistral counts at the end of each stream; llmock only for those who ask as OpenAI's callers do.
    assert result.usage.estimated == (provider == "mistral" and cell.rpc == STREAM)
    assert len(result.attempts) == len(cell.failed) + 1


@pytest.mark.parametrize("provider", VENDORS)
def test_every_fault_was_met(provider: str, played: Stage) -> None:
    """A fault that nobody met was not tested; llmock names those that are no delay."""
    results = played.results(provider)
    faulty = [
        cell for cell in cells_of(provider) if any(told["type"] in ("fail", "stream_fault") for told in cell.script)
    ]
    assert [cell.id for cell in faulty if not any(request.fault for request in results[cell.id].seen)] == []


@pytest.mark.parametrize("provider", VENDORS)
def test_after_an_outage_the_caller_is_told_when_to_come_back(provider: str, played: Stage) -> None:
    outage = played.results(provider)["whole-outage"]
    assert (outage.code, outage.retry_after_s) == ("UNAVAILABLE", 1.0)
