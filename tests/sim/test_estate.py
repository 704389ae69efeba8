"""What there is besides bids: keys, volumes, scripts, clusters, images, machines without GPUs."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow_core.domain.keys import is_same_key
from flow_core.domain.money import Price
from flow_providers.mock.prices import MARKETS, MarketOnOffer
from tests.sim.clients import PUBLIC_KEY, REGION, Sim, market

CPU = MarketOnOffer(
    type_name="cpu.4x", region=REGION, capacity=5, floor=Price.parse("0.02"), price=Price.parse("0.12")
)  # fmt: skip


def test_uploaded_key_is_listed_as_it_was_sent():
    """The same key body comes back, and no private half."""
    sim = Sim()
    body = {"project": sim.project, "name": "laptop", "public_key": PUBLIC_KEY}
    made = sim.ask("POST", "/v2/ssh-keys", 201, json=body)
    [listed] = sim.ask("GET", "/v2/ssh-keys", params={"project": sim.project})

    assert made["private_key"] is None
    assert is_same_key(PUBLIC_KEY, listed["public_key"])
    assert (made["fid"], False) == (listed["fid"], listed["required"])


def test_key_without_a_public_half_is_made():
    """The private half is told once, as PEM, and never again."""
    sim = Sim()
    made = sim.ask("POST", "/v2/ssh-keys", 201, json={"project": sim.project, "name": "new"})
    [listed] = sim.ask("GET", "/v2/ssh-keys", params={"project": sim.project})

    assert made["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert made["public_key"].startswith("ssh-rsa ")
    assert "private_key" not in listed


@pytest.mark.parametrize("text", ["", "ssh-rsa", "ssh-rsa AAAA", "not a key at all", "ssh-rsa ÄÖ"])
def test_what_is_no_key_is_refused(text):
    """Text that isn't a public key is a 400."""
    sim = Sim()
    body = {"project": sim.project, "name": "laptop", "public_key": text}

    sim.ask("POST", "/v2/ssh-keys", 400, json=body)


def test_key_in_use_stays():
    """A key that a live bid carries can't be deleted; after the bid has ended it can."""
    sim = Sim()
    bid = sim.bid("mine", "$5.00")
    in_use = sim.http.delete(f"/v2/ssh-keys/{sim.key}").status_code
    sim.ask("DELETE", f"/v2/spot/bids/{bid['fid']}", 204)

    assert 409 == in_use
    sim.ask("DELETE", f"/v2/ssh-keys/{sim.key}", 204)
    sim.ask("DELETE", f"/v2/ssh-keys/{sim.key}", 404)


def test_required_key_is_carried_by_every_bid():
    """A key that an admin requires is on bids that didn't name it; somebody who is no admin can't require one."""
    sim = Sim()
    made = sim.ask("POST", "/v2/ssh-keys", 201, json={"project": sim.project, "name": "audit"})
    person = sim.control("POST", "people", 201, json={"name": "Bob"})
    path = f"/v2/ssh-keys/{made['fid']}"
    by_member = sim.client(person["api_key"]).patch(path, json={"required": True}).status_code
    sim.ask("PATCH", path, json={"required": True})
    bid = sim.bid("mine", "$5.00")

    assert 403 == by_member
    assert [sim.key, made["fid"]] == bid["launch_specification"]["ssh_keys"]


def test_volume_from_making_to_deletion():
    """Made, listed with who uses it, renamed, refused while in use, deleted, and then listed only on request."""
    sim = Sim()
    volume = sim.volume("data")
    bid = sim.bid("mine", "$5.00", volumes=[volume["fid"]])
    sim.clock.advance(minutes=3)
    [used] = sim.ask("GET", "/v2/volumes", params={"project": sim.project})
    path = f"/v2/volumes/{volume['fid']}"
    refused = sim.http.delete(path).status_code
    renamed = sim.ask("PATCH", path, json={"name": "data-2"})["name"]
    sim.ask("DELETE", f"/v2/spot/bids/{bid['fid']}", 204)
    sim.ask("DELETE", path, 204)
    query = {"project": sim.project, "include_deleted": "true"}

    assert ([bid["fid"]], 100, "File") == (used["bids"], used["capacity_gb"], used["interface"])
    assert ["/mnt/data"] == list(used["attachments"].values())
    assert (409, "data-2") == (refused, renamed)
    assert [] == sim.ask("GET", "/v2/volumes", params={"project": sim.project})
    assert [True] == [
        v["deleted_at"] is not None for v in sim.ask("GET", "/v2/volumes", params=query)
    ]


