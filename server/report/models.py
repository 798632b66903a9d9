"""`naiad models list` and `naiad models import`: the inventory with its spend, and what a provider says of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from naiad.client import Client, Model, NaiadError, Prices, ProviderModel
from naiad.client.convert import read
from naiad.server import render
from naiad.server.money import listed_prices
from naiad.server.report import importing
from naiad.server.report.access import Access
from naiad.server.report.importing import Change, Comparison
from naiad.server.report.screen import asking, clean, complain, console, nano_usd, number, plural, say, table

SOON_DAYS = 90
_PAGE = 1_000
_LISTING_S = 60.0
_MOST_SHOWN = 40  # new models


class Import(NamedTuple):
    """What `naiad models import` is asked to do."""

    file: Path | None = None
    endpoint: str = ""
    provider: str = ""
    add: tuple[str, ...] = ()  # patterns of new models to create
    dry_run: bool = False


def print_models(server: str | Access, provider: str = "", screen: Console | None = None) -> int:
    """Print the catalogue, what each model cost this month, and which are retired soon; return the exit code."""
    return asking(server, lambda client: _print(client, provider, screen or console()))


def _print(client: Client, provider: str, out: Console) -> int:
    models, now = list(client.list_models(provider=provider, page_size=_PAGE)), datetime.now(UTC)
    if not models:
        out.print("No models.")
        return 0
    spent = month_of(client, now)
    made = table(
        "Models (prices in USD per million tokens)", "model", "input", "output", "prices", "context", "endpoint",
        "this month", "state", numbers=("input", "output", "context", "this month"),
    )  # fmt: skip
    for model in models:
        made.add_row(
            clean(model.name), *_priced(model.prices), f"{model.context_window:,}" if model.context_window else "",
            clean(model.endpoint_profile), nano_usd(spent[model.name]) if model.name in spent else "",
            _state(model, now),
        )  # fmt: skip
    out.print(made)
    say(out, f"{plural(len(models), 'model')}; {nano_usd(sum(spent.values()))} was spent since {now:%Y-%m}-01 (UTC).")
    for sentence in retirements(models, spent, now):
        out.print(f"! {sentence}", style="yellow")
    return 0


def month_of(client: Client, now: datetime) -> Mapping[str, int]:
    """Return what each model cost since the first of the month (UTC), nano-USD."""
    start = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found: dict[str, int] = {}
    token = ""
    while True:
        page = client.cost_report(group_by=["model"], start_time=start, page_token=token)
        found.update((row.model, row.cost_nano_usd) for row in page.rows)
        token = page.next_page_token
        if not token:
            return found


def _priced(prices: Prices | None) -> tuple[str, str, str]:
    if prices is None:
        return "no price", "no price", ""
    read, written = prices.input_nano_usd_per_million_tokens, prices.output_nano_usd_per_million_tokens
    return number((read or 0) / 1e9), number((written or 0) / 1e9), clean(prices.price_version)


def _state(model: Model, now: datetime) -> str:
    if model.retire_time is not None:
        return (
            f"retired {model.retire_time:%Y-%m-%d}"
            if model.retire_time <= now
            else f"until {model.retire_time:%Y-%m-%d}"
        )
    if model.disabled:
        return "disabled"
    priced = model.prices is not None or model.ensemble is not None or model.cascade is not None
    return "in use" if priced else "not used"


def retirements(models: Iterable[Model], spent: Mapping[str, int], now: datetime) -> Iterator[str]:
    """Yield a sentence for each model in use that its provider retires within 90 days, or has retired."""
    for model in sorted(models, key=lambda m: (m.retire_time or now, m.name)):
        if model.retire_time is None or model.disabled:
            continue
        if warning := retiring(model.name, model.retire_time, now):
            yield warning + _this_month(spent, model.name)


def _this_month(spent: Mapping[str, int], name: str) -> str:
    """Return how much of the month's spend a model has, as the end of a sentence."""
    return f"; {nano_usd(spent[name])} was spent on it this month" if spent.get(name) else ""


def retiring(name: str, when: datetime, now: datetime) -> str:
    """Return a warning of a model that is retired soon or was, "" for one that is not."""
    left = (when - now).days
    if when <= now:
        return f"{clean(name)} was retired by its provider on {when:%Y-%m-%d}: disable it"
    if left > SOON_DAYS:
        return ""
    days = plural(left, "day")
    return f"{clean(name)} is retired by its provider on {when:%Y-%m-%d}, in {days}: have another in its place"


def import_models(server: str | Access, wanted: Import, screen: Console | None = None) -> int:
    """Compare a provider's list with the catalogue, print what differs and apply it; return the exit code."""
    endpoint, listed = wanted.endpoint, None
    if wanted.file is not None:
        try:
            named, listed = importing.read_file(wanted.file)
        except importing.CannotRead as error:
            complain(str(error))
            return 1
        endpoint = endpoint or named
    if not endpoint:
        complain('no endpoint is named; give --endpoint NAME, or "endpoint" in the file: new models are served by it')
        return 2
    asked = wanted._replace(endpoint=endpoint, provider=wanted.provider or endpoint)
    return asking(server, lambda client: _import(client, asked, listed, screen or console()))


