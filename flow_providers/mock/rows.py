"""What the pretend cloud remembers, as plain frozen rows; a world is nothing but these.

Each row tells a table where it belongs: `group` and `label` are what it is looked up by besides its id, `number`
orders it among its fellows, `is_live` says whether it must be at hand, and `due_at` when it next changes by itself.
"""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from flow_core.domain.allocation import NodeState
from flow_core.domain.bid import BidState
from flow_core.domain.money import Price
from flow_core.domain.volume import Attachment, Interface


class Row:
    """What every row answers; rows override what they have an answer to."""

    @property
    def group(self) -> str:
        """The row it belongs to, by id."""
        return ""

    @property
    def label(self) -> str:
        """A name that several rows may share."""
        return ""

    @property
    def is_live(self) -> bool:
        """Whether it is kept at hand rather than fetched when asked for."""
        return True

    @property
    def due_at(self) -> datetime | None:
        """When it next changes by itself."""
        return None


@frozen(kw_only=True)
class Meta(Row):
    """The world itself. `anchor` is its time at `real_anchor`; without the latter, its time stands still."""

    id: str = "world"
    number: int = 0
    format: int = 1
    seed: str
    me: str
    user: str
    project: str
    born_at: datetime
    anchor: datetime
    real_anchor: datetime | None = None
    seen_real: datetime | None = None
    rate: float = 1.0
    #: The latest `SegmentRow`.
    segment: str = ""
    #: Drawn so far; the next id is a function of the seed and this.
    drawn: int = 0
    #: How long a new bid stays out of listings, by a fault.
    lag_s: float = 0.0


@frozen(kw_only=True)
class MarketRow(Row):
    """One instance type in one region.

    `crowd` is what any number of other bidders would pay now, since `crowd_since`: whatever they can get at that
    price they take. `taken` instances are held by others who never leave. `forced` overrides the crowd's price until
    `forced_until`, or for good. `price` is what the last round made of it all.
    """

    id: str
    number: int
    type_id: str
    type_name: str
    region: str
    capacity: int
    taken: int
    floor: Price
    base: Price
    crowd: Price
    crowd_since: datetime
    forced: Price | None = None
    forced_since: datetime | None = None
    forced_until: datetime | None = None
    price: Price
    lowest_allocated: Price | None = None
    clears_at: datetime | None = None
    moves_at: datetime | None = None

    @property
    def due_at(self) -> datetime | None:
        """The next round, move of the crowd, or end of a forced price."""
        times = [at for at in (self.clears_at, self.moves_at, self.forced_until) if at is not None]
        return min(times, default=None)

    @property
    def crowd_price(self) -> Price:
        """What the crowd pays now, forced or by itself, at least the floor."""
        return max(self.forced if self.forced is not None else self.crowd, self.floor)

    @property
    def crowd_price_since(self) -> datetime:
        """When the crowd came to that price."""
        return (
            self.forced_since
            if self.forced is not None and self.forced_since is not None
            else self.crowd_since
        )


@frozen(kw_only=True)
class BidRow(Row):
    """One bid. `place` orders it among equal limits; `volumes` are ids of what its nodes mount."""

    id: str
    number: int
    name: str
    market: str
    owner: str
    project: str
    state: BidState
    quantity: int
    limit: Price
    place: int
    placed_at: datetime
    created_at: datetime
    ended_at: datetime | None = None
    notice_ends: datetime | None = None
    volumes: tuple[str, ...] = ()
    port: int = 0
    detail: str = ""

    @property
    def group(self) -> str:
        """Its market."""
        return self.market

    @property
    def label(self) -> str:
        """Its name on the wire."""
        return self.name

    @property
    def is_live(self) -> bool:
        """Whether it may hold nodes."""
        return self.state.is_live

    @property
    def due_at(self) -> datetime | None:
        """The end of its notice."""
        return self.notice_ends

    @property
    def is_holding(self) -> bool:
        """Whether it occupies instances now."""
        return self.state in (BidState.ALLOCATED, BidState.PREEMPTING, BidState.RELOCATING)


