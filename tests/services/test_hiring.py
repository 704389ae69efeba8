"""Hiring a worker for calls: one that could not be submitted whole is nobody's cost."""

from __future__ import annotations

import pytest
from attrs import evolve

import flow
from flow_adapters.wiring import connect_in_memory
from flow_core.domain.shape import parse_shape
from flow_core.services.calls import Calls
from flow_core.services.watcher import Watcher
from flow_providers.mock import PretendCloud


class Broken:
    """Files of a node that can't be read, as nobody foresaw."""

    def __getattr__(self, name: str) -> object:
        raise SystemError(name)


def test_a_worker_whose_submission_failed_is_cancelled():
    """What failed after the task was written down leaves no task that the watcher would see to."""
    session = connect_in_memory(PretendCloud())
    ports = evolve(session.ports, node_files=Broken())
    spec = flow.TaskSpec(command="serve", name="calls-abc", instance_type=parse_shape("a100"))

    with pytest.raises(SystemError):
        Calls(ports).hire(spec)

    asked = session.ports.journal.find("calls-abc").cancel_asked
    Watcher(session.ports).tick()

    assert asked
    assert session.ports.journal.find("calls-abc").has_ended
    assert [] == list(session.ports.provider.market.bids())