def test_volume_name_is_taken_once():
    """A second volume of the same name is a 409; a name that breaks the rule a 422."""
    sim = Sim()
    sim.volume("data")
    body = {"project": sim.project, "disk_interface": "File", "region": REGION, "size_gb": 10}

    sim.ask("POST", "/v2/volumes", 409, json={**body, "name": "data"})
    sim.ask("POST", "/v2/volumes", 422, json={**body, "name": "Data_1"})
    sim.ask("POST", "/v2/volumes", 400, json={**body, "name": "huge", "size_gb": 32_001})


def test_lifecycle_script_from_making_to_deletion():
    """What is said about a script changes, its text doesn't."""
    sim = Sim()
    body = {"project": sim.project, "name": "init", "content": "#!/bin/sh\necho hi\n"}
    script = sim.ask("POST", "/v2/lifecycle-scripts", 201, json=body)
    sim.clock.advance(minutes=1)
    path = f"/v2/lifecycle-scripts/{script['fid']}"
    changed = sim.ask("PATCH", path, json={"description": "says hi", "content": "no"})
    content = sim.ask("GET", script["content_url"])
    listed = sim.ask("GET", "/v2/lifecycle-scripts", params={"project": sim.project})["data"]
    sim.ask("DELETE", path, 204)

    assert ("PROJECT", "says hi", "init") == (
        changed["scope"], changed["description"], changed["name"],
    )  # fmt: skip
    assert body["content"] == content
    assert [changed] == listed
    sim.ask("GET", path + "/content", 404)


def test_cluster_is_state_only():
    """A cluster is Pending, then Available with a host, then Terminated and off the list."""
    sim = Sim()
    body = {
        "name": "k", "project": sim.project, "region": REGION, "ssh_keys": [sim.key],
        "instance_type": sim.type_id,
    }  # fmt: skip
    cluster = sim.ask("POST", "/v2/kubernetes/clusters", 201, json=body)
    sim.bid("node", "$5.00", kubernetes_cluster=cluster["fid"])
    sim.clock.advance(minutes=11)
    path = f"/v2/kubernetes/clusters/{cluster['fid']}"
    ready = sim.ask("GET", path)
    sim.ask("DELETE", path, 204)

    assert ("Pending", None, "1.34") == (
        cluster["status"], cluster["kube_host"], cluster["k8s_version"],
    )  # fmt: skip
    assert ("Available", 1) == (ready["status"], len(ready["instances"]))
    assert "Terminated" == sim.ask("GET", path)["status"]
    assert [] == sim.ask("GET", "/v2/kubernetes/clusters", params={"project": sim.project})


def test_catalogue_has_the_usual_types_in_several_regions():
    """A100 of 1, 2, 4 and 8, H100, H200 and B200 are on offer; one name has an id for each region."""
    sim = Sim(*MARKETS)
    types = {each["fid"]: each for each in sim.ask("GET", "/v2/instance-types")}
    rows = sim.ask("GET", "/v2/spot/availability")
    h100 = [types[row["instance_type"]]["name"] for row in rows].count("h100-80gb.sxm.8x")

    assert {("A100", 1), ("A100", 2), ("A100", 4), ("A100", 8), ("H100", 8), ("H200", 8), ("B200", 8)} <= {
        (each["gpu_type"], each["num_gpus"]) for each in types.values()
    }  # fmt: skip
    gpus = [row for row in rows if types[row["instance_type"]]["num_gpus"]]
    assert len(gpus) == len({row["instance_type"] for row in gpus})
    assert len(rows) == len({row["fid"] for row in rows})
    assert h100 > 1
    for each in types:
        prices = sim.ask("GET", "/v2/pricing/current", params={"instance_type": each})
        assert isinstance(prices["minimum_price_cents"], int)
    sim.ask("GET", "/v2/pricing/current", 404, params={"instance_type": "it_no"})


def test_a_type_without_gpus_has_one_id_for_all_regions():
    """Any listed CPU type starts in any listed CPU region, which is how clients pair the two lists."""
    sim = Sim(*MARKETS)
    [offered] = sim.ask("GET", "/v2/cpu/instance-types")
    regions = [each["id"] for each in sim.ask("GET", "/v2/cpu/regions")]
    body = {"project": sim.project, "instance_type": offered["fid"], "ssh_keys": [sim.key]}

    assert len(regions) > 1
    for number, region in enumerate(regions):
        asked = {**body, "name": f"box-{number}", "region": region}
        assert region == sim.ask("POST", "/v2/cpu/instances", 201, json=asked)["region"]


