"""The Mithril adapter keeps every provider's promises at the simulator behind a real port.

The world runs at the pace of real time, and the tests' waits move it and the adapter's clock on together.
"""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from flow_adapters.clocks import SystemClock
from flow_core.domain.bid import Bid
from flow_core.domain.shape import InstanceShape
from flow_core.ports.clock import Clock
from flow_core.ports.provider import Provider
from flow_providers.conformance import Controls, ProviderContract, Rig
from flow_providers.mock.http.server import Server
from flow_providers.mock.http.service import on_disk
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.rules import Mood
from tests.meeting.site import Gate, bid_of_teammate, connect, controls, told_shell, whereabouts


class MovedClock:
    """The machine's clock and a lead over it; a sleep is a longer lead."""

    def __init__(self) -> None:
        self._real = SystemClock()
        self._lead = timedelta(0)

    def now(self) -> datetime:
        """Return the machine's time and the lead."""
        return self._real.now() + self._lead

    def sleep(self, seconds: float) -> None:
        """Be so much further ahead."""
        self._lead += timedelta(seconds=max(0.0, seconds))


class SocketRig(Rig):
    """A new world, and a server of its own, for every test."""

    may_lack = ("commands", "logs", "forward")
    patience_s = 3600.0
    step_s = 30.0
    a_while_s = 300.0
    many = 8
    no_such_id = "bid_0000000000000000"
    runs_commands = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def provider(self) -> Provider:
        """A service of its own, in a thread, behind a free port of loopback."""
        self.clock = MovedClock()
        nodes = MemoryNodes(self.clock)
        self.service = on_disk(
            self.folder,
            self.clock,
            rate=1,
            mood=Mood.QUIET,
            seed=1,
            host=nodes,
            whereabouts=whereabouts,
        )
        self.server = Server(self.service, port=0)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        self.gate = Gate(httpx.HTTPTransport())
        self.plain = httpx.Client(base_url=self.server.url, trust_env=False)
        self.made = connect(
            self.service,
            url=self.server.url,
            clock=self.clock,
            shell=told_shell(nodes),
            transport=self.gate,
        )
        return self.made

    def advance(self, clock: Clock, seconds: float) -> None:
        """Let time pass for the world and for the adapter alike."""
        left = seconds
        while left > 0:
            self.clock.sleep(min(left, STRIDE_S))
            self.service.engine.catch_up()
            left -= STRIDE_S

    def a_shape(self) -> InstanceShape:
        """One of several regions' markets, for each whose price is asked costs a request."""
        return InstanceShape("cpu", 0)

    @property
    def controls(self) -> Controls:
        """All that can happen at the service."""
        return controls(
            self.service,
            self.gate,
            advance=lambda seconds: self.advance(self.clock, seconds),
            teammate=self._teammate,
        )

    def _teammate(self, like: Bid) -> Bid:
        return bid_of_teammate(self.service, self.made, self.plain, like)

    def close(self) -> None:
        """Stop the server."""
        self.plain.close()
        self.gate.close()
        self.server.stop()
        self.thread.join()


#: A world that nobody looks at for longer than this stands still. Source: `flow_providers.mock.pace.GAP_S`.
STRIDE_S = 60.0


@pytest.mark.slow
class TestMithrilOverASocket(ProviderContract):
    @pytest.fixture
    def rig(self, tmp_path: Path) -> Rig:
        """A folder of its own for each world."""
        return SocketRig(tmp_path)
