"""Calls by OpenSSH's own client, for who comes to one node once.

It begins sooner than a connection of ours, which takes a fifth of a second to load, and it encrypts in C. What it can't
do, such as ask for a passphrase or say in our words why a node gave no answer, is left to ours: it then says nothing.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from flow_adapters.ssh.lines import GRACE_S, Head, Tail, ending_surely_line, spelled
from flow_adapters.ssh.openssh import OWN_FAILURE, ssh_words
from flow_core.domain.allocation import Node
from flow_core.domain.run import Stream
from flow_core.ports.shell import NodeEvent, NodeExit, NodeLost, NodeOutput

#: What a call must not have of the user's settings; the first word on each counts. Only keys log in: what is tried
#: before them, such as Kerberos, may wait for name servers. Source: ssh_config(5).
_PLAIN = (
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "PreferredAuthentications=publickey",
    "RemoteCommand=none",
    "RequestTTY=no",
    "SendEnv=-*",
)
#: How much is read at once, and how much the pipe may hold: the most for a user who isn't root. Source: pipe(7).
#: Larger pieces cost more in fresh memory than they save in turns.
_PIECE = 64 << 10
_PIPE = 1 << 20


@frozen
class Way:
    """How OpenSSH's client reaches a node, told what Flow insists on; see `ssh_words` for its door."""

    program: str
    node: Node
    options: Sequence[str]
    sudo: Sequence[str] = ()
    door: Path | None = None
    keeps_door: bool = False

    def words(self, line: str, *, keeps_door: bool = False) -> list[str]:
        """Return the command that runs a line there, and nothing else."""
        plain = [word for each in _PLAIN for word in ("-o", each)]
        return ssh_words(
            self.program,
            self.node,
            line,
            options=[*plain, *self.options],
            door=self.door,
            keeps_door=keeps_door,
        )


class Late(Exception):
    """The time that a call has is over."""


