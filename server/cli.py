"""The command line: serve, check, replay, arms, explain, costs, models, keys, audit, demo.

Exit codes: 0 well, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import structlog

from naiad.server import chaos
from naiad.server.address import CannotListen
from naiad.server.config import Config, load
from naiad.server.logs import configure
from naiad.server.options import (
    add_options,
    costs_options,
    digest,
    folder,
    import_options,
    interval_s,
    keys_parser,
    positive,
)
from naiad.server.process import Ending, OutputFailed, complain, failed_output, give_up
from naiad.server.sections import ConfigError
from naiad.server.store.base import StoreError

log = structlog.get_logger(__name__)

OK, FAILED, USAGE = 0, 1, 2


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    top = argparse.ArgumentParser(prog="naiad", description="A router for AI models that learns from every outcome.")
    top.add_argument("--version", action="version", version=f"naiad {importlib.metadata.version('naiad')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="start the server")
    serve.add_argument("--chaos", metavar="FILE", type=Path, help="with simulated failures, as naiad chaos FILE")
    _serve_options(serve)

    chaotic = commands.add_parser(
        "chaos", help="start the server with simulated failures, to see fallbacks work before they must",
        description="Serves as naiad serve does, and lets calls to providers fail as FILE says. What is learned is "
        "kept in memory, or with --data-dir in a database other than the configuration's own.",
    )  # fmt: skip
    chaotic.add_argument("chaos", metavar="FILE", type=Path, help="TOML file of [[faults]]")
    chaotic.add_argument("--check", action="store_true", help="check the file, print what it plans, and start nothing")
    _serve_options(chaotic)

    check = commands.add_parser("check", help="check a configuration and print the inventory that it makes")
    _config_options(check)
    check.set_defaults(run=_check)

    replay = commands.add_parser(
        "replay", help="fold the log from event 0 and compare with what is served, bit for bit",
        description="With --server, asks a running server. Otherwise reads the database of a stopped one.",
    )  # fmt: skip
    _config_options(replay)
    replay.add_argument(
        "--data-dir", metavar="DIR", type=folder, help="folder of the database, instead of [storage] path"
    )
    replay.add_argument("--server", metavar="HOST:PORT", help="a running server")
    add_options(replay)
    replay.add_argument("--from-stdin", action="store_true", help=argparse.SUPPRESS)
    replay.set_defaults(run=_replay)

    arms = commands.add_parser("arms", help="draw what a server believes of its models")
    _server_option(arms)
    arms.add_argument("--task-class", default="", metavar="NAME", help="only this task class")
    arms.add_argument("--model", default="", metavar="NAME", help="only this model")
    arms.add_argument("--watch", action="store_true", help="go on drawing as they move, until Ctrl-C")
    arms.add_argument(
        "--interval",
        type=interval_s,
        default=1.0,
        metavar="SECONDS",
        help="with --watch: least time between changes",
    )
    arms.set_defaults(run=_arms)

    explain = commands.add_parser("explain", help="explain one decision")
    explain.add_argument("decision_id", metavar="ID")
    _server_option(explain)
    explain.set_defaults(run=_explain)

    costs = commands.add_parser("costs", help="show what was spent and saved")
    costs_options(costs)
    _server_option(costs)
    costs.set_defaults(run=_costs)

    models = commands.add_parser("models", help="list the models, or import a provider's own list")
    actions = models.add_subparsers(dest="action", required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="list the models with prices, spend and retirements")
    listed.add_argument("--provider", default="", metavar="NAME", help="only this provider")
    listed.set_defaults(run=_models_list)
    imported = actions.add_parser(
        "import", help="compare a provider's own list with the catalogue, and take over what changed"
    )
    import_options(imported)
    imported.set_defaults(run=_models_import)
    for action in (listed, imported):
        _server_option(action)

    keys_parser(commands.add_parser("keys", help="make, list, rotate and revoke API keys"), _keys)

    audit = commands.add_parser("audit", help="list or check the audit trail of a running server")
    steps = audit.add_subparsers(dest="step", required=True, metavar="STEP")
    listing = steps.add_parser("list", help="list the latest entries")
    _server_option(listing)
    listing.add_argument("--count", type=positive, default=20, metavar="N", help="how many at most (default 20)")
    listing.add_argument("--action", default="", metavar="METHOD", help="only this action")
    listing.add_argument("--key", default="", metavar="ID", help="only what this key did")
    listing.set_defaults(run=_audit_list)
    verifying = steps.add_parser("verify", help="check that no entry was changed, moved or left out")
    _server_option(verifying)
    verifying.add_argument(
        "--digest", type=digest, default=b"", metavar="HEX", help="of an entry that an earlier check ended with"
    )
    verifying.set_defaults(run=_audit_verify)

    demo = commands.add_parser("demo", help="watch a server learn on recorded real prompts and outcomes")
    demo.add_argument("--seed", type=int, default=1, help="order of the prompts (default 1)")
    demo.add_argument("--prompts", type=int, default=None, help="how many prompts of act one (default: all)")
    demo.add_argument("--output", type=Path, default=Path("demo-output"), metavar="DIR", help="where plot and table go")
    demo.set_defaults(run=_demo)
    return top


def _serve_options(command: argparse.ArgumentParser) -> None:
    _config_options(command)
    command.add_argument("--listen", metavar="HOST:PORT", help="instead of [server] listen; port 0 takes a free one")
    command.add_argument(
        "--data-dir", metavar="DIR", type=folder, help="folder of the database, instead of [storage] path"
    )
    command.add_argument("--log", choices=("console", "json"), help="instead of [server] log")
    command.add_argument(
        "--allow-plaintext-beyond-loopback", action="store_true",
        help="listen in plaintext where others can read along",
    )  # fmt: skip
    command.add_argument(
        "--allow-chaos-beyond-loopback", action="store_true",
        help="simulate failures where others can call",
    )  # fmt: skip
    command.add_argument(
        "--until-stdin-ends", action="store_true",
        help="stop when standard input ends too: for a parent that holds the other end and must not leave it behind",
    )  # fmt: skip
    command.set_defaults(run=_serve, check=False)


def _config_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", metavar="FILE", type=Path, help="naiad.toml; without it the built-in defaults")


def _server_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--server", default="127.0.0.1:50051", metavar="HOST:PORT", help="default 127.0.0.1:50051")
    add_options(command)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; raises KeyboardInterrupt where a signal ends it."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except ConfigError as error:
        complain(str(error))
        return USAGE
    except StoreError as error:
        complain(str(error))
        return FAILED
    except OutputFailed as error:
        return failed_output(error)


def _load(options: argparse.Namespace) -> Config:
    """Read the configuration and put the command line's options over it."""
    given = {key: value for key, value in vars(options).items() if value}
    server: dict[str, Any] = {
        key: given[key] for key in ("listen", "log", "allow_plaintext_beyond_loopback") if key in given
    }
    storage = {"path": str(given["data_dir"] / "naiad.db")} if "data_dir" in given else {}
    if "chaos" in given:
        return _with_chaos(options, server, storage)
    return load(options.config, {"server": server, "storage": storage})


