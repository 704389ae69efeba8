"""`flow reservation`: instances for a fixed time, paid in full at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click

from flow_cli.command import FlowSubgroup, yes_option
from flow_cli.completing import instance_types
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.reservations import (
    offer_json,
    offer_table,
    offered_panel,
    reservation_json,
    reservation_table,
)
from flow_cli.show.text import clock_time
from flow_core.domain.duration import parse_duration
from flow_core.domain.moment import parse_moment
from flow_core.domain.reservation import Reservation
from flow_core.domain.shape import parse_shape
from flow_core.errors import FlowError, InvalidRequest
from flow_core.services.reservations import Offered, Reserving, name_of

SPELLED = {
    "instance_type": "--instance-type",
    "num_instances": "--num-instances",
    "region": "--region",
    "start": "--start",
    "end": "--end",
    "for": "--for",
    "name": "--name",
}
_F = TypeVar("_F", bound=Callable[..., Any])

_TERM = [
    click.option(
        "-i", "--instance-type", metavar="TYPE", required=True, shell_complete=instance_types,
        help="GPUs of one instance, e.g. 8xh100.",
    ),
    click.option(
        "-N", "--num-instances", type=int, default=1, show_default=True, metavar="N", help="How many instances."
    ),
    click.option("--region", help="Only in this region."),
    click.option(
        "--start", default="now", show_default=True, metavar="WHEN",
        help="When it begins: now, +2h, 2026-03-02 or 2026-03-02T09:00Z.",
    ),
    click.option("--end", metavar="WHEN", help="When it ends, written alike."),
    click.option("--for", "lasts", metavar="DURATION", help="How long it lasts, e.g. 12h or 7d, instead of --end."),
]  # fmt: skip


def _describes_term(command: _F) -> _F:
    for option in reversed(_TERM):
        command = option(command)
    return command


@click.group(cls=FlowSubgroup)
def reservation() -> None:
    """Instances for a fixed time: quote, create, list, extend, pause.

    A reservation is paid as a whole at once, used or not. `flow submit --reservation NAME` runs a task on one.
    """


@reservation.command()
@_describes_term
@pass_invocation
def quote(invocation: Invocation, /, **given: Any) -> None:
    """Show what instances would cost for a time, cheapest whole first; nothing is reserved."""
    offers = _offers(invocation, **given)
    if invocation.json:
        invocation.out.document("offer-list", {"offers": [offer_json(each) for each in offers]})
    else:
        invocation.out.show(offer_table(offers))


@reservation.command()
@_describes_term
@click.option("--name", help="The name; a readable one is made up.")
@click.option(
    "--offer", metavar="KEY", help="Which offer of `quote` to take.  [default: the cheapest]"
)
@yes_option("Pay")
@pass_invocation
def create(
    invocation: Invocation, /, name: str | None, offer: str | None, yes: bool, **given: Any
) -> None:
    """Reserve instances and pay for the whole time at once; print the name.

    The whole price is shown first. What costs more by then isn't reserved.
    """
    offered = [each for each in _offers(invocation, **given) if offer in (None, each.offer.key)]
    if not offered:
        raise InvalidRequest(
            {"--offer": f"{offer!r} is not offered for that; `quote` lists what is"}
        )
    chosen = offered[0]
    if not invocation.json:
        invocation.talk.show(offered_panel(chosen, name=name))
    _agree(invocation, f"Pay {chosen.offer.total} now?", str(chosen.offer.total), yes=yes)
    made = Reserving(invocation.session().ports).create(chosen, name=name)
    _tell(invocation, made, f"is reserved for {made.total}")
    if not invocation.json:
        invocation.talk.say(f"Use it: flow submit COMMAND --reservation {name_of(made)}")
        invocation.out.line(name_of(made))


@reservation.command("list")
@click.option("-a", "--all", "everything", is_flag=True, help="Show those that have ended too.")
@pass_invocation
def list_(invocation: Invocation, everything: bool) -> None:
    """List live reservations, newest first."""
    found = Reserving(invocation.session().ports).reservations(live=not everything)
    if invocation.json:
        shown = [reservation_json(each, name=name_of(each)) for each in found]
        invocation.out.document("reservation-list", {"reservations": shown})
    else:
        invocation.out.show(reservation_table(found, name_of))


@reservation.command()
@click.argument("name")
@click.option(
    "--until", metavar="WHEN", help="When it shall end, e.g. 2026-03-09 or 2026-03-09T09:00Z."
)
@click.option("--by", metavar="DURATION", help="How much longer it shall last, instead of --until.")
@yes_option("Pay")
@pass_invocation
def extend(invocation: Invocation, name: str, until: str | None, by: str | None, yes: bool) -> None:
    """Make NAME last longer and pay for the rest at once.

    What the rest costs is shown first, at the reservation's own price; what costs more isn't extended.
    """
    if (until is None) is (by is None):
        raise click.UsageError("say either --until or --by")
    session = invocation.session()
    service = Reserving(session.ports)
    if by is not None:
        end = service.reservation(name).term.end + parse_duration(by, field="--by")
    else:
        end = parse_moment(until or "", now=session.provider.clock.now(), field="--until")
    extension = service.extension(name, end)
    if not invocation.json:
        words = f"{name} until {clock_time(end)}: {extension.total} more, charged at once"
        invocation.talk.say(f"{words} ({extension.unit_price}/hr per instance)")
    _agree(invocation, f"Pay {extension.total} now?", str(extension.total), yes=yes)
    made = service.extend(extension)
    _tell(invocation, made, f"lasts until {clock_time(made.term.end)}")


@reservation.command()
@click.argument("name")
@click.option("--resume", is_flag=True, help="Start its instances again instead.")
@pass_invocation
def pause(invocation: Invocation, name: str, resume: bool) -> None:
    """Stop NAME's instances and keep their boot disks, or start them again; its time goes on."""
    made = Reserving(invocation.session().ports).pause(name, paused=not resume)
    _tell(invocation, made, f"is {made.state.value}")


def _offers(
    invocation: Invocation, *, instance_type: str, num_instances: int, region: str | None, start: str,
    end: str | None, lasts: str | None,
) -> list[Offered]:  # fmt: skip
    invocation.spelled.update(SPELLED)
    if (end is None) is (lasts is None):
        raise click.UsageError("say either --end or --for")
    shape = parse_shape(instance_type)
    session = invocation.session()
    now = session.provider.clock.now()
    begins = parse_moment(start, now=now, field="start")
    ends: datetime = (
        begins + parse_duration(lasts, field="for")
        if lasts is not None
        else parse_moment(end or "", now=now, field="end")
    )
    return Reserving(session.ports).offers(
        shape, quantity=num_instances, start=begins, end=ends, region=region
    )


def _agree(invocation: Invocation, question: str, price: str, *, yes: bool) -> None:
    if yes:
        return
    unasked = f"{price} would be charged at once, and there is no terminal to ask on"
    if not invocation.talk.ask(question, unasked=unasked):
        raise FlowError("not confirmed; nothing was paid")


def _tell(invocation: Invocation, made: Reservation, what: str) -> None:
    if invocation.json:
        shown = reservation_json(made, name=name_of(made))
        invocation.out.document("reservation", {"reservation": shown})
        return
    invocation.talk.say(f"✓ {name_of(made)} {what}", "green")
