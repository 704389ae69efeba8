"""What is left of Flow at a provider that this machine needs no more: listed, and removed when the user says so."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from flow_core.ports.leftovers import Leftover
from flow_core.services.ports import Ports
from flow_core.services.reconciling import Reconciling, Stray


@frozen(kw_only=True)
class Left:
    """Bids of ours that this machine doesn't know, what no bid needs, and caches; and how many bids are others'."""

    strays: Sequence[Stray] = ()
    things: Sequence[Leftover] = ()
    caches: Sequence[Leftover] = ()
    others: int = 0


def find_left(ports: Ports) -> Left:
    """Return what is left; nothing is changed."""
    strays = Reconciling(ports).strays()
    ours = [each for each in strays if each.is_ours]
    role = ports.provider.leftovers
    found = role.leftovers() if role is not None else ()
    return Left(
        strays=ours,
        things=[each for each in found if not each.is_kept],
        caches=[each for each in found if each.is_kept],
        others=len(strays) - len(ours),
    )


def remove_left(ports: Ports, left: Left) -> None:
    """End the strays of `left` and remove its things and caches; what is used again by now stays. May be repeated."""
    for stray in left.strays:
        Reconciling(ports).withdraw(stray)
    if ports.provider.leftovers is not None:
        for each in [*left.things, *left.caches]:
            ports.provider.leftovers.remove(each)
