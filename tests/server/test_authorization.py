"""Every method of the API has exactly one row in the table of roles."""

from __future__ import annotations

from collections import Counter

import pytest

from naiad.server import authorization
from naiad.server.authorization import REQUIRED, Role
from naiad.server.guard import Limits
from tests.fuzz.messages import methods
from tests.server.test_guard import open_guard


def test_one_row_for_each_method() -> None:
    tables = (authorization._CLIENT, authorization._REVIEWER, authorization._OPERATOR, authorization._ADMIN)
    rows = Counter(
        f"{service}/{method}" for table in tables for service, names in table.items() for method in names.split()
    )
    assert rows.keys() == methods().keys() == REQUIRED.keys()
    assert set(rows.values()) == {1}


def test_what_changes_the_service_asks_for_more_than_a_client() -> None:
    for name, role in REQUIRED.items():
        method = name.partition("/")[2]
        if method.startswith(("Create", "Update", "Delete", "Promote", "Rollback", "Revoke", "Rotate")):
            assert role >= Role.OPERATOR, name


def test_a_method_without_a_row_cannot_be_served() -> None:
    with pytest.raises(RuntimeError, match="RouterService/Extra"):
        open_guard(Limits()).protect(object(), "RouterService", ["Extra"])
