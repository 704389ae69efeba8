"""The options that describe a task, shared by `flow submit` and `flow instance create`, and what they add up to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from flow_cli.completing import instance_types, task_names
from flow_cli.invocation import Invocation
from flow_core.domain.placement import Plan
from flow_core.domain.task import TaskSpec
from flow_core.errors import FlowError
from flow_core.services.session import Session

_F = TypeVar("_F", bound=Callable[..., Any])

#: field of a task -> how it is written here.
SPELLED = {
    "command": "COMMAND",
    "name": "--name",
    "instance_type": "--instance-type",
    "gpu": "--gpu",
    "num_instances": "--num-instances",
    "max_price_per_hour": "--max-price-per-hour",
    "max_price_per_gpu_hour": "--max-price-per-gpu-hour",
    "bid_policy": "--policy",
    "region": "--region",
    "image": "--image",
    "env": "--env",
    "mounts": "--mount",
    "working_dir": "--working-dir",
    "code": "--code",
    "run_on": "--run-on",
    "max_run_time": "--max-run-time",
    "max_spend": "--max-spend",
    "idle_timeout": "--idle-timeout",
    "guard": "--guard",
    "retries": "--retries",
    "recovery": "--recovery",
    "checkpoint": "--checkpoint",
    "notice_signal": "--signal",
    "secrets": "--secret",
    "environment": "--environment",
    "reservation": "--reservation",
    "after": "--after",
    "options": "--option",
}

_OPTIONS = [
    click.option(
        "-i",
        "--instance-type",
        metavar="TYPE",
        shell_complete=instance_types,
        help="GPUs of one instance, e.g. 8xh100, a100 or h100:4; without it the cheapest GPU on offer.",
    ),
    click.option(
        "--gpu",
        metavar="TYPE",
        shell_complete=instance_types,
        help="Another word for --instance-type.",
    ),
    click.option(
        "-N",
        "--num-instances",
        metavar="N",
        help="How many instances, all granted together.  [default: 1]",
    ),
    click.option("--name", help="The name, unique among live tasks; a readable one is made up."),
    click.option(
        "--max-price-per-hour",
        metavar="DOLLARS",
        help="Bid at most this per instance and hour.  [default: 1.5 times the price now]",
    ),
    click.option("--max-price-per-gpu-hour", metavar="DOLLARS", help="The same per GPU and hour."),
    click.option(
        "--policy",
        "bid_policy",
        metavar="POLICY",
        help="How the limit is chosen, under any maximum: 12.29, 2x, p90/24h or budget:40@09:00.",
    ),
    click.option("--region", help="Bid only in this region."),
    click.option("--image", help="Container image to run in, where the provider has containers."),
    click.option(
        "--env",
        metavar="NAME=VALUE",
        multiple=True,
        help="Set an environment variable; may be repeated.",
    ),
    click.option(
        "--mount",
        "mounts",
        metavar="SOURCE:/PATH",
        multiple=True,
        help="Make volume://NAME, s3://BUCKET/PREFIX or a folder appear at /PATH; may be repeated.",
    ),
    click.option(
        "--mount-links",
        is_flag=True,
        help="Where nodes can't mount at absolute paths: links under $FLOW_MOUNTS instead.",
    ),
    click.option(
        "--live",
        metavar="PATH",
        help="Have this folder itself be the workspace, where nodes share this machine: edit here, run there.",
    ),
    click.option(
        "--pretend-gpus",
        is_flag=True,
        help="Pretend to have the GPUs that are asked for, where the provider can; nothing runs on them.",
    ),
    click.option(
        "--option",
        "options",
        metavar="NAME=VALUE",
        multiple=True,
        help="Something that only this provider understands; may be repeated.",
    ),
    click.option(
        "--working-dir",
        metavar="PATH",
        help="Where on the node the command runs.  [default: where the code is]",
    ),
    click.option(
        "--max-run-time",
        metavar="DURATION",
        help="End it when it has held nodes this long, e.g. 90m or 1h30m.",
    ),
    click.option("--max-spend", metavar="DOLLARS", help="End it before it can have cost more."),
    click.option(
        "--idle-timeout",
        metavar="DURATION",
        help="End it when its nodes have had nothing to do this long.",
    ),
    click.option(
        "--secret",
        "secrets",
        metavar="NAME[=env|keyring]",
        multiple=True,
        help="Set a variable to a value that is kept secret; may be repeated.",
    ),
    click.option(
        "--environment",
        metavar="WHAT",
        help="What the command's Python comes from: none, python:3.11 or a file such as requirements.txt.",
    ),
    click.option(
        "--retries", metavar="N", help="Run a command that failed again, this often.  [default: 0]"
    ),
    click.option(
        "--recovery",
        metavar="HOW",
        help="When the market took its nodes: wait, move:10m or raise:10m.  [default: wait]",
    ),
    click.option(
        "--checkpoint",
        metavar="DIR",
        help="A folder on the nodes that must survive a preemption; checked before bidding.",
    ),
    click.option(
        "--signal",
        "notice_signal",
        metavar="NAME",
        help="The signal that tells the command of a notice of preemption.  [default: USR1]",
    ),
    click.option(
        "--guard",
        metavar="WHO",
        help="none, or node: its first node holds a key of your account, to end the cost in time.",
    ),
]


def describes_task(command: _F) -> _F:
    """Add the shared options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def after_option(command: _F) -> _F:
    """Add `--after`."""
    return click.option(
        "--after", multiple=True, metavar="TASK", shell_complete=task_names,
        help="Bid only when this task has succeeded; afterany:TASK and afternotok:TASK wait for other ends.",
    )(command)  # fmt: skip


