"""The journal on sqlite: what this machine intended, on disk before it is done.

Write-ahead logging with synchronous=FULL: a method that returned has written, and readers never wait for writers. On
a file system across a network, where processes can't share the log's memory, a rollback journal does the same,
slower. Every write is one immediate transaction, so two processes can't both find a name free.

Columns are what is searched by: token, provider, name, whether the record is live, and the order in which records
were made and ended. Everything else is text that `journal_rows` reads.

Records that were read are kept as values, and each write gives its row a new stamp, drawn by chance: a look at a
thousand tasks fetches a thousand stamps, and the texts of those that have changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any, NamedTuple

from flow_adapters.file_systems import MOUNTS
from flow_adapters.journal_file import JournalFile
from flow_adapters.journal_rows import (
    Rest,
    changed,
    event_of,
    event_text,
    record_of,
    rest_changed,
    rest_of,
    rest_read,
    rest_text,
    spec_of,
    spec_text,
)
from flow_adapters.locks import hold
from flow_core.domain.record import TaskEvent, TaskRecord
from flow_core.domain.spelling import nearest
from flow_core.errors import FlowError, InvalidRequest, Misconfigured, NameTaken, NotFound

IN_MEMORY = ":memory:"
#: How many records are kept as values, so that a watcher doesn't read the same text at every look.
_MOST_KEPT = 16_384
#: Rows that an older Flow wrote have the stamp 0, and are read each time: no row has this one.
_NEVER = -1
#: What an outcome brings with it; none of it changes once the outcome is set.
_SETTLED = ("outcome", "exit_code", "reason", "ended_at")

_INSERT = """INSERT INTO records (token, provider, name, live, grouped, group_token, ended, spec, rest, stamp)
    VALUES (:token, :provider, :name, :live, :grouped, :group_token,
        CASE WHEN :live THEN NULL ELSE (SELECT coalesce(max(ended), 0) + 1 FROM records) END,
        :spec, :rest, :stamp)"""
_UPDATE = """UPDATE records
    SET provider = :provider, name = :name, live = :live, spec = :spec, rest = :rest, stamp = :stamp,
        ended = CASE WHEN :live THEN NULL
            ELSE coalesce(ended, (SELECT coalesce(max(ended), 0) + 1 FROM records)) END
    WHERE token = :token"""
#: Where nothing changes that is searched by: then no index has to be written, nor the task's own text.
_REWRITE = "UPDATE records SET rest = ?, stamp = ? WHERE token = ?"
_ONE = "SELECT token, stamp FROM records WHERE token = ?"
_TEXTS = "SELECT spec, rest FROM records WHERE token = ?"
_FIND = """SELECT token, stamp FROM records
    WHERE (token = :name OR name = :name) AND (:provider IS NULL OR provider = :provider)
    ORDER BY token = :name DESC, live DESC, ended DESC, seq DESC LIMIT 1"""
_LIVE = """SELECT token, stamp FROM records
    WHERE live AND (:provider IS NULL OR provider = :provider) ORDER BY seq"""
_RECENT = """SELECT token, stamp FROM records WHERE seq IN (
        SELECT seq FROM records WHERE live AND (:provider IS NULL OR provider = :provider)
        UNION ALL
        SELECT seq FROM (
            SELECT seq FROM records
            WHERE ended IS NOT NULL AND (:provider IS NULL OR provider = :provider)
            ORDER BY ended DESC LIMIT :limit))
    ORDER BY seq DESC"""
_MEMBERS = """SELECT token, stamp FROM records WHERE group_token = (
        SELECT group_token FROM records
        WHERE grouped <> '' AND (grouped = :group OR group_token = :group)
            AND (:provider IS NULL OR provider = :provider)
        ORDER BY seq DESC LIMIT 1)
    ORDER BY seq"""
_NAMES = """SELECT name FROM records WHERE substr(name, 1, length(:prefix)) = :prefix
    GROUP BY name ORDER BY max(live) DESC, max(seq) DESC"""
_NAMESAKE = "SELECT 1 FROM records WHERE live AND provider = ? AND name = ? AND token <> ?"
_LOG = "INSERT INTO events (token, event) VALUES (?, ?)"
_EVENTS = "SELECT event FROM events WHERE token = ? ORDER BY seq"


class _Kept(NamedTuple):
    """A row that was read or written: its stamp, the task's text, and the record in its plain form and as a value."""

    stamp: int
    spec: str
    rest: Rest
    record: TaskRecord


