"""The control API below `/_sim/`: time, prices, troubles, people, and the ledger to the cent.

Off unless asked for, and opened by a token of its own, which no API key replaces.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from datetime import datetime, timedelta

from flow_core.errors import FlowError
from flow_providers.mock.control import Control
from flow_providers.mock.engine import Engine
from flow_providers.mock.estate import people
from flow_providers.mock.http import troubles
from flow_providers.mock.http.billing import bill
from flow_providers.mock.http.checking import read_body
from flow_providers.mock.http.errors import refused
from flow_providers.mock.http.messages import (
    Json,
    Refused,
    Request,
    Response,
    created,
    nothing,
    ok,
    refusal,
)
from flow_providers.mock.http.shapes import Schema, many, maybe, one_of, record, text, whole
from flow_providers.mock.http.wire import when
from flow_providers.mock.world import World

_YEAR_S = 31_536_000
#: How long the key of somebody who was let in here works.
_KEY_LASTS = timedelta(days=365)
Answer = Callable[[Json], Response]


class ControlApi:
    """Serves `/_sim/...`; `advance` moves the world's time."""

    def __init__(
        self, engine: Engine, *, token: str, advance: Callable[[timedelta], None] | None = None
    ) -> None:
        self._engine = engine
        self._token = token
        self._advance = advance if advance is not None else engine.skip
        self._control = Control(engine)
        self._table: dict[tuple[str, str], tuple[Schema, Answer]] = {
            ("GET", "status"): (_NOTHING, self._status),
            ("GET", "ledger"): (_NOTHING, self._ledger),
            ("POST", "advance"): (_ADVANCE, self._advanced),
            ("POST", "prices"): (_PRICES, self._price),
            ("POST", "outbid"): (_OUTBID, self._outbid),
            ("GET", "faults"): (_NOTHING, self._faults),
            ("POST", "faults"): (_FAULT, self._fault),
            ("DELETE", "faults"): (_NOTHING, self._no_faults),
            ("POST", "lag"): (_LAG, self._lag),
            ("POST", "quotas"): (_QUOTA, self._quota),
            ("POST", "nodes/lose"): (_NODE, self._lose),
            ("POST", "relocate"): (_BID, self._relocate),
            ("POST", "projects"): (_PROJECT, self._project),
            ("POST", "people"): (_PERSON, self._person),
        }

    def __call__(self, request: Request) -> Response:
        """Return the reply to a request below `/_sim/`."""
        try:
            self._check(request)
            name = request.path.removeprefix("/_sim").strip("/")
            known = [method for method, each in self._table if each == name]
            if not known:
                raise Refused(404, f"There are: {', '.join(sorted({n for _, n in self._table}))}")
            if request.method not in known:
                raise Refused(405, f"{name} knows {', '.join(known)}")
            shape, answer = self._table[request.method, name]
            return answer(read_body(request.body, shape, is_optional=shape is _NOTHING))
        except Refused as error:
            return refusal(error)
        except FlowError as error:
            return refusal(refused(error))

    def _check(self, request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self._token.encode()):
            raise Refused(401, "The control API has a token of its own: Authorization: Bearer ...")

    def _status(self, _: Json) -> Response:
        seen = self._control.status()
        return ok(
            {
                "now": when(seen.now),
                "rate": seen.rate,
                "live_bids": seen.live_bids,
                "running_nodes": seen.running_nodes,
                "forced_markets": seen.forced_markets,
                "next_event_at": when(seen.next_event_at) if seen.next_event_at else None,
            }
        )

    def _advanced(self, asked: Json) -> Response:
        self._advance(timedelta(seconds=asked["seconds"]))
        self._engine.catch_up()
        return ok({"now": when(self._engine.now())})

    def _price(self, asked: Json) -> Response:
        where = {"region": asked["region"], "instance_type": asked["shape"]}
        if asked["price"] is None:
            return ok({"markets": self._control.free_price(**where)})
        return ok(
            {"markets": self._control.set_price(asked["price"], lasts=asked["lasts"], **where)}
        )

    def _outbid(self, asked: Json) -> Response:
        found = self._control.outbid(asked["bid"], lasts=asked["lasts"])
        return ok({"price": str(found)})

    def _faults(self, _: Json) -> Response:
        def read(world: World, __: datetime) -> list[Json]:
            return [
                {
                    "kind": row.kind,
                    "method": row.method,
                    "path": row.path,
                    "when": row.when,
                    "status": row.status,
                    "times": row.times,
                    "seconds": row.seconds,
                }
                for row in world.troubles.live()
            ]

        return ok(self._engine.look(None, read))

    def _fault(self, asked: Json) -> Response:
        self._engine.change(None, lambda world, _: troubles.add(world, **asked))
        return created(asked)

    def _no_faults(self, _: Json) -> Response:
        def act(world: World, __: datetime) -> None:
            for row in world.troubles.live():
                world.troubles.drop(row.id)

        self._engine.change(None, act)
        return nothing()

    def _lag(self, asked: Json) -> Response:
        self._control.lag_listing(asked["seconds"])
        return ok(asked)

    def _quota(self, asked: Json) -> Response:
        self._control.set_quota(asked["instance_type"], asked["most"])
        return ok(asked)

    def _lose(self, asked: Json) -> Response:
        node = self._control.lose_node(asked["bid"], asked["rank"], back_after=asked["back_after"])
        return ok({"instance": node})

    def _relocate(self, asked: Json) -> Response:
        return ok({"end_time": when(self._control.relocate(asked["bid"]))})

    def _project(self, asked: Json) -> Response:
        row = self._engine.change(
            None, lambda world, now: people.add_project(world, asked["name"], now=now)
        )
        return created({"fid": row.id, "name": row.name})

    def _person(self, asked: Json) -> Response:
        def act(world: World, now: datetime) -> Json:
            known = {each.id for each in people.projects(world)}
            open_ones = asked["projects"] if asked["projects"] is not None else sorted(known)
            row = people.add_person(
                world, asked["name"], project_ids=tuple(each for each in open_ones if each in known)
            )
            _, secret = people.add_key(world, row.id, "first", now=now, expires_at=now + _KEY_LASTS)
            return {"fid": row.id, "name": row.name, "api_key": secret}

        return created(self._engine.change(None, act))

    def _ledger(self, _: Json) -> Response:
        def read(world: World, now: datetime) -> Json:
            bills = [bill(world, now, each.id) for each in people.projects(world)]
            return {
                "now": when(now),
                "total_cents": sum(each.cents for each in bills),
                "projects": [
                    {
                        "project": each.project,
                        "total_cents": each.cents,
                        "lines": [
                            {
                                "fid": line.id,
                                "name": line.name,
                                "kind": line.kind,
                                "live": line.is_live,
                                "cents": line.cents,
                            }
                            for line in each.lines
                        ],
                    }
                    for each in bills
                ],
            }

        return ok(self._engine.look(None, read))


