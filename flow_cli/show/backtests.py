"""What a back-test came to: chances, money and times, each with its interval."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol

from flow_cli.show.layout import Cell, Panel
from flow_cli.show.text import dollars, stamp
from flow_core.domain.backtest import Trial
from flow_core.domain.backtest_report import Estimate, Report
from flow_core.domain.bid import Quote
from flow_core.domain.duration import format_duration, rough_duration
from flow_core.domain.money import Spend
from flow_core.domain.price_track import PriceTrack


class BackTestLike(Protocol):
    """A back-test, as the prices service tells it."""

    @property
    def trial(self) -> Trial: ...  # noqa: D102
    @property
    def quote(self) -> Quote: ...  # noqa: D102
    @property
    def track(self) -> PriceTrack: ...  # noqa: D102
    @property
    def report(self) -> Report: ...  # noqa: D102


def backtest_panel(test: BackTestLike) -> Panel:
    """Return a report as a panel; every number has its 95 % interval in brackets."""
    trial, told, track = test.trial, test.report, test.track
    hours, within = format_duration(trial.hours), format_duration(trial.within)
    several = f"{trial.instances} × " if trial.instances > 1 else ""
    rows = [
        ("Policy", f"{trial.policy}" + (f", at most {trial.cap}/hr" if trial.cap else "")),
        ("Limits", _limits(told)),
        ("Asked for", f"{several}{test.quote.shape.label} in {test.quote.region}, {hours} within {within}"),
        ("Prices", f"{track.source}: {_span(track)}, {len(track.prices)} prices"),
        ("Runs", f"{told.runs:,}, in {told.blocks} separate stretches of history"),
        ("Wins nodes", _chance(told.won)),
        ("Done in time", _chance(told.done)),
        ("Preempted", _chance(told.preempted) + f"; {told.preemptions:.2f} times a run"),
        ("Cost", f"{_money(told.cost)} a run"),
        ("First node", _first(told)),
        ("Done after", _time(told.done_s)),
        ("Node time", _time(told.held_s)),
    ]  # fmt: skip
    notes = [
        "in brackets: 95 % intervals, by blocks of history; boots, lost work and the bid's own "
        "effect on the price are left out",
    ]
    if told.blocks < 5:
        notes.append("so short a history says little: look further back with --since")
    if told.refused:
        notes.append(f"{told.refused:,} runs had a limit under the floor and placed no bid")
    shown = tuple((name, Cell(text)) for name, text in rows)
    return Panel(title="Back-test (nothing is placed)", rows=shown, notes=tuple(notes))


def backtest_json(test: BackTestLike) -> dict[str, object]:
    """Return the payload of a `backtest` document. Chances are between 0 and 1, intervals at 95 %."""
    trial, told, track = test.trial, test.report, test.track
    return {
        "policy": str(trial.policy),
        "instance_type": str(test.quote.shape),
        "region": test.quote.region,
        "num_instances": trial.instances,
        "hours_s": trial.hours.total_seconds(),
        "within_s": trial.within.total_seconds(),
        "prices": {
            "source": track.source,
            "since": stamp(track.since),
            "until": stamp(track.until),
            "count": len(track.prices),
        },
        "runs": told.runs,
        "blocks": told.blocks,
        "refused": told.refused,
        "limit_least": dollars(told.least),
        "limit_most": dollars(told.most),
        "wins": _estimate(told.won),
        "done_in_time": _estimate(told.done),
        "preempted": _estimate(told.preempted),
        "preemptions_per_run": told.preemptions,
        "cost": _estimate(told.cost),
        "first_node_s": _estimate(told.first_node_s),
        "first_node_median_s": told.median_first_node_s,
        "done_s": _estimate(told.done_s),
        "node_time_s": _estimate(told.held_s),
    }


def _limits(told: Report) -> str:
    if told.least is None or told.most is None:
        return "none: every limit was under the market's floor"
    if told.least == told.most:
        return f"{told.least}/hr"
    return f"{told.least} to {told.most}/hr"


def _span(track: PriceTrack) -> str:
    return f"{track.since:%Y-%m-%d} to {track.until:%Y-%m-%d}"


def _chance(each: Estimate | None) -> str:
    if each is None:
        return "-"
    return f"{_percent(each.value)} ({_percent(each.low)} to {_percent(each.high)})"


def _percent(share: float) -> str:
    """Write a share so that only what is certain reads 0 % or 100 %."""
    text = f"{share * 100:.1f}"
    if (text == "100.0" and share < 1) or (text == "0.0" and share > 0):
        return "> 99.9 %" if share > 0.5 else "< 0.1 %"
    return f"{text.removesuffix('.0')} %"


def _money(each: Estimate) -> str:
    value, low, high = (Spend(round(part * 1e6)) for part in (each.value, each.low, each.high))
    return f"{value} ({low} to {high})"


def _time(each: Estimate | None) -> str:
    if each is None:
        return "-"
    value, low, high = (
        rough_duration(timedelta(seconds=part)) for part in (each.value, each.low, each.high)
    )
    return f"{value} ({low} to {high})"


def _first(told: Report) -> str:
    if told.first_node_s is None or told.median_first_node_s is None:
        return "-"
    median = rough_duration(timedelta(seconds=told.median_first_node_s))
    return f"{_time(told.first_node_s)} on average, half of them within {median}"


def _estimate(each: Estimate | None) -> dict[str, float] | None:
    return None if each is None else {"value": each.value, "low": each.low, "high": each.high}
