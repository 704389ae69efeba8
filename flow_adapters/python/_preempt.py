"""What a command on a node learns of a notice: by asking, or by being called."""

from __future__ import annotations

import json
import os
import signal as signals
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from flow_core.domain.allocation import Notice, NoticeKind

#: Called with the notice when one comes, and with None when it is taken back.
OnNotice = Callable[["Notice | None"], object]

_listeners: list[OnNotice] = []


def preempt_notice() -> Notice | None:
    """Return the notice under which this node stands, or None; outside of a task there never is one.

    `deadline` is when the node stops, aware, on the node's own clock; the end of time where the provider didn't say.
    """
    place = os.environ.get("FLOW_NOTICE_FILE")
    if place is None:
        return None
    try:
        told = json.loads(Path(place).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    text = str(told.get("deadline") or "").replace("Z", "+00:00")
    deadline = datetime.fromisoformat(text) if text else datetime.max.replace(tzinfo=timezone.utc)
    return Notice(NoticeKind(told.get("kind", "preemption")), deadline)


def on_preempt(listener: OnNotice, *, signal: str = "USR1") -> OnNotice:
    """Have `listener` called in the main thread when this node gets a notice, and with None when it is taken back.

    `signal` is the one that the task asked for (`notice_signal`). Works as a decorator; several listeners are called
    in the order in which they came. Handlers that were there before are called after them. While a notice stands,
    programs that this one starts have its deadline as `FLOW_NOTICE_DEADLINE`. A listener that raises ends the program
    like any error; to be run again once the nodes are back, save and leave with an exit code over 0.

    Raises:
        ValueError: called outside of the main thread, where Python takes no signals, or `signal` is none.
    """
    number = getattr(signals, f"SIG{signal}", None)
    if number is None:
        raise ValueError(f"{signal!r} is no signal of this system; USR1 is the usual one")
    if not _listeners:
        for each in (number, signals.SIGCONT):
            signals.signal(each, _calling(signals.getsignal(each)))
    _listeners.append(listener)
    return listener


def _calling(before: object) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        notice = preempt_notice()
        os.environ["FLOW_NOTICE_DEADLINE"] = notice.deadline.isoformat() if notice else ""
        for listener in list(_listeners):
            listener(notice)
        if callable(before):
            before(number, frame)

    return handle
