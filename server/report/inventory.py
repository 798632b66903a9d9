"""`naiad check`: the inventory that a configuration makes, and what looks wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table

from naiad.adapters.replay_records import INSTALL, replay_available
from naiad.bandit.objective import PACED
from naiad.server import data_rules, providers
from naiad.server.composites import Aggregation, Kind
from naiad.server.config import CAPABILITIES, Config
from naiad.server.governance import Governance
from naiad.server.objectives import resolve
from naiad.server.periods import Period
from naiad.server.records import Composite, ModelPut, ObjectiveSpec, Prices
from naiad.server.refusals import on_refusal
from naiad.server.report.callbacks import callbacks, shut_out
from naiad.server.report.models import retiring
from naiad.server.report.screen import NANO, clean, console, number, plural, share, table
from naiad.server.report.words import from_core, objective_in_words
from naiad.server.sections import PolicySection

_CAPABILITY = {value: name for name, value in CAPABILITIES.items()}


_SHARE = PolicySection().newcomer_share


def print_inventory(config: Config, screen: Console | None = None, *, found: Iterable[str] = ()) -> None:
    """Print models, task classes, policy, where it listens and stores, and advice.

    found: sentences about what looking at the world showed.
    """
    out = screen or console()
    server, policy = config.file.server, config.file.policy
    out.print(f"Configuration: {config.source}")
    out.print()
    out.print(_models(config))
    unpriced = [m.name for m in config.models if m.prices is None and m.composite is None]
    out.print(f"Without a price, and so never chosen: {', '.join(map(clean, unpriced))}" if unpriced else
              "Every model has a price.")  # fmt: skip
    out.print()
    if any(m.composite is not None for m in config.models):
        out.print(_composites(config))
        out.print()
    if config.callbacks:
        out.print(callbacks(config))
        out.print()
    if config.task_classes:
        out.print(_task_classes(config))
    else:
        out.print("Task classes: none by configuration")
    out.print(_cache(config))
    created = "created on first use" if policy.create_task_classes else "refused"
    out.print(f"A task class never seen is {created}.")
    if config.policy.workflows:
        out.print()
        out.print(_workflows(config))
    if config.budgets:
        out.print()
        out.print(_budgets(config))
    out.print()
    out.print("Policy", style="bold")
    out.print(_policy(config))
    out.print()
    if config.policy.data_classes:
        out.print(_data_classes(config))
    else:
        out.print("Data classes: none; data_class is recorded and not enforced")
    out.print()
    where = "beyond this machine" if server.allow_plaintext_beyond_loopback else "on this machine only"
    manner = f"in plaintext, {where}" if config.tls is None else "over TLS"
    out.print(f"Listens on {server.listen} {manner}; {plural(server.concurrent_calls, 'call')} at a time")
    out.print(f"Database   {config.database if config.database is not None else 'none: everything is kept in memory'}")
    out.print()
    advice = [*advise(config), *found]
    for line in advice:
        out.print(f"! {line}", style="yellow")
    if not advice:
        out.print("Nothing looks wrong.", style="green")


def _policy(config: Config) -> Table:
    policy, learning = config.file.policy, config.file.learning
    half_life, trust = learning.half_life_decisions, learning.trust
    made = Table.grid(padding=(0, 2))
    for name, value in (
        ("objective", _in_words(config.policy.objective)),
        ("models", ", ".join(map(clean, policy.models)) or "all of the inventory"),
        (
            "exploration",
            f"posterior sds times {policy.temper:g}; {share(policy.exploration)} of traffic is drawn evenly from the "
            "models that may be used (under a quality floor, from those that reach it); at most "
            f"{share(policy.allowance)} goes below a quality floor"
            + (f", for {number(policy.allowance_usd)} USD a day" if policy.allowance_usd is not None else ""),
        ),
        ("newcomers", _newcomers(policy)),
        ("trust", ", ".join(f"{source} {number(getattr(trust, source))}" for source in trust.__struct_fields__)),
        (
            "drift",
            f"looked for; {number(learning.drift.sensitivity)} false alarms in 10,000 judgements are tolerated"
            if learning.drift.enabled
            else "not looked for",
        ),
        ("forgetting", f"evidence counts half after {number(half_life)} decisions" if half_life else "never"),
        ("digest", config.policy.digest),
    ):
        made.add_row(f"  {name}", value)
    return made


def _newcomers(policy: PolicySection) -> str:
    if not policy.newcomer_calls:
        return "not held back"
    cost = f", and {number(policy.newcomer_usd)} USD each" if policy.newcomer_usd is not None else ""
    return (
        f"models with fewer than {policy.newcomer_calls} judged calls get {share(policy.newcomer_share)} of the "
        f"traffic together{cost}"
    )


def _models(config: Config) -> Table:
    prices = ("input", "cached", "output")
    made = table(
        "Models (prices in USD per million tokens)",
        "model", *prices, "price version", "context", "endpoint", "can do", "state",
        numbers=(*prices, "context"),
    )  # fmt: skip
    for model in config.models:
        if model.composite is not None:
            continue
        state = "disabled" if model.disabled else "in use" if model.prices is not None else "not used"
        made.add_row(clean(model.name), *_prices(model.prices), _context(model), _endpoint(model, config), _can(model),
                     state)  # fmt: skip
    return made


def _composites(config: Config) -> Table:
    made = table("Models made of others", "model", "kind", "members", "how", "state")
    for model in config.models:
        if model.composite is not None:
            kind = Kind(model.composite.kind).name.lower()
            members = (" > " if kind == "cascade" else ", ").join(map(clean, model.composite.members))
            state = "disabled" if model.disabled else "in use"
            made.add_row(clean(model.name), kind, members, _how(model.composite), state)
    return made


def _how(composite: Composite) -> str:
    """Return how the members' answers become one, in words."""
    check = composite.check
    if check is not None:
        if check.judge:
            return f"until {clean(check.judge)} gives {check.threshold:g} or more"
        if check.callback:
            return f"until callback {clean(check.callback)} accepts" + (" or fails" if check.accept_unchecked else "")
        return "until one fits the JSON schema" if check.json_schema else f"until one contains {clean(check.pattern)!r}"
    if composite.aggregation == Aggregation.JUDGE:
        return f"{clean(composite.judge)} picks"
    if composite.aggregation == Aggregation.FIRST_AGREEMENT:
        return f"the first {composite.agree} that agree"
    return "the answer of most"


