"""Bids: the one thing that costs money, and the table of what may become of them.

A bid is an offer to hold `quantity` instances for at most `limit` per instance-hour each. The market looks at all
open bids now and then; a bid gets everything or nothing. A bid that holds nodes can be outbid: it is given notice
(PREEMPTING), may still be rescued inside the notice, and otherwise loses its nodes and waits as OPEN with its boot
disks kept. Only TERMINATED is final. Source: contract section 3, states from the service's documentation, some arrows
inferred; `RELOCATING` appears only on a bid's status call there, so adapters may never report it.

What we don't like: PAUSED says nothing about whether the nodes have stopped yet; the allocation tells.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import field, frozen

from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape
from flow_core.domain.task_parts import Mount
from flow_core.domain.volume import Attachment


class BidState(str, enum.Enum):
    """Where a bid is in its life, whatever the provider's words for it."""

    OPEN = "open"
    ALLOCATED = "allocated"
    PREEMPTING = "preempting"
    RELOCATING = "relocating"
    PAUSED = "paused"
    TERMINATED = "terminated"

    @property
    def is_live(self) -> bool:
        """Whether it may hold or come to hold nodes, and so may cost money."""
        return self is not BidState.TERMINATED


#: state -> the states it may be seen in next. A poll may miss states in between, so readers check reachability.
BID_TRANSITIONS: dict[BidState, frozenset[BidState]] = {
    BidState.OPEN: frozenset({BidState.ALLOCATED, BidState.PAUSED, BidState.TERMINATED}),
    BidState.ALLOCATED: frozenset(
        {BidState.PREEMPTING, BidState.RELOCATING, BidState.PAUSED, BidState.TERMINATED}
    ),
    BidState.PREEMPTING: frozenset(
        {BidState.OPEN, BidState.ALLOCATED, BidState.PAUSED, BidState.TERMINATED}
    ),
    BidState.RELOCATING: frozenset(
        {BidState.ALLOCATED, BidState.OPEN, BidState.PAUSED, BidState.TERMINATED}
    ),
    BidState.PAUSED: frozenset({BidState.OPEN, BidState.TERMINATED}),
    BidState.TERMINATED: frozenset(),
}


@frozen(kw_only=True)
class Quote:
    """What a market says about one instance type in one region, and when it said so.

    `price` and `floor` are per instance-hour; the floor is the least limit the market accepts. `available` is how
    many instances could be granted now, `capacity` how many there are; None where the provider doesn't tell.
    `cpus` and `memory_gb` describe one instance where known.
    """

    type_id: str
    shape: InstanceShape
    region: str
    price: Price
    floor: Price
    as_of: datetime
    available: int | None = None
    capacity: int | None = None
    source: str = ""


@frozen(kw_only=True)
class Launch:
    """What a bid's nodes start with. `script` is the node script; it holds no secret.

    Providers whose nodes are machines run the script at first boot; those that make containers also use `image`, and
    learn from `mounts` (folders of this machine and buckets) and `environment` what the containers must be able to do.
    `options` holds what only this provider understands, by its own short names (`Limits.options`). `max_run_time` is
    the longest that the task may hold nodes, for providers that can end a bid themselves should nobody else do.
    """

    script: str
    image: str | None = None
    keys: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    mounts: tuple[Mount, ...] = ()
    environment: str | None = None
    options: Mapping[str, str] = field(factory=dict, hash=False)
    max_run_time: timedelta | None = None


@frozen(kw_only=True)
class BidRequest:
    """A bid to be placed. `name` is the wire name, `<name>-<token>`, and is unique.

    `reservation` is the id of the reservation that a task runs on instead; then nothing is bid or sent.
    """

    name: str
    type_id: str
    shape: InstanceShape
    region: str
    quantity: int
    limit: Price
    launch: Launch
    reservation: str = ""


@frozen(kw_only=True)
class Bid:
    """A bid as its provider records it. `name` is the wire name.

    `script` is what its nodes start with, where it was read by itself and the provider tells; lists leave it out.
    `ran_out` says that the provider ended it because its time was up.
    """

    id: str
    name: str
    state: BidState
    shape: InstanceShape
    region: str
    quantity: int
    limit: Price
    created_at: datetime
    ended_at: datetime | None = None
    owner: str | None = None
    type_id: str = ""
    detail: str = field(default="")
    ran_out: bool = False
    script: str = field(default="", eq=False, repr=False)

    @property
    def is_live(self) -> bool:
        """Whether it may still cost money."""
        return self.state.is_live


def may_follow(seen: BidState, now: BidState) -> bool:
    """Whether `now` can be seen after `seen` at some later look, through any number of unseen states."""
    if seen is now:
        return True
    reached: set[BidState] = set()
    pending = [seen]
    while pending:
        for state in BID_TRANSITIONS[pending.pop()] - reached:
            reached.add(state)
            pending.append(state)
    return now in reached
