"""What Flow does with each option: it honours it, ignores it and says why, or refuses the script.

Refused is what would give another result if it were ignored. What only matters to a site's queue, to other users of a
node or to accounting is ignored with a note, because on Flow each instance is the task's alone.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping

from attrs import frozen

from flow_core.domain.group import MOST
from flow_core.domain.slurm.handing import NO_QUEUE, Queue
from flow_core.domain.slurm.options import Given
from flow_core.domain.slurm.reading import Reading
from flow_core.domain.slurm.tokens import Line
from flow_core.domain.slurm.values import is_minutes_and_seconds
from flow_core.domain.slurm.waiting import NOTHING, Waits


class Fate(str, enum.Enum):
    """What becomes of an option."""

    HONOURED = "honoured"
    IGNORED = "ignored"
    REFUSED = "refused"


@frozen
class Treated:
    """One option as it counts, where it stands, and what becomes of it."""

    option: str
    value: str | None
    where: str
    fate: Fate
    why: str


_Judge = Callable[[Given, Reading], tuple[Fate, str]]

_HONOURED = {
    "job-name": "the task's name",
    "nodes": "how many instances",
    "ntasks": "SLURM_NTASKS, and how many GPUs and instances are needed",
    "ntasks-per-node": "SLURM_NTASKS_PER_NODE",
    "cpus-per-task": "SLURM_CPUS_PER_TASK",
    "gres": "the instance type",
    "gpus": "the instance type and how many instances",
    "gpus-per-node": "the instance type",
    "gpus-per-task": "the instance type and how many instances",
    "gpus-per-socket": "the instance type",
    "ntasks-per-gpu": "SLURM_NTASKS, and how many GPUs are needed",
    "cpus-per-gpu": "SLURM_CPUS_PER_GPU",
    "sockets-per-node": "how many GPUs --gpus-per-socket makes",
    "time": "the script is ended then; max_run_time allows 20 minutes more for nodes to boot",
    "chdir": "working_dir",
    "input": "the script's standard input",
    "output": "written on the first node, and seen in the log too; its folder is made",
    "error": "written on the first node, and seen in the log too; its folder is made",
    "open-mode": "whether files of an earlier start are kept",
    "signal": "sent before the time limit",
    "requeue": "a script that lost its nodes starts again from its first line, with SLURM_RESTART_COUNT",
    "no-requeue": "a script that lost its nodes ends instead of starting again",
    "exclusive": "an instance is the task's alone",
    "container-image": "the image",
    "container-workdir": "working_dir",
    "wait": "flow submit waits for the end unless told --detach",
    "ignore-pbs": "lines for PBS and LSF are comments",
    **dict.fromkeys(("parsable", "quiet", "verbose"), "says only how sbatch itself talks"),
}
_ALONE = "an instance is the task's alone"
_WHOLE = "the task has whole instances, with all that is in them"
_HANDED = "the cluster's sbatch is told"
_QUEUE = "there is no queue with partitions and shares; the market decides"
_BINDING = "nothing is bound; the kernel places tasks"
_IGNORED = {
    **dict.fromkeys(("partition", "account", "qos", "reservation", "wckey", "priority", "nice", "clusters",
                     "cluster-constraint", "prefer", "mcs-label"), _QUEUE),
    **dict.fromkeys(("mem-per-gpu", "tmp", "mincpus", "cores-per-socket", "threads-per-core",
                     "extra-node-info", "core-spec", "thread-spec"), _WHOLE),
    **dict.fromkeys(("oversubscribe", "overcommit"), _ALONE),
    **dict.fromkeys(("hint", "distribution", "gpu-bind", "mem-bind", "ntasks-per-core", "ntasks-per-socket",
                     "gres-flags", "spread-job", "use-min-nodes", "contiguous"), _BINDING),
    **dict.fromkeys(("nodelist", "nodefile", "exclude", "network", "switches"), "names nodes or wires of one cluster"),
    **dict.fromkeys(("mail-type", "mail-user"), "no mail is sent; flow status and flow logs tell"),
    **dict.fromkeys(("cpu-freq", "gpu-freq", "power", "profile", "acctg-freq", "context"),
                    "instances run as they are"),
    **dict.fromkeys(("wait-all-nodes", "no-kill", "delay-boot", "reboot", "batch"),
                    "all instances are granted together"),
    **dict.fromkeys(("get-user-env", "propagate", "export-file"), "this machine's variables and limits stay here"),
    "comment": "it is for people",
    "licenses": "no licences are kept",
    "time-min": "--time counts",
    "deadline": "a bid waits as long as it takes; flow cancel ends it",
    "kill-on-invalid-dep": "a task whose condition can't come true is ended",
    "container-name": "the image is made anew",
    "container-mount-home": "there is no home of yours on an instance",
    "no-container-mount-home": "there is no home of yours on an instance",
    "container-remap-root": "the image runs as it is",
    "no-container-remap-root": "the image runs as it is",
    "container-writable": "the image can be written to",
    "wrap": "sbatch ignores it too where there is a script",
}  # fmt: skip
_REFUSED = {
    "hold": "Flow holds nothing; submit it when it may start",
    "test-only": "`flow slurm explain` and `flow submit --dry-run` test",
    "help": "it asks sbatch for help and submits nothing",
    "usage": "it asks sbatch for help and submits nothing",
    "version": "it asks sbatch for its version and submits nothing",
    "uid": "nobody is run as another user",
    "gid": "nobody is run as another group",
    "bb": "there is no burst buffer",
    "bbf": "there is no burst buffer",
    "container": "a bundle of OCI can't be run; name an image with --image",
    "container-mounts": "its folders are the cluster's; name what is to appear with --mount",
}


def treatment(
    reading: Reading, waits: Waits = NOTHING, queue: Queue = NO_QUEUE
) -> tuple[Treated, ...]:
    """Return what becomes of each option that counts, in the order of their last words.

    `waits` is what its dependency comes to, `queue` what the provider's own can be told.
    """
    last = {each.option: each for each in reading.given}
    return tuple(
        Treated(
            each.option,
            each.value,
            each.where,
            *(_dependency(waits) if each.option == "dependency" else _fate(each, reading, queue)),
        )
        for each in reading.given
        if last[each.option] is each
    )


def _fate(given: Given, reading: Reading, queue: Queue) -> tuple[Fate, str]:
    if queue.takes(given.option):
        return Fate.HONOURED, _HANDED
    judge = _JUDGES.get(given.option)
    if judge is not None:
        return judge(given, reading)
    for fate, reasons in (
        (Fate.HONOURED, _HONOURED),
        (Fate.IGNORED, _IGNORED),
        (Fate.REFUSED, _REFUSED),
    ):
        if given.option in reasons:
            return fate, reasons[given.option]
    return Fate.REFUSED, "Flow knows nothing like it"


def _array(given: Given, reading: Reading) -> tuple[Fate, str]:
    array = reading.batch.array if reading.batch else None
    if array is None:
        return Fate.HONOURED, "an empty array is none"
    if len(array) > MOST:
        return Fate.REFUSED, f"{len(array):,} tasks are more than the {MOST:,} of one group"
    at_once = f", {array.throttle:,} at once" if array.throttle else ""
    tasks = "one task" if len(array) == 1 else f"{len(array):,} tasks"
    return Fate.HONOURED, f"{tasks}{at_once}, each with its SLURM_ARRAY_TASK_ID"


def _dependency(waits: Waits) -> tuple[Fate, str]:
    if waits.problems:
        return Fate.REFUSED, "; ".join(waits.problems)
    told = [*waits.after, *(f"afterok:{name}_INDEX" for name in waits.each_after)]
    if waits.is_singleton:
        told.append("the end of live tasks with its name")
    return Fate.HONOURED, f"waits for {', '.join(told)}" if told else "nothing is waited for"


def _begin(given: Given, reading: Reading) -> tuple[Fate, str]:
    if (given.value or "").strip().lower() == "now":
        return Fate.HONOURED, "now is when it starts"
    return Fate.REFUSED, "Flow starts nothing later; submit it then"


def _export(given: Given, reading: Reading) -> tuple[Fate, str]:
    names = [each for each in (given.value or "").split(",") if each]
    if any(each.upper() == "ALL" for each in names):
        return Fate.IGNORED, "this machine's variables stay here; name those you need with --env"
    bare = [each for each in names if "=" not in each and each.upper() not in ("NONE", "NIL")]
    if bare:
        return Fate.REFUSED, f"{bare[0]} has no value here; say --env {bare[0]}=VALUE"
    return Fate.HONOURED, "only what is named is set"


def _memory(given: Given, reading: Reading) -> tuple[Fate, str]:
    if given.option != "mem-per-gpu" and (given.value or "").strip("0KMGTBkmgtb") == "":
        return Fate.HONOURED, "all memory of an instance is the task's"
    return Fate.IGNORED, _WHOLE


def _constraint(given: Given, reading: Reading) -> tuple[Fate, str]:
    return Fate.IGNORED, "features are a cluster's own words; -i names the instance type"


def _signal(given: Given, reading: Reading) -> tuple[Fate, str]:
    signal = reading.batch.signal if reading.batch else None
    if reading.batch is None or signal is None or reading.batch.time_limit is None:
        return Fate.IGNORED, "without --time there is no end to send it before"
    whom = "script" if signal.to_batch else "steps of srun"
    return Fate.HONOURED, f"sent to the {whom} before its time is up"


_JUDGES: Mapping[str, _Judge] = {
    "array": _array,
    "begin": _begin,
    "export": _export,
    "constraint": _constraint,
    "signal": _signal,
    "mem": _memory,
    "mem-per-cpu": _memory,
}

_VARIABLE = re.compile(r"(?<!\\)\$(?:[A-Za-z_]\w*|\{\w+\}|\()|(?:^|[\s=])~/")


def warnings(reading: Reading) -> tuple[str, ...]:
    """Return what sbatch takes without a word and its author most likely did not mean."""
    script = reading.script
    found = []
    if script.dead:
        lines = _lines(script.dead)
        found.append(
            f"{lines} never heard: reading stops at the first command, line {script.first_command}"
        )
    for look in script.lookalikes:
        found.append(
            f"line {look.number} is a comment: {look.text!r} does not begin with '#SBATCH'"
        )
    for old in script.old_prefix:
        found.append(
            f"line {old.number} says #SLURM, which later sbatches may refuse; write #SBATCH"
        )
    for line in script.lines:
        if _VARIABLE.search(line.text.partition(" #")[0]):
            found.append(f"line {line.number}: nothing is expanded in a directive: {line.text!r}")
    for option in ("time", "time-min"):
        told = reading.last(option)
        if told is not None and told.value and is_minutes_and_seconds(told.value):
            minutes, _, rest = told.value.partition(":")
            found.append(
                f"--{option}={told.value} is {minutes} minutes and {rest} seconds;"
                f" for hours write {told.value}:00"
            )
    return (*found, *reading.notes)


def _lines(lines: tuple[Line, ...]) -> str:
    numbers = [str(each.number) for each in lines]
    if len(numbers) == 1:
        return f"the directive on line {numbers[0]} is"
    return f"the directives on lines {', '.join(numbers[:-1])} and {numbers[-1]} are"
