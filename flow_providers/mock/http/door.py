"""The door without a socket: a request in, a reply out, one turn of the engine between them."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from email.utils import format_datetime

from attrs import define, evolve

from flow_core.errors import FlowError
from flow_providers.mock.engine import Engine
from flow_providers.mock.estate import people
from flow_providers.mock.estate.rows import LateRow, PersonRow, ReplyRow
from flow_providers.mock.http import table, troubles
from flow_providers.mock.http.calls import Call, Policies, Route, Whereabouts, nowhere
from flow_providers.mock.http.checking import read_body, read_query
from flow_providers.mock.http.errors import refused
from flow_providers.mock.http.messages import Refused, Request, Response, refusal
from flow_providers.mock.world import World

#: What begins every path of the control API.
CONTROL = "/_sim"
Control = Callable[[Request], Response]


@define
class _Moment:
    """What a turn leaves behind for the reply's headers."""

    now: datetime | None = None


class Door:
    """Serves Mithril's REST API over an engine."""

    def __init__(
        self,
        engine: Engine,
        *,
        policies: Policies | None = None,
        whereabouts: Whereabouts = nowhere,
        control: Control | None = None,
    ) -> None:
        self.engine = engine
        self.policies = policies or Policies()
        self._whereabouts = whereabouts
        self._control = control
        self._numbers = itertools.count(1)

    def handle(self, request: Request) -> Response:
        """Return the reply to a request, whatever was sent; its Date is the world's."""
        if request.path == CONTROL or request.path.startswith(CONTROL + "/"):
            return refusal(Refused(404, "Not Found")) if self._control is None else self._control(request)  # fmt: skip
        seen = _Moment()
        try:
            route, path = table.find(request.method, request.path)
            response = self._served(route, path, request, seen)
        except Refused as error:
            response = refusal(error)
            if error.status == 405:
                allowed = ", ".join(table.methods(request.path))
                response = evolve(response, headers=(*response.headers, ("allow", allowed)))
        except FlowError as error:
            response = refusal(refused(error))
        extra = [("x-request-id", f"req_{next(self._numbers)}")]
        if seen.now is not None:
            extra.append(("date", format_datetime(seen.now, usegmt=True)))
        return evolve(response, headers=(*response.headers, *extra))

    def _served(
        self, route: Route, path: dict[str, str], request: Request, seen: _Moment
    ) -> Response:
        self._settle_late()

        def act(world: World, now: datetime) -> Response:
            seen.now = now
            return self._answer(world, now, route, path, request)

        def look(world: World, now: datetime) -> Response | None:
            return None if troubles.waiting(world, route) else act(world, now)

        if not route.changes:
            response = self.engine.look(route.method_name, look)
            if response is not None:
                return response
        return self.engine.change(route.method_name if route.changes else None, act)

    def _answer(
        self, world: World, now: datetime, route: Route, path: dict[str, str], request: Request
    ) -> Response:
        """Return the reply; a `FlowError` passes, for the engine counts it as the turn's refusal."""
        trouble = troubles.waiting(world, route)
        if trouble is not None:
            troubles.use_up(world, trouble)
            if trouble.kind in (troubles.ERROR, troubles.DROP) and trouble.when == troubles.AFTER:
                self._checked(world, now, route, path, request)
            elif trouble.kind == troubles.LATE:
                self._put_off(world, now, request, trouble.seconds)
            return troubles.answer(trouble)
        return self._checked(world, now, route, path, request)

    def _checked(
        self, world: World, now: datetime, route: Route, path: dict[str, str], request: Request
    ) -> Response:
        try:
            me = self._who(world, now, request)
            query = read_query(request.query, route.query, required=route.required)
            body = (
                read_body(request.body, route.body, is_optional=route.body_is_optional)
                if route.body is not None
                else {}
            )
            call = Call(
                world=world,
                now=now,
                rules=self.engine.rules,
                policies=self.policies,
                whereabouts=self._whereabouts,
                me=me,
                path=path,
                query=query,
                body=body,
                base_url=request.base_url,
            )
            return _once(call, route, request)
        except Refused as error:
            return refusal(error)

    def _who(self, world: World, now: datetime, request: Request) -> PersonRow:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise Refused(401, "An API key is needed: Authorization: Bearer fkey_...")
        found = people.holder(world, secret.strip(), now)
        if found is None:
            raise Refused(401, "This API key is not known, was revoked or has expired")
        return found

    def _put_off(self, world: World, now: datetime, request: Request, seconds: float) -> None:
        number = world.draw()
        secret = request.headers.get("authorization", "")
        world.late.put(
            LateRow(
                id=f"{number}",
                number=number,
                at=now + timedelta(seconds=seconds),
                method=request.method,
                path=request.path,
                body=request.body.decode("utf-8", "replace"),
                authorization=secret,
                idempotency_key=request.headers.get("idempotency-key", ""),
            )
        )

    def _settle_late(self) -> None:
        """Let requests that were put off take effect, at their own time, if it has come."""

        def is_due(world: World, now: datetime) -> bool:
            return any(row.at <= now for row in world.late.live())

        if not self.engine.look(None, is_due):
            return

        def act(world: World, now: datetime) -> None:
            for row in world.late.live():
                if row.at <= now:
                    world.late.drop(row.id)
                    request = Request(
                        method=row.method,
                        path=row.path,
                        body=row.body.encode(),
                        headers={
                            "authorization": row.authorization,
                            "idempotency-key": row.idempotency_key,
                        },
                    )
                    route, path = table.find(row.method, row.path)
                    try:
                        self._checked(world, row.at, route, path, request)
                    except FlowError:
                        continue  # It is refused, and nobody is there to hear it.

        self.engine.change(None, act)


def _once(call: Call, route: Route, request: Request) -> Response:
    """Return the reply; to a create that came before with the same key, what it got then.

    Raises:
        Refused: 409, when the key came with another body.
    """
    key = request.headers.get("idempotency-key", "") if route.is_create else ""
    if not key:
        return route.answer(call)
    name = _digest(f"{call.me.id}\n{route.name}\n{key}".encode("utf-8", "replace"))
    digest = _digest(request.body)
    before = call.world.replies.get(name)
    if before is not None and before.digest != digest:
        raise Refused(409, "This Idempotency-Key was used for another request")
    if before is not None:
        return Response(
            status=before.status,
            body=before.body.encode("ascii"),
            headers=(("content-type", "application/json"),),
        )
    response = route.answer(call)
    if response.status < 300:
        call.world.replies.put(
            ReplyRow(
                id=name,
                number=call.world.draw(),
                digest=digest,
                status=response.status,
                body=response.body.decode("ascii"),
            )
        )
    return response


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
