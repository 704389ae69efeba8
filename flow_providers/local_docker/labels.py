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
from flow_core.domain.volume import Attachment

BID, RANK, GPUS, RECORD, CLAIM = "flow.bid", "flow.rank", "flow.gpus", "flow.record", "flow.claim"
SCRIPT, VOLUME, PYTHON, MADE = "flow.script", "flow.volume", "flow.python", "flow.made"
#: On the mark of a bid that has ended: when.
ENDED = "flow.ended"
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


def id_of(name: str) -> str:
    """Return the id of the bid with this name."""
    if _NAME.fullmatch(name):
        return name
    known = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return re.sub(r"[^a-zA-Z0-9_.-]", "-", "x" + name)[:60] + "-" + known


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
        script=launch.script,
    )


def read_record(labels: Mapping[str, str]) -> Record:
    """Return the record that a volume's labels are."""
    told = json.loads(labels[RECORD])
    told["attachments"] = tuple(told["attachments"])
    return Record(**told, script=labels.get(SCRIPT, ""))


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
