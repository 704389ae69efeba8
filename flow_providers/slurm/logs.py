"""The logs role: the helper's files in the shared folder, which outlive their nodes."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping

from flow_core.domain import node_files
from flow_core.domain.bid import BidState
from flow_core.domain.run import LogChunk, RunPhase, RunReport
from flow_core.errors import Conflict, NotFound
from flow_providers.slurm.estate import Estate, Found

#: How a command ends that Slurm ended: by TERM, or KILL. The helper may take that for the command's own end.
_KILLED = (128 + 15, 128 + 9)


class SlurmLogs:
    """Implements `ports.logs.Logs`."""

    def __init__(self, estate: Estate) -> None:
        self._estate = estate

    def reports(self, bid_ids: Collection[str]) -> Mapping[str, tuple[RunReport, ...]]:
        """See `Logs.reports`."""
        if not bid_ids:
            return {}
        world = self._estate.look()
        if any(each not in world.live for each in bid_ids):
            world = self._estate.look(ended=bid_ids)
        return {bid_id: reports_of(world.get(bid_id)) for bid_id in bid_ids}

    def read(self, bid_id: str, rank: int, *, offset: int = 0, limit: int = 1 << 20) -> LogChunk:
        """See `Logs.read`."""
        try:
            told = self._estate.read("log", id=bid_id, rank=rank, offset=offset, limit=limit)
        except Conflict as exc:
            raise NotFound(exc.message) from exc
        answer = json.dumps(told["head"]).encode() + b"\n" + base64.b64decode(told["data"])
        return node_files.parse_log_answer(answer, rank=rank, offset=offset)


def reports_of(found: Found | None) -> tuple[RunReport, ...]:
    """Return what the nodes of a bid say; what Slurm ended was interrupted, which is no end."""
    if found is None:
        return ()
    # The helper's life is the allocation's: one ends with the other.
    is_up = found.state is BidState.ALLOCATED
    cut = found.is_cut
    reports = []
    for rank, state in found.nodes.items():
        told = dict(state)
        phase = told.get("phase")
        if (not is_up and phase in (RunPhase.WAITING.value, RunPhase.RUNNING.value)) or (
            cut and phase == RunPhase.EXITED.value and told.get("exit_code") in _KILLED
        ):
            told.update(phase=RunPhase.INTERRUPTED.value, wants_delivery=False, waiting_for="")
        reports.append(node_files.parse_state(json.dumps(told), rank=rank))
    return tuple(reports)
