"""What Flow writes on everything that it makes at the engine, and how a bid is read back from it.

A bid's record is a labelled Docker volume, made before anything else of the bid and removed after everything else:
labels can't be changed and a volume's creation can't half happen, so the record is whole or absent, and of two who
place one name at once both see whose it is. The bid's containers and network carry its id. So all that is live is
found at the engine alone, whatever became of the files of this machine.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import asdict, field, frozen

from flow_core.domain.bid import Bid, BidRequest, BidState
from flow_core.domain.money import Price
from flow_core.domain.shape import parse_shape
from flow_core.domain.task_parts import Mount, Source
from flow_core.domain.volume import Attachment
from flow_providers.local_docker.facts import YES

BID, RANK, GPUS, RECORD, CLAIM = "flow.bid", "flow.rank", "flow.gpus", "flow.record", "flow.claim"
SCRIPT, VOLUME, MADE = "flow.script", "flow.volume", "flow.made"
#: On volumes that hold programs of this machine's, and on containers that fill or try them; on volumes of environments.
CARRIED, CACHE = "flow.carried", "flow.cache"
#: On the volume that tells whether the engine may raise limits; see limits.py.
LIMITS = "flow.limits"
#: GPUs that a container was given in name alone.
PRETENDED = "flow.pretended-gpus"
#: On the mark of a bid that has ended: when.
ENDED = "flow.ended"
#: On containers: where the helper keeps its files, where that isn't /opt/flow.
HOME_LABEL = "flow.home"
#: On containers whose first process tells what the helper's state is.
TELLS = "flow.tells"
#: The one region there is.
REGION = "local"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,110}")


@frozen(kw_only=True)
class Record:
    """A bid as it is written down. `image` is what its containers are made from; `claim` is whoever wrote it first."""

    name: str
    type_id: str
    shape: str
    quantity: int
    limit: int
    created_at: str
    image: str
    claim: str = ""
    #: What the user asked for beyond the image: options, folders and volumes to mount, by their short names.
    options: dict[str, str] = field(factory=dict)
    attachments: tuple[dict[str, Any], ...] = ()
    #: Folders of this machine and buckets, and what the command's Python comes from.
    mounts: tuple[dict[str, Any], ...] = ()
    environment: str = ""
    script: str = field(default="", repr=False)
    #: When the bid ended, and why where nobody withdrew it; empty while it lives.
    ended_at: str = ""
    detail: str = ""

    @property
    def id(self) -> str:
        """The bid's id: its name, where that can name a container."""
        return id_of(self.name)

    @property
    def gpus(self) -> int:
        """How many GPUs each instance has."""
        return parse_shape(self.shape).gpus

    def labels(self) -> dict[str, str]:
        """Return the labels of the volume that is this record."""
        told = asdict(self)
        script = told.pop("script")
        return {BID: self.id, RECORD: json.dumps(told), CLAIM: self.claim, SCRIPT: script}

    def mounted(self) -> list[Attachment]:
        """Return the volumes that are attached."""
        return [Attachment(**each) for each in self.attachments]

    def folders(self) -> list[Mount]:
        """Return the folders of this machine that are mounted."""
        found = [Mount(**each) for each in self.mounts]
        return [each for each in found if each.kind is Source.HOST]

    @property
    def has_buckets(self) -> bool:
        """Whether it mounts parts of buckets."""
        return any(Mount(**each).kind is Source.S3 for each in self.mounts)

    @property
    def has_environment(self) -> bool:
        """Whether the command's Python is made for it."""
        return self.environment not in ("", "none")

    @property
    def pretends(self) -> bool:
        """Whether it asked for GPUs in name alone."""
        return self.options.get("pretend_gpus") in YES


def id_of(name: str) -> str:
    """Return the id of the bid with this name."""
    if _NAME.fullmatch(name):
        return name
    known = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return re.sub(r"[^a-zA-Z0-9_.-]", "-", "x" + name)[:60] + "-" + known


def container_name(record: Record, rank: int) -> str:
    """Return the name of a node's container; it is the node's id."""
    return node_id(record.id, rank)


def node_id(bid_id: str, rank: int) -> str:
    """Return the id of a bid's node."""
    return f"flow-{bid_id}-{rank}"


def network_name(record: Record) -> str:
    """Return the name of the network that a bid's nodes have to themselves."""
    return f"flow-{record.id}"


def new_record(request: BidRequest, *, image: str, claim: str, at: datetime) -> Record:
    """Return the record of a request."""
    launch = request.launch
    return Record(
        name=request.name,
        type_id=request.type_id,
        shape=str(request.shape),
        quantity=request.quantity,
        limit=request.limit.micros,
        created_at=at.isoformat(),
        image=image,
        claim=claim,
        options=dict(launch.options),
        attachments=tuple(asdict(each) for each in launch.attachments),
        mounts=tuple(asdict(each) for each in launch.mounts),
        environment=launch.environment or "",
        script=launch.script,
    )


def read_record(labels: Mapping[str, str]) -> Record:
    """Return the record that a volume's labels are."""
    told = json.loads(labels[RECORD])
    return record_from({**told, "script": labels.get(SCRIPT, "")})


def record_from(told: Mapping[str, Any]) -> Record:
    """Return the record that was written down as plain JSON."""
    lists = {name: tuple(told.get(name, ())) for name in ("attachments", "mounts")}
    return Record(**{**told, **lists})


def bid_of(record: Record, state: BidState, *, detail: str = "", with_script: bool = False) -> Bid:
    """Return a record as the core's own value."""
    ended = record.ended_at
    return Bid(
        id=record.id,
        name=record.name,
        state=BidState.TERMINATED if ended else state,
        shape=parse_shape(record.shape),
        region=REGION,
        quantity=record.quantity,
        limit=Price(record.limit),
        created_at=datetime.fromisoformat(record.created_at),
        ended_at=datetime.fromisoformat(ended) if ended else None,
        type_id=record.type_id,
        detail=detail or record.detail,
        script=record.script if with_script else "",
    )
