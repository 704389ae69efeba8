"""What can be due for a task: the actions that `lifecycle.decide` returns and the watcher carries out."""

from __future__ import annotations

from attrs import frozen

from flow_core.domain.bid import BidState
from flow_core.domain.healing import Outage
from flow_core.domain.record import Fault, Outcome


@frozen
class Settle:
    """Write down how the task ended."""

    outcome: Outcome
    reason: str
    exit_code: int | None = None
    fault: Fault | None = None


@frozen
class Withdraw:
    """End the bid, so that the cost ends."""

    reason: str


@frozen
class Pause:
    """Have the bid give its nodes back and keep their disks, until somebody comes back."""

    reason: str


@frozen
class Stop:
    """End for good what still runs on kept nodes of a task that has ended."""


@frozen
class Release:
    """Write down that nothing of the task can cost money any more."""


@frozen
class Deliver:
    """Bring code, variables and membership `number` to every node; `retried` counts the tries they used up so far."""

    number: int
    signature: str
    retried: int = 0


@frozen
class Doubt:
    """Write down since when a missing node is waited for, and what is amiss."""

    outage: Outage


@frozen
class Trust:
    """Write down that the outage is over, or gave way to the bid's own."""

    why: str = ""


@frozen
class Retry:
    """Write down that a node's command failed, and that it is tried again: `retried` tries are used up."""

    retried: int
    what: str
    why: str
    fault: Fault


@frozen
class Observe:
    """Write down that the bid moved to another state."""

    state: BidState


@frozen
class Recover:
    """Do what the task's recovery says, for it has waited in vain."""


@frozen
class Rebid:
    """Bid anew where the task moves to: its old bid is gone."""


Action = (
    Recover
    | Rebid
    | Settle
    | Withdraw
    | Pause
    | Stop
    | Release
    | Deliver
    | Observe
    | Doubt
    | Trust
    | Retry
)