def _prices(prices: Prices | None) -> tuple[str, str, str, str]:
    if prices is None:
        return "no price", "", "no price", ""
    cached = prices.cached_input
    version = prices.version + (f" + {len(prices.tiers)} tiers" if prices.tiers else "")
    if prices.request:
        version += f" + ${number(prices.request / NANO)} a request"
    return _million(prices.input), "" if cached is None else _million(cached), _million(prices.output), version


def _million(nano: int) -> str:
    return f"{nano / NANO:,.6f}".rstrip("0").rstrip(".")


def _context(model: ModelPut) -> str:
    return "not known" if model.context_window is None else f"{model.context_window:,}"


def _endpoint(model: ModelPut, config: Config) -> str:
    kind = config.endpoints.get(model.endpoint)
    if kind is None:
        return f"{clean(model.endpoint)} (none)"
    return clean(model.endpoint) if kind == model.endpoint else f"{clean(model.endpoint)} ({kind})"


def _can(model: ModelPut) -> str:
    return ", ".join(_CAPABILITY.get(c, str(c)) for c in model.capabilities)


def _task_classes(config: Config) -> Table:
    made = table("Task classes", "task class", "description", "objective")
    for entry in config.task_classes:
        own = entry.objective
        words = "the policy's" if own is None else _in_words(config.policy.objective, own)
        made.add_row(clean(entry.name), clean(entry.description), words)
    return made


def _cache(config: Config) -> str:
    cache = config.cache
    if not cache.seconds:
        return "Answers are not cached: no task class sets cache_s."
    listed = ", ".join(f"{clean(name)} for {number(seconds)} s" for name, seconds in cache.seconds.items())
    return (
        f"Answers are cached in memory for identical requests: {listed}; "
        f"at most {plural(cache.entries, 'answer')} and {cache.size_bytes >> 20:,} MiB for each tenant."
    )


def _workflows(config: Config) -> Table:
    made = table("Workflows (where their task class says nothing itself)", "workflow", "objective")
    for name, own in config.policy.workflows.items():
        made.add_row(clean(name), _in_words(config.policy.objective, own))
    return made


def _data_classes(config: Config) -> Table:
    made = table("Data classes, from open to strict", "data class", "may go to", "models", "free text")
    governance = Governance(config.policy.data_classes)
    for entry in config.policy.data_classes:
        models = ", ".join(clean(m.name) for m in config.usable if governance.ground(m, entry.name)) or "none"
        kept = "not written" if governance.no_store(entry.name) else "written"
        made.add_row(clean(entry.name), ", ".join(map(clean, entry.allow)) or "nowhere", models, kept)
    return made


