"""A whole batch script read as sbatch reads it: its directives, the environment's `SBATCH_*`, the command line's words.

Of options given several times the last counts: the command line's over the environment's over the script's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import frozen

from flow_core.domain.slurm.batch import (
    Batch,
    Contradiction,
    Filled,
    Geometry,
    Memory,
    MemoryPer,
    filled,
)
from flow_core.domain.slurm.checks import CHECKS
from flow_core.domain.slurm.options import (
    PYXIS,
    Given,
    Origin,
    command_line_options,
    environment_options,
    script_options,
)
from flow_core.domain.slurm.tokens import Flaw, Script, read_script
from flow_core.domain.slurm.values import (
    NodeRange,
    Unreadable,
    count_hosts,
    read_array,
    read_count,
    read_dependency,
    read_gpus,
    read_gres,
    read_memory,
    read_nodes,
    read_signal,
    read_time,
)

#: Only the last of several values of these is looked at, by the controller.
_LATE = frozenset(
    {
        "array",
        "dependency",
        "gres",
        "gpus",
        "gpus-per-node",
        "gpus-per-task",
        "gpus-per-socket",
        "propagate",
    }
)
_SHAPE = ("sockets-per-node", "cores-per-socket", "threads-per-core")
#: With any of these a hint says nothing.
_UNHINTED = frozenset({"extra-node-info", "ntasks-per-core", "threads-per-core"})
_MEMORY = {
    "mem": MemoryPer.NODE,
    "mem-per-cpu": MemoryPer.CPU,
    "mem-per-gpu": MemoryPer.GPU,
}


@frozen(kw_only=True)
class Reading:
    """What was read. `batch` is None exactly where sbatch refuses, and `flaws` say why; `given` is in order."""

    script: Script
    given: tuple[Given, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    batch: Batch | None = None
    notes: tuple[str, ...] = ()

    def last(self, option: str) -> Given | None:
        """Return the one that counts of an option's occurrences."""
        return next((each for each in reversed(self.given) if each.option == option), None)


def read_batch(
    text: str,
    *,
    name: str,
    words: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    plugins: Iterable[str] = tuple(PYXIS),
    resources: Iterable[str] = ("gpu",),
) -> Reading:
    """Return what sbatch makes of a script called `name`, with `words` before it on the command line.

    `plugins` are the options that a site adds to sbatch's own (those of pyxis unless said), and `resources` what its
    nodes have besides CPUs and memory.
    """
    script = read_script(text)
    told = tuple(plugins)
    given, flaws = script_options(script, plugins=told)
    more, wrong = command_line_options(words, plugins=told)
    given += [*environment_options(environ or {}), *more]
    flaws = [*script.flaws, *flaws, *wrong]
    last = {each.option: each for each in given}
    for each in given:
        if each.option not in _LATE or last[each.option] is each:
            flaws += _flaw_of(each)
    flaws += _rival_memory(given)
    if flaws or script.is_heterogeneous:
        return Reading(script=script, given=tuple(given), flaws=tuple(flaws))
    values = {option: each.value or "" for option, each in last.items()}
    try:
        _refuse_unknown(values, tuple(resources))
        found = filled(_geometry(values, given))
    except (Contradiction, Unreadable) as wrong_together:
        flaw = Flaw(None, "", str(wrong_together))
        return Reading(script=script, given=tuple(given), flaws=(flaw,))
    return Reading(
        script=script,
        given=tuple(given),
        batch=_batch(values, given, found, name),
        notes=found.notes,
    )


def _flaw_of(each: Given) -> list[Flaw]:
    check = CHECKS.get(each.option)
    if check is None or each.value is None:
        return []
    try:
        check(each.value)
    except Unreadable as why:
        return [Flaw(each.line, each.written, str(why))]
    return []


def _refuse_unknown(values: Mapping[str, str], resources: Sequence[str]) -> None:
    for name, _ in read_gres(values["gres"]) if "gres" in values else ():
        if name not in resources:
            raise Contradiction(
                f"--gres asks for {name!r}, and the nodes have only {', '.join(resources)}"
            )


def _memory_told(given: Sequence[Given]) -> list[Given]:
    """Return what says how much memory, the last of each kind; variables only where nothing else does."""
    last = {each.option: each for each in given if each.option in _MEMORY}
    by_hand = [each for each in last.values() if each.origin is not Origin.ENVIRONMENT]
    return by_hand or list(last.values())


def _rival_memory(given: Sequence[Given]) -> list[Flaw]:
    kinds = _memory_told(given)
    if len(kinds) < 2:
        return []
    told = " and ".join(f"--{each.option}" for each in kinds)
    return [Flaw(kinds[-1].line, kinds[-1].written, f"{told} exclude each other")]


