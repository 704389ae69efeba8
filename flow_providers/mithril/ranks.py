"""Which instance of a bid has which rank, told anew at each look and yet the same each time.

Mithril gives its instances no rank. Names begin with the bid's and are seen to end in a number; that number decides
where each instance has one and they fit the bid. Otherwise the order of creation does, equals by id. An instance that
was replaced, or has ended, leaves its place to the one made after it, so that the others keep theirs; as long as
nobody has taken the place, the one that left stands there as gone, and the allocation is not complete. A grant is
whole, so the first instances, as many as the bid is for, have the first places.

Whether an instance survives a preemption under its id is documented nowhere; both are handled.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timezone

from flow_providers.mithril.wire import Instance

GONE = frozenset({"STATUS_TERMINATED", "STATUS_REPLACED"})
STOPPED = frozenset({"STATUS_PREEMPTED", "STATUS_PAUSED", "STATUS_STOPPED"})

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_NUMBER = re.compile(r"[-_.:#]?([0-9]{1,5})")


def ranked(instances: Sequence[Instance], *, bid_name: str, quantity: int) -> list[Instance]:
    """Return the instance of each rank, 0 first; empty when all have gone."""
    made = sorted(instances, key=lambda each: (each.created_at or _EPOCH, each.fid))
    gone = {each.fid for each in made if each.status in GONE} | _superseded(made, quantity)
    if all(each.fid in gone for each in made):
        return []
    numbers = _numbers(made, bid_name, quantity)
    places: dict[int, Instance] = {}
    for each in made:
        place = numbers[each.fid] if numbers is not None else _free(places, gone, quantity)
        holder = places.get(place)
        if holder is None or holder.fid in gone or each.fid not in gone:
            places[place] = each
    return [places[place] for place in sorted(places)]


def _free(places: Mapping[int, Instance], gone: Collection[str], quantity: int) -> int:
    """Return the place for the next instance: the first grant fills all, whoever comes later follows one who left."""
    if len(places) < quantity:
        return len(places)
    left = (place for place in sorted(places) if places[place].fid in gone)
    return next(left, len(places))


def _superseded(made: Sequence[Instance], quantity: int) -> set[str]:
    """Return stopped instances that newer ones have taken the place of: more are there than the bid is for."""
    there = [each for each in made if each.status not in GONE]
    stopped = [each.fid for each in there if each.status in STOPPED]
    return set(stopped[: max(len(there) - quantity, 0)])


def _numbers(made: Sequence[Instance], bid_name: str, quantity: int) -> dict[str, int] | None:
    """Return each instance's place by the number its name ends in, or None where names tell no places."""
    found: dict[str, int] = {}
    for each in made:
        rest = each.name[len(bid_name) :] if bid_name and each.name.startswith(bid_name) else ""
        number = _NUMBER.fullmatch(rest)
        if number is None:
            return None
        found[each.fid] = int(number[1])
    first = 0 if 0 in found.values() else 1
    places = {fid: number - first for fid, number in found.items()}
    there = [places[each.fid] for each in made if each.status not in GONE]
    fits = all(0 <= place < quantity for place in places.values())
    return places if fits and len(set(there)) == len(there) else None
