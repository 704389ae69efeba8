"""What the tests of the pretend cloud share: one market of their own, and a bid in one line."""

from __future__ import annotations

from typing import Protocol

from attrs import evolve

from flow_adapters.node_files import load_node_files
from flow_core.domain.bid import Bid, BidRequest, BidState, Launch
from flow_core.domain.money import Price
from flow_core.domain.script import NodeTask, render_script
from flow_core.domain.volume import Attachment
from flow_core.ports.provider import Provider
from flow_providers.mock.bidding import Offer, place
from flow_providers.mock.pretend import PretendCloud
from flow_providers.mock.prices import TYPES, MarketOnOffer
from flow_providers.mock.rules import IN_MEMORY, Rules
from flow_providers.mock.store import Store

TYPE = "h100-80gb.sxm.8x"
REGION = "us-central5-a"


def market(
    capacity: int = 10, *, price: str = "1.00", floor: str = "1.00", region: str = REGION
) -> MarketOnOffer:
    """Offer one market; at a price that is the floor, whoever bids is alone in it."""
    return MarketOnOffer(
        type_name=TYPE,
        region=region,
        capacity=capacity,
        floor=Price.parse(floor),
        price=Price.parse(price),
    )


def cloud(
    *markets: MarketOnOffer,
    rules: Rules = IN_MEMORY,
    seed: int = 7,
    store: Store | None = None,
    **changed: object,
) -> PretendCloud:
    """Make a cloud with these markets, and rules as in memory but for `changed`."""
    return PretendCloud(
        rules=evolve(rules, **changed), markets=markets or (market(),), seed=seed, store=store
    )


class HasProvider(Protocol):
    """A way into a pretend cloud."""

    @property
    def provider(self) -> Provider:
        """Its roles."""
        ...


def bid(
    pretend: HasProvider,
    name: str,
    limit: str,
    *,
    quantity: int = 1,
    command: str = "sleep infinity",
    region: str = REGION,
    volumes: tuple[Attachment, ...] = (),
    wants_delivery: bool = False,
) -> Bid:
    """Place a bid for a task of one command on each node."""
    task = NodeTask(name=name, token="k", command=command, wants_delivery=wants_delivery)
    launch = Launch(script=render_script(task, files=load_node_files()), attachments=volumes)
    return pretend.provider.market.place(
        BidRequest(
            name=name,
            type_id=TYPE,
            shape=TYPES[TYPE].shape,
            region=region,
            quantity=quantity,
            limit=Price.parse(limit),
            launch=launch,
        )
    )


def rival(pretend: PretendCloud, name: str, limit: str, *, quantity: int = 1) -> str:
    """Place somebody else's bid, and return its id."""
    offer = Offer(
        name=name,
        type_id=TYPE,
        region=REGION,
        quantity=quantity,
        limit=Price.parse(limit),
        launch=Launch(script="sleep infinity"),
        owner="user_rival",
        project="proj_rival",
    )
    return pretend.engine.change(
        None, lambda world, now: place(world, pretend.engine.rules, now, offer)
    ).id


def state(pretend: PretendCloud, placed: Bid) -> BidState:
    """Return the state of a bid now."""
    return pretend.provider.market.bid(placed.id).state


def price(pretend: PretendCloud) -> str:
    """Return the price of the first market."""
    return str(pretend.provider.market.quotes()[0].price)
