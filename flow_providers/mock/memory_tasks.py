"""What a node in memory reads: its script, what is delivered to it, and the variables that come of both."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta

from attrs import field, frozen

from flow_core.domain.bid import Launch
from flow_core.domain.script import NodeTask, parse_script
from flow_core.errors import InvalidRequest

#: Exit codes that no other try mends, and how long the first try waits, then twice as long each: the node helper's.
USERS_MISTAKES = (125, 126, 127)
REST, LONGEST_REST = timedelta(seconds=5), timedelta(seconds=300)


@frozen(kw_only=True)
class Delivery:
    """What was brought to a node: the membership's number, its rank and fellows, and the variables."""

    number: int
    rank: int = 0
    hosts: tuple[str, ...] = ("127.0.0.1",)
    port: int = 29500
    env: Mapping[str, str] = field(factory=dict, hash=False)
    retried: int = 0


def task_of(launch: Launch) -> NodeTask:
    """Return the task in a node script; any other script is an untold command of its own."""
    try:
        return parse_script(launch.script)
    except InvalidRequest:
        return NodeTask(name="script", token="", command=launch.script)


def awaited(task: NodeTask) -> str:
    """Return what the command waits for when it waits for a delivery."""
    return (
        f"the addresses of all {task.num_nodes} nodes"
        if task.num_nodes > 1
        else "its files and variables"
    )


def delivery_of(message: bytes) -> Delivery:
    """Return what the core's message to a node says; the kit behind it is of no use here."""
    raw = json.loads(message.partition(b"\n")[0])
    nodes: Sequence[Mapping[str, str]] = sorted(
        raw.get("nodes") or [], key=lambda node: node["rank"]
    )
    return Delivery(
        number=raw["number"],
        rank=raw.get("rank", 0),
        hosts=tuple(node["host"] for node in nodes) or ("127.0.0.1",),
        port=raw.get("port") or 29500,
        env=raw.get("env") or {},
        retried=raw.get("retried", 0),
    )


def variables(task: NodeTask, delivery: Delivery, attempt: int) -> dict[str, str]:
    """Return the variables of the command, by the same names as a real node sets."""
    rank, count = str(delivery.rank), str(task.num_nodes)
    env = {
        "FLOW_TASK": task.name,
        "FLOW_NODE_RANK": rank,
        "FLOW_NUM_NODES": count,
        "FLOW_NODES": " ".join(delivery.hosts),
        "FLOW_GPUS": str(task.gpus),
        "FLOW_RESTART_COUNT": str(max(attempt, 0)),
        "RANK": rank,
        "WORLD_SIZE": count,
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
    }
    for prefix in ("", "PET_"):
        env[prefix + "NNODES"], env[prefix + "NODE_RANK"] = count, rank
        env[prefix + "MASTER_ADDR"], env[prefix + "MASTER_PORT"] = (
            delivery.hosts[0],
            str(delivery.port),
        )
    return {**env, **task.env, **delivery.env}
