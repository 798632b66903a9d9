# ruff: noqa: ASYNC220, ASYNC240 - nothing else runs in these tests' loops, so they may block
"""What is wrong with a file is said at the start, by type, with the file's name, and the file is left as it was."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from naiad.server.app import open_store, restored_engine
from naiad.server.config import parse
from naiad.server.store.base import (
    Batch,
    EventRow,
    StoreCorrupt,
    StoreError,
    StoreLocked,
    StoreTooNew,
    StoreUnwritable,
)
from naiad.server.store.schema import SCHEMA_VERSION
from naiad.server.store.sqlite import SqliteStore
from tests.e2e.live import live

_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest_asyncio.fixture
async def written(tmp_path: Path) -> AsyncIterator[Path]:
    """The path of a store with one event in it, closed."""
    path = tmp_path / "naiad.db"
    store = await SqliteStore.open(path)
    await store.commit(Batch([EventRow(1, "outcome", 5, b"one")]))
    await store.close()
    yield path


async def refusal(path: Path) -> StoreError:
    """Open a store that cannot be opened and return the error."""
    with pytest.raises(StoreError) as caught:
        await (await SqliteStore.open(path)).close()
    assert str(path) in str(caught.value)
    return caught.value


@contextmanager
def serving(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a server on a folder; wait until it listens; kill it in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "naiad.server", "serve", "--listen", "127.0.0.1:0", "--data-dir", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)


# -- one owner -----------------------------------------------------------------------------------------------------


async def test_a_second_store_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "naiad.db"
    first = await SqliteStore.open(path)
    try:
        error = await refusal(path)
        assert isinstance(error, StoreLocked)
        assert str(os.getpid()) in str(error)
        await first.commit(Batch([EventRow(1, "outcome", 5, b"one")]))  # the holder is not disturbed
    finally:
        await first.close()
    again = await SqliteStore.open(path)
    assert await again.last_sequence() == 1
    await again.close()


def test_a_second_server_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    with serving(tmp_path) as first:
        assert first.stdout is not None
        assert first.stdout.readline().startswith("naiad listening on ")
        with serving(tmp_path) as second:
            output, complaint = second.communicate(timeout=60)
        assert (second.returncode, output) == (1, "")
        assert f"process id {first.pid};" in complaint
        assert "Traceback" not in complaint
        assert first.poll() is None


async def test_a_file_of_two_names_is_refused(tmp_path: Path) -> None:
    """SQLite would keep a write-ahead log beside each name; with one name it opens again, and nothing is lost."""
    path = tmp_path / "naiad.db"
    store = await SqliteStore.open(path)
    await store.add_signing_key(1, bytes(32))
    (tmp_path / "other").mkdir()
    os.link(path, tmp_path / "other" / "naiad.db")
    with pytest.raises(StoreError, match="2 names"):
        await SqliteStore.open(tmp_path / "other" / "naiad.db")
    await store.close()
    with pytest.raises(StoreError, match="hard links"):
        await SqliteStore.open(path)
    (tmp_path / "other" / "naiad.db").unlink()
    store = await SqliteStore.open(path)
    assert await store.signing_keys() == {1: bytes(32)}
    await store.close()


async def test_a_removed_lock_file_lets_nobody_in(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "naiad.db")
    (tmp_path / "naiad.db.lock").unlink()
    with pytest.raises(StoreLocked, match="another process"):
        await SqliteStore.open(tmp_path / "naiad.db")
    await store.add_signing_key(1, bytes(32))
    await store.close()
    await (await SqliteStore.open(tmp_path / "naiad.db")).close()


async def test_a_link_to_the_file_is_the_same_file(tmp_path: Path) -> None:
    """Two names of one file, also through a linked folder, are one store with one owner."""
    (tmp_path / "real").mkdir()
    first = await SqliteStore.open(tmp_path / "real" / "naiad.db")
    try:
        (tmp_path / "link.db").symlink_to(tmp_path / "real" / "naiad.db")
        (tmp_path / "folder").symlink_to(tmp_path / "real")
        for other in (tmp_path / "link.db", tmp_path / "folder" / "naiad.db"):
            with pytest.raises(StoreLocked):
                await (await SqliteStore.open(other)).close()
    finally:
        await first.close()


async def test_a_killed_owner_holds_no_lock(tmp_path: Path) -> None:
    """The lock file stays with the dead owner's pid in it; the lock itself goes with the process."""
    with serving(tmp_path) as first:
        assert first.stdout is not None
        assert first.stdout.readline().startswith("naiad listening on ")
    assert (tmp_path / "naiad.db.lock").read_text(encoding="ascii") == str(first.pid)
    store = await SqliteStore.open(tmp_path / "naiad.db")
    assert await store.last_sequence() > 0
    await store.close()