@frozen(kw_only=True)
class NodeRow(Row):
    """One node of a bid, or of a reservation: `bid` is the id of either.

    `changes_at` is when a boot ends, or when a lost node is booted again.
    """

    id: str
    number: int
    bid: str
    rank: int
    state: NodeState
    since: datetime
    is_booted: bool = False
    changes_at: datetime | None = None
    created_at: datetime | None = None
    #: A STOPPED node's bid was paused, not outbid.
    is_paused: bool = False
    #: A LEAVING node goes to another host and comes back there.
    is_moving: bool = False

    @property
    def group(self) -> str:
        """Its bid."""
        return self.bid

    @property
    def is_live(self) -> bool:
        """Whether it can come back."""
        return self.state is not NodeState.GONE

    @property
    def due_at(self) -> datetime | None:
        """The end of a boot or an outage."""
        return self.changes_at


@frozen(kw_only=True)
class StretchRow(Row):
    """A stretch of paid time: `nodes` instances of a bid at one price; at hand while the bid `is_kept`."""

    id: str
    number: int
    bid: str
    nodes: int
    price: Price
    since: datetime
    until: datetime | None = None
    is_kept: bool = True

    @property
    def group(self) -> str:
        """Its bid."""
        return self.bid

    @property
    def is_live(self) -> bool:
        """Whether its bid lives."""
        return self.is_kept


@frozen(kw_only=True)
class LaunchRow(Row):
    """What a bid's nodes start with; fetched when they boot."""

    id: str
    number: int = 0
    script: str
    image: str | None = None
    keys: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    #: What the service's API takes besides, and gives back.
    memory_gb: int | None = None
    cluster: str | None = None

    @property
    def is_live(self) -> bool:
        """Never: scripts are long."""
        return False


@frozen(kw_only=True)
class PriceRow(Row):
    """What a market's round made the price from `at` on."""

    id: str
    number: int
    market: str
    at: datetime
    price: Price

    @property
    def group(self) -> str:
        """Its market."""
        return self.market

    @property
    def is_live(self) -> bool:
        """Never: history is fetched when asked for."""
        return False


@frozen(kw_only=True)
class VolumeRow(Row):
    """A volume."""

    id: str
    number: int
    name: str
    region: str
    capacity_gb: int
    interface: Interface
    created_at: datetime
    deleted_at: datetime | None = None
    #: Empty for the project that the world was born with.
    project: str = ""

    @property
    def label(self) -> str:
        """Its name."""
        return self.name

    @property
    def is_live(self) -> bool:
        """Whether it exists."""
        return self.deleted_at is None


@frozen(kw_only=True)
class EffectRow(Row):
    """Something the host of the nodes has still to be told, in order of `number`; repeating it is harmless."""

    id: str
    number: int
    what: str
    target: str
    at: datetime
    deadline: datetime | None = None


@frozen(kw_only=True)
class FaultRow(Row):
    """A fault that waits for a call of `method`; `kind` is 'before', 'after' or 'quota'."""

    id: str
    number: int
    method: str
    kind: str
    times: int = 1

    @property
    def label(self) -> str:
        """The method it waits for."""
        return self.method


@frozen(kw_only=True)
class SegmentRow(Row):
    """From real time `number` (unix microseconds) on, the world's time was `anchor` and passed at `rate`."""

    id: str
    number: int
    anchor: datetime
    rate: float

    @property
    def is_live(self) -> bool:
        """Never: fetched by those who tell real times."""
        return False


@frozen(kw_only=True)
class QuotaRow(Row):
    """How many instances of one type name a project may hold; `id` is the type's name."""

    id: str
    number: int = 0
    most: int = field(default=0)


KINDS: dict[str, type[Row]] = {
    "meta": Meta,
    "market": MarketRow,
    "bid": BidRow,
    "node": NodeRow,
    "stretch": StretchRow,
    "launch": LaunchRow,
    "price": PriceRow,
    "volume": VolumeRow,
    "effect": EffectRow,
    "fault": FaultRow,
    "quota": QuotaRow,
    "segment": SegmentRow,
}
