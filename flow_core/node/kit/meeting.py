"""Lets nodes find each other through a file volume when nobody tells them who they are.

A membership is delivered by a client. Nodes that come back from a preemption or a reboot while none is awake have the
kit, the code and the delivery before on their disks; what they lack is each other's new address. A node that has
waited for `after_s` in vain *asks*: it puts its rank and address into a folder of the task's on the volume, and a
number that it changes at each look. A fellow that sees it change puts its own there too, running or not. When all are
there, rank 0 writes the membership, and each node that finds itself in it delivers it to its own helper.

A rank is what the delivery before said, so nobody has to agree on one. The number lies between those that clients
give, which are whole, so a client's next one is newer. Notes of nodes that are gone don't change and so don't count,
whatever the clocks say; a membership counts for the attempt that a node made known, so none is taken twice.

What we don't like: a note on the volume is believed, so whoever may write there may send a node to another address.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from typing import Any

from flow_core.node.kit.mounting import mounted_at
from flow_core.node.node_store import HOME, is_there, load, path, write

#: How long a client is waited for, in seconds; and how often nodes look at each other's notes.
AFTER_S = 90.0
_LOOK_S = 5.0
#: A note that doesn't change for this long is a dead node's.
_FRESH_S = 30.0
#: What numbers grow by: a power of two, so that sums are exact.
TICK = 2.0**-20
_HOST = re.compile(r"[0-9A-Za-z_.:-]+\Z")


class Meeting:
    """One node's part in it; `look` does what is due."""

    def __init__(self, after_s: float = AFTER_S) -> None:
        self.after_s = after_s
        self.pause_s = min(_LOOK_S, after_s / 4)
        self.next = 0.0
        self.since: Any = None  # since when it waits, and for a membership after which
        self.beat = 0
        self.notes: dict[int, dict[str, Any]] = {}  # fellows' last notes
        self.changed: dict[int, float] = {}  # and when they were seen to change

    def look(self, setup: dict[str, Any], now: float) -> None:
        """Ask, answer, decide or deliver, as the state of things wants it."""
        about = (setup.get("attending") or {}).get("meeting")
        if not about or now < self.next:
            return
        self.next = now + self.pause_s
        try:
            self.meet(about, now)
        except OSError:
            pass  # a volume that is away, or full

    def meet(self, about: dict[str, Any], now: float) -> None:
        """Look at the folder once."""
        state, mine = load("state.json"), load("delivery.json")
        waits = bool(state.get("wants_delivery")) and mine["number"] <= state.get("used", 0)
        waited = (mine["number"], state.get("attempt", 0))
        if not waits:
            self.since = None
        elif self.since is None or self.since[0] != waited:
            self.since = (waited, now)
        asks = waits and now - self.since[1] >= self.after_s
        if is_there("stop") or (about.get("mounted") and not mounted_at(about["mounted"])):
            return
        folder = os.path.join(about["folder"], "meeting")
        rank, count = int(mine.get("rank", 0)), len(mine["nodes"])
        fellows = self.fresh(folder, count, rank, now)
        if not asks and not any(note["asks"] for note in fellows.values()):
            if self.beat:
                self.beat = 0
                os.remove(os.path.join(folder, str(rank)))
            return
        self.beat += 1
        note = {
            "host": own_host(mine, rank),
            "port": mine["port"],
            "number": mine["number"],
            "asks": asks,
        }
        note.update(
            attempt=state.get("attempt", 0), retried=state.get("retried", 0), beat=self.beat
        )
        os.makedirs(folder, exist_ok=True)
        put(os.path.join(folder, str(rank)), note)
        notes = {**fellows, rank: note}
        if rank == 0 and len(notes) == count and not covers(read(folder, "membership"), notes):
            put(os.path.join(folder, "membership"), membership_of(notes))
        found = read(folder, "membership")
        if found and found["number"] > mine["number"] and is_in(found, rank, note):
            introduce(mine, found)
            deliver(mine, found)

    def fresh(self, folder: str, count: int, rank: int, now: float) -> dict[int, dict[str, Any]]:
        """Return the notes of the fellows that are there: those that were seen to change a short time ago."""
        for each in range(count):
            note = read(folder, str(each)) if each != rank else None
            if note is None:
                self.notes.pop(each, None)
                self.changed.pop(each, None)
                continue
            if each in self.notes and note != self.notes[each]:
                self.changed[each] = now
            self.notes[each] = note
        limit = max(_FRESH_S, 6 * self.pause_s)
        return {each: self.notes[each] for each, at in self.changed.items() if now - at < limit}


