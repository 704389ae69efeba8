"""Nodes that boot behind Mithril's API: bid over HTTP, log in with OpenSSH, pause, come back, cancel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_adapters.clocks import ManualClock
from flow_providers.mock.boot.addresses import destination
from flow_providers.mock.http.calls import Place
from flow_providers.mock.http.service import in_memory
from flow_providers.mock.rows import NodeRow
from tests.sim.clients import Sim, market
from tests.sim_nodes.kit import Cloud, refuse

pytestmark = pytest.mark.slow
SCRIPT = "#!/bin/bash\nhostname >>/mnt/shared/booted\n"


class BootingSim(Sim):
    """A simulator whose nodes are those of a cloud that boots."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()

        def whereabouts(row: NodeRow) -> Place:
            address = cloud.nodes.address(row.id)
            if address is None:
                return Place()
            return Place(ssh_destination=destination(address), private_ip=address.host)

        self.clock = ManualClock()
        self.service = in_memory(
            self.clock, markets=(market(),), host=cloud.nodes, whereabouts=whereabouts
        )
        self.project = self.service.project
        self.http = self.client(self.service.api_key)
        body = {"project": self.project, "name": "mine", "public_key": cloud.public_key}
        self._key = str(self.ask("POST", "/v2/ssh-keys", 201, json=body)["fid"])


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A cloud without nodes yet."""
    cloud = Cloud(tmp_path)
    if cloud.nodes.why_bare is not None:
        refuse(cloud.nodes.why_bare)
    yield cloud
    cloud.close()


def test_a_bid_becomes_machines_to_log_in_to(cloud):
    """Granted instances answer at their ssh_destination, share the volume, pause and come back, and go with the bid."""
    sim = BootingSim(cloud)
    volume = sim.volume("shared")
    bid = sim.bid("train", "$5.00", quantity=2, volumes=[volume["fid"]], startup_script=SCRIPT)
    sim.clock.advance(minutes=5)
    first, second = sorted(sim.instances(bid_fid_in=bid["fid"]), key=lambda each: each["name"])
    for each in (first, second):
        cloud.until_answers(each["fid"])
        cloud.until_script_ended(each["fid"])

    assert "STATUS_RUNNING" == first["status"]
    assert first["ssh_destination"].split(":")[0] == first["private_ip"]
    said = cloud.ssh(
        "hostname; sort /mnt/shared/booted; getent hosts train-1", node_id=first["fid"]
    )

    assert ["train-0", "train-0", "train-1", second["private_ip"], "train-1"] == said.stdout.split()
    cloud.ssh("touch kept; sync", node_id=first["fid"])
    sim.ask("PATCH", f"/v2/spot/bids/{bid['fid']}", json={"paused": True})
    sim.clock.advance(minutes=10)
    cloud.until_down(first["fid"])
    sim.ask("PATCH", f"/v2/spot/bids/{bid['fid']}", json={"paused": False})
    sim.clock.advance(minutes=10)
    cloud.until_answers(first["fid"])

    assert "kept\n" == cloud.ssh("ls", node_id=first["fid"]).stdout
    sim.ask("DELETE", f"/v2/spot/bids/{bid['fid']}", 204)
    sim.clock.advance(minutes=10)
    for each in (first, second):
        cloud.until_down(each["fid"])

    assert not (cloud.nodes.folder(first["fid"]) / "disk").exists()
    assert {"train-0", "train-1"} == set(
        (cloud.nodes.volume(volume["fid"]) / "files" / "booted").read_text().split()
    )
