"""Bringing a task's nodes what they need before the command starts: code first, then the numbered membership."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from flow_core.domain.node_files import NODE_HELPER
from flow_core.domain.record import Fault, TaskRecord
from flow_core.errors import InvalidRequest
from flow_core.ports.shell import Call, NodeLost, NodeOutput
from flow_core.services.data_buckets import expiry_of
from flow_core.services.placing import note
from flow_core.services.setting_up import setup_of

if TYPE_CHECKING:
    from flow_core.domain.actions import Deliver
    from flow_core.domain.allocation import Allocation, Node
    from flow_core.domain.code import Bundle
    from flow_core.domain.status import TaskView
    from flow_core.ports.code import Packing
    from flow_core.services.ports import Ports

#: Real seconds for telling one node its membership.
DELIVERY_S = 60.0
_TAIL = 2_000


def deliver(ports: Ports, view: TaskView, delivery: Deliver) -> bool:
    """Deliver to every node of `view`; False when one lacks it, which is tried again next time.

    True also where somebody else is at it, or there is no node to tell.

    Raises:
        FlowError: what has to be set up can't be told, such as a secret that this machine no longer has.
    """
    record, allocation = view.record, view.allocation
    if allocation is None:
        return True
    with ports.journal.claim(record.token, "deliver") as mine:
        if not mine:
            return True
        setup = setup_of(ports, view)
        env = _variables(ports, record)
        _introduce(ports, record, allocation)
        problems = bring_code(ports, record, allocation.nodes)
        if not problems:
            problems = _tell(ports, record, allocation, delivery, setup, env)
        if problems:
            said = "delivery to the nodes was not complete"
            note(ports, record.token, said, "; ".join(problems), Fault.NETWORK)
            return False
        with ports.journal.together():
            ports.journal.update(
                record.token,
                membership=delivery.number,
                membership_signature=delivery.signature,
                keys_expire_at=expiry_of(setup),
            )
            note(
                ports,
                record.token,
                f"code and membership {delivery.number} delivered to {len(allocation.nodes)} nodes",
            )
        return True


def _variables(ports: Ports, record: TaskRecord) -> Mapping[str, str] | None:
    """Return the command's variables, secrets too; None where the nodes have them and this machine no longer does.

    Raises:
        InvalidRequest: a secret is not to be found here, and no node has it.
    """
    spec = record.spec
    held = dict(ports.vault.held(record.token))
    try:
        lacking = [secret for secret in spec.secrets if secret.name not in held]
        return {**spec.env, **ports.vault.find(lacking), **held}
    except InvalidRequest:
        if record.membership == 0:
            raise
        return None


def _introduce(ports: Ports, record: TaskRecord, allocation: Allocation) -> None:
    """Let the nodes log in to each other, where they have SSH; what goes wrong is noted, for most tasks do without."""
    if ports.provider.ssh is None or len(allocation.nodes) < 2:
        return
    hosts = {node.id: host_of(node) for node in allocation.nodes}
    calls = ports.provider.ssh.introductions(allocation.nodes, hosts)
    problems = _refusals(ports, calls)
    if problems:
        why = "; ".join(problems)
        note(ports, record.token, "the nodes can't log in to each other", why)


def bring_code(ports: Ports, record: TaskRecord, nodes: Sequence[Node]) -> list[str]:
    """Upload the record's code to every node; return what went wrong."""
    if record.code_digest is None:
        return []
    return bring(ports, record, nodes, ports.code.bundle(record.code_digest))


def bring(
    ports: Ports, record: TaskRecord, nodes: Sequence[Node], bundle: Bundle | Packing
) -> list[str]:
    """Upload a snapshot to every node; return what went wrong."""
    problems: list[str] = []
    detours: list[str] = []
    with closing(ports.provider.shell.upload(nodes, bundle, target=".")) as sent:
        for event in sent:
            if isinstance(event, NodeLost):
                problems.append(f"node {event.node.rank}: {event.reason}")
            elif isinstance(event, NodeOutput):
                words = event.data.decode("utf-8", "replace").strip()
                detours.append(f"node {event.node.rank}: {words}")
    if detours:
        note(ports, record.token, "the code was sent to more nodes than one", "; ".join(detours))
    return problems


def _tell(
    ports: Ports,
    record: TaskRecord,
    allocation: Allocation,
    delivery: Deliver,
    setup: Mapping[str, object],
    env: Mapping[str, str] | None,
) -> list[str]:
    """Give every node its membership; return what went wrong."""
    message: dict[str, object] = {
        "number": delivery.number,
        "retried": delivery.retried,
        "nodes": [{"rank": node.rank, "host": host_of(node)} for node in allocation.nodes],
        "port": allocation.rendezvous_port,
        "env": env,
        "code": record.code_digest,
        "setup": setup,
    }
    # Written once for all nodes, which differ by their rank; the kit follows in a line of its own.
    told = json.dumps(message)[:-1].encode()
    kit = ports.node_files.kit() if setup else b""
    calls = [
        Call(
            node=node,
            line=f"{NODE_HELPER} deliver",
            stdin=b"".join((told, b', "rank": %d}\n' % node.rank, kit)),
        )
        for node in allocation.nodes
    ]
    return _refusals(ports, calls)


def _refusals(ports: Ports, calls: Sequence[Call]) -> list[str]:
    """Make all calls; return what went wrong."""
    problems: list[str] = []
    words: dict[int, bytes] = {}
    with closing(ports.provider.shell.run_many(calls, timeout_s=DELIVERY_S)) as events:
        for event in events:
            rank = event.node.rank
            if isinstance(event, NodeOutput):
                words[rank] = (words.get(rank, b"") + event.data)[-_TAIL:]
            elif isinstance(event, NodeLost):
                problems.append(f"node {rank}: {event.reason}")
            elif event.code != 0:
                said = words.get(rank, b"").decode("utf-8", "replace").strip().splitlines()
                why = f": {said[-1]}" if said else ""
                problems.append(f"node {rank}: the node script refused with {event.code}{why}")
    return problems


def host_of(node: Node) -> str:
    """Return what a node's fellows reach it by."""
    if node.private_ip:
        return node.private_ip
    return node.address.host if node.address is not None else "127.0.0.1"