def _import(client: Client, wanted: Import, listed: Sequence[ProviderModel] | None, out: Console) -> int:
    now, left_out = datetime.now(UTC), 0
    if listed is None:
        listed = client.list_provider_models(wanted.endpoint, timeout_s=_LISTING_S)
        left_out = listed.left_out
    else:
        listed = [priced(one, wanted.provider) for one in listed]
    catalogue = list(client.list_models(page_size=_PAGE))
    found = importing.compare(listed, catalogue, wanted.endpoint)
    if left_out:
        found = replace(found, gone=())
        say(
            out,
            f"The provider lists {left_out:,} models more than the {len(listed):,} that are looked at here, so which "
            "of the catalogue are gone cannot be said. Name others in a file to import them.",
        )
    added = importing.chosen(found.new, wanted.add)
    spent = month_of(client, now)
    show(found, added, spent, now, out)
    if wanted.dry_run:
        say(out, "Nothing was changed: this was a dry run.")
        return 0
    return apply(client, wanted, found, added, out)


def priced(listed: ProviderModel, provider: str) -> ProviderModel:
    """Return a listed model with the price list's prices, and its window where the list has none."""
    known = listed_prices(f"{provider}/{listed.name}", listed.name)
    if known is None:
        return listed
    prices, window = known
    return replace(listed, prices=_to_client(prices), context_window=listed.context_window or window)


def _to_client(prices: Any) -> Prices:
    return read(Prices, render.prices(prices))


def _kept(name: str, prices: Prices) -> bool:
    """Return whether a server takes these prices by itself for a model of this name."""
    known = listed_prices(name, name.partition("/")[2])
    return known is not None and _to_client(known[0]) == prices


def apply(client: Client, wanted: Import, found: Comparison, added: Sequence[ProviderModel], out: Console) -> int:
    """Create and change models one by one; go on after one that is refused, and return 1 then."""
    done = refused = 0
    for model, changes in found.changed:
        fields: dict[str, Any] = {change.field: change.after for change in changes}
        if "prices" in fields and _kept(model.name, fields["prices"]):
            fields["prices"] = None  # the server takes them from the list, tiers included
        try:
            client.update_model(model.name, revision=model.revision, **fields)
            done += 1
        except NaiadError as error:
            refused += 1
            complain(f"{model.name} was not changed: {error.message}")
    for one in added:
        entry = importing.entry_of(one, wanted.provider, wanted.endpoint, _kept)
        try:
            client.create_model(entry)
            done += 1
        except NaiadError as error:
            refused += 1
            complain(f"{entry.name} was not created: {error.message}")
    say(out, f"{plural(done, 'model')} changed or created." + (f" {refused} refused." if refused else ""))
    return 1 if refused else 0


def show(
    found: Comparison, added: Sequence[ProviderModel], spent: Mapping[str, int], now: datetime, out: Console
) -> None:
    """Print what a provider's list and the catalogue differ in."""
    if found.changed:
        out.print(_changes(found.changed, spent))
    if found.new:
        out.print(_new(found.new, {one.name for one in added}, now))
        if len(found.new) > _MOST_SHOWN:
            say(out, f"and {len(found.new) - _MOST_SHOWN} more.")
    for model in found.gone:
        out.print(
            f"! {clean(model.name)} is no longer listed by its provider{_this_month(spent, model.name)}", style="yellow"
        )
    after = {model.name: {c.field: c.after for c in changes} for model, changes in found.changed}
    for model, _ in found.changed:
        if warning := retiring(model.name, after[model.name].get("retire_time") or model.retire_time or _NEVER, now):
            cost = spent.get(model.name, 0)
            out.print(
                f"! {warning}" + (f"; {nano_usd(cost)} was spent on it this month" if cost else ""), style="yellow"
            )
    say(
        out,
        f"{plural(len(found.new), 'model')} new, {len(found.changed)} changed, {len(found.gone)} gone, {found.same} as "
        "the catalogue has them.",
    )
    if found.new and not added:
        say(
            out,
            "New models are not created by themselves, since each earns traffic: name those wanted with --add NAME.",
        )


_NEVER = datetime.max.replace(tzinfo=UTC)


def _changes(changed: Sequence[tuple[Model, tuple[Change, ...]]], spent: Mapping[str, int]) -> Table:
    made = table("Changed", "model", "what", "catalogue", "provider", "this month", numbers=("this month",))
    for model, changes in changed:
        for change in changes:
            what = change.field.replace("_", " ")
            money = nano_usd(spent[model.name]) if model.name in spent else ""
            made.add_row(clean(model.name), what, _shown(change.before), _shown(change.after), money)
    return made


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "not known"
    if isinstance(value, Prices):
        read, written, _ = _priced(value)
        return f"{read} / {written}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    return ", ".join(map(clean, value)) if isinstance(value, tuple) else f"{value:,}"


def _new(new: Sequence[ProviderModel], added: set[str], now: datetime) -> Table:
    made = table(
        "New (prices in USD per million tokens)", "model", "input", "output", "context", "retired", "",
        numbers=("input", "output", "context"),
    )  # fmt: skip
    for one in new[:_MOST_SHOWN]:
        read, written, _ = _priced(one.prices)
        when = "" if one.retire_time is None else f"{one.retire_time:%Y-%m-%d}"
        window = f"{one.context_window:,}" if one.context_window else ""
        made.add_row(clean(one.name), read, written, window, when, "to be created" if one.name in added else "")
    return made
