"""Reasons in the code and in error_reason.proto are the same words with the same codes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from naiad.server import errors
from naiad.server.errors import NaiadError
from naiad.v1 import error_reason_pb2
from tests.server.reasons import ROOT, check, documented

SERVER = ROOT / "server"


def raised() -> list[tuple[Path, int, str, str]]:
    """Return (file, line, reason, code) of every NaiadError that the server's code builds with literal words."""
    found = []
    for path in sorted(SERVER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NaiadError":
                code = next((k.value for k in node.keywords if k.arg == "code"), ast.Constant("INVALID_ARGUMENT"))
                for reason, of in zip(_words(node.args[0]), _words(code) * 2, strict=False):
                    found.append((path, node.lineno, reason, of))
    return found


def _words(node: ast.expr) -> list[str]:
    """Return the literals that an expression may be: one, or both of `a if x else b`."""
    if isinstance(node, ast.IfExp):
        return [*_words(node.body), *_words(node.orelse)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def test_every_comment_has_the_agreed_form() -> None:
    values = {name.removeprefix("ERROR_REASON_") for name in error_reason_pb2.ErrorReason.keys()}  # noqa: SIM118
    assert documented().keys() == values - {"UNSPECIFIED"}


def test_the_code_uses_only_documented_reasons_with_their_codes() -> None:
    uses = raised()
    assert len(uses) > 30
    for path, line, reason, code in uses:
        where = f"{path.name}:{line}"
        assert reason in documented(), f"{where}: {reason} is not in error_reason.proto"
        assert code == documented()[reason].code, f"{where}: {reason} with {code}"


def test_no_reason_is_built_in_a_way_that_the_check_above_cannot_read() -> None:
    for path in sorted(SERVER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "NaiadError":
                assert _words(node.args[0]), f"{path.name}:{node.lineno}: give the reason as a literal"


@pytest.mark.parametrize(
    "error",
    [
        errors.unknown_model("a/b", ["a/c"]),
        errors.unknown_task_class("a", []),
        errors.unknown_attempt("d", "1"),
        errors.request_id_reused("r", "m"),
        errors.reply_not_available("r", "m"),
        errors.not_implemented("X/Y"),
        errors.not_implemented("a.b", "a.b"),
        errors.storage_failed("m"),
    ],
    ids=lambda e: e.reason,
)
def test_the_shared_errors_carry_what_is_documented(error: NaiadError) -> None:
    check(error.reason, error.code, error.metadata)


def test_values_are_cut() -> None:
    error = errors.unknown_model("a/" + "x" * 10_000, [])
    assert max(map(len, error.metadata.values())) <= 200
