"""Answers for a node, for as long as it is asked: lines in, a line of JSON and bytes out.

    report            the helper's state, with `alive`: whether the helper runs, and `oom`: what ran out of memory
    log OFFSET LIMIT  a stretch of the log, described as the helper's own `log` does
    known JSON        whether a folder holds a bundle already; if not, which one it `has` that came last, and which of
                      that one's files are `dirty`, changed or gone since
    unpack JSON       unpack the tar that follows, `size` bytes long, below a folder and nowhere else; unless that does
                      `complete` what is there it is all of the bundle. `gone` are paths that are no longer in it,
                      and go unless they were changed here. `lost` says why it can't be
    leave             this program ends, and the line that then comes to its end is run in its place
    deliver SIZE      take the delivery of so many bytes of JSON, as the helper's own `deliver` does; `code` is its exit
                      code, `said` what it would have written

Starting something in a running container takes a tenth of a second and more; asking this takes none.
Python 3.8, standard library only.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import sys

from flow_adapters.node_looks import MOST_DIRTY, TICK_S, looks, remove

TYPE_CHECKING = False  # `typing` is slow to load
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# ruff: noqa: PTH101, PTH103, PTH104, PTH108, PTH112, PTH113, PTH114, PTH118, PTH120, PTH123, PTH211, UP031
HOME = os.environ.get("FLOW_HOME", "/opt/flow")
#: Whether the workspace is the very folder that code would come from.
IS_LIVE = bool(os.environ.get("FLOW_LIVE"))
ENTRY = struct.Struct("<QIId")
STREAMS = ("out", "err", "note")
#: How many bytes of a path go into a file's name twice, where 255 are allowed and some follow.
MOST_NAME = 115
OOM = (
    ("/sys/fs/cgroup/memory.events", "oom_kill"),
    ("/sys/fs/cgroup/memory/memory.oom_control", "oom_kill"),
)


class Conversation:
    """What somebody asks on standard input, and what is answered; `has_begun` with the first line."""

    def __init__(self) -> None:
        self.has_begun = False

    def hold(self) -> None:
        """Answer line after line until there are no more."""
        for line in sys.stdin.buffer:
            self.has_begun = True
            verb, _, words = line.partition(b" ")
            head, data = answered(verb.rstrip(), words)
            head["bytes"] = len(data)
            # Whole, for what `first.py` tells comes between.
            sys.stdout.buffer.write(json.dumps(head).encode() + b"\n" + data)
            sys.stdout.buffer.flush()
            if verb == b"leave\n":
                return


def answered(verb: bytes, words: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the answer to a line: what goes first, as JSON, and the bytes that follow."""
    if verb == b"known":
        return known(json.loads(words)), b""
    if verb == b"unpack":
        return unpacked(json.loads(words)), b""
    if verb == b"deliver":
        return delivered(sys.stdin.buffer.read(int(words))), b""
    if verb == b"log":
        offset, limit = map(int, words.split())
        return stretch(offset, limit, report())
    return report() if verb == b"report" else {}, b""


def report() -> dict[str, Any]:
    """Return the state; {} before the helper's first word."""
    alive = lives()
    state = loaded("state.json")
    if not state:
        return {}
    if not alive and state.get("phase") in ("waiting", "running"):
        state.update(phase="interrupted", wants_delivery=False, waiting_for="")
    used = loaded("delivery.json").get("number", 0) <= state.get("used", 0)
    state["wants_delivery"] = bool(state.get("wants_delivery")) and used
    index = content("log.index")
    state["log_bytes"] = end_of(index)
    state["oom"] = killed()
    return state


