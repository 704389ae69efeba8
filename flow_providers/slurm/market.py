"""The market role: partitions as regions, free of charge; a bid is a batch allocation that waits its turn."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

from attrs import evolve

from flow_core.domain.bid import Bid, BidRequest, BidState, Quote
from flow_core.domain.money import Price
from flow_core.domain.shape import InstanceShape
from flow_core.errors import Conflict, InvalidRequest, NoCapacity, Transient, Unsupported
from flow_core.ports.clock import Clock
from flow_providers.slurm.asked import read_options, sbatch_words
from flow_providers.slurm.batch import batch_script
from flow_providers.slurm.catalog import Cluster, Surveyor
from flow_providers.slurm.estate import Estate
from flow_providers.slurm.offers import Offer
from flow_providers.slurm.volumes import mount_of, program


class SlurmMarket:
    """Implements `ports.market.Market`.

    `defaults` are settings that stand in for options; `python` runs the helper; `images` is what runs images, where it
    is not to be found out on the login node. With `partitions`, only theirs is on offer.
    """

    def __init__(
        self,
        estate: Estate,
        surveyor: Surveyor,
        *,
        clock: Clock,
        defaults: Mapping[str, str],
        python: str,
        images: str = "",
        partitions: Collection[str] = (),
    ) -> None:
        self._estate = estate
        self._surveyor = surveyor
        self._clock = clock
        self._defaults = defaults
        self._python = python
        self._images = images
        self._partitions = partitions

    def within(self, partitions: Collection[str]) -> SlurmMarket:
        """Return the market of these partitions alone; of all where none are named."""
        if not partitions:
            return self
        return SlurmMarket(
            self._estate,
            self._surveyor,
            clock=self._clock,
            defaults=self._defaults,
            python=self._python,
            images=self._images,
            partitions=partitions,
        )

    def quotes(self, shape: InstanceShape | None = None) -> Sequence[Quote]:
        """See `Market.quotes`. Without a shape, GPUs are offered by powers of two and by whole nodes."""
        now = self._clock.now()
        cluster = self._surveyor.look()
        found = []
        for offer in cluster.offers:
            if self._partitions and offer.partition.name not in self._partitions:
                continue
            for count in _counts(offer, shape):
                told = offer.quote(count, as_of=now)
                if shape is None or shape.matches(told.shape, type_id=told.type_id):
                    found.append(told)
        if self._partitions and not found and shape is None:
            raise NoCapacity(
                "; ".join(
                    f"partition {name} has {_has(cluster, name)}" for name in self._partitions
                )
            )
        return found

    def place(self, request: BidRequest) -> Bid:
        """See `Market.place`."""
        cluster = self._surveyor.look()
        offer, gpus = _offer(cluster, request, now=self._clock.now())
        shape = offer.shape(gpus)
        asked = read_options(request.launch.options, defaults=self._defaults)
        images = self._runner(request.launch.image) if request.launch.image else ""
        record = {
            "name": request.name,
            "type_id": request.type_id,
            "gpu": shape.gpu,
            "gpus": gpus,
            "memory_gb": shape.memory_gb,
            "region": request.region,
            "quantity": request.quantity,
            "limit": request.limit.micros,
            "in_image": bool(images),
        }
        told = self._estate.do(
            "place",
            name=quote(request.name, safe=""),
            record=record,
            mounts=[mount_of(each) for each in request.launch.attachments],
            program=program(),
            in_image=bool(images),
            words=sbatch_words(request, offer, asked, gpus=gpus, most=request.launch.max_run_time),
            script=batch_script(
                request.launch.script,
                python=self._python,
                images=images,
            ),
        )
        if told["busy"]:
            raise Transient(f"another process is placing {request.name} at this moment")
        return self._estate.find(told["id"]).bid()

    def bid(self, bid_id: str) -> Bid:
        """See `Market.bid`."""
        bid = self._estate.find(bid_id).bid()
        if not bid.is_live:
            return bid
        return evolve(bid, script=self._estate.read("script", id=bid_id)["script"])

    def bids(
        self, *, name: str | None = None, ids: Collection[str] | None = None, live: bool = False
    ) -> Sequence[Bid]:
        """See `Market.bids`."""
        if ids is not None and not ids:
            return []
        wanted: Collection[str] | bool = False if live else True if ids is None else ids
        world = self._estate.look(ended=wanted)
        found = [each.bid() for each in (*world.live.values(), *world.ended.values())]
        found = [
            bid
            for bid in found
            if name in (None, bid.name)
            and (ids is None or bid.id in ids)
            and (bid.is_live or not live)
        ]
        return sorted(found, key=lambda bid: bid.created_at, reverse=True)

    def amend(self, bid_id: str, *, limit: Price | None = None, paused: bool | None = None) -> Bid:
        """See `Market.amend`. A pause is Slurm's hold: nodes go back, and the bid's folder stays."""
        found = self._estate.find(bid_id)
        bid = found.bid()
        if not bid.is_live:
            raise Conflict(f"{bid.name} has ended")
        if limit is not None:
            raise Unsupported("a cluster's nodes cost nothing, so there is no limit to change")
        if paused is None or paused is (bid.state is BidState.PAUSED):
            return bid
        self._estate.do("hold", id=bid_id, held=paused)
        return evolve(bid, state=BidState.PAUSED if paused else BidState.OPEN)

    def withdraw(self, bid_id: str) -> None:
        """See `Market.withdraw`."""
        self._estate.do("withdraw", ids=[bid_id])

    def _runner(self, image: str) -> str:
        """Return what runs images here.

        Raises:
            InvalidRequest: nothing does.
        """
        found = self._images or next(iter(self._surveyor.about()["images"]), "")
        if not found:
            why = "this cluster has neither pyxis nor apptainer to run images with"
            raise InvalidRequest(
                {"image": f"{image}: {why}"},
                hint="leave it out and have the command enter what it needs, "
                "or set slurm.images where only the nodes have one",
            )
        return str(found)


def _counts(offer: Offer, shape: InstanceShape | None) -> list[int]:
    if not offer.gpu:
        return [0]
    if shape is None or shape.type_id is not None:
        powers = [1 << power for power in range(offer.most.bit_length())]
        return sorted({*(each for each in powers if each <= offer.most), offer.most})
    return [shape.gpus] if 0 < shape.gpus <= offer.most else []


def _offer(cluster: Cluster, request: BidRequest, *, now: datetime) -> tuple[Offer, int]:
    """Return the offer that a request takes up, and how many GPUs a node of it has.

    Raises:
        NoCapacity: there is none; the message names what there is.
    """
    for offer in cluster.offers:
        if offer.partition.name != request.region:
            continue
        tail = request.type_id.rpartition(":")[2]
        gpus = int(tail) if offer.gpu and tail.isdecimal() else 0
        if offer.type_id(gpus) != request.type_id or gpus > offer.most:
            continue
        there = offer.quote(gpus, as_of=now)
        if there.capacity is not None and request.quantity > there.capacity:
            raise NoCapacity(
                f"{request.quantity} × {request.shape} are more than {request.region} has nodes for: {there.capacity}"
            )
        return offer, gpus
    raise NoCapacity(
        f"partition {request.region} has no {request.type_id!r}; it has {_has(cluster, request.region)}",
        hint="`flow price` lists what there is",
    )


def _has(cluster: Cluster, region: str) -> str:
    """Return what a partition has, in words."""
    here = [offer for offer in cluster.offers if offer.partition.name == region]
    if not here:
        names = ", ".join(dict.fromkeys(offer.partition.name for offer in cluster.offers))
        return f"nothing that you may use (partitions: {names or 'none'})"
    gpus = [f"{len(each.nodes)} nodes of {each.shape(each.most)}" for each in here if each.gpu]
    return ", ".join([f"{len(here[0].nodes)} nodes of CPUs", *gpus])
