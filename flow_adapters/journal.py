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
from typing import Any

from flow_adapters.file_systems import MOUNTS
from flow_adapters.journal_file import JournalFile
from flow_adapters.journal_rows import (
    changed,
    event_of,
    event_text,
    record_of,
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
#: Where nothing changes that is searched by: then no index has to be written.
_REWRITE = "UPDATE records SET spec = :spec, rest = :rest, stamp = :stamp WHERE token = :token"
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
        #: By token: the row's stamp, the task's text, and the record that they are.
        self._kept: dict[str, tuple[int, str, TaskRecord]] = {}

    def add(self, record: TaskRecord) -> None:
        """See `Journal.add`.

        Raises:
            InvalidRequest: the record holds something that could not be read back.
        """
        spec, rest = spec_text(record.spec), rest_text(record)
        if record_of(rest, spec_of(spec)) != record:
            raise InvalidRequest({"spec": "holds something that the journal could not read back"})
        with self._file.writing() as database:
            _refuse_taken(database, record)
            if database.execute(_ONE, (record.token,)).fetchone():
                raise NameTaken(f"a task has the token {record.token!r}", hint="draw another token")
            database.execute(_INSERT, _columns(record, spec, rest))

    def update(self, token: str, **changes: object) -> TaskRecord:
        """See `Journal.update`. With the first outcome its exit code, reason and time stay, too."""
        with self._file.writing() as database:
            row = database.execute(_ONE, (_bindable(token),)).fetchone()
            if row is None:
                raise NotFound(f"no task has the token {token!r}")
            before, spec = self._record(database, row), self._kept[token][1]
            record = changed(before, _allowed(before, changes))
            if record == before:
                return before
            if record.spec is not before.spec:
                spec = spec_text(record.spec)
            columns = _columns(record, spec, rest_text(record))
            if _place(record) == _place(before):
                database.execute(_REWRITE, columns)
            else:
                _refuse_taken(database, record)
                database.execute(_UPDATE, columns)
            self._keep(columns["stamp"], spec, record)
        return record

    def together(self) -> AbstractContextManager[None]:
        """See `Journal.together`."""
        return self._together()

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
        with self._file.reading() as database:
            (version,) = database.execute("PRAGMA data_version").fetchone()
            seen, count = self._foreign or (version, 0)
            self._foreign = (version, count + (version != seen))
            return self._file.writes + self._foreign[1]

    def close(self) -> None:
        """Close the file; the next use opens it again. What was in memory is gone."""
        self._file.close()

    @contextmanager
    def _together(self) -> Iterator[None]:
        with self._file.writing():
            yield

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
        known = [kept[2] for row in rows if (kept := self._kept.get(row[0])) and kept[0] == row[1]]
        if len(known) == len(rows):
            return known
        with self._file.standing() as database:
            rows = database.execute(query, values).fetchall()
            return [self._record(database, row) for row in rows]

    def _record(self, database: Connection, row: tuple[str, int]) -> TaskRecord:
        """Return the record of a row that `database` holds at this moment."""
        token, stamp = row
        kept = self._kept.get(token)
        if kept is not None and kept[0] == stamp:
            return kept[2]
        spec_line, rest = database.execute(_TEXTS, (token,)).fetchone()
        try:
            spec = kept[2].spec if kept and kept[1] == spec_line else spec_of(spec_line)
            record = record_of(rest, spec)
        except (ValueError, KeyError, TypeError, FlowError) as error:
            raise Misconfigured(
                f"{self._file.path}: the record of {token} can't be read: {error}",
                hint="a newer Flow may have written it; update this one",
            ) from error
        self._keep(stamp, spec_line, record)
        return record

    def _keep(self, stamp: int, spec: str, record: TaskRecord) -> None:
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        self._kept[record.token] = (stamp or _NEVER, spec, record)


def _place(record: TaskRecord) -> tuple[str, str, bool]:
    """Return what must be one of a kind among live records."""
    return record.provider, record.name, record.is_live


def _columns(record: TaskRecord, spec: str, rest: str) -> dict[str, Any]:
    return {
        "token": record.token,
        "provider": record.provider,
        "name": record.name,
        "live": record.is_live,
        "grouped": record.group,
        "group_token": record.group_token,
        "spec": spec,
        "rest": rest,
        "stamp": int.from_bytes(os.urandom(8), "big") >> 1 or 1,
    }


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
