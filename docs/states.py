"""The state machines as a page: tables and diagrams that are drawn from the core's own tables."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Set
from typing import Any

from attrs import frozen

from flow_core.domain.allocation import NODE_TRANSITIONS, NodeState
from flow_core.domain.bid import BID_TRANSITIONS, BidState
from flow_core.domain.record import STEP_TRANSITIONS, Step
from flow_core.domain.status import TASK_TRANSITIONS, TaskState

#: state -> the states that may come next; the keys of one table are of one enumeration.
Table = Mapping[Any, Set[Any]]


@frozen(kw_only=True)
class Machine:
    """One state machine of the page.

    `together` are states that a box is drawn around; what all of them may become is one arrow from the box.
    """

    title: str
    lead: str
    table: Table
    starts: tuple[enum.Enum, ...]
    meanings: Mapping[enum.Enum, str]
    together: frozenset[enum.Enum]
    box: str


_TASK_MEANINGS: dict[enum.Enum, str] = {
    TaskState.HELD: "It waits for other tasks to end; nothing has been sent.",
    TaskState.PENDING: "Its bid is on the way to the provider, or its acceptance has not been heard of.",
    TaskState.BIDDING: "The bid is open and has never held nodes.",
    TaskState.STARTING: "Nodes are granted; they boot, or the command waits for its files and fellows.",
    TaskState.RUNNING: "The command runs on at least one node.",
    TaskState.PREEMPTING: "Outbid: the nodes stop when the notice ends, unless it is taken back.",
    TaskState.RELOCATING: "The provider moves the nodes elsewhere; they stop when the notice ends.",
    TaskState.PREEMPTED: "The nodes were taken; the bid waits to win them back, boot disks kept.",
    TaskState.PAUSED: "The bid is out of the auction until it is resumed.",
    TaskState.ENDING: "How it ends is known; its bid is being withdrawn. One node's failure counts if the others stay.",
    TaskState.COMPLETED: "The command ended with 0 on every node where it ran.",
    TaskState.FAILED: "The command failed, time or money was used up, or the bid was refused or ended by others.",
    TaskState.CANCELLED: "Someone asked for its end.",
}
_BID_MEANINGS: dict[enum.Enum, str] = {
    BidState.OPEN: "In the auction, holding nothing.",
    BidState.ALLOCATED: "Holds all its nodes.",
    BidState.PREEMPTING: "Outbid and under notice; still holds its nodes.",
    BidState.RELOCATING: "Its nodes are being moved by the provider.",
    BidState.PAUSED: "Out of the auction, kept.",
    BidState.TERMINATED: "Over; it can cost nothing any more.",
}
_NODE_MEANINGS: dict[enum.Enum, str] = {
    NodeState.STARTING: "Granted; not to be talked to yet.",
    NodeState.RUNNING: "Up.",
    NodeState.LEAVING: "Up, and under notice to stop.",
    NodeState.STOPPED: "Down, its boot disk kept while the bid waits.",
    NodeState.LOST: "Gives no answer; it may come back.",
    NodeState.GONE: "Given back.",
}
_STEP_MEANINGS: dict[enum.Enum, str] = {
    Step.HELD: "Waits for other tasks; nothing has been sent.",
    Step.INTENDED: "The request may have left; whether a bid exists is not known yet.",
    Step.PLACED: "The provider has the bid.",
    Step.REFUSED: "The provider said no, or it was never sent; nothing exists.",
}
_HOLDS_A_BID = frozenset(
    {
        TaskState.BIDDING,
        TaskState.STARTING,
        TaskState.RUNNING,
        TaskState.PREEMPTING,
        TaskState.RELOCATING,
        TaskState.PREEMPTED,
        TaskState.PAUSED,
    }
)
MACHINES = (
    Machine(
        title="A task",
        lead="The word that `flow status` and `task.state` show. It is derived at each look from the journal, the\n"
        "bid, the nodes and what they report, and never stored; so two looks may miss states in between.",
        table=TASK_TRANSITIONS,
        starts=(TaskState.HELD, TaskState.PENDING),
        meanings=_TASK_MEANINGS,
        together=_HOLDS_A_BID,
        box="has_a_bid",
    ),
    Machine(
        title="A bid",
        lead="What the market says, whatever the provider's own words for it. A bid gets all its nodes or none.",
        table=BID_TRANSITIONS,
        starts=(BidState.OPEN,),
        meanings=_BID_MEANINGS,
        together=frozenset(BidState) - {BidState.TERMINATED},
        box="live",
    ),
    Machine(
        title="A node",
        lead="One machine of a bid's allocation. The word for one that lost its power is `lost`.",
        table=NODE_TRANSITIONS,
        starts=(NodeState.STARTING,),
        meanings=_NODE_MEANINGS,
        together=frozenset(NodeState) - {NodeState.GONE},
        box="granted",
    ),
    Machine(
        title="A task's way to the provider",
        lead="What the journal keeps, so that a killed command leaves one bid or none. A placed task goes on as above.",
        table=STEP_TRANSITIONS,
        starts=(Step.HELD, Step.INTENDED),
        meanings=_STEP_MEANINGS,
        together=frozenset(),
        box="",
    ),
)


def states_page(made: str) -> str:
    """Return the page; `made` is the line that says where it comes from."""
    parts = [
        "# States",
        made,
        "An arrow says what may be seen next. In the diagrams, an arrow from a box holds for every state in it.",
    ]
    for machine in MACHINES:
        parts += [f"## {machine.title}", machine.lead, _fenced(diagram(machine)), _rows(machine)]
    return "\n\n".join(parts) + "\n"


def diagram(machine: Machine) -> str:
    """Return the machine in mermaid's language."""
    shared = _shared(machine)
    lines = ["stateDiagram-v2"]
    lines += [
        f"    [*] --> {state.value}" for state in machine.starts if state not in machine.together
    ]
    if shared:
        lines += [f"    state {machine.box} {{", *_inner(machine, shared), "    }"]
        if machine.together & set(machine.starts):
            lines.append(f"    [*] --> {machine.box}")
        lines += [
            f"    {machine.box} --> {state.value}" for state in machine.table if state in shared
        ]
    for state, following in machine.table.items():
        if not shared or state not in machine.together:
            lines += [
                f"    {state.value} --> {after.value}"
                for after in machine.table
                if after in following
            ]
        if not following:
            lines.append(f"    {state.value} --> [*]")
    return "\n".join(lines)


def _inner(machine: Machine, shared: Set[enum.Enum]) -> list[str]:
    """Return the arrows of the states in the box, in its braces; those the box stands for left out."""
    lines = [
        f"        [*] --> {state.value}" for state in machine.starts if state in machine.together
    ]
    for state in machine.table:
        if state in machine.together:
            after = [each for each in machine.table if each in machine.table[state] - shared]
            lines += [f"        {state.value} --> {each.value}" for each in after] or [
                f"        {state.value}"
            ]
    return lines


def _shared(machine: Machine) -> Set[enum.Enum]:
    """Return the states outside of the box that every state in it may become."""
    followings = [set(machine.table[state]) for state in machine.together]
    return set.intersection(*followings) - machine.together if followings else set()


def _rows(machine: Machine) -> str:
    lines = ["| State | What is so | Next |", "|---|---|---|"]
    for state, following in machine.table.items():
        after = ", ".join(f"`{each.value}`" for each in machine.table if each in following)
        lines.append(f"| `{state.value}` | {machine.meanings[state]} | {after or 'final'} |")
    return "\n".join(lines)


def _fenced(text: str) -> str:
    return f"```mermaid\n{text}\n```"
