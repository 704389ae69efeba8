"""What files look like on a node, and which of them may go: parts of the programs that unpack code there.

They import them as any module does; on their way to a node `with_looks` puts the text in the import's place.

Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False  # `typing` is slow to load
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# ruff: noqa: PTH106, PTH108, SIM105
#: More changed files than these and all is sent.
MOST_DIRTY = 2_000
#: Longer than any system's clock takes to tick, so that what changes later has another time.
#: Source: Linux, kernel/Kconfig.hz: a hundredth of a second at most.
TICK_S = 0.012


def looks(folder: str, paths: Iterable[str]) -> dict[str, Any]:
    """Return what changes with each file: all of it, a folder's mode alone; None where it isn't, or behind a link."""
    lies: dict[str, bool] = {}
    return {path: look(folder, path, lies) for path in paths}


def look(folder: str, path: str, lies: dict[str, bool]) -> list[int] | None:
    """Return what changes with one file; `lies` remembers which folders are none."""
    try:
        seen = os.lstat(folder + "/" + path)
    except OSError:
        return None
    if not real(folder, path, lies):
        return None
    if stat.S_ISDIR(seen.st_mode):
        return [seen.st_mode]
    return [seen.st_mode, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino]


def real(folder: str, path: str, lies: dict[str, bool]) -> bool:
    """Whether every folder on the way to `path` is one, and no link; `lies` remembers."""
    above = path.rpartition("/")[0]
    if not above:
        return True
    if above not in lies:
        try:
            mode = os.lstat(folder + "/" + above).st_mode
            lies[above] = stat.S_ISDIR(mode) and real(folder, above, lies)
        except OSError:
            lies[above] = False
    return lies[above]


def remove(folder: str, files: dict[str, Any]) -> None:
    """Remove what looks as it did when it came; a folder with something else in it stays."""
    seen = looks(folder, files)
    for path in sorted(files, reverse=True):
        if seen[path] is not None and seen[path] == files[path]:
            discard(folder, path, is_folder=len(files[path]) == 1)


def discard(folder: str, path: str, *, is_folder: bool) -> None:
    """Remove what is there, unless it is a folder with something in it."""
    place = folder + "/" + path
    try:
        os.rmdir(place) if is_folder else os.unlink(place)
    except OSError:
        pass
