"""One script, two judges: what a real sbatch and scontrol say of it, and what Flow says, in the same terms.

Where a script doesn't say how many nodes it wants, scontrol shows a guess; `_guessed_nodes` makes the same one, from
the size of a node, so that the two can be compared as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from attrs import field, frozen

from flow_core.domain.slurm.batch import Batch, Memory, MemoryPer
from flow_core.domain.slurm.reading import Reading, read_batch
from flow_core.domain.slurm.values import Gpus
from tests.slurm.cluster import CPUS_PER_NODE, Cluster

#: What scontrol shows for %a before there is an index.
_NO_INDEX = "4294967294"
_SHOWN = re.compile(r"(?<!%)%([jAxua])")


@frozen(kw_only=True)
class Facts:
    """What scontrol shows of a pending script, each as text in scontrol's own spelling."""

    name: str
    nodes: str
    tasks: str
    tasks_per_node: str
    cpus_per_task: str
    gpus: str
    time_limit: str
    memory: str
    array: str
    dependency: str
    output: str
    error: str
    requeue: str
    number: str = field(default="", eq=False)


@frozen
class Refusal:
    """It was refused; `why` is for people, and never compared."""

    why: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Refusal)

    def __hash__(self) -> int:
        return 0


Verdict = Facts | Refusal