def _with_chaos(options: argparse.Namespace, server: dict[str, Any], storage: dict[str, str]) -> Config:
    """Read the configuration for a server with simulated failures; raises ConfigError where the rules forbid them."""
    plan = chaos.read(options.chaos)
    if storage:
        chaos.own_database(plan, Path(storage["path"]), load(options.config, {"server": server}).database)
    config = load(options.config, {"server": server, "storage": storage or {"path": ":memory:"}})
    chaos.check(plan, config.endpoints)
    chaos.guard(plan, config.file.server, beyond_loopback=options.allow_chaos_beyond_loopback)
    return replace(config, chaos=plan)


def _serve(options: argparse.Namespace) -> int:
    config = _load(options)
    if options.check:
        from naiad.server.report import print_faults

        print_faults(config)
        return OK
    configure(config.file.server.log, config.file.server.log_level)
    ending = Ending()
    if options.until_stdin_ends:
        ending.follow(sys.stdin.fileno())
    import uvloop

    from naiad.server.app import run

    try:
        return uvloop.run(run(config, _ready, ending))
    except CannotListen as error:
        complain(f"cannot listen on {config.file.server.listen}: {error}")
    except OSError as error:
        complain(f"the server failed: {error}")
    return FAILED


def _ready(address: str) -> None:
    try:
        print(f"naiad listening on {address}", flush=True)
    except (OSError, ValueError) as error:  # nobody reads it; whoever calls is served all the same
        give_up(sys.stdout)
        log.warning("address_not_printed", address=address, error=str(error))


def _check(options: argparse.Namespace) -> int:
    from naiad.server.report import print_inventory, trouble

    config = _load(options)
    print_inventory(config, found=trouble(config))
    return OK


def _replay(options: argparse.Namespace) -> int:
    from naiad.server.replay import LogMismatch, fold_stream
    from naiad.server.report import access_of, print_replay

    if options.from_stdin:
        try:
            digests = fold_stream(sys.stdin.buffer)
        except (LogMismatch, EOFError) as error:
            complain(str(error))
            return FAILED
        sys.stdout.buffer.write(msgspec.json.encode(digests))
        return OK
    return print_replay(None if options.server else _load(options), access_of(options) if options.server else None)


def _arms(options: argparse.Namespace) -> int:
    from naiad.server.report import access_of, print_arms, watch_arms

    if options.watch:
        return watch_arms(access_of(options), options.task_class, options.model, options.interval)
    return print_arms(access_of(options), options.task_class, options.model)


def _explain(options: argparse.Namespace) -> int:
    from naiad.server.report import access_of, print_explanation

    return print_explanation(access_of(options), options.decision_id)


def _costs(options: argparse.Namespace) -> int:
    from naiad.server.report import access_of, print_costs
    from naiad.server.report.costs import Wanted

    by = tuple(dict.fromkeys(name.replace("-", "_") for name in options.by or ("model",)))
    wanted = Wanted(
        by, options.since, options.until, options.workflow, options.task_class, options.model, options.baseline,
        options.count, options.json,
    )  # fmt: skip
    return print_costs(access_of(options), wanted)


def _models_list(options: argparse.Namespace) -> int:
    from naiad.server.report import access_of, print_models

    return print_models(access_of(options), options.provider)


def _models_import(options: argparse.Namespace) -> int:
    from naiad.server.report import access_of, import_models
    from naiad.server.report.models import Import

    wanted = Import(options.file, options.endpoint, options.provider, tuple(options.add), options.dry_run)
    return import_models(access_of(options), wanted)


def _keys(options: argparse.Namespace) -> int:
    from naiad.server.report import run_keys

    return run_keys(options)


def _audit_list(options: argparse.Namespace) -> int:
    from naiad.server.report import access_of, print_audit

    return print_audit(access_of(options), options.count, options.action, options.key)


def _audit_verify(options: argparse.Namespace) -> int:
    from naiad.server.report import access_of, verify_audit

    return verify_audit(access_of(options), options.digest)


def _demo(options: argparse.Namespace) -> int:
    from naiad.server.demo.run import run

    return run(seed=options.seed, prompts=options.prompts, output=options.output)
