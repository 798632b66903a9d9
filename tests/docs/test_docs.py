"""The documents say what is so: links resolve, commands parse, snippets run, keys and exit codes are complete."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shlex
import signal
import sys
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from naiad.bandit.objective import Objective
from naiad.client import AsyncClient
from naiad.server import cli, process, providers, sections
from naiad.server import config as configuration
from naiad.server.app import Server
from naiad.server.governance import Governance
from naiad.server.objective_section import STRATEGIES
from tests.certificates import Certificates
from tests.server.test_callback_channel import free_port

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "127.0.0.1:50051"
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
WRITTEN = [path for path in DOCUMENTS if path.name != "api.md"]  # by hand
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "[server]": sections.ServerSection,
    "[server.tls]": sections.TlsSection,
    "[keys]": sections.KeysSection,
    "[storage]": sections.StorageSection,
    "[policy]": sections.PolicySection,
    "[learning]": sections.LearningSection,
    "[learning.trust]": sections.TrustSection,
    "[learning.influence]": sections.InfluenceSection,
    "[governance]": sections.GovernanceSection,
    "[governance.pii]": sections.PiiSection,
    "[[data_classes]]": sections.DataClassSection,
    "[[models]]": sections.ModelSection,
    "[models.ensemble]": sections.EnsembleSection,
    "[models.cascade]": sections.CascadeSection,
    "[models.cascade.check]": sections.CheckSection,
    "[[task_classes]]": sections.TaskClassSection,
    "[cache]": sections.CacheSection,
    "[sessions]": sections.SessionsSection,
    "[task_classes.objective]": sections.ObjectiveSection,
    "[[workflows]]": sections.WorkflowSection,
    "[workflows.objective]": sections.ObjectiveSection,
    "[spending]": sections.SpendingSection,
    "[[budgets]]": sections.BudgetSection,
    "[endpoints.NAME]": sections.EndpointSection,
    "[callbacks.NAME]": sections.CallbackSection,
}


def text_of(path: str) -> str:
    """Return a document of the repository."""
    return (ROOT / path).read_text(encoding="utf-8")


def label(path: Path) -> str:
    """Return a document's path for the name of a test."""
    return str(path.relative_to(ROOT))


