"""Seeing to it that live tasks have their watcher, and saying so where they hadn't."""

from __future__ import annotations

from flow_cli.invocation import Invocation
from flow_core.errors import FlowError
from flow_core.services.session import Session


def watched(invocation: Invocation, session: Session, *, is_live: bool) -> dict[str, object]:
    """Say when live tasks had no watcher, start one, and return how it was for the document."""
    watch = session.ports.watch
    running = watch.is_running()
    if is_live and not running:
        try:
            watch.ensure()
            invocation.talk.say(
                "warning: no watcher was running; it has been started again", "yellow"
            )
        except FlowError as trouble:
            invocation.talk.say(
                f"warning: no watcher is running, so nothing ends by itself: {trouble.message}",
                "yellow",
            )
    return {
        "watcher_running": running,
        "provider": session.provider.name,
        "simulated": session.provider.limits.simulated,
    }