class SqliteJournal:
    """Implements `ports.journal.Journal` in one file, or in memory for one process's use.

    Nothing is opened before the first use. Threads may share one journal; a process made by `fork` opens its own
    connection. `tell` hears once, when the file is made, of a file system that slows it down.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        tell: Callable[[str], None] = lambda text: None,
        mounts: Path = MOUNTS,
    ) -> None:
        place = None if str(path) == IN_MEMORY else Path(path)
        self._file = JournalFile(place, tell=tell, mounts=mounts)
        self._foreign: tuple[int, int] | None = None
        self._claims: set[tuple[str, str]] = set()
        self._kept: dict[str, _Kept] = {}

    def add(self, record: TaskRecord) -> None:
        """See `Journal.add`.

        Raises:
            InvalidRequest: the record holds something that could not be read back.
        """
        spec, rest = spec_text(record.spec), rest_text(rest_of(record))
        plain = rest_read(rest)
        back = record_of(plain, spec_of(spec))
        if back != record:
            raise InvalidRequest({"spec": "holds something that the journal could not read back"})
        stamp = _new_stamp()
        with self._file.writing() as database:
            _refuse_taken(database, record)
            if database.execute(_ONE, (record.token,)).fetchone():
                raise NameTaken(f"a task has the token {record.token!r}", hint="draw another token")
            database.execute(_INSERT, _columns(record, spec, rest, stamp))
            self._keep(_Kept(stamp, spec, plain, back))

    def update(self, token: str, **changes: object) -> TaskRecord:
        """See `Journal.update`. With the first outcome its exit code, reason and time stay, too."""
        with self._file.writing() as database:
            row = database.execute(_ONE, (_bindable(token),)).fetchone()
            if row is None:
                raise NotFound(f"no task has the token {token!r}")
            _, spec, plain, before = self._read(database, row)
            news = {
                name: value
                for name, value in _allowed(before, changes).items()
                if getattr(before, name) != value
            }
            if not news:
                return before
            record = changed(before, news)
            plain, stamp = rest_changed(plain, news), _new_stamp()
            rest = rest_text(plain)
            if "spec" not in news and _place(record) == _place(before):
                database.execute(_REWRITE, (rest, stamp, token))
            else:
                spec = spec_text(record.spec) if "spec" in news else spec
                _refuse_taken(database, record)
                database.execute(_UPDATE, _columns(record, spec, rest, stamp))
            self._keep(_Kept(stamp, spec, plain, record))
        return record

    def together(self) -> AbstractContextManager[object]:
        """See `Journal.together`."""
        return self._file.writing()

    def find(self, name: str, *, provider: str | None = None) -> TaskRecord:
        """See `Journal.find`."""
        rows = self._rows(_FIND, name=_bindable(name), provider=provider)
        if rows:
            return rows[0]
        near = nearest(name, self.names())
        raise NotFound(
            f"no task is named {name!r}" + (f" on {provider}" if provider else ""),
            hint=f"nearest is {near!r}" if near else "`flow status` lists the tasks there are",
        )

    def live(self, *, provider: str | None = None) -> Sequence[TaskRecord]:
        """See `Journal.live`."""
        return self._rows(_LIVE, provider=provider)

    def recent(self, limit: int, *, provider: str | None = None) -> Sequence[TaskRecord]:
        """See `Journal.recent`; newest is what was made last."""
        return self._rows(_RECENT, provider=provider, limit=max(0, limit))

    def members(self, group: str, *, provider: str | None = None) -> Sequence[TaskRecord]:
        """See `Journal.members`."""
        return self._rows(_MEMBERS, group=_bindable(group), provider=provider)

    def names(self, prefix: str = "") -> Sequence[str]:
        """See `Journal.names`; among live and among ended ones, the newest come first."""
        with self._file.reading() as database:
            rows = database.execute(_NAMES, {"prefix": _bindable(prefix)}).fetchall()
        return [name for (name,) in rows]

    def log(self, token: str, event: TaskEvent) -> None:
        """See `Journal.log`."""
        with self._file.writing() as database:
            database.execute(_LOG, (token, event_text(event)))

    def events(self, token: str) -> Sequence[TaskEvent]:
        """See `Journal.events`; empty for a token that nobody has."""
        with self._file.reading() as database:
            rows = database.execute(_EVENTS, (_bindable(token),)).fetchall()
        return [event_of(text) for (text,) in rows]

    def claim(self, token: str, what: str) -> AbstractContextManager[bool]:
        """See `Journal.claim`; two claims in one process exclude each other, too."""
        path = self._file.path
        if path is None:
            return self._claim_in_memory(token, what)
        return hold(path.with_name(f"{path.name}.claims") / f"{token}.{what}")

    def changes(self) -> int:
        """See `Journal.changes`; the number means something to this object only."""
        if self._file.path is None:
            return self._file.writes
        with self._file.reading() as database:
            (version,) = database.execute("PRAGMA data_version").fetchone()
            seen, count = self._foreign or (version, 0)
            self._foreign = (version, count + (version != seen))
            return self._file.writes + self._foreign[1]

    def close(self) -> None:
        """Close the file; the next use opens it again. What was in memory is gone."""
        self._file.close()

    @contextmanager
    def _claim_in_memory(self, token: str, what: str) -> Iterator[bool]:
        claim = (token, what)
        with self._file.reading():
            mine = claim not in self._claims
            self._claims.add(claim)
        try:
            yield mine
        finally:
            if mine:
                self._claims.discard(claim)

    def _rows(self, query: str, **values: object) -> list[TaskRecord]:
        with self._file.reading() as database:
            rows = database.execute(query, values).fetchall()
        known = [
            kept.record
            for token, stamp in rows
            if (kept := self._kept.get(token)) and kept.stamp == stamp
        ]
        if len(known) == len(rows):
            return known
        with self._file.standing() as database:
            rows = database.execute(query, values).fetchall()
            return [self._read(database, row).record for row in rows]

    def _read(self, database: Connection, row: tuple[str, int]) -> _Kept:
        """Return what is in a row that `database` holds at this moment."""
        token, stamp = row
        kept = self._kept.get(token)
        if kept is not None and kept.stamp == stamp:
            return kept
        spec_line, rest = database.execute(_TEXTS, (token,)).fetchone()
        try:
            spec = kept.record.spec if kept and kept.spec == spec_line else spec_of(spec_line)
            plain = rest_read(rest)
            record = record_of(plain, spec)
        except (ValueError, KeyError, TypeError, FlowError) as error:
            raise Misconfigured(
                f"{self._file.path}: the record of {token} can't be read: {error}",
                hint="a newer Flow may have written it; update this one",
            ) from error
        return self._keep(_Kept(stamp or _NEVER, spec_line, plain, record))

    def _keep(self, kept: _Kept) -> _Kept:
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[kept.record.token] = kept
        return kept


def _place(record: TaskRecord) -> tuple[str, str, bool]:
    """Return what must be one of a kind among live records."""
    return record.provider, record.name, record.is_live


def _columns(record: TaskRecord, spec: str, rest: str, stamp: int) -> dict[str, Any]:
    return {
        "token": record.token,
        "provider": record.provider,
        "name": record.name,
        "live": record.is_live,
        "grouped": record.group,
        "group_token": record.group_token,
        "spec": spec,
        "rest": rest,
        "stamp": stamp,
    }


def _new_stamp() -> int:
    return int.from_bytes(os.urandom(8), "big") >> 1 or 1


def _refuse_taken(database: Connection, record: TaskRecord) -> None:
    ours = (record.provider, record.name, record.token)
    if record.is_live and database.execute(_NAMESAKE, ours).fetchone():
        raise NameTaken(
            f"a live task is named {record.name!r} already",
            hint=f"choose another name, or end it with `flow cancel {record.name}`",
        )


def _allowed(before: TaskRecord, changes: dict[str, object]) -> dict[str, Any]:
    """Return what may change: nothing of an outcome that is settled, and nothing that was released."""
    fixed: set[str] = set()
    if before.has_ended and "outcome" in changes:
        fixed.update(_SETTLED)
    if before.released:
        fixed.add("released")
    return {name: value for name, value in changes.items() if name not in fixed}


def _bindable(text: str) -> str:
    """Return what sqlite can compare; bytes of an argument that are no text match nothing."""
    return text.encode("utf-8", "replace").decode("utf-8")
