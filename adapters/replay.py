"""A provider that answers from recorded real outcomes: real prompts, quality and dollars, no network.

What is real and what is made up, for every answer:

* The cost is recorded. Tokens are found from it so that they cost exactly that at the price of the recording:
  input tokens are estimated from the prompt's bytes, output tokens are what remains of the cost.
* No answer text was recorded, and the answer says so.
* No latency was recorded. It is drawn from a log-normal law:

      latency = median_s * ((1 + output_tokens) / 101) ** 0.62 * exp(0.25 z)

  with z standard normal. Slope and residual deviation are those measured over 57 hosted models of the
  Berkeley function-calling leaderboard; `median_s` (at 100 output tokens) is what that data has for the
  predecessors of Mistral Large 2512 and Gemini 2.5 Pro, and an assumption for Llama 3.1 8B. z is a pure
  function of seed, prompt and model: the same request has the same latency, in any order, on any day.

By default nobody waits: `Answer.latency_s` states the latency, and since `timeout_s` is wall time, such a
call does not time out. With `wait=True` the latency is slept and the timeout holds.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncGenerator, Iterable, Mapping
from statistics import NormalDist
from types import MappingProxyType

from naiad.adapters.base import Answer, Finished, FinishReason, Request, StreamEvent, TextPart, Usage
from naiad.adapters.errors import AdapterClosed, ModelNotFound, UnrecordedPrompt
from naiad.adapters.pricing import Price, bill
from naiad.adapters.replay_records import (
    INSTALL,
    RECORDED_PRICES,
    RecordedArm,
    ReplayDataError,
    ReplayDataMissing,
    ReplayLineMalformed,
    ReplayRecord,
    load_records,
    replay_available,
)
from naiad.adapters.streams import check_timeout, deltas_of, timed_out
from naiad.adapters.tokens import tokens_of_bytes

__all__ = [
    "INSTALL",
    "MEDIAN_LATENCY_S",
    "RECORDED_PRICES",
    "RecordedArm",
    "Replay",
    "ReplayDataError",
    "ReplayDataMissing",
    "ReplayLineMalformed",
    "ReplayRecord",
    "latency_of",
    "load_records",
    "replay_available",
    "tokens_of_cost",
]

MEDIAN_LATENCY_S: Mapping[str, float] = MappingProxyType(
    {
        "meta-llama/llama-3.1-8b-instruct": 0.8,  # assumed
        "mistralai/mistral-large-2512": 2.3,  # mistral-large-2407: 1.64 s at 57 tokens
        "google/gemini-2.5-pro": 3.2,  # gemini-1.5-pro: 1.48 s at 29 tokens
    }
)
"""Median seconds of an answer of 100 output tokens, by model; others have `OTHER_MEDIAN_LATENCY_S`."""

OTHER_MEDIAN_LATENCY_S = 2.0

_SLOPE = 0.62  # of log latency on log output tokens
_RESIDUAL_SD = 0.25  # of log latency
_SEARCH = 512  # input tokens to either side of the estimate that are tried for an exact bill

NOTICE = (
    "Replayed from a recorded real call: cost and quality are real; the answer's text was not recorded; "
    "the split into input and output tokens is derived from the recorded cost; the latency is simulated; "
    "settings of the request (tools, sampling, token limits) had no effect."
)


class Replay:
    """An adapter whose models are the recorded ones and whose prompts are the recorded ones.

    The prompt is the text of the last user message, compared exactly. Where a prompt was recorded more than
    once, the first record in the order given that has the model answers, always; later ones never do
    (`shadowed` counts the outcomes that are out of reach).

    Raises ValueError if a recorded model has no price.
    """

    provider = "replay"

    def __init__(
        self,
        records: Iterable[ReplayRecord],
        *,
        seed: int = 0,
        prices: Mapping[str, Price] = RECORDED_PRICES,
        wait: bool = False,
    ) -> None:
        self.seed = seed
        self.wait = wait
        self.shadowed = 0
        self._prices = dict(prices)
        self._outcomes: dict[str, dict[str, RecordedArm]] = {}
        for record in records:
            known = self._outcomes.setdefault(record.prompt, {})
            for model, arm in record.arms.items():
                self.shadowed += model in known
                known.setdefault(model, arm)
        self.models = tuple(sorted({model for arms in self._outcomes.values() for model in arms}))
        if unpriced := [model for model in self.models if model not in self._prices]:
            raise ValueError(
                f"recorded models without a price: {', '.join(unpriced)}; pass the prices of the recording"
            )
        self._closed = False

    def __repr__(self) -> str:
        return f"Replay(prompts={len(self._outcomes)}, models={list(self.models)}, seed={self.seed}, wait={self.wait})"

    async def complete(self, request: Request, *, timeout_s: float) -> Answer:
        """Answer with the recorded outcome; raise `ModelNotFound`, `UnrecordedPrompt` or `Timeout`."""
        check_timeout(timeout_s, provider=self.provider, model=request.model)
        answer = self._answer(request)
        if self.wait:
            await self._sleep(answer, timeout_s)
        return answer

    async def stream(self, request: Request, *, timeout_s: float) -> AsyncGenerator[StreamEvent, None]:
        """Answer as `complete` does, word by word once the whole latency has passed."""
        answer = await self.complete(request, timeout_s=timeout_s)
        for delta in deltas_of(answer.parts):
            yield delta
        yield Finished(answer)

    async def aclose(self) -> None:
        """Refuse calls from now on."""
        self._closed = True

    def _answer(self, request: Request) -> Answer:
        model, prompt = request.model, request.last_user_text
        if self._closed:
            raise AdapterClosed("the replay provider is closed", provider=self.provider, model=model)
        if model not in self.models:
            raise ModelNotFound(
                f"model {model!r} was not recorded; recorded are {', '.join(self.models) or 'none'}",
                provider=self.provider,
                model=model,
            )
        arms = self._outcomes.get(prompt, {})
        digest = _digest(prompt)
        if model not in arms:
            raise UnrecordedPrompt(
                f"no outcome of {model!r} was recorded for this prompt (SHA-256 {digest[:16]}…); the replay "
                "provider answers only recorded prompts, compared exactly with the last user message",
                provider=self.provider,
                model=model,
                prompt_digest=digest[:16],
                recorded_models=tuple(arms),
            )
        usage = tokens_of_cost(arms[model].cost_nano_usd, len(prompt.encode()), self._prices[model])
        text = (
            f"[replay] {model} answered this prompt when it was recorded, at a cost of "
            f"{arms[model].cost_nano_usd / 1e9:.9f} USD. The text of its answer was not recorded."
        )
        return Answer(
            parts=(TextPart(text),),
            finish=FinishReason.STOP,
            usage=usage,
            model=model,
            provider_request_id=f"replay-{digest[:16]}",
            notices=(NOTICE,),
            latency_s=latency_of(self.seed, prompt, model, usage.output_tokens),
        )

    async def _sleep(self, answer: Answer, timeout_s: float) -> None:
        latency_s = answer.latency_s or 0.0
        await asyncio.sleep(min(latency_s, timeout_s))
        if latency_s > timeout_s:
            raise timed_out(timeout_s, timeout_s, provider=self.provider, model=answer.model)


def tokens_of_cost(cost_nano_usd: int, prompt_bytes: int, price: Price) -> Usage:
    """Find tokens whose bill is `cost_nano_usd`, with the input as near as possible to the bytes' estimate.

    Input comes from the prompt's bytes, output from what is left of the cost. A cost below the input's
    estimate reduces the input so that one output token is paid for. The bill equals the cost wherever that is
    possible with whole tokens within 512 of the estimate, and is the nearest one there otherwise. Price tiers
    are not looked at.
    """
    estimate = max(1, tokens_of_bytes(prompt_bytes))
    if price.input:
        estimate = min(estimate, max(0, (cost_nano_usd * 1_000_000 - price.output) // price.input))
    best: tuple[int, int] | None = None
    chosen = Usage(0, 0, estimated=True)
    for offset in _outwards(_SEARCH):
        tokens_in = estimate + offset
        left = cost_nano_usd * 1_000_000 - tokens_in * price.input
        if tokens_in < 0 or left < 0:
            continue
        tokens_out = (left + price.output // 2) // price.output if price.output else 0
        usage = Usage(tokens_in, tokens_out, estimated=True)
        found = (abs(bill(usage, price).total - cost_nano_usd), abs(offset))
        if best is None or found < best:
            best, chosen = found, usage
        if best[0] == 0:
            break
    return chosen


def latency_of(seed: int, prompt: str, model: str, output_tokens: int) -> float:
    """Simulate the seconds that a call takes, a pure function: the law is in the module's docstring."""
    key = f"{seed}\0{_digest(prompt)}\0{model}".encode()
    bits = int.from_bytes(hashlib.sha256(key).digest()[:6])
    z = NormalDist().inv_cdf((bits + 0.5) / 2**48)
    median_s = MEDIAN_LATENCY_S.get(model, OTHER_MEDIAN_LATENCY_S)
    return median_s * math.pow((1 + output_tokens) / 101, _SLOPE) * math.exp(_RESIDUAL_SD * z)


def _digest(prompt: str) -> str:
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()


def _outwards(reach: int) -> Iterable[int]:
    """0, 1, -1, 2, -2 … reach, -reach."""
    yield 0
    for distance in range(1, reach + 1):
        yield distance
        yield -distance
