"""The auction: who gets the instances of one market, and at which price.

A market is one instance type in one region, with `capacity` instances and a `reserve`, the least price. Now and then
it looks at all open orders at once and clears them: a pure function of orders, capacity and reserve.

What the service documents (contract, section 3), and we follow:
- Bids are sealed. All winners pay one price per instance-hour, the limit of the highest losing bid. So your limit
  decides whether you win, and other people's what you pay.
- An order gets all its instances or none. One that doesn't fit in what is left is skipped, and a lower one may win.
- Equal limits are served in the order in which they were submitted.
- To win, it is not enough to beat the price: the lowest winner must be beaten (the second test vector).

What is not known, and what we do:
- A skipped order may outrank winners. "The highest losing limit" would then charge them more than they offered, which
  contradicts "nobody pays above their limit". Our rule, `highest_outbid`, looks only at losing limits that are no
  higher than the lowest winner's. `capped_at_lowest_winner` is the other plausible reading. Whatever rule is given,
  the price is held between the reserve and the lowest winning limit.
- An uncontested market clears at the reserve. That a reserve exists is documented; this use of it is inferred.
- Orders under the reserve don't take part: they neither win nor move the price. At the reserve they do.
- With no winner the price is what a newcomer has to reckon with. In a market with instances, every order present is too
  big to fit and stands in nobody's way: the reserve. In one with no instances at all, the limits that wait are the only
  thing known of the price to come: the highest of them, or the reserve without any.

What we don't like. Under `highest_outbid` a lone winner that raises its limit above a skipped order's pays more for it:
that order now counts as outbid, although it could never have been served. So what a bid is worth to you is not always
the best limit, as it would be if every order were for one instance. And a large order can starve behind small
ones for ever. These are the market's rules, not ours to mend.

How it is fast. One sort by limit alone, which on integers costs a fraction of a sort by (limit, time); submission order
matters only inside the few levels of equal limits where not everybody fits, and is sorted there. The walk ends
as soon as what is left is smaller than the smallest order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter

from attrs import frozen

from flow_core.domain.money import Price


@frozen
class Order:
    """An open bid as the market sees it: `quantity` instances, at most `limit` per hour for each.

    `placed` orders submissions: any integer that grows with time. Orders that share it are ranked
    by `id`, which is unique in a market.
    """

    id: str
    limit: Price
    quantity: int
    placed: int


@frozen(kw_only=True)
class Contest:
    """What a price may depend on when somebody won.

    `outbid` is the highest losing limit that is no higher than `lowest_winner`; `skipped` the
    highest losing limit above it, of an order that outranked a winner but didn't fit. Both are
    None where there is no such order. Orders under the reserve appear in neither.
    """

    lowest_winner: Price
    outbid: Price | None
    skipped: Price | None


#: Names the price of a contest. What it returns is held between the reserve and the lowest winner.
PriceRule = Callable[[Contest], Price]


@frozen(kw_only=True)
class Clearing:
    """The outcome: `winners` by id, the `price` each of them pays per instance-hour.

    `lowest_allocated` is the lowest winning limit, None without winners. `free` instances remain.
    """

    winners: frozenset[str]
    price: Price
    lowest_allocated: Price | None
    free: int


def highest_outbid(contest: Contest) -> Price:
    """Price by the best order that was outbid; one skipped for its size doesn't count.

    Source: contract, section 3, the clearing rule marked [SIM].
    """
    return contest.outbid or Price.ZERO


def capped_at_lowest_winner(contest: Contest) -> Price:
    """Price by the best losing order of all, but no higher than the lowest winner's own limit."""
    return contest.lowest_winner if contest.skipped is not None else highest_outbid(contest)


def clear(
    orders: Iterable[Order],
    *,
    capacity: int,
    reserve: Price,
    price_rule: PriceRule = highest_outbid,
) -> Clearing:
    """Return who wins and the one price; the order in which `orders` come doesn't matter.

    A million orders take about a second. An empty market clears at its reserve.

    Raises:
        ValueError: `capacity` is negative, or an order's quantity is under 1.
    """
    least = reserve.micros
    ranked = sorted(
        (order for order in orders if order.limit.micros >= least), key=_LIMIT, reverse=True
    )
    smallest = min(map(_QUANTITY, ranked), default=1)
    if capacity < 0 or smallest < 1:
        raise ValueError(f"capacity {capacity} and quantity {smallest} can't be cleared")
    winners: list[str] = []
    free = capacity
    lowest_winner: Price | None = None
    outbid: Price | None = None
    skipped: Price | None = None
    highest_loser: Price | None = None
    for level in _levels(ranked):
        limit = level[0].limit
        won = _served(level, free) if free >= smallest else ()
        if won:
            winners.extend(map(_ID, won))
            free -= sum(map(_QUANTITY, won))
            lowest_winner, outbid, skipped = limit, None, highest_loser
        if len(won) < len(level):
            highest_loser = highest_loser or limit
            outbid = outbid or limit
        if free < smallest and outbid is not None:
            break
    if lowest_winner is None:
        waiting = highest_loser if capacity == 0 and highest_loser is not None else reserve
        return Clearing(winners=frozenset(), price=waiting, lowest_allocated=None, free=free)
    named = price_rule(Contest(lowest_winner=lowest_winner, outbid=outbid, skipped=skipped))
    return Clearing(
        winners=frozenset(winners),
        price=min(max(named, reserve), lowest_winner),
        lowest_allocated=lowest_winner,
        free=free,
    )


_ID = attrgetter("id")
_LIMIT = attrgetter("limit.micros")
_QUANTITY = attrgetter("quantity")
_SUBMISSION = attrgetter("placed", "id")


def _levels(ranked: Sequence[Order]) -> Iterator[Sequence[Order]]:
    """Cut orders sorted by limit into runs of one limit each."""
    start = 0
    while start < len(ranked):
        limit = ranked[start].limit.micros
        end = start + 1
        while end < len(ranked) and ranked[end].limit.micros == limit:
            end += 1
        yield ranked[start:end]
        start = end


def _served(level: Sequence[Order], free: int) -> Sequence[Order]:
    """Return those orders of one limit that get their instances, first come, first served."""
    fitting = [order for order in level if order.quantity <= free]
    if sum(map(_QUANTITY, fitting)) <= free:
        return fitting
    won: list[Order] = []
    for order in sorted(fitting, key=_SUBMISSION):
        if order.quantity <= free:
            won.append(order)
            free -= order.quantity
    return won