def membership_of(notes: dict[int, dict[str, Any]]) -> dict[str, Any]:
    """Return the membership of nodes that are all there, newer than any that one of them has."""
    return {
        "number": max(float(note["number"]) for note in notes.values()) + TICK,
        "retried": max(int(note["retried"]) for note in notes.values()),
        "port": notes[0]["port"],
        "nodes": [{"rank": rank, "host": notes[rank]["host"]} for rank in sorted(notes)],
        "attempts": [notes[rank]["attempt"] for rank in sorted(notes)],
    }


def covers(found: Any, notes: dict[int, dict[str, Any]]) -> bool:
    """Whether the last membership is one that all who ask may take."""
    return bool(found) and all(
        is_in(found, rank, note) and found["number"] > note["number"]
        for rank, note in notes.items()
        if note["asks"]
    )


def is_in(found: dict[str, Any], rank: int, note: dict[str, Any]) -> bool:
    """Whether a membership speaks of this very attempt of a node's, at its address."""
    try:
        told = found["attempts"][rank] == note["attempt"]
        return bool(told and found["nodes"][rank] == {"rank": rank, "host": note["host"]})
    except (IndexError, KeyError, TypeError):
        return False


def deliver(before: dict[str, Any], found: dict[str, Any]) -> None:
    """Give the helper a membership; all else stays as the delivery before had it."""
    told = {name: found[name] for name in ("number", "retried", "port", "nodes")}
    subprocess.run(
        [sys.executable, path("bin/flow-node"), "deliver"],
        input=json.dumps(dict(before, env=None, **told)).encode(),
        env=dict(os.environ, FLOW_HOME=HOME),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )


def introduce(before: dict[str, Any], found: dict[str, Any]) -> None:
    """Have logins between the nodes, where they have a key pair of their own, go to and come from the new addresses."""
    old = {each["rank"]: each["host"] for each in before["nodes"]}
    moved = {old[each["rank"]]: each["host"] for each in found["nodes"]}
    moved = {was: now for was, now in moved.items() if was != now}
    if not moved or not is_there("ssh/id"):
        return
    either = re.compile(r"(?<![\w.:-])(%s)(?![\w:-]|\.\w)" % "|".join(map(re.escape, moved)))
    allowed = os.path.join(os.path.expanduser("~"), ".ssh/authorized_keys")
    for place, mark in ((path("ssh/config"), ""), (allowed, " flow:" + path("ssh"))):
        try:
            with open(place) as file:
                lines = file.read().splitlines(True)
        except OSError:
            continue
        new = [
            either.sub(lambda was: moved[was.group(1)], line)
            if line.rstrip().endswith(mark)
            else line
            for line in lines
        ]
        if new != lines:
            write(os.path.realpath(place), "".join(new).encode())


def own_host(mine: dict[str, Any], rank: int) -> str:
    """Return what fellows reach this node by: its address before, where that is still its own, else the one that
    leads to where they were.
    """
    before = {int(each["rank"]): str(each["host"]) for each in mine["nodes"]}
    if is_local(before[rank]):
        return before[rank]
    for each in sorted(before):
        found = "" if each == rank else source_towards(before[each])
        if found:
            return found
    return before[rank]


def is_local(host: str) -> bool:
    """Whether an interface of this node has the address."""
    for family, kind, _, _, address in looked_up(host):
        with socket.socket(family, kind) as tried:
            try:
                tried.bind((address[0], 0))
                return True
            except OSError:
                continue
    return False


def source_towards(host: str) -> str:
    """Return the address of this node from which packets to `host` would leave; empty where there is no way."""
    for family, kind, _, _, address in looked_up(host):
        with socket.socket(family, kind) as tried:
            try:
                tried.connect(address)  # a datagram's: nothing is sent
                return str(tried.getsockname()[0])
            except OSError:
                continue
    return ""


def looked_up(host: str) -> list[Any]:
    """Return the addresses of a name or address, as datagrams would be sent there."""
    try:
        return list(socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM))
    except OSError:
        return []


def read(folder: str, name: str) -> Any:
    """Return a note; None where there is none that can be read and believed."""
    try:
        with open(os.path.join(folder, name)) as file:
            found = json.load(file)
        hosts = (
            [each["host"] for each in found["nodes"]] if name == "membership" else [found["host"]]
        )
        sound = all(isinstance(host, str) and _HOST.match(host) for host in hosts)
        int(found["port"]), float(found["number"])
        needed = ("attempts",) if name == "membership" else ("asks", "attempt", "beat")
        return found if sound and all(each in found for each in (*needed, "retried")) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def put(place: str, note: dict[str, Any]) -> None:
    """Replace a note as a whole."""
    new = "%s.%s" % (place, socket.gethostname())
    with open(new, "w") as file:
        json.dump(note, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(new, place)
