"""One call in hand: who asks, for what, of which world; and the questions that every handler asks first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from attrs import define, field, frozen

from flow_providers.mock.estate import people
from flow_providers.mock.estate.rows import PersonRow
from flow_providers.mock.http.messages import Json, Refused, Response
from flow_providers.mock.http.shapes import Schema
from flow_providers.mock.rows import MarketRow, NodeRow
from flow_providers.mock.rules import Rules
from flow_providers.mock.world import World


@frozen(kw_only=True)
class Policies:
    """What the service's documents leave open about its API, as choices."""

    #: Whether a bid or reservation without SSH keys is refused. Clients match a text that says so (contract, 1).
    needs_keys: bool = True
    #: The longest startup script, in characters. Source: contract, section 5.
    longest_script: int = 10_000


@frozen(kw_only=True)
class Place:
    """Where an instance's shell answers, and what its fellows reach it by; None while nobody can say."""

    ssh_destination: str | None = None
    private_ip: str | None = None


#: Tells where a node is. Nodes that really boot bring their own.
Whereabouts = Callable[[NodeRow], Place]


def nowhere(_: NodeRow) -> Place:
    """Say that nothing answers: the node is a value in memory."""
    return Place()


@define(kw_only=True, slots=False)
class Call:
    """A checked request in a turn of the engine."""

    world: World
    now: datetime
    rules: Rules
    policies: Policies
    whereabouts: Whereabouts
    me: PersonRow
    path: Mapping[str, str]
    query: Json
    body: Json
    base_url: str = ""

    @cached_property
    def projects(self) -> tuple[str, ...]:
        """The ids of the projects that are open to whoever asks."""
        return people.open_to(self.world, self.me)

    def project(self, project_id: str) -> str:
        """Return the id of a project that is open to whoever asks.

        Raises:
            Refused: 404, for any other: what one may not see isn't there.
        """
        if project_id not in self.projects:
            raise Refused(404, f"Project {project_id} not found")
        return project_id

    def may_see(self, project_id: str) -> bool:
        """Whether a thing of that project is there for whoever asks."""
        return project_id in self.projects

    def market(self, type_id: str, region: str) -> MarketRow:
        """Return the market of a type in a region.

        Raises:
            Refused: 404, when there is none.
        """
        for market in self.world.markets.live():
            if market.type_id == type_id and market.region == region:
                return market
        raise Refused(404, f"Instance type {type_id} is not offered in {region}")

    def region(self, name: str) -> str:
        """Return the name of a region that exists.

        Raises:
            Refused: 404, when it doesn't.
        """
        if all(market.region != name for market in self.world.markets.live()):
            raise Refused(404, f"Region {name} not found")
        return name


Answer = Callable[[Call], Response]


@frozen(kw_only=True)
class Route:
    """An operation: where it is, what it takes, what it answers, and the engine's word for it.

    `method_name` is what faults by name wait for (see `faults.METHODS`). `is_create` says that an idempotency key
    counts. `beyond` marks what the service's OpenAPI lacks and clients call all the same.
    """

    method: str
    path: str
    summary: str
    answer: Answer
    replies: Mapping[int, Schema | None]
    query: Mapping[str, Schema] = field(factory=dict)
    required: tuple[str, ...] = ()
    body: Schema | None = None
    body_is_optional: bool = False
    method_name: str | None = None
    changes: bool = False
    is_create: bool = False
    beyond: bool = False
    errors: tuple[int, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The path's pieces; one in braces stands for any."""
        return tuple(self.path.strip("/").split("/"))

    @property
    def name(self) -> str:
        """A name that no other operation has."""
        words = [part.strip("{}").replace("-", "_") for part in self.parts[1:]]
        return "_".join([self.method.lower(), *words])

    def match(self, parts: tuple[str, ...]) -> dict[str, str] | None:
        """Return what the braces stand for in `parts`; None if this isn't the path."""
        mine = self.parts
        if len(mine) != len(parts):
            return None
        found: dict[str, str] = {}
        for part, given in zip(mine, parts, strict=True):
            if part.startswith("{"):
                if not given:
                    return None
                found[part.strip("{}")] = given
            elif part != given:
                return None
        return found


def known(value: Any, what: str, fid: str) -> Any:
    """Return `value` unless it is None.

    Raises:
        Refused: 404, naming what there isn't.
    """
    if value is None:
        raise Refused(404, f"{what} {fid} not found")
    return value
