# ruff: noqa: ASYNC240 - nothing else runs in these tests' loops, so they may block
"""The schema's later parts: migration, whose the file is, and keys that were tampered with."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from naiad.server.authorization import Role
from naiad.server.keyring import KeyRing
from naiad.server.store.base import StoreCorrupt
from naiad.server.store.rows import checksum
from naiad.server.store.schema import MIGRATIONS, SCHEMA_VERSION
from naiad.server.store.sqlite import SqliteStore
from tests.keys import Wanted, made_keys


async def test_a_file_of_the_first_schema_is_brought_up_to_date_with_all_it_holds(tmp_path: Path) -> None:
    path = tmp_path / "naiad.db"
    connection = sqlite3.connect(path)
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    row = (1, 0, "decided", 5, b"payload", 9, 1, 1, "w", "s", checksum(b"payload"))
    changed = (2, 0, "model", 6, b"changed", None, None, None, "", "", checksum(b"changed"))
    connection.executemany("INSERT INTO events VALUES (?,?,?,?,?,?,?,?,?,?,?)", [row, changed])
    connection.execute("INSERT INTO signing_keys VALUES (1, x'00')")
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()
    for _ in range(2):
        store = await SqliteStore.open(path)
        assert [(e.sequence, e.payload, e.uid) for e in await store.events(0, 10)] == [
            (1, b"payload", 9), (2, b"changed", None),
        ]  # fmt: skip
        assert await store.signing_keys() == {1: b"\x00"}
        assert (await store.tenants(), await store.keys(), await store.audit(0, 9)) == ({0: "default"}, [], [])
        assert list(await store.changes(0, 9)) == [2]
        assert await store._scalar("PRAGMA user_version") == SCHEMA_VERSION
        await store.close()


async def test_a_new_file_is_its_owner_s(tmp_path: Path) -> None:
    """It holds what forges decision ids, and what knows keys."""
    store = await SqliteStore.open(tmp_path / "naiad.db")
    await store.add_secret("s", b"x")
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir() if "lock" not in file.name}
    await store.close()
    assert modes == dict.fromkeys(("naiad.db", "naiad.db-wal", "naiad.db-shm"), 0o600)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE api_keys SET payload = CAST(replace(payload, '\"role\":1', '\"role\":4') AS BLOB)",
        "UPDATE api_keys SET key_id = 'a' || substr(key_id, 2) WHERE rowid_ = 1",
        "UPDATE api_keys SET tenant = 1",
        "DELETE FROM server_secrets",
        "DELETE FROM tenants WHERE tenant = 1",
    ],
)
async def test_keys_that_were_altered_or_moved_are_damage(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "naiad.db"
    await made_keys(
        path, {"a": Wanted(Role.ADMIN), "c": Wanted(Role.CLIENT), "other": Wanted(Role.ADMIN, tenant="other")}
    )
    connection = sqlite3.connect(path)
    connection.execute(damage.replace("WHERE rowid_ = 1", "WHERE key_id = (SELECT min(key_id) FROM api_keys)"))
    connection.commit()
    connection.close()
    store = await SqliteStore.open(path)
    try:
        with pytest.raises(StoreCorrupt, match="restore a backup"):
            await KeyRing.open(store, lambda: 0)
    finally:
        await store.close()
