"""How long a back-test of ten thousand runs over ninety days of prices in one market takes, report included."""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta, timezone

from flow_core.domain.backtest import Trial, play
from flow_core.domain.backtest_report import report
from flow_core.domain.money import Price
from flow_core.domain.policy_form import parse_policy
from flow_core.domain.price_walk import CALM, STORMY, walked
from tests.benchmarks.harness import Effort, Measured, median

RUNS = 10_000
DAYS = 90
LIMIT_S = 10.0
#: How often the market's price moves: as the pretend market's, and at every single round.
STEPS = {"half an hour": timedelta(minutes=30), "round": timedelta(minutes=2)}
POLICIES = ("2x", "p90/7d", "budget:80@12h")


def backtest(effort: Effort) -> list[Measured]:
    """The slowest of some policies, on a market that moves every half hour and on one that moves every round."""
    lines = []
    for name, step in STEPS.items():
        times = {
            policy: _timed(policy, step, effort.runs if effort.is_quick else 3)
            for policy in POLICIES
        }
        slowest = max(times, key=lambda policy: median(times[policy]))
        lines.append(
            Measured(
                name=f"back-test of {RUNS:,} runs, {DAYS} days, a price each {name}",
                value=median(times[slowest]),
                limit=LIMIT_S,
                note=f"the slowest of {', '.join(POLICIES)}: {slowest}; one core",
                runs=tuple(times[slowest]),
            )
        )
    return lines


def _timed(policy: str, step: timedelta, runs: int) -> list[float]:
    track = walked(
        STORMY if policy == "2x" else CALM,
        base=Price.parse(8),
        floor=Price.parse(2),
        until=datetime(2026, 3, 2, tzinfo=timezone.utc),
        back=timedelta(days=DAYS),
        step=step,
        chance=random.Random(1),
        source="a walk",
    )
    trial = Trial(
        policy=parse_policy(policy),
        hours=timedelta(hours=12),
        within=timedelta(hours=24),
        floor=Price.parse(2),
    )
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        chance = random.Random(2)
        report(play(track, trial, runs=RUNS, chance=chance), within=trial.within, chance=chance)
        times.append(time.perf_counter() - begun)
    return times
