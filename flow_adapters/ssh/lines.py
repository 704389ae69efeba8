"""What is sent to a node's login shell, as text: a call's line inside what makes its folder and rights right.

sshd hands the text to the user's login shell, whatever that is; `exec sh -c '...'` leaves it nothing to decide. The
process that sshd started leads a group of its own. Its number is the first thing it says, on standard error, so that
the group can be ended from a second session: OpenSSH's server passes no signals on for root, nor does it end a command
whose connection has gone.

Calls run as root, as the task's own command does, because the node script's files are root's: a user who isn't root
goes through sudo. On a node without sudo the call runs as its user.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

#: What a call says first, with its group's number. No command is likely to say it before.
_LEADER = re.compile(rb"\x1eflow-leader ([0-9]{1,10})\n")
#: How long a command may take to end when told to, before it is killed; and then to be gone.
GRACE_S = 2.0
#: How much a login shell may say on standard error before the command begins.
MOST_UNREAD = 64 << 10
#: What a call that keeps its code says last, on standard error, where that is the code of ssh's own failures.
_ENDED = b"\x1eflow-ended\n"
_KEEP_CODE = 'trap : INT QUIT; sh -c "$1"; exit $?'
_KEEP_ANY_CODE = (
    "trap : HUP INT QUIT TERM\n{run}\n"
    "code=$?; [ $code -ne 255 ] || printf '\\036flow-ended\\n' >&2; exit $code"
)
_KNOWN_TERM = (
    "if [ -t 1 ] && command -v infocmp >/dev/null 2>&1 && ! infocmp >/dev/null 2>&1; "
    "then export TERM=xterm-256color; fi"
)
#: Becomes the line that its input begins with, as `spelled` writes it, if any; the rest is that line's input.
WAITS = 'IFS= read -r line && exec sh -c "$(printf %b "$line")"'
_SAY_LEADER = "printf '\\036flow-leader %d\\n' $$ >&2"


class Head:
    """What a call's standard error begins with: who leads its group, which isn't the command's own word."""

    def __init__(self) -> None:
        #: The number of the process group on the node, once the call has said it.
        self.leader: int | None = None
        self._unread: bytes | None = b""

    def without(self, data: bytes) -> bytes:
        """Return what of the next bytes is the command's own; what may still become the leader's line waits."""
        if self._unread is None:
            return data
        head = self._unread + data
        found = _LEADER.search(head)
        if found is None and len(head) < MOST_UNREAD:
            self._unread = head
            return b""
        self._unread = None
        if found is None:
            return head
        self.leader = int(found[1])
        return head[: found.start()] + head[found.end() :]

    def rest(self) -> bytes:
        """Return what has waited, now that nothing more comes."""
        unread, self._unread = self._unread or b"", None
        return unread


class Tail:
    """What the standard error of a call that keeps its code may end with."""

    def __init__(self) -> None:
        #: Whether the command itself ended with 255.
        self.is_ended = False
        self._held = b""

    def without(self, data: bytes) -> bytes:
        """Return what of the next bytes is the command's own; what may become the last word waits."""
        data = self._held + data
        if _ENDED in data:
            self.is_ended = True
            data = data.replace(_ENDED, b"")
        at = data.rfind(_ENDED[:1], -len(_ENDED))
        at = at if at >= 0 and _ENDED.startswith(data[at:]) else len(data)
        self._held = data[at:]
        return data[:at]

    def rest(self) -> bytes:
        """Return what has waited, now that nothing more comes."""
        held, self._held = self._held, b""
        return held


def call_line(
    line: str,
    *,
    workspace: str,
    sudo: Sequence[str] = (),
    flow_home: str | None = None,
    keeps_code: bool = False,
) -> str:
    """Return what runs `line` by `sh` in the workspace, which is made if need be, and says its group first.

    Where it `keeps_code`, a shell stays above that turns a signal into a code, and tells 255 from a failure of ssh's.
    """
    script = f"{_entering(workspace, flow_home)}\n{line}"
    return _shell(script, sudo, first=f"{_SAY_LEADER}; ", keeps_code=keeps_code)


def spelled(line: str) -> bytes:
    """Return a line, or several, as what `WAITS` reads."""
    return os.fsencode(line).replace(b"\\", b"\\\\").replace(b"\n", b"\\n") + b"\n"


def python_line(script: str, *arguments: str) -> str:
    """Return the line that runs a program of ours, by Python alone: modules of the workspace are none of its own."""
    words = shlex.join(["-I", "-S", "-X", "utf8", "-c", script, *arguments])
    return f'exec "${{FLOW_PYTHON:-python3}}" {words}'


def ending_line(leader: int, signal: str, *, sudo: Sequence[str] = ()) -> str:
    """Return what sends `signal`, by its name without SIG, to a whole group."""
    return _shell(_kill(leader, signal), sudo)


def ending_surely_line(leader: int, *, grace_s: float, sudo: Sequence[str] = ()) -> str:
    """Return what tells a whole group to end, and kills what of it is there after the grace; it ends with the group."""
    turns = max(1, round(grace_s * 10))
    script = (
        f"{_kill(leader, 'TERM')} 2>/dev/null; turn=0\n"
        f"while [ $turn -lt {turns} ] && {_kill(leader, '0')} 2>/dev/null; "
        "do sleep 0.1 || sleep 1; turn=$((turn + 1)); done\n"
        f"{_kill(leader, 'KILL')} 2>/dev/null"
    )
    return _shell(script, sudo)


def _kill(leader: int, signal: str) -> str:
    return f"kill -s {signal} -- -{leader}"


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


def _shell(script: str, sudo: Sequence[str], *, first: str = "", keeps_code: bool = False) -> str:
    """Return what becomes a shell that does `first` as whoever logs in, then `script`, as root if that is wanted."""
    if keeps_code:
        run = 'sh -c "$1"'
        if sudo:
            has = f"command -v {shlex.quote(sudo[0])} >/dev/null 2>&1"
            run = f"if {has}; then {shlex.join(sudo)} {run}; else {run}; fi"
        above = first + _KEEP_ANY_CODE.format(run=run)
        return f"exec sh -c {shlex.quote(above)} flow {shlex.quote(script)}"
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
