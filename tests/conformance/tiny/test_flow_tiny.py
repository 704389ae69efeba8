"""Everything that Flow promises of a provider, tried on tiny."""

import shutil
import tempfile

from flow_tiny import connect

from flow_adapters.clocks import SystemClock
from flow_core.ports.provider import Provider, ProviderContext
from flow_providers.conformance import ProviderContract, Rig


class TinyRig(Rig):
    a_while_s = 0.1
    resolution_s = 0.001
    step_s = 0.05

    def provider(self) -> Provider:
        self.folder = tempfile.mkdtemp()
        return connect(ProviderContext(state_dir=self.folder, clock=SystemClock()))

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class TestTiny(ProviderContract):
    rig = TinyRig()
