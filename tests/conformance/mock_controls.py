"""The kit's controls, by the mock's own faults."""

from __future__ import annotations

from flow_core.domain.bid import Bid, Quote
from flow_core.domain.money import Price
from flow_providers.conformance import Controls
from flow_providers.mock.control import Control
from flow_providers.mock.prices import TYPES
from flow_providers.mock.volumes import STORAGE

#: Longer than any wait of the kit's.
_LONG = "30d"


def controls(control: Control) -> Controls:
    """Everything that can be told to go wrong in a pretend cloud."""

    def outbid(bid: Bid) -> None:
        control.outbid(bid.id, lasts=_LONG)

    def relent(bid: Bid) -> None:
        control.free_price(region=bid.region, instance_type=str(bid.shape))

    def set_price(quote: Quote, price: Price) -> None:
        control.set_price(price, region=quote.region, instance_type=str(quote.shape))

    def lose_node(bid: Bid, rank: int) -> None:
        control.lose_node(bid.id, rank)

    def reboot_node(bid: Bid, rank: int) -> None:
        control.lose_node(bid.id, rank, back_after="30s")

    def instance_quota(most: int) -> None:
        for name in TYPES:
            control.set_quota(name, most)

    return Controls(
        outbid=outbid,
        relent=relent,
        set_price=set_price,
        fail_before=lambda call: control.fail_next(call.partition(".")[2]),
        fail_after=lambda call: control.fail_next(call.partition(".")[2], after=True),
        lose_node=lose_node,
        reboot_node=reboot_node,
        instance_quota=instance_quota,
        volume_quota=lambda most_gb: control.set_quota(STORAGE, most_gb),
    )
