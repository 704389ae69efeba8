"""Small task records for tests that need some."""

from __future__ import annotations

from random import Random

from flow_core.domain.names import new_token
from flow_core.domain.record import Outcome, TaskRecord
from flow_core.domain.task import TaskSpec
from tests.strategies import EPOCH

DONE = {"outcome": Outcome.SUCCEEDED, "exit_code": 0, "ended_at": EPOCH, "released": True}
_chance = Random(7)


def record(name="train", provider="mock", **changes) -> TaskRecord:
    """A record of a small task, with a token of its own."""
    values = {"spec": TaskSpec(command="true"), "created_at": EPOCH, **changes}
    return TaskRecord(token=new_token(_chance), name=name, provider=provider, **values)
