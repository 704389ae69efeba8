"""Why a task is not further on, in words: what is waited for, since when, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from attrs import frozen

from flow_core.domain.allocation import Allocation, Node, NodeState
from flow_core.domain.bid import Bid, Quote
from flow_core.domain.duration import format_duration, rough_duration
from flow_core.domain.ending import OUTAGE, UNREADY
from flow_core.domain.healing import outage_of, recovery_at
from flow_core.domain.record import TaskRecord
from flow_core.domain.status import TaskState, TaskView
from flow_core.domain.task_parts import Recover


@frozen(kw_only=True)
class Waiting:
    """One sentence on what is waited for, and one on what follows. Times are on the provider's clock.

    Where `what` says how long is left, which changes while nothing happens, `until` is what it counts down to.
    """

    what: str
    since: datetime
    then: str = ""
    until: datetime | None = None

    def text(self, now: datetime) -> str:
        """Return it as a line, with how long it has taken so far."""
        return f"{self.what} ({rough_duration(now - self.since)})" + (
            f"; then {self.then}" if self.then else ""
        )


def waiting(view: TaskView, quote: Quote | None, now: datetime) -> Waiting | None:
    """Return what `view`'s task waits for, or None when it runs or has ended. `quote` is its market's, if known."""
    record, bid, allocation = view.record, view.bid, view.allocation
    state = view.state
    since = bid.created_at if bid is not None else record.created_at
    if record.outage_since is not None and not record.has_ended:
        outage = outage_of(bid, allocation, view.reports)
        if outage is not None:
            return Waiting(
                what=f"{outage.words}; its fellows wait for it"
                if record.spec.num_instances > 1
                else outage.words,
                since=record.outage_since,
                then=f"the task ends if that lasts for {format_duration(OUTAGE)}",
            )
    if state is TaskState.HELD:
        return Waiting(
            what="waiting for " + ", ".join(str(each) for each in record.spec.after),
            since=since,
            then="it bids",
        )
    if state is TaskState.PENDING:
        what = (
            "looking for the bid at the provider, whose answer was not heard"
            if record.sent_at
            else "placing the bid"
        )
        return Waiting(what=what, since=record.created_at, then="the market looks at it")
    if record.spec.reservation is not None and state in (TaskState.BIDDING, TaskState.PAUSED):
        still = "has not begun" if state is TaskState.BIDDING else "is paused"
        return Waiting(
            what=f"its reservation {still}",
            since=record.created_at,
            then="the nodes are started on",
        )
    if state in (TaskState.BIDDING, TaskState.PREEMPTED) and bid is not None:
        outbid = state is TaskState.PREEMPTED
        return Waiting(
            what=bid.detail or _market_reason(bid, quote, outbid),
            since=since,
            then="its nodes start" + (f" again{_or_else(record, now)}" if outbid else ""),
        )
    if state is TaskState.PAUSED:
        words = f" ({bid.detail})" if bid is not None and bid.detail else ""
        what = f"the bid is paused{words}"
        return Waiting(what=what, since=since, then="it competes again once resumed")
    if state is TaskState.STARTING:
        return _starting(view, record, allocation, since)
    if (
        state in (TaskState.PREEMPTING, TaskState.RELOCATING)
        and allocation is not None
        and allocation.notice is not None
    ):
        left = rough_duration(allocation.notice.deadline - now)
        then = (
            "the bid waits, boot disks kept"
            if state is TaskState.PREEMPTING
            else "they start elsewhere"
        )
        return Waiting(
            what=f"{allocation.notice.kind.value} notice: the nodes stop in {left} unless it is taken back",
            since=since,
            then=then,
            until=allocation.notice.deadline,
        )
    if state is TaskState.ENDING:
        return Waiting(what="ending: the bid is being withdrawn", since=since)
    return None


def _or_else(record: TaskRecord, now: datetime) -> str:
    """Return what its recovery does unless the nodes come back before."""
    at = recovery_at(record)
    if at is None:
        return ""
    acts = (
        "it looks for another region"
        if record.spec.recovery.how is Recover.MOVE
        else "its limit is raised"
    )
    return f", or {acts} in {rough_duration(max(at - now, timedelta(0)))}"


def _market_reason(bid: Bid, quote: Quote | None, outbid: bool) -> str:
    lead = "outbid" if outbid else "bid placed"
    if quote is None:
        return f"{lead}; waiting for the market at a limit of {bid.limit}/hr in {bid.region}"
    if bid.limit < quote.price:
        return f"{lead}; the {bid.limit}/hr limit is under the clearing price of {quote.price}/hr in {bid.region}"
    if bid.limit == quote.price > quote.floor:
        # The price is what the highest loser bids, which may be this very bid.
        return (
            f"{lead}; the {bid.limit}/hr limit is no more than the clearing price in {bid.region}"
        )
    if quote.available is not None and quote.available < bid.quantity:
        return f"{lead}; {quote.available} of {bid.quantity} instances are free in {bid.region}"
    return f"{lead}; the market looks at it next round ({bid.limit}/hr limit, {quote.price}/hr now, {bid.region})"


def _starting(
    view: TaskView, record: TaskRecord, allocation: Allocation | None, since: datetime
) -> Waiting:
    nodes = allocation.nodes if allocation is not None else ()
    is_ready = record.ready_at is not None or len(view.reports) >= len(nodes) > 0
    return Waiting(
        what=_starting_words(view, nodes),
        since=record.began_at or since,
        then="the command starts"
        if is_ready
        else f"the command starts ({format_duration(UNREADY)} at most)",
    )


def _starting_words(view: TaskView, nodes: Sequence[Node]) -> str:
    if not nodes:
        return "allocated; waiting for the nodes to appear"
    up = sum(node.is_reachable for node in nodes)
    if up < len(nodes):
        lost = sum(node.state is NodeState.LOST for node in nodes)
        broken = f", {lost} lost" if lost else ""
        return f"nodes are booting ({up} of {len(nodes)} up{broken})"
    if len(view.reports) < len(nodes):
        return f"nodes are up; {len(view.reports)} of {len(nodes)} answer"
    words = next((report.waiting_for for report in view.reports if report.waiting_for), "")
    return f"the nodes wait for {words}" if words else "the node script is starting"