async def test_a_refused_start_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "naiad.db"
    path.write_bytes(b"not a database, " * 64)
    for _ in range(2):
        assert isinstance(await refusal(path), StoreCorrupt)


# -- locked by another program -------------------------------------------------------------------------------------


async def test_locked_by_another_connection(written: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(written)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        error = await refusal(written)
        assert isinstance(error, StoreLocked)
        assert "another program" in str(error)
    finally:
        other.communicate("", timeout=30)
    store = await SqliteStore.open(written)
    assert await store.last_sequence() == 1
    await store.close()


# -- cannot be written ---------------------------------------------------------------------------------------------


@contextmanager
def read_only_mount(source: Path) -> Iterator[Path]:
    """Give a read-only bind mount of a folder; skips where mounting is not permitted. Root writes past mode bits."""
    if os.geteuid() != 0:
        source.chmod(0o555)
        try:
            yield source
        finally:
            source.chmod(0o755)
        return
    target = Path(tempfile.mkdtemp(prefix="naiad-ro-"))
    mounted = False
    try:
        for command in (
            ["mount", "--bind", str(source), str(target)],
            ["mount", "-o", "remount,bind,ro", str(target)],
        ):
            if shutil.which("mount") is None:
                pytest.skip("there is no mount command here")
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
            if done.returncode != 0:
                pytest.skip(f"a read-only mount cannot be made here: {done.stderr.strip()}")
            mounted = True
        yield target
    finally:
        if mounted:
            subprocess.run(["umount", str(target)], capture_output=True, timeout=30, check=True)
        target.rmdir()


async def test_a_read_only_folder(written: Path) -> None:
    before = written.read_bytes()
    with read_only_mount(written.parent) as folder:
        error = await refusal(folder / written.name)
        assert isinstance(error, StoreUnwritable)
        assert isinstance(await refusal(folder / "sub" / "naiad.db"), StoreUnwritable)
    assert written.read_bytes() == before


@contextmanager
def immutable(path: Path) -> Iterator[None]:
    """Make one file unwritable even for root; skips where the file system cannot."""
    if os.geteuid() != 0:
        path.chmod(0o444)
        yield
        return
    if shutil.which("chattr") is None:
        pytest.skip("there is no chattr command here")
    done = subprocess.run(["chattr", "+i", str(path)], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        pytest.skip(f"the file system cannot make a file immutable: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], capture_output=True, timeout=30, check=True)


async def test_a_read_only_file_in_a_writable_folder(written: Path) -> None:
    before = written.read_bytes()
    with immutable(written):
        assert isinstance(await refusal(written), StoreUnwritable)
    assert written.read_bytes() == before


async def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    path = tmp_path / "naiad.db"
    path.mkdir()
    assert isinstance(await refusal(path), StoreUnwritable)


async def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(StoreUnwritable):
        await SqliteStore.open(tmp_path / "taken" / "naiad.db")


# -- not ours ------------------------------------------------------------------------------------------------------


async def test_a_newer_schema_is_refused_and_untouched(written: Path) -> None:
    connection = sqlite3.connect(written)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    before = written.read_bytes()
    error = await refusal(written)
    assert isinstance(error, StoreTooNew)
    assert f"schema {SCHEMA_VERSION + 1}" in str(error)
    assert written.read_bytes() == before


@pytest.mark.parametrize("content", [b"plain text, and a good deal of it" * 40, b"SQLite format 3\0" + b"\xff" * 4_080])
async def test_not_a_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "naiad.db"
    path.write_bytes(content)
    assert isinstance(await refusal(path), StoreCorrupt)
    assert path.read_bytes() == content


async def test_another_programs_database_is_refused_and_untouched(tmp_path: Path) -> None:
    """A database with tables of its own and no version of ours: Naiad must not build its tables into it."""
    path = tmp_path / "photos.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE photos (name TEXT)")
    connection.close()
    before = path.read_bytes()
    await refusal(path)
    assert path.read_bytes() == before


async def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "naiad.db"
    path.touch()
    store = await SqliteStore.open(path)
    assert await store.last_sequence() == 0
    await store.close()


async def test_a_store_without_its_tables_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "naiad.db"
    for version in (SCHEMA_VERSION, -3):
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.close()
        assert isinstance(await refusal(path), StoreCorrupt)


async def test_damaged_pages_are_damage_and_nothing_else(tmp_path: Path) -> None:
    """Wherever a page was overwritten: what the log folds to is whole, or the damage is said as a StoreError."""
    with live(tmp_path) as running:
        for index in range(90):
            made = running.caller.decide(f"x{index % 5}")
            running.caller.score(made.decision_id, 0.5, comment="c" * 400)
    path = tmp_path / "data" / "naiad.db"
    config = parse({"storage": {"path": str(path)}}, "test")
    whole, complaints = path.read_bytes(), []
    for offset in range(4_096, len(whole) - 4_096, 4_096):
        path.write_bytes(whole[:offset] + bytes(range(256)) * 16 + whole[offset + 4_096 :])
        try:
            store = await open_store(config)
            try:
                await restored_engine(store, config, from_start=True)
            finally:
                await store.close()
        except StoreError as error:
            complaints.append(str(error))
    assert len(complaints) > 5
    assert all("restore a backup" in complaint for complaint in complaints)


def test_the_server_says_it_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "naiad.db").write_bytes(b"not a database, " * 64)
    with serving(tmp_path) as process:
        output, complaint = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, "")
    assert complaint.startswith("naiad: ")
    assert complaint.count("\n") == 1


