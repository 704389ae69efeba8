"""Rehearse on the pretend cloud: outbid a task, cut a node, move prices, read the ledger.

A command group for `flow`, by the entry point `flow.commands`. It works on the pretend cloud whatever provider is
configured. Only click is imported before a command runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from flow_providers.mock.control import Control

#: The version of every JSON document here; it grows when a key changes its meaning or goes.
JSON_VERSION = 1
F = TypeVar("F", bound=Callable[..., Any])


@click.group(name="mock")
def mock() -> None:
    """Rehearse on the pretend cloud: outbid a task, cut a node, move prices, read the ledger."""


def _as_json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print a JSON document instead.")(
        command
    )


def _lasting(command: F) -> F:
    return click.option(
        "--for", "lasts", metavar="TIME", help="How long, in simulated time: 15m, 2h."
    )(command)


@mock.command()
@click.argument("task")
@_lasting
@_as_json
@click.pass_context
def outbid(context: click.Context, task: str, lasts: str | None, as_json: bool) -> None:
    """Outbid TASK now: it gets its notice, loses its nodes, and comes back when the rival leaves.

    Without --for the rival leaves ten simulated minutes after the notice has ended.
    """
    price = _control(context).outbid(task, lasts=lasts)
    _say(
        context,
        as_json,
        {"task": task, "price_per_hour": str(price)},
        f"{task} is outbid: somebody pays {price}/hr for its market",
    )


@mock.command("raise-price")
@click.argument("price", required=False)
@click.option("-i", "--instance-type", metavar="TYPE", help="Only markets of this type.")
@click.option("--region", help="Only markets of this region.")
@click.option("--back", is_flag=True, help="Let prices go back to where they were.")
@_lasting
@_as_json
@click.pass_context
def raise_price(
    context: click.Context, price: str | None, instance_type: str | None, region: str | None, back: bool,
    lasts: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Have others pay PRICE per instance-hour, up or down, until told otherwise."""
    if (price is None) != back or (back and lasts is not None):
        raise click.UsageError("name a PRICE, or say --back alone.")
    control = _control(context)
    if price is None:
        markets = control.free_price(region=region, instance_type=instance_type)
        words = f"prices go back to their own in {markets} markets, at the next round"
    else:
        markets = control.set_price(price, region=region, instance_type=instance_type, lasts=lasts)
        words = f"others pay {price}/hr in {markets} markets now"
    _say(context, as_json, {"price_per_hour": price, "markets": markets}, words)


@mock.command("fail-next")
@click.argument("method")
@click.option("--after", is_flag=True, help="Fail after the call took effect, not before.")
@click.option(
    "--times", type=click.IntRange(1), default=1, show_default=True, help="How many calls fail."
)
@_as_json
@click.pass_context
def fail_next(context: click.Context, method: str, after: bool, times: int, as_json: bool) -> None:
    """Let the next calls of METHOD (place, bids, withdraw, …) go unanswered."""
    _control(context).fail_next(method, after=after, times=times)
    when = "after it takes" if after else "before it takes"
    said = {"method": method, "when": "after" if after else "before", "times": times}
    _say(
        context,
        as_json,
        said,
        f"the next {method!r} fails {when} effect" + (f", {times} times" if times > 1 else ""),
    )


@mock.command("kill-node")
@click.argument("task")
@click.option(
    "--node", "rank", type=click.IntRange(0), default=0, show_default=True, help="The node's rank."
)
@click.option("--back-after", metavar="TIME", help="Boot it again after this simulated time.")
@_as_json
@click.pass_context
def kill_node(
    context: click.Context, task: str, rank: int, back_after: str | None, as_json: bool
) -> None:
    """Cut the power of a node of TASK."""
    node_id = _control(context).lose_node(task, rank, back_after=back_after)
    _say(
        context,
        as_json,
        {"task": task, "node": rank, "node_id": node_id},
        f"node {rank} of {task} is lost",
    )


@mock.command()
@click.argument("seconds", type=click.FloatRange(0))
@_as_json
@click.pass_context
def lag(context: click.Context, seconds: float, as_json: bool) -> None:
    """Keep new bids out of listings for SECONDS of simulated time; 0 ends it."""
    _control(context).lag_listing(seconds)
    words = f"new bids are listed {seconds:g} s late" if seconds else "new bids are listed at once"
    _say(context, as_json, {"lag_s": seconds}, words)


@mock.command("refuse-quota")
@click.option(
    "--times",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many bids are refused.",
)
@_as_json
@click.pass_context
def refuse_quota(context: click.Context, times: int, as_json: bool) -> None:
    """Refuse the next bid for quota."""
    _control(context).refuse_for_quota(times=times)
    _say(
        context,
        as_json,
        {"times": times},
        "the next bid is refused for quota"
        if times == 1
        else f"the next {times} bids are refused for quota",
    )


