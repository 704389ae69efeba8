"""What is sent to a node's login shell, as text: a call's line inside what makes its folder and rights right.

sshd hands the text to the user's login shell, whatever that is; `exec sh -c '...'` leaves it nothing to decide. The
process that sshd started leads a group of its own, which is what is signalled when a call is to end.

Calls run as root, as the task's own command does: the node script's files are root's. A user who isn't root goes
through sudo, and can't signal what root runs; so the leader stays that user's, and passes signals on through sudo:
TERM as TERM, and HUP as KILL, which can't be caught. On a node without sudo the call runs as its user.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from attrs import frozen

_LEADER = """command -v {first} >/dev/null 2>&1 || exec sh -c "$1"
told=
tell() {{ {sudo} sh -c "kill -s $1 -- -$$"; }}
trap 'trap "" TERM; told=1; tell TERM' TERM
trap 'tell KILL' HUP
exec 3<&0
{sudo} sh -c "$1" <&3 3<&- &
exec 3<&- </dev/null
wait $!; code=$?
[ -z "$told" ] || {{ wait $!; code=$?; }}
exit $code"""


@frozen
class NodeLine:
    """A text for a login shell, and the signals, in order, that end what it started."""

    text: str
    signals: tuple[str, str] = ("TERM", "KILL")


def call_line(
    line: str, *, workspace: str, sudo: Sequence[str] = (), flow_home: str | None = None
) -> NodeLine:
    """Return what runs `line` by `sh` in the workspace, which is made if need be."""
    script = f"{_entering(workspace, flow_home)}\n{line}"
    if not sudo:
        return NodeLine(f"exec sh -c {shlex.quote(script)}")
    leader = _LEADER.format(first=shlex.quote(sudo[0]), sudo=shlex.join(sudo))
    return NodeLine(f"exec sh -c {shlex.quote(leader)} flow {shlex.quote(script)}", ("TERM", "HUP"))


def terminal_line(
    line: str | None, *, workspace: str, sudo: Sequence[str] = (), flow_home: str | None = None
) -> str:
    """Return what gives a terminal to `line`, or to a login shell; the terminal itself carries the signals."""
    wanted = line if line is not None else 'exec "${SHELL:-/bin/sh}" -l'
    script = f"{_entering(workspace, flow_home)}\n{wanted}"
    if not sudo:
        return f"exec sh -c {shlex.quote(script)}"
    choice = (
        f"command -v {shlex.quote(sudo[0])} >/dev/null 2>&1 || exec sh -c "
        f'"$1"\nexec {shlex.join(sudo)} sh -c "$1"'
    )
    return f"exec sh -c {shlex.quote(choice)} flow {shlex.quote(script)}"


def _entering(workspace: str, flow_home: str | None) -> str:
    folder = shlex.quote(workspace)
    home = "unset FLOW_HOME" if flow_home is None else f"export FLOW_HOME={shlex.quote(flow_home)}"
    enter = (
        f"cd -- {folder} 2>/dev/null || {{ mkdir -p -- {folder} && cd -- {folder}; }} || exit 126"
    )
    return f"{home}; {enter}"
