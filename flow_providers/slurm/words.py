"""Slurm's words for what becomes of an allocation, as states of a bid and as sentences for people. Pure.

Source: squeue(1), JOB STATE CODES and JOB REASON CODES; which are told when, from a real Slurm 22.05.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from flow_core.domain.bid import BidState

#: Slurm's state -> the bid's. What completes has its nodes still; the desk says REQUEUED where it waits again next.
STATES: dict[str, BidState] = {
    **dict.fromkeys(
        ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT"),
        BidState.OPEN,
    ),
    **dict.fromkeys(
        ("COMPLETING", "CONFIGURING", "RESIZING", "RUNNING", "SIGNALING", "STAGE_OUT"), BidState.ALLOCATED
    ),
    **dict.fromkeys(("STOPPED", "SUSPENDED"), BidState.PAUSED),
    **dict.fromkeys(
        (
            "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
            "REVOKED", "TIMEOUT",
        ),
        BidState.TERMINATED,
    ),
}  # fmt: skip
_ENDS = {
    "BOOT_FAIL": "its nodes could not be booted",
    "CANCELLED": "it was cancelled at the cluster",
    "COMPLETED": "its nodes were given back",
    "DEADLINE": "it could not end before its deadline",
    "FAILED": "its node scripts failed",
    "NODE_FAIL": "a node failed",
    "OUT_OF_MEMORY": "it ran out of memory: give it more with --option memory=SIZE",
    "PREEMPTED": "it was preempted, and not put back into the queue",
    "REVOKED": "Slurm knows no more of it",
}
#: What Slurm writes into an allocation's own output when it ends it -> why it is back in the queue.
_CUTS = {
    "NODE FAILURE": "a node failed",
    "PREEMPTION": "it was preempted",
    "JOB REQUEUE": "it was put back into the queue",
}
#: What holds back only the user's own word: 'JobHeldUser', or 'job requeued in held state'.
_HELD = re.compile(r"jobhelduser|in held state", re.IGNORECASE)
_NO_REASON = ("", "None", "N/A")


def state_of(row: Mapping[str, str]) -> BidState:
    """Return where a bid is by Slurm's row of it; a state that is news to us holds nodes, so that nobody forgets it."""
    if _HELD.search(row["reason"]) and STATES.get(row["state"]) is BidState.OPEN:
        return BidState.PAUSED
    return STATES.get(row["state"], BidState.ALLOCATED)


def waiting_words(row: Mapping[str, str], *, cut: str = "") -> str:
    """Return what a bid waits for, in Slurm's word: 'waiting: Resources'. `cut` is why it lost its nodes before."""
    reason = row["reason"].strip("()")
    if _HELD.search(reason):
        words = f"held: {reason}"
    else:
        words = "waiting" if reason in _NO_REASON else f"waiting: {reason}"
    why = _CUTS.get(cut.upper())
    return f"{why}; {words}" if why else words


def ending_words(state: str, *, why: str = "", limit: str = "") -> str:
    """Return why a bid ended that nobody here withdrew."""
    if state == "TIMEOUT":
        known = f", {limit}" if re.fullmatch(r"[0-9:-]+", limit) else ""
        return f"it reached Slurm's time limit{known}"
    words = _ENDS.get(state, f"Slurm ended it as {state}")
    if why.startswith("flow: "):
        return f"{words}: {why[6:]}"
    told = _CUTS.get(why.upper())
    return words if told is None or told in words else f"{words}: {told}"
