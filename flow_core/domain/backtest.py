"""Back-tests: what a bid policy would have come to, played against prices of the past.

A run is a task that needs its nodes for so many hours and bids at a moment drawn from the history. It is played by the
rules of the market that are documented: looked at every two minutes by the same auction that clears the pretend market
(`auction.clear`), all instances or none, five minutes of notice that are paid for at the limit, and a rescue when the
price comes back in time. After a preemption it waits for the market again.

What it leaves out, all of which makes real tasks a little worse: the bid itself moves no price; nodes boot in no time,
so that "first node" is the grant; and no work is lost at a preemption, as if a checkpoint were written just before.
"""

from __future__ import annotations

import itertools
import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise

from attrs import field, frozen

from flow_core.domain.auction import Order, clear
from flow_core.domain.duration import rough_duration
from flow_core.domain.money import Price
from flow_core.domain.policy import BidPolicy, Outlook
from flow_core.domain.price_track import PriceTrack, moment_of
from flow_core.domain.price_turns import Turns
from flow_core.domain.price_window import rolling
from flow_core.errors import InvalidRequest

_SECONDS_PER_HOUR = 3600.0


@frozen(kw_only=True)
class Terms:
    """The market's rules of time. Source: contract, section 3: a round every two minutes, five minutes of notice."""

    tick_s: float = 120.0
    notice_s: float = 300.0


@frozen(kw_only=True)
class Trial:
    """What is played: `instances` nodes for `hours` each, which may take until `within` after the bid.

    `cap` is the most that is bid whatever the policy says; `floor` and `capacity` are the market's.
    """

    policy: BidPolicy
    hours: timedelta
    within: timedelta
    instances: int = 1
    cap: Price | None = None
    floor: Price = Price.ZERO
    capacity: int | None = None
    terms: Terms = field(factory=Terms)


@frozen(kw_only=True)
class Played:
    """One run. Times are seconds: `first_node_s` and `done_s` after the bid, None where it didn't come to that.

    `held_s` is how long it had its nodes, notices included; `cost` in dollars is of all instances together.
    `limit` is None where there was no bid to make: it would have been under the market's floor.
    """

    begun: float
    limit: Price | None
    first_node_s: float | None = None
    done_s: float | None = None
    held_s: float = 0.0
    preemptions: int = 0
    cost: float = 0.0


