"""`flow dev`: a box that stays, for the folder that one works in."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

import click

from flow_cli.command import FlowCommand, FlowSubgroup, everywhere, yes_option
from flow_cli.dev_calling import Wish, node_to_use, use
from flow_cli.invocation import Invocation, pass_invocation
from flow_cli.show.dev import box_json, box_panel
from flow_cli.task_options import SPELLED, describes_task
from flow_core.domain.box import Entry
from flow_core.domain.box_inside import named
from flow_core.domain.names import problem_with_name
from flow_core.domain.record import TaskRecord
from flow_core.errors import Conflict, FlowError, InvalidRequest, NotFound
from flow_core.services.session import Session

#: Options of a task that a box has no use for: one node that waits, whose code and command are its own.
_NOT_A_BOXS = frozenset(
    {
        "num_instances",
        "name",
        "env",
        "image",
        "environment",
        "working_dir",
        "retries",
        "notice_signal",
    }
)
_WORDS = "flow.dev.words"


class DevGroup(FlowSubgroup):
    """A group that is a command too: what follows `--` is the user's."""

    passes_on = staticmethod(lambda words: True)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep what follows `--`, and read the rest."""
        if "--" in args:
            place = args.index("--")
            ctx.meta[_WORDS] = tuple(args[place + 1 :])
            args = args[:place]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a word that is none was meant for the box."""
        if not ctx.resilient_parsing and self.get_command(ctx, args[0]) is None:
            raise click.UsageError(
                f"{args[0]!r} is no command of 'flow dev'; what is to run on the box follows `--`: "
                f"flow dev -- {shlex.join(args)}",
                ctx=ctx,
            )
        return super().resolve_command(ctx, args)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both ways of calling it."""
        formatter.write_usage(ctx.command_path, "[OPTIONS] [-- COMMAND…]")
        formatter.write_usage(
            ctx.command_path, "status|stop|reset|share [OPTIONS]", prefix="       "
        )


def _describes_box(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those options of a task that a box takes."""
    before: list[click.Parameter] = list(getattr(command, "__click_params__", []))
    described = describes_task(command)
    own = [
        each
        for each in described.__click_params__  # type: ignore[attr-defined]
        if each in before or each.name not in _NOT_A_BOXS
    ]
    described.__click_params__ = own  # type: ignore[attr-defined]
    return described


_name_option = click.option("--name", metavar="NAME", help="The box, instead of this folder's own.")


@click.group(cls=DevGroup, invoke_without_command=True, params=[*everywhere()])
@click.option(
    "--env",
    "envs",
    metavar="NAME",
    multiple=True,
    help="Run in the environment of this name, fresh at first; NAME=VALUE sets a variable.",
)
@click.option("--image", metavar="IMAGE", help="Run in a container of this image, fresh at first.")
@click.option(
    "--environment",
    metavar="WHAT",
    help="Run in an environment made of this: python:3.11 or a file such as requirements.txt.",
)
@click.option("-w", "--watch", is_flag=True, help="Run COMMAND again whenever a file is saved.")
@_name_option
@_describes_box
@yes_option("Take a choice that must be confirmed, or upload more than 500 MB,")
@click.pass_context
def dev(
    ctx: click.Context, /, envs: tuple[str, ...], image: str | None, environment: str | None,
    watch: bool, name: str | None, yes: bool, **given: object,
) -> int:  # fmt: skip
    """Work on a machine that stays: bring what changed, run COMMAND there, end with its code.

    The first call makes the box of this folder, or finds it, and uploads the code; later ones send what changed.
    Without COMMAND a shell opens. The box stops costing money when nobody has used it for half an hour
    (--idle-timeout), and comes back at the next call.

    \b
      flow dev -i a100
      flow dev -- python train.py
      flow dev --watch -- pytest -q
      flow dev --env try -- pip install torch
    """
    if ctx.invoked_subcommand is not None:
        return 0
    invocation: Invocation = ctx.find_object(Invocation) or Invocation()
    words: tuple[str, ...] = ctx.meta.get(_WORDS, ())
    invocation.spelled.update(SPELLED)
    invocation.passes_on = True
    if watch and not words:
        raise click.UsageError("--watch needs a command to run again, after `--`", ctx=ctx)
    if invocation.json and not words:
        raise click.UsageError("a terminal has no JSON; give a command after `--`", ctx=ctx)
    env, variables = _read_envs(envs)
    wish = Wish(
        folder=_here(), name=name, image=image or "", given=given, variables=variables, yes=yes
    )
    session = invocation.session()
    entry = Entry(
        env=env,
        environment=environment or "",
        image=image if image and session.provider.limits.images_by_kit else "",
        variables=variables,
    )
    line = None if not words else words[0] if len(words) == 1 else shlex.join(words)
    return use(invocation, session, wish, entry, line, watch=watch)