def blocks(text: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def prose(text: str) -> str:
    """Return a document without its code blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as a reader of Markdown makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def tables(text: str) -> dict[str, list[list[str]]]:
    """Return the rows of the tables below each heading, their cells without the head."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in prose(text).splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return {heading: [row for row in rows if not set("".join(row)) <= set("-")][1:] for heading, rows in found.items()}


# -- links and commands ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOCUMENTS, ids=label)
def test_links_resolve(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{label(path)} links to {target}, which does not exist"
        assert linked.is_relative_to(ROOT), f"{label(path)} links to {target}, outside of the repository"
        if anchor:
            assert anchor in anchors(linked.read_text(encoding="utf-8")), f"{label(path)} links to {target}"


def commands(text: str) -> list[str]:
    """Return the command lines of a document: lines of shell blocks, and code inside of sentences."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", prose(text))
    return [re.split(r" [#>]", line)[0].strip() for line in lines if line.strip()]


@pytest.mark.parametrize("path", WRITTEN, ids=label)
def test_commands_exist(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    makefile = text_of("Makefile")
    for command in commands(path.read_text(encoding="utf-8")):
        words = shlex.split(command) if command.startswith(("naiad ", "make ")) else [""]
        if words[0] == "make":
            for target in (word for word in words[1:] if re.fullmatch(r"[a-z-]+", word)):
                assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{label(path)}: {command}"
        if words[0] == "naiad" and words[1] != "listening":  # what the server prints
            assert parses([_value(word) for word in words[1:]]), f"{label(path)}: {command}: {capsys.readouterr().err}"


def parses(arguments: list[str]) -> bool:
    """Return whether the command line takes the arguments; --help counts as well."""
    try:
        cli.parser().parse_args(arguments)
    except SystemExit as stop:
        return stop.code == 0
    return True


def _value(word: str) -> str:
    return "127.0.0.1:0" if word == "HOST:PORT" else word


def test_every_command_is_documented() -> None:
    parser = cli.parser()
    known = {name for action in parser._actions if isinstance(action.choices, dict) for name in action.choices}
    written = {cells[0].strip("`").split()[1] for cells in tables(text_of("docs/operations.md"))["Commands"]}
    assert written == known


def test_modules_that_are_run_exist() -> None:
    for path in WRITTEN:
        for module in re.findall(r"python -m (benchmarks[\w.]*)", path.read_text(encoding="utf-8")):
            place = ROOT / module.replace(".", "/")
            assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), f"{label(path)}: {module}"
        for script in re.findall(r"python (tests/[\w/]+\.py)", path.read_text(encoding="utf-8")):
            assert (ROOT / script).exists(), f"{label(path)}: {script}"


def test_figures_are_left_open_in_their_table_only() -> None:
    for path in WRITTEN:
        for line in path.read_text(encoding="utf-8").splitlines():
            assert "TODO-FIGURE" not in line or (path.name == "README.md" and line.startswith("|")), label(path)


def test_nothing_names_the_machine_it_was_written_on() -> None:
    for path in WRITTEN:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"/(root|work|tmp|home|Users)/", text), label(path)


# -- snippets ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def serving(data: dict[str, Any] | None = None) -> AsyncIterator[str]:
    """Serve in this process, in memory, on a free port; data: the file's content, None for the built-in defaults."""
    config = configuration.load(None) if data is None else configuration.parse(data, "docs")
    file = msgspec.structs.replace(
        config.file,
        server=msgspec.structs.replace(config.file.server, listen="127.0.0.1:0"),
        storage=msgspec.structs.replace(config.file.storage, path=":memory:"),
    )
    server = await Server.start(dataclasses.replace(config, file=file))
    try:
        yield server.address
    finally:
        assert await server.stop()


async def run(code: str, address: str) -> str:
    """Run a snippet against a server, warnings being errors; return what it printed."""
    assert ADDRESS in code, f"snippets talk to {ADDRESS}"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", code.replace(ADDRESS, address),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        output, errors = await asyncio.wait_for(process.communicate(), 60.0)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def test_snippets_of_the_readme_run_against_the_defaults() -> None:
    snippets = blocks(text_of("README.md"), "python")
    assert len(snippets) == 2
    async with serving() as address:
        for snippet in snippets:
            model, propensity, state = (await run(snippet, address)).split()
            assert "/" in model
            assert 0.0 < float(propensity) <= 1.0
            assert state == "effective"


async def test_snippets_of_the_quickstart_run_against_its_configuration() -> None:
    text = text_of("docs/quickstart.md")
    (file,) = blocks(text, "toml")
    first, second, third = blocks(text, "python")
    async with serving(tomllib.loads(file)) as address:
        decided = await run(first, address)
        assert "feedback:   effective 0.9" in decided  # as the text says
        answered = (await run(second, address)).splitlines()
        streamed = (await run(third, address)).split()
    assert streamed[1:] == ["True"]
    assert "Summarise: the parser drops the last line." in answered[0]
    assert [round(float(line), 3) for line in answered[1:]] == [0.2, 1.0]


async def test_the_callback_in_the_text_checks_answers_of_the_cascade_in_the_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text, port = text_of("docs/callbacks.md"), str(free_port())
    monkeypatch.setenv("REVIEWER_TOKEN", "let-me-in")
    (code,), (file,) = blocks(text, "python"), blocks(text, "toml")
    assert len(code.splitlines()) <= 24, "it is to stay short"
    callback = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", code.replace("50061", port))
    try:
        async with serving(tomllib.loads(file.replace("50061", port))) as address, AsyncClient(address) as client:
            async with asyncio.timeout(30.0):
                while True:
                    messages = "Say these six words to me"
                    answer = await client.complete(messages, task_class="t", allowed_models=["team/reviewed"])
                    (*_, last) = answer.attempts
                    if not last.checks[0].failure:
                        break
                    await asyncio.sleep(0.2)  # it is still starting
            assert [(c.checked_by, c.passed) for c in last.checks] == [("callback:reviewer", True)]
            found = (await client.get_decision(answer.decision_id)).feedback
            assert [f.comment.endswith(" words") for f in found] == [True]
            short = await client.complete("Too short", task_class="t", allowed_models=["team/reviewed"])
            assert [c.passed for c in short.attempts[-1].checks] == [False, False]
    finally:
        callback.kill()
        await callback.wait()


async def test_the_health_probe_runs() -> None:
    (probe,) = blocks(text_of("docs/operations.md"), "python")
    async with serving() as address:
        assert (await run(probe, address)).strip() == "SERVING"


# -- configuration -----------------------------------------------------------------------------------------------------


_NESTED = ("objective", "ensemble", "cascade", "check")  # tables of an entry of a list


def keys(data: dict[str, Any], where: str = "") -> set[str]:
    """Return the keys of a TOML document with their sections, as the headings name them."""
    found: set[str] = set()
    for key, value in data.items():
        if isinstance(value, dict) and (not where or key in ("pii", "trust", "influence", "tls", *_NESTED)):
            named = key in ("endpoints", "callbacks")
            name = f"[{key}.NAME]" if named else f"[{key}]"
            name = f"{where[:-1]}.{key}]" if where in ("[learning]", "[governance]", "[server]") else name
            name = f"[{where.strip('[]')}.{key}]" if key in _NESTED else name
            inner = value.values() if named else [value]
            found |= {key_ for part in inner for key_ in keys(part, name)}
            found |= {f"{where} {key}"} if where else set()
        elif isinstance(value, list) and not where:
            found |= {key_ for part in value for key_ in keys(part, f"[[{key}]]")}
        else:
            found.add(f"{where} {key}")
    return found


def test_the_complete_example_is_complete_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Certificates.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    (example,) = blocks(text_of("docs/configuration.md"), "toml")
    path = tmp_path / "naiad.toml"
    path.write_text(example, encoding="utf-8")
    config = configuration.load(path)
    assert [model.name for model in config.models] == ["acme/small", "acme/large", "acme/judged", "acme/steps"]
    known = {f"{name} {field.name}" for name, kind in SECTIONS.items() for field in msgspec.structs.fields(kind)}
    optional = {
        f"[{table}.objective] {field.name}"
        for table in ("task_classes", "workflows")
        for field in msgspec.structs.fields(sections.ObjectiveSection)
    }
    optional |= {"[policy] primary", "[policy] fallbacks"}  # refused with another strategy
    optional |= {f"[models.cascade.check] {kind}" for kind in ("json_schema", "pattern", "judge")}  # one is enough
    optional |= {  # refused with the kinds that this version has
        f"[endpoints.NAME] {field.name}"
        for field in msgspec.structs.fields(sections.EndpointSection)
        if field.name != "kind"
    }
    assert known - optional <= keys(tomllib.loads(example)) <= known


def test_the_rules_in_the_text_on_governance_load_and_mean_what_it_says() -> None:
    (file,) = blocks(text_of("docs/governance.md"), "toml")
    config = configuration.parse(tomllib.loads(file), "docs")
    rules = Governance(config.policy.data_classes)
    assert {name: [m.name for m in config.models if rules.ground(m, name)] for name in rules.names} == {
        "public": ["acme/large", "openai/small", "local/small"],
        "internal": ["acme/large", "openai/small", "local/small"],
        "customer": ["acme/large", "local/small"],
    }


def test_the_sections_are_those_of_the_file() -> None:
    documented = {re.split(r"[.\]]", name.strip("["))[0] for name in SECTIONS}
    assert documented == {field.name for field in msgspec.structs.fields(sections.File)}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_with_its_default(section: str) -> None:
    rows = {cells[0].strip("`"): cells[1] for cells in tables(text_of("docs/configuration.md"))[section]}
    fields = {field.name: field for field in msgspec.structs.fields(SECTIONS[section])}
    assert rows.keys() == fields.keys()
    for name, written in rows.items():
        field = fields[name]
        default = field.default if field.default is not msgspec.NODEFAULT else None
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if section == "[policy]" and default is None:  # where the policy is silent too, the core's value holds
            core = Objective()
            default = core.strategy.name.lower() if name == "strategy" else getattr(core, name, None)
        if field.required:
            assert written == "required", name
        elif default is None:
            assert written == ("the policy's" if "objective" in section else "none"), name
        elif isinstance(default, msgspec.Struct):
            assert written == ("below" if section in ("[learning]", "[governance]") else "the policy's"), name
        else:
            assert tomllib.loads(f"x = {written.strip('`')}")["x"] == default, name


def test_every_choice_is_documented() -> None:
    text = text_of("docs/configuration.md")
    for name in (*STRATEGIES, *configuration.CAPABILITIES, *providers.KINDS):
        assert f'`"{name}"`' in text, name


# -- operations --------------------------------------------------------------------------------------------------------


def test_exit_codes_are_documented_and_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tables(text_of("docs/operations.md"))["Exit codes"]
    by_signal = [process.exit_code(n) for n in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE, signal.SIGTERM)]
    assert [int(cells[0]) for cells in rows] == [cli.OK, cli.FAILED, cli.USAGE, *by_signal]
    typo = tmp_path / "naiad.toml"
    typo.write_text("[server]\nlisen = 'x'\n", encoding="utf-8")
    assert cli.main(["check"]) == cli.OK
    assert cli.main(["replay", "--data-dir", str(tmp_path)]) == cli.FAILED
    assert capsys.readouterr().err.startswith("naiad: ")
    assert cli.main(["check", "--config", str(typo)]) == cli.USAGE
    assert capsys.readouterr().err.startswith("naiad: ")
    with pytest.raises(SystemExit) as stop:
        cli.main(["nonsense"])
    assert stop.value.code == cli.USAGE


def test_every_event_of_the_log_is_documented() -> None:
    rows = {(cells[1], cells[0].strip("`")) for cells in tables(text_of("docs/operations.md"))["Logs"]}
    written = set()
    for path in (ROOT / "server").rglob("*.py"):
        written |= set(re.findall(r"\blog\.(\w+)\(\s*\"(\w+)\"", path.read_text(encoding="utf-8")))
    assert rows == written
