"""The world in hand: tables of rows, the live ones in memory, the others in an archive.

A table notes what was put into it, so that a store writes only that. Rows that ended in this turn stay at hand until
the store has them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Generic, Protocol, TypeVar, cast

from attrs import evolve

from flow_providers.mock.estate import events
from flow_providers.mock.estate.order import NodeOrder
from flow_providers.mock.estate.rows import (
    ApiKeyRow,
    ClusterRow,
    EventRow,
    LateRow,
    PersonRow,
    ProjectRow,
    ReplyRow,
    ReservationRow,
    ScriptRow,
    SshKeyRow,
    TroubleRow,
)
from flow_providers.mock.rows import (
    BidRow,
    EffectRow,
    FaultRow,
    LaunchRow,
    MarketRow,
    Meta,
    NodeRow,
    PriceRow,
    QuotaRow,
    Row,
    SegmentRow,
    StretchRow,
    VolumeRow,
)

_ID_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_ID_LENGTH = 16


class AnyRow(Protocol):
    """A row of any kind."""

    @property
    def id(self) -> str:
        """Unique within its kind."""
        ...

    @property
    def number(self) -> int:
        """Its order among its fellows."""
        ...

    @property
    def group(self) -> str:
        """See `Row.group`."""
        ...

    @property
    def label(self) -> str:
        """See `Row.label`."""
        ...

    @property
    def is_live(self) -> bool:
        """See `Row.is_live`."""
        ...

    @property
    def due_at(self) -> datetime | None:
        """See `Row.due_at`."""
        ...


R = TypeVar("R", bound=AnyRow)


class Archive(Protocol):
    """Where rows are that need not be at hand; answers hold rows of the asked kind, in order of their number."""

    def find(self, kind: str, ids: Iterable[str]) -> Sequence[AnyRow]:
        """Return those of `ids` that are there."""
        ...

    def grouped(self, kind: str, groups: Iterable[str]) -> Sequence[AnyRow]:
        """Return the rows of these groups."""
        ...

    def labelled(self, kind: str, label: str) -> Sequence[AnyRow]:
        """Return the rows with this label."""
        ...

    def all(self, kind: str) -> Sequence[AnyRow]:
        """Return every row of a kind."""
        ...


class Table(Generic[R]):
    """All rows of one kind."""

    def __init__(
        self,
        kind: str,
        archive: Archive,
        rows: Iterable[R] = (),
        *,
        on_put: Callable[[R | None, R], None] | None = None,
    ) -> None:
        self.kind = kind
        self.touched: dict[str, R | None] = {}
        self.due: dict[str, datetime] = {}
        self._archive = archive
        self._on_put = on_put
        #: All that ended, once somebody asked for all there ever was.
        self._past: dict[str, R] | None = None
        self._live: dict[str, R] = {}
        self._groups: dict[str, dict[str, None]] = {}
        self._labels: dict[str, dict[str, None]] = {}
        for row in rows:
            self._hold(row)

    def put(self, row: R) -> R:
        """Take in a new row, or the new form of one."""
        before = self._live.get(row.id)
        self.touched[row.id] = row
        if before is not None:
            self._let_go(row.id)
        if row.is_live:
            self._hold(row)
            if self._past is not None:
                self._past.pop(row.id, None)
        elif self._past is not None:
            self._past[row.id] = row
        if self._on_put is not None:
            self._on_put(before, row)
        return row

    def drop(self, row_id: str) -> None:
        """Forget a row for good."""
        self.touched[row_id] = None
        self._let_go(row_id)
        if self._past is not None:
            self._past.pop(row_id, None)

    def live(self) -> list[R]:
        """Return the live rows, in order of their number."""
        return sorted(self._live.values(), key=_number)

    def count(self) -> int:
        """Return how many rows are live."""
        return len(self._live)

    def in_group(self, group: str) -> list[R]:
        """Return the live rows of one group, in order of their number."""
        return sorted(self.each_of(group), key=_number)

    def each_of(self, group: str) -> Iterator[R]:
        """Yield the live rows of one group, in no order: for sums."""
        return map(self._live.__getitem__, self._groups.get(group, ()))

    def named(self, label: str) -> list[R]:
        """Return the live rows with one label, in order of their number."""
        return sorted((self._live[each] for each in self._labels.get(label, ())), key=_number)

    def get(self, row_id: str) -> R | None:
        """Return a row, live or archived."""
        return self._live.get(row_id) or next(iter(self.find([row_id])), None)

    def held(self, row_id: str) -> R | None:
        """Return a row if it is live."""
        return self._live.get(row_id)

    def find(self, ids: Iterable[str]) -> list[R]:
        """Return those of `ids` that there are, live or archived."""
        wanted = dict.fromkeys(ids)
        near = {each: self._live[each] for each in wanted if each in self._live}
        missing = [each for each in wanted if each not in near and each not in self.touched]
        past: Iterable[AnyRow] = ()
        if missing and self._past is not None:
            past = [self._past[each] for each in missing if each in self._past]
        elif missing:
            past = self._archive.find(self.kind, missing)
        return self._merged(past, set(wanted), near.values())

    def of(self, groups: Iterable[str]) -> list[R]:
        """Return the rows of these groups, live and archived."""
        wanted = set(groups)
        near = [self._live[each] for group in wanted for each in self._groups.get(group, ())]
        return self._merged(self._archive.grouped(self.kind, wanted), None, near, groups=wanted)

    def labelled(self, label: str) -> list[R]:
        """Return the rows with this label, live and archived."""
        return self._merged(
            self._archive.labelled(self.kind, label), None, self.named(label), label=label
        )

    def all(self) -> list[R]:
        """Return every row there ever was."""
        return sorted((*self._live.values(), *self.recalled().values()), key=_number)

    def recalled(self) -> Mapping[str, R]:
        """Return every row that has ended, by id; they are read once, and from then on kept at hand."""
        if self._past is None:
            archived = (cast("R", row) for row in self._archive.all(self.kind))
            known = (row for row in self.touched.values() if row is not None and not row.is_live)
            near = self._live.keys() | self.touched.keys()
            self._past = {row.id: row for row in archived if row.id not in near}
            self._past.update({row.id: row for row in known})
        return self._past

    def _merged(
        self,
        archived: Iterable[AnyRow],
        ids: set[str] | None,
        near: Iterable[R],
        *,
        groups: set[str] | None = None,
        label: str | None = None,
    ) -> list[R]:
        found = {row.id: cast("R", row) for row in archived if row.id not in self.touched}
        found.update({row.id: row for row in near})
        for row_id, row in self.touched.items():
            asked = (ids is None or row_id in ids) and row is not None
            if row is None or not asked:
                continue
            if (groups is None or row.group in groups) and (label is None or row.label == label):
                found[row_id] = row
        return sorted(found.values(), key=_number)

    def _hold(self, row: R) -> None:
        self._live[row.id] = row
        if row.group:
            self._groups.setdefault(row.group, {})[row.id] = None
        if row.label:
            self._labels.setdefault(row.label, {})[row.id] = None
        if row.due_at is not None:
            self.due[row.id] = row.due_at

    def _let_go(self, row_id: str) -> None:
        before = self._live.pop(row_id, None)
        if before is None:
            return
        self.due.pop(row_id, None)
        for index, key in ((self._groups, before.group), (self._labels, before.label)):
            if key and key in index:
                index[key].pop(row_id, None)
                if not index[key]:
                    del index[key]


_number = attrgetter("number")


class World:
    """All tables of one world."""

    def __init__(self, archive: Archive, rows: Iterable[tuple[str, Row]] = ()) -> None:
        held: dict[str, list[Row]] = {}
        for kind, row in rows:
            held.setdefault(kind, []).append(row)
        #: The time up to which everything has happened in this turn.
        self.at: datetime | None = None
        self.node_order = NodeOrder()
        self.metas: Table[Meta] = Table("meta", archive, cast("list[Meta]", held.get("meta", [])))
        self.markets: Table[MarketRow] = Table(
            "market", archive, cast("list[MarketRow]", held.get("market", []))
        )
        self.bids: Table[BidRow] = Table(
            "bid",
            archive,
            cast("list[BidRow]", held.get("bid", [])),
            on_put=lambda before, row: events.bid_changed(self, before, row),
        )
        self.nodes: Table[NodeRow] = Table(
            "node",
            archive,
            cast("list[NodeRow]", held.get("node", [])),
            on_put=lambda before, row: events.node_changed(self, before, row),
        )
        self.stretches: Table[StretchRow] = Table(
            "stretch", archive, cast("list[StretchRow]", held.get("stretch", []))
        )
        self.launches: Table[LaunchRow] = Table("launch", archive)
        self.prices: Table[PriceRow] = Table("price", archive)
        self.volumes: Table[VolumeRow] = Table(
            "volume", archive, cast("list[VolumeRow]", held.get("volume", []))
        )
        self.effects: Table[EffectRow] = Table(
            "effect", archive, cast("list[EffectRow]", held.get("effect", []))
        )
        self.faults: Table[FaultRow] = Table(
            "fault", archive, cast("list[FaultRow]", held.get("fault", []))
        )
        self.quotas: Table[QuotaRow] = Table(
            "quota", archive, cast("list[QuotaRow]", held.get("quota", []))
        )

        self.segments: Table[SegmentRow] = Table("segment", archive)

        self.projects: Table[ProjectRow] = Table(
            "project", archive, cast("list[ProjectRow]", held.get("project", []))
        )
        self.people: Table[PersonRow] = Table(
            "person", archive, cast("list[PersonRow]", held.get("person", []))
        )
        self.api_keys: Table[ApiKeyRow] = Table(
            "api-key", archive, cast("list[ApiKeyRow]", held.get("api-key", []))
        )
        self.ssh_keys: Table[SshKeyRow] = Table(
            "ssh-key", archive, cast("list[SshKeyRow]", held.get("ssh-key", []))
        )
        self.scripts: Table[ScriptRow] = Table(
            "script", archive, cast("list[ScriptRow]", held.get("script", []))
        )
        self.clusters: Table[ClusterRow] = Table(
            "cluster", archive, cast("list[ClusterRow]", held.get("cluster", []))
        )
        self.reservations: Table[ReservationRow] = Table(
            "reservation", archive, cast("list[ReservationRow]", held.get("reservation", []))
        )
        self.troubles: Table[TroubleRow] = Table(
            "trouble", archive, cast("list[TroubleRow]", held.get("trouble", []))
        )
        self.late: Table[LateRow] = Table(
            "late", archive, cast("list[LateRow]", held.get("late", []))
        )
        self.events: Table[EventRow] = Table("event", archive)
        self.replies: Table[ReplyRow] = Table("reply", archive)
        self._tables = [each for each in vars(self).values() if isinstance(each, Table)]
        self._drawn = self.meta.drawn if self.is_born else 0

    @property
    def meta(self) -> Meta:
        """The world's own row; only a born world has one."""
        found = self.metas.held("world")
        if found is None:
            raise LookupError("this world was not born yet")
        return found

    @property
    def is_born(self) -> bool:
        """Whether there is anything here."""
        return self.metas.held("world") is not None

    @property
    def is_dirty(self) -> bool:
        """Whether anything was put or dropped since the store last took it."""
        return any(table.touched for table in self.tables())

    def tables(self) -> Iterator[Table[Row]]:  # type: ignore[type-var]
        """Yield every table."""
        yield from self._tables

    def next_due(self) -> datetime | None:
        """Return when the world next changes by itself."""
        times = (
            min(table.due.values())
            for table in (self.markets, self.bids, self.nodes, self.reservations)
            if table.due
        )
        return min(times, default=None)

    def draw(self) -> int:
        """Return the next number of a sequence without gaps."""
        self._drawn += 1
        return self._drawn

    def note_drawn(self) -> None:
        """Have the world's own row say how many numbers were drawn, before a store takes the rows of a turn."""
        if self.is_born and self.meta.drawn != self._drawn:
            self.metas.put(evolve(self.meta, drawn=self._drawn))

    def new_id(self, prefix: str) -> str:
        """Draw an id in the service's form: the prefix, then 16 letters and digits."""
        return wire_id(prefix, self.meta.seed, self.draw())


def wire_id(prefix: str, seed: str, number: int) -> str:
    """Return the id that `seed` gives to `number`; the same for the same."""
    rng = random.Random(f"{seed}/{number}")
    return prefix + "_" + "".join(rng.choices(_ID_LETTERS, k=_ID_LENGTH))
