"""What moves an SSH channel's bytes to a process and back, without SSH and without a node."""

from __future__ import annotations

import asyncio
import os

from flow_providers.mock.boot.session import _Pump

MANY = 3 << 20


class Channel:
    """A channel that has more to deliver, and then its end, as soon as it may read again."""

    def __init__(self, waiting: list[bytes]) -> None:
        self.waiting = waiting
        self.pump: _Pump | None = None
        self.written = b""
        self._is_paused = False

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        if not self._is_paused:
            return
        self._is_paused = False
        while self.waiting and not self._is_paused:
            self.pump.take(self.waiting.pop(0))
        if not self.waiting:
            self.pump.take_end()

    def write(self, data: bytes, _: object) -> None:
        self.written += data


def read_all(pipe: int) -> bytes:
    """Everything that comes from a pipe."""
    with os.fdopen(pipe, "rb") as file:
        return file.read()


def test_input_that_ends_while_the_process_is_slow_arrives_whole():
    """The end of the input that comes along with its last bytes cuts none of them off."""

    async def move() -> int:
        channel = Channel([b"b" * MANY])
        pump = channel.pump = _Pump(asyncio.get_running_loop(), channel)
        pipe, out, err = pump.open_pipes()
        pump.begin()
        pump.take(b"a" * MANY)
        data = await asyncio.get_running_loop().run_in_executor(None, read_all, pipe)
        for each in (out, err):
            os.close(each)
        await pump.all_read
        pump.close()
        return len(data)

    assert 2 * MANY == asyncio.run(move())


def test_output_waits_while_the_channel_is_full():
    """A pump that is held reads nothing; all it was given is there when it goes on."""

    async def move() -> tuple[bytes, bytes]:
        channel = Channel([])
        pump = channel.pump = _Pump(asyncio.get_running_loop(), channel)
        pipe, out, err = pump.open_pipes()
        pump.begin()
        pump.hold()
        os.write(out, b"said")
        for _ in range(5):
            await asyncio.sleep(0)
        before = channel.written
        for each in (pipe, out, err):
            os.close(each)
        pump.go_on()
        await pump.all_read
        pump.close()
        return before, channel.written

    assert (b"", b"said") == asyncio.run(move())
