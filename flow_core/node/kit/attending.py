"""What goes on beside the command of a task that has a volume, a bucket or fellows: its log is kept on the first two,
its nodes find each other on a volume when no client tells them, and one that fails ends the others (`keeping`,
`meeting`, `failing`).

One process does all, started before the command as `python kit.zip attend`, and after a reboot by systemd. It ends
with the task; told to stop, it waits for the helper's last words first. What it can't do now, as on a volume that is
not mounted yet, it does at a later look: it never stands in the command's way.

Python 3.8, standard library only.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import Any

from flow_core.node.kit.units import is_first, keep_running
from flow_core.node.node_store import is_there, load, opened, save, told_to_stop, watch_signals

_LOOK_S = 1.0
#: How long the helper's last words are waited for: it gives the command ten seconds to end.
_LAST_WORDS_S = 20.0


def step(setup: Any, env: dict[str, str], command: list[str]) -> None:
    """Have it begin; a variable of the command's says how long nodes wait for a client."""
    if load("delivery.json")["number"] % 1:
        from flow_core.node.kit.mounting import say

        say("no client told this node of its fellows: they found each other on the volume")
    save("attend.json", {"after_s": float(env.get("FLOW_MEET_AFTER_S", "0"))})
    keep_running("flow-attend", "attend")


def watch() -> None:
    """Attend the task to its end; return at once where another does."""
    if not is_first("attend.lock"):
        return
    # Here, for `step` stands in the command's way.
    from flow_core.node.kit.failing import Failing
    from flow_core.node.kit.keeping import Keeping
    from flow_core.node.kit.meeting import AFTER_S, Meeting

    wake = watch_signals()
    keeping, failing = Keeping(), Failing()
    meeting = Meeting(float(load("attend.json").get("after_s") or AFTER_S))
    while True:
        over = is_over()
        setup = load("delivery.json").get("setup") or {}
        keeping.look(setup, time.monotonic(), is_last=over)
        if over:
            return
        meeting.look(setup, time.monotonic())
        failing.look(setup, time.monotonic())
        if told_to_stop(wake, _LOOK_S):
            wait_for_last_words()
            keeping.look(setup, time.monotonic(), is_last=True)
            return


def is_over() -> bool:
    """Whether the command has ended and will not begin again on this node, not even at the word of its fellows."""
    ended = load("state.json").get("phase") == "exited"
    return ended and (load("task.json").get("num_nodes", 1) < 2 or is_there("stop"))


def wait_for_last_words() -> None:
    """Return when the helper is gone, or soon."""
    lock, ends = opened("lock"), time.monotonic() + _LAST_WORDS_S
    while time.monotonic() < ends:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.05)
        else:
            break
    os.close(lock)
