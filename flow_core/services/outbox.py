"""What batch scripts ask of the queue while they run: the watcher fetches requests from first nodes and answers them.

A node has no key of the account; it has only the right to ask. Whoever is root there can ask, too, so what a request
may bring about has bounds: a task that was asked for has the shape, or the type that its script names, and at most the
limit of the task that asked, and its code; one task may have asked for so many and no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import timedelta

from attrs import evolve, frozen

from flow_core.domain.record import TaskRecord
from flow_core.domain.run import RunPhase, Stream
from flow_core.domain.slurm.array import array_specs
from flow_core.domain.slurm.converting import Conversion, convert
from flow_core.domain.slurm.handing import Queue, names_partition
from flow_core.domain.slurm.instances import Unserved, instances_for
from flow_core.domain.slurm.reading import Reading, read_batch
from flow_core.domain.slurm.waiting import numbers_in
from flow_core.domain.status import TaskState, TaskView
from flow_core.domain.task_form import task_from_mapping
from flow_core.errors import FlowError
from flow_core.ports.shell import Call, NodeExit, NodeOutput
from flow_core.services.groups import Groups
from flow_core.services.looking import look
from flow_core.services.numbered import number_of, number_of_array, tasks_with
from flow_core.services.placing import is_batch_script, note
from flow_core.services.ports import Ports
from flow_core.services.tasks import Tasks

#: How often first nodes are asked at least, in real time.
PAUSE = timedelta(seconds=2)
#: Real seconds that a node may take to answer.
ANSWER_S = 30.0
#: How many tasks one task may ask for.
MOST_ASKED_FOR = 1_000
#: No batch script is longer; one argument of a command must hold it.
LONGEST = 100_000
#: What fetches requests, and takes answers from its standard input.
FETCH = '"${FLOW_PYTHON:-python3}" "${FLOW_HOME:-/opt/flow}/kit.zip" outbox'
_CODES = {
    TaskState.RUNNING: ("R", "RUNNING"),
    TaskState.STARTING: ("CF", "CONFIGURING"),
    TaskState.PREEMPTED: ("PD", "PENDING"),
    TaskState.ENDING: ("CG", "COMPLETING"),
}


@frozen(kw_only=True)
class Answer:
    """What a command in a script says, and its exit code."""

    code: int = 0
    err: str = ""
    number: str = ""
    rows: tuple[Mapping[str, str], ...] = ()

    def plain(self) -> dict[str, object]:
        """Return it as JSON takes it."""
        return {"code": self.code, "err": self.err, "number": self.number, "rows": list(self.rows)}


class Outbox:
    """Serves the first nodes of batch scripts that run."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._tasks = Tasks(ports)
        self._groups = Groups(ports, self._tasks)
        self._looked_at = ports.clock.now() - PAUSE

    def serve(self, views: Sequence[TaskView]) -> None:
        """Answer what waits on the first nodes of those of `views` that are batch scripts and run."""
        now = self._ports.clock.now()
        asked = {view.record.token: view for view in views if _may_ask(view)}
        if not asked or now - self._looked_at < PAUSE:
            return
        self._looked_at = now
        for token, requests in self._fetched(list(asked.values()), {}).items():
            answers = {
                name: self.answer(asked[token].record, request).plain()
                for name, request in requests.items()
                if isinstance(request, dict)
            }
            if answers:
                self._fetched([asked[token]], answers)

    def _fetched(
        self, views: Sequence[TaskView], answers: Mapping[str, object]
    ) -> dict[str, dict[str, object]]:
        """Return requests by name for each task's token, after `answers` were laid down."""
        told = json.dumps(answers).encode()
        calls, tokens = [], {}
        for view in views:
            assert view.allocation is not None
            node = view.allocation.nodes[0]
            calls.append(Call(node=node, line=FETCH, stdin=told))
            tokens[node.id] = view.record.token
        said: dict[str, bytes] = {}
        found: dict[str, dict[str, object]] = {}
        with closing(self._ports.provider.shell.run_many(calls, timeout_s=ANSWER_S)) as events:
            for event in events:
                token = tokens[event.node.id]
                if isinstance(event, NodeOutput) and event.stream is Stream.OUT:
                    said[token] = said.get(token, b"") + event.data
                elif isinstance(event, NodeExit) and event.code == 0:
                    found[token] = _read(said.get(token, b""))
        return found

    def answer(self, record: TaskRecord, request: Mapping[str, object]) -> Answer:
        """Do what a task's script asks for, within bounds, and return what it is to be told; nothing is raised."""
        acts = {"sbatch": self._sbatch, "squeue": self._squeue, "scancel": self._scancel}
        act = acts.get(str(request.get("what")))
        if act is None:
            return Answer(code=1, err="flow: nothing like this can be asked for\n")
        try:
            return act(record, request)
        except FlowError as error:
            told = "".join(f"{request['what']}: error: {line}\n" for line in str(error).split("\n"))
            return Answer(code=1, err=told)
        except (KeyError, ValueError):  # whoever is root on the node may have written it
            return Answer(code=1, err="flow: what was asked for can't be read\n")

    def _sbatch(self, record: TaskRecord, request: Mapping[str, object]) -> Answer:
        text, name = str(request["script"]), str(request["name"])
        if _asked_for(self._ports, record) >= MOST_ASKED_FOR:
            most = f"sbatch: error: {record.name} has submitted {MOST_ASKED_FOR:,} tasks, the most it may\n"
            return Answer(code=1, err=most)
        if len(text) > LONGEST:
            return Answer(
                code=1, err=f"sbatch: error: {name} is longer than {LONGEST:,} characters\n"
            )
        reading = read_batch(
            text, name=name, words=_words(request["words"]), environ=_variables(request["environ"])
        )
        numbers = numbers_in(reading.batch.dependency) if reading.batch is not None else ()
        found = convert(
            reading,
            text,
            wrapper=self._ports.node_files.batch,
            script=name,
            arguments=_words(request["arguments"]),
            number=int(str(request["number"])),
            key=str(request["key"]),
            shape=None if _names_a_type(reading) else record.spec.instance_type,
            known=tasks_with(self._ports.journal, numbers),
            queue=Queue(self._ports.provider.name, self._ports.provider.limits.options),
        )
        if found.task is None:
            told = "".join(f"sbatch: error: {each}\n" for each in found.refusals)
            return Answer(code=1, err=told)
        return self._submitted(record, found)

    def _submitted(self, record: TaskRecord, found: Conversion) -> Answer:
        assert found.task is not None
        spec = task_from_mapping(dict(found.task))
        live = self._ports.journal.live(provider=self._ports.provider.name)
        taken = {each for one in live for each in (one.name, one.group)}
        name = spec.name or self._groups.free_name()
        fresh, number = name, 1
        while fresh in taken:
            number += 1
            fresh = f"{name}-{number}"
        spec = evolve(
            spec,
            name=fresh,
            code=record.spec.code,
            secrets=record.spec.secrets,
            max_price=record.limit,
            max_spend=record.spec.max_spend,
            region=None if names_partition(spec.options) else record.spec.region,
            env={**spec.env, ASKED_BY: record.token},
        )
        array = found.array
        if array is None:
            self._tasks.submit(spec, heir_of=record)
        else:
            specs = array_specs(spec, found, name=fresh)
            self._groups.submit(specs, name=fresh, at_once=array.throttle or 0, heir_of=record)
        note(self._ports, record.token, f"its script submitted {fresh}")
        told = "".join(f"sbatch: note: {each}\n" for each in found.remarks)
        return Answer(number=str(found.number), err=told)

    def _squeue(self, record: TaskRecord, request: Mapping[str, object]) -> Answer:
        live = [
            each
            for each in self._ports.journal.live(provider=self._ports.provider.name)
            if is_batch_script(each.spec) and not each.has_ended
        ]
        now = self._ports.provider.clock.now()
        return Answer(
            rows=tuple(_row(view, now - view.record.created_at) for view in look(self._ports, live))
        )

    def _scancel(self, record: TaskRecord, request: Mapping[str, object]) -> Answer:
        live = self._ports.journal.live(provider=self._ports.provider.name)
        numbers, names = _words(request["numbers"]), _words(request["names"])
        unknown = list(numbers)
        for each in live:
            own = {_shown_number(each), number_of(each), number_of_array(each)}
            if own.intersection(numbers) or {each.name, each.group}.intersection(names):
                self._tasks.cancel(each.token)
                unknown = [number for number in unknown if number not in own]
        told = "".join(f"scancel: error: no live task has the number {each}\n" for each in unknown)
        return Answer(code=1 if unknown else 0, err=told)


