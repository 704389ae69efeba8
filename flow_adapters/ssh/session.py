"""One command on one connection: its bytes as they come, its input as the node takes it, and how it ended.

The end is heard when the channel has closed and not when the exit code arrives: the code overtakes output that is
still on its way, and who stops reading at it loses the tail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from flow_adapters.lean_asyncssh import asyncssh
from flow_adapters.ssh.connections import Connections, Link
from flow_adapters.ssh.lines import GRACE_S, Head, ending_line
from flow_adapters.ssh.reasons import Lost
from flow_adapters.ssh.targets import Target
from flow_core.domain.run import Stream

#: Takes bytes of a stream; False asks the session to stop until the function it was given is called.
Taker = Callable[[Stream, bytes, Callable[[], None]], bool]
Feed = AsyncGenerator[bytes, None]
#: How long a connection that was used before may take to open a session, before it counts as dead.
REUSE_S = 5.0
#: Signals by the names that SSH gives them. Source: RFC 4254, section 6.10; signal(7), Linux.
_NAMES = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM"
SIGNALS = {name: number for number, name in enumerate(_NAMES.split(), start=1)}
WINDOW = 2 << 20
_PIECE = 256 << 10


class Session(asyncssh.SSHClientSession[bytes]):
    """Hears what a channel says."""

    def __init__(self, take: Taker) -> None:
        self.head = Head()
        self.channel: asyncssh.SSHClientChannel[bytes] | None = None
        self.code: int | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._take = take
        self._may_write = asyncio.Event()
        self._may_write.set()

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Remember the channel: from here on the command may have begun."""
        self.channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Hand bytes on, and pause the channel when nobody takes them."""
        stream = Stream.ERR if datatype == asyncssh.EXTENDED_DATA_STDERR else Stream.OUT
        if stream is Stream.ERR:
            data = self.head.without(data)
            if not data:
                return
        if not self._take(stream, data, self._resume) and self.channel is not None:
            self.channel.pause_reading()

    def eof_received(self) -> bool:
        """Leave our own direction open: a command may close its output and still read."""
        return True

    def exit_status_received(self, status: int) -> None:
        """Remember the exit code."""
        self.code = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:
        """Turn a signal into the code that a shell would give."""
        self.code = 128 + SIGNALS.get(signal, 0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that all has been heard."""
        unread = self.head.rest()
        if unread:
            self._take(Stream.ERR, unread, self._resume)
        self._may_write.set()
        if not self.over.done():
            self.over.set_result(None)

    def pause_writing(self) -> None:
        """Stop sending; the node's window is full."""
        self._may_write.clear()

    def resume_writing(self) -> None:
        """Send on."""
        self._may_write.set()

    async def feed(self, pieces: Feed) -> None:
        """Send all of the input, then its end; a command that stops reading gets no more."""
        assert self.channel is not None
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    await self._may_write.wait()
                    self.channel.write(piece)
            self.channel.write_eof()
        except BrokenPipeError:
            return

    def _resume(self) -> None:
        if self.channel is not None:
            self.channel.resume_reading()


async def run_session(
    connections: Connections,
    target: Target,
    line: str,
    *,
    take: Taker,
    feed: Feed,
    sudo: Sequence[str] = (),
    window: int = WINDOW,
) -> int:
    """Run `line` on the node to its end and return its exit code; cancelled, it ends the command first.

    Raises:
        Lost: the command could not be run, or its end was not heard.
    """
    while True:
        async with connections.link(target) as link:
            session = Session(take)
            try:
                if not await _opened(link, session, line, window):
                    connections.drop(link)
                    continue
                return await _attended(session, feed, target)
            except BaseException:
                # What ends a command is itself not cut short, by a second Ctrl-C or a program that leaves.
                ending = asyncio.create_task(_end(link, session, sudo))
                connections.last_work.add(ending)
                ending.add_done_callback(connections.last_work.discard)
                await asyncio.wait({ending})
                raise


async def _opened(link: Link, session: Session, line: str, window: int) -> bool:
    """Begin the command; False where an old connection turns out to be dead, and nothing was begun."""
    opening = asyncio.ensure_future(
        link.connection.create_session(lambda: session, line, window=window, encoding=None)
    )
    try:
        await asyncio.wait({opening}, timeout=REUSE_S if link.was_used else None)
        if not opening.done() and session.channel is not None:
            await asyncio.wait({opening})  # it is no more than slow: it has opened the channel
        if not opening.done():
            return False
        opening.result()
    except (asyncssh.Error, OSError) as error:
        # Nothing was asked of the node before the channel opened, so asking again is safe.
        if link.was_used and session.channel is None:
            return False
        where = link.target.where
        why = error.reason if isinstance(error, asyncssh.Error) else str(error)
        raise Lost(f"{where} began no session: {why}") from error
    finally:
        opening.cancel()
    return True


async def _attended(session: Session, feed: Feed, target: Target) -> int:
    feeding = asyncio.ensure_future(session.feed(feed))
    try:
        await asyncio.wait({session.over, feeding}, return_when=asyncio.FIRST_COMPLETED)
        error = feeding.exception() if feeding.done() else None
        if error is not None:
            raise Lost(str(error)) from error
        await asyncio.wait({session.over})
    finally:
        feeding.cancel()
    if session.code is None:
        raise Lost(f"the connection to {target.where} was lost before the command's end was heard")
    return session.code


async def _end(link: Link, session: Session, sudo: Sequence[str]) -> None:
    """Have the command end: told, then killed, then left alone. Returns when it has, or its node doesn't answer."""
    channel = session.channel
    if channel is None:
        return
    channel.resume_reading()
    for signal in ("TERM", "KILL"):
        if session.over.done():
            return
        try:
            if session.head.leader is None:
                channel.send_signal(
                    signal
                )  # it hasn't said who it is; some servers pass signals on
            else:
                async with link.one_more:
                    await asyncio.wait_for(_tell(link, session.head.leader, signal, sudo), GRACE_S)
        except (OSError, asyncio.TimeoutError, asyncssh.Error):
            break
        await asyncio.wait({session.over}, timeout=GRACE_S)
    if not session.over.done():
        channel.abort()


async def _tell(link: Link, leader: int, signal: str, sudo: Sequence[str]) -> None:
    teller = Session(lambda *_: True)
    line = ending_line(leader, signal, sudo=sudo)
    await link.connection.create_session(lambda: teller, line, encoding=None)
    await asyncio.wait({teller.over})


async def pieces_of(data: bytes) -> Feed:
    """Yield `data` in pieces that a channel takes at once."""
    view = memoryview(data)
    for start in range(0, len(data), _PIECE):
        yield bytes(view[start : start + _PIECE])
