"""The guard on a node against the simulator behind a socket: the kit's own process, a key, and nobody else awake."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from flow_adapters.clocks import SystemClock
from flow_adapters.node_files import load_kit
from flow_core.domain.bid import BidRequest, Launch
from flow_core.ports.provider import Provider
from flow_providers.mithril.roles import open_provider
from flow_providers.mock.http.server import Server
from flow_providers.mock.http.service import Service, on_disk
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.memory_shell import MemoryShell
from tests.node.kit import PATIENCE_S, pythons, wait_for_holder, wait_for_lock

pytestmark = pytest.mark.slow


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A simulator."""
    return on_disk(tmp_path / "sim", SystemClock(), rate=600, seed=1)


@pytest.fixture
def mithril(service: Service) -> Iterator[Provider]:
    """The adapter at the simulator behind a port."""
    server = Server(service, port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    transport = httpx.HTTPTransport(trust_env=False)
    provider = open_provider(
        server.url,
        transport=transport,
        find_key=lambda: service.api_key,
        clock=SystemClock(),
        shell=MemoryShell(MemoryNodes(SystemClock())),
        project=service.project,
    )
    assert provider.keys is not None
    provider.keys.add("desk")
    try:
        yield provider
    finally:
        transport.close()
        server.stop()
        thread.join()


@pytest.fixture
def bid_id(mithril: Provider) -> str:
    """A live bid."""
    quote = mithril.market.quotes(None)[0]
    request = BidRequest(
        name="train-f1",
        type_id=quote.type_id,
        shape=quote.shape,
        region=quote.region,
        quantity=1,
        limit=quote.price * 2,
        launch=Launch(script="#!/bin/sh\n"),
    )
    return mithril.market.place(request).id


class GuardingNode:
    """A node's folder with the kit in it."""

    def __init__(self, home: Path, python: str) -> None:
        home.mkdir()
        self.home, self.python = home, python
        (home / "kit.zip").write_bytes(load_kit())

    def run(self, verb: str, **told: object) -> None:
        """Run the kit as a call over the shell does; no systemd of this machine's is there for it."""
        env = {"FLOW_HOME": str(self.home), "PATH": "/nowhere"}
        words = [self.python, str(self.home / "kit.zip"), verb]
        subprocess.run(
            words, env=env, input=json.dumps(told).encode(), check=True, timeout=PATIENCE_S
        )

    @property
    def kept(self) -> Path:
        """Where the request is."""
        return self.home / "guard.json"


@pytest.fixture(params=pythons(), ids=lambda each: Path(each).name)
def node(request: pytest.FixtureRequest, tmp_path: Path) -> GuardingNode:
    """A node."""
    return GuardingNode(tmp_path / "node", request.param)


def armed(mithril: Provider, bid_id: str) -> tuple[str, dict[str, object]]:
    """A key's id and the request that it allows."""
    keys = mithril.account_keys
    assert keys is not None
    made = keys.make("flow-guard-f1", expires_at=mithril.clock.now() + timedelta(days=2))
    request = keys.withdrawal(bid_id, made.secret)
    return made.id, {"method": request.method, "url": request.url, "headers": request.headers}


def test_the_node_ends_its_bid_by_itself(mithril: Provider, bid_id: str, node: GuardingNode):
    """At the lease's end the bid is withdrawn, with no watcher anywhere, and the node forgets the key."""
    _, request = armed(mithril, bid_id)
    node.run("guard", left_s=3600, request=request)
    mode = node.kept.stat().st_mode & 0o777
    assert mithril.market.bid(bid_id).is_live
    wait_for_holder(node.home / "guard.lock")
    node.run("guard", left_s=0)
    wait_for_lock(node.home / "guard.lock")

    assert 0o600 == mode
    assert not mithril.market.bid(bid_id).is_live
    assert not node.kept.exists()


def test_a_revoked_key_ends_nothing(mithril: Provider, bid_id: str, node: GuardingNode):
    """After the task's end the key opens nothing; the node gives up at once."""
    key_id, request = armed(mithril, bid_id)
    keys = mithril.account_keys
    assert keys is not None
    assert [key_id] == list(keys.named("flow-guard-f1"))
    keys.revoke(key_id)
    keys.revoke(key_id)
    node.kept.write_text(json.dumps({"ends_at": 0, "request": request}))
    node.run("guard-watch")

    assert [] == list(keys.named("flow-guard-f1"))
    assert mithril.market.bid(bid_id).is_live
    assert not node.kept.exists()


def test_a_key_ends_with_its_day(service: Service, mithril: Provider):
    """A key whose day is over is none of those that are there."""
    keys = mithril.account_keys
    assert keys is not None
    made = keys.make("brief", expires_at=mithril.clock.now() + timedelta(days=1))
    before = keys.named("brief")
    service.engine.skip(timedelta(days=1))

    assert [made.id] == list(before)
    assert [] == list(keys.named("brief"))
    assert made.secret not in repr(made)
