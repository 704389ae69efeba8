"""Tasks on reservations: a provider whose reservations look like bids to everything that drives a task.

A task on a reservation has no bid. What stands for it has the id `<reservation>.<token>`: it lives while the
reservation does and until its command has been ended, it costs nothing, and withdrawing it ends the command and leaves
the reservation and its nodes alone. So the journal, the watcher, logs and status need not know the difference.

The nodes are there before the task is, and serve one task after the other. Each task keeps its files in a folder of its
own (`$FLOW_HOME-<token>`), so that a node's word on an earlier task is never taken for a later one's. The node script
that a bid's nodes start with is brought over the shell instead (`launch`), once they are up.

What we don't like: a command on nodes that don't answer can't be ended before they do. Until then the task is ending.

Every command of a provider with reservations reads this, and few are on one: what only those need is read there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from flow_core.domain.bid import Bid, BidRequest, BidState, Quote
from flow_core.domain.money import Price
from flow_core.domain.names import is_token, split_wire_name
from flow_core.domain.node_files import HELPER_FILE, NODE_HELPER
from flow_core.errors import Conflict, InvalidRequest, NodeUnreachable, NotFound, Unsupported
from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput

if TYPE_CHECKING:
    from flow_core.domain.allocation import Allocation, Node
    from flow_core.domain.code import Bundle
    from flow_core.domain.placement import Plan
    from flow_core.domain.reservation import Reservation
    from flow_core.domain.shape import InstanceShape
    from flow_core.domain.status import TaskView
    from flow_core.domain.task import TaskSpec
    from flow_core.ports.code import Packing
    from flow_core.ports.fleet import Fleet
    from flow_core.ports.market import Market
    from flow_core.ports.provider import Provider
    from flow_core.ports.reservations import Reservations
    from flow_core.ports.shell import Events, NodeEvent, RemoteShell
    from flow_core.ports.ssh import KeyChange, Ssh
    from flow_core.services.ports import Ports

#: Real seconds for bringing the node script to one node, and for ending a command there.
LAUNCH_S = 60.0
#: What the launch ends with where another task's command runs on the node.
BUSY = 75

_SEPARATOR = "."
_HOME = 'FLOW_HOME="${{FLOW_HOME:-/opt/flow}}-{token}"; export FLOW_HOME\n'
#: The script is whole on the node before it runs, and the helper is there when the call ends, so that whoever wants the
#: command ended from then on can say so. Where there is no systemd the script keeps running by itself.
_LAUNCH = f"""\
if [ ! -e "$FLOW_HOME/task.json" ] && systemctl is-active --quiet flow-node 2>/dev/null; then exit {BUSY}; fi
new=$(mktemp) && cat >"$new" || exit 1
if [ -z "${{FLOW_FOREGROUND:-}}" ]; then bash "$new"; code=$?; rm -f "$new"; exit $code; fi
mkdir -p "$FLOW_HOME"
nohup sh -c 'bash "$1"; rm -f "$1"' flow "$new" </dev/null >/dev/null 2>&1 &
for _ in 1 2 3 4 5 6 7 8 9 10; do [ -x "$FLOW_HOME/bin/flow-node" ] && exit; sleep 0.5; done; exit 1
"""
#: A reservation's state -> the bid's.
_STATES = {
    "pending": BidState.OPEN,
    "active": BidState.ALLOCATED,
    "paused": BidState.PAUSED,
    "canceled": BidState.TERMINATED,
    "ended": BidState.TERMINATED,
}


def with_reservations(provider: Provider) -> Provider:
    """Return `provider` with tasks on its reservations; itself where it sells none.

    One that keeps logs itself keeps them by bid, so that tasks without one have no place there.
    """
    role = provider.reservations
    if role is None or provider.logs is not None or isinstance(provider.market, _Market):
        return provider
    fleet, shell = _Fleet(provider.fleet), _Shell(provider.shell)
    return evolve(
        provider,
        market=_Market(provider.market, role, fleet, shell),
        fleet=fleet,
        shell=shell,
        ssh=_Ssh(provider.ssh) if provider.ssh is not None else None,
    )


def plan_on(ports: Ports, spec: TaskSpec) -> Plan:
    """Return how `spec` runs on its reservation: on all its nodes, for nothing, since it is paid.

    Raises:
        NotFound, Unsupported: there is no such reservation, or the provider sells none.
        Conflict: it has ended, or a task of this machine is on it, and `spec` doesn't wait for anything.
        InvalidRequest: the task asks for something else than the reservation is.
    """
    from flow_core.domain.placement import Plan
    from flow_core.services.reservations import name_of, named, role_of

    role = role_of(ports.provider)
    if not isinstance(ports.provider.market, _Market):
        raise Unsupported(f"{ports.provider.name} can't run tasks on its reservations")
    found = named(role, spec.reservation or "")
    shown, term = name_of(found), found.term
    if not found.is_live:
        raise Conflict(f"reservation {shown!r} is {found.state.value}")
    for record in () if spec.after else ports.journal.live(provider=ports.provider.name):
        if record.spec.reservation == found.id and not record.has_ended:
            raise Conflict(
                f"{record.name!r} is on reservation {shown!r}, whose nodes serve one task at a time",
                hint=f"`flow cancel {record.name}` ends it; --after {record.name} waits for it",
            )
    shape, problems = spec.instance_type, {}
    if shape is not None and not shape.matches(found.shape, type_id=term.type_id):
        problems["instance_type"] = f"reservation {shown!r} is of {found.shape}, not {shape}"
    if spec.region not in (None, term.region):
        problems["region"] = f"reservation {shown!r} lies in {term.region}, not {spec.region}"
    if spec.num_instances not in (1, term.quantity):
        problems["num_instances"] = f"a task takes all {term.quantity} of reservation {shown!r}"
    if problems:
        raise InvalidRequest(problems)
    quote = Quote(
        type_id=term.type_id,
        shape=found.shape,
        region=term.region,
        price=Price.ZERO,
        floor=Price.ZERO,
        as_of=ports.provider.clock.now(),
        available=term.quantity,
        capacity=term.quantity,
        source=f"reservation {shown}",
    )
    return Plan(
        spec=evolve(
            spec, reservation=found.id, num_instances=term.quantity, instance_type=found.shape, region=term.region
        ),
        quote=quote,
        limit=Price.ZERO,
        limit_why=f"reservation {shown!r} is paid already",
        as_of=quote.as_of,
    )  # fmt: skip


def launch(ports: Ports, view: TaskView) -> None:
    """Bring the node script to the nodes that don't have it; may be repeated. What went wrong is in the history."""
    from flow_core.services.placing import note, script_of

    record, allocation = view.record, view.allocation
    if allocation is None or not allocation.is_complete:
        return
    spoken = {report.rank for report in view.reports}
    waiting = [node for node in allocation.nodes if node.rank not in spoken]
    if not waiting:
        return
    with ports.journal.claim(record.token, "launch") as mine:
        if not mine:
            return
        script = script_of(ports, record).encode()
        calls = [Call(node=node, line=_LAUNCH, stdin=script) for node in waiting]
        problems = []
        with closing(ports.provider.shell.run_many(calls, timeout_s=LAUNCH_S)) as events:
            for event in events:
                if isinstance(event, NodeLost):
                    problems.append(f"node {event.node.rank}: {event.reason}")
                elif isinstance(event, NodeExit) and event.code == BUSY:
                    problems.append(f"node {event.node.rank}: another task runs there")
                elif isinstance(event, NodeExit) and event.code != 0:
                    problems.append(f"node {event.node.rank}: its script ended with {event.code}")
        words = "; ".join(problems)
        last = ports.journal.events(record.token)[-1:]
        if problems and not (last and last[0].why == words):
            note(ports, record.token, "the nodes could not be started on", words)


