"""Messages that survive the agent, in the journal's file. Implements ``ports.Outbox``.

Every destination has its own place in one row of lines, so that one that is down holds up no other. A
destination is named by a hash: its address holds secrets, and does not get into the file.
"""

from __future__ import annotations

import errno
import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from watchdogd.core.notices import Told
from watchdogd.eventlog.codec import decode, encode
from watchdogd.ports import Left, Posted, Reached

OUTBOX_TABLES = (
    """
CREATE TABLE IF NOT EXISTS outbox (
  seq INTEGER PRIMARY KEY,
  key TEXT NOT NULL UNIQUE,
  wall REAL NOT NULL,
  incident TEXT NOT NULL,
  news TEXT NOT NULL,
  text TEXT NOT NULL
)
""",
    "CREATE TABLE IF NOT EXISTS told (target TEXT PRIMARY KEY, data TEXT NOT NULL)",
    """
CREATE TABLE IF NOT EXISTS reached (
  destination TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  missed INTEGER NOT NULL
)
""",
)
_POST = (
    "INSERT OR IGNORE INTO outbox (seq, key, wall, incident, news, text) VALUES (?, ?, ?, ?, ?, ?)"
)
_TELL = "INSERT OR REPLACE INTO told (target, data) VALUES (?, ?)"
_PRUNE = "DELETE FROM outbox WHERE seq < ?"
_REACH = "INSERT INTO reached (destination, seq, missed) VALUES (?, ?, ?)"
_LINES = "SELECT seq, key, wall, incident, news, text FROM outbox ORDER BY seq"
_T = TypeVar("_T")


class Transactions(Protocol):
    """``SqliteJournal``."""

    def transaction(self, work: Callable[[sqlite3.Connection], _T]) -> _T: ...


class JournalOutbox:
    """The outbox in one journal. Safe to call from any thread."""

    def __init__(self, journal: Transactions) -> None:
        self._journal = journal

    def left(self) -> Left:
        """As the port says. Raises ``OSError``."""
        return self._journal.transaction(_left)

    def post(self, told: Mapping[str, Told], lines: Sequence[Posted], oldest: int) -> None:
        """As the port says. Raises ``OSError``."""
        rows = [(one.seq, one.key, one.wall, one.incident, one.news, one.text) for one in lines]
        named = [(target, json.dumps(encode(Told, one))) for target, one in told.items()]

        def post(connection: sqlite3.Connection) -> None:
            connection.executemany(_TELL, named)
            connection.executemany(_POST, rows)
            connection.execute(_PRUNE, (oldest,))

        self._journal.transaction(post)

    def reach(self, reached: Mapping[str, Reached]) -> None:
        """As the port says. Raises ``OSError``."""
        rows = [(name, one.seq, one.missed) for name, one in reached.items()]

        def reach(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM reached")
            connection.executemany(_REACH, rows)

        self._journal.transaction(reach)


def _left(connection: sqlite3.Connection) -> Left:
    told = connection.execute("SELECT target, data FROM told").fetchall()
    lines = connection.execute(_LINES).fetchall()
    reached = connection.execute("SELECT destination, seq, missed FROM reached").fetchall()
    try:
        return Left(
            told={str(name): decode(Told, json.loads(data)) for name, data in told},
            lines=tuple(
                Posted(
                    seq=int(seq), key=key, wall=float(wall), incident=incident, news=news, text=text
                )
                for seq, key, wall, incident, news, text in lines
            ),
            reached={
                str(name): Reached(seq=int(seq), missed=int(missed))
                for name, seq, missed in reached
            },
        )
    except (TypeError, ValueError) as error:
        raise OSError(errno.EIO, f"journal: the outbox cannot be read: {error}") from error
