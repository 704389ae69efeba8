"""Every operation in one table, and which of them a request means."""

from __future__ import annotations

from functools import cache

from flow_providers.mock.http import (
    account,
    bids,
    catalog,
    clusters,
    cpu,
    histories,
    instances,
    keys,
    reservations,
    scripts,
    term_usage,
    volumes,
)
from flow_providers.mock.http.calls import Route
from flow_providers.mock.http.messages import Refused

ROUTES: tuple[Route, ...] = (
    *account.ROUTES,
    *keys.ROUTES,
    *catalog.ROUTES,
    *bids.ROUTES,
    *histories.ROUTES,
    *instances.ROUTES,
    *volumes.ROUTES,
    *reservations.ROUTES,
    *term_usage.ROUTES,
    *scripts.ROUTES,
    *clusters.ROUTES,
    *cpu.ROUTES,
)


def find(method: str, path: str) -> tuple[Route, dict[str, str]]:
    """Return the operation that a request means, and what the braces in its path stand for.

    A path that is written out goes before one with braces.

    Raises:
        Refused: 404 for a path that nothing has, 405 for one that knows other methods.
    """
    parts = tuple(path.strip("/").split("/"))
    is_known = False
    for route in _by_length().get(len(parts), ()):
        found = route.match(parts)
        if found is None:
            continue
        is_known = True
        if route.method == method:
            return route, found
    raise Refused(405, "Method Not Allowed") if is_known else Refused(404, "Not Found")


def methods(path: str) -> list[str]:
    """Return the methods that a path knows."""
    parts = tuple(path.strip("/").split("/"))
    return sorted(
        {
            route.method
            for route in _by_length().get(len(parts), ())
            if route.match(parts) is not None
        }
    )


@cache
def _by_length() -> dict[int, list[Route]]:
    found: dict[int, list[Route]] = {}
    for route in sorted(ROUTES, key=lambda route: route.path.count("{")):
        found.setdefault(len(route.parts), []).append(route)
    return found