@frozen
class _Market:
    """A market whose bids may also be tasks on reservations."""

    market: Market
    role: Reservations
    fleet: _Fleet
    shell: _Shell
    #: What was withdrawn in this process; another withdraws it again, which changes nothing.
    ended: set[str] = field(factory=set)

    def quotes(self, shape: InstanceShape | None = None) -> Sequence[Quote]:
        return self.market.quotes(shape)

    def place(self, request: BidRequest) -> Bid:
        if not request.reservation:
            return self.market.place(request)
        from flow_core.services.reservations import name_of, named

        split = split_wire_name(request.name)
        if split is None:
            raise InvalidRequest({"name": f"{request.name!r} carries no token"})
        found = named(self.role, request.reservation)
        if not found.is_live:
            raise Conflict(f"reservation {name_of(found)!r} is {found.state.value}")
        return evolve(self._bid(found, split[1]), name=request.name)

    def bid(self, bid_id: str) -> Bid:
        split = _split(bid_id)
        if split is None:
            return self.market.bid(bid_id)
        for found in self._reservations({split[0]}):
            return self._bid(found, split[1])
        raise NotFound(f"no reservation has the id {split[0]!r}")

    def bids(
        self, *, name: str | None = None, ids: Collection[str] | None = None, live: bool = False
    ) -> Sequence[Bid]:
        if ids is None:
            return self.market.bids(name=name, live=live)
        ours = {each: split for each in ids if (split := _split(each)) is not None}
        others = [each for each in ids if each not in ours]
        found = list(self.market.bids(name=name, ids=others, live=live)) if others else []
        if not ours:
            return found
        there = {each.id: each for each in self._reservations({held for held, _ in ours.values()})}
        made = [self._bid(there[held], token) for held, token in ours.values() if held in there]
        found += [bid for bid in made if name in (None, bid.name) and (bid.is_live or not live)]
        return sorted(found, key=lambda bid: (bid.created_at, bid.id), reverse=True)

    def amend(self, bid_id: str, *, limit: Price | None = None, paused: bool | None = None) -> Bid:
        if _split(bid_id) is None:
            return self.market.amend(bid_id, limit=limit, paused=paused)
        raise Unsupported(
            "a task on a reservation has no bid to change",
            hint="`flow reservation pause NAME` stops the reservation's instances",
        )

    def withdraw(self, bid_id: str) -> None:
        """End the command on every node; the reservation and its nodes stay.

        Raises:
            NodeUnreachable: a node didn't answer, so its command may go on; repeat it later.
        """
        split = _split(bid_id)
        if split is None:
            self.market.withdraw(bid_id)
            return
        state = self.bid(bid_id).state
        if state is BidState.PAUSED:
            raise NodeUnreachable("the reservation is paused; the command is ended once it goes on")
        if state is BidState.ALLOCATED:
            self._stop(bid_id)
        self.ended.add(bid_id)

    def _stop(self, bid_id: str) -> None:
        nodes = self.fleet.allocations([bid_id])[bid_id].nodes
        # A node without the helper never began, and has nothing to end.
        line = f"if [ -x {HELPER_FILE} ]; then {NODE_HELPER} stop; fi"
        calls = [Call(node=node, line=line) for node in nodes]
        with closing(self.shell.run_many(calls, timeout_s=LAUNCH_S)) as events:
            for event in events:
                if isinstance(event, NodeLost):
                    raise NodeUnreachable(
                        f"the command on node {event.node.rank} could not be ended: {event.reason}"
                    )

    def _reservations(self, ids: set[str]) -> list[Reservation]:
        return [each for each in self.role.reservations() if each.id in ids]

    def _bid(self, found: Reservation, token: str) -> Bid:
        bid_id = f"{found.id}{_SEPARATOR}{token}"
        state = BidState.TERMINATED if bid_id in self.ended else _STATES[found.state.value]
        return Bid(
            id=bid_id,
            name=found.name,
            state=state,
            shape=found.shape,
            region=found.term.region,
            quantity=found.term.quantity,
            limit=Price.ZERO,
            created_at=found.created_at,
            owner=found.owner,
            type_id=found.term.type_id,
        )