def slurm_says(
    cluster: Cluster,
    script: bytes,
    *,
    folder: Path,
    words: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Verdict:
    """Submit the script held, look at it, cancel it."""
    path = folder / "job.slurm"
    path.write_bytes(script)
    done = cluster.run(
        "sbatch", "--hold", "--parsable", *words, path.name, cwd=folder, environ=environ
    )
    if done.returncode != 0:
        return Refusal(done.stderr.strip())
    number = done.stdout.strip().split(";")[0]
    shown = cluster.run("scontrol", "show", "job", number, environ={"SLURM_BITSTR_LEN": "0"}).stdout
    cluster.run("scancel", number)
    return facts_of(shown)


def slurm_says_of_all(
    cluster: Cluster, scripts: Mapping[str, bytes], *, folder: Path
) -> dict[str, Verdict]:
    """Say of every script, by its name, what `slurm_says` would, in one process but for Slurm's own."""
    for place, script in enumerate(scripts.values()):
        below = folder / str(place)
        below.mkdir()
        (below / "job.slurm").write_bytes(script)
    done = cluster.run("sh", "-c", _EACH, cwd=folder, environ={"SLURM_BITSTR_LEN": "0"})
    assert done.returncode == 0, done.stderr
    found: dict[str, Verdict] = {}
    for place, name in enumerate(scripts):
        shown = (folder / str(place) / "shown").read_bytes().decode("utf-8", "surrogateescape")
        refused = "JobId=" not in shown
        found[name] = Refusal(shown.strip()) if refused else facts_of(shown)
    return found


#: An array that waits for something is looked at right away: later the controller tells of each index by itself.
_EACH = """for each in *; do
  cd "$each"
  if number=$(sbatch --hold --parsable job.slurm 2>shown); then
    scontrol show job "${number%;*}" >shown
    numbers="$numbers ${number%;*}"
  fi
  cd ..
done
scancel $numbers
"""


def facts_of(shown: str) -> Facts:
    """Read what `scontrol show job` printed."""

    def value(name: str, default: str = "") -> str:
        found = re.search(rf"(?:^|\s){re.escape(name)}=(.*?)(?=\s+[\w/:]+=|\n|$)", shown)
        return found[1] if found else default

    def line(name: str) -> str:
        found = re.search(rf"^\s+{name}=(.*)$", shown, re.MULTILINE)
        return found[1] if found else ""

    name = re.search(r"JobName=(.*)\n", shown)
    memory = next(
        (
            f"{per}:{value(field)}"
            for field, per in (("MinMemoryCPU", "cpu"), ("MinMemoryNode", "node"))
            if value(field)
        ),
        "",
    )
    by_gpu = re.search(r"MemPerTres=gres:gpu:(\d+)", shown)
    return Facts(
        name=name[1] if name else "",
        nodes=value("NumNodes"),
        tasks=value("NumTasks"),
        tasks_per_node=value("NtasksPerN:B:S:C").partition(":")[0],
        cpus_per_task=value("CPUs/Task"),
        gpus=" ".join(
            f"{name}={_counted(line(name))}"
            for name in ("TresPerJob", "TresPerNode", "TresPerSocket", "TresPerTask")
            if line(name)
        ),
        time_limit=value("TimeLimit"),
        memory=f"gpu:{by_gpu[1]}" if by_gpu else memory,
        array=value("ArrayTaskId"),
        dependency=re.sub(r"\((?:un)?fulfilled\)|_\*", "", value("Dependency")),
        output=line("StdOut"),
        error=line("StdErr"),
        requeue=value("Requeue"),
        number=value("ArrayJobId") or value("JobId"),
    )


def _counted(tres: str) -> str:
    """Return scontrol's GPUs with each count written out."""
    found = []
    for each in tres.split(","):
        head, _, last = each.rpartition(":")
        amount = re.fullmatch(r"([0-9]+)(k?)", last)
        if amount is None:
            found.append(f"{each}:1")
        else:
            found.append(f"{head}:{int(amount[1]) * (1024 if amount[2] else 1)}")
    return ",".join(found)


def flow_says(
    script: bytes,
    *,
    folder: Path,
    words: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    number: str = "",
) -> Verdict:
    """Read the script as Flow does, and spell what was read as scontrol would."""
    reading = read_batch(
        script.decode("utf-8", "surrogateescape"),
        name="job.slurm",
        words=words,
        environ=environ or {},
        plugins=(),
    )
    if reading.batch is None:
        return Refusal("; ".join(flaw.reason for flaw in reading.flaws) or "heterogeneous")
    return spelled(reading, folder=folder, number=number)


def spelled(reading: Reading, *, folder: Path, number: str) -> Facts:
    """Return what scontrol would show of what was read."""
    batch = reading.batch
    assert batch is not None
    wants = (
        [str(each).replace("_*", "") for each in batch.dependency.waits] if batch.dependency else []
    )
    joint = "?" if batch.dependency and batch.dependency.any_of else ","
    output = _path(batch.output_pattern, batch, folder, number)
    return Facts(
        name=batch.name,
        nodes=_nodes(batch),
        tasks=str(batch.ntasks),
        tasks_per_node=str(batch.ntasks_per_node),
        cpus_per_task=str(batch.cpus_per_task),
        gpus=_gpus(batch, reading),
        time_limit=_time(batch.time_limit),
        memory=_memory(batch.memory),
        array=str(batch.array) if batch.array else "",
        dependency=joint.join(wants) or "(null)",
        output=output,
        error=output if batch.error is None else _path(batch.error, batch, folder, number),
        requeue="0" if batch.requeue is False else "1",
    )


def _nodes(batch: Batch) -> str:
    guess, most = _guessed_nodes(batch), batch.nodes.most
    return f"{min(guess, most)}-{most}" if most else str(guess)


def _guessed_nodes(batch: Batch) -> int:
    least, tasks = batch.nodes.least, batch.ntasks if batch.ntasks_is_given else 0
    if batch.ntasks_per_node:
        return max(least, tasks // batch.ntasks_per_node)
    each = CPUS_PER_NODE
    if batch.cpus_per_task > 1:
        each = max(1, CPUS_PER_NODE // batch.cpus_per_task)
        return max(least, tasks // each) + (1 if tasks % each else 0)
    return max(least, -(-tasks // each))


def _gpus(batch: Batch, reading: Reading) -> str:
    found = {
        "TresPerJob": batch.gpus,
        "TresPerNode": batch.gpus_per_node,
        "TresPerSocket": batch.gpus_per_socket,
        "TresPerTask": batch.gpus_per_task,
    }
    return " ".join(
        f"{name}={','.join(_tres(each) for each in gpus)}" for name, gpus in found.items() if gpus
    )


def _tres(gpus: Gpus) -> str:
    return f"gres:gpu:{gpus}"


def _time(limit: timedelta | None) -> str:
    if limit is None:
        return "UNLIMITED"
    minutes = int(limit.total_seconds()) // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    return f"{f'{days}-' if days else ''}{hours:02}:{minutes % 60:02}:00"


def _memory(memory: Memory | None) -> str:
    if memory is None or (memory.mb == 0 and memory.per is not MemoryPer.GPU):
        return "node:0"
    if memory.per is MemoryPer.GPU:
        return f"gpu:{memory.mb}"
    number, units = memory.mb, "MGTPE"
    while number % 1024 == 0 and units[1:]:
        number, units = number // 1024, units[1:]
    return f"{memory.per.value}:{number}{units[0]}"


def _path(pattern: str, batch: Batch, folder: Path, number: str) -> str:
    """Return a path as scontrol shows it, which leaves %%, padding and backslashes to the node."""
    values = {"j": number, "A": number, "x": batch.name, "u": "root", "a": _NO_INDEX}
    path = _SHOWN.sub(lambda found: values[found[1]], pattern)
    return str(folder / (batch.working_dir or "") / path)
