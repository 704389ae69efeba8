"""SkyPilot's own provisioner of Mithril clusters, unchanged, against the simulator on a real socket."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.installing import installed
from tests.third_party.kit import environment, new_pair, serving

pytestmark = pytest.mark.slow

RUN_S = 120.0
#: Calls what SkyPilot calls for `sky launch`, `stop`, `start` and `down`, and prints what came of it.
DRIVER = """
import json, sys
from sky.provision import common
from sky.provision.mithril import instance, utils

name, region, public_key = "sky-you-1", "us-central5-a", sys.argv[1]
config = common.ProvisionConfig(
    provider_config={}, docker_config={}, tags={}, count=2, resume_stopped_nodes=True,
    authentication_config={"ssh_key_id": utils.get_or_add_ssh_key(public_key)},
    node_config={"InstanceType": "h100-80gb.sxm.8x"}, ports_to_open_on_launch=None,
)
def states():
    found = instance.query_instances("sky", name, {}, non_terminated_only=True)
    return sorted(state.name for state, _ in found.values())

made = instance.run_instances(region, "sky", name, config)
info = instance.get_cluster_info(region, name, {})
running = states()
instance.stop_instances(name, {})
stopped = states()
again = instance.run_instances(region, "sky", name, config)
instance.terminate_instances(name, {})
print(json.dumps({
    "types": len(utils.get_instance_types()), "made": made.created_instance_ids, "running": running,
    "hosts": sorted(each.external_ip for nodes in info.instances.values() for each in nodes),
    "stopped": stopped, "resumed": again.resumed_instance_ids, "ended": states(),
}))
"""


def test_skypilot_runs_stops_resumes_and_ends_a_cluster(tmp_path: Path):
    """Two nodes come up with addresses, stop together, come back under their ids, and go; one bid was all it took."""
    bin_dir = installed(tmp_path, "skypilot==0.14.1")
    _, public_key = new_pair()
    with serving(tmp_path / "world") as site:
        more = {**site.variables(), "SKYPILOT_DISABLE_USAGE_COLLECTION": "1"}
        ran = subprocess.run(
            [bin_dir / "python", "-c", DRIVER, public_key],
            env=environment(tmp_path, **more),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        assert 0 == ran.returncode, ran.stderr
        told = json.loads(ran.stdout.splitlines()[-1])
        bids = site.told("/v2/spot/bids")

    assert told["types"] > 5
    assert (["UP", "UP"], ["STOPPED", "STOPPED"], []) == (
        told["running"],
        told["stopped"],
        told["ended"],
    )
    assert ["127.0.0.2", "127.0.0.3"] == told["hosts"]
    assert sorted(told["made"]) == sorted(told["resumed"])
    assert [("sky-you-1", "Terminated", 2)] == [
        (each["name"], each["status"], each["instance_quantity"]) for each in bids
    ]
