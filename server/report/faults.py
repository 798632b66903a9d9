"""`naiad chaos FILE --check`: what a file of simulated failures plans, in words."""

from __future__ import annotations

from fnmatch import fnmatchcase

from rich.console import Console

from naiad.server.config import Config
from naiad.server.report.screen import clean, console, plural


def print_faults(config: Config, screen: Console | None = None) -> None:
    """Print the faults, the models that each may befall, and where what is learned goes."""
    out, plan = screen or console(), config.chaos
    assert plan is not None  # noqa: S101 - the command's own
    out.print(f"Simulated failures: {plan.source}, seed {plan.seed}")
    out.print(f"Configuration: {config.source}")
    out.print()
    for n, fault in enumerate(plan.faults):
        out.print(f"faults[{n}]  {clean(str(fault))}")
        named = sorted(
            model.name
            for model in config.models
            if fnmatchcase(model.endpoint, fault.endpoint) and fnmatchcase(model.upstream_model, fault.model)
        )
        models = f"befalls {', '.join(map(clean, named))}" if named else "befalls no model of the configuration"
        out.print(f"           {models}")
    out.print()
    wrapped = sorted(name for name in config.endpoints if plan.of(name))
    spared = sorted(set(config.endpoints) - set(wrapped))
    out.print(f"Wrapped, and said so in every answer: {', '.join(map(clean, wrapped))}")
    out.print(f"As ever: {', '.join(map(clean, spared)) or 'none'}")
    kept = "in memory, and forgotten" if config.database is None else f"in {config.database}"
    out.print(f"{plural(len(plan.faults), 'fault')}; what is learned is kept {kept}.")
