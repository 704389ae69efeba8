"""`flow reconcile`: bids that this machine didn't place, taken over or ended by name."""

from __future__ import annotations

import click

from flow_cli.command import FlowCommand, yes_option
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.people import people_of
from flow_cli.show.strays import stray_json, stray_table
from flow_core.domain.money import Price
from flow_core.errors import FlowError
from flow_core.services.reconciling import Reconciling, Stray


@click.command(cls=FlowCommand)
@click.argument("names", metavar="[NAME…]", nargs=-1)
@click.option("--adopt", is_flag=True, help="Make each NAME a task of this machine.")
@click.option("--withdraw", is_flag=True, help="End each NAME, and its cost.")
@yes_option("Withdraw")
@pass_invocation
def reconcile(
    invocation: Invocation, names: tuple[str, ...], adopt: bool, withdraw: bool, yes: bool
) -> None:
    """List live bids that this machine didn't place, with what they cost; adopt or withdraw those you name.

    NAME is a name, or a bid's id. Only what your account placed through Flow can be named. An adopted bid is a task
    like any other: `flow status`, `flow logs` and `flow cancel` know it, and it ends when its command does.
    """
    if bool(names) != (adopt or withdraw) or (adopt and withdraw):
        raise click.UsageError(
            "name bids with either --adopt or --withdraw, or neither to list them"
        )
    session = invocation.session()
    service = Reconciling(session.ports)
    if not names:
        _list(invocation, service.strays())
        return
    strays = service.named(names)
    if withdraw and not yes:
        _confirm(invocation, strays)
    for each in strays:
        if adopt:
            record = service.adopt(each)
            invocation.talk.say(f"✓ {record.name} is a task of this machine now", "green")
        else:
            service.withdraw(each)
            invocation.talk.say(f"✓ {each.name} ({each.bid.id}) is withdrawn", "green")
    if invocation.json:
        done = "adopted" if adopt else "withdrawn"
        invocation.out.document("stray-list", {"done": done, "bids": stray_json(strays)})


def _list(invocation: Invocation, strays: list[Stray]) -> None:
    if invocation.json:
        invocation.out.document("stray-list", {"done": "listed", "bids": stray_json(strays)})
        return
    session = invocation.session()
    table = stray_table(
        strays,
        people_of(session) if strays else {},
        session.provider.clock.now(),
        simulated=session.provider.limits.simulated,
    )
    invocation.out.show(table)


def _confirm(invocation: Invocation, strays: list[Stray]) -> None:
    names = ", ".join(f"{each.name} ({each.bid.id})" for each in strays)
    hourly = Price(sum(each.hourly.micros for each in strays))
    question = (
        f"End {names}, which cost {hourly}/hr? The nodes go, and what is on their disks is lost."
    )
    unasked = f"{names} can't be ended unasked, and there is no terminal to ask on"
    if not invocation.talk.ask(question, unasked=unasked):
        raise FlowError("not confirmed; nothing was ended")
