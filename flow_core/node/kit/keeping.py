"""Keeps a copy of this node's log where it outlives the node: on a volume of the task's, else in a bucket.

The copy is the log's bytes in files of SEGMENT bytes, each named by the offset it begins at, so that their names sort
as they follow on each other. Of a log longer than KEPT of them the end is kept, and a note that sorts before it says
where it begins. A volume has what was written a second
ago; a bucket, whose objects can only be put as a whole, a minute ago. Both have the last word before the node goes in
order. A log that begins anew, on another disk, has a folder of its own, named by the time it began.
"""

from __future__ import annotations

import os
import time
from typing import Any

from flow_core.node.kit import s3_api
from flow_core.node.kit.mounting import mounted_at
from flow_core.node.kit.steps import StepFailed
from flow_core.node.node_store import ENTRY, entry, load, opened, save, write

SEGMENT = 8 << 20
KEPT = 128
#: Seconds between looks at a log that goes to a bucket, and after a try that came to nothing.
_SELDOM_S = 60.0
_AGAIN_S = 5.0


class Keeping:
    """One node's copy; `look` brings it up to date."""

    def __init__(self, segment: int = SEGMENT, most: int = KEPT) -> None:
        self.segment, self.most = segment, most
        self.log, self.index = opened("log"), opened("log.index")
        told = load("kept.json")
        self.name = told.get("log") or time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        self.first, self.done = int(told.get("first", 0)), int(told.get("done", 0))
        if not told:
            self.save()
        self.next = 0.0

    def look(self, setup: dict[str, Any], now: float, is_last: bool = False) -> None:
        """Copy what the log has grown by since the last look; at most once a minute to a bucket, but for the last."""
        about = (setup.get("attending") or {}).get("log")
        if not about or (now < self.next and not is_last):
            return
        if about.get("bucket"):
            self.next = now + _SELDOM_S
        size = self.size()
        if size == self.done:
            return
        try:
            self.copy(about, setup, size)
        except (OSError, StepFailed):  # a full or absent volume, a bucket that doesn't answer
            self.next = max(self.next, now + _AGAIN_S)

    def copy(self, about: dict[str, Any], setup: dict[str, Any], size: int) -> None:
        """Copy up to `size`; whatever is copied of a file by then is copied again after a restart."""
        rank = load("delivery.json").get("rank", 0)
        place = "log/node-%d-%s" % (rank, self.name)
        first = max(size // self.segment - self.most, 0) * self.segment
        if first > self.first:
            self.drop(about, setup, place, first)
        while self.done < size:
            begin = self.done - self.done % self.segment
            end = min(size, begin + self.segment)
            name = "%s/%012d.log" % (place, begin)
            if about.get("bucket"):
                data = os.pread(self.log, end - begin, begin)
                self.put(about, setup, name, data)
            else:
                self.add(about, name, begin, end)
            self.done = end
            if end % self.segment == 0:
                self.save()

    def drop(self, about: dict[str, Any], setup: dict[str, Any], place: str, first: int) -> None:
        """Drop the files before `first`, and say so where they were."""
        note = b"flow: what the log had before byte %d is no longer kept here\n" % first
        name = "%s/%012d-dropped.log" % (place, 0)
        if about.get("bucket"):
            self.put(about, setup, name, note)
        else:
            write(made(about, name), note)
            os.chmod(made(about, name), 0o644)
        # A restart forgets how much of the last file was there.
        for begin in range(self.first, min(first, self.done + self.segment), self.segment):
            old = "%s/%012d.log" % (place, begin)
            if about.get("bucket"):
                mount, keys = in_bucket(about, setup)
                s3_api.drop(mount, keys, "/".join((about["folder"], old)))
            elif os.path.exists(made(about, old)):
                os.remove(made(about, old))
        self.first, self.done = first, max(self.done, first)
        self.save()

    def save(self) -> None:
        """Keep what a restart goes on from."""
        done = self.done - self.done % self.segment
        save("kept.json", {"log": self.name, "done": done, "first": self.first})

    def add(self, about: dict[str, Any], name: str, begin: int, end: int) -> None:
        """Write into a file of the volume's what it lacks."""
        file = os.open(made(about, name), os.O_WRONLY | os.O_CREAT, 0o644)
        try:
            while self.done < end:
                data = os.pread(self.log, min(end - self.done, 1 << 20), self.done)
                if not data:
                    raise StepFailed("the log lacks bytes")
                self.done += os.pwrite(file, data, self.done - begin)
        finally:
            os.close(file)

    def put(self, about: dict[str, Any], setup: dict[str, Any], name: str, data: bytes) -> None:
        """Put a file into the bucket as a whole."""
        mount, keys = in_bucket(about, setup)
        s3_api.put(mount, keys, "/".join((about["folder"], name)), data)

    def size(self) -> int:
        """Return where the log ends; bytes that its index doesn't have are not yet of it."""
        count = os.fstat(self.index).st_size // ENTRY.size
        if not count:
            return 0
        begin, length = entry(self.index, count - 1)[:2]
        return int(begin + length)


def made(about: dict[str, Any], name: str) -> str:
    """Return where a file of the volume's is, its folder made if need be."""
    if about.get("mounted") and not mounted_at(about["mounted"]):
        raise StepFailed("%s is not mounted" % about["mounted"])
    place = os.path.join(about["folder"], name)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    return place


def in_bucket(
    about: dict[str, Any], setup: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the mount whose bucket takes the log, and the newest keys to it."""
    told = setup.get("s3") or {}
    for mount in told.get("mounts", ()):
        if mount["path"] == about["bucket"]:
            return dict(mount), told["keys"]
    raise StepFailed("%s is no bucket of the task's" % about["bucket"])
