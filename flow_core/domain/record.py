"""What this machine intended and has seen of a task: the journal's row.

The record is written before anything leaves this machine. Its token is part of the bid's name on the wire, so that a
bid whose acceptance was never heard of can be found again. Times are the provider's own (simulated ones on the mock).

A record is *live* until its task has ended and its bid is known to be gone: until then it may cost money.
"""

from __future__ import annotations

import enum
from datetime import datetime

from attrs import frozen

from flow_core.domain.bid import BidState
from flow_core.domain.money import Price, Spend
from flow_core.domain.names import wire_name
from flow_core.domain.task import TaskSpec


class Step(str, enum.Enum):
    """How far the task has come on its way to the provider."""

    HELD = "held"  # waits for other tasks; nothing has been sent
    INTENDED = "intended"  # the request may have left; whether a bid exists is not known yet
    PLACED = "placed"  # the provider has the bid
    REFUSED = "refused"  # the provider said no, or it was never sent; nothing exists


class Outcome(str, enum.Enum):
    """How the task ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"  # max_run_time
    OVER_BUDGET = "over-budget"  # max_spend
    IDLE = "idle"  # idle_timeout
    REFUSED = "refused"  # never placed
    VANISHED = "vanished"  # the bid was ended by someone else


class Fault(str, enum.Enum):
    """Whose doing a trouble was, as far as it can be told from here."""

    MARKET = "market"  # others bid more
    PROVIDER = "provider"  # it didn't answer, or moved the nodes
    NODE = "node"  # it is lost, or was, and starts over
    NETWORK = "network"  # the provider says that the node runs, and it doesn't answer
    PROGRAM = "program"  # the command failed while all nodes were there
    MISTAKE = "mistake"  # the request: no such command, no such secret, no permission


#: step -> steps that may come next. REFUSED is final; a PLACED record ends by its outcome or moves.
STEP_TRANSITIONS: dict[Step, frozenset[Step]] = {
    Step.HELD: frozenset({Step.INTENDED, Step.REFUSED}),
    Step.INTENDED: frozenset({Step.PLACED, Step.REFUSED}),
    Step.PLACED: frozenset({Step.INTENDED}),  # only when it moves to another region
    Step.REFUSED: frozenset(),
}


@frozen(kw_only=True)
class TaskRecord:
    """One task as the journal keeps it; change it with `attrs.evolve` and write it back."""

    token: str
    name: str
    provider: str
    spec: TaskSpec
    created_at: datetime
    step: Step = Step.INTENDED
    region: str = ""
    type_id: str = ""
    limit: Price = Price.ZERO
    bid_id: str | None = None
    bid_state: BidState | None = None
    #: When the request last left, and since when complete listings lack its name (None: seen, or not looked since).
    sent_at: datetime | None = None
    absent_since: datetime | None = None
    #: Names of volumes that it makes for itself, with spaces between; empty once a bid of its own has them.
    volumes_made: str = ""
    #: When the keys to its buckets expire that its nodes have; None for never, or where it mounts none.
    keys_expire_at: datetime | None = None
    #: The group it was submitted with, by name and token, and how many of it run at once (0: all); see `domain.group`.
    group: str = ""
    group_token: str = ""
    at_once: int = 0
    code_digest: str | None = None
    code_location: str | None = None
    #: The membership last delivered, and what it said (`Allocation.signature`).
    membership: int = 0
    membership_signature: str = ""
    preemptions: int = 0
    preempted_at: datetime | None = None  # when its nodes were last taken
    recovered_at: datetime | None = None  # when its recovery last acted since then
    #: Where it is about to bid instead, a region and a type's id; empty when it stays.
    next_region: str = ""
    next_type: str = ""
    #: How many bids it had before this one, the last of them, what they cost, and for how many seconds they held nodes.
    moves: int = 0
    former_bid: str = ""
    spent_before: Spend | None = None
    held_before_s: int = 0
    #: Since when a node that is missing is waited for, with nobody left who runs; None where nothing is amiss.
    outage_since: datetime | None = None
    #: Since when all of its nodes have had nothing to do; None while one has, or nobody is to know.
    idle_since: datetime | None = None
    #: The node that guards the lease, the lease's end that it was told, and when its key to the account expires.
    guard_node: str = ""
    guard_ends: datetime | None = None
    guard_key_until: datetime | None = None
    #: Where a dev box was reached last, as JSON; empty where that has to be asked.
    last_node: str = ""
    retried: int = 0  # how many tries its failures have used up
    began_at: datetime | None = None  # when its nodes were first granted
    ready_at: datetime | None = None  # when the nodes of its bid first were all there and answered
    cancel_asked: bool = False
    outcome: Outcome | None = None
    exit_code: int | None = None
    reason: str = ""
    ended_at: datetime | None = None
    #: Whether nothing of it can cost money any more.
    released: bool = False
    spent: Spend | None = None
    owner: str | None = None

    @property
    def wire_name(self) -> str:
        """The bid's name at the provider; a bid that follows another has a name of its own."""
        return wire_name(self.name + (f".{self.moves}" if self.moves else ""), self.token)

    @property
    def has_ended(self) -> bool:
        """Whether the task's outcome is known; a kept bid may still be held."""
        return self.outcome is not None

    @property
    def is_live(self) -> bool:
        """Whether something may still happen to it or be paid for it."""
        return not (self.has_ended and self.released)


@frozen(kw_only=True)
class TaskEvent:
    """One line of a task's history: a fact in the past tense, with its reason, and whose fault it was, where known."""

    at: datetime
    what: str
    why: str = ""
    fault: Fault | None = None
