"""A command's input from an iterable that may keep its reader waiting: asked in a thread, so that the room goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress

from flow_adapters.ssh.reasons import Lost
from flow_adapters.ssh.session import Feed, pieces_of


async def fed(pieces: Iterable[bytes]) -> Feed:
    """Yield what `pieces` gives, each asked for when the one before has been taken.

    Raises:
        Lost: the iterable raised; the message is its own.
    """
    loop = asyncio.get_running_loop()
    wanted = threading.Semaphore(0)
    came: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
    is_over = False

    def tell(what: bytes | BaseException | None) -> None:
        # A loop that has closed meanwhile has nobody who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(came.put_nowait, what)

    def ask() -> None:
        wanted.acquire()
        try:
            for piece in pieces:
                if is_over:
                    return
                tell(piece)
                wanted.acquire()
                if is_over:
                    return
        except Exception as error:  # noqa: BLE001  (whatever it is, it is told to who waits)
            tell(error)
        else:
            tell(None)

    threading.Thread(target=ask, name="flow-ssh-input", daemon=True).start()
    try:
        while True:
            wanted.release()
            piece = await came.get()
            if piece is None:
                return
            if isinstance(piece, BaseException):
                raise Lost(f"its input broke off: {piece}") from piece
            async for part in pieces_of(piece):
                yield part
    finally:
        is_over = True
        wanted.release()
