"""Which nodes: `0`, `0,3-5`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

_PART = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_F = TypeVar("_F", bound=Callable[..., Any])


def node_option(text: str) -> Callable[[_F], _F]:
    """Return the option that picks nodes by rank; the command gets them as a sorted tuple, or None for all."""
    return click.option("--node", "ranks", metavar="RANKS", callback=ranks_of, help=text)


def ranks_of(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Return the ranks that an option's text names, sorted; None where it wasn't given."""
    if value is None:
        return None
    found: set[int] = set()
    for part in value.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise click.BadParameter(f"{value!r} names no nodes; write '0' or '0,3-5'", ctx, param)
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise click.BadParameter(
                f"{part.strip()!r} counts backwards; write '{last}-{first}'", ctx, param
            )
        found.update(range(first, last + 1))
    return tuple(sorted(found))
