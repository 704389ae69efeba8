"""What the tests of the simulator share: one in memory, and a client that speaks plain JSON to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from flow_adapters.clocks import ManualClock
from flow_core.domain.money import Price
from flow_providers.mock.http.calls import Policies
from flow_providers.mock.http.service import Service, in_memory
from flow_providers.mock.http.transport import DoorTransport
from flow_providers.mock.prices import MarketOnOffer
from flow_providers.mock.rules import IN_MEMORY, Rules
from flow_providers.mock.store import Store

TYPE = "h100-80gb.sxm.8x"
REGION = "us-central5-a"
CONTROL_TOKEN = "let-me"
PUBLIC_KEY = (
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIIgZ8Pb0Q8kqkDEOsPOmLbXk2mXj8bSHGdTSnYV0Wqz me@laptop"
)


def market(
    capacity: int = 10, *, price: str = "1.00", floor: str = "1.00", region: str = REGION
) -> MarketOnOffer:
    """One market where nobody else bids."""
    return MarketOnOffer(
        type_name=TYPE,
        region=region,
        capacity=capacity,
        floor=Price.parse(floor),
        price=Price.parse(price),
    )


class Sim:
    """A simulator in memory, its clock, and short words for what clients do."""

    def __init__(
        self,
        *markets: MarketOnOffer,
        rules: Rules = IN_MEMORY,
        store: Store | None = None,
        policies: Policies | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        self.clock = clock if clock is not None else ManualClock()
        self.service: Service = in_memory(
            self.clock,
            rules=rules,
            markets=markets or (market(),),
            store=store,
            policies=policies,
            control_token=CONTROL_TOKEN,
        )
        self.project = self.service.project
        self.http = self.client(self.service.api_key)
        self._key: str | None = None
        self._type_id: str | None = None

    def client(self, secret: str | None) -> httpx.Client:
        """A client with an API key, or without any."""
        headers = {"authorization": f"Bearer {secret}"} if secret is not None else {}
        return httpx.Client(
            transport=DoorTransport(self.service.handle),
            base_url="http://127.0.0.1:8080",
            headers=headers,
        )

    def ask(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """Send a request, check its status, and return the body."""
        response = self.http.request(method, path, **options)
        assert status == response.status_code, response.text
        return response.json() if response.content else None

    def control(self, method: str, path: str, status: int = 200, **options: Any) -> Any:
        """The same, to the control API."""
        response = self.client(CONTROL_TOKEN).request(method, f"/_sim/{path}", **options)
        assert status == response.status_code, response.text
        return response.json() if response.content else None

    @property
    def type_id(self) -> str:
        """The id of the first market's type."""
        if self._type_id is None:
            offered = self.ask("GET", "/v2/spot/availability")
            self._type_id = str(offered[0]["instance_type"])
        return self._type_id

    @property
    def key(self) -> str:
        """The id of an SSH key."""
        if self._key is None:
            body = {"project": self.project, "name": "laptop", "public_key": PUBLIC_KEY}
            self._key = str(self.ask("POST", "/v2/ssh-keys", 201, json=body)["fid"])
        return self._key

    def bid_body(
        self,
        name: str,
        limit: str,
        *,
        quantity: int = 1,
        volumes: Sequence[str] = (),
        **launch: object,
    ) -> dict[str, Any]:
        """What a client posts for a bid."""
        return {
            "project": self.project,
            "region": REGION,
            "instance_type": self.type_id,
            "limit_price": limit,
            "instance_quantity": quantity,
            "name": name,
            "launch_specification": {
                "volumes": list(volumes),
                "ssh_keys": [self.key],
                "startup_script": "#!/bin/bash\nsleep infinity\n",
                **launch,
            },
        }

    def bid(
        self, name: str, limit: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Place a bid, and return it."""
        body = self.bid_body(name, limit, **options)
        found: dict[str, Any] = self.ask(
            "POST", "/v2/spot/bids", 201, json=body, headers=dict(headers or {})
        )
        return found

    def read(self, bid: Mapping[str, Any]) -> dict[str, Any]:
        """A bid as it is now."""
        found: dict[str, Any] = self.ask("GET", f"/v2/spot/bids/{bid['fid']}")
        return found

    def instances(self, **query: Any) -> list[dict[str, Any]]:
        """The project's instances, on one page."""
        query = {"project": self.project, "limit": 100, **query}
        found: list[dict[str, Any]] = self.ask("GET", "/v2/instances", params=query)["data"]
        return found

    def volume(self, name: str, *, kind: str = "File", region: str = REGION) -> dict[str, Any]:
        """Make a volume."""
        body = {
            "project": self.project,
            "name": name,
            "disk_interface": kind,
            "region": region,
            "size_gb": 100,
        }
        found: dict[str, Any] = self.ask("POST", "/v2/volumes", 201, json=body)
        return found
