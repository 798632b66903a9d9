"""TensorZero embedded, and the load on it, in one process as it is meant to be used; run by the peers' own Python.

    python tensorzero_load.py CONFIG FIRST LAST

Reads lines "MODEL IN_FLIGHT SECONDS" and answers each with "FOUND " and JSON: per_s, took_s, first_s, failed, as
`http_load.Found`. MODEL is `whole`, or `stream` for an answer in pieces. Stands alone: its Python has none of ours.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter
from typing import Any

_INPUT = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}


class Load:
    """Calls in closed loop; first, last: texts that begin and end the right answer."""

    def __init__(self, gateway: Any, first: str, last: str) -> None:
        self._gateway, self._first, self._last = gateway, first, last

    async def run(self, model: str, in_flight: int, seconds: float) -> dict[str, Any]:
        """Keep so many calls in flight for so long, after one call each beforehand."""
        await self._loop(model, in_flight, 0.0)
        return await self._loop(model, in_flight, seconds)

    async def _loop(self, model: str, in_flight: int, seconds: float) -> dict[str, Any]:
        found: dict[str, Any] = {"took_s": [], "first_s": [], "failed": 0}
        stop, within = perf_counter() + seconds, 0

        async def caller() -> None:
            nonlocal within
            ended = began = perf_counter()
            while ended < stop or ended == began:
                began = perf_counter()
                first_s, text = await (self._streamed() if model == "stream" else self._whole())
                ended = perf_counter()
                if text.startswith(self._first) and text.endswith(self._last):
                    found["took_s"].append(ended - began)
                    found["first_s"].append((first_s or ended) - began)
                    within += ended < stop
                else:
                    found["failed"] += 1

        await asyncio.gather(*(caller() for _ in range(in_flight)))
        return {**found, "per_s": within / seconds if seconds else 0.0}

    async def _whole(self) -> tuple[float | None, str]:
        answer = await self._gateway.inference(model_name="whole", input=_INPUT)
        return None, answer.content[0].text

    async def _streamed(self) -> tuple[float | None, str]:
        first_s, text = None, ""
        async for chunk in await self._gateway.inference(model_name="stream", input=_INPUT, stream=True):
            for part in chunk.content:
                if first_s is None and part.text:
                    first_s = perf_counter()
                text += part.text
        return first_s, text


async def main(config: str, first: str, last: str) -> None:
    """Answer the lines of standard input."""
    from tensorzero import AsyncTensorZeroGateway  # type: ignore[import-not-found]

    gateway = await AsyncTensorZeroGateway.build_embedded(config_file=config)
    load = Load(gateway, first, last)
    _say(await load.run("whole", 1, 0.0))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        model, in_flight, seconds = line.split()
        _say(await load.run(model, int(in_flight), float(seconds)))


def _say(found: dict[str, Any]) -> None:
    print("FOUND " + json.dumps(found), flush=True)  # the library may print lines of its own


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
