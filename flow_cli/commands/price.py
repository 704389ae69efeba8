"""`flow price`: what is on offer, what it cost before, and what a bid policy would have come to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import evolve

from flow_cli.command import FlowSubgroup, everywhere
from flow_cli.completing import instance_types
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.prices import price_json, price_table
from flow_core.domain.bid import Quote
from flow_core.domain.duration import format_duration, parse_duration
from flow_core.domain.shape import InstanceShape, parse_shape
from flow_core.errors import InvalidRequest

if TYPE_CHECKING:
    from flow_core.domain.own_bids import OwnBid
    from flow_core.domain.price_track import PriceTrack

#: A spelling that says "one", so that only instances with one GPU are meant.
_ONE = re.compile(r"^\s*1\s*[x×]|:\s*1\s*$|[-._\s]1x$", re.IGNORECASE)
#: The furthest that prices are looked back at.
FURTHEST = timedelta(days=366)
MOST_RUNS = 1_000_000
#: A chart's width where no terminal says one, and its heights on narrow and on wide terminals.
_PLAIN_WIDTH, _WIDE, _SHORT, _TALL = 80, 120, 12, 18
SPELLED = {
    "instance_type": "--instance-type",
    "region": "--region",
    "since": "--since",
    "svg": "--svg",
    "bid_policy": "--policy",
    "hours": "--hours",
    "within": "--within",
    "max_price_per_hour": "--max-price-per-hour",
    "num_instances": "--num-instances",
}
_TYPE = click.option(
    "-i",
    "--instance-type",
    metavar="TYPE",
    shell_complete=instance_types,
    help="The shape, e.g. 8xh100; without it the cheapest GPU on offer.",
)
_REGION = click.option("--region", help="The region; without it the cheapest.")


@click.group(cls=FlowSubgroup, invoke_without_command=True, params=[*everywhere()])
@click.option(
    "-i",
    "--instance-type",
    metavar="TYPE",
    shell_complete=instance_types,
    help="Only these: h100 is every count of them, 8xh100 is that one.",
)
@click.option("--region", help="Only in this region.")
@click.pass_context
def price(ctx: click.Context, /, instance_type: str | None, region: str | None) -> None:
    """List what is on offer now, cheapest GPU first, with each market's floor.

    `flow price history` draws what one market cost; `flow price backtest` plays a bid policy against it.
    """
    invocation: Invocation = ctx.find_object(Invocation) or Invocation()
    invocation.spelled.update(SPELLED)
    if ctx.invoked_subcommand is None:
        _list(invocation, instance_type, region)
    elif instance_type or region:
        raise click.UsageError(f"options of {ctx.invoked_subcommand!r} come after it", ctx=ctx)


@price.command()
@_TYPE
@_REGION
@click.option(
    "--since", default="7d", metavar="DURATION", show_default=True, help="How far to look back."
)
@click.option(
    "--svg",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a picture instead.",
)
@pass_invocation
def history(
    invocation: Invocation, instance_type: str | None, region: str | None, since: str, svg: Path | None
) -> None:  # fmt: skip
    """Draw what one market cost, with your own limits, wins and preemptions.

    \b
      flow price history -i 8xh100
      flow price history -i 8xh100 --since 30d --svg prices.svg
    """
    from flow_cli.show.price_histories import history_heading, history_json

    back = _back(since)
    session = invocation.session()
    prices = session.prices
    quote = prices.market(_shape(instance_type), region)
    track, bids = prices.track(quote, back=back), prices.own(quote, back=back)
    simulated = session.provider.limits.simulated
    start = session.provider.clock.now() - back
    if svg is not None:
        from flow_cli.show.chart_svg import price_svg

        title, note = history_heading(quote, track, since=start, simulated=simulated)
        _write(svg, price_svg(track, bids, since=start, title=title, note=note))
    if invocation.json:
        invocation.out.document(
            "price-history", history_json(quote, track, bids, since=start, simulated=simulated)
        )
    elif svg is not None:
        invocation.talk.say(f"✓ wrote {svg}", "green")
    else:
        _draw(invocation, quote, track, bids, since=start, simulated=simulated)


@price.command()
@_TYPE
@_REGION
@click.option(
    "--policy",
    required=True,
    metavar="POLICY",
    help="How the limit is chosen: 12.29, 2x, p90/24h or budget:40@12h.",
)
@click.option(
    "--hours",
    default="12",
    metavar="HOURS",
    show_default=True,
    help="How long the task needs its nodes.",
)
@click.option(
    "--within", metavar="DURATION", help="How long it may take in all.  [default: twice the hours]"
)
@click.option(
    "-N",
    "--num-instances",
    type=click.IntRange(1, 10_000),
    default=1,
    metavar="N",
    help="How many instances, all granted together.  [default: 1]",
)
@click.option(
    "--max-price-per-hour", metavar="DOLLARS", help="Bid at most this, whatever the policy says."
)
@click.option(
    "--since",
    default="90d",
    metavar="DURATION",
    show_default=True,
    help="How far back the prices go.",
)
@click.option(
    "--synthetic",
    type=click.Choice(["calm", "stormy"]),
    help="Play against made-up prices about the price of now.",
)
@click.option(
    "--runs",
    type=click.IntRange(1, MOST_RUNS),
    default=2_000,
    show_default=True,
    metavar="N",
    help="How many tasks to play.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Another number draws other moments.",
)
@pass_invocation
def backtest(
    invocation: Invocation,
    /,
    instance_type: str | None,
    region: str | None,
    policy: str,
    hours: str,
    within: str | None,
    num_instances: int,
    max_price_per_hour: str | None,
    since: str,
    synthetic: str | None,
    runs: int,
    seed: int,
) -> None:
    """Play a bid policy against past prices: what would it have won, lost and cost?

    Tasks that need nodes for so many hours bid at moments drawn from the past, and meet the market's own auction.

    \b
      flow price backtest -i 8xh100 --policy 2x --hours 12
      flow price backtest -i 8xh100 --policy p90/7d --hours 12 --max-price-per-hour 20
      flow price backtest -i 8xh100 --policy budget:80@14h --hours 12 --synthetic stormy
    """
    from flow_cli.show.backtests import backtest_json, backtest_panel
    from flow_core.domain.backtest import Trial
    from flow_core.domain.money import Price
    from flow_core.domain.policy_form import parse_policy
    from flow_core.domain.price_walk import CALM, STORMY

    chosen = parse_policy(policy)
    needs = _hours(hours)
    longest = parse_duration(within, field="within") if within is not None else needs * 2
    if longest < needs:
        raise InvalidRequest(
            {"within": f"{within!r} is shorter than what the task needs, {format_duration(needs)}"}
        )
    cap = Price.parse(max_price_per_hour) if max_price_per_hour is not None else None
    back = _back(since)
    session = invocation.session()
    quote = session.prices.market(_shape(instance_type), region)
    if synthetic is None:
        track = session.prices.track(quote, back=back)
    else:
        walk = CALM if synthetic == "calm" else STORMY
        track = session.prices.walk(quote, walk, back=back, seed=seed)
    trial = Trial(
        policy=chosen,
        hours=needs,
        within=longest,
        instances=num_instances,
        cap=cap,
        floor=quote.floor,
        capacity=quote.capacity,
    )
    test = session.prices.backtest(trial, quote, track, runs=runs, seed=seed)
    if invocation.json:
        invocation.out.document("backtest", {"backtest": backtest_json(test)})
    else:
        invocation.out.show(backtest_panel(test))


def _list(invocation: Invocation, instance_type: str | None, region: str | None) -> None:
    asked = _shape(instance_type)
    counted = asked is not None and (asked.gpus > 1 or _ONE.search(instance_type or "") is not None)
    session = invocation.session()
    quotes = [
        quote
        for quote in session.provider.market.quotes()
        if _fits(quote, asked, counted=counted) and region in (None, quote.region)
    ]
    if invocation.json:
        invocation.out.document(
            "price-list",
            {"prices": price_json(quotes), "simulated": session.provider.limits.simulated},
        )
        return
    words = " in ".join(each for each in (instance_type, region) if each) or None
    invocation.out.show(
        price_table(
            quotes,
            session.provider.clock.now(),
            simulated=session.provider.limits.simulated,
            asked=words,
        )
    )


def _fits(quote: Quote, asked: InstanceShape | None, *, counted: bool) -> bool:
    if asked is None:
        return True
    shape = asked if counted else evolve(asked, gpus=quote.shape.gpus)
    return shape.matches(quote.shape, type_id=quote.type_id)


def _draw(
    invocation: Invocation, quote: Quote, track: PriceTrack, bids: Sequence[OwnBid], *,
    since: datetime, simulated: bool,
) -> None:  # fmt: skip
    from flow_cli.show.chart import ASCII, UNICODE, price_chart
    from flow_cli.show.price_histories import history_heading
    from flow_cli.streams import can_show

    out = invocation.out
    width = out.console.width if out.is_terminal else _PLAIN_WIDTH
    glyphs = UNICODE if can_show(out, "⣿┄▲▼┤└─") else ASCII
    title, note = history_heading(quote, track, since=since, simulated=simulated)
    out.line(title, "bold")
    height = _TALL if width >= _WIDE else _SHORT
    out.show(price_chart(track, bids, since=since, width=width, height=height, glyphs=glyphs))
    out.line(note, "dim")


def _shape(text: str | None) -> InstanceShape | None:
    return parse_shape(text) if text is not None else None


def _hours(text: str) -> timedelta:
    """Return `12` and `1.5` as hours, and `90m` as what it says."""
    try:
        return parse_duration(float(text) * 3600, field="hours")
    except ValueError:
        return parse_duration(text, field="hours")


def _back(since: str) -> timedelta:
    back = parse_duration(since, field="since")
    if back > FURTHEST:
        raise InvalidRequest({"since": f"{since!r} is further back than a year, the most there is"})
    return back


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise InvalidRequest({"svg": f"{path} can't be written: {error.strerror}"}) from error
