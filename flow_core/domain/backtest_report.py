"""What many runs of a back-test add up to, and how sure that is.

However many runs are played, a history is one draw of what the market might have done, and runs that begin within the
same day see much the same prices. So uncertainty is reckoned by blocks of history, as long as a run may last and at
least a day, not by runs; more runs don't make an interval narrower than the history allows.

- Chances have Wilson's score interval at 95 %, with every block counted as one observation. That is wide rather than
  narrow: a block's share of wins varies at most as much as a single yes or no would.
- Amounts (cost, times) have a percentile bootstrap over blocks at 95 %: a thousand histories are put together from
  blocks drawn with replacement, and the middle 95 % of their means are told.

Source: Wilson, Probable inference, 1927; Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from datetime import timedelta

from attrs import frozen

from flow_core.domain.backtest import Played
from flow_core.domain.money import Price

#: 97.5 % of a normal distribution lies below it.
Z = 1.959964
RESAMPLES = 1_000
SHORTEST_BLOCK = timedelta(days=1)


@frozen
class Estimate:
    """A number and the 95 % interval that it lies in."""

    value: float
    low: float
    high: float


@frozen(kw_only=True)
class Report:
    """What the runs came to. Chances lie between 0 and 1, times are seconds, money is dollars for all instances.

    `preempted`, `first_node_s` and `held_s` are of the runs that won; None when none did. `done` is the chance of
    having held the nodes for as long as the task needs, in time; `done_s` how long that took where it came to it.
    `refused` counts runs whose limit was under the market's floor; `least` and `most` are the limits of the others.
    """

    runs: int
    blocks: int
    won: Estimate
    done: Estimate
    preempted: Estimate | None
    cost: Estimate
    first_node_s: Estimate | None
    median_first_node_s: float | None
    done_s: Estimate | None
    held_s: Estimate | None
    preemptions: float
    refused: int
    least: Price | None
    most: Price | None


def report(runs: Sequence[Played], *, within: timedelta, chance: random.Random) -> Report:
    """Add up `runs`; `chance` draws the bootstrap's histories.

    Raises:
        ValueError: there are no runs.
    """
    if not runs:
        raise ValueError("no runs, no report")
    blocks = _blocks(runs, max(within, SHORTEST_BLOCK).total_seconds())
    winners = [run for run in runs if run.first_node_s is not None]
    finished = [run for run in runs if run.done_s is not None]
    winning = _only(blocks, lambda run: run.first_node_s is not None)
    first = sorted(run.first_node_s for run in winners if run.first_node_s is not None)
    limits = [run.limit for run in runs if run.limit is not None]
    hurt = sum(run.preemptions > 0 for run in winners)
    return Report(
        runs=len(runs),
        blocks=len(blocks),
        won=share(len(winners) / len(runs), len(blocks)),
        done=share(len(finished) / len(runs), len(blocks)),
        preempted=share(hurt / len(winners), len(winning)) if winners else None,
        cost=_mean(blocks, lambda run: run.cost, chance),
        first_node_s=_mean(winning, lambda run: run.first_node_s or 0.0, chance)
        if winners
        else None,
        median_first_node_s=first[len(first) // 2] if first else None,
        done_s=_mean(
            _only(blocks, lambda run: run.done_s is not None), lambda run: run.done_s or 0.0, chance
        )
        if finished
        else None,
        held_s=_mean(winning, lambda run: run.held_s, chance) if winners else None,
        preemptions=sum(run.preemptions for run in runs) / len(runs),
        refused=len(runs) - len(limits),
        least=min(limits, default=None),
        most=max(limits, default=None),
    )


def share(value: float, observations: int) -> Estimate:
    """Return a chance with Wilson's score interval, as if it had been seen in so many independent observations."""
    count = max(observations, 1)
    middle = (value + Z * Z / (2 * count)) / (1 + Z * Z / count)
    half = Z / (1 + Z * Z / count)
    half *= math.sqrt(value * (1 - value) / count + Z * Z / (4 * count * count))
    return Estimate(value, min(max(middle - half, 0.0), value), max(min(middle + half, 1.0), value))


Block = Sequence[Played]


def _blocks(runs: Sequence[Played], length_s: float) -> list[Block]:
    begin = min(run.begun for run in runs)
    found: dict[int, list[Played]] = {}
    for run in runs:
        found.setdefault(int((run.begun - begin) // length_s), []).append(run)
    return [found[place] for place in sorted(found)]


def _only(blocks: Sequence[Block], counts: Callable[[Played], bool]) -> list[Block]:
    kept = [[run for run in block if counts(run)] for block in blocks]
    return [block for block in kept if block]


def _mean(
    blocks: Sequence[Block], amount: Callable[[Played], float], chance: random.Random
) -> Estimate:
    sums = [(sum(map(amount, block)), len(block)) for block in blocks]
    means = sorted(_pooled(chance.choices(sums, k=len(sums))) for _ in range(RESAMPLES))
    edge = round(RESAMPLES * 0.025)
    return Estimate(_pooled(sums), means[edge], means[-edge - 1])


def _pooled(sums: Sequence[tuple[float, int]]) -> float:
    total = count = 0.0
    for amount, runs in sums:
        total += amount
        count += runs
    return total / count
