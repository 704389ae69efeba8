"""The lease of a task: what is said of it before it is bid, and the guard on its first node, where one was asked for.

A ceiling of money or time is kept by the watcher, so it holds while this machine is awake. With `--guard node` the
first node ends the bid too, by a key of the account that expires soon after the lease. The watcher brings it there
once the node runs, moves its end as the lease moves, and revokes it when the task is over. A key is known by its name,
which only this task's have, so that one made by a process that was killed then is found and revoked.
"""

from __future__ import annotations

import json
from contextlib import closing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from attrs import asdict

from flow_core.domain.allocation import Node
from flow_core.domain.lease import lease_words
from flow_core.domain.money import Price
from flow_core.domain.record import TaskRecord
from flow_core.domain.run import RunPhase
from flow_core.domain.status import TaskView
from flow_core.domain.task import TaskSpec
from flow_core.domain.task_parts import Guard
from flow_core.errors import InvalidRequest, NodeUnreachable
from flow_core.ports.shell import Call, NodeExit, NodeLost
from flow_core.services.placing import note
from flow_core.services.ports import Ports

if TYPE_CHECKING:
    from flow_core.ports.account_keys import AccountKeys, Withdrawal

#: How long a key outlives the lease, for the node's tries; and how much of that is kept as the lease moves.
AFTERWARDS = timedelta(hours=1)
SPARE = timedelta(minutes=20)
#: A lease's end that moved by less, or by less than a twentieth of what is left, isn't told again.
LEAST_MOVE = timedelta(seconds=30)
#: Real seconds for telling the node.
TELL_S = 60.0
TAKE = '"${FLOW_PYTHON:-python3}" "${FLOW_HOME:-/opt/flow}/kit.zip" guard'


def planned_lease(ports: Ports, spec: TaskSpec, *, limit: Price) -> list[str]:
    """Return what is to be said of the lease before `spec` is bid at `limit`.

    Raises:
        InvalidRequest: a guard is asked for and can't be had, or has nothing to guard.
    """
    words = lease_words(spec, limit=limit)
    if spec.guard is not Guard.NODE:
        return [words] if words else []
    if ports.provider.account_keys is None:
        name = ports.provider.name
        why = f"{name} has no keys that a node could end its own bid with; leave the guard out"
        raise InvalidRequest({"guard": why})
    if not words:
        raise InvalidRequest(
            {"guard": "has nothing to enforce; give max_spend or max_run_time too"}
        )
    return [
        words,
        "the first node gets a key of the account that expires after the lease: whoever is root on that node "
        "then holds the whole account, not this task alone",
    ]


def guard(ports: Ports, view: TaskView, ends: datetime | None) -> None:
    """Bring the guard on the first node up to date with the lease, which ends at `ends`.

    Raises:
        FlowError: the provider made no key, or the node could not be told; come again.
    """
    record, keys = view.record, ports.provider.account_keys
    if record.spec.guard is not Guard.NODE or keys is None or ends is None:
        return
    node = _first(view)
    if node is None or record.bid_id is None:
        return
    now = ports.provider.clock.now()
    until = record.guard_key_until
    if node.id != record.guard_node or until is None or until < ends + SPARE:
        _arm(ports, keys, record, node, ends)
    elif record.guard_ends is None or abs(ends - record.guard_ends) > max(
        LEAST_MOVE, (ends - now) / 20
    ):
        _tell(ports, node, (ends - now).total_seconds(), None)
        ports.journal.update(record.token, guard_ends=ends)


def disarm(ports: Ports, record: TaskRecord) -> None:
    """Revoke whatever keys the task's first node was given.

    Raises:
        Transient: the provider didn't answer; some may be left.
    """
    keys = ports.provider.account_keys
    if record.spec.guard is Guard.NODE and keys is not None:
        _revoke(keys, record, but="")


def _first(view: TaskView) -> Node | None:
    """Return node 0 once it has the kit; None before."""
    began = any(
        each.rank == 0 and each.phase in (RunPhase.RUNNING, RunPhase.EXITED)
        for each in view.reports
    )
    nodes = view.allocation.nodes if view.allocation is not None and began else ()
    return next((each for each in nodes if each.rank == 0 and each.is_reachable), None)


def _arm(ports: Ports, keys: AccountKeys, record: TaskRecord, node: Node, ends: datetime) -> None:
    now = ports.provider.clock.now()
    with ports.journal.claim(record.token, "guard") as mine:
        if not mine:
            return
        made = keys.make(_name(record), expires_at=max(ends, now) + AFTERWARDS)
        request = keys.withdrawal(record.bid_id or "", made.secret)
        try:
            _tell(ports, node, (ends - now).total_seconds(), request)
        except NodeUnreachable:
            keys.revoke(made.id)
            raise
        until = max(
            made.expires_at, ends + SPARE
        )  # the provider may cap it; asking again gains nothing
        ports.journal.update(
            record.token, guard_node=node.id, guard_ends=ends, guard_key_until=until
        )
        _revoke(keys, record, but=made.id)
        note(
            ports, record.token, f"the first node guards the lease, until {ends:%Y-%m-%d %H:%M} UTC"
        )


def _revoke(keys: AccountKeys, record: TaskRecord, *, but: str) -> None:
    for key in keys.named(_name(record)):
        if key != but:
            keys.revoke(key)


def _tell(ports: Ports, node: Node, left_s: float, request: Withdrawal | None) -> None:
    told: dict[str, object] = {"left_s": max(left_s, 0.0)}
    if request is not None:
        told["request"] = asdict(request)
    call = Call(node=node, line=TAKE, stdin=json.dumps(told).encode())
    said, problem = b"", "it gave no answer"
    with closing(ports.provider.shell.run_many([call], timeout_s=TELL_S)) as events:
        for event in events:
            if isinstance(event, NodeLost):
                problem = event.reason
            elif isinstance(event, NodeExit):
                words = said.decode("utf-8", "replace").strip()
                problem = "" if event.code == 0 else words or f"it refused with {event.code}"
            else:
                said += event.data
    if problem:
        raise NodeUnreachable(f"node 0 can't be told of the lease: {problem}")


def _name(record: TaskRecord) -> str:
    """Return the name of the task's keys; Mithril's are under 60 characters."""
    return f"flow-guard-{record.token}"
