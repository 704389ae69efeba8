"""Booting nodes keep the promises that the mock's other hosts of nodes keep: the very same tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_adapters.clocks import SystemClock
from flow_providers.mock.boot.hosting import BootingNodes
from tests.conformance import test_node_hosts_alike as alike
from tests.sim_nodes.kit import refuse

pytestmark = pytest.mark.slow

for _name in [name for name in vars(alike) if name.startswith("test_")]:
    globals()[_name] = vars(alike)[_name]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[alike.Host]:
    """Nodes that boot, with nobody who wants to log in."""
    host = alike.Host(BootingNodes(tmp_path, grace_s=0.5), SystemClock())
    if host.nodes.why_bare is not None:
        refuse(host.nodes.why_bare)
    yield host
    host.nodes.lose(alike.ID, at=host.now)
    host.nodes.destroy(alike.ID, at=host.now)
