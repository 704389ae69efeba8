"""Bids that this machine's journal did not intend: from another machine, or from a journal that was lost.

They are listed with what they cost, and nothing is done to one unless the user names it. Then it is withdrawn, or
adopted: a record is written as if it had been submitted here, and the watcher drives it from then on. What was to run
is read from the node script that the bid starts with, where the provider tells it.

What we don't like: if the machine that placed it lives, two watchers drive one bid. Both want the same, so the one
that comes late finds it done; the user asked for it.
"""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from flow_core.domain.bid import Bid, BidState, Quote
from flow_core.domain.money import Price
from flow_core.domain.names import split_wire_name
from flow_core.domain.record import Step, TaskRecord
from flow_core.domain.script import NodeTask, parse_script
from flow_core.domain.task import TaskSpec
from flow_core.errors import Conflict, InvalidRequest, NotFound
from flow_core.services.placing import note
from flow_core.services.ports import Ports

_HOLDING = frozenset({BidState.ALLOCATED, BidState.PREEMPTING, BidState.RELOCATING})
#: What an adopted bid is said to run where nobody can tell.
UNKNOWN_COMMAND = "sleep infinity"


@frozen(kw_only=True)
class Stray:
    """A live bid that the journal doesn't know, under its submitter's name for it.

    `hourly` is what its instances cost an hour together at the market's price, nothing while it holds none; `at_most`
    is the most that its limit allows. `is_ours` says that our account placed it by Flow.
    """

    name: str
    token: str
    bid: Bid
    hourly: Price
    at_most: Price
    is_ours: bool


class Reconciling:
    """Lists strays, and adopts or withdraws those that the user names."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def strays(self) -> list[Stray]:
        """Return every stray, newest first; may be repeated."""
        ports = self._ports
        known = {record.token for record in ports.journal.live(provider=ports.provider.name)}
        account = ports.provider.account
        found = [
            (split_wire_name(bid.name) or (bid.name, ""), bid)
            for bid in ports.provider.market.bids(live=True)
        ]
        left = [(names, bid) for names, bid in found if names[1] not in known]
        if not left:
            return []
        me = account.me().id if account is not None else None
        quotes = {(each.type_id, each.region): each for each in ports.provider.market.quotes()}
        return [
            Stray(
                name=name,
                token=token,
                bid=bid,
                hourly=_hourly(bid, quotes.get((bid.type_id, bid.region))),
                at_most=bid.limit * bid.quantity,
                is_ours=bool(token) and me in (None, bid.owner),
            )
            for (name, token), bid in left
        ]

    def named(self, names: list[str] | tuple[str, ...]) -> list[Stray]:
        """Return the strays that `names` mean, by name, token, the bid's name or its id, each once.

        Raises:
            NotFound: one means none; the hint says what there is.
            Conflict: one means several, or a bid that isn't ours to touch.
        """
        there = self.strays()
        return list({each.bid.id: each for name in names for each in [_one(name, there)]}.values())

    def adopt(self, stray: Stray) -> TaskRecord:
        """Make a stray a task of this machine, and return its record.

        Raises:
            NameTaken: a live task has its name.
            Conflict: a task with its token has ended here.
        """
        ports = self._ports
        self._refuse_ended(stray)
        bid = ports.provider.market.bid(stray.bid.id)
        node = _read(bid)
        record = TaskRecord(
            token=stray.token,
            name=stray.name,
            provider=ports.provider.name,
            spec=_spec(stray, node),
            created_at=bid.created_at,
            step=Step.PLACED,
            region=bid.region,
            type_id=bid.type_id,
            limit=bid.limit,
            sent_at=bid.created_at,
            bid_id=bid.id,
            began_at=self._began(bid),
            ready_at=ports.provider.clock.now(),
            owner=bid.owner,
            # Memberships are numbered, and the nodes refuse one older than they know. How far the other machine has
            # counted isn't told, so this one goes on from a number that grows faster than any machine delivers.
            membership=int(ports.provider.clock.now().timestamp() // 60),
        )
        ports.watch.ensure()
        ports.journal.add(record)
        why = "its node script tells what it runs" if node else "what it runs is not known"
        note(ports, record.token, f"bid {bid.id} was adopted", why)
        if node is not None and node.wants_delivery:
            text = "the nodes have them already, and keep them but for variables after a preemption"
            note(
                ports,
                record.token,
                "files and variables that another machine sent are not known",
                text,
            )
        ports.watch.ensure()
        return record

    def withdraw(self, stray: Stray) -> None:
        """End a stray's bid and its cost; its nodes go, boot disks too."""
        self._ports.provider.market.withdraw(stray.bid.id)

    def _began(self, bid: Bid) -> datetime | None:
        """Return when its nodes were first granted, as near as can be told."""
        usage = self._ports.provider.usage
        stretches = usage.usage([bid.id])[bid.id] if usage is not None else ()
        if stretches:
            return stretches[0].since
        return bid.created_at if bid.state in _HOLDING else None

    def _refuse_ended(self, stray: Stray) -> None:
        try:
            known = self._ports.journal.find(stray.token)
        except NotFound:
            return
        raise Conflict(
            f"{stray.name!r} has ended here, though its bid {stray.bid.id} lives",
            hint=f"withdraw it: `flow reconcile {stray.bid.id} --withdraw`; "
            f"`flow status {known.token}` shows its history",
        )


def _one(name: str, there: list[Stray]) -> Stray:
    found = [each for each in there if name in (each.bid.id, each.bid.name)] or [
        each for each in there if name in (each.name, each.token)
    ]
    if not found:
        known = ", ".join(each.name for each in there) or "none"
        raise NotFound(
            f"no bid that this machine doesn't know is named {name!r}", hint=f"there are: {known}"
        )
    if len(found) > 1:
        ids = ", ".join(each.bid.id for each in found)
        raise Conflict(f"{len(found)} bids are named {name!r}", hint=f"name one by its id: {ids}")
    if not found[0].is_ours:
        why = "another user's" if found[0].token else "not placed by Flow"
        raise Conflict(f"bid {found[0].bid.id} ({name}) is {why}, so Flow leaves it alone")
    return found[0]


def _hourly(bid: Bid, quote: Quote | None) -> Price:
    if bid.state not in _HOLDING:
        return Price.ZERO
    price = bid.limit if quote is None else min(quote.price, bid.limit)
    return price * bid.quantity


def _read(bid: Bid) -> NodeTask | None:
    try:
        return parse_script(bid.script)
    except InvalidRequest:
        return None


def _spec(stray: Stray, node: NodeTask | None) -> TaskSpec:
    """Return what was to run as far as it can be told; what can't is kept until the user ends it."""
    bid = stray.bid
    if node is None:
        node = NodeTask(name=stray.name, token=stray.token, command=UNKNOWN_COMMAND)
    # An instance is a task that sleeps and is kept; no other task tells whether its nodes were to be kept.
    keep = node.command == UNKNOWN_COMMAND
    return TaskSpec(
        command=node.command,
        name=stray.name,
        instance_type=bid.shape,
        num_instances=bid.quantity,
        max_price=bid.limit,
        region=bid.region or None,
        env=node.env,
        working_dir=node.working_dir,
        run_on=node.run_on,
        keep=keep,
    )