def _count(values: Mapping[str, str], option: str) -> int:
    return read_count(values[option]) if option in values else 0


def _geometry(values: Mapping[str, str], given: Sequence[Given]) -> Geometry:
    sockets, cores, threads = _shape(given)
    gres = read_gres(values["gres"]) if "gres" in values else ()
    return Geometry(
        nodes=_nodes(values),
        hosts=count_hosts(values.get("nodelist", "")),
        ntasks=_count(values, "ntasks"),
        ntasks_per_node=_count(values, "ntasks-per-node"),
        cpus_per_task=_count(values, "cpus-per-task"),
        sockets=sockets,
        cores=cores,
        threads=threads,
        is_shaped="extra-node-info" in values,
        per_node=(
            *read_gpus(values.get("gpus-per-node", "")),
            *(gpus for kind, gpus in gres if kind == "gpu"),
        ),
        total=read_gpus(values.get("gpus", "")),
        per_task=read_gpus(values.get("gpus-per-task", "")),
        per_socket=read_gpus(values.get("gpus-per-socket", "")),
        ntasks_per_gpu=_count(values, "ntasks-per-gpu"),
        cpus_per_gpu=_count(values, "cpus-per-gpu"),
        is_spread="spread-job" in values,
        wants_gpus="mem-per-gpu" in values
        and ("cpus-per-gpu" in values or read_memory(values["mem-per-gpu"]) > 0),
    )


def _shape(given: Sequence[Given]) -> tuple[int, int, int]:
    """Return sockets, cores and threads; -B sets all three, 0 is left open, and a hint has its own idea of them."""
    found = [0, 0, 0]
    options = {each.option for each in given}
    if "hint" in options and _UNHINTED.isdisjoint(options):
        return 0, 0, 0
    for each in given:
        value = each.value or ""
        if each.option == "extra-node-info":
            parts = [*value.split(":"), "", ""][:3]
            found = [int(part) if part.isdigit() else 0 for part in parts]
        elif each.option in _SHAPE:
            found[_SHAPE.index(each.option)] = read_count(value)
    return found[0], found[1], found[2]


def _nodes(values: Mapping[str, str]) -> NodeRange | None:
    nodes = read_nodes(values["nodes"]) if "nodes" in values else None
    if nodes is not None and nodes.most == 0:
        raise Contradiction("--nodes asks for no node at all")
    return nodes


def _batch(values: Mapping[str, str], given: Sequence[Given], found: Filled, name: str) -> Batch:
    asked = _geometry(values, given)
    gres = read_gres(values["gres"]) if "gres" in values else ()
    return Batch(
        name=values.get("job-name", name),
        nodes=found.nodes,
        nodes_are_given=found.nodes_are_given,
        ntasks=found.ntasks,
        ntasks_is_given=found.ntasks_is_given,
        ntasks_per_node=found.ntasks_per_node,
        cpus_per_task=found.cpus_per_task,
        cpus_per_task_is_given="cpus-per-task" in values,
        gpus_per_node=asked.per_node,
        gpus=asked.total,
        gpus_per_task=asked.per_task,
        gpus_per_socket=asked.per_socket,
        sockets_per_node=asked.sockets,
        ntasks_per_gpu=asked.ntasks_per_gpu,
        cpus_per_gpu=asked.cpus_per_gpu,
        generic=tuple((kind, amount) for kind, amount in gres if kind != "gpu"),
        time_limit=read_time(values["time"]) if "time" in values else None,
        memory=_memory(given),
        array=read_array(values["array"]) if "array" in values else None,
        dependency=read_dependency(values["dependency"]) if "dependency" in values else None,
        output=values.get("output"),
        error=values.get("error"),
        input=values.get("input"),
        appends=values["open-mode"][:1] == "a" if "open-mode" in values else None,
        working_dir=values.get("chdir"),
        signal=read_signal(values["signal"]) if "signal" in values else None,
        requeue=_requeue(given),
        export=values.get("export"),
        begin=values.get("begin"),
        is_held="hold" in values,
        is_exclusive="exclusive" in values,
        constraint=values.get("constraint"),
        container={option: values[option] for option in PYXIS if option in values},
    )


def _memory(given: Sequence[Given]) -> Memory | None:
    told = _memory_told(given)
    return Memory(read_memory(told[0].value or ""), _MEMORY[told[0].option]) if told else None


def _requeue(given: Sequence[Given]) -> bool | None:
    kinds = [each.option for each in given if each.option in ("requeue", "no-requeue")]
    return kinds[-1] == "requeue" if kinds else None