def _budgets(config: Config) -> Table:
    made = table("Budgets (hard limits)", "budget", "USD", "a", "workflow", "task class", numbers=("USD",))
    for entry in config.budgets:
        scope = [clean(part) or "all" for part in (entry.workflow, entry.task_class)]
        made.add_row(
            clean(entry.budget_id), number(entry.limit_nano_usd / NANO), Period(entry.period).name.lower(), *scope
        )
    return made


def _in_words(*levels: ObjectiveSpec) -> str:
    """Return the objective of the last level in words, with the budget that holds there."""
    budgets = [spec.usd_per_request for spec in levels if spec.usd_per_request is not None]
    action = on_refusal(*levels).name.lower()
    return objective_in_words(from_core(resolve(*levels), budgets[-1] if budgets else None, action))


def _unused_budgets(config: Config) -> Iterator[str]:
    """Yield where a budget is set that its strategy does not use."""
    policy = config.policy
    named = [("policy", [policy.objective])]
    named += [(f"workflow {clean(name)!r}", [policy.objective, own]) for name, own in policy.workflows.items()]
    named += [
        (f"task class {clean(entry.name)!r}", [policy.objective, entry.objective])
        for entry in config.task_classes
        if entry.objective is not None
    ]
    for where, levels in named:
        strategy = resolve(*levels).strategy
        if levels[-1].usd_per_request is not None and strategy not in PACED:
            yield (
                f"the {where} sets usd_per_request, which {strategy.name.lower()} ignores: use balanced or "
                "quality_first to hold a budget"
            )


def advise(config: Config, now: datetime | None = None) -> Iterator[str]:
    """Yield a sentence for each thing that is probably not meant."""
    policy, file = config.file.policy, config.file
    for model in config.models:
        if model.composite is not None:
            continue
        if model.prices is None:
            yield (
                f"{clean(model.name)} has no price and is in no price list: set input_usd_per_million and "
                "output_usd_per_million (0 is a price)"
            )
        if model.retire_ms is not None and not model.disabled:
            when = datetime.fromtimestamp(model.retire_ms / 1000, UTC)
            if warning := retiring(model.name, when, now or datetime.now(UTC)):
                yield warning
        if model.endpoint not in config.endpoints:
            known = ", ".join(sorted(config.endpoints))
            yield (
                f"{clean(model.name)} has endpoint {clean(model.endpoint)!r}, which is not configured: it cannot be "
                f"chosen; set its endpoint to one of {known}, or add [endpoints.{clean(model.endpoint)}]"
            )
    usable = config.usable
    if not usable:
        yield "no model can be chosen: every request will be refused with NO_ELIGIBLE_MODEL"
    elif len(usable) == 1:
        yield f"only {clean(usable[0].name)} can be chosen: there is nothing to learn"
    if file.models is None and (keyed := providers.keyed()):
        yield (
            f"the inventory is built in: the environment has keys of {', '.join(keyed)}, so calls go there and cost "
            "money; list [[models]] to choose, or see what there is by naiad models import"
        )
    elif file.models is None and not replay_available():
        yield f"the built-in inventory only echoes; with recorded real outcomes it learns: {INSTALL}"
    if file.models is not None and all(config.endpoints.get(m.endpoint) == providers.ECHO for m in usable) and usable:
        yield "all usable models echo the prompt; their answers are not worth judging"
    if policy.exploration == 0.0:
        yield (
            "policy.exploration is 0: a model that once looked bad may never be tried again, and other policies cannot "
            "be estimated from the log; 0.01 costs little"
        )
    if policy.exploration > 0.2:
        yield f"policy.exploration draws {share(policy.exploration)} of traffic without regard to what was learned"
    if resolve(config.policy.objective).usd_per_quality == 0.0:
        yield "policy.usd_per_quality is 0: quality counts nothing, so the cheapest model always wins"
    if not policy.newcomer_calls and (policy.newcomer_usd is not None or policy.newcomer_share != _SHARE):
        yield "policy.newcomer_share and newcomer_usd do nothing without newcomer_calls: set how long a model is new"
    yield from _unused_budgets(config)
    yield from map(clean, data_rules.empty_classes(config.policy.data_classes, usable))
    yield from map(clean, data_rules.widened(config.policy.data_classes, usable))
    yield from map(clean, shut_out(config))
    if not policy.create_task_classes and not config.task_classes:
        yield "no task class is configured and none is created on first use: only requests without one are served"
    if config.database is None:
        yield "storage.path is :memory:, so all that is learned is lost when the server stops"
    elif not config.database.parent.exists():
        yield f"the folder {config.database.parent} does not exist yet; the server will create it"
    if file.server.allow_plaintext_beyond_loopback:
        yield "plaintext beyond this machine is allowed: prompts and answers can be read on the way"
