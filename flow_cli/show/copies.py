"""How far a copy has come, and what became of it."""

from __future__ import annotations

from collections.abc import Collection

from flow_cli.show.exits import ranks_text

_UNITS = ("kB", "MB", "GB", "TB")


def size_text(count: int) -> str:
    """Return a number of bytes as people say it: `512 B`, `1.5 MB`."""
    if count < 1000:
        return f"{count} B"
    power = 1
    while round(count / 1000**power, 1) >= 1000 and power < len(_UNITS):
        power += 1
    return f"{count / 1000**power:.1f} {_UNITS[power - 1]}"


def progress_text(done: int, total: int | None) -> str:
    """Return how much has come of how much; the whole is unknown at first."""
    if not total:
        return f"copying: {size_text(done)}"
    return f"copying: {size_text(done)} of {size_text(total)} ({min(100, done * 100 // total)} %)"


def copied_text(files: int, count: int, ranks: Collection[int], *, is_upload: bool) -> str:
    """Return what was copied, to or from which nodes; `files` and `count` (bytes) are those of one node or of all."""
    what = f"{files} file{'s' * (files != 1)}, {size_text(count)}"
    where = f"node{'s' * (len(ranks) > 1)} {ranks_text(ranks)}"
    return f"✓ {what} {'to' if is_upload else 'from'} {where}"


def uploaded_text(
    task: str, files: int, count: int, ranks: Collection[int], *, is_new: bool, completed: bool
) -> str:
    """Return what became of an upload: the snapshot's size, and the nodes that have it, if there are any yet."""
    what = f"{files} file{'s' * (files != 1)}, {size_text(count)}"
    if not ranks:
        return f"✓ {task} has no nodes yet; they get {what} when they come"
    where = f"node{'s' * (len(ranks) > 1)} {ranks_text(ranks)}"
    if completed:
        return f"✓ {what} to {where}, which begin now"
    if not is_new:
        return f"✓ {where} had {what} already"
    return f"✓ {what} to {where}"
