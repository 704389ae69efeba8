"""Instances with whoever holds them: a bid or a reservation, seen as one thing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import overload

from attrs import frozen

from flow_core.domain.bid import BidState
from flow_providers.mock.codec import micros
from flow_providers.mock.estate.events import status_of
from flow_providers.mock.estate.rows import ReservationRow
from flow_providers.mock.http.calls import Call
from flow_providers.mock.http.messages import Json, Refused
from flow_providers.mock.http.paging import Key
from flow_providers.mock.http.wire import when, when_known
from flow_providers.mock.rows import BidRow, NodeRow
from flow_providers.mock.world import Table

Owner = BidRow | ReservationRow


@frozen
class Held:
    """A node, and who holds it."""

    node: NodeRow
    owner: Owner

    @property
    def name(self) -> str:
        """Its holder's name, and its rank; clients find instances by how their names begin."""
        return f"{self.owner.name}-{self.node.rank}"

    @property
    def created_at(self) -> datetime:
        """When it was granted."""
        return self.node.created_at or self.owner.created_at

    @property
    def bid(self) -> str | None:
        """The bid that holds it."""
        return self.owner.id if isinstance(self.owner, BidRow) else None

    @property
    def reservation(self) -> str | None:
        """The reservation that holds it."""
        return None if isinstance(self.owner, BidRow) else self.owner.id

    @property
    def end_time(self) -> datetime | None:
        """When it stops by itself, where that is known: the end of a notice."""
        if isinstance(self.owner, BidRow):
            return self.owner.notice_ends
        return None if self.owner.hidden else self.owner.end

    def by_age(self) -> Key:
        """A place in the order of creation that no other node has."""
        return (micros(self.created_at), self.owner.number, self.node.rank)


class Roll(Sequence[Held]):
    """Every node there ever was, in the order of creation; each is looked up only when somebody looks at it."""

    def __init__(self, call: Call) -> None:
        world = call.world
        self._places = world.node_order.places(world)
        self._nodes = world.nodes
        self._owners: tuple[Table[BidRow], Table[ReservationRow]] = (
            world.bids,
            world.reservations,
        )
        for table in (world.nodes, *self._owners):
            table.recalled()

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Held: ...

    @overload
    def __getitem__(self, place: slice) -> list[Held]: ...

    def __getitem__(self, place: int | slice) -> Held | list[Held]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        node = self._nodes.get(self._places[place][-1])
        bids, reservations = self._owners
        owner = (bids.get(node.bid) or reservations.get(node.bid)) if node is not None else None
        if node is None or owner is None:
            raise LookupError(self._places[place])
        return Held(node, owner)


def held_by(call: Call, owners: Mapping[str, Owner], *, ended: bool = True) -> Iterator[Held]:
    """Yield the nodes of these bids and reservations; those that are gone too, if `ended`."""
    world = call.world
    past = [each for each, owner in owners.items() if ended and not owner.is_live]
    reserved = [each for each, owner in owners.items() if isinstance(owner, ReservationRow)]
    grouped = {*past, *reserved} if ended else set()
    if grouped:
        for node in world.nodes.of(grouped):
            yield Held(node, owners[node.bid])
    for owner_id, owner in owners.items():
        if owner_id not in grouped:
            for node in world.nodes.in_group(owner_id):
                yield Held(node, owner)


def owners_in(
    call: Call, projects: Collection[str], *, bids: bool = True, reservations: bool = True
) -> dict[str, Owner]:
    """Return every bid and reservation of some projects, by id."""
    rows: list[Owner] = []
    if bids:
        rows += [row for row in call.world.bids.all() if row.project in projects]
    if reservations:
        rows += [row for row in call.world.reservations.all() if row.project in projects]
    return {row.id: row for row in rows}


def owners_of(call: Call, ids: Iterable[str], project: str | None = None) -> dict[str, Owner]:
    """Return the bids and reservations with these ids that whoever asks may see, in one project if named."""
    wanted = list(ids)
    rows: list[Owner] = [*call.world.bids.find(wanted), *call.world.reservations.find(wanted)]
    return {
        row.id: row for row in rows if call.may_see(row.project) and project in (None, row.project)
    }


def instance(call: Call, fid: str) -> Held:
    """Return one node that whoever asks may see.

    Raises:
        Refused: 404, when there is none.
    """
    node = call.world.nodes.get(fid)
    owner = owners_of(call, [node.bid]).get(node.bid) if node is not None else None
    if node is None or owner is None:
        raise Refused(404, f"Instance {fid} not found")
    return Held(node, owner)


def document(call: Call, held: Held) -> Json:
    """Write an instance."""
    market = call.world.markets.held(held.owner.market)
    place = call.whereabouts(held.node)
    return {
        "fid": held.node.id,
        "name": held.name,
        "project": held.owner.project,
        "created_at": when(held.created_at),
        "created_by": held.owner.owner,
        "instance_type": market.type_id if market is not None else "",
        "region": market.region if market is not None else None,
        "bid": held.bid,
        "reservation": held.reservation,
        "ssh_destination": place.ssh_destination,
        "private_ip": place.private_ip,
        "status": status_of(held.node),
    }


def status_document(held: Held) -> Json:
    """Write an instance's status; the end of a notice is there while it stands."""
    owner = held.owner
    is_leaving = isinstance(owner, BidRow) and owner.state in (
        BidState.PREEMPTING,
        BidState.RELOCATING,
    )
    is_reserved = isinstance(owner, ReservationRow)
    return {
        "fid": held.node.id,
        "name": held.name,
        "status": status_of(held.node),
        "bid": held.bid,
        "reservation": held.reservation,
        "end_time": when_known(held.end_time) if is_leaving or is_reserved else None,
    }
