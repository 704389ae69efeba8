"""What is sent to a node's login shell, as text: a call's line inside what makes its folder and rights right.

sshd hands the text to the user's login shell, whatever that is; `exec sh -c '...'` leaves it nothing to decide. The
process that sshd started leads a group of its own. Its number is the first thing it says, on standard error, so that
the group can be ended from a second session: OpenSSH's server passes no signals on for root, nor does it end a command
whose connection has gone.

Calls run as root, as the task's own command does, because the node script's files are root's: a user who isn't root
goes through sudo. On a node without sudo the call runs as its user.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

#: What a call says first, with its group's number. No command is likely to say it before.
LEADER = re.compile(rb"\x1eflow-leader ([0-9]{1,10})\n")
_KEEP_CODE = 'trap : INT QUIT; sh -c "$1"; exit $?'
_KNOWN_TERM = (
    "if [ -t 1 ] && command -v infocmp >/dev/null 2>&1 && ! infocmp >/dev/null 2>&1; "
    "then export TERM=xterm-256color; fi"
)
_SAY_LEADER = "printf '\\036flow-leader %d\\n' $$ >&2"


def call_line(
    line: str,
    *,
    workspace: str,
    sudo: Sequence[str] = (),
    flow_home: str | None = None,
    says_leader: bool = True,
) -> str:
    """Return what runs `line` by `sh` in the workspace, which is made if need be, and says its group first."""
    script = f"{_entering(workspace, flow_home)}\n{line}"
    return _shell(script, sudo, first=f"{_SAY_LEADER}; " if says_leader else "")


def ending_line(leader: int, signal: str, *, sudo: Sequence[str] = ()) -> str:
    """Return what sends `signal`, by its name without SIG, to a whole group."""
    script = f"kill -s {signal} -- -{leader}"
    return _shell(script, sudo)


def terminal_line(
    line: str | None,
    *,
    workspace: str,
    sudo: Sequence[str] = (),
    flow_home: str | None = None,
    colours: str = "",
) -> str:
    """Return what gives a terminal to `line`, or to a login shell; the terminal itself carries the signals.

    A shell stays above and turns a death by Ctrl-C into 130; OpenSSH's client would make 255 of the signal. `colours`
    is the caller's COLORTERM. A kind of terminal that the node has never heard of is called an xterm.
    """
    wanted = line if line is not None else '"${SHELL:-/bin/sh}" -l'
    known = _KNOWN_TERM + (f"; export COLORTERM={shlex.quote(colours)}" if colours else "")
    inner = _shell(f"{_entering(workspace, flow_home)}\n{known}\n{wanted}", sudo)
    return f"exec sh -c {shlex.quote(_KEEP_CODE)} flow {shlex.quote(inner)}"


def _shell(script: str, sudo: Sequence[str], *, first: str = "") -> str:
    """Return what becomes a shell that does `first` as whoever logs in, then `script`, as root if that is wanted."""
    if not sudo:
        return f"exec sh -c {shlex.quote(first + script)}"
    choice = (
        f'{first}command -v {shlex.quote(sudo[0])} >/dev/null 2>&1 || exec sh -c "$1"\n'
        f'exec {shlex.join(sudo)} sh -c "$1"'
    )
    return f"exec sh -c {shlex.quote(choice)} flow {shlex.quote(script)}"


def _entering(workspace: str, flow_home: str | None) -> str:
    folder = shlex.quote(workspace)
    home = "unset FLOW_HOME" if flow_home is None else f"export FLOW_HOME={shlex.quote(flow_home)}"
    enter = (
        f"cd -- {folder} 2>/dev/null || {{ mkdir -p -- {folder} && cd -- {folder}; }} || exit 126"
    )
    return f"{home}; {enter}"
