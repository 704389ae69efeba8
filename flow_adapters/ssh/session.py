"""One command on one connection: its bytes as they come, its input as the node takes it, and how it ended.

The end is heard when the channel has closed and not when the exit code arrives: the code overtakes output that is
still on its way, and who stops reading at it loses the tail.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncssh

from flow_adapters.ssh.connections import Connections, Link
from flow_adapters.ssh.lines import NodeLine
from flow_adapters.ssh.reasons import Lost
from flow_adapters.ssh.targets import Target
from flow_core.domain.run import Stream

#: Takes bytes of a stream; False asks the session to stop until the function it was given is called.
Taker = Callable[[Stream, bytes, Callable[[], None]], bool]
Feed = AsyncIterator[bytes]
#: How long a connection that was used before may take to open a session, before it counts as dead.
REUSE_S = 5.0
#: How long a command may take to end when told to, before it is killed; and then to be gone.
GRACE_S = 2.0
#: Signals by the names that SSH gives them. Source: RFC 4254, section 6.10; signal(7), Linux.
_NAMES = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM"
SIGNALS = {name: number for number, name in enumerate(_NAMES.split(), start=1)}
WINDOW = 2 << 20
_PIECE = 256 << 10


class Session(asyncssh.SSHClientSession[bytes]):
    """Hears what a channel says."""

    def __init__(self, take: Taker) -> None:
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
            async for piece in pieces:
                await self._may_write.wait()
                self.channel.write(piece)
            self.channel.write_eof()
        except BrokenPipeError:
            return

    async def end(self, signals: tuple[str, str]) -> None:
        """Have the remote command end: told, then killed, then left alone."""
        if self.channel is None:
            return
        for signal in signals:
            if self.over.done():
                return
            try:
                self.channel.send_signal(signal)
            except OSError:
                break
            await asyncio.wait({self.over}, timeout=GRACE_S)
        if not self.over.done():
            self.channel.abort()

    def _resume(self) -> None:
        if self.channel is not None:
            self.channel.resume_reading()


async def run_session(
    connections: Connections,
    target: Target,
    line: NodeLine,
    *,
    take: Taker,
    feed: Feed,
    window: int = WINDOW,
) -> int:
    """Run `line` on the node to its end and return its exit code; cancelled, it ends the command first.

    Raises:
        Lost: the command could not be run, or its end was not heard.
    """
    while True:
        async with connections.link(target) as link:
            session = await _opened(link, line, take, window)
            if session is None:
                connections.drop(link)
                continue
            return await _attended(session, feed, line, target)


async def _opened(link: Link, line: NodeLine, take: Taker, window: int) -> Session | None:
    """Return a session in which the command was begun, or None where an old connection turns out to be dead."""
    session = Session(take)
    opening = asyncio.ensure_future(
        link.connection.create_session(lambda: session, line.text, window=window, encoding=None)
    )
    try:
        await asyncio.wait({opening}, timeout=REUSE_S if link.was_used else None)
        if not opening.done() and session.channel is not None:
            await asyncio.wait({opening})  # it is no more than slow: it has opened the channel
        if not opening.done():
            opening.cancel()
            return None
        opening.result()
    except (asyncssh.Error, OSError) as error:
        # Nothing was asked of the node before the channel opened, so asking again is safe.
        if link.was_used and session.channel is None:
            return None
        where = link.target.where
        why = error.reason if isinstance(error, asyncssh.Error) else str(error)
        raise Lost(f"{where} began no session: {why}") from error
    except asyncio.CancelledError:
        opening.cancel()
        await session.end(line.signals)
        raise
    return session


async def _attended(session: Session, feed: Feed, line: NodeLine, target: Target) -> int:
    feeding = asyncio.ensure_future(session.feed(feed))
    try:
        await asyncio.wait({session.over, feeding}, return_when=asyncio.FIRST_COMPLETED)
        error = feeding.exception() if feeding.done() else None
        if error is not None:
            await session.end(line.signals)
            raise Lost(str(error)) from error
        await asyncio.wait({session.over})
    except asyncio.CancelledError:
        await session.end(line.signals)
        raise
    finally:
        feeding.cancel()
    if session.code is None:
        raise Lost(f"the connection to {target.where} was lost before the command's end was heard")
    return session.code


async def pieces_of(data: bytes) -> Feed:
    """Yield `data` in pieces that a channel takes at once."""
    view = memoryview(data)
    for start in range(0, len(data), _PIECE):
        yield bytes(view[start : start + _PIECE])
