"""`flow instance`: machines held without a command; each is a task that sleeps and is kept."""

from __future__ import annotations

import click
from attrs import evolve

from flow_cli.amended import amended
from flow_cli.command import FlowSubgroup, yes_option
from flow_cli.completing import task_names
from flow_cli.elsewhere import placed_elsewhere
from flow_cli.ending import end_tasks
from flow_cli.following import bidding_words, stay_with
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.people import people_of
from flow_cli.show.instances import instance_table
from flow_cli.show.plans import instance_panel
from flow_cli.show.tasks import end_line, task_json
from flow_cli.task_options import SPELLED, confirm_choice, describes_task, raw_task
from flow_cli.watching import watched
from flow_core.domain.money import Price
from flow_core.domain.names import readable_name
from flow_core.domain.record import TaskRecord
from flow_core.domain.status import TaskState, TaskView
from flow_core.domain.task_form import task_from_mapping
from flow_core.errors import TaskFailed
from flow_core.services.session import Session

DEFAULT_IMAGE = "nvidia/cuda:12.1.0-runtime-ubuntu22.04"
COMMAND = "sleep infinity"
#: How many ended ones the list shows without `--all`.
RECENT = 5
_ALL = 1 << 31


@click.group(cls=FlowSubgroup)
def instance() -> None:
    """Hold machines without a command: create, list, delete, change what is bid.

    An instance is a task that runs `sleep infinity` and is kept: `flow status`, `flow ssh` and `flow cancel` know it by
    its name too.
    """


@instance.command()
@describes_task
@click.option(
    "--code", metavar="PATH", help="Copy this folder to every node.  [default: nothing is copied]"
)
@click.option("-d", "--detach", is_flag=True, help="Return once the bid is placed.")
@yes_option("Take a choice that must be confirmed")
@pass_invocation
def create(invocation: Invocation, /, detach: bool, yes: bool, **given: object) -> int:
    """Bid for instances and wait until they run; print the name.

    They cost money until `flow instance delete NAME`, or until --max-run-time or --max-spend.

    \b
      flow instance create -i 8xh100 --name box
      flow instance create -i 8xh100 -N 20 --max-price-per-gpu-hour 2.50
    """
    invocation.spelled.update(SPELLED)
    session = invocation.session()
    base: dict[str, object] = {"command": COMMAND, "keep": True}
    if not session.provider.limits.images_by_kit:  # there the instance is the machine itself
        base["image"] = DEFAULT_IMAGE
    asked = task_from_mapping(raw_task(given, base))
    plan = session.tasks.plan(asked)
    name = asked.name or readable_name(session.ports.chance, taken=session.ports.journal.names())
    plan = evolve(plan, spec=evolve(plan.spec, name=name))
    limits = session.provider.limits
    if not invocation.json:
        invocation.talk.show(
            instance_panel(plan, workspace=limits.workspace, simulated=limits.simulated)
        )
    confirm_choice(invocation, session, asked, plan, yes=yes)
    first, later = bidding_words(invocation, plan)
    with invocation.talk.waiting() as wait:
        wait.tell(first, at_once=True)
        record = session.tasks.submit(plan.spec, plan=plan)
    return _leave(invocation, record) if detach else _await(invocation, session, record, later)


@instance.command("list")
@click.option("-a", "--all", "everything", is_flag=True, help="Show every one that ever was.")
@pass_invocation
def list_(invocation: Invocation, everything: bool) -> None:
    """List what holds machines, or waits for them, and what did so last."""
    session = invocation.session()
    views = session.tasks.views(ended=_ALL if everything else RECENT)
    people = people_of(session)
    watch = watched(invocation, session, is_live=any(view.record.is_live for view in views))
    others = placed_elsewhere(invocation, session)
    if invocation.json:
        instances = [
            {"number": number, **task_json(view)} for number, view in enumerate(views, start=1)
        ]
        invocation.out.document("instance-list", {"instances": instances, **watch, **others})
        return
    simulated = session.provider.limits.simulated
    invocation.out.show(
        instance_table(views, people, session.provider.clock.now(), simulated=simulated)
    )


@instance.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True, shell_complete=task_names)
@yes_option("Delete")
@pass_invocation
def delete(invocation: Invocation, names: tuple[str, ...], yes: bool) -> None:
    """Give each instance back. What is on its disks is lost; its log stays readable."""
    session = invocation.session()
    records = [session.tasks.record(name) for name in names]
    end_tasks(
        invocation, session, records, asks_for=[each for each in records if each.is_live], yes=yes
    )


@instance.command()
@click.argument("name", shell_complete=task_names)
@click.argument("price")
@pass_invocation
def limit(invocation: Invocation, name: str, price: str) -> None:
    """Bid at most PRICE dollars per instance and hour for NAME from now on, higher or lower than before."""
    amended(invocation, name, lambda bids: bids.limit(name, Price.parse(price, field="PRICE")))


@instance.command()
@click.argument("name", shell_complete=task_names)
@pass_invocation
def pause(invocation: Invocation, name: str) -> None:
    """Give NAME's machines back and keep their boot disks; it costs nothing until it is resumed."""
    amended(invocation, name, lambda bids: bids.pause(name))


@instance.command()
@click.argument("name", shell_complete=task_names)
@pass_invocation
def resume(invocation: Invocation, name: str) -> None:
    """Have a paused NAME bid again; its command starts anew once machines are granted."""
    amended(invocation, name, lambda bids: bids.resume(name))


def _leave(invocation: Invocation, record: TaskRecord) -> int:
    if invocation.json:
        invocation.out.document("task", {"task": task_json(TaskView(record=record))})
        return 0
    invocation.talk.say(f"✓ {record.name} is placed", "green")
    invocation.talk.say(_ways_on(record))
    invocation.out.line(record.name)
    return 0


def _await(invocation: Invocation, session: Session, record: TaskRecord, bidding: str) -> int:
    try:
        view = stay_with(
            invocation,
            session,
            record,
            bidding=bidding,
            enough=lambda seen: seen.state is TaskState.RUNNING,
        )
    except KeyboardInterrupt:
        invocation.talk.say(f"\n{record.name} goes on without this terminal.\n{_ways_on(record)}")
        return 130
    if view.state.is_final:
        invocation.talk.say(
            end_line(view, None, simulated=session.provider.limits.simulated), "yellow"
        )
        raise TaskFailed(
            f"{record.name!r} ended before it ran: {view.record.reason or view.state.value}", exit_code=1,
            hint=f"`flow status {record.name}` shows its history",
        )  # fmt: skip
    if invocation.json:
        invocation.out.document("task", {"task": task_json(view)})
        return 0
    invocation.talk.say(f"✓ {record.name} is running", "green")
    invocation.talk.say(_ways_on(record))
    invocation.out.line(record.name)
    return 0


def _ways_on(record: TaskRecord) -> str:
    return f"  log in:       flow ssh {record.name}\n  give it back: flow instance delete {record.name}"