@mock.command()
@_as_json
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Show the world's time, what is live in it, and what was set up to go wrong."""
    seen = _control(context).status()
    said = {
        "now": seen.now.isoformat(), "rate": seen.rate, "live_bids": seen.live_bids,
        "running_nodes": seen.running_nodes, "forced_markets": seen.forced_markets,
        "waiting_faults": seen.waiting_faults,
        "next_event_at": seen.next_event_at.isoformat() if seen.next_event_at is not None else None,
    }  # fmt: skip
    pace = (
        f"{seen.rate:g} simulated seconds a second"
        if seen.live_bids
        else "standing still, for nothing is live"
    )
    _say(
        context, as_json, said,
        f"time      {seen.now:%Y-%m-%d %H:%M:%S} UTC (simulated), {pace}",
        f"live      {seen.live_bids} bids, {seen.running_nodes} nodes running",
        f"set up    {seen.forced_markets} prices, {seen.waiting_faults} faults",
    )  # fmt: skip


@mock.command()
@_as_json
@click.pass_context
def ledger(context: click.Context, as_json: bool) -> None:
    """Show what every bid in the pretend cloud has cost."""
    found = _control(context).ledger()
    said = {
        "total": _dollars(found.total.micros),
        "bids": [
            {
                "bid": line.bid_id, "task": line.name, "owner": line.owner, "live": line.is_live,
                "spent": _dollars(line.spent.micros),
                "stretches": [
                    {
                        "nodes": each.nodes, "price_per_hour": str(each.price), "since": each.since.isoformat(),
                        "until": each.until.isoformat() if each.until is not None else None,
                    }
                    for each in line.stretches
                ],
            }
            for line in found.lines
        ],
    }  # fmt: skip
    lines = [
        f"{line.spent!s:>12}  {line.name}{'' if line.is_live else ' (ended)'}"
        for line in found.lines
    ]
    _say(context, as_json, said, *lines, f"{found.total!s:>12}  in all, simulated")


@mock.command()
@click.option("--yes", is_flag=True, help="End what is live too.")
@_as_json
@click.pass_context
def reset(context: click.Context, yes: bool, as_json: bool) -> None:
    """Forget the pretend cloud and begin a new one; what tasks wrote goes with it, volumes too."""
    ended = _control(context).reset(even_if_live=yes)
    _say(
        context,
        as_json,
        {"ended_bids": ended},
        "a new pretend cloud begins" + (f"; {ended} bids ended with the old one" if ended else ""),
    )


@mock.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8080,
    show_default=True,
    help="0 takes a free one.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0.001, 1_000_000),
    default=60.0,
    show_default=True,
    help="Simulated seconds in a real one.",
)
@click.option(
    "--seed", type=int, help="What ids, keys and prices are drawn from, when the world begins."
)
@click.option("--state-dir", type=click.Path(file_okay=False), help="Where the world is kept.")
@click.option(
    "--mood",
    type=click.Choice(["quiet", "calm", "stormy"]),
    default="calm",
    show_default=True,
    help="How other bidders behave.",
)
@click.option(
    "--control",
    is_flag=True,
    help="Serve the control API below /_sim/ too, with a token of its own.",
)
@click.option(
    "--boot/--no-boot",
    "boots",
    default=True,
    show_default=True,
    help="Whether instances boot as machines that SSH reaches, or only look so.",
)
@_as_json
@click.pass_context
def serve(
    context: click.Context,
    port: int,
    rate: float,
    seed: int | None,
    state_dir: str | None,
    mood: str,
    control: bool,
    boots: bool,
    as_json: bool,
) -> None:
    """Serve Mithril's REST API over a pretend cloud of its own, on loopback, until interrupted.

    The world is kept between runs: stop the server, start it again, and every bid is where it was.
    """
    from flow_providers.mock.serve_command import serve_until_interrupted

    serve_until_interrupted(
        environ=context.obj.environ, port=port, rate=rate, seed=seed, state_dir=state_dir, mood=mood,
        with_control=control, boots=boots, say=lambda said, *lines: _say(context, as_json, said, *lines),
    )  # fmt: skip


def _control(context: click.Context) -> Control:
    """Return the control of the pretend cloud of this call's session, whatever provider is configured."""
    from flow_core.errors import Unsupported
    from flow_providers.mock.control import Control
    from flow_providers.mock.market import PretendMarket

    context.obj.provider = "mock"
    market = context.obj.session().provider.market
    if not isinstance(market, PretendMarket):
        raise Unsupported(
            "the provider named 'mock' is not the pretend cloud",
            hint="uninstall the plug-in that took its name",
        )
    return Control(market.engine)


def _say(context: click.Context, as_json: bool, said: Mapping[str, object], *lines: str) -> None:
    if as_json or context.obj.json:
        click.echo(json.dumps({"version": JSON_VERSION, **said}, ensure_ascii=False))
        return
    for line in lines:
        click.echo(line)


def _dollars(micros: int) -> str:
    """Write an amount exactly, without a sign: '12.345678'."""
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"
