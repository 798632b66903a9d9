"""There is one way to a provider: nothing else in the server holds an adapter, calls one, or makes a permit."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SERVER = sorted((ROOT / "server").rglob("*.py"))
MAKERS = {"server/providers.py", "server/disturbances.py"}  # build the adapters, and call none
BUILDERS = {
    ("providers", "build"), ("providers", "connect"), ("providers", "NETWORKED"), ("disturbances", "disturbed"),
    ("callback_channel", "connect"),
}  # fmt: skip
CALLBACKS = "server/callback_channel.py"  # reaches callbacks, which the choke point holds too
TRIAL = "tried"  # asks them a question that holds nobody's data
CHOKE = "server/egress.py"
PERMITS = "server/eligibility.py"
_HARMLESS = (
    "departure", "endpoint", "errors", "faults", "pricing", "profiles", "replay_records", "resolving", "secret",
    "starters", "streams", "tokens",
)  # fmt: skip
# What of the adapters holds no provider: the question before sending, addresses, values, errors, faults, prices,
# vendors as data, names, deltas, tokens, and the demo's records.
HARMLESS = {"naiad.adapters." + name for name in _HARMLESS}
VALUES = {"Adapter"}  # of naiad.adapters.base: the only name there that can be called out with
DATA = {
    "RECORDED_PRICES",
    "ReplayDataError",
    "ReplayRecord",
    "deltas_of",
    "latency_of",
    "load_records",
    "tokens_of_cost",
}


def bypasses(path: str, source: str) -> Iterator[str]:
    """Yield what in a module of the server could reach a provider without passing the choke point."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("naiad.adapters") and path not in MAKERS:
            names = {alias.name for alias in node.names}
            if node.module == "naiad.adapters.base":
                names &= VALUES if path != CHOKE else set()
            elif node.module == "naiad.adapters.listing":  # whose other names are values
                names &= {"ModelLister"} if path != CHOKE else set()
            elif node.module in HARMLESS:
                names = set()
            elif node.module == "naiad.adapters":
                names = {n for n in names if f"naiad.adapters.{n}" not in {*HARMLESS, "naiad.adapters.base"}}
            else:
                names -= DATA
            yield from (f"imports {node.module}.{name}" for name in sorted(names))
        if isinstance(node, ast.ImportFrom) and path != CALLBACKS:
            names = {alias.name for alias in node.names}
            if node.module == "naiad.server.callback_channel":
                yield from (f"imports {node.module}.{name}" for name in sorted(names - {TRIAL}))
            if node.module in ("naiad.v1", "naiad.v1.check_service_pb2_grpc"):
                yield from (
                    f"imports {name}" for name in sorted(names) if name.startswith(("check_service_pb2_", "Check"))
                )
        if isinstance(node, ast.Import):
            yield from (f"imports {a.name}" for a in node.names if a.name.startswith("naiad.adapters"))
        if isinstance(node, ast.Attribute):
            if node.attr.startswith("_Egress__"):
                yield f"reaches into the egress: {node.attr}"
            built = (getattr(node.value, "id", ""), node.attr) in BUILDERS
            if built and not _given(tree, node) and not _asked_whether(tree, node):
                yield "builds adapters and does not give them to Egress at once"
        if isinstance(node, ast.Call):
            words = ast.unparse(node)
            if isinstance(node.func, ast.Name) and node.func.id == "Permit" and path != PERMITS:
                yield "makes a permit"
            if path != PERMITS and (
                words.startswith(("msgspec.structs.replace(permit", "replace(permit"))
                or "force_setattr(permit" in words
            ):
                yield "changes a permit"


def _given(tree: ast.Module, made: ast.Attribute) -> bool:
    """Return whether what makes adapters stands within the arguments of `Egress(...)`, and so nobody else has them."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Egress"]
    given = [arg for call in calls for arg in (*call.args, *(keyword.value for keyword in call.keywords))]
    return any(inner is made for arg in given for inner in ast.walk(arg))


def _asked_whether(tree: ast.Module, made: ast.Attribute) -> bool:
    """Return whether a name is only looked for among the kinds: `kind in providers.NETWORKED`, or listed with `*`."""
    if made.attr != "NETWORKED":
        return False
    asking = [n for n in ast.walk(tree) if isinstance(n, ast.Compare | ast.Starred)]
    return any(inner is made for node in asking for inner in ast.iter_child_nodes(node))


@pytest.mark.parametrize("path", SERVER, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_goes_around_the_choke_point(path: Path) -> None:
    assert list(bypasses(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "from naiad.adapters.base import Adapter",
        "from naiad.adapters.listing import ModelLister",
        "from naiad.adapters.echo import Echo",
        "from naiad.adapters import echo",
        "import naiad.adapters.echo",
        "adapters = providers.build({})",
        "keep(providers.build({}))\nEgress(catalog, eligibility, {})",
        "mine = providers.connect({}, {})\nEgress(catalog, eligibility, mine)",
        "mine = disturbances.disturbed({}, None, {}, clock)\nEgress(catalog, eligibility, mine)",
        "from naiad.adapters.chaos import Chaos",
        "adapter = providers.NETWORKED['openai'](endpoint)",
        "egress._Egress__adapters['x']",
        "from naiad.server.callback_channel import CallbackChannel",
        "from naiad.v1.check_service_pb2_grpc import CheckServiceStub",
        "from naiad.v1 import check_service_pb2_grpc",
        "mine = callback_channel.connect({}, clock)\nEgress(catalog, eligibility, {}, callbacks=mine)",
        "permit = Permit(models, 0, needs, claims, 0)",
        "wider = msgspec.structs.replace(permit, models=everything)",
        "msgspec.structs.force_setattr(permit, 'models', everything)",
    ],
)
def test_a_way_around_is_noticed(source: str) -> None:
    assert list(bypasses("server/new.py", source))


def test_the_choke_point_checks_and_calls_with_nothing_between() -> None:
    """An await between the check and the adapter would let a change slip in."""
    tree = ast.parse((ROOT / CHOKE).read_text(encoding="utf-8"))
    methods = {n.name: n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert not [n for n in ast.walk(methods["_leaving"]) if isinstance(n, ast.Await)]
    (block,) = [n for n in methods["list_models"].body if isinstance(n, ast.With)]
    assert not [n for n in ast.walk(methods["_on_wire"]) if isinstance(n, ast.Await)]
    assert ast.unparse(block.body[0]) == "return await adapter.list_models(timeout_s)"
    *_, asked = methods["check_answer"].body
    assert ast.unparse(asked).startswith(
        "with self._on_wire(departure):\n    return await self._sent(departure, checker."
    )
    assert len([n for n in ast.walk(methods["check_answer"]) if isinstance(n, ast.Await)]) == 1
    for name in ("call", "stream"):
        (block,) = [n for n in methods[name].body if isinstance(n, ast.With)]
        first = block.body[0]
        calls = [n for n in ast.walk(first) if isinstance(n, ast.Call) and getattr(n.func, "attr", "") in
                 ("complete", "stream")]  # fmt: skip
        assert len(calls) == 1, name
        inner = [n for n in ast.walk(calls[0]) if isinstance(n, ast.Await)]
        assert inner == [], name
