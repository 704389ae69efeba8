"""A simulator in a folder: what it was told it still knows after a restart."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx

from flow_adapters.clocks import ManualClock
from flow_providers.mock.http.service import Service, on_disk
from flow_providers.mock.http.transport import DoorTransport
from flow_providers.mock.rules import Mood
from tests.sim.clients import PUBLIC_KEY, REGION, market

RATE = 60.0


class Kept:
    """One run of a simulator in a folder, under a held real clock."""

    def __init__(self, folder: Path, clock: ManualClock, *, rate: float = RATE) -> None:
        self.service: Service = on_disk(
            folder, clock, rate=rate, mood=Mood.QUIET, seed=5, markets=(market(),),
            control_token="let-me",
        )  # fmt: skip
        self.project = self.service.project
        self.http = httpx.Client(
            transport=DoorTransport(self.service.handle),
            base_url="http://localhost",
            headers={"authorization": f"Bearer {self.service.api_key}"},
        )
        self.control = httpx.Client(
            transport=DoorTransport(self.service.handle),
            base_url="http://localhost/_sim",
            headers={"authorization": "Bearer let-me"},
        )

    def bid(self, name: str, headers: dict[str, str] | None = None) -> httpx.Response:
        """Place a bid."""
        key = self.http.post(
            "/v2/ssh-keys", json={"project": self.project, "name": "k", "public_key": PUBLIC_KEY}
        ).json()["fid"]
        [row] = self.http.get("/v2/spot/availability").json()
        body = {
            "project": self.project, "region": REGION, "instance_type": row["instance_type"],
            "limit_price": "$5.00", "instance_quantity": 1, "name": name,
            "launch_specification": {"volumes": [], "ssh_keys": [key]},
        }  # fmt: skip
        return self.http.post("/v2/spot/bids", json=body, headers=headers or {})


def test_everything_survives_a_restart(tmp_path):
    """The same key opens the same project, with the same bids, instances, keys, faults and replies."""
    clock = ManualClock()
    first = Kept(tmp_path, clock)
    made = first.bid("mine", {"idempotency-key": "k"}).json()
    clock.advance(seconds=3)
    first.control.post("/faults", json={"kind": "rate-limit", "path": "/v2/me"})
    before = first.http.get("/v2/instances", params={"project": first.project}).json()
    second = Kept(tmp_path, clock)
    again = second.bid("mine", {"idempotency-key": "k"})
    after = second.http.get("/v2/instances", params={"project": first.project}).json()

    assert (first.project, first.service.api_key) == (second.project, second.service.api_key)
    assert (made, 201) == (again.json(), again.status_code)
    assert before == after
    assert ["STATUS_RUNNING"] == [each["status"] for each in after["data"]]
    assert [429, 200] == [second.http.get("/v2/me").status_code for _ in range(2)]


def test_same_seed_is_the_same_world(tmp_path):
    """Ids and keys follow from the seed, so that they can be written into a script."""
    one, other = (Kept(tmp_path / name, ManualClock()) for name in ("a", "b"))

    assert (one.project, one.service.api_key) == (other.project, other.service.api_key)


def test_time_runs_at_its_rate_with_nothing_live(tmp_path):
    """A minute is an hour at rate 60, whether anything is live or not, and can be advanced besides."""
    clock = ManualClock()
    kept = Kept(tmp_path, clock)
    began = kept.service.engine.now()
    clock.advance(minutes=1)
    passed = kept.service.engine.now() - began
    kept.control.post("/advance", json={"seconds": 600})

    assert timedelta(hours=1) == passed
    assert timedelta(hours=1, minutes=10) == kept.service.engine.now() - began


def test_time_waits_while_the_server_is_down(tmp_path):
    """After a night without the server, no more than five real minutes have passed."""
    clock = ManualClock()
    kept = Kept(tmp_path, clock)
    kept.bid("mine")
    began = kept.service.engine.now()
    clock.advance(hours=9)
    kept = Kept(tmp_path, clock)
    kept.http.get("/v2/me")

    assert timedelta(minutes=5) * RATE == kept.service.engine.now() - began
