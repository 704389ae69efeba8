"""What Flow leaves behind when it is killed or forgets: `flow doctor` lists and removes that, and nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flow_adapters.clocks import SystemClock
from flow_core.ports.provider import ProviderContext
from flow_providers.local_docker import connect
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.labels import BID, CACHE, MADE
from tests.local_docker.engine import BARE_IMAGE
from tests.local_docker.user import User

pytestmark = [pytest.mark.docker, pytest.mark.slow]


@pytest.fixture
def user(tmp_path: Path, docker_host: str) -> User:
    """A person whose tasks run where there is nothing but a busybox."""
    return User(tmp_path, docker_host, BARE_IMAGE)


@pytest.fixture
def strangers(engine: Engine):
    """A container, a network and a volume of somebody else's, with names like ours; their paths at the engine."""
    name = "flow-strange"
    engine.ask("POST", "/volumes/create", body={"Name": name})
    engine.ask("POST", "/networks/create", body={"Name": name})
    box = {"Image": BARE_IMAGE, "Cmd": ["sleep", "600"]}
    engine.ask("POST", "/containers/create", query={"name": name}, body=box)
    yield [f"/volumes/{name}", f"/networks/{name}", f"/containers/{name}/json"]
    for place in (f"/containers/{name}", f"/networks/{name}", f"/volumes/{name}"):
        engine.ask("DELETE", place, query={"force": "true"}, fine=(404,))


def test_doctor_removes_what_is_left_and_nothing_else(user: User, engine: Engine, strangers):
    """A task whose journal was lost and a network whose bid is gone are listed and removed; strangers stay."""
    labels = {BID: "gone-abcdefgh", MADE: "local-docker"}
    engine.ask("POST", "/networks/create", body={"Name": "flow-gone-abcdefgh", "Labels": labels})
    user.flow("submit", "sleep 600", "-i", "cpu", "--name", "lost", "--yes", "-d")
    shutil.rmtree(user.home / "state")
    listed = user.flow("doctor")
    refused = user.flow("doctor", "--remove", fails=True)
    removed = user.flow("doctor", "--remove", "--yes")

    assert [] == [word for word in ("lost", "gone-abcdefgh") if word not in listed]
    assert "can't be removed unasked" in refused
    assert "✓ removed bid lost" in removed
    assert [] == user.left("lost-") + user.left("gone-abcdefgh")
    assert all(engine.ask("GET", place) for place in strangers)


def test_a_cache_is_told_apart_and_removed_when_asked(
    tmp_path: Path, docker_host: str, engine: Engine
):
    """A volume of environments counts as a cache and goes when it is named; one that a container has isn't listed."""
    for name in ("flow-cache-free", "flow-cache-held"):
        labels = {CACHE: "an image", MADE: "local-docker"}
        engine.ask("POST", "/volumes/create", body={"Name": name, "Labels": labels})
    binds = {"Binds": ["flow-cache-held:/cache"]}
    box = {"Image": BARE_IMAGE, "Cmd": ["true"], "HostConfig": binds}
    engine.ask("POST", "/containers/create", query={"name": "holder"}, body=box)
    context = ProviderContext(
        state_dir=str(tmp_path), clock=SystemClock(), options={"local-docker.host": docker_host}
    )
    role = connect(context).leftovers
    assert role is not None
    found = {each.id: each for each in role.leftovers()}
    role.remove(found["volumes/flow-cache-free"])
    after = [each.id for each in role.leftovers()]
    for place in ("/containers/holder", "/volumes/flow-cache-held"):
        engine.ask("DELETE", place, query={"force": "true"})

    assert found["volumes/flow-cache-free"].is_kept
    assert "volumes/flow-cache-held" not in found
    assert "volumes/flow-cache-free" not in after
