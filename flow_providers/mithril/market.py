"""The market role: quotes, and bids placed, listed, changed and withdrawn."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta

from flow_core.domain.bid import Bid, BidRequest, BidState, Quote
from flow_core.domain.money import Price
from flow_core.domain.names import split_wire_name
from flow_core.domain.shape import InstanceShape
from flow_core.domain.volume import Attachment, Interface
from flow_core.errors import (
    Conflict,
    FlowError,
    InvalidRequest,
    NoCapacity,
    NotFound,
    PriceTooLow,
    Transient,
)
from flow_core.ports.clock import Clock
from flow_providers.mithril import wire
from flow_providers.mithril.bids import Bids
from flow_providers.mithril.client import Client, segment
from flow_providers.mithril.encoding import written
from flow_providers.mithril.facts import SCRIPT_CHARS
from flow_providers.mithril.offers import Offers, Prices
from flow_providers.mithril.volumes import MithrilVolumes

#: The most volumes that one instance takes. Source: contract section 5.
MOST_VOLUMES = 20

_PATH = "/v2/spot/bids"
#: A bid created longer than this before the request left is no answer to it; clocks differ by a second or two.
_NEW = timedelta(seconds=3)
#: Ended bids of one name that listings may hide all at once.
_MOST_ENDED = 20


class MithrilMarket:
    """Implements `ports.market.Market` over /v2/spot."""

    def __init__(
        self,
        client: Client,
        *,
        offers: Offers,
        bids: Bids,
        volumes: MithrilVolumes,
        keys: Callable[[Collection[str]], tuple[str, ...]],
        clock: Clock,
        image_version: str | None = None,
    ) -> None:
        self._client = client
        self._clock = clock
        self._offers = offers
        self._bids = bids
        self._volumes = volumes
        self._keys = keys
        self._image_version = image_version

    def quotes(self, shape: InstanceShape | None = None) -> Sequence[Quote]:
        """See `Market.quotes`."""
        return self._offers.quotes(shape)

    def place(self, request: BidRequest) -> Bid:
        """See `Market.place`; every check that can be made without the bid is made before it is sent."""
        self._check_price(request)
        body = {
            "project": self._client.project,
            "region": request.region,
            "instance_type": request.type_id,
            "limit_price": written(request.limit),
            "instance_quantity": request.quantity,
            "name": request.name,
            "launch_specification": self._launch(request),
        }
        named = self._bids.sweep(name=request.name)
        for bid in named:
            if bid.is_live:
                return bid
        try:
            told = self._created(body, after=named[0].id if named else None)
        except NotFound as error:
            if any(
                word in error.message.lower() for word in ("instance type", "region", "auction")
            ):
                raise NoCapacity(
                    error.message, hint="`flow price` lists what is on offer"
                ) from error
            # A volume, a key or an image that isn't there; the server's words name it.
            raise InvalidRequest({"launch": error.message}) from error
        # The bid exists from here on, so nothing may fail any more: the shape is not looked up.
        return self._bids.noted(told, shape=request.shape)

    def bid(self, bid_id: str) -> Bid:
        """See `Market.bid`."""
        return self._bids.one(bid_id)

    def bids(
        self, *, name: str | None = None, ids: Collection[str] | None = None, live: bool = False
    ) -> Sequence[Bid]:
        """See `Market.bids`."""
        if ids is not None:
            found = [bid for bid in self._bids.some(ids) if name in (None, bid.name)]
        else:
            found = self._bids.sweep(name=name)
        return [bid for bid in found if bid.is_live or not live]

    def amend(self, bid_id: str, *, limit: Price | None = None, paused: bool | None = None) -> Bid:
        """See `Market.amend`; a refusal that only says that it is so already counts as done."""
        body: dict[str, object] = {}
        if limit is not None:
            body["limit_price"] = written(limit)
        if paused is not None:
            body["paused"] = paused
        if not body:
            return self._bids.one(bid_id)
        self._bids.forget(bid_id)
        try:
            told = self._client.change("amend bid", wire.Bid, f"{_PATH}/{segment(bid_id)}", body)
        except (Conflict, InvalidRequest) as refusal:
            return self._after_refusal(bid_id, limit, paused, refusal)
        bid = self._bids.noted(told)
        if not bid.is_live:
            raise Conflict(f"bid {bid.name} has ended and can't be changed")
        return bid

    def withdraw(self, bid_id: str) -> None:
        """See `Market.withdraw`."""
        self._bids.forget(bid_id)
        try:
            self._client.delete("withdraw bid", f"{_PATH}/{segment(bid_id)}")
        except NotFound:
            return
        except (Conflict, InvalidRequest):
            if self._bids.one(bid_id).is_live:
                raise

    def _created(self, body: Mapping[str, object], *, after: str | None) -> wire.Bid:
        """Send a bid whose last namesake, now ended, was `after`; return one that the service made just now.

        A service that knows of idempotency keys repeats its first answer word for word, long after that bid has ended.
        So the key names what ended before, and an answer about a bid of some age is checked before it is believed.
        """
        split = split_wire_name(str(body["name"]))
        token = split[1] if split else str(body["name"])
        for _ in range(_MOST_ENDED):
            sent = self._clock.now()
            key = token if after is None else f"{token}-{after}"
            told = self._client.create("place bid", wire.Bid, _PATH, body, token=key)
            if told.created_at > sent - _NEW or not self._has_ended(told.fid):
                return told
            after = told.fid
        raise Transient(f"Mithril answers about ended bids named {body['name']!r} only")

    def _has_ended(self, bid_id: str) -> bool:
        try:
            return not self._bids.one(bid_id).is_live
        except (NotFound, Transient):
            return False

    def _check_price(self, request: BidRequest) -> None:
        if request.limit.to_cents() == 0:
            raise PriceTooLow(f"a limit of {request.limit}/hr is under a cent, the least there is")
        try:
            prices = self._offers.prices(request.type_id, request.region)
        except Transient:
            prices = Prices()  # the market itself knows its floor
        if prices is None and not self._offers.has_market(request.type_id, request.region):
            raise NoCapacity(
                f"{request.region} offers no {request.shape} of type {request.type_id}",
                hint="`flow price` lists what is on offer, and where",
            )
        if prices is not None and request.limit < prices.floor:
            raise PriceTooLow(
                f"a limit of {request.limit}/hr is under the least that {request.region} accepts "
                f"for {request.shape}: {prices.floor}/hr",
                hint=f"bid at least {prices.floor}",
            )

    def _launch(self, request: BidRequest) -> dict[str, object]:
        launch = request.launch
        problems: dict[str, str] = {}
        if len(launch.script) > SCRIPT_CHARS:
            problems["command"] = (
                f"makes a startup script of {len(launch.script):,} characters; Mithril takes {SCRIPT_CHARS:,}"
            )
        if problem := self._mount_problem(launch.attachments, request.quantity):
            problems["mounts"] = problem
        if problems:
            raise InvalidRequest(problems)
        body: dict[str, object] = {
            "volumes": list(dict.fromkeys(each.volume_id for each in launch.attachments)),
            "ssh_keys": list(self._keys(launch.keys)),
        }
        if launch.script:
            body["startup_script"] = launch.script
        if self._image_version is not None:
            body["image_version"] = self._image_version
        return body

    def _mount_problem(self, attachments: Sequence[Attachment], quantity: int) -> str | None:
        if len(attachments) > MOST_VOLUMES:
            return f"{len(attachments)} volumes are too many; an instance takes {MOST_VOLUMES}"
        if not attachments or quantity == 1:
            return None
        asked = {each.volume_id for each in attachments}
        for volume in self._volumes.volumes():
            if volume.id in asked and volume.interface is Interface.BLOCK:
                return f"block volume {volume.name!r} belongs to one instance at a time, not {quantity}"
        return None

    def _after_refusal(
        self, bid_id: str, limit: Price | None, paused: bool | None, refusal: FlowError
    ) -> Bid:
        bid = self._bids.one(bid_id)
        if not bid.is_live:
            raise Conflict(f"bid {bid.name} has ended and can't be changed") from refusal
        as_limited = limit is None or written(bid.limit) == written(limit)
        as_paused = paused is None or (bid.state is BidState.PAUSED) is paused
        if as_limited and as_paused:
            return bid
        raise refusal
