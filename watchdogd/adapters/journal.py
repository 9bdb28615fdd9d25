"""What survives a crash, in SQLite. Implements ``ports.Journal``.

One table holds intents and charges as one row each, so that they are on disk together or not at all.
The file is opened at the first call, and again after a failure, so that a disk that has room again is
used again. Every failure is an ``OSError``.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeVar

from watchdogd.adapters.outbox import OUTBOX_TABLES
from watchdogd.core.crashes import Start, observes_until
from watchdogd.core.model import (
    Charge,
    Env,
    Intent,
    Memory,
)
from watchdogd.core.resume import Hook
from watchdogd.core.sight import Generation
from watchdogd.core.words import Remedy, Result
from watchdogd.eventlog.codec import decode, encode
from watchdogd.ports import Kept

BUSY_SECONDS = 2.0
KEPT_SECONDS = 86_400.0
_KEPT_ROWS = 10_000
_VERSION = 2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS intents (
  seq INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  target TEXT NOT NULL,
  remedy TEXT NOT NULL,
  incident TEXT NOT NULL,
  cause TEXT NOT NULL,
  wall REAL NOT NULL,
  boot REAL NOT NULL,
  boot_id TEXT NOT NULL,
  result TEXT
)
"""
_MEMORIES = """
CREATE TABLE IF NOT EXISTS memories (
  target TEXT PRIMARY KEY,
  boot_id TEXT NOT NULL,
  ahead REAL NOT NULL,
  data TEXT NOT NULL
)
"""
"""``ahead``: by how much the wall clock was ahead of the boot clock when it was written; what another boot
needs to understand its times. Within the same boot they stand, whatever was done to the wall clock."""
_STARTS = """
CREATE TABLE IF NOT EXISTS starts (
  seq INTEGER PRIMARY KEY,
  boot REAL NOT NULL,
  boot_id TEXT NOT NULL,
  asked INTEGER NOT NULL,
  observes_until REAL NOT NULL
)
"""
_HOOKS = """
CREATE TABLE IF NOT EXISTS hooks (
  seq INTEGER PRIMARY KEY,
  target TEXT NOT NULL,
  run TEXT NOT NULL,
  key TEXT NOT NULL,
  wall REAL NOT NULL,
  result TEXT,
  UNIQUE (target, run)
)
"""
"""``run``: the run of the runtime that a resume hook was for, once and for all."""
_LAST_HOOK = "SELECT run FROM hooks WHERE target = ? ORDER BY seq DESC LIMIT 1"
_BEGIN_HOOK = "INSERT INTO hooks (target, run, key, wall) VALUES (?, ?, ?, ?)"
_END_HOOK = "UPDATE hooks SET result = ? WHERE target = ? AND key = ?"
_UNDO_HOOK = "DELETE FROM hooks WHERE target = ? AND key = ? AND result IS NULL"
_PRUNE_HOOKS = "DELETE FROM hooks WHERE seq <= (SELECT max(seq) FROM hooks) - ?"
_EARLIER = "SELECT boot, boot_id, asked, observes_until FROM starts ORDER BY seq"
_BEGIN = "INSERT INTO starts (boot, boot_id, asked, observes_until) VALUES (?, ?, 0, ?)"
_ASKED = "UPDATE starts SET asked = 1 WHERE seq = ?"
_FORGET = "DELETE FROM starts WHERE seq <= (SELECT max(seq) FROM starts) - ?"
_KEPT_STARTS = 20
_INSERT = (
    "INSERT INTO intents (key, target, remedy, incident, cause, wall, boot, boot_id)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_SELECT = (
    "SELECT remedy, key, wall, boot, boot_id, result FROM intents WHERE target = ? ORDER BY seq"
)
_OPEN = "SELECT remedy FROM intents WHERE target = ? AND result IS NULL ORDER BY seq"
_CLOSE = "UPDATE intents SET result = ? WHERE target = ? AND result IS NULL"
_RECALL = "SELECT boot_id, ahead, data FROM memories WHERE target = ?"
_REMEMBER = "INSERT OR REPLACE INTO memories (target, boot_id, ahead, data) VALUES (?, ?, ?, ?)"
_FINISH = "UPDATE intents SET result = ? WHERE target = ? AND key = ?"
_PRUNE = "DELETE FROM intents WHERE seq <= (SELECT max(seq) FROM intents) - ?"