def stretch(offset: int, limit: int, state: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return what describes a stretch of the log, and its bytes."""
    index = content("log.index")
    low, high = 0, len(index) // ENTRY.size
    count = high
    while low < high:
        middle = (low + high) // 2
        begin, length = entry(index, middle)[:2]
        if begin + length > offset:
            high = middle
        else:
            low = middle + 1
    pieces = []
    end = offset
    while low < count and end < offset + limit:
        begin, length, stream, at = entry(index, low)
        piece = min(begin + length, offset + limit) - end
        pieces.append([STREAMS[stream], piece, at])
        end += piece
        low += 1
    over = state.get("phase") == "exited" and end >= end_of(index)
    head = {"offset": offset, "next_offset": end, "pieces": pieces, "is_last": over}
    if end == offset:
        return head, b""
    with open(os.path.join(HOME, "log"), "rb") as file:
        return head, os.pread(file.fileno(), end - offset, offset)


def known(asked: dict[str, Any]) -> dict[str, Any]:
    """Say whether the folder holds the bundle, and what else it holds."""
    target = asked["target"]
    if IS_LIVE:
        return {"known": True}
    has, files = noted(target)
    if has == asked["digest"] and os.path.isdir(target):
        return {"known": True}
    seen = looks(target, files) if has else {}
    dirty = [name for name in seen if seen[name] != files[name]]
    if not seen or len(dirty) > MOST_DIRTY:
        has, dirty = "", []
    return {"known": False, "has": has, "dirty": dirty}


def unpacked(asked: dict[str, Any]) -> dict[str, Any]:
    """Unpack what follows; which bundle the folder holds is forgotten before and noted after."""
    import time

    target, source, came_at = asked["target"], Taken(asked["size"]), 0.0
    try:
        if IS_LIVE:
            return {}
        files = noted(target)[1]
        note(target, "", files)
        os.makedirs(target, exist_ok=True)
        came = []
        for member in members(source):
            came += place(source, member, target)
        gone = set(asked["gone"] if asked["complete"] else files) - set(came)
        remove(target, {name: files[name] for name in gone if name in files})
        came_at = time.monotonic()
        kept = (
            {name: files[name] for name in files if name not in gone} if asked["complete"] else {}
        )
        note(target, asked["digest"], dict(kept, **looks(target, came)))
        return {}
    except (OSError, ValueError) as error:
        return {"lost": "%s: %s" % (target, error)}
    finally:
        while source.read(1 << 20):
            pass
        time.sleep(max(came_at + TICK_S - time.monotonic(), 0))  # noqa: TID251  # on a node


def delivered(given: bytes) -> dict[str, Any]:
    """Take a delivery, a line and perhaps the kit, unless a newer one came before; see `flow_node.deliver`."""
    try:
        line, _, kit = given.partition(b"\n")
        new, old = json.loads(line), loaded("delivery.json")
        if new["number"] < old.get("number", 0):
            return {"code": 3, "said": ""}
        if kit:
            replace("kit.zip", kit)
        if new["number"] > old.get("number", 0):
            env = old.get("env") if new["env"] is None else new["env"]
            replace("delivery.json", json.dumps(dict(new, env=env)).encode())
        number = content("lock").strip() if lives() else b""
        if number:  # else it looks for a delivery when it listens
            os.kill(int(number), signal.SIGHUP)
    except (OSError, ValueError, KeyError) as error:
        return {"code": 1, "said": str(error)}
    return {"code": 0, "said": ""}


def replace(name: str, data: bytes) -> None:
    """Replace a file of the helper's as a whole, for its owner's eyes only."""
    path = os.path.join(HOME, name)
    os.makedirs(HOME, 0o700, exist_ok=True)
    new = "%s.%d" % (path, os.getpid())
    with open(os.open(new, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, path)


class Taken:
    """So many bytes of standard input, as a file that ends."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, count: int) -> bytes:
        """Return up to so many bytes."""
        data = sys.stdin.buffer.read(min(count, self.left))
        self.left -= len(data)
        return data

    def exactly(self, count: int) -> bytes:
        """Return so many bytes."""
        data = self.read(count)
        if len(data) < count:
            raise ValueError("the archive broke off")
        return data


class Member:
    """What a header of an archive says of a file, folder or link; a file's bytes follow it."""

    def __init__(self, head: bytes) -> None:
        self.name, self.link = text(head[:100]), text(head[157:257])
        self.mode, self.kind = numeral(head[100:108]), head[156:157]
        self.size, self.time = numeral(head[124:136]), numeral(head[136:148])
        if numeral(head[148:156]) != sum(head[:148]) + 8 * 32 + sum(head[156:]):
            raise ValueError("it is no archive of ours")


def noted(target: str) -> tuple[str, dict[str, Any]]:
    """Return which bundle a folder holds, and what the files that came look like; "" while some are on their way."""
    known = loaded(note_name(target))
    return str(known.get("digest", "")), known.get("files", {})


def note(target: str, digest: str, files: dict[str, Any]) -> None:
    """Remember which bundle a folder holds."""
    name = os.path.join(HOME, note_name(target))
    folder = os.path.dirname(name)
    if os.path.isfile(folder):  # as boxes of earlier versions have it
        os.unlink(folder)
    os.makedirs(folder, exist_ok=True)
    new = "%s.%d" % (name, os.getpid())
    with open(new, "w") as file:
        file.write(json.dumps({"digest": digest, "files": files}))  # `dump` takes six times as long
    os.rename(new, name)


def note_name(target: str) -> str:
    """Return the name of the file that tells of a folder: its path, where that isn't too long for a name."""
    path = os.fsencode(target)
    if len(path) <= MOST_NAME:
        return "uploads/" + path.hex()
    import hashlib  # which loads OpenSSL

    return "uploads/long-" + hashlib.sha256(path).hexdigest()


def members(source: Taken) -> Iterator[Member]:
    """Yield what is in an archive as GNU tar writes it; `tarfile` reads others too, and takes long to load.

    Source: GNU tar's manual, "Basic Tar Format".
    """
    long: dict[bytes, str] = {}
    while True:
        head = source.exactly(512)
        if not any(head):
            return
        member = Member(head)
        if member.kind in (b"L", b"K"):  # the next one's name, and its link's
            long[member.kind] = text(source.exactly(member.size))
        else:
            member.name = long.pop(b"L", member.name)
            member.link = long.pop(b"K", member.link)
            yield member
        source.exactly(-member.size % 512)


def text(field: bytes) -> str:
    """Return what a field says up to its first zero."""
    return os.fsdecode(field.partition(b"\0")[0])


def numeral(field: bytes) -> int:
    """Return a field's number: octal digits, or where those can't say it, bytes after one of 128 or 255."""
    if field[0] & 128:
        return int.from_bytes(field[1:], "big", signed=field[0] == 255)
    return int(text(field).strip() or "0", 8)


def place(source: Taken, member: Member, target: str) -> list[str]:
    """Put one member where it belongs, and return its name; what stands there gives way, links too.

    Nothing is written through a link.
    """
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts:
        raise ValueError("%r would land outside the folder" % member.name)
    if not parts:
        return []
    path = target
    for part in parts[:-1]:
        path = os.path.join(path, part)
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        os.makedirs(path, exist_ok=True)
    path = os.path.join(path, parts[-1])
    if member.kind == b"5":
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        os.makedirs(path, exist_ok=True)
        os.chmod(path, member.mode & 0o777 | 0o700)
        return ["/".join(parts)]
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil  # which takes long to load

        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    if member.kind == b"2":
        os.symlink(member.link, path)
    elif member.kind in (b"0", b"\0"):
        mode = member.mode & 0o777
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            left = member.size
            while left:
                left -= file.write(source.exactly(min(left, 1 << 20)))
        os.chmod(path, mode)
        os.utime(path, (member.time, member.time))
    else:
        raise ValueError("%r is neither file, folder nor symlink" % member.name)
    return ["/".join(parts)]


def lives() -> bool:
    """Whether the helper runs: it holds the lock."""
    try:
        lock = os.open(os.path.join(HOME, "lock"), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False


def killed() -> int:
    """Return how many processes of this container were ended because its memory was full."""
    for name, key in OOM:
        try:
            with open(name) as file:
                for line in file:
                    words = line.split()
                    if words[0] == key:
                        return int(words[1])
        except (OSError, ValueError, IndexError):
            pass
    return 0


def end_of(index: bytes) -> int:
    """Return where the log ends."""
    count = len(index) // ENTRY.size
    return sum(entry(index, count - 1)[:2]) if count else 0


def entry(index: bytes, number: int) -> Any:
    """Return one entry of the index: offset, length, stream, time."""
    return ENTRY.unpack_from(index, number * ENTRY.size)


def loaded(name: str) -> dict[str, Any]:
    """Return what a file of the helper's holds, {} where there is none."""
    try:
        found: dict[str, Any] = json.loads(content(name) or b"{}")
        return found
    except ValueError:
        return {}


def content(name: str) -> bytes:
    """Return a file's bytes, none where there is none."""
    try:
        with open(os.path.join(HOME, name), "rb") as file:
            return file.read()
    except OSError:
        return b""


if __name__ == "__main__":
    Conversation().hold()
