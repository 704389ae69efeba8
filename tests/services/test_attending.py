"""What nodes are told to do beside the command."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from flow_adapters.ssh import SshShell
from flow_core.domain.status import TaskView
from flow_core.domain.task_parts import RunOn
from flow_core.services.setting_up import setup_of
from flow_providers.mock import PretendCloud
from tests.services.test_data import session_over, spec


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("run_on", RunOn)
def test_nodes_with_ssh_between_them_end_each_other(nodes: int, run_on: RunOn):
    """Where every one of several nodes runs the command and can log in to the others, one that fails ends them."""
    found = []
    for ssh in (None, SshShell(state_dir=Path("unused"))):
        session = session_over(PretendCloud())
        provider = evolve(session.ports.provider, ssh=ssh)
        session.ports = evolve(session.ports, provider=provider)
        record = session.tasks.submit(evolve(spec(), num_instances=nodes, run_on=run_on))
        told = setup_of(session.ports, TaskView(record=record))
        found.append(told.get("attending"))

    several = nodes > 1 and run_on is RunOn.EVERY_NODE
    assert [None, {"failing": True} if several else None] == found