def test_regions_are_listed_for_clients_that_ask():
    """Every region that has a market is listed with its kinds of storage, also by the call that newer clients make."""
    sim = Sim(*MARKETS)
    listed = sim.ask("GET", "/marketplace/v1/regions")
    markets = sim.ask("GET", "/v2/spot/availability")

    assert sorted({each["region"] for each in markets}) == [each["id"] for each in listed]
    assert all(each["fileshare_storage_enabled"] for each in listed)


def test_price_history_is_sampled():
    """So many samples at even distances, each the price at its time; -1 gives every change."""
    sim = Sim()
    sim.clock.advance(hours=1)
    sim.control("POST", "prices", json={"price": "3.00"})
    sim.clock.advance(hours=1)
    query = {"instance_types": sim.type_id, "num_samples": 5, "start_time": "2026-01-01T00:00:00Z"}
    [series] = sim.ask("GET", "/v2/pricing/history", params=query)["series"]
    [changes] = sim.ask("GET", "/v2/pricing/history", params={**query, "num_samples": -1})["series"]

    assert ["$1.00", "$1.00", "$3.00", "$3.00", "$3.00"] == series["spot_prices"]
    assert "2026-01-01T00:30:00Z" == series["timestamps"][1]
    assert ["$1.00", "$3.00"] == changes["spot_prices"]


def test_one_stable_image_is_the_default():
    """The default image of every market is the stable one."""
    sim = Sim()
    images = sim.ask("GET", "/v2/image-versions")
    [stable] = [image["image_version_fid"] for image in images if image["stable"]]

    assert {stable} == {
        row["default_image_version"] for row in sim.ask("GET", "/v2/spot/availability")
    }
    assert 1 == len(sim.ask("GET", "/v2/mcc-image-versions", params={"region": REGION}))


def test_machine_without_gpus_needs_no_auction():
    """It is there at once, held by a reservation that isn't listed, and billed by the hour until it is ended."""
    sim = Sim(market(), CPU)
    [offered] = sim.ask("GET", "/v2/cpu/instance-types")
    body = {
        "name": "box", "project": sim.project, "instance_type": offered["fid"], "region": REGION,
    }  # fmt: skip
    box = sim.ask("POST", "/v2/cpu/instances", 201, json=body)
    sim.clock.advance(hours=10)
    [running] = sim.instances()
    sim.ask("DELETE", f"/v2/cpu/instances/{box['fid']}", 204)
    sim.clock.advance(hours=10)
    reservations = sim.ask("GET", "/v2/reservation", params={"project": sim.project})["data"]

    assert 0.12 == offered["hourly_price"]
    assert ("STATUS_RUNNING", True) == (running["status"], running["reservation"] is not None)
    assert [] == reservations
    assert ["STATUS_TERMINATED"] == [each["status"] for each in sim.instances()]
    assert 120 == sim.control("GET", "ledger")["total_cents"]
    sim.ask("POST", "/v2/cpu/instances", 422, json={**body, "extra": 1})


def test_teammates_are_those_of_ones_projects():
    """Everyone in a shared project is listed, so that ids become names."""
    sim = Sim()
    person = sim.control("POST", "people", 201, json={"name": "Bob B.", "projects": [sim.project]})
    names = {each["fid"]: each["user_name"] for each in sim.ask("GET", "/v2/me/teammates")}
    bob = sim.client(person["api_key"]).get("/v2/me").json()

    assert {"you", "Bob B."} == set(names.values())
    assert ("Bob B.", "bob.b@example.com") == (names[bob["fid"]], bob["email"])


def test_no_name_of_a_key_is_used_twice():
    """A key's name belongs to one key; the same key under it again is the same key."""
    sim = Sim()
    body = {"project": sim.project, "name": "laptop", "public_key": PUBLIC_KEY}
    first, again = (sim.ask("POST", "/v2/ssh-keys", 201, json=body) for _ in range(2))

    assert first["fid"] == again["fid"]
    sim.ask("POST", "/v2/ssh-keys", 409, json={"project": sim.project, "name": "laptop"})


def test_time_limits_of_a_history():
    """Statuses outside the asked time are left out."""
    sim = Sim()
    sim.bid("mine", "$5.00")
    sim.clock.advance(hours=1)
    since = (sim.clock.now() - timedelta(minutes=5)).isoformat()
    query = {"project": sim.project, "start_time": since}
    [states] = sim.ask("GET", "/v2/instances/status/history", params=query)["instances"]
    [prices] = sim.ask("GET", "/v2/instances/pricing/history", params=query)["instances"]

    assert ([], 1) == (states["events"], len(prices["events"]))
