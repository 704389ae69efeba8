"""The pretend cloud in memory keeps every promise but those of real commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flow_core.ports.provider import Provider
from flow_providers.conformance import LINES, Controls, Line, ProviderContract, Rig
from flow_providers.mock.control import Control
from flow_providers.mock.pretend import PretendCloud
from flow_providers.mock.told import FOREVER, Item, PretendRun
from tests.conformance.mock_controls import controls


class MemoryRig(Rig):
    """A new cloud for every test, its nodes told what the kit's lines do."""

    may_lack = ("commands", "refuse_login", "teammate_bids")
    patience_s = 3600.0
    step_s = 10.0
    a_while_s = 300.0
    many = 150
    runs_commands = False

    def provider(self) -> Provider:
        """A cloud of its own."""
        self.cloud = PretendCloud()
        for line in LINES:
            self.cloud.on(line.text, behaves(line))
            self.cloud.on_shell(line.text, lambda _, line=line: (line.code, line.out))
        return self.cloud.provider

    @property
    def controls(self) -> Controls:
        """All that the cloud's own faults can do."""
        return controls(Control(self.cloud.engine))


def behaves(line: Line) -> Callable[[PretendRun], Iterator[Item]]:
    """What a told command does so that it is like `line`."""

    def run(_: PretendRun) -> Iterator[Item]:
        yield line.out + line.err
        if line.takes_s:
            yield FOREVER
        return line.code

    return run


class TestMockInMemory(ProviderContract):
    rig = MemoryRig()
