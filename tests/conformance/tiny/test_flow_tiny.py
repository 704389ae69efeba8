"""Everything that Flow promises of a provider, tried on tiny."""

from pathlib import Path

import pytest
from flow_tiny import connect

from flow_adapters.clocks import SystemClock
from flow_core.ports.provider import Provider, ProviderContext
from flow_providers.conformance import ProviderContract, Rig


class TinyRig(Rig):
    step_s = 0.05
    a_while_s = 0.1
    resolution_s = 0.001

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def provider(self) -> Provider:
        return connect(ProviderContext(state_dir=str(self.folder), clock=SystemClock()))


class TestTiny(ProviderContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        return TinyRig(tmp_path)
