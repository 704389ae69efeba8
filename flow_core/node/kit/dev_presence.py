"""Tells who uses a dev box now, and adds the time since the look before to them; part of `idle`."""

from __future__ import annotations

import os
from typing import Any

from flow_core.node.kit.dev_box import sessions
from flow_core.node.kit.dev_people import account, people
from flow_core.node.kit.idle import CPU_SHARE, TERMINALS, spent, stat


def look(before: dict[str, Any], seen: dict[str, Any], gap: float | None) -> str:
    """Return in words that somebody uses the box, or nothing; `seen` gets what the next look needs.

    Whoever runs something by `flow dev` is there. A colleague is, who has a terminal or computes.
    """
    there = {str(each.get("who", "")) for each in sessions()}
    began = bool(there)
    seen["people"] = {}
    for name, uid in people().items():
        theirs = [each for each in os.listdir("/proc") if each.isdigit() and owner(each) == uid]
        seen["people"][name] = spent(theirs)
        if computes(before.get("people", {}).get(name, {}), seen["people"][name], gap) or any(
            has_terminal(each) for each in theirs
        ):
            there.add(name)
    account(there, gap)
    if began:
        return "somebody runs something by flow dev"
    return "%s uses the box" % ", ".join(sorted(there)) if there else ""


def computes(before: dict[str, int], now: dict[str, int], gap: float | None) -> bool:
    """Whether processes took more of a processor between two looks than one at rest does."""
    used = sum(max(ticks - before.get(each, 0), 0) for each, ticks in now.items())
    return gap is not None and used / os.sysconf("SC_CLK_TCK") > CPU_SHARE * gap


def has_terminal(process: str) -> bool:
    """Whether a process has a terminal of those that people log in on."""
    fields = stat(process)
    return bool(fields) and os.major(int(fields[4]) & 0xFFFFFFFF) in TERMINALS


def owner(process: str) -> int:
    """Return whose a process is; -1 for one that is gone."""
    try:
        return os.stat("/proc/" + process).st_uid
    except OSError:
        return -1
