"""A bid's folder at the desk: what is in it, and what becomes of it. Joined with `desk.py` where that is run elsewhere.

Python 3.8, standard library only.
"""

import contextlib
import json
import os
import struct
import subprocess
import time
from typing import Any, Dict, List, Optional

Told = Dict[str, Any]
#: Bids whose logs are kept; the oldest go first.
MOST_ENDED = 200
#: What the batch script writes first: behind it are Slurm's words of this start, before it those of others.
BEGINS = "flow-begins"
ENTRY = struct.Struct("<QIId")
LOGS = ("state.json", "log", "log.index")
#: What commands and nodes begin with: nothing of the caller's own but this.
KEPT = (
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "SLURM_CONF", "BASH_ENV", "MANPATH",
    "MODULEPATH", "MODULESHOME", "MODULES_CMD", "LMOD_CMD", "LMOD_DIR", "LMOD_PKG", "LMOD_ROOT",
)  # fmt: skip


class Refused(Exception):
    """Something that can't be done here; `kind` is for the program, `says` for people."""

    def __init__(self, kind: str, says: str) -> None:
        super().__init__(says)
        self.kind = kind
        self.says = says


def told_apart(row: Dict[str, str], now: str) -> Dict[str, str]:
    """Return a row in which what completes and then waits again is told from what ends: its end isn't past."""
    if row["state"] == "COMPLETING" and (not row["end"][:1].isdigit() or row["end"] > now):
        return dict(row, state="REQUEUED")
    return row


def why_it_ended(folder: str) -> str:
    """Return what Slurm's own last words about it give as the reason, such as PREEMPTION; empty where none."""
    said = content(os.path.join(folder, "slurm.out"))[-4096:].decode("utf-8", "replace")
    found = [line.split(" DUE TO ")[1] for line in said.splitlines() if " DUE TO " in line]
    return found[-1].replace(" ***", "").split(",")[0].strip() if found else ""


def is_cut(folder: str) -> bool:
    """Whether Slurm ends, or has ended, what runs since the last start, for whatever reason."""
    said = content(os.path.join(folder, "slurm.out"))[-4096:].decode("utf-8", "replace")
    return " CANCELLED AT " in said.rpartition(BEGINS + "\n")[2]


def complaint(folder: str) -> str:
    """Return the last of what our own script had to complain of; empty where nothing."""
    said = content(os.path.join(folder, "slurm.out"))[-4096:].decode("utf-8", "replace")
    found = [line for line in said.splitlines() if line.startswith("flow: ")]
    return found[-1] if found else ""


def read_bid(folder: str) -> Told:
    """Return all that is known of a bid without Slurm; empty where its folder isn't one."""
    bid = load(os.path.join(folder, "bid.json"))
    if not bid:
        return {}
    bid["mounts"] = json.loads(content(os.path.join(folder, "mounts")) or b"[]")
    bid["job"] = text_of(os.path.join(folder, "job"))
    nodes = {}
    for name in listed(folder):
        if name.startswith("node-"):
            report = read_report(os.path.join(folder, name))
            if report:
                nodes[name[5:]] = report
    bid["nodes"] = nodes
    # After what nodes say: who ends them says so first.
    end = load(os.path.join(folder, "end.json"))
    if end:
        bid["end"] = end
    elif bid["job"]:
        bid["cut"] = why_it_ended(folder)
        bid["is_cut"] = is_cut(folder)
    return bid


def read_report(home: str) -> Told:
    """Return what a node's helper last wrote, with what only its other files tell."""
    state = load(os.path.join(home, "state.json"))
    if not state:
        return {}
    brought = load(os.path.join(home, "delivery.json")).get("number", 0)
    state["wants_delivery"] = bool(state.get("wants_delivery")) and brought <= state.get("used", 0)
    state["log_bytes"] = end_of(content(os.path.join(home, "log.index")))
    return state


