"""A batch script as a task of Flow's: what runs, on what, and what became of each directive.

The script runs on the first node, as Slurm's batch step does, from a here-document that carries it as it is; the
other nodes wait for what srun starts on them. Around it stands `flow_core/node/slurm/batch.sh`, which gives it the
variables that only a node can know.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from attrs import frozen

from flow_core.domain.duration import format_duration
from flow_core.domain.names import LONGEST_NAME, problem_with_name
from flow_core.domain.shape import InstanceShape
from flow_core.domain.slurm.handing import NO_QUEUE, Queue, handed
from flow_core.domain.slurm.instances import Instances, Unserved, instances_for
from flow_core.domain.slurm.policy import Fate, Treated, treatment, warnings
from flow_core.domain.slurm.reading import Reading
from flow_core.domain.slurm.tokens import Line
from flow_core.domain.slurm.values import Array
from flow_core.domain.slurm.variables import array_variables, variables
from flow_core.domain.slurm.waiting import NOTHING, Numbered, Waits, waits_of
from flow_core.domain.squeeze import squeezed_shell
from flow_core.domain.task import SCRIPT_VARIABLE
from flow_core.domain.task_form import shape_to_text

#: A limit on a script counts from its first line, one on a task from its first node, which has yet to boot.
BOOT = timedelta(minutes=20)
_END = "END_OF_SCRIPT"
_UNFIT = re.compile(r"[^A-Za-z0-9._\-=,+@/]+")


@frozen(kw_only=True)
class Conversion:
    """What Flow makes of a script.

    `refusals` say why sbatch or Flow takes it not; `task` is the raw form of the task where there are none. `notes`
    say what was decided for the script, `warnings` what its author may not know.
    """

    reading: Reading
    treated: tuple[Treated, ...] = ()
    refusals: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    task: dict[str, object] | None = None
    instances: Instances | None = None
    #: An array's number, by which each index's task is made of `task` (see `members`).
    number: int = 1
    waits: Waits = NOTHING

    @property
    def array(self) -> Array | None:
        """Its array; None without one."""
        return self.reading.batch.array if self.reading.batch is not None else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """Everything that `--strict` refuses on."""
        ignored = [each for each in self.treated if each.fate is Fate.IGNORED]
        told = [f"{each.where}: --{each.option} is ignored: {each.why}" for each in ignored]
        return (*told, *self.notes, *self.warnings)


@frozen(kw_only=True)
class Member:
    """What one task of an array has of its own: variables over those of all, and what else it waits for."""

    index: int
    env: Mapping[str, str]
    after: tuple[str, ...]


def members(found: Conversion) -> Iterator[Member]:
    """Yield the array's tasks in rising order of their indices; nothing where there is no array."""
    if found.array is not None:
        for index, env in array_variables(found.array.indices, found.number):
            yield Member(
                index=index,
                env=env,
                after=tuple(f"afterok:{name}_{index}" for name in found.waits.each_after),
            )


def convert(
    reading: Reading,
    text: str,
    *,
    wrapper: str,
    script: str = "",
    arguments: Sequence[str] = (),
    number: int = 1,
    key: str = "",
    shape: InstanceShape | None = None,
    known: Mapping[str, Numbered] | None = None,
    queue: Queue = NO_QUEUE,
) -> Conversion:
    """Return the task for the script `text`, which was read as `reading`.

    `wrapper` is the text of batch.sh, `script` its file's name, `arguments` become $1 and on, `number` is to be its
    SLURM_JOB_ID, `key` what its nodes know each other by when srun runs something on them. `shape` is the user's own
    word on instances. `known` are the tasks that have numbers which it waits for. `queue` is the provider's own, if it
    has one.
    """
    batch = reading.batch
    waits = waits_of(batch.dependency, batch.array, known or {}) if batch is not None else NOTHING
    treated = treatment(reading, waits, queue) if batch is not None else ()
    refusals = [
        *_refusals(reading),
        *(_told(each) for each in treated if each.fate is Fate.REFUSED),
    ]
    found: Instances | None = None
    if batch is not None:
        try:
            found = instances_for(batch, shape=shape, has_queue=queue.is_there)
        except Unserved as why:
            refusals.append(str(why))
    notes = list(found.notes) if found is not None else []
    task: dict[str, object] | None = None
    if batch is not None and found is not None and not refusals:
        given = reading.last("job-name")
        name = _fit_name(batch.name) if given is not None else None
        if given is not None and name != batch.name:
            notes.append(f"{batch.name!r} can't be a task's name here; {name or 'one is made up'}")
        task = {
            "command": wrapped(text, wrapper=wrapper, arguments=arguments),
            "name": name,
            "num_instances": found.count,
            "instance_type": shape_to_text(found.shape) if found.shape is not None else None,
            # The others serve the script's steps; where nothing can, they end at once.
            "run_on": "every-node" if found.count > 1 else "first-node",
            "max_run_time": format_duration(batch.time_limit + BOOT) if batch.time_limit else None,
            "working_dir": batch.working_dir or batch.container.get("container-workdir"),
            "image": _image(batch.container.get("container-image")),
            "after": list(waits.after) or None,
            "options": handed(reading, batch, queue, nodes=found.count) or None,
            "env": {
                **variables(reading, batch, count=found.count, number=number, key=key),
                **({SCRIPT_VARIABLE: shlex.join((script, *arguments))} if script else {}),
            },
        }
        task = {name: value for name, value in task.items() if value is not None}
    return Conversion(
        reading=reading,
        treated=treated,
        refusals=tuple(refusals),
        warnings=warnings(reading),
        notes=tuple(notes),
        task=task,
        instances=found,
        number=number,
        waits=waits,
    )


def wrapped(text: str, *, wrapper: str, arguments: Sequence[str] = ()) -> str:
    """Return the command that runs `text` unchanged, but for a newline that its last line may lack."""
    end, lines = _END, set(text.split("\n"))
    while end in lines:
        end += "_"
    told = "set -- " + " ".join(_quoted(each) for each in arguments)
    shell = squeezed_shell(wrapper).replace("@END@", end).replace("@ARGUMENTS@", told.rstrip())
    return shell.replace("@BODY@\n", text if text.endswith("\n") else text + "\n")


def _refusals(reading: Reading) -> list[str]:
    script = reading.script
    found = [f"{_place(each.line)}{_shown(each.text)}{each.reason}" for each in reading.flaws]
    if script.is_heterogeneous:
        found.append(
            "a heterogeneous job (hetjob) asks for unequal nodes, which Flow can't grant together"
        )
    if script.foreign and reading.batch is not None and reading.last("ignore-pbs") is None:
        found.append(
            f"{_numbers(script.foreign)}: sbatch reads #PBS and #BSUB too, Flow only #SBATCH"
        )
    return found


def _told(each: Treated) -> str:
    return f"{each.where}: --{each.option}{f'={each.value}' if each.value else ''}: {each.why}"


def _place(line: int | None) -> str:
    return f"line {line}: " if line is not None else ""


def _shown(text: str) -> str:
    return f"{text}: " if text else ""


def _numbers(lines: tuple[Line, ...]) -> str:
    return "line " + ", ".join(str(each.number) for each in lines)


def _fit_name(name: str) -> str | None:
    fit = _UNFIT.sub("-", name).lstrip("._-=,+@/")[:LONGEST_NAME].rstrip("-")
    return None if problem_with_name(fit) else fit


def _image(told: str | None) -> str | None:
    """Return the image as everybody else writes it: pyxis puts a `#` after the registry, and may say docker://."""
    if not told:
        return None
    return told.removeprefix("docker://").replace("#", "/", 1)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"
