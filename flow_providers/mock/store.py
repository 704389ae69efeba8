"""Where a world is kept: in memory, or (see `sqlite_store`) in a file that processes share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, cast

from flow_providers.mock.rows import Row
from flow_providers.mock.world import AnyRow, World


class Store(Protocol):
    """Hands out the world, one turn at a time."""

    def reading(self) -> AbstractContextManager[World]:
        """While entered, the world stands as it is; nothing may be put into it. Inside a turn, it is that turn's."""
        ...

    def writing(self) -> AbstractContextManager[World]:
        """While entered, nobody else writes; what was put is kept as a whole on leaving, or not at all on an error."""
        ...

    def wipe(self) -> None:
        """Forget everything; the next turn finds a world that was not born."""
        ...


class MemoryStore:
    """A world that lasts as long as its process."""

    def __init__(self) -> None:
        self._archive = _Shelves()
        self._world = World(self._archive)

    @contextmanager
    def reading(self) -> Iterator[World]:
        """See `Store.reading`."""
        yield self._world

    @contextmanager
    def writing(self) -> Iterator[World]:
        """See `Store.writing`; an error is the caller's own, so nothing is taken back here."""
        yield self._world
        self._world.note_drawn()
        for table in self._world.tables():
            if table.touched:
                for row_id, row in table.touched.items():
                    self._archive.keep(table.kind, row_id, row)
                table.touched.clear()

    def wipe(self) -> None:
        """See `Store.wipe`."""
        self._archive = _Shelves()
        self._world = World(self._archive)


class _Shelves:
    """Every row that isn't live, in memory; grouped and labelled rows are looked up, not searched for."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, AnyRow]] = {}
        self._groups: dict[tuple[str, str], dict[str, AnyRow]] = {}
        self._labels: dict[tuple[str, str], dict[str, AnyRow]] = {}

    def keep(self, kind: str, row_id: str, row: Row | None) -> None:
        before = self._rows.setdefault(kind, {}).pop(row_id, None)
        if before is not None:
            self._groups[kind, before.group].pop(row_id, None)
            self._labels[kind, before.label].pop(row_id, None)
        if row is None or row.is_live:
            return
        kept = cast("AnyRow", row)
        self._rows[kind][row_id] = kept
        self._groups.setdefault((kind, kept.group), {})[row_id] = kept
        self._labels.setdefault((kind, kept.label), {})[row_id] = kept

    def find(self, kind: str, ids: Iterable[str]) -> Sequence[AnyRow]:
        rows = self._rows.get(kind, {})
        return [rows[each] for each in ids if each in rows]

    def grouped(self, kind: str, groups: Iterable[str]) -> Sequence[AnyRow]:
        return [row for group in groups for row in self._groups.get((kind, group), {}).values()]

    def labelled(self, kind: str, label: str) -> Sequence[AnyRow]:
        return list(self._labels.get((kind, label), {}).values())

    def all(self, kind: str) -> Sequence[AnyRow]:
        return list(self._rows.get(kind, {}).values())
