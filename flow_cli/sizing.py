"""More code than is uploaded without asking: asked about, with the largest of it named."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flow_cli.invocation import Invocation
from flow_core.errors import FlowError
from flow_core.ports.code import CodeTooLarge
from flow_core.services.session import Session

_Done = TypeVar("_Done")


def with_size_agreed(
    invocation: Invocation, session: Session, act: Callable[[], _Done], *, yes: bool
) -> _Done:
    """Return what `act` does; where code is too large for it, ask, and do it again. `yes` agrees beforehand.

    Raises:
        CodeTooLarge: there is nobody to ask.
        FlowError: the user said no.
    """
    code = session.ports.code
    if yes:
        code.agree_to_any_size()
    try:
        return act()
    except CodeTooLarge as large:
        if not invocation.talk.can_ask:
            raise
        invocation.talk.say(large.problems["code"])
        if not invocation.talk.ask("Upload it all?", unasked=""):
            raise FlowError("not confirmed; nothing was uploaded", hint=large.hint) from large
    code.agree_to_any_size()
    return act()
