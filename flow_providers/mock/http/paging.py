"""Lists a page at a time: every item once, in order, at any limit, whatever comes or goes between the pages.

A cursor holds the order that was asked for and the place of the last item shown, so it needs no memory of ours and
outlives a restart. Items are ordered by a key that no two share.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
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
    keep: Callable[[T], bool] | None = None,
    is_sorted: bool = False,
    descending: bool = False,
    limit: int | None = None,
    cursor: str | None = None,
) -> tuple[list[T], str | None]:
    """Return the items after `cursor`, from the first without one, and the cursor of the next page, None for none.

    `order` names what `key` sorts by. Of items that come sorted by it, only those up to the page's end are asked
    whether to `keep` them: a page of a long list costs little more than one of a short list.

    Raises:
        Refused: 422, for a cursor that we never gave out, or gave out for another order.
    """
    name = f"{order}:{'desc' if descending else 'asc'}"
    after = _opened(cursor, name) if cursor else None
    if not is_sorted:
        items, keep = sorted(filter(keep, items), key=key), None
    size = limit if limit is not None else MOST
    found: list[T] = []
    for item in _walk(items, key, after, descending=descending):
        if keep is not None and not keep(item):
            continue
        if len(found) == size:
            return found, _sealed(name, key(found[-1]))
        found.append(item)
    return found, None


def _walk(
    items: Sequence[T], key: Callable[[T], Key], after: Key | None, *, descending: bool
) -> Iterator[T]:
    """Yield what comes after a place, in the direction asked for."""
    try:
        if descending:
            begin = len(items) if after is None else bisect_left(items, after, key=key)
            return (items[place] for place in range(begin - 1, -1, -1))
        begin = 0 if after is None else bisect_right(items, after, key=key)
    except TypeError:
        raise _unknown() from None
    return (items[place] for place in range(begin, len(items)))


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
