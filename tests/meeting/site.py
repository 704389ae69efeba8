"""The ground on which the adapter and the simulator meet: a simulated service, providers over it, and its troubles.

Nothing here knows both sides' insides: the adapter is opened as a user's settings would open it, and what goes wrong
goes wrong at the service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx

from flow_core.domain.bid import Bid
from flow_core.ports.clock import Clock
from flow_core.ports.provider import Provider
from flow_core.ports.shell import RemoteShell
from flow_providers.conformance import LINES, Controls
from flow_providers.mithril.roles import open_provider
from flow_providers.mock.estate import people
from flow_providers.mock.http import troubles
from flow_providers.mock.http.calls import Place
from flow_providers.mock.http.service import Service
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.memory_shell import MemoryShell
from flow_providers.mock.rows import NodeRow
from flow_providers.mock.told import told
from flow_providers.mock.world import World
from tests.conformance.mock_controls import controls as engine_controls
from tests.conformance.test_mock_in_memory import behaves

URL = "http://127.0.0.1:8080"
BIDS = "/v2/spot/bids"
PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGsdx2m1hYr8WkZ0yqj3Qe9VnB5u7tPzL4aXcDf6RgHs me@desk"
)
#: How often the adapter sends a request that may be repeated; this many in a row leave it without an answer.
TRIES = 4
#: What is remembered of quotes is older than this once it has passed. Source: `ports.market.Market.quotes`.
QUOTES_AGE_S = 61.0
#: The kit's words for a call -> the request that the adapter must make for it.
REQUESTS = {
    "market.quotes": ("GET", "/v2/spot/availability"),
    "market.place": ("POST", BIDS),
    "market.bid": ("GET", f"{BIDS}/{{bid_fid}}"),
    "market.bids": ("GET", BIDS),
    "market.amend": ("PATCH", f"{BIDS}/{{bid_fid}}"),
    "market.withdraw": ("DELETE", f"{BIDS}/{{bid_fid}}"),
    "fleet.allocations": ("GET", "/v2/instances"),
    "volumes.create": ("POST", "/v2/volumes"),
}


def whereabouts(node: NodeRow) -> Place:
    """Say where a node's shell would answer, for nodes that are only remembered."""
    return Place(ssh_destination=f"127.0.0.{2 + node.rank}", private_ip=f"10.0.0.{2 + node.rank}")


def told_shell(nodes: MemoryNodes) -> MemoryShell:
    """Return a shell on which the kit's lines do what they say."""
    shell = MemoryShell(nodes)
    for line in LINES:
        nodes.tell(told(line.text, behaves(line)))
        shell.tell(line.text, lambda _, line=line: (line.code, line.out))
    return shell


class Gate(httpx.BaseTransport):
    """The way to the service. While shut, every key that passes turns into one that nobody knows."""

    def __init__(self, inner: httpx.BaseTransport) -> None:
        self._inner = inner
        self.is_shut = False

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a request on."""
        if self.is_shut:
            request.headers["Authorization"] = "Bearer fkey_that_nobody_was_given"
        return self._inner.handle_request(request)

    def close(self) -> None:
        """Close the way."""
        self._inner.close()

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Refuse everyone for a while."""
        self.is_shut = True
        try:
            yield
        finally:
            self.is_shut = False


def connect(
    service: Service,
    *,
    url: str = URL,
    clock: Clock,
    shell: RemoteShell,
    transport: httpx.BaseTransport,
    **options: Any,
) -> Provider:
    """Return the adapter at a service, with the API key, the project and an SSH key that the user has there."""
    provider = open_provider(
        url,
        find_key=lambda: service.api_key,
        clock=clock,
        shell=shell,
        project=service.project,
        local_keys=lambda: [PUBLIC_KEY],
        transport=transport,
        **options,
    )
    if provider.keys is not None and not provider.keys.keys():
        provider.keys.add("desk", public_key=PUBLIC_KEY)
    return provider


def trouble(service: Service, **what: Any) -> None:
    """Have requests go wrong; see `troubles.add`."""
    service.engine.change(None, lambda world, _: troubles.add(world, **what))


def controls(
    service: Service,
    gate: Gate,
    *,
    advance: Callable[[float], None],
    teammate: Callable[[Bid], Bid],
) -> Controls:
    """Everything that can be made to happen at a simulated service; `advance` lets its time pass.

    Quotes may be a minute old, so trouble waits until whatever is remembered of them has to be asked anew.
    """
    engine = engine_controls(service.control)

    def fail(call: str, when: str) -> None:
        if call == "market.quotes":
            advance(QUOTES_AGE_S)
        method, path = REQUESTS[call]
        times = 1 if method == "POST" else TRIES
        trouble(service, kind=troubles.ERROR, when=when, method=method, path=path, times=times)

    @contextmanager
    def refuse_login() -> Iterator[None]:
        advance(QUOTES_AGE_S)
        with gate.shut():
            yield

    return Controls(
        outbid=engine.outbid,
        relent=engine.relent,
        set_price=engine.set_price,
        fail_before=lambda call: fail(call, troubles.BEFORE),
        fail_after=lambda call: fail(call, troubles.AFTER),
        refuse_login=refuse_login,
        lose_node=engine.lose_node,
        reboot_node=engine.reboot_node,
        instance_quota=engine.instance_quota,
        volume_quota=engine.volume_quota,
        teammate_bids=teammate,
    )


def bid_of_teammate(service: Service, provider: Provider, http: httpx.Client, like: Bid) -> Bid:
    """Have somebody else of the project place a bid like this one, over plain HTTP, and return it as we see it."""
    secret = service.engine.change(None, _let_in)
    headers = {"authorization": f"Bearer {secret}"}
    ours = http.get(f"{BIDS}/{like.id}", headers=headers)
    body = {
        name: ours.json()[name]
        for name in ("project", "region", "instance_type", "limit_price", "instance_quantity")
    }
    launch = {"volumes": [], "ssh_keys": ours.json()["launch_specification"]["ssh_keys"]}
    made = http.post(
        BIDS,
        json={**body, "name": f"{like.name}-theirs", "launch_specification": launch},
        headers=headers,
    )
    made.raise_for_status()
    return provider.market.bid(made.json()["fid"])


def _let_in(world: World, now: datetime) -> str:
    row = people.add_person(
        world, "colleague", project_ids=tuple(each.id for each in people.projects(world))
    )
    _, secret = people.add_key(world, row.id, "first", now=now, expires_at=now + timedelta(days=30))
    return secret
