"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flow_core.errors import FlowError, Misconfigured, NoRoom

#: What says that there is no room: the disk, or the user's share of it.
FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})


def write_whole(path: Path, data: bytes, *, mode: int | None = None) -> None:
    """Put `data` at `path` at once, flushed to the disk; whoever reads sees the old file or the new one.

    The file keeps its mode, or gets `mode`, and is made 0600 where there was none. A symlink stays one, and what it
    points to is replaced.

    Raises:
        NoRoom: the disk is full; the old file stands and nothing is left behind.
        Misconfigured: the folder can't be written.
    """
    target = path.resolve()
    with troubles_of(path):
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(target.stat().st_mode) if mode is None else mode
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                Path(name).chmod(mode)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def troubles_of(path: Path) -> Iterator[None]:
    """Translate what the system says about writing `path`."""
    try:
        yield
    except OSError as error:
        raise meaning_of(path, error) from error


def meaning_of(path: Path, error: OSError) -> FlowError:
    """Return what an error of the system means to whoever wanted to write `path`."""
    if error.errno in FULL:
        return NoRoom(f"the disk is full: {path} was not written", hint="make room and repeat")
    return Misconfigured(
        f"{path} can't be written: {error.strerror or error}",
        hint="give yourself the right to write there, or name another place",
    )
