"""The Mithril adapter keeps every provider's promises at the simulator, no socket between them.

Nodes are remembered, not booted: what needs commands that really run is declared lacking.
"""

from __future__ import annotations

import httpx

from flow_adapters.clocks import ManualClock
from flow_core.domain.bid import Bid
from flow_core.domain.shape import InstanceShape
from flow_core.ports.provider import Provider
from flow_providers.conformance import Controls, ProviderContract, Rig
from flow_providers.mock.http.service import in_memory
from flow_providers.mock.http.transport import DoorTransport
from flow_providers.mock.memory_nodes import MemoryNodes
from tests.meeting.site import (
    URL,
    Gate,
    bid_of_teammate,
    connect,
    controls,
    told_shell,
    whereabouts,
)


class DoorRig(Rig):
    """A new simulator for every test; its clock is the adapter's too."""

    may_lack = ("commands", "logs", "forward")
    patience_s = 3600.0
    step_s = 30.0
    a_while_s = 300.0
    many = 110  # more than a page
    no_such_id = "bid_0000000000000000"
    runs_commands = False

    def provider(self) -> Provider:
        """A service of its own."""
        clock = ManualClock()
        nodes = MemoryNodes(clock)
        self.service = in_memory(clock, host=nodes, whereabouts=whereabouts)
        door = DoorTransport(self.service.handle)
        self.gate = Gate(door)
        self.plain = httpx.Client(transport=door, base_url=URL)
        self.made = connect(self.service, clock=clock, shell=told_shell(nodes), transport=self.gate)
        return self.made

    def a_shape(self) -> InstanceShape:
        """One of several regions' markets, for each whose price is asked costs a request."""
        return InstanceShape("cpu", 0)

    @property
    def controls(self) -> Controls:
        """All that can happen at the service."""
        return controls(
            self.service,
            self.gate,
            advance=lambda seconds: self.advance(self.made.clock, seconds),
            teammate=self._teammate,
        )

    def _teammate(self, like: Bid) -> Bid:
        return bid_of_teammate(self.service, self.made, self.plain, like)


class TestMithrilWithoutSocket(ProviderContract):
    rig = DoorRig()
