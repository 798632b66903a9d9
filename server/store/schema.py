"""The SQLite schema, as a list of migrations; the file's user_version counts those that were applied."""

from __future__ import annotations

import re

_V1 = (
    """
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        tenant INTEGER NOT NULL,
        kind TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        payload BLOB NOT NULL,
        uid INTEGER,
        task_class INTEGER,
        model INTEGER,
        workflow TEXT NOT NULL DEFAULT '',
        session TEXT NOT NULL DEFAULT '',
        checksum BLOB NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX events_decided ON events (tenant, uid) WHERE kind = 'decided'",
    """
    CREATE TABLE ledger (
        tenant INTEGER NOT NULL,
        uid INTEGER NOT NULL,
        payload BLOB NOT NULL,
        checksum BLOB NOT NULL,
        PRIMARY KEY (tenant, uid)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE requests (
        tenant INTEGER NOT NULL,
        request_id TEXT NOT NULL,
        method TEXT NOT NULL,
        digest TEXT NOT NULL,
        reply BLOB NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (tenant, request_id)
    ) WITHOUT ROWID
    """,
    """
    CREATE TABLE snapshots (
        tenant INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        payload BLOB NOT NULL,
        PRIMARY KEY (tenant, seq)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE signing_keys (key_id INTEGER PRIMARY KEY, secret BLOB NOT NULL)",
)

# The audit trail, and who may call. Since then `seq` of an event is TENANT_STRIDE times its tenant plus its place in
# the tenant's own log: the rowid stays the order of a log, and the rows of the first tenant, 0, are what they were.
_V2 = (
    """
    CREATE TABLE audit (
        tenant INTEGER NOT NULL,
        number INTEGER NOT NULL,
        at_ms INTEGER NOT NULL,
        payload BLOB NOT NULL,
        digest BLOB NOT NULL,
        PRIMARY KEY (tenant, number)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX events_changes ON events (tenant, seq) WHERE kind IN ('model', 'task_class', 'policy', 'budget')",
    "CREATE TABLE tenants (tenant INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "INSERT INTO tenants (tenant, name) VALUES (0, 'default')",
    """
    CREATE TABLE api_keys (
        key_id TEXT PRIMARY KEY,
        tenant INTEGER NOT NULL,
        payload BLOB NOT NULL,
        checksum BLOB NOT NULL
    ) WITHOUT ROWID
    """,
    "CREATE TABLE server_secrets (name TEXT PRIMARY KEY, secret BLOB NOT NULL) WITHOUT ROWID",
)

# What was spent, in running sums; a tenant without a row in costs_built has them made from its log at the next start.
_V3 = (
    """
    CREATE TABLE costs (
        tenant INTEGER NOT NULL,
        hour INTEGER NOT NULL,
        workflow TEXT NOT NULL,
        task_class INTEGER NOT NULL,
        model INTEGER NOT NULL,
        payload BLOB NOT NULL,
        checksum BLOB NOT NULL,
        PRIMARY KEY (tenant, hour, workflow, task_class, model)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE costs_built (tenant INTEGER PRIMARY KEY)",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_V1, _V2, _V3)
TENANT_STRIDE = 1 << 40  # places in the log of a tenant
SCHEMA_VERSION = len(MIGRATIONS)
_MADE = re.compile(r"\s*CREATE TABLE (\w+)")


def tables_of(version: int) -> frozenset[str]:
    """Return the tables that a file of a schema has."""
    made = (_MADE.match(statement) for step in MIGRATIONS[:version] for statement in step)
    return frozenset(found[1] for found in made if found)