_T = TypeVar("_T")
_Rows = list[tuple[Any, ...]]


class SqliteJournal:
    """The journal of one state folder. Safe to call from any thread, one call at a time."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._start: int | None = None

    def began(self, now: Env) -> float | None:
        """As the port says. Raises ``OSError``."""

        def begin(connection: sqlite3.Connection) -> tuple[int | None, float]:
            until = observes_until(_starts(connection.execute(_EARLIER).fetchall()), now)
            row = connection.execute(_BEGIN, (now.boot, now.boot_id, until)).lastrowid
            connection.execute(_FORGET, (_KEPT_STARTS,))
            return row, until

        self._start, until = self.transaction(begin)
        return until - now.boot if until else None

    def asked(self) -> None:
        """As the port says. Raises ``OSError``."""
        if self._start is not None:
            row = (self._start,)
            self.transaction(lambda connection: connection.execute(_ASKED, row).rowcount)

    def load(self, target: str, now: Env) -> Kept:
        """As the port says. A remedy that did nothing is no charge.

        Raises ``OSError`` if the file is unreadable, corrupt, unwritable or made by a newer version.
        """

        def read(connection: sqlite3.Connection) -> tuple[_Rows, _Rows, _Rows, _Rows]:
            connection.execute(_PRUNE, (_KEPT_ROWS,))
            connection.execute(_PRUNE_HOOKS, (_KEPT_ROWS,))
            rows = connection.execute(_SELECT, (target,)).fetchall()
            left = connection.execute(_OPEN, (target,)).fetchall()
            connection.execute(_CLOSE, (Result.UNKNOWN.value, target))
            hooks = connection.execute(_LAST_HOOK, (target,)).fetchall()
            return rows, left, hooks, connection.execute(_RECALL, (target,)).fetchall()

        rows, left, hooks, memories = self.transaction(read)
        charges = tuple(one for one in _charges(rows) if _age(one, now) < KEPT_SECONDS)
        return Kept(
            charges=charges, memory=_memory(memories, now), open=_open(left), hook=_hook(hooks)
        )

    def remember(self, target: str, memory: Memory, now: Env) -> None:
        """As the port says. Raises ``OSError``."""
        row = (target, now.boot_id, now.wall - now.boot, json.dumps(encode(Memory, memory)))
        self.transaction(lambda connection: connection.execute(_REMEMBER, row).rowcount)

    def intend(self, target: str, intent: Intent, charge: Charge) -> None:
        """Keep intent and charge. Raises ``FileExistsError`` if the key was ever used, else ``OSError``."""
        row = (
            charge.key,
            target,
            charge.remedy.value,
            intent.incident,
            intent.cause.value if intent.cause is not None else "",
            charge.wall,
            charge.boot,
            charge.boot_id,
        )
        self.transaction(lambda connection: connection.execute(_INSERT, row).rowcount)

    def finish(self, target: str, key: str, result: Result) -> None:
        """Note how it ended. An unknown key (a harmless remedy's) changes nothing."""
        row = (result.value, target, key)
        self.transaction(lambda connection: connection.execute(_FINISH, row).rowcount)

    def intend_hook(self, target: str, hook: Hook, now: Env) -> None:
        """As the port says. Raises ``OSError``."""
        row = (target, _run(hook.generation), hook.key, now.wall)
        self.transaction(lambda connection: connection.execute(_BEGIN_HOOK, row).rowcount)

    def finish_hook(self, target: str, key: str, result: Result) -> None:
        """As the port says. Raises ``OSError``."""
        if result is Result.NOTHING:
            undo = (target, key)
            self.transaction(lambda connection: connection.execute(_UNDO_HOOK, undo).rowcount)
        else:
            row = (result.value, target, key)
            self.transaction(lambda connection: connection.execute(_END_HOOK, row).rowcount)

    def close(self) -> None:
        """Idempotent; never raises."""
        with self._lock:
            self._drop()

    def transaction(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """What ``work`` does, whole or not at all; durable when this returns. Raises ``OSError``."""
        with self._lock:
            try:
                connection = self._open()
                connection.execute("BEGIN IMMEDIATE")
                result = work(connection)
                connection.execute("COMMIT")
            except sqlite3.IntegrityError as error:
                self._drop()
                raise FileExistsError(
                    errno.EEXIST, "this key is in the journal already", self._path
                ) from error
            except sqlite3.Error as error:
                self._drop()
                raise OSError(errno.EIO, f"journal: {error}", self._path) from error
            return result

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = _connect(self._path)
        return self._connection

    def _drop(self) -> None:
        """Close, which also rolls back. The next call opens afresh."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def _connect(path: str) -> sqlite3.Connection:
    """An open, checked journal; the file is made with mode 0600 (SQLite's side files take its mode)."""
    os.makedirs(os.path.dirname(path) or ".", mode=0o700, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection)
    except (sqlite3.Error, OSError):
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    (check,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if check != "ok":
        raise sqlite3.DatabaseError(f"damaged: {check}")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise sqlite3.DatabaseError(f"made by a newer watchdogd (version {version})")
    connection.execute(_SCHEMA)
    connection.execute(_MEMORIES)
    connection.execute(_HOOKS)
    for table in (_STARTS, *OUTBOX_TABLES):
        connection.execute(table)  # an older watchdogd does not mind them: no other version
    if version != _VERSION:
        connection.execute(f"PRAGMA user_version = {_VERSION}")


def _starts(rows: _Rows) -> list[Start]:
    try:
        return [
            Start(
                boot=float(boot),
                boot_id=str(boot_id),
                asked=bool(asked),
                observes_until=float(until),
            )
            for boot, boot_id, asked, until in rows
        ]
    except (TypeError, ValueError) as error:
        raise OSError(errno.EIO, f"journal: a row cannot be read: {error}") from error


def _charges(rows: Iterable[tuple[str, ...]]) -> Iterable[Charge]:
    for remedy, key, wall, boot, boot_id, result in rows:
        if result == Result.NOTHING.value:
            continue
        try:
            charge = Charge(
                remedy=Remedy(remedy),
                key=str(key),
                wall=float(wall),
                boot=float(boot),
                boot_id=str(boot_id),
            )
        except (TypeError, ValueError) as error:
            raise OSError(errno.EIO, f"journal: a row cannot be read: {error}") from error
        yield charge


def _open(rows: _Rows) -> tuple[Remedy, ...]:
    try:
        return tuple(Remedy(remedy) for (remedy,) in rows)
    except ValueError as error:
        raise OSError(errno.EIO, f"journal: a row cannot be read: {error}") from error


def _run(generation: Generation) -> str:
    """The run alone: the server's boot adds nothing to it, and is not always known."""
    plain = replace(generation, boot_id=None)
    return json.dumps(encode(Generation, plain), sort_keys=True)


def _hook(rows: _Rows) -> Generation | None:
    try:
        return decode(Generation, json.loads(rows[0][0])) if rows else None
    except (TypeError, ValueError) as error:
        raise OSError(errno.EIO, f"journal: a row cannot be read: {error}") from error


def _memory(rows: _Rows, now: Env) -> Memory:
    """What is remembered, its times moved to the present boot clock."""
    if not rows:
        return Memory()
    try:
        same_boot = rows[0][0] == now.boot_id
        ahead, data = float(rows[0][1]), json.loads(rows[0][2])
        memory: Memory = decode(Memory, data)
    except (TypeError, ValueError) as error:
        raise OSError(errno.EIO, f"journal: what was remembered cannot be read: {error}") from error
    moved = 0.0 if same_boot else ahead - (now.wall - now.boot)
    incident = memory.incident
    if incident is not None:
        again = incident.usable_again_boot
        incident = replace(
            incident,
            first_failure_boot=incident.first_failure_boot + moved,
            usable_again_boot=None if again is None else again + moved,
        )
    ooms = tuple((life, at + moved) for life, at in memory.ooms)
    return replace(memory, incident=incident, ooms=ooms)


def _age(charge: Charge, now: Env) -> float:
    """Seconds since the charge; one that lies in the future is fresh, so that it never vanishes."""
    if charge.boot_id == now.boot_id:
        return max(0.0, now.boot - charge.boot)
    return max(0.0, now.wall - charge.wall)