#: The variable by which tasks that a script asked for are known.
ASKED_BY = "FLOW_SLURM_ASKED_BY"


def _may_ask(view: TaskView) -> bool:
    if not is_batch_script(view.record.spec) or view.record.has_ended or view.allocation is None:
        return False
    nodes = view.allocation.nodes
    runs = any(each.rank == 0 and each.phase is RunPhase.RUNNING for each in view.reports)
    return bool(nodes) and nodes[0].rank == 0 and nodes[0].is_reachable and runs


def _asked_for(ports: Ports, record: TaskRecord) -> int:
    return sum(
        each.spec.env.get(ASKED_BY) == record.token
        for each in ports.journal.recent(MOST_ASKED_FOR, provider=record.provider)
    )


def _names_a_type(reading: Reading) -> bool:
    if reading.batch is None:
        return False
    try:
        return instances_for(reading.batch).shape is not None
    except Unserved:
        return False


def _row(view: TaskView, age: timedelta) -> dict[str, str]:
    record = view.record
    short, long = _CODES.get(view.state, ("PD", "PENDING"))
    hosts = [
        node.private_ip or str(node.rank)
        for node in (view.allocation.nodes if view.allocation is not None else ())
    ]
    minutes, seconds = divmod(int(age.total_seconds()), 60)
    names = ",".join(hosts)
    return {
        "i": _shown_number(record),
        "A": number_of(record),
        "F": number_of_array(record) or number_of(record),
        "K": record.spec.env.get("SLURM_ARRAY_TASK_ID", "N/A"),
        "P": "flow",
        "j": record.spec.env.get("SLURM_JOB_NAME", record.name),
        "u": record.owner or "flow",
        "t": short,
        "T": long,
        "M": f"{minutes}:{seconds:02}" if short == "R" else "0:00",
        "D": str(record.spec.num_instances),
        "N": names,
        "R": names if short == "R" else f"({_why(view)})",
        "r": "None" if short == "R" else _why(view),
        "Z": record.spec.working_dir or "",
        "l": "UNLIMITED",
    }


def _why(view: TaskView) -> str:
    return "Dependency" if view.state is TaskState.HELD and view.record.spec.after else "Resources"


def _shown_number(record: TaskRecord) -> str:
    array = number_of_array(record)
    return f"{array}_{record.spec.env['SLURM_ARRAY_TASK_ID']}" if array else number_of(record)


def _words(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []


def _variables(value: object) -> dict[str, str]:
    return {str(name): str(each) for name, each in value.items()} if isinstance(value, dict) else {}


def _read(answer: bytes) -> dict[str, object]:
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
