"""Lists a page at a time: every item once, in order, at any limit, whatever comes or goes between the pages.

A cursor holds the order that was asked for and the place of the last item shown, so it needs no memory of ours and
outlives a restart. Items are ordered by a key that no two share.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import TypeVar

from flow_providers.mock.http.checking import wrong

#: The most items a page holds, and how many it holds unless fewer are asked for (not documented).
MOST = 100
Key = tuple[str | int, ...]
T = TypeVar("T")


def page(
    items: Sequence[T],
    *,
    key: Callable[[T], Key],
    order: str,
    descending: bool = False,
    limit: int | None = None,
    cursor: str | None = None,
) -> tuple[list[T], str | None]:
    """Return the items after `cursor`, from the first without one, and the cursor of the next page, None for none.

    `order` names what `key` sorts by.

    Raises:
        Refused: 422, for a cursor that we never gave out, or gave out for another order.
    """
    name = f"{order}:{'desc' if descending else 'asc'}"
    keyed = sorted(zip(map(key, items), items, strict=True), key=lambda each: each[0])
    keys = [each[0] for each in keyed]
    after = _opened(cursor, name) if cursor else None
    size = limit if limit is not None else MOST
    try:
        if descending:
            end = len(keys) if after is None else bisect_left(keys, after)
            begin = max(end - size, 0)
            shown, is_last = keyed[begin:end][::-1], begin == 0
        else:
            begin = 0 if after is None else bisect_right(keys, after)
            shown, is_last = keyed[begin : begin + size], begin + size >= len(keys)
    except TypeError:
        raise _unknown() from None
    found = [item for _, item in shown]
    return found, None if is_last or not shown else _sealed(name, shown[-1][0])


def _sealed(order: str, key: Key) -> str:
    raw = json.dumps([order, *key], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _opened(cursor: str, order: str) -> Key:
    try:
        raw = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except (ValueError, RecursionError):
        raise _unknown() from None
    if not isinstance(raw, list) or len(raw) < 2 or raw[0] != order:
        raise _unknown()
    if not all(isinstance(each, str | int) for each in raw):
        raise _unknown()
    return tuple(raw[1:])


def _unknown() -> Exception:
    return wrong(("query", "next_cursor"), "no page of this list has this cursor")