@frozen
class _Fleet:
    """A fleet that knows a reservation's nodes by the task on them."""

    fleet: Fleet

    def allocations(self, bid_ids: Collection[str]) -> Mapping[str, Allocation]:
        held = {each: split for each in bid_ids if (split := _split(each)) is not None}
        plain = [each for each in bid_ids if each not in held]
        asked = list(dict.fromkeys([*plain, *(owner for owner, _ in held.values())]))
        there = self.fleet.allocations(asked)
        found = {each: there[each] for each in plain}
        for each, (owner, token) in held.items():
            nodes = tuple(
                evolve(node, id=f"{node.id}{_SEPARATOR}{token}") for node in there[owner].nodes
            )
            found[each] = evolve(there[owner], bid_id=each, nodes=nodes)
        return {each: found[each] for each in bid_ids}


@frozen
class _Shell:
    """A shell that enters a task's own folder of Flow's files on a reservation's nodes."""

    shell: RemoteShell

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        left = list(calls)
        while left:
            # Events name nodes, so that two tasks' calls to one node can't be under way together.
            batch: dict[str, Call] = {}
            for call in left:
                batch.setdefault(_bare(call.node).id, call)
            sent = [_entering(call) for call in batch.values()]
            with closing(self.shell.run_many(sent, timeout_s=timeout_s)) as events:
                for event in events:
                    yield _renamed(event, batch[event.node.id].node)
            taken = set(map(id, batch.values()))
            left = [call for call in left if id(call) not in taken]

    def upload(self, nodes: Collection[Node], bundle: Bundle | Packing, *, target: str) -> Events:
        told = {_bare(node).id: node for node in nodes}
        bare = [_bare(node) for node in nodes]
        with closing(self.shell.upload(bare, bundle, target=target)) as events:
            for event in events:
                yield _renamed(event, told[event.node.id])

    def attach(self, node: Node, line: str | None = None) -> int:
        token = _token_of(node)
        if line is not None and token is not None:
            line = _HOME.format(token=token) + line
        return self.shell.attach(_bare(node), line)

    def forward(self, node: Node, port: int, *, local_port: int = 0) -> AbstractContextManager[int]:
        return self.shell.forward(_bare(node), port, local_port=local_port)


