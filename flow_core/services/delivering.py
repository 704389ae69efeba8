"""Bringing a task's nodes what they need before the command starts: code first, then the numbered membership."""

from __future__ import annotations

import json
from contextlib import closing

from flow_core.domain.lifecycle import Deliver
from flow_core.domain.script import NODE_HELPER
from flow_core.domain.status import TaskView
from flow_core.ports.shell import Call, NodeExit, NodeLost
from flow_core.services.placing import note
from flow_core.services.ports import Ports

#: Real seconds for telling one node its membership.
DELIVERY_S = 60.0


def deliver(ports: Ports, view: TaskView, delivery: Deliver) -> bool:
    """Deliver to every node of `view`; True when all have it. A node that could not be reached is tried next time."""
    record, allocation = view.record, view.allocation
    if allocation is None:
        return False
    with ports.journal.claim(record.token, "deliver") as mine:
        if not mine:
            return False
        problems: list[str] = []
        if record.code_digest is not None:
            bundle = ports.code.bundle(record.code_digest)
            with closing(ports.provider.shell.upload(allocation.nodes, bundle, target=".")) as sent:
                for event in sent:
                    if isinstance(event, NodeLost):
                        problems.append(f"node {event.node.rank}: {event.reason}")
        fellows = [
            {"rank": node.rank, "host": node.private_ip or _host(node)} for node in allocation.nodes
        ]
        calls = []
        for node in allocation.nodes if not problems else ():
            message = {
                "number": delivery.number,
                "rank": node.rank,
                "nodes": fellows,
                "port": allocation.rendezvous_port,
                "env": dict(record.spec.env),
                "code": record.code_digest,
            }
            calls.append(
                Call(node=node, line=f"{NODE_HELPER} deliver", stdin=json.dumps(message).encode())
            )
        with closing(ports.provider.shell.run_many(calls, timeout_s=DELIVERY_S)) as events:
            for event in events:
                if isinstance(event, NodeLost):
                    problems.append(f"node {event.node.rank}: {event.reason}")
                elif isinstance(event, NodeExit) and event.code != 0:
                    problems.append(
                        f"node {event.node.rank}: the node script refused with {event.code}"
                    )
        if problems:
            note(ports, record.token, "delivery to the nodes was not complete", "; ".join(problems))
            return False
        ports.journal.update(
            record.token, membership=delivery.number, membership_signature=delivery.signature
        )
        note(
            ports,
            record.token,
            f"code and membership {delivery.number} delivered to {len(allocation.nodes)} nodes",
        )
        return True


def _host(node: object) -> str:
    address = getattr(node, "address", None)
    return address.host if address is not None else "127.0.0.1"