# -- durability ----------------------------------------------------------------------------------------------------


async def test_the_connection_writes_ahead_and_syncs_every_commit(tmp_path: Path) -> None:
    """Read from the store's own connection: both settings can differ from one connection to the next."""
    store = await SqliteStore.open(tmp_path / "naiad.db")
    try:
        assert await store._scalar("PRAGMA journal_mode") == "wal"
        assert await store._scalar("PRAGMA synchronous") == 2  # FULL
        assert await store._scalar("PRAGMA user_version") == SCHEMA_VERSION
    finally:
        await store.close()


async def test_a_copy_taken_after_a_commit_has_it(tmp_path: Path) -> None:
    """What `commit` returned from lies in the files, not in this process: copy them while the store is open."""
    store = await SqliteStore.open(tmp_path / "naiad.db")
    try:
        for sequence in range(1, 6):
            await store.commit(Batch([EventRow(sequence, "outcome", 5, b"x")], {sequence: b"y"}))
            copy = tmp_path / f"copy{sequence}"
            copy.mkdir()
            for part in ("naiad.db", "naiad.db-wal"):
                shutil.copy(tmp_path / part, copy / part)
            other = await SqliteStore.open(copy / "naiad.db")
            assert await other.last_sequence() == sequence
            assert await other.entries([sequence]) == {sequence: b"y"}
            await other.close()
    finally:
        await store.close()


async def test_a_torn_tail_of_the_log_loses_only_the_tail(tmp_path: Path) -> None:
    """Cut the write-ahead log anywhere: what opens is a prefix of the commits, each whole."""
    store = await SqliteStore.open(tmp_path / "naiad.db")
    try:
        for sequence in range(1, 6):
            await store.commit(Batch([EventRow(sequence, "outcome", 5, b"x")], {sequence: b"y"}))
        wal = (tmp_path / "naiad.db-wal").read_bytes()
        base = (tmp_path / "naiad.db").read_bytes()
    finally:
        await store.close()
    seen = set()
    for number, size in enumerate(range(0, len(wal) + 1, max(1, len(wal) // 24))):
        copy = tmp_path / f"torn{number}"
        copy.mkdir()
        (copy / "naiad.db").write_bytes(base)
        (copy / "naiad.db-wal").write_bytes(wal[:size])
        other = await SqliteStore.open(copy / "naiad.db")
        last = await other.last_sequence()
        assert await other.entries(range(1, 9)) == dict.fromkeys(range(1, last + 1), b"y")
        assert [row.sequence for row in await other.events(0, 9)] == list(range(1, last + 1))
        seen.add(last)
        await other.close()
    assert {0, 4} <= seen
