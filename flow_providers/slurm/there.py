"""A login node over SSH: the desk's text is run there by its own Python, and lines by its shell.

All calls are one node's to SSH, so that they share its connections; which call an event is about stands in its rank.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from flow_core.domain.allocation import Address, Node, NodeState
from flow_core.domain.code import Bundle
from flow_core.domain.run import Stream
from flow_core.errors import Misconfigured, NodeUnreachable, NotAuthorized, Transient
from flow_core.ports.shell import Call, Events, NodeEvent, NodeExit, NodeLost, NodeOutput

if TYPE_CHECKING:
    from flow_adapters.ssh import SshShell

#: Seconds that the login node may take for one answer.
_ANSWER_S = 60.0
_IMPORTS = re.compile(r"^from flow_providers\.[^(\n]*(?:\([^)]*\))?\n", re.MULTILINE)


class There:
    """Implements `Login` on the machine at `address`."""

    def __init__(self, address: Address, shell: SshShell, *, python: str) -> None:
        self.where = f"{address.user}@{address.host}" if address.user else address.host
        self._shell = shell
        self._python = python
        self._node = Node(
            id=f"slurm-login-{address.host}-{address.port}",
            rank=0,
            state=NodeState.RUNNING,
            address=address,
        )

    def ask(self, verb: str, told: Mapping[str, object]) -> dict[str, Any]:
        """See `Login.ask`."""
        line = f"exec {shlex.quote(self._python)} -c {shlex.quote(desk_text())} {verb}"
        call = Call(node=self._node, line=line, stdin=json.dumps(told).encode())
        out, err = b"", b""
        with closing(self._shell.run_many([call], timeout_s=_ANSWER_S)) as events:
            for event in events:
                if isinstance(event, NodeLost):
                    raise self._lost(event.reason)
                if isinstance(event, NodeExit):
                    if event.code:
                        raise self._mute(event.code, err)
                elif event.stream is Stream.OUT:
                    out += event.data
                else:
                    err += event.data
        try:
            found: dict[str, Any] = json.loads(out)
        except ValueError as exc:
            raise Misconfigured(
                f"{self.where} says something of its own before it answers: {out[:80]!r}",
                hint="its shell's start-up files must write nothing where there is no terminal",
            ) from exc
        return found

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None) -> Events:
        """See `Login.run_many`."""
        if not calls:
            return
        sent = [
            Call(node=evolve(self._node, rank=number), line=call.line, stdin=call.stdin)
            for number, call in enumerate(calls)
        ]
        with closing(self._shell.run_many(sent, timeout_s=timeout_s)) as events:
            for event in events:
                yield _about(calls[event.node.rank].node, event)

    def upload(self, node: Node, bundle: Bundle, *, target: str) -> NodeEvent:
        """See `Login.upload`."""
        found: NodeEvent = NodeLost(node, "the upload's end was not heard")
        with closing(self._shell.upload([self._node], bundle, target=target)) as events:
            for event in events:
                found = event if not isinstance(event, NodeOutput) else found
        return _about(node, found)

    def attach(self, node: Node, line: str) -> int:
        """See `Login.attach`."""
        try:
            return self._shell.attach(self._node, line)
        except NodeUnreachable as exc:
            raise NodeUnreachable(f"the login node {self.where} gave no answer") from exc

    def _lost(self, reason: str) -> Exception:
        words = f"the login node {self.where} can't be reached: {reason}"
        if "refused" in reason and "key" in reason:
            return NotAuthorized(words, hint=f"`ssh {self.where}` must work without a password")
        return Transient(words, hint=f"`ssh {self.where}` shows whether it is you or it")

    def _mute(self, code: int, err: bytes) -> Exception:
        said = err.decode("utf-8", "replace").strip().splitlines()
        why = said[-1] if said else f"it ended with {code}"
        if code == 127:
            return Misconfigured(
                f"there is no {self._python} on {self.where}",
                hint="set slurm.python to a Python 3.8 or newer that the login node and all nodes have",
            )
        return Misconfigured(
            f"{self._python} on {self.where} can't do Flow's work: {why}",
            hint="set slurm.python to a Python 3.8 or newer that the login node and all nodes have",
        )


@cache
def desk_text() -> str:
    """Return the desk as one program."""
    folder = Path(__file__).parent
    names = ("desk_bids.py", "desk_volumes.py", "desk.py")
    return "\n".join(_IMPORTS.sub("", (folder / name).read_text("utf-8")) for name in names)


def parse_login(text: str) -> Address:
    """Return the address that `USER@HOST:PORT` names; user and port are SSH's own where it has none.

    Raises:
        Misconfigured: it names no machine.
    """
    match = re.fullmatch(
        r"(?:ssh://)?(?:([^@\s]+)@)?([^@:\s]+|\[[0-9a-fA-F:]+\])(?::([0-9]{1,5}))?/?", text
    )
    if match is None:
        raise Misconfigured(f"slurm.login is {text!r}", hint="write it like you@login.example.org")
    user, host, port = match.groups()
    return Address(host.strip("[]"), int(port or 22), user or _own_name())


def _own_name() -> str:
    import getpass

    return getpass.getuser()


def _about(node: Node, event: NodeEvent) -> NodeEvent:
    return evolve(event, node=node)