def node_folder(told: Told) -> Optional[str]:
    """Return the folder of a node's files, of a live bid or an ended one."""
    if not is_plain(told["id"]):
        return None
    for kind in ("bids", "ended"):
        path = os.path.join(root_of(told), kind, told["id"], "node-%d" % told["rank"])
        if os.path.isdir(path):
            return path
    return None


def prune(root: str, place: str) -> None:
    """Leave of an ended bid its record and its logs, and of old ones nothing."""
    for name in listed(place):
        path = os.path.join(place, name)
        if name.startswith("work-") or name in ("batch.sh", "held.json", "mounts.py"):
            drop(root, path)
        elif name.startswith("node-"):
            for each in listed(path):
                if each not in LOGS:
                    drop(root, os.path.join(path, each))
    folder = os.path.dirname(place)
    for path in eldest(folder, keep=MOST_ENDED):
        drop(root, path)
    sweep(root)


def eldest(folder: str, keep: int) -> List[str]:
    """Return what a folder holds beyond the newest so many."""
    found = []
    for name in listed(folder):
        path = os.path.join(folder, name)
        with contextlib.suppress(FileNotFoundError):
            found.append((os.stat(path).st_mtime, path))
    return [path for _, path in sorted(found)[:-keep]]


def drop(root: str, path: str) -> None:
    """Take something away at once, for everybody; `sweep` has the disk have it back."""
    if not os.path.isdir(path) or os.path.islink(path):
        os.unlink(path)
        return
    trash = os.path.join(root, "trash")
    os.makedirs(trash, exist_ok=True)
    gone = "%s.%d.%d" % (os.path.basename(path), os.getpid(), time.monotonic_ns())
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, os.path.join(trash, gone))


def sweep(root: str) -> None:
    """Begin to remove what was taken away; a process of its own goes on with it."""
    trash = os.path.join(root, "trash")
    if listed(trash):
        null = subprocess.DEVNULL
        words = ["sh", "-c", 'rm -rf -- "$1"/* &', "sh", trash]
        subprocess.call(words, stdin=null, stdout=null, stderr=null, start_new_session=True)


def environment() -> Dict[str, str]:
    """Return the variables that Slurm's commands begin with; times are told in UTC."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return dict(kept, TZ="UTC")


def root_of(told: Told) -> str:
    """Return the shared folder, made when it isn't there."""
    root: str = os.path.abspath(os.path.expanduser(told["root"]))
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
    except OSError as error:
        raise Refused("folder", "%s can't be made: %s" % (root, error.strerror)) from error
    return root


def is_plain(name: str) -> bool:
    """Whether a name names a folder here and nothing else."""
    return bool(name) and "/" not in name and not name.startswith(".")


def listed(folder: str) -> List[str]:
    """Return what a folder holds, nothing where there is none."""
    try:
        return sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []


def load(path: str) -> Told:
    """Return what a file of JSON holds, {} where there is none."""
    try:
        found: Told = json.loads(content(path) or b"{}")
        return found
    except ValueError:
        return {}


def content(path: str) -> bytes:
    """Return a file's bytes, none where there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def text_of(path: str) -> str:
    """Return what a file says."""
    return content(path).decode("ascii", "replace").strip()


def write(path: str, text: str) -> None:
    """Replace a file as a whole, for its owner's eyes only."""
    new = "%s.%d" % (path, os.getpid())
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
    os.rename(new, path)


def quoted(text: str) -> str:
    """Return a text as one word of a shell's."""
    return "'" + text.replace("'", "'\\''") + "'"


def entry(index: bytes, number: int) -> Any:
    """Return one entry of the index: offset, length, stream, time."""
    return ENTRY.unpack_from(index, number * ENTRY.size)


def count_of(index: bytes) -> int:
    """Return how many whole entries an index has."""
    return len(index) // ENTRY.size


def end_of(index: bytes) -> int:
    """Return where the log ends."""
    count = count_of(index)
    return sum(entry(index, count - 1)[:2]) if count else 0
