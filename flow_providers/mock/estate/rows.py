"""Rows beside the market's own; the same rules as in `mock.rows`, and the same kinds of fields."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from flow_core.domain.money import Price
from flow_providers.mock.rows import Row


@frozen(kw_only=True)
class ProjectRow(Row):
    """A project beside the one that a world is born with."""

    id: str
    number: int
    name: str
    created_at: datetime


@frozen(kw_only=True)
class PersonRow(Row):
    """Somebody who may log in; `projects` are those that are open to them."""

    id: str
    number: int
    name: str
    email: str
    role: str
    projects: tuple[str, ...]
    deactivated_at: datetime | None = None


@frozen(kw_only=True)
class ApiKeyRow(Row):
    """A key of a person's; the secret itself isn't kept, only its digest."""

    id: str
    number: int
    person: str
    name: str
    digest: str
    snippet: str
    created_at: datetime
    expires_at: datetime
    deactivated_at: datetime | None = None

    @property
    def label(self) -> str:
        """The digest of its secret."""
        return self.digest

    @property
    def group(self) -> str:
        """Whose it is."""
        return self.person


@frozen(kw_only=True)
class SshKeyRow(Row):
    """A public key of a project."""

    id: str
    number: int
    project: str
    name: str
    public_key: str
    created_at: datetime
    required: bool = False

    @property
    def group(self) -> str:
        """Its project."""
        return self.project


@frozen(kw_only=True)
class ScriptRow(Row):
    """A lifecycle script; `scope` says who may read it."""

    id: str
    number: int
    project: str
    name: str
    description: str
    content: str
    scope: str
    created_at: datetime
    created_by: str
    modified_at: datetime
    modified_by: str


@frozen(kw_only=True)
class ClusterRow(Row):
    """A Kubernetes cluster, as state only: nothing runs."""

    id: str
    number: int
    project: str
    owner: str
    name: str
    region: str
    type_id: str
    version: str
    keys: tuple[str, ...]
    created_at: datetime
    image: str | None = None
    deleted_at: datetime | None = None

    @property
    def group(self) -> str:
        """Its project."""
        return self.project


@frozen(kw_only=True)
class ReservationRow(Row):
    """Instances for a fixed time at a fixed price.

    `state` is one of `domain.reservation.ReservationState`, by value. `charged` and `credited` are micro-dollars.
    A `hidden` one stands behind a machine that is sold by the hour, without an end, and is never listed.
    """

    id: str
    number: int
    name: str
    market: str
    owner: str
    project: str
    state: str
    quantity: int
    unit_price: Price
    start: datetime
    end: datetime
    created_at: datetime
    charged: int = 0
    credited: int = 0
    volumes: tuple[str, ...] = ()
    paused_at: datetime | None = None
    ended_at: datetime | None = None
    hidden: bool = False

    @property
    def label(self) -> str:
        """Its name."""
        return self.name

    @property
    def group(self) -> str:
        """Its market."""
        return self.market

    @property
    def is_live(self) -> bool:
        """Whether it holds or may come to hold instances."""
        return self.ended_at is None

    @property
    def due_at(self) -> datetime | None:
        """When it begins, or ends."""
        if self.ended_at is not None or self.hidden:
            return None
        return self.start if self.state == "pending" else self.end


@frozen(kw_only=True)
class EventRow(Row):
    """Something that happened to a bid, a node or a reservation at a time; `detail` is what `what` needs."""

    id: str
    number: int
    about: str
    at: datetime
    what: str
    user: str = ""
    price: Price | None = None
    amount: int = 0
    detail: str = ""

    @property
    def group(self) -> str:
        """What it happened to."""
        return self.about

    @property
    def is_live(self) -> bool:
        """Never: history is fetched when asked for."""
        return False


@frozen(kw_only=True)
class ReplyRow(Row):
    """The answer that a create with an idempotency key got, so that a second one gets it too."""

    id: str
    number: int
    digest: str
    status: int
    body: str

    @property
    def is_live(self) -> bool:
        """Never: fetched by its key."""
        return False


@frozen(kw_only=True)
class TroubleRow(Row):
    """Something that goes wrong with the next `times` requests of a method and a path; see `http.troubles`."""

    id: str
    number: int
    method: str
    path: str
    kind: str
    when: str
    status: int = 503
    times: int = 1
    seconds: float = 0.0


@frozen(kw_only=True)
class LateRow(Row):
    """A request that was let in but takes effect only at `at`."""

    id: str
    number: int
    at: datetime
    method: str
    path: str
    body: str
    authorization: str
    idempotency_key: str = ""


KINDS: dict[str, type[Row]] = {
    "project": ProjectRow,
    "person": PersonRow,
    "api-key": ApiKeyRow,
    "ssh-key": SshKeyRow,
    "script": ScriptRow,
    "cluster": ClusterRow,
    "reservation": ReservationRow,
    "event": EventRow,
    "reply": ReplyRow,
    "trouble": TroubleRow,
    "late": LateRow,
}