class Client:
    """OpenSSH's client at work on a line that keeps its code: what is said there, and how it ended.

    It is no child of the terminal's, so Ctrl-C reaches the command on the node alone, when the client is closed. One
    that has `begun` with these very words is taken over.

    Raises:
        OSError: it can't be started.
    """

    def __init__(
        self,
        way: Way,
        line: str,
        *,
        has_input: bool = False,
        keeps_door: bool = False,
        timeout_s: float | None = None,
        begun: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self._way = way
        self._ends = None if timeout_s is None else time.monotonic() + timeout_s
        self._head, self._tail = Head(), Tail()
        pipe = subprocess.PIPE
        self._ssh = begun or subprocess.Popen(
            way.words(line, keeps_door=keeps_door), bufsize=0, stdin=pipe if has_input else subprocess.DEVNULL,
            stdout=pipe, stderr=pipe, start_new_session=True,
        )  # fmt: skip
        assert self._ssh.stdout is not None
        assert self._ssh.stderr is not None
        self._ready = selectors.DefaultSelector()
        self._ready.register(self._ssh.stdout, selectors.EVENT_READ, Stream.OUT)
        self._ready.register(self._ssh.stderr, selectors.EVENT_READ, Stream.ERR)
        _widen(self._ssh.stdout.fileno())

    @property
    def has_begun(self) -> bool:
        """Whether the node has said so; before, what is said on standard error may be ssh's own."""
        return self._head.leader is not None

    @property
    def has_ended(self) -> bool:
        """Whether the client has, the connection with it."""
        return self._ssh.poll() is not None

    def send(self, pieces: Iterable[bytes]) -> None:
        """Send input to the command; one that stops reading gets no more."""
        assert self._ssh.stdin is not None
        with suppress(BrokenPipeError):
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    rest = rest[self._ssh.stdin.write(rest) :]

    def become(self, line: str) -> None:
        """Have what waits there for a line become it; what is sent from now on is its input."""
        self.send([spelled(line)])

    def go_on(self, line: str, *, timeout_s: float | None) -> None:
        """Have what waits there become a line without input."""
        self._ends = None if timeout_s is None else time.monotonic() + timeout_s
        self.become(line)
        self.end_input()

    def end_input(self) -> None:
        """Say that no more comes."""
        assert self._ssh.stdin is not None
        with suppress(BrokenPipeError):
            self._ssh.stdin.close()

    def leave(self) -> None:
        """End the input, and wait a little for the command to end with it.

        A client that others go through ends with the last of them.
        """
        self.end_input()
        try:
            self._ssh.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            threading.Thread(target=self._ssh.wait, name="flow-ssh-door", daemon=True).start()
            self._shut()
        else:
            self.close()

    def pieces(self) -> Iterator[tuple[Stream, bytes]]:
        """Yield what the command says until it has said all.

        Raises:
            Late: there is no time left.
        """
        while self._ready.get_map():
            left = None if self._ends is None else max(self._ends - time.monotonic(), 0)
            found = self._ready.select(left)
            if not found:
                raise Late
            for key, _ in found:
                data = os.read(key.fd, _PIECE)
                if not data:
                    self._ready.unregister(key.fileobj)
                elif key.data is Stream.ERR:
                    data = self._tail.without(self._head.without(data))
                if data:
                    yield key.data, data
        if self.has_begun and (rest := self._tail.rest()):
            yield Stream.ERR, rest

    def code(self) -> int | None:
        """Wait for the end and return the command's exit code; None where the connection ended before it did."""
        code = self._ssh.wait()
        if code == OWN_FAILURE and self._tail.is_ended:
            return code
        return None if code == OWN_FAILURE or code < 0 else code

    def unsaid(self) -> bytes:
        """Return what was said on standard error without the command having begun."""
        return self._head.rest()

    def close(self) -> None:
        """End the command, where it still runs, and the client."""
        try:
            if self._ssh.poll() is None:
                self._end()
        finally:
            if self._ssh.poll() is None:
                self._ssh.kill()
            self._ssh.wait()
            self._shut()

    def _shut(self) -> None:
        self._ready.close()
        for each in (self._ssh.stdin, self._ssh.stdout, self._ssh.stderr):
            if each is not None:
                with suppress(BrokenPipeError):
                    each.close()

    def _end(self) -> None:
        """Tell the command to end, by a client of its own: what has begun is found by its group's number."""
        self._ends = time.monotonic() + GRACE_S
        if not self.has_begun:
            with suppress(Late):
                for _ in self.pieces():
                    if self.has_begun:
                        break
        leader = self._head.leader
        if leader is None or self._ssh.poll() is not None:
            return
        line = ending_surely_line(leader, grace_s=GRACE_S, sudo=self._way.sudo)
        null = subprocess.DEVNULL
        ending = subprocess.Popen(
            self._way.words(line), stdin=null, stdout=null, stderr=null, start_new_session=True
        )
        # One that can't be reached is left to itself; it ends when its connection is given up.
        with suppress(subprocess.TimeoutExpired):
            ending.wait(2 * GRACE_S + 1)


def called(way: Way, line: str, *, timeout_s: float | None) -> Generator[NodeEvent, None, bool]:
    """Yield what happens as it happens; return whether anything did, for where not the call may be made again."""
    try:
        client = Client(way, line, timeout_s=timeout_s)
    except OSError:
        return False
    return (yield from attended(client, way.node, timeout_s=timeout_s))


def attended(
    client: Client, node: Node, *, timeout_s: float | None
) -> Generator[NodeEvent, None, bool]:
    """Do as `called` does, with a client that is at work."""
    assert node.address is not None
    try:
        for stream, data in client.pieces():
            yield NodeOutput(node, stream, data)
        code = client.code()
        if code is None and not client.has_begun:
            return False
        if unsaid := client.unsaid():
            yield NodeOutput(node, Stream.ERR, unsaid)
        where = node.address.host
        yield (
            NodeExit(node, code)
            if code is not None
            else NodeLost(
                node, f"the connection to {where} was lost before the command's end was heard"
            )
        )
    except Late:
        yield NodeLost(node, f"did not end within {timeout_s:g} s, and is being ended")
    finally:
        client.close()
    return True


def _widen(pipe: int) -> None:
    """Let a pipe hold more, where the system has room; each filling is one turn of the loop."""
    import fcntl

    try:
        fcntl.fcntl(pipe, getattr(fcntl, "F_SETPIPE_SZ", 1031), _PIPE)
    except OSError:
        return
