"""The file by which a node's programs learn that it is about to be taken.

Source: contract, section 3, "In-guest signal": the path, the three keys, and that it is there only under notice.
The time is the node's own clock's, not the simulated one.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from flow_core.domain.node_files import utc

_FOLDER, _NAME = "mithril", "MITHRIL_SIGNAL.yml"
_INTO = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


def put_signal(disk: Path, deadline: float | None, *, is_moving: bool = False) -> None:
    """Put the file on a node's boot disk, or take it away (None); `deadline` is in unix seconds.

    No link is followed on the way: whoever is root on a node can't have this machine's own files written so.
    """
    with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as stack:
        place = os.open(disk / "opt", _INTO)
        stack.callback(os.close, place)
        if deadline is not None:
            with contextlib.suppress(FileExistsError):
                os.mkdir(_FOLDER, 0o755, dir_fd=place)
        folder = os.open(_FOLDER, _INTO, dir_fd=place)
        stack.callback(os.close, folder)
        if deadline is None:
            os.unlink(_NAME, dir_fd=folder)
            return
        status = "RELOCATING" if is_moving else "PREEMPTING"
        text = (
            f"instance_status: STATUS_{status}\n"
            f"bid_status: {status.capitalize()}\n"
            f"end_time: '{utc(deadline):%Y-%m-%dT%H:%M:%SZ}'\n"
        )
        new = f".{_NAME}.new"
        written = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644, dir_fd=folder)
        with os.fdopen(written, "w") as file:
            file.write(text)
        os.replace(new, _NAME, src_dir_fd=folder, dst_dir_fd=folder)
