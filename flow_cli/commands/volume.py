"""`flow volume`: storage that outlives tasks."""

from __future__ import annotations

from contextlib import suppress

import click

from flow_cli.command import FlowSubgroup, yes_option
from flow_cli.completing import remember_volumes, task_names, volume_names
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.volumes import volume_json, volume_table
from flow_core.domain.volume import Interface
from flow_core.errors import FlowError
from flow_core.services.session import Session

SPELLED = {
    "size": "--size",
    "name": "--name",
    "region": "--region",
    "interface": "--interface",
}


@click.group(cls=FlowSubgroup)
def volume() -> None:
    """Storage that outlives tasks: create, list, attach, delete.

    A task mounts one with `--mount volume://NAME:/PATH`.
    """


@volume.command()
@click.option(
    "-s", "--size", type=int, required=True, metavar="GB", help="How much it holds, in GB."
)
@click.option(
    "-i",
    "--interface",
    type=click.Choice([each.value for each in Interface]),
    default=Interface.FILE.value,
    show_default=True,
    help="file is shared by all nodes, block belongs to one node at a time.",
)
@click.option("--name", help="The name; a readable one is made up.")
@click.option(
    "--region", help="Where it lies; tasks that mount it run there.  [default: the cheapest region]"
)
@pass_invocation
def create(
    invocation: Invocation, size: int, interface: str, name: str | None, region: str | None
) -> None:
    """Make an empty volume; print its name."""
    invocation.spelled.update(SPELLED)
    session = invocation.session()
    made = session.storage.create(
        capacity_gb=size, interface=Interface(interface), name=name, region=region
    )
    _remember(invocation, session)
    if invocation.json:
        invocation.out.document("volume", {"volume": volume_json(made, {})})
        return
    invocation.talk.say(
        f"✓ {made.name}: {made.capacity_gb:,} GB ({made.interface.value}) in {made.region or 'every region'}",
        "green",
    )
    invocation.talk.say(f"Mount it: --mount volume://{made.name}:/PATH")
    invocation.out.line(made.name)


@volume.command("list")
@pass_invocation
def list_(invocation: Invocation) -> None:
    """List all volumes, oldest first, and what uses each."""
    session = invocation.session()
    volumes = session.storage.volumes()
    remember_volumes(invocation.environ, [each.name for each in volumes])
    users = _users(session)
    if invocation.json:
        invocation.out.document(
            "volume-list", {"volumes": [volume_json(each, users) for each in volumes]}
        )
        return
    invocation.out.show(volume_table(volumes, users, session.provider.clock.now()))


@volume.command()
@click.argument("name", metavar="VOLUME", shell_complete=volume_names)
@click.argument("task", shell_complete=task_names)
@yes_option("Restart the task")
@pass_invocation
def attach(invocation: Invocation, name: str, task: str, yes: bool) -> None:
    """Give VOLUME to TASK, which is placed already; its nodes find it at /mnt/VOLUME.

    The task is paused for it, unless it is paused: its nodes go, keep their boot disks, and come back, and its command
    starts anew. `--mount` at `flow submit` takes no restart, and any path.
    """
    session = invocation.session()
    record, volume = session.tasks.record(task), session.storage.volume(name)
    runs = record.bid_id not in volume.attached_to and record.is_live
    if runs and not yes:
        unasked = f"{record.name} can't be restarted unasked, and there is no terminal to ask on"
        question = f"Pause {record.name} to attach {volume.name}? Its command starts anew."
        if not invocation.talk.ask(question, unasked=unasked):
            raise FlowError("not confirmed; nothing was changed")
    path = session.amending.attach(record.token, volume.id)
    if invocation.json:
        shown = [volume_json(session.storage.volume(volume.id), _users(session))]
        invocation.out.document("volume-list", {"volumes": shown})
        return
    where = f"at {path}" if volume.interface is Interface.FILE else "as a block device"
    invocation.talk.say(f"✓ {volume.name} is attached to {record.name}, {where}", "green")


@volume.command()
@click.argument("names", metavar="NAME…", nargs=-1, required=True, shell_complete=volume_names)
@yes_option("Delete")
@pass_invocation
def delete(invocation: Invocation, names: tuple[str, ...], yes: bool) -> None:
    """Delete volumes and all that they hold. One that is in use is refused."""
    invocation.spelled.update(SPELLED)
    session = invocation.session()
    found = [session.storage.volume(name) for name in names]
    if not yes:
        what = ", ".join(f"{each.name} ({each.capacity_gb:,} GB)" for each in found)
        unasked = f"{what} can't be deleted unasked, and there is no terminal to ask on"
        if not invocation.talk.ask(f"Delete {what}? All that is on it is lost.", unasked=unasked):
            raise FlowError("not confirmed; nothing was deleted")
    gone = [session.storage.delete(each.id) for each in found]
    _remember(invocation, session)
    if invocation.json:
        invocation.out.document(
            "volume-list", {"volumes": [volume_json(each, {}) for each in gone]}
        )
        return
    for each in gone:
        invocation.talk.say(f"✓ {each.name} is deleted", "green")


def _users(session: Session) -> dict[str, str]:
    return {
        record.bid_id: record.name
        for record in session.ports.journal.live()
        if record.bid_id is not None
    }


def _remember(invocation: Invocation, session: Session) -> None:
    """Note the names for completion; it is no reason to fail."""
    with suppress(FlowError):
        remember_volumes(invocation.environ, [each.name for each in session.storage.volumes()])
