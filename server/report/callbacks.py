"""`naiad check` on callbacks: what each is and may be told, whether it answers, and whom its zone shuts out."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rich.table import Table

from naiad.server import process
from naiad.server.callback_channel import tried
from naiad.server.config import Config
from naiad.server.governance import Governance
from naiad.server.report.screen import clean, number, table


def callbacks(config: Config) -> Table:
    """Return the table of callbacks."""
    made = table("Callbacks", "callback", "address", "sees", "zone", "timeout", "transport")
    for name, one in config.callbacks.items():
        token = "" if one.endpoint.key is None else ", with a token"
        made.add_row(
            clean(name),
            clean(one.address),
            "task and answer" if one.send_task else "the answer",
            clean(one.zone) or "none",
            f"{number(one.timeout_s)} s",
            ("plaintext" if one.plaintext else "TLS") + token,
        )
    return made


def trouble(config: Config) -> list[str]:
    """Ask each callback an empty question, and return a sentence for each that does not answer as it should."""
    if not config.callbacks:
        return []
    found = process.run(tried(config.callbacks, time.monotonic))
    return [
        f"callback {clean(name)!r} at {clean(config.callbacks[name].address)} cannot check answers: {clean(why)}"
        for name, why in found.items()
    ]


def shut_out(config: Config) -> Iterator[str]:
    """Yield a sentence for each cascade and data class that may use it but for where its callback is."""
    governance = Governance(config.policy.data_classes)
    by_name = {model.name: model for model in config.models}
    for model in config.usable:
        check = None if model.composite is None else model.composite.check
        if model.composite is None or check is None or not check.callback:
            continue
        members = [by_name[name] for name in model.composite.members]
        for data_class in governance.names:
            objection = governance.objection_to(config.callbacks[check.callback].zone, data_class)
            if objection and any(governance.ground(member, data_class) for member in members):
                yield (
                    f"{model.name} is never used for data class {data_class!r}: its callback {check.callback!r}: "
                    f"{objection}"
                )
                break
