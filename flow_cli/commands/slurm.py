"""`flow slurm`: what Flow makes of a batch script, and what `flow submit` takes from it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flow_cli.command import FlowSubgroup
from flow_cli.invocation import Invocation, pass_invocation
from flow_core.errors import InvalidRequest

if TYPE_CHECKING:
    from flow_core.domain.slurm.converting import Conversion
    from flow_core.domain.slurm.handing import Queue
    from flow_core.domain.slurm.waiting import Numbered
    from flow_core.ports.provider import Provider

_ENDINGS = (".slurm", ".sbatch")
#: No batch script is longer; one argument of a command must hold it.
_LONGEST = 100_000
#: Exit code for a script that sbatch or Flow refuses, as for every other request that is wrong.
_REFUSED = 2


@click.group(cls=FlowSubgroup)
def slurm() -> None:
    """Batch scripts for Slurm: `flow submit job.slurm` runs them as they are."""


@slurm.command()
@click.argument("script", metavar="SCRIPT")
@click.argument("arguments", metavar="[ARGUMENT]…", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--sbatch", metavar="OPTIONS", help="Options of sbatch's that outrank the script's, in quotes."
)
@click.option("-i", "--instance-type", metavar="TYPE", help="GPUs of one instance.")
@click.option("-N", "--num-instances", metavar="N", help="How many instances.")
@click.option(
    "--strict", is_flag=True, help="Refuse when anything is ignored, decided or doubtful."
)
@click.option(
    "--to", type=click.Choice(["yaml"]), help="Write the task, as a file for flow submit, instead."
)
@pass_invocation
def explain(
    invocation: Invocation, script: str, arguments: tuple[str, ...], sbatch: str | None,
    instance_type: str | None, num_instances: str | None, strict: bool, to: str | None,
) -> int:  # fmt: skip
    """Show what becomes of each directive of SCRIPT, and the task that it makes.

    Reads it as sbatch does, SBATCH_* variables included; ends with 2 where sbatch refuses it, or Flow does.

    \b
      flow slurm explain job.slurm
      flow slurm explain job.slurm --sbatch "-N 4 --time=1:00:00"
      flow slurm explain job.slurm --to yaml > task.yaml
    """
    found = conversion(
        script,
        arguments,
        environ=invocation.environ,
        sbatch=sbatch,
        shape=instance_type,
        count=num_instances,
        known=lambda numbers: _tasks_with(invocation, numbers),
        queue=lambda: _queue(invocation),
    )
    is_refused = bool(found.refusals or (strict and found.remarks))
    if to == "yaml" and not is_refused:
        if found.array is not None and len(found.array) > 1:
            raise InvalidRequest(
                {
                    "--to yaml": f"a task's file is one task, and the array makes {len(found.array):,}"
                },
                hint="`flow submit` submits them all; --sbatch '--array=INDEX' picks one",
            )
        return _write_yaml(invocation, found)
    _show(invocation, found)
    if strict and found.remarks and not found.refusals:
        count = len(found.remarks)
        invocation.talk.say(f"--strict refuses: {count} {'note' if count == 1 else 'notes'}", "red")
    return _REFUSED if is_refused else 0


def is_batch_script(words: Sequence[str]) -> bool:
    """Whether the first of a command's words is a file that sbatch would take: `#!` and #SBATCH, or by its ending."""
    path = Path(words[0])
    try:
        if not path.is_file():
            return path.suffix in _ENDINGS and not any(char.isspace() for char in words[0])
        if path.suffix in _ENDINGS:
            return True
        with path.open("rb") as file:
            head = file.read(_LONGEST)
    except (OSError, ValueError):
        return False
    return head.startswith(b"#!") and b"\n#SBATCH" in head


def read_script(
    invocation: Invocation, words: Sequence[str], given: Mapping[str, object], *, sbatch: str | None, strict: bool
) -> Conversion:  # fmt: skip
    """Return the task, or the tasks, that a script makes, and say what was ignored or decided.

    Raises:
        InvalidRequest: sbatch refuses it, or Flow does, or `strict` does.
    """
    from secrets import randbelow, token_hex

    from flow_core.services.numbered import tasks_with

    found = conversion(
        words[0],
        words[1:],
        environ=invocation.environ,
        sbatch=sbatch,
        shape=given.get("instance_type") or given.get("gpu"),
        count=given.get("num_instances"),
        number=10**6 + randbelow(10**8),
        known=lambda numbers: tasks_with(invocation.session().ports.journal, numbers),
        key=token_hex(16),
        queue=lambda: queue_of(invocation.session().provider),
    )
    if (
        given.get("region") and found.task is not None
    ):  # our own option outranks the script's partition
        options = dict(found.task.get("options") or {})  # type: ignore[call-overload]
        options.pop(f"{invocation.session().provider.name}.partition", None)
        found.task["options"] = options
    problems = [*found.refusals, *(found.remarks if strict else ())]
    if problems or found.task is None:
        told = (
            {"": problems[0]}
            if len(problems) == 1
            else {f"{n}": each for n, each in enumerate(problems, 1)}
        )
        raise InvalidRequest(
            {f"{words[0]}{' ' if key else ''}{key}": text for key, text in told.items()},
            hint=f"`flow slurm explain {words[0]}` shows all directives",
        )
    for remark in found.remarks:
        invocation.talk.say(f"note: {remark}", "dim")
    return found


