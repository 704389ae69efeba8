"""The Mithril adapter keeps the promises about commands, files, terminals and ports on nodes that really boot.

One server and one host of nodes serve the whole module. A node boots for each test that needs one; everything between
is real: HTTP and SSH on loopback, the startup script, the helper, the folders. Waits of the kit's move the world's time
on, and give the machines a moment of real time at each look.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from attrs import evolve

from flow_adapters.clocks import SystemClock
from flow_adapters.memory import MemoryLogKeep
from flow_adapters.node_files import load_node_files
from flow_adapters.ssh import SshShell
from flow_core.domain.volume import Attachment, Volume
from flow_core.ports.clock import Clock
from flow_core.ports.provider import Provider
from flow_core.services.node_logs import NodeLogs
from flow_providers.conformance import Controls, Rig
from flow_providers.conformance.bed import Bed
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.contracts.changes import ChangesContract
from flow_providers.conformance.contracts.logs import LogsContract
from flow_providers.conformance.contracts.shell import ShellContract
from flow_providers.mithril.roles import open_provider
from flow_providers.mock.boot.addresses import destination
from flow_providers.mock.boot.hosting import BootingNodes
from flow_providers.mock.http.calls import Place
from flow_providers.mock.http.server import Server
from flow_providers.mock.http.service import on_disk
from flow_providers.mock.rows import NodeRow
from flow_providers.mock.rules import Mood
from tests.conformance.mock_controls import controls as engine_controls
from tests.meeting.test_kit_over_a_socket import STRIDE_S, MovedClock
from tests.sim_nodes.kit import openssh, refuse

#: Real seconds that machines have between two looks.
_MOMENT_S = 0.05


class Site:
    """A simulator behind a port, its nodes machines, and a user with an SSH key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = MovedClock()
        self.machines = BootingNodes(folder / "machines", grace_s=1.0)
        if self.machines.why_bare is not None:
            refuse(self.machines.why_bare)
        self.key = folder / "key"
        line = [openssh("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)]
        subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
        self.service = on_disk(
            folder,
            self.clock,
            rate=1,
            mood=Mood.QUIET,
            seed=1,
            host=self.machines,
            whereabouts=self._place,
        )
        self.machines.open()
        self.server = Server(self.service, port=0)
        self.thread = threading.Thread(target=self.server.run)
        self.thread.start()
        self.shell = SshShell(state_dir=folder / "user", keys=[self.key], home=folder)

    def connect(self, transport: httpx.BaseTransport) -> Provider:
        """The adapter as a new process opens it; the shell with its connections is shared."""
        provider = open_provider(
            self.server.url,
            find_key=lambda: self.service.api_key,
            clock=self.clock,
            shell=self.shell,
            project=self.service.project,
            local_keys=lambda: [self.key.with_suffix(".pub").read_text()],
            transport=transport,
        )
        assert provider.keys is not None
        if not provider.keys.keys():
            provider.keys.add("desk", public_key=self.key.with_suffix(".pub").read_text().strip())
        return provider

    def _place(self, row: NodeRow) -> Place:
        address = self.machines.address(row.id)
        if address is None:
            return Place()
        return Place(ssh_destination=destination(address), private_ip=address.host)

    def close(self) -> None:
        """End everything; nothing of it is left on this machine."""
        self.shell.close()
        self.server.stop()
        self.thread.join()
        self.machines.forget()
        self.machines.close()


class BootingRig(Rig):
    """The module's one world, with the bids of one test at a time."""

    patience_s = 3600.0
    step_s = 10.0
    a_while_s = 60.0
    no_such_id = "bid_0000000000000000"

    def __init__(self, site: Site) -> None:
        self.site = site

    def provider(self) -> Provider:
        """A new adapter at the module's server."""
        self.way = httpx.HTTPTransport()
        provider = self.site.connect(self.way)
        return evolve(provider, logs=NodeLogs(provider, MemoryLogKeep(), files=load_node_files()))

    def advance(self, clock: Clock, seconds: float) -> None:
        """Move the world's time on, and let the machines have a moment."""
        left = seconds
        while left > 0:
            self.site.clock.sleep(min(left, STRIDE_S))
            self.site.service.engine.catch_up()
            left -= STRIDE_S
        SystemClock().sleep(_MOMENT_S)

    @property
    def controls(self) -> Controls:
        """All that can happen at the service."""
        return engine_controls(self.site.service.control)

    def close(self) -> None:
        """End the adapter's connections to the server."""
        self.way.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The server and the nodes of the module."""
    site = Site(tmp_path_factory.mktemp("booting"))
    yield site
    site.close()


@pytest.mark.slow
class TestShellOfBootingNodes(ShellContract):
    @pytest.fixture
    def rig(self, site: Site) -> Rig:
        """A new adapter in the module's world."""
        return BootingRig(site)


@pytest.mark.slow
class TestFilesOfBootingNodes(Contract):
    """What other roles promise about files; the service takes no path for a volume, and has it at /mnt/<its name>."""

    test_files_outlast_a_pause = ChangesContract.test_files_of_a_node_outlast_a_pause

    def test_a_volume_outlives_its_bid_and_goes_when_deleted(self, bed: Bed) -> None:
        """What one bid's node wrote to a volume, the next one's reads; another volume of that name is empty."""
        first = bed.create_volume()
        said = [_at_volume(bed, first, line) for line in ("echo kept >file && sync", "cat file")]
        bed.until(
            "the volume free", lambda: not any(each.attached_to for each in bed.volumes.volumes())
        )
        bed.volumes.delete(first.id)
        second = bed.create_volume(region=first.region, name=first.name)
        said.append(_at_volume(bed, second, "ls -A"))

        assert [(0, b""), (0, b"kept\n"), (0, b"")] == said

    @pytest.fixture
    def rig(self, site: Site) -> Rig:
        """A new adapter in the module's world."""
        return BootingRig(site)


def _at_volume(bed: Bed, volume: Volume, line: str) -> tuple[int | None, bytes]:
    """Run a line in a volume, on a node of a bid that ends then; return its exit code and what it wrote."""
    path = f"/mnt/{volume.name}"
    attachment = Attachment(volume_id=volume.id, path=path, name=volume.name)
    request = bed.request(quote=bed.quote(region=volume.region), attachments=(attachment,))
    bid, allocation = bed.granted(request)
    answer = bed.answer(allocation.nodes[0], f"cd {path} && {line}")
    bed.market.withdraw(bid.id)
    bed.until("no node held", lambda: not bed.allocation(bid).nodes)
    return answer.code, answer.out


@pytest.mark.slow
class TestLogsOfBootingNodes(LogsContract):
    """Logs are read from the nodes by the helper there; what outlives a node is the watcher's business."""

    test_a_log_outlives_its_node_byte_for_byte = None

    @pytest.fixture
    def rig(self, site: Site) -> Rig:
        """A new adapter in the module's world."""
        return BootingRig(site)
