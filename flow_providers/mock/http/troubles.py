"""Requests that go wrong on purpose: kept in the world, used up one request at a time.

    rate-limit   429 with Retry-After, and nothing happened
    error        a 5xx, before or after the request took effect
    drop         the connection is cut, before or after the request took effect
    late         the client hears nothing good, and the request takes effect only some simulated seconds later

Which requests: those of a method and a path as the OpenAPI document writes it (`/v2/spot/bids/{bid_fid}`); `*` is any.
"""

from __future__ import annotations

from attrs import evolve

from flow_providers.mock.estate.rows import TroubleRow
from flow_providers.mock.http.calls import Route
from flow_providers.mock.http.messages import Response, reply
from flow_providers.mock.world import World

RATE_LIMIT, ERROR, DROP, LATE = "rate-limit", "error", "drop", "late"
KINDS = (RATE_LIMIT, ERROR, DROP, LATE)
BEFORE, AFTER = "before", "after"
ANY = "*"


def add(
    world: World,
    *,
    kind: str,
    method: str = ANY,
    path: str = ANY,
    when: str = BEFORE,
    status: int = 503,
    times: int = 1,
    seconds: float = 1.0,
) -> TroubleRow:
    """Have the next `times` matching requests go wrong; `seconds` is the Retry-After, or how late."""
    number = world.draw()
    return world.troubles.put(
        TroubleRow(
            id=f"{number}",
            number=number,
            method=method,
            path=path,
            kind=kind,
            when=when,
            status=status,
            times=times,
            seconds=seconds,
        )
    )


def waiting(world: World, route: Route) -> TroubleRow | None:
    """Return what waits for this operation, the oldest first; None if nothing does."""
    for row in world.troubles.live():
        if row.method in (ANY, route.method) and row.path in (ANY, route.path):
            return row
    return None


def use_up(world: World, row: TroubleRow) -> None:
    """Count one request."""
    if row.times > 1:
        world.troubles.put(evolve(row, times=row.times - 1))
    else:
        world.troubles.drop(row.id)


def answer(row: TroubleRow) -> Response:
    """Return what the client gets."""
    if row.kind == DROP:
        return Response(status=0, is_dropped=True)
    if row.kind == RATE_LIMIT:
        header = (("retry-after", f"{row.seconds:g}"),)
        return reply(429, {"detail": "Too many requests"}, headers=header)
    return reply(row.status, {"detail": "This trouble was asked for"})