@dev.command(cls=FlowCommand, short_help="What it costs, when it stops, what is in it and who.")
@_name_option
@click.option("-a", "--all", "everything", is_flag=True, help="Every box, not this folder's alone.")
@pass_invocation
def status(invocation: Invocation, name: str | None, everything: bool) -> None:
    """Show the box of this folder: what it costs, when it stops, what is in it and who."""
    session = invocation.session()
    boxes = session.dev_box.all()
    if not everything:
        own = _boxes_here(session, boxes, name)
        if name is not None and not own:
            raise NotFound(f"no box is named {name!r}", hint="`flow dev status --all` lists them")
        boxes = own or boxes
    limits = session.provider.limits
    looked = [session.dev_box.look(record) for record in boxes]
    costs = session.costs.of([view.record for view, _ in looked])
    if invocation.json:
        payload = [
            box_json(view, inside, costs[view.record.token], pauses=limits.pauses)
            for view, inside in looked
        ]
        invocation.out.document("dev-box-list", {"boxes": payload})
        return
    if not looked:
        invocation.talk.say("There is no box; `flow dev` makes one for this folder.")
    for view, inside in looked:
        panel = box_panel(
            view, inside, costs[view.record.token],
            now=session.provider.clock.now(), pauses=limits.pauses, simulated=limits.simulated,
        )  # fmt: skip
        invocation.out.show(panel)


@dev.command(cls=FlowCommand, short_help="Have it cost nothing: paused, or else ended.")
@_name_option
@click.option("--end", is_flag=True, help="Give it back for good: what is on its disk is lost.")
@yes_option("End it")
@pass_invocation
def stop(invocation: Invocation, name: str | None, end: bool, yes: bool) -> None:
    """Have the box cost nothing more: its disk stays until the next `flow dev`, where the provider can pause.

    Where it can't, the box is ended, and that is said; the next call makes another.
    """
    session = invocation.session()
    record = _box(session, name)
    if end and not yes:
        question = f"End {record.name}? What is on its disk and not in {record.spec.code} is lost."
        if not invocation.talk.ask(
            question,
            unasked=f"{record.name} can't be ended unasked, and there is no terminal to ask on",
        ):
            raise FlowError("not confirmed; nothing was ended")
    done = session.dev_box.stop(record, end=end)
    if invocation.json:
        payload = {"task": record.name, "paused": done.is_paused}
        invocation.out.document("dev-stop", payload)
    elif done.is_paused:
        invocation.talk.say(
            f"✓ {record.name} is paused: its disk stays, it costs nothing, and `flow dev` brings it back",
            "green",
        )
    elif done.cannot_pause:
        invocation.talk.say(
            f"✓ {record.name} is ended, for {session.provider.name} can't pause; "
            "the next `flow dev` makes another and uploads the code again", "green",
        )  # fmt: skip
    else:
        invocation.talk.say(f"✓ {record.name} is ended", "green")


@dev.command(cls=FlowCommand, short_help="Begin afresh on the same machine.")
@_name_option
@click.option("--env", metavar="NAME", help="Forget this environment only.")
@click.option("--image", metavar="IMAGE", help="Forget this image's container only.")
@yes_option("Forget it")
@pass_invocation
def reset(
    invocation: Invocation, name: str | None, env: str | None, image: str | None, yes: bool
) -> None:
    """Begin afresh on the same machine: the workspace, environments and containers go, the code comes anew."""
    session = invocation.session()
    record = _box(session, name)
    what = (
        f"the environment {env}" if env else f"the container of {image}" if image
        else "all files of its workspace that are not in your folder, its environments and containers"
    )  # fmt: skip
    if not yes and not invocation.talk.ask(
        f"Have {record.name} forget {what}?",
        unasked=f"{record.name} can't be reset unasked, and there is no terminal to ask on",
    ):
        raise FlowError("not confirmed; nothing was forgotten")
    node = node_to_use(invocation, session, record)
    gone = session.dev_box.reset(node, env=env or "", image=image or "")
    if (env and env not in gone["envs"]) or (image and image not in gone["images"]):  # type: ignore[operator]
        raise NotFound(
            f"{record.name} has no {'environment' if env else 'container of'} {env or image}"
        )
    if not env and not image:
        session.dev_box.sync(record, node)
    if invocation.json:
        invocation.out.document("dev-reset", {"task": record.name, **gone})
        return
    invocation.talk.say(f"✓ {record.name} has forgotten {what}", "green")