class Replay:
    """A market's past, ready to be played against.

    The auction is held once for every price of the past, for what the winner pays, and by bisection for every limit,
    for the highest price that it still beats: one order wins at every price below one that it wins at.
    """

    def __init__(self, track: PriceTrack, trial: Trial) -> None:
        self._track = rolling(track)
        self._trial = trial
        self._starts, self._prices = _in_rounds(track, trial.terms.tick_s)
        self._levels = sorted(set(self._prices))
        self._beaten: dict[int, int] = {}
        anything = Price(self._levels[-1] + 1)
        paid = {price: self._cleared(anything, price) for price in self._levels}
        self._paid = [paid[price] or 0 for price in self._prices]
        self._turns = Turns(self._prices)
        lasted = [later - start for start, later in pairwise(self._starts)]
        owed = (rate * span for rate, span in zip(self._paid, lasted, strict=False))
        self._owed: list[float] = list(itertools.accumulate(owed, initial=0.0))

    def span(self) -> tuple[float, float]:
        """Return the first and the last second at which a run may begin.

        Raises:
            InvalidRequest: the history is too short for one run.
        """
        first, last = self._track.starts[0], self._track.end - self._trial.within.total_seconds()
        if last - first < self._trial.terms.tick_s:
            there = rough_duration(timedelta(seconds=self._track.end - first))
            asked = rough_duration(self._trial.within)
            raise InvalidRequest(
                {"within": f"a run of up to {asked} doesn't fit into a history of {there}"},
                hint="look further back with --since, allow less time, or play synthetic prices",
            )
        window = self._trial.policy.window
        if window is not None:
            first += min(window.total_seconds(), (last - first) / 2)
        return first, last

    def play(self, begun: float) -> Played:
        """Play one run that bids at the second `begun`."""
        limit = self._limit(begun)
        if limit is None:
            return Played(begun=begun, limit=None)
        end = self._end(begun)
        needed = self._trial.hours.total_seconds()
        tick, notice = self._trial.terms.tick_s, self._trial.terms.notice_s
        starts, prices, beaten = self._starts, self._prices, self._highest_beaten(limit)
        at = (begun // tick + 1) * tick
        first: float | None = None
        done: float | None = None
        held, owed, preemptions = 0.0, 0.0, 0
        lost_at = math.inf  # when a notice that is running takes the nodes
        holds = False
        while at < end and done is None:
            place = self._place(at)
            wins = prices[place] <= beaten
            if wins:
                lost_at = math.inf
                if not holds:
                    holds, first = True, at - begun if first is None else first
            elif holds and lost_at == math.inf:
                lost_at = at + notice
            turn = (self._turns.above if wins else self._turns.within)(beaten, place)
            upto = min(starts[turn] if turn < len(starts) else end, end, lost_at)
            if holds:
                took = min(upto - at, needed - held)
                held += took
                owed += self._owing(at, at + took) if wins else limit.micros * took
                if held >= needed:
                    done = at + took - begun
            at = upto
            if at == lost_at and done is None:
                holds, lost_at, preemptions = False, math.inf, preemptions + 1
                at = math.ceil(at / tick) * tick
        return Played(
            begun=begun,
            limit=limit,
            first_node_s=first,
            done_s=done,
            held_s=held,
            preemptions=preemptions,
            cost=owed * self._trial.instances / _SECONDS_PER_HOUR / 1e6,
        )

    def _place(self, at: float) -> int:
        """Return which price holds at that second; before the first one, the first."""
        return max(bisect_right(self._starts, at) - 1, 0)

    def _owing(self, since: float, until: float) -> float:
        """Return what an instance owes that wins all the time between those seconds times 3,600, in micro-dollars."""
        if until <= since:
            return 0.0
        before, last = self._place(since), self._place(until)
        sooner = self._owed[before] + self._paid[before] * (since - self._starts[before])
        later = self._owed[last] + self._paid[last] * (until - self._starts[last])
        return later - sooner

    def _limit(self, begun: float) -> Price | None:
        trial, now = self._trial, moment_of(begun)
        outlook = Outlook(
            now=now,
            price=self._track.at(now),
            instances=trial.instances,
            run_time=trial.hours,
            track=self._track,
        )
        limit = trial.policy.limit(outlook)
        if trial.cap is not None:
            limit = min(limit, trial.cap)
        return limit if limit >= trial.floor else None

    def _end(self, begun: float) -> float:
        end = begun + self._trial.within.total_seconds()
        deadline = self._trial.policy.deadline(moment_of(begun))
        return end if deadline is None else min(end, deadline.timestamp())

    def _highest_beaten(self, limit: Price) -> int:
        """Return the highest price of the past at which a bid of `limit` wins; -1 where there is none."""
        known = self._beaten.get(limit.micros)
        if known is None:
            place = bisect_left(
                self._levels, True, key=lambda price: self._cleared(limit, price) is None
            )
            known = self._beaten[limit.micros] = self._levels[place - 1] if place else -1
        return known

    def _cleared(self, limit: Price, price: int) -> int | None:
        """Return what a bid pays in a round at which everybody else would pay `price`, or None when it loses."""
        trial = self._trial
        if limit.micros == price and price > trial.floor.micros:
            return None  # the others were there first, and equals are served in their order
        order = Order("bid", limit, trial.instances, 0)
        capacity = trial.instances if trial.capacity is None else trial.capacity
        result = clear([order], capacity=capacity, reserve=Price(price))
        return result.price.micros if order.id in result.winners else None


def play(track: PriceTrack, trial: Trial, *, runs: int, chance: random.Random) -> Sequence[Played]:
    """Return `runs` runs that begin at moments drawn evenly from the history, oldest first; equal draws, equal runs.

    A policy that looks back begins no sooner than its window reaches, or half the history where that is shorter.

    Raises:
        InvalidRequest: the history is too short, or the policy has no limit to give.
    """
    replay = Replay(track, trial)
    first, last = replay.span()
    moments = sorted(chance.uniform(first, last) for _ in range(runs))
    return [replay.play(moment) for moment in moments]


def _in_rounds(track: PriceTrack, tick_s: float) -> tuple[list[float], list[int]]:
    """Return the track as the market's rounds see it: a change counts from the next round on, the last of several."""
    starts: list[float] = []
    prices: list[int] = []
    for start, price in zip(track.starts, track.prices, strict=True):
        seen = math.ceil(start / tick_s) * tick_s
        if starts and starts[-1] == seen:
            prices[-1] = price
        else:
            starts.append(seen)
            prices.append(price)
    return starts, prices