def raw_task(
    given: Mapping[str, object], base: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Return the raw form of the task that options describe, over what a file says; what wasn't given is left out.

    A price or a shape given here replaces the file's, whichever of its spellings that used.
    """
    told = {name: _listed(value) for name, value in given.items() if value not in (None, (), False)}
    raw = dict(base or {})
    flags = [f"{name}=yes" for name in ("mount_links", "pretend_gpus") if told.pop(name, False)]
    if live := told.pop("live", None):
        # The folder is there already: what would be copied into it is itself.
        flags.append(f"live={Path(str(live)).expanduser().absolute()}")
        raw.pop("code", None)
    if flags:
        told["options"] = [*given.get("options", ()), *flags]  # type: ignore[misc]
    for rivals in (
        ("instance_type", "gpu"),
        ("max_price_per_hour", "max_price_per_gpu_hour", "max_price"),
    ):
        if any(name in told for name in rivals):
            for name in rivals:
                raw.pop(name, None)
    for name in ("env", "options"):
        if name in told and isinstance(raw.get(name), Mapping):
            told[name] = _merged(raw[name], told[name])
    return {**raw, **told}


def confirm_choice(
    invocation: Invocation, session: Session, asked: TaskSpec, plan: Plan, *, yes: bool
) -> None:
    """Show a shape that the user didn't choose, and have it confirmed above the configured price.

    Raises:
        FlowError: the user said no.
        InvalidRequest: there is nobody to ask.
    """
    from flow_cli.show.plans import choice_line

    if asked.instance_type is not None or asked.reservation is not None:
        return
    invocation.talk.say(choice_line(plan))
    ceiling = session.defaults.confirm_above
    if ceiling is None or plan.limit <= ceiling or yes:
        return
    unasked = (
        f"{plan.limit}/hr is above the {ceiling}/hr from which on a choice must be confirmed,"
        " and there is no terminal to ask on"
    )
    if not invocation.talk.ask("Go ahead?", unasked=unasked):
        raise FlowError(
            "not confirmed; nothing was placed",
            hint="name a shape with -i, or a limit with --max-price-per-hour",
        )


def _listed(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _merged(base: Any, given: Any) -> object:
    """Return a file's names and values under those given here; a file's mistake is left for its reader to tell."""
    if any(
        isinstance(value, bool) or not isinstance(value, (str, int, float))
        for value in base.values()
    ):
        return base
    names = {line.partition("=")[0] for line in given}
    return [*(f"{name}={value}" for name, value in base.items() if name not in names), *given]
