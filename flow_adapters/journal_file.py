"""The journal's sqlite file: opening it, bringing it up to date, transactions, and what its troubles mean.

A file is made for its owner alone (0600), because a task's variables may be private. Only the first to open it, or
to find it out of date, changes its form, under a lock of its own.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from flow_adapters.file_systems import network_type
from flow_adapters.locks import hold
from flow_core.errors import FlowError, Misconfigured, NoRoom

#: How long a write waits for other processes' writes, in milliseconds.
BUSY_MS = 30_000
#: How long to wait for another process that is making the file, in seconds.
MAKING_S = 30.0
#: What must be free on a disk that is not full; sqlite's own files need a few pages.
ROOM_BYTES = 1 << 20

#: What brings a file from each form to the next; never changed once released, only added to.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE records (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            token TEXT NOT NULL UNIQUE,
            provider TEXT NOT NULL,
            name TEXT NOT NULL,
            live INTEGER NOT NULL,
            ended INTEGER,
            spec TEXT NOT NULL,
            rest TEXT NOT NULL
        )""",
        "CREATE UNIQUE INDEX live_names ON records (provider, name) WHERE live",
        "CREATE INDEX live_records ON records (seq) WHERE live",
        "CREATE INDEX ended_records ON records (ended)",
        "CREATE INDEX record_names ON records (name)",
        """CREATE TABLE events (
            seq INTEGER PRIMARY KEY AUTOINCREMENT,
            token TEXT NOT NULL,
            event TEXT NOT NULL
        )""",
        "CREATE INDEX record_events ON events (token, seq)",
    ),
    (
        "ALTER TABLE records ADD COLUMN grouped TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE records ADD COLUMN group_token TEXT NOT NULL DEFAULT ''",
        "CREATE INDEX record_groups ON records (grouped) WHERE grouped <> ''",
        "CREATE INDEX record_group_tokens ON records (group_token) WHERE group_token <> ''",
    ),
    ("ALTER TABLE records ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0",),
)