_NOTHING = record({})
_ADVANCE = record({"seconds": whole(least=0, most=_YEAR_S)})
_PRICES = record(
    {"price": maybe(text()), "region": maybe(text()), "shape": maybe(text()), "lasts": maybe(text())},
    optional=("region", "shape", "lasts"),
)  # fmt: skip
_OUTBID = record({"bid": text(), "lasts": maybe(text())}, optional=("lasts",))
_FAULT = record(
    {
        "kind": one_of(*troubles.KINDS),
        "method": text(default=troubles.ANY),
        "path": text(default=troubles.ANY),
        "when": one_of(troubles.BEFORE, troubles.AFTER, default=troubles.BEFORE),
        "status": whole(least=500, most=599, default=503),
        "times": whole(least=1, default=1),
        "seconds": whole(least=0, most=_YEAR_S, default=1),
    },
    optional=("method", "path", "when", "status", "times", "seconds"),
)
_LAG = record({"seconds": whole(least=0, most=_YEAR_S)})
_QUOTA = record({"instance_type": text(), "most": maybe(whole(least=0))})
_NODE = record(
    {"bid": text(), "rank": whole(least=0, default=0), "back_after": maybe(text())},
    optional=("rank", "back_after"),
)
_BID = record({"bid": text()})
_PROJECT = record({"name": text(least=1)})
_PERSON = record({"name": text(least=1), "projects": maybe(many(text()))}, optional=("projects",))