@frozen
class _Ssh:
    """What OpenSSH must know of a reservation's nodes, whichever task is on them."""

    ssh: Ssh

    def settings(self, node: Node) -> Mapping[str, Sequence[str]]:
        return self.ssh.settings(_bare(node))

    def meet(self, nodes: Collection[Node]) -> Mapping[str, str]:
        told = {_bare(node).id: node.id for node in nodes}
        found = self.ssh.meet([_bare(node) for node in nodes])
        return {told[each]: reason for each, reason in found.items()}

    def introductions(self, nodes: Sequence[Node], hosts: Mapping[str, str]) -> Sequence[Call]:
        told, bare = {_bare(node).id: node for node in nodes}, [_bare(node) for node in nodes]
        calls = self.ssh.introductions(bare, {each: hosts[told[each].id] for each in told})
        return [evolve(call, node=told[call.node.id]) for call in calls]

    def foresee(self, task: str, node: Node) -> None:
        self.ssh.foresee(task, _bare(node))

    def change(self, node: Node) -> KeyChange | None:
        return self.ssh.change(_bare(node))

    def trust(self, node: Node, change: KeyChange) -> None:
        self.ssh.trust(_bare(node), change)


def _split(bid_id: str) -> tuple[str, str] | None:
    """Return the reservation and the token of what stands for a task on one; None for a bid's id."""
    owner, found, token = bid_id.rpartition(_SEPARATOR)
    return (owner, token) if found and is_token(token) else None


def _token_of(node: Node) -> str | None:
    split = _split(node.id)
    return split[1] if split is not None else None


def _bare(node: Node) -> Node:
    split = _split(node.id)
    return evolve(node, id=split[0]) if split is not None else node


def _entering(call: Call) -> Call:
    token = _token_of(call.node)
    if token is None:
        return call
    return evolve(call, node=_bare(call.node), line=_HOME.format(token=token) + call.line)


def _renamed(event: NodeEvent, node: Node) -> NodeEvent:
    if isinstance(event, NodeOutput):
        return NodeOutput(node, event.stream, event.data)
    return (
        NodeExit(node, event.code) if isinstance(event, NodeExit) else NodeLost(node, event.reason)
    )