@dev.command(cls=FlowCommand, short_help="Let a colleague in over SSH.")
@click.argument("pubkey", metavar="PUBKEY", required=False)
@_name_option
@click.option("--as", "user", metavar="USER", help="What the colleague is called on the box.")
@click.option("--remove", metavar="USER", help="Let this colleague in no more; their home goes.")
@pass_invocation
def share(
    invocation: Invocation,
    pubkey: str | None,
    name: str | None,
    user: str | None,
    remove: str | None,
) -> None:
    """Let a colleague in over SSH: PUBKEY is their public key, or a file with it.

    They become a user of the box with a home of their own and no rights over yours. Prints how they log in.
    `flow dev status` shows each one's share of the cost.
    """
    session = invocation.session()
    record = _box(session, name)
    if (pubkey is None) == (remove is None):
        raise click.UsageError("give a PUBKEY, or --remove USER", ctx=click.get_current_context())
    if remove is not None:
        session.dev_box.unshare(node_to_use(invocation, session, record), remove)
        invocation.talk.say(f"✓ {remove} is let into {record.name} no more", "green")
        return
    suggested, key = named(_key_text(pubkey or ""))
    chosen = user or suggested
    if not chosen:
        raise InvalidRequest(
            {"--as": "is needed: the key has no comment that a user could be named by"}
        )
    if problem_with_name(chosen) or not chosen.islower() or len(chosen) > 31:
        raise InvalidRequest({"--as": f"{chosen!r} can't be a user's name; use small letters"})
    node = node_to_use(invocation, session, record)
    told = session.dev_box.share(node, name=chosen, key=key)
    address = node.address
    if address is None:
        raise Conflict(f"{record.name} has no address yet")
    port = f" -p {address.port}" if address.port != 22 else ""
    login = f"ssh{port} {chosen}@{address.host}"
    if invocation.json:
        payload = {"task": record.name, "user": chosen, "home": told["home"], "login": login}
        invocation.out.document("dev-share", payload)
        return
    invocation.talk.say(f"✓ {chosen} may use {record.name}, with a home of their own", "green")
    invocation.out.line(login)


def _here() -> Path:
    return Path.cwd()


def _box(session: Session, name: str | None) -> TaskRecord:
    """Return the box that was meant; of several for one folder, a machine for each image, the newest."""
    found = _boxes_here(session, session.dev_box.all(), name)
    if not found:
        what = f"is named {name!r}" if name is not None else "belongs to this folder"
        raise NotFound(
            f"no dev box {what}",
            hint="`flow dev status --all` lists all there are; `flow dev` makes one",
        )
    return found[-1]


def _boxes_here(
    session: Session, boxes: Sequence[TaskRecord], name: str | None
) -> list[TaskRecord]:
    if name is not None:
        return [each for each in boxes if each.name == name]
    here = _here()
    for place in (here, *here.parents):
        found = [each for each in boxes if each.spec.code == str(PurePath(place))]
        if found:
            return found
    return []


def _key_text(told: str) -> str:
    path = Path(told).expanduser()
    try:
        if path.is_file():
            return path.read_text("utf-8", "replace").strip()
    except OSError:
        pass
    return told


def _read_envs(told: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the environment's name, if one was said, and the variables."""
    variables = dict(each.split("=", 1) for each in told if "=" in each)
    names = [each for each in told if "=" not in each]
    if len(names) > 1:
        raise InvalidRequest({"--env": f"names {len(names)} environments; a command runs in one"})
    if names and (problem_with_name(names[0]) or "/" in names[0]):
        raise InvalidRequest({"--env": f"{names[0]!r} can't name an environment"})
    return (names[0] if names else ""), variables
