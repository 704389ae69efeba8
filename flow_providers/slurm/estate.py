"""The bids that there are: what the desk tells of them, asked for once however many there are.

Slurm's controller serves a whole cluster, so it is asked no oftener than is worth it: often after anything has changed,
then ever less. What nodes say lies in files, which cost it nothing and are read each time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from attrs import field, frozen

from flow_core.domain.bid import Bid, BidState
from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape
from flow_core.errors import NotFound
from flow_providers.slurm import words
from flow_providers.slurm.errors import translated
from flow_providers.slurm.login import Login

#: Real seconds for which one look serves all three roles, and between two questions to the controller.
SAME_LOOK_S = 0.1
LEAST_S, MOST_S = 0.2, 10.0
#: The part of the time since the last change that is waited before the next question.
EAGERNESS = 0.1
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

#: Ends that are no end of the command's.
_CUT = ("TIMEOUT", "NODE_FAIL", "PREEMPTED")

Row = Mapping[str, str]


@frozen(kw_only=True)
class Found:
    """One bid: what was asked, Slurm's row of it where it has one, its end where it has ended, its nodes' words."""

    id: str
    told: Mapping[str, Any]
    row: Row | None = None
    is_over: bool = False

    @property
    def job(self) -> str:
        """Slurm's number of it."""
        return str(self.told["job"])

    @property
    def end(self) -> Mapping[str, Any] | None:
        """How it ended, where it has."""
        return self.told.get("end")

    @property
    def state(self) -> BidState:
        """Where it is."""
        if self.is_over or self.end is not None:
            return BidState.TERMINATED
        return BidState.OPEN if self.row is None else words.state_of(self.row)

    @property
    def nodes(self) -> Mapping[int, Mapping[str, Any]]:
        """What each node's helper last wrote, by rank."""
        told = self.told.get("nodes", {})
        return {int(rank): told[rank] for rank in sorted(told, key=int)}

    @property
    def is_cut(self) -> bool:
        """Whether Slurm ended what runs, or is ending it, for a reason of its own or of the cluster's people."""
        end = self.end
        return bool(self.told.get("is_cut")) if end is None else end["state"] in _CUT

    def detail(self) -> str:
        """Return in words what it waits for, or why it ended."""
        end = self.end
        if end is not None:
            if not end.get("limit") and end["state"] == "CANCELLED" and not end.get("why"):
                return ""
            return words.ending_words(end["state"], why=end["why"], limit=end.get("limit", ""))
        if self.row is None or self.state is BidState.ALLOCATED:
            return ""
        return words.waiting_words(self.row, cut=self.told.get("cut", ""))

    def bid(self) -> Bid:
        """Return it as the market tells it."""
        told, end = self.told, self.end
        created = moment(told["created_at"])
        ended = None if end is None else max(created, moment(end["at"]))
        return Bid(
            id=self.id,
            name=told["name"],
            state=self.state,
            shape=InstanceShape(told["gpu"], told["gpus"], told["memory_gb"]),
            region=told["region"],
            quantity=told["quantity"],
            limit=Price(told["limit"]),
            created_at=created,
            ended_at=ended,
            type_id=told["type_id"],
            detail=self.detail(),
            ran_out=end is not None and end["state"] == "TIMEOUT",
        )


@frozen
class World:
    """What there was at one look: live bids, and those ended ones that were asked for."""

    live: Mapping[str, Found] = field(factory=dict)
    ended: Mapping[str, Found] = field(factory=dict)

    def get(self, bid_id: str) -> Found | None:
        """Return one bid."""
        return self.live.get(bid_id) or self.ended.get(bid_id)


class Estate:
    """Knows the bids; threads may share it. `root` is the shared folder, as the login node has it."""

    def __init__(self, login: Login, root: str) -> None:
        self.login = login
        self.root = root
        self._lock = threading.Lock()
        self._rows: dict[str, Row] = {}
        self._asked_at = self._changed_at = float("-inf")
        self._looked_at, self._world = float("-inf"), World()

    def look(self, *, ended: Collection[str] | bool = False) -> World:
        """Return what there is now; of ended bids those of these ids, or all."""
        with self._lock:
            now = time.monotonic()
            if ended is False and now - self._looked_at < SAME_LOOK_S:
                return self._world
            wants_rows = now - self._asked_at >= self._patience(now)
            wanted = ended if isinstance(ended, bool) else sorted(ended)
            told = self._ask("look", queue=wants_rows, ended=wanted)
            if not wants_rows and any(each not in self._rows for each in told["bids"]):
                wants_rows = True  # somebody else has placed one
                told = self._ask("look", queue=True, ended=wanted)
            if wants_rows:
                self._heard(told["rows"], now)
            world = World(
                {
                    each: Found(id=each, told=bid, row=self._rows.get(each))
                    for each, bid in told["bids"].items()
                },
                {
                    each: Found(id=each, told=bid, is_over=True)
                    for each, bid in told["ended"].items()
                },
            )
            self._looked_at, self._world = time.monotonic(), world
            return world

    def find(self, bid_id: str) -> Found:
        """Return one bid, live or ended.

        Raises:
            NotFound: there is none.
        """
        found = self.look(ended=[bid_id]).get(bid_id)
        if found is None:
            raise NotFound(f"Slurm has no bid {bid_id!r} of yours")
        return found

    def do(self, verb: str, **told: object) -> dict[str, Any]:
        """Have the desk change something, and look anew the next time."""
        try:
            return self._ask(verb, **told)
        finally:
            self.stir()

    def read(self, verb: str, **told: object) -> dict[str, Any]:
        """Return what the desk answers to a question that changes nothing."""
        return self._ask(verb, **told)

    def stir(self) -> None:
        """Ask the controller at the next look, and soon again after it: something has happened."""
        with self._lock:
            self._asked_at = self._looked_at = float("-inf")
            self._changed_at = time.monotonic()

    def _ask(self, verb: str, **told: object) -> dict[str, Any]:
        answer = self.login.ask(verb, {"root": self.root, **told})
        if "refused" in answer:
            raise translated(answer, where=self.login.where)
        return answer

    def _patience(self, now: float) -> float:
        return min(MOST_S, max(LEAST_S, (now - self._changed_at) * EAGERNESS))

    def _heard(self, rows: list[dict[str, str]], now: float) -> None:
        found: dict[str, Row] = {
            row["comment"][5:]: row for row in rows if row["comment"].startswith("flow:")
        }
        if found != self._rows:
            self._changed_at = now
        self._rows, self._asked_at = found, now


def moment(unix_s: float) -> datetime:
    """Return the aware UTC time of `unix_s`."""
    return _EPOCH + timedelta(seconds=unix_s)
