"""Everything that Flow promises of a provider, tried on a real Docker engine."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from flow_adapters.clocks import SystemClock
from flow_core.domain.bid import Bid, Launch
from flow_core.domain.shape import InstanceShape, parse_shape
from flow_core.ports.provider import Provider, ProviderContext
from flow_providers.conformance import Controls, ProviderContract, Rig
from flow_providers.local_docker import connect
from flow_providers.local_docker.address import parse_address
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.world import FRESH_S
from tests.local_docker.cut_wire import CutWire
from tests.local_docker.engine import BARE_IMAGE

# Real processes on a shared machine: see RACING in the tests' conftest.
pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.flaky(reruns=1)]


#: How the request begins by which a call takes effect; every other call begins by asking what there is.
_WRITES = dict.fromkeys(("market.place", "volumes.create"), b"POST /volumes/create")


class DockerRig(Rig):
    patience_s = 180.0
    step_s = 0.1
    a_while_s = 0.5
    resolution_s = 0.001
    may_lack = (
        "account", "usage", "catalog", "pause", "attach",
        # There is no market, no account and there are no credentials.
        "outbid", "relent", "set_price", "refuse_login", "instance_quota", "volume_quota", "teammate_bids",
    )  # fmt: skip

    def __init__(self, folder: Path, host: str) -> None:
        self.folder = folder
        self.host = host
        self.engine = Engine(parse_address(host))
        self.wire = CutWire(self.engine.address.path)

    def provider(self) -> Provider:
        options = {"local-docker.host": self.wire.host, "local-docker.image": BARE_IMAGE}
        return connect(
            ProviderContext(state_dir=str(self.folder), clock=SystemClock(), options=options)
        )

    def a_shape(self) -> InstanceShape | None:
        return parse_shape("cpu")

    def launch(self, command: str, **told: object) -> Launch:
        return evolve(super().launch(command, **told), image=BARE_IMAGE)  # type: ignore[arg-type]

    @property
    def controls(self) -> Controls:
        return Controls(
            lose_node=self._lose,
            reboot_node=self._reboot,
            fail_before=self._fail,
            fail_after=lambda call: self.wire.cut(_WRITES[call], after=True),
        )

    def close(self) -> None:
        self.wire.close()

    def _fail(self, call: str) -> None:
        SystemClock().sleep(2 * FRESH_S)  # a look just before would answer it
        self.wire.cut(_WRITES.get(call, b"GET "), after=False)

    def _lose(self, bid: Bid, rank: int) -> None:
        self.engine.ask("POST", f"/containers/flow-{bid.id}-{rank}/kill")

    def _reboot(self, bid: Bid, rank: int) -> None:
        self.engine.ask("POST", f"/containers/flow-{bid.id}-{rank}/restart", query={"t": "1"})


class TestLocalDocker(ProviderContract):
    """In an image that holds a busybox and nothing else: no Python, no bash, no tar, no C library.

    Whatever works there works in fuller ones, in which the stories of the other files run.
    """

    @pytest.fixture
    def rig(self, tmp_path: Path, docker_host: str) -> Rig:
        """A rig over the session's engine."""
        return DockerRig(tmp_path, docker_host)
