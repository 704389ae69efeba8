"""A user's module: nothing of it is installed on any node."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

from attrs import frozen

import flow

app = flow.App("tests", environment="none", keep_warm=30)


class OutOfLuck(Exception):
    """An exception of the project's own."""

    def __init__(self, number: int, *, why: str = "luck") -> None:
        super().__init__(number)
        self.number = number
        self.why = why


@frozen
class Point:
    """A value of the project's own."""

    x: int


@app.function(gpu="a100")
def double(x: int, *, says: str = "") -> int:
    """Return twice `x`."""
    if says:
        print(says)
    return 2 * x


@app.function(gpu="a100")
def act(how: str, where: str = "") -> Any:
    """Do what `how` says."""
    if how == "raise":
        raise OutOfLuck(7)
    if how == "lock":
        return {"a": [1, threading.Lock()]}
    if how == "die":
        os._exit(9)
    if how == "sleep":
        with Path(where).open("a") as file:
            file.write("x")
        if Path(where).stat().st_size == 1:
            threading.Event().wait(60)
    if how == "tell":
        print("begun\nmore")
        while not Path(where).exists():
            threading.Event().wait(0.02)
        print("end")
    if how == "forge":
        import gc

        [server] = [each for each in gc.get_objects() if type(each).__name__ == "Server"]
        server.send(5, server.number, b"V" + bytes(32))
    return Point(3) if how == "point" else os.getpid()


@app.function(gpu="a100")
async def later(x: int) -> int:
    """Return twice `x`, after a turn of the event loop."""
    import asyncio

    await asyncio.sleep(0)
    return 2 * x


@app.function(gpu="a100", retries=1)
def second_time(marker: str) -> tuple[int, int]:
    """Fail at first, then return the process ids of both times."""
    if not Path(marker).exists():
        Path(marker).write_text(str(os.getpid()))
        raise ValueError("first")
    return int(Path(marker).read_text()), os.getpid()


@app.function(gpu="a100", timeout=60)
def together(folder: str, number: int) -> int:
    """Return this process's id once another is here, too: both workers have come then."""
    Path(folder, str(os.getpid())).touch()
    while len(list(Path(folder).iterdir())) < 2:
        threading.Event().wait(0.01)
    return os.getpid()


@app.function(gpu="a100", timeout=0.5)
def slow() -> None:
    """Take longer than allowed."""
    threading.Event().wait(60)


@app.function(gpu="a100", result_format="json")
def plain(value: Any) -> Any:
    """Return something for JSON; an odd one for 'set'."""
    if value == "raise":
        raise KeyError("gone")
    return {"a": {1}} if value == "set" else value


@app.function(gpu="a100")
def counted(x: int, folder: str) -> int:
    """Leave a trace in `folder` for each time that `x` is computed; what is under 0 takes luck."""
    if x < 0 and not Path(folder, "lucky").exists():
        raise OutOfLuck(x)
    with Path(folder, str(x)).open("a") as file:
        file.write("x")
    return x * x


def found_there() -> tuple[str, str, str]:
    """Return which environment runs this, its Python, and what a package of the test's says."""
    import platform
    import sys

    import tinypkg  # type: ignore[import-not-found]

    return sys.prefix, platform.python_version(), tinypkg.WORD
