"""A world in one SQLite file that processes share, and that a kill at any moment leaves whole.

Every turn that changes something is one transaction, begun before anything is read (BEGIN IMMEDIATE), so that turns of
all processes are one sequence. Rows that changed are written, no others; live rows are kept in memory between turns
and read anew only when another process has written, which the world's version tells. Ended rows are fetched by id,
group or label. With a write-ahead log, looking never waits for writing.

What is lost when the machine (not a process) fails: the last turns, never the file (synchronous=NORMAL). Nodes are
processes of the same machine, so they are gone then too.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import cast

from flow_adapters.locks import hold
from flow_core.errors import Misconfigured, NoRoom, Transient
from flow_providers.mock.codec import decode, encode
from flow_providers.mock.rows import Row
from flow_providers.mock.world import AnyRow, World

FORMAT = 1
#: How long, in real seconds, a turn waits for those of others.
BUSY_S = 30.0
_CHUNK = 500
#: SQLite, left alone, goes through all rows of a kind instead.
_INDEX = {"id": "", "grp": "INDEXED BY rows_grp", "label": "INDEXED BY rows_label"}
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS rows (kind TEXT NOT NULL, id TEXT NOT NULL, grp TEXT NOT NULL, label TEXT NOT NULL,"
    " live INTEGER NOT NULL, number INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (kind, id)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS rows_live ON rows (live) WHERE live = 1",
    "CREATE INDEX IF NOT EXISTS rows_grp ON rows (grp, kind)",
    "CREATE INDEX IF NOT EXISTS rows_label ON rows (label, kind)",
    "CREATE TABLE IF NOT EXISTS version (id INTEGER PRIMARY KEY CHECK (id = 0), number INTEGER NOT NULL)",
    "INSERT OR IGNORE INTO version VALUES (0, 0)",
)


class SqliteStore:
    """Implements `store.Store` over a file; threads of this process take turns."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._world: World | None = None
        self._version = -1
        self._depth = 0
        self._lock = threading.RLock()

    @contextmanager
    def reading(self) -> Iterator[World]:
        """See `Store.reading`. Inside another turn, it is that turn's world."""
        with self._lock:
            if self._depth and self._world is not None:
                yield self._world
                return
            with self._turn("BEGIN") as connection:
                yield self._fresh(connection)

    @contextmanager
    def writing(self) -> Iterator[World]:
        """See `Store.writing`. Turns that write can't be nested."""
        with self._lock, self._turn("BEGIN IMMEDIATE") as connection:
            world = self._fresh(connection)
            try:
                yield world
                self._write(connection, world)
            except BaseException:
                self._world = None
                raise

    def wipe(self) -> None:
        """See `Store.wipe`."""
        with self._lock, self._turn("BEGIN IMMEDIATE") as connection:
            connection.execute("DELETE FROM rows")
            connection.execute("UPDATE version SET number = number + 1")
            self._world = None

    def close(self) -> None:
        """Let the file go; the next turn opens it again."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._world, self._version = None, None, -1

    @contextmanager
    def _turn(self, begin: str) -> Iterator[sqlite3.Connection]:
        if self._depth:
            raise RuntimeError("a turn was begun inside another")
        with self._translated():
            connection = self._open()
            connection.execute(begin)
        self._depth += 1
        try:
            with self._translated():
                yield connection
                connection.execute("COMMIT")
        except BaseException:
            self._world = None
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        finally:
            self._depth -= 1

    def _fresh(self, connection: sqlite3.Connection) -> World:
        version = connection.execute("SELECT number FROM version").fetchone()[0]
        if self._world is None or version != self._version:
            live = connection.execute(
                "SELECT kind, doc FROM rows WHERE live = 1 ORDER BY kind, number"
            )
            self._world = World(
                _Rows(connection), ((kind, decode(kind, doc)) for kind, doc in live)
            )
            self._version = version
        return self._world

    def _write(self, connection: sqlite3.Connection, world: World) -> None:
        if not world.is_dirty:
            return
        world.note_drawn()
        for table in world.tables():
            if not table.touched:
                continue
            gone = [(table.kind, row_id) for row_id, row in table.touched.items() if row is None]
            connection.executemany("DELETE FROM rows WHERE kind = ? AND id = ?", gone)
            connection.executemany(
                "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)",
                (_stored(table.kind, row) for row in table.touched.values() if row is not None),
            )
            table.touched.clear()
        connection.execute("UPDATE version SET number = number + 1")
        self._version += 1

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as exc:
                raise Misconfigured(
                    f"the pretend cloud can't be kept in {self._path.parent}: {exc.strerror}"
                ) from exc
            connection = sqlite3.connect(
                self._path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
            if connection.execute("PRAGMA user_version").fetchone()[0] != FORMAT:
                _prepare(connection, self._path)
            connection.execute("PRAGMA synchronous = NORMAL")
            self._connection = connection
        return self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise _trouble(exc, self._path) from exc


class _Rows:
    """Implements `world.Archive` in the turn that is under way."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def find(self, kind: str, ids: Iterable[str]) -> Sequence[AnyRow]:
        return self._chosen(kind, "id", ids)

    def grouped(self, kind: str, groups: Iterable[str]) -> Sequence[AnyRow]:
        return self._chosen(kind, "grp", groups)

    def labelled(self, kind: str, label: str) -> Sequence[AnyRow]:
        return self._chosen(kind, "label", [label])

    def all(self, kind: str) -> Sequence[AnyRow]:
        return self._read(kind, "SELECT doc FROM rows WHERE kind = ?", [kind])

    def _chosen(self, kind: str, column: str, values: Iterable[str]) -> list[AnyRow]:
        found: list[AnyRow] = []
        rest = iter(dict.fromkeys(values))
        while chunk := list(islice(rest, _CHUNK)):
            marks = ",".join("?" * len(chunk))
            query = (
                f"SELECT doc FROM rows {_INDEX[column]} WHERE kind = ? AND {column} IN ({marks})"  # noqa: S608
            )
            found += self._read(kind, query, [kind, *chunk])
        return found

    def _read(self, kind: str, query: str, values: Sequence[str]) -> list[AnyRow]:
        rows = (decode(kind, doc) for (doc,) in self._connection.execute(query, values))
        return [cast("AnyRow", row) for row in rows]


def _stored(kind: str, row: Row) -> tuple[str, str, str, str, bool, int, str]:
    each = cast("AnyRow", row)
    return (kind, each.id, each.group, each.label, each.is_live, each.number, encode(kind, row))


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables of a new file, once however many processes try at the same moment."""
    # Turning the log on takes the file alone, for which SQLite doesn't wait; so one process at a time.
    with hold(path.with_name(f"{path.name}.lock"), patience_s=BUSY_S):
        connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("BEGIN IMMEDIATE")
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found not in (0, FORMAT):
        connection.execute("ROLLBACK")
        raise Misconfigured(
            f"{path} was written by another version of Flow (format {found}, this one reads {FORMAT})",
            hint=f"move {path.parent} away to begin a new world",
        )
    for statement in _SCHEMA:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {FORMAT}")
    connection.execute("COMMIT")


def _trouble(exc: sqlite3.Error, path: Path) -> Exception:
    words = str(exc)
    if "full" in words:
        return NoRoom(
            f"the disk that holds {path} is full", hint="make room, then repeat the command"
        )
    if "locked" in words or "busy" in words:
        return Transient(f"other processes kept {path} busy for {BUSY_S:g} s", hint="try again")
    return Misconfigured(
        f"{path}, the pretend cloud's world, can't be used: {words}",
        hint=f"move {path.parent} away to begin a new world",
    )