class JournalFile:
    """One sqlite file, opened at its first use; `path` None is memory. Threads take turns."""

    def __init__(self, path: Path | None, *, tell: Callable[[str], None], mounts: Path) -> None:
        self.path = path
        self.writes = 0
        self._tell = tell
        self._mounts = mounts
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._connection: sqlite3.Connection | None = None
        self._close: Callable[[], object] = _nothing

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """While entered, the connection is this thread's; each statement sees the newest writes."""
        return _Turn(self, "")

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        """While entered, no other process writes; on disk when left, or undone when left by an error.

        Entered within itself, it is one with the outer.
        """
        return _Turn(self, "BEGIN IMMEDIATE")

    def standing(self) -> AbstractContextManager[sqlite3.Connection]:
        """While entered, all statements see the same: what was written when the first of them ran."""
        return _Turn(self, "BEGIN")

    def close(self) -> None:
        """Close the file; the next use opens it again."""
        with self.turn():
            self._close()
            self._connection = None

    def turn(self) -> threading.RLock:
        """Return what this process's threads take turns by."""
        if self._pid != os.getpid():  # a fork: its parent's connection and lock are not its own
            self._pid = os.getpid()
            self._lock = threading.RLock()
            self._connection = None
        return self._lock

    def opened(self) -> sqlite3.Connection:
        """Return the connection, opened if need be; for who has the turn."""
        if self._connection is None:
            self._connection = connection = self._open()
            self._close = weakref.finalize(self, _close_in, os.getpid(), connection, self._lock)
        return self._connection

    def _open(self) -> sqlite3.Connection:
        if self.path is None:
            connection = self._connect(":memory:")
            migrate(connection)
            return connection
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Only a file that nobody has open yet may be opened past sqlite: closing it drops this process's locks.
            with suppress(FileExistsError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        connection = self._connect(str(self.path))
        try:
            self._bring_up_to_date(connection, self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, name: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            name, timeout=BUSY_MS / 1000, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def _bring_up_to_date(self, connection: sqlite3.Connection, path: Path) -> None:
        network = network_type(path.parent, mounts=self._mounts)
        wanted = "delete" if network else "wal"
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise Misconfigured(
                f"{path} was written by a newer Flow",
                hint="update this one, or set FLOW_STATE_DIR to another folder",
            )
        if mode == wanted and version == len(MIGRATIONS):
            return
        with hold(path.with_name(f"{path.name}.making"), patience_s=MAKING_S):
            connection.execute(f"PRAGMA journal_mode = {wanted}")
            migrate(connection)
        if network and version == 0:
            self._tell(
                f"{path} lies on a network file system ({network}); the journal is safe there, and slower."
                " FLOW_STATE_DIR can name a folder on a disk of this machine."
            )

    def meaning(self, error: sqlite3.DatabaseError) -> FlowError:
        """Return what an error of sqlite's means to a user."""
        text = str(error)
        if "disk is full" in text or ("I/O error" in text and self._is_full()):
            return NoRoom(
                f"the disk is full: {self.path} can't be written", hint="make room and repeat"
            )
        if "locked" in text or "busy" in text:
            return Misconfigured(
                f"{self.path} has been locked by another process for {BUSY_MS // 1000} s",
                hint="end that process, or wait for it, and repeat",
            )
        if "not a database" in text or "malformed" in text or "file is encrypted" in text:
            return Misconfigured(
                f"{self.path} is damaged ({text})",
                hint="move it away and repeat: a new one is begun, and live bids show up in `flow status --all`",
            )
        return self._unusable(text)

    def _is_full(self) -> bool:
        if self.path is None:
            return False
        try:
            return shutil.disk_usage(self.path.parent).free < ROOM_BYTES
        except OSError:
            return False

    def _unusable(self, why: str) -> Misconfigured:
        return Misconfigured(
            f"the journal {self.path} can't be used: {why}",
            hint="give yourself the right to write there, or set FLOW_STATE_DIR to a folder where you have it",
        )


class _Turn:
    """A thread's turn with the file: a transaction from `begin` to its end, or a part of the one it lies in.

    A class of its own, for a watcher takes ten turns a task, and a generator would be half of what they cost.
    """

    __slots__ = ("_before", "_begin", "_database", "_file", "_lock")

    def __init__(self, file: JournalFile, begin: str) -> None:
        self._file = file
        self._begin = begin

    def __enter__(self) -> sqlite3.Connection:
        self._lock = self._file.turn()
        self._lock.acquire()
        try:
            self._database = database = self._file.opened()
            if database.in_transaction:
                self._begin = ""
            elif self._begin:
                database.execute(self._begin)
            self._before = database.total_changes
        except BaseException as error:
            self._lock.release()
            if isinstance(error, sqlite3.DatabaseError):
                raise self._file.meaning(error) from error
            raise
        return database

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        try:
            if self._begin:
                self._end(is_well=error is None)
            if isinstance(error, sqlite3.DatabaseError):
                raise self._file.meaning(error) from error
        except sqlite3.DatabaseError as refused:
            raise self._file.meaning(refused) from refused
        finally:
            self._lock.release()

    def _end(self, *, is_well: bool) -> None:
        database = self._database
        try:
            if is_well:
                database.execute("COMMIT")
        finally:
            if database.in_transaction:
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
        self._file.writes += is_well and database.total_changes != self._before


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a file of any older form to the present one, in one transaction."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY)")
        for number in range(_version(connection), len(MIGRATIONS)):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute("INSERT INTO migrations VALUES (?)", (number + 1,))
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    has_table = connection.execute(
        "SELECT 1 FROM sqlite_master WHERE name = 'migrations'"
    ).fetchone()
    if not has_table:
        return 0
    (number,) = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
    return int(number)


def _close_in(pid: int, connection: sqlite3.Connection, lock: threading.RLock) -> None:
    """Close it in the process that opened it; in a fork, closing would tear at the parent's locks.

    At the interpreter's end a thread may still be at it; then sqlite must not lose it, and nothing is lost unclosed.
    """
    if os.getpid() == pid and lock.acquire(blocking=False):
        try:
            connection.close()
        finally:
            lock.release()


def _nothing() -> None:
    """Do nothing."""
