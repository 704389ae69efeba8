"""A run of `map` on disk: its calls' arguments, and the results that are there.

`<state>/calls/<id>/` holds about.json, requests (8 bytes of length, then the bytes, call after call) and results
(number and length in 16 bytes, then the bytes, as they came). A result counts once it is whole. Nothing here is
ever loaded by anyone but its owner: the folder is 0700. Whoever works on a run holds its lock. What nobody came back
for in a month is removed by the next run.
"""

from __future__ import annotations

import io
import json
import os
import secrets
import shutil
import struct
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from flow_adapters import places
from flow_adapters.locks import FileLock, is_held
from flow_adapters.python._pool_call import value_in
from flow_core.domain.call import ResultFormat
from flow_core.errors import Conflict, FlowError, NotFound

_LENGTH = struct.Struct(">Q")
_ENTRY = struct.Struct(">QQ")
_PIECE = 1 << 20
_FORGOTTEN_S = 30 * 24 * 3600
Keep = Callable[[IO[bytes], int], None]


class Run:
    """What a run is made of; without a folder all is in memory and nothing is kept."""

    def __init__(
        self, folder: Path | None, requests: IO[bytes], places_: list[tuple[int, int]]
    ) -> None:
        self.id = folder.name if folder is not None else ""
        self._folder = folder
        self._requests = requests
        self._places = places_
        self._lock = threading.Lock()
        self._results: dict[int, tuple[int, int]] = {}
        self._kept: Any = None
        self._end = 0
        if folder is not None:
            self._mine = FileLock(folder / "lock")
            if not self._mine.take():
                raise Conflict(
                    f"run {self.id!r} is going on in another process, or elsewhere in this one"
                )
            self._kept = (folder / "results").open("a+b")
            self._read_results()

    @property
    def count(self) -> int:
        """How many calls it has."""
        return len(self._places)

    def request(self, number: int) -> bytes:
        """Return one call's arguments."""
        offset, length = self._places[number]
        with self._lock:
            if self._requests.closed:  # the run was dropped; whoever asks was cancelled
                return b""
            self._requests.seek(offset)
            return self._requests.read(length)

    def has(self, number: int) -> bool:
        """Whether a call's result is there already."""
        return number in self._results

    def value(self, number: int, form: ResultFormat) -> Any:
        """Return a result that is there, read from its file."""
        offset, length = self._results[number]
        assert self._folder is not None
        with (self._folder / "results").open("rb") as file:
            file.seek(offset)
            return value_in(
                file if form is ResultFormat.PICKLE else io.BytesIO(file.read(length)), form
            )

    def keeper(self, number: int) -> Keep | None:
        """Return what keeps a call's result; None where nothing is kept."""
        return None if self._kept is None else lambda file, size: self._keep(number, file, size)

    def leave(self) -> None:
        """Let go of the run; it stays, and others may open it."""
        with self._lock:
            self._requests.close()
            if self._kept is not None:
                self._kept.close()
                self._kept = None
                self._mine.give_up()

    def drop(self) -> None:
        """Forget the run: it has ended."""
        is_ours = self._kept is not None
        self.leave()
        if is_ours and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _keep(self, number: int, file: IO[bytes], size: int) -> None:
        with self._lock:
            if self._kept is None:
                return
            self._kept.write(_ENTRY.pack(number, size))
            shutil.copyfileobj(file, self._kept, _PIECE)
            self._kept.flush()
            self._results[number] = (self._end + _ENTRY.size, size)
            self._end += _ENTRY.size + size

    def _read_results(self) -> None:
        """Find what is whole; what a kill cut short is cut off."""
        end = self._kept.seek(0, os.SEEK_END)
        place = 0
        while place + _ENTRY.size <= end:
            self._kept.seek(place)
            number, length = _ENTRY.unpack(self._kept.read(_ENTRY.size))
            if place + _ENTRY.size + length > end:
                break
            self._results[number] = (place + _ENTRY.size, length)
            place += _ENTRY.size + length
        self._kept.truncate(place)
        self._end = place


def begin_run(
    environ: Mapping[str, str] | None, about: Mapping[str, object], requests: Iterable[bytes]
) -> Run:
    """Write a new run down; in memory where `environ` is None."""
    folder: Path | None = None
    file: Any = io.BytesIO()
    if environ is not None:
        folder = places.made(places.state_dir(environ)) / "calls" / secrets.token_hex(6)
        folder.mkdir(parents=True, mode=0o700)
        _remove_forgotten(folder)
        file = (folder / "requests").open("w+b")
    found = []
    for each in requests:
        file.write(_LENGTH.pack(len(each)))
        found.append((file.tell(), len(each)))
        file.write(each)
    file.flush()
    if folder is not None:
        (folder / "about.json").write_text(json.dumps(about), "utf-8")
    return Run(folder, file, found)


def open_run(environ: Mapping[str, str], run_id: str) -> tuple[Run, dict[str, Any]]:
    """Return a run that was begun earlier, and what it is about.

    Raises:
        NotFound: none of that id is kept here.
        Conflict: another process works on it.
    """
    folder = places.state_dir(environ) / "calls" / run_id
    if not run_id.isalnum() or not (folder / "about.json").exists():
        raise NotFound(
            f"no run {run_id!r} is kept here",
            hint="a run is dropped when all its results were taken out",
        )
    file = (folder / "requests").open("rb")
    found, place = [], 0
    while head := file.read(_LENGTH.size):
        length = _LENGTH.unpack(head)[0]
        place += _LENGTH.size
        found.append((place, length))
        place = file.seek(place + length)
    about: dict[str, Any] = json.loads((folder / "about.json").read_text("utf-8"))
    try:
        return Run(folder, file, found), about
    except FlowError:
        file.close()
        raise


def kept_runs(environ: Mapping[str, str], app: str) -> list[str]:
    """Return the ids of an App's runs that are kept here, those begun last first."""
    found = []
    for about in (places.state_dir(environ) / "calls").glob("*/about.json"):
        with suppress(OSError, ValueError):
            if json.loads(about.read_text("utf-8"))["app"] == app:
                found.append((about.stat().st_mtime, about.parent.name))
    return [name for _, name in sorted(found, reverse=True)]


def _remove_forgotten(new: Path) -> None:
    for folder in new.parent.iterdir():
        with suppress(OSError):
            written = max(each.stat().st_mtime for each in (folder, *folder.iterdir()))
            age = new.stat().st_mtime - written
            if age > _FORGOTTEN_S and not is_held(folder / "lock"):
                shutil.rmtree(folder, ignore_errors=True)
