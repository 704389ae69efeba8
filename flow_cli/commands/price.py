"""`flow price`: what is on offer."""

from __future__ import annotations

import re

import click
from attrs import evolve

from flow_cli.command import FlowCommand
from flow_cli.completing import instance_types
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.prices import price_json, price_table
from flow_core.domain.bid import Quote
from flow_core.domain.shape import InstanceShape, parse_shape

#: A spelling that says "one", so that only instances with one GPU are meant.
_ONE = re.compile(r"^\s*1\s*[x×]|:\s*1\s*$|[-._\s]1x$", re.IGNORECASE)


@click.command(cls=FlowCommand)
@click.option(
    "-i",
    "--instance-type",
    metavar="TYPE",
    shell_complete=instance_types,
    help="Only these: h100 is every count of them, 8xh100 is that one.",
)
@click.option("--region", help="Only in this region.")
@pass_invocation
def price(invocation: Invocation, instance_type: str | None, region: str | None) -> None:
    """List what is on offer now, cheapest GPU first, with each market's floor."""
    invocation.spelled["instance_type"] = "--instance-type"
    asked = parse_shape(instance_type) if instance_type is not None else None
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
    return (asked if counted else evolve(asked, gpus=quote.shape.gpus)).matches(quote.shape)
