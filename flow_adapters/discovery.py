"""Which providers there are: entry points of the group `flow.providers`, loaded when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from attrs import frozen

from flow_core.domain.spelling import nearest_hint
from flow_core.errors import Misconfigured
from flow_core.ports.provider import Provider, ProviderContext

GROUP = "flow.providers"
Connect = Callable[[ProviderContext], Provider]


@frozen(kw_only=True)
class Found:
    """A provider that some distribution brings; `trouble` says in one line why it can't be loaded, if it can't."""

    name: str
    target: str
    distribution: str
    trouble: str | None = None


def providers() -> list[Found]:
    """Return every provider by name; loading each one, so that a broken one says what is wrong with it."""
    found = []
    for name, point in sorted(_points().items()):
        try:
            _load(point)
            trouble = None
        except Misconfigured as broken:
            trouble = broken.message
        distribution = point.dist.name if point.dist is not None else ""
        found.append(Found(name=name, target=point.value, distribution=distribution, trouble=trouble))
    return found


def names() -> list[str]:
    """Return the names of all providers, loading none."""
    return sorted(_points())


def load(name: str) -> Connect:
    """Return what connects to the provider `name`.

    Raises:
        Misconfigured: there is none of that name (the hint has the nearest), or it can't be loaded.
    """
    points = _points()
    if name not in points:
        known = ", ".join(sorted(points)) or "none"
        near = nearest_hint(name, points)
        raise Misconfigured(
            f"no provider is named {name!r}" + (f"; {near}" if near else ""),
            hint=f"installed: {known}; `flow provider list` says more",
        )
    return _load(points[name])


def _points() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        found.setdefault(point.name, point)
    return found


def _load(point: EntryPoint) -> Connect:
    try:
        connect = point.load()
    except Exception as trouble:  # a stranger's module may raise anything
        raise Misconfigured(
            f"provider {point.name!r} ({point.value}) can't be loaded: {type(trouble).__name__}: {trouble}",
            hint="mend or uninstall the distribution that brings it; every other provider works",
        ) from trouble
    if not callable(connect):
        raise Misconfigured(
            f"provider {point.name!r} ({point.value}) is a {type(connect).__name__}, not something to call",
            hint="its entry point must name a function that takes a ProviderContext",
        )
    result: Connect = connect
    return result