def conversion(
    script: str,
    arguments: Sequence[str],
    *,
    environ: Mapping[str, str],
    sbatch: str | None = None,
    shape: object = None,
    count: object = None,
    number: int = 1,
    key: str = "",
    known: Callable[[Sequence[str]], Mapping[str, Numbered]] = lambda numbers: {},
    queue: Callable[[], Queue | None] = lambda: None,
) -> Conversion:
    """Read a script's file and return what Flow makes of it; `known` finds the tasks that it waits for by number.

    `queue` tells the provider's own, where it has one.

    Raises:
        InvalidRequest: there is no such file, or it is no text.
    """
    from flow_core.domain.slurm.converting import convert
    from flow_core.domain.slurm.handing import NO_QUEUE
    from flow_core.domain.slurm.reading import read_batch
    from flow_core.domain.slurm.waiting import numbers_in
    from flow_core.domain.task_fields import READERS

    text = _text(script)
    try:
        words = shlex.split(sbatch or "")
    except ValueError as error:
        raise InvalidRequest(
            {"--sbatch": f"{sbatch!r} can't be split into words: {error}"}
        ) from error
    if count is not None:
        words += ["--nodes", str(READERS["num_instances"](count, "num_instances"))]
    reading = read_batch(text, name=Path(script).name, words=words, environ=environ)
    numbers = numbers_in(reading.batch.dependency) if reading.batch is not None else ()
    return convert(
        reading,
        text,
        wrapper=load_batch_wrapper(),
        script=Path(script).name,
        arguments=arguments,
        number=number,
        key=key,
        known=known(numbers) if numbers else {},
        queue=queue() or NO_QUEUE,
        shape=READERS["instance_type"](shape, "instance_type") if shape else None,  # type: ignore[arg-type]
    )


def _tasks_with(invocation: Invocation, numbers: Sequence[str]) -> Mapping[str, Numbered]:
    """Return the tasks that have these numbers, of all providers; no provider is asked."""
    from flow_adapters.places import state_dir
    from flow_adapters.wiring import open_journal
    from flow_core.services.numbered import tasks_with

    folder = state_dir(invocation.environ)
    return tasks_with(open_journal(folder), numbers) if folder.is_dir() else {}


def _queue(invocation: Invocation) -> Queue | None:
    """Return the queue of the provider that a submit would go to, which is asked nothing; None where none is known."""
    from flow_adapters.wiring import load_settings
    from flow_core.errors import FlowError

    try:
        name = load_settings(provider=invocation.provider, environ=invocation.environ).text(
            "provider"
        )
        provider = invocation.provider_with(name, {}) if name else None
    except FlowError:
        return None
    return queue_of(provider) if provider is not None else None


def queue_of(provider: Provider) -> Queue:
    """Return what the provider's own queue can be told."""
    from flow_core.domain.slurm.handing import Queue

    return Queue(provider.name, provider.limits.options)


def _text(script: str) -> str:
    path = Path(script)
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise InvalidRequest({script: "there is no such file"}) from error
    except (OSError, ValueError) as error:
        raise InvalidRequest({script: f"can't be read: {error}"}) from error
    if len(raw) > _LONGEST:
        raise InvalidRequest(
            {script: f"has {len(raw):,} bytes; a batch script may have {_LONGEST:,} here"}
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidRequest({script: f"line {line} is not UTF-8"}) from error


def load_batch_wrapper() -> str:
    """Return what stands around a script on the nodes: batch.sh."""
    from importlib import resources

    return (resources.files("flow_core") / "node" / "slurm" / "batch.sh").read_text("utf-8")


def _write_yaml(invocation: Invocation, found: Conversion) -> int:
    from flow_adapters.task_files import task_text
    from flow_core.domain.slurm.converting import members
    from flow_core.domain.task_form import task_from_mapping

    assert found.task is not None
    own = [dict(each.env) for each in members(found)]
    env = {**dict(found.task["env"]), **(own[0] if own else {})}  # type: ignore[call-overload]
    spec = task_from_mapping({**found.task, "env": env})
    invocation.out.line(task_text(spec).rstrip("\n"))
    for remark in found.remarks:
        invocation.talk.say(f"note: {remark}", "dim")
    return 0


def _show(invocation: Invocation, found: Conversion) -> None:
    from flow_cli.show.slurm import batch_panel, script_json, task_panel, treatment_table

    if invocation.json:
        invocation.out.document("batch-script", script_json(found))
        return
    invocation.out.show(treatment_table(found))
    if found.reading.batch is not None:
        invocation.out.show(batch_panel(found.reading.batch))
    if found.task is not None:
        invocation.out.show(task_panel(found.task))
    for each in found.warnings:
        invocation.talk.say(f"warning: {each}", "yellow")
    for each in found.refusals:
        invocation.talk.say(f"refused: {each}", "red")
