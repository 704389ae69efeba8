"""Fixtures for users' own test suites: a pretend cloud, its clock, and a session that `flow.run` uses.

Loaded by pytest at its start in every environment that has Flow installed, so nothing but pytest is imported here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flow_adapters.clocks import ManualClock
    from flow_core.services.session import Session
    from flow_providers.mock.pretend import PretendCloud


@pytest.fixture
def pretend_cloud() -> PretendCloud:
    """Make a pretend cloud in memory; its time stands still until the test moves `clock`."""
    from flow_providers.mock.pretend import PretendCloud

    return PretendCloud()


@pytest.fixture
def clock(pretend_cloud: PretendCloud) -> ManualClock:
    """Hold the pretend cloud's time: `clock.advance(hours=3)` lets everything happen on the way."""
    return pretend_cloud.clock


@pytest.fixture
def session(pretend_cloud: PretendCloud) -> Iterator[Session]:
    """Connect to the pretend cloud; in the test, `flow.run` and friends use this session."""
    import flow
    from flow_adapters.wiring import connect_in_memory

    with flow.use(connect_in_memory(pretend_cloud)) as connected:
        yield connected
