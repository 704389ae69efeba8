"""Brings a task's volumes to their paths.

A file volume is mounted by the provider, somewhere of its own; it is bound to the path that the task names. A block
volume is a device, which is formatted the first time that anyone uses it and never again: only where every byte that
is looked at is zero and no program knows a file system on it. What holds bytes that nobody knows is left alone, and
the task fails. A formatting that was cut short by a power loss is known by a note on the node's own disk.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from flow_core.node.kit.mounting import (
    bind,
    call,
    claim,
    is_read_only,
    mounted_at,
    say,
    wait_for,
)
from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import is_there, path, write

#: How many bytes at the beginning and at the end of a device must be zero before it counts as new.
_LOOKED_AT = 8 << 20


def step(setup: list[dict[str, Any]], env: dict[str, str], command: list[str]) -> None:
    """Mount every volume; one that is within another's path comes after it."""
    for each in sorted(setup, key=lambda volume: str(volume["path"])):
        what = "volume '%s'" % each["name"]
        if each.get("device"):
            block(each["device"], each["path"].rstrip("/"), each["read_only"], what)
        else:
            file(each["source"], each["path"].rstrip("/"), each["read_only"], what)


def file(source: str, place: str, read_only: bool, what: str) -> None:
    """Bind a file volume that the provider mounts at `source`; an empty folder there is not yet the volume."""
    wait_for("%s at %s" % (what, source), lambda: bool(mounted_at(source)))
    bind(source, place, read_only, what)


def block(device: str, place: str, read_only: bool, what: str) -> None:
    """Mount a device, formatted if it is new."""
    wait_for("%s at %s" % (what, device), lambda: is_block(device))
    if os.path.isdir(place) and os.stat(place).st_dev == os.stat(device).st_rdev:
        if not read_only or is_read_only(place):
            return
        call("mount", "-o", "remount,ro", place)
        return
    claim(place, what)
    fresh = not call("wipefs", "--no-act", device).strip()
    if fresh:
        if read_only:
            raise StepFailed("%s holds nothing yet; mount it to be written to once" % what)
        format_new(device, what)
    call("mount", "-o", "ro" if read_only else "rw", device, place)
    if fresh:
        os.chmod(place, 0o1777)  # the node's users may write to it, as they may to a file volume


def format_new(device: str, what: str) -> None:
    """Make a file system on a device that holds nothing."""
    begun = "formatting-%s" % os.path.basename(device)
    if not is_there(begun) and not is_blank(device):
        raise StepFailed(
            "%s holds bytes but no file system that this node knows; it was left as it is" % what
        )
    say("formatting %s, which is new" % what)
    write(path(begun), b"")
    call("mkfs.ext4", "-q", "-F", device)
    os.remove(path(begun))


def is_block(device: str) -> bool:
    """Whether there is a block device of that name."""
    try:
        return stat.S_ISBLK(os.stat(device).st_mode)
    except OSError:
        return False


def is_blank(device: str) -> bool:
    """Whether the first and the last stretch of a device are nothing but zeros."""
    with open(device, "rb", buffering=0) as opened:
        size = opened.seek(0, os.SEEK_END)
        for offset in {0, max(size - _LOOKED_AT, 0)}:
            opened.seek(offset)
            if (opened.read(_LOOKED_AT) or b"").strip(b"\0"):
                return False
    return True
