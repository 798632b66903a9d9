"""A server whose provider meters itself: `python metered.py serve --data-dir DIR ...`, for bar B11.

Each call that reaches the provider appends what it truly bills to DIR/bills.txt before anything is awaited, so that a
kill of the server takes no bill. The prompt says what happens: see `Prompt`.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from naiad.adapters.base import Answer, Finished, FinishReason, Request, StreamEvent, TextPart, Usage
from naiad.adapters.errors import Overloaded, Timeout, TimeoutKind, Truncated
from naiad.adapters.tokens import estimate_tokens
from naiad.server import attempts, providers
from naiad.server.cli import main
from naiad.server.money import cost_of, most_of
from naiad.server.records import Prices
from naiad.server.records import Usage as ServerUsage

PRICES = {  # nano-USD per million tokens
    "small": Prices(input=1_000_000_000, output=4_000_000_000),
    "medium": Prices(input=2_000_000_000, output=8_000_000_000),
    "large": Prices(input=5_000_000_000, output=20_000_000_000),
}
SETTLE_S = 0.5  # in place of half a minute: the bar waits for what a kill left


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a prompt tells the provider: its trial and caller, and whether answers may exceed their bound."""

    trial: int
    caller: int
    lying: bool

    def __str__(self) -> str:
        return f"b11 {self.trial} {self.caller} {int(self.lying)}"

    @classmethod
    def read(cls, text: str) -> Prompt:
        """Return what a text says."""
        _, trial, caller, lying = text.split()
        return cls(int(trial), int(caller), lying == "1")


class Metered:
    """Answers, fails, hangs and overcharges by the prompt's own chance, and writes down what it bills."""

    provider = "metered"

    def __init__(self, bills: Path) -> None:
        self._file = os.open(bills, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._calls = 0

    async def complete(self, request: Request, *, timeout_s: float) -> Answer:
        """Bill, then answer or fail."""
        self._calls += 1
        prompt = Prompt.read(request.last_user_text)
        chance = random.Random(f"{prompt} {request.model} {self._calls}")
        where: dict[str, Any] = {"provider": self.provider, "model": request.model}
        fate = chance.random()
        if fate < 0.15:
            raise Overloaded("busy", **where)
        bound = request.max_output_tokens
        if bound is None:
            raise RuntimeError("a call under a budget came without a bound of its output")
        written = chance.randint(0, bound) if fate < 0.7 else bound
        if prompt.lying and fate > 0.5:
            written *= 3
        usage = ServerUsage(input_tokens=estimate_tokens(request.messages), output_tokens=written)
        self._bill(prompt, request.model, usage, bound)
        if fate < 0.3:
            await asyncio.sleep(chance.uniform(0.0, 0.2))
        elif fate < 0.4:
            raise Timeout("silent", kind=TimeoutKind.FIRST_BYTE, after_s=timeout_s, **where)
        elif fate < 0.45:
            raise Truncated("cut", **where)
        return Answer(
            parts=(TextPart("yes"),), finish=FinishReason.STOP, model=request.model,
            usage=Usage(usage.input_tokens or 0, written),
        )  # fmt: skip

    def _bill(self, prompt: Prompt, model: str, usage: ServerUsage, bound: int) -> None:
        bill = cost_of(usage, PRICES[model])
        held = most_of(PRICES[model], usage.input_tokens or 0, bound)
        os.write(self._file, f"{prompt.trial} {prompt.caller} {bill.total if bill else 0} {held}\n".encode())

    async def stream(self, request: Request, *, timeout_s: float) -> AsyncGenerator[StreamEvent, None]:
        """Answer in one piece."""
        yield Finished(await self.complete(request, timeout_s=timeout_s))

    async def aclose(self) -> None:
        """Do nothing."""


def serve() -> int:
    """Serve with the metered provider behind every endpoint."""
    folder = Path(sys.argv[sys.argv.index("--data-dir") + 1])

    def build(profiles: Any) -> dict[str, Any]:
        adapter = Metered(folder / "bills.txt")
        return dict.fromkeys(profiles, adapter)

    providers.build = build
    attempts._SETTLE_S = SETTLE_S
    return main()


if __name__ == "__main__":
    sys.exit(serve())
