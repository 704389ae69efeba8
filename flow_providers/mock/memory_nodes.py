"""Nodes as values in memory: no process, no disk; commands do what they were told (see `told`).

A node's run is played when someone looks, up to the clock's time, so nothing has to be woken. What a node writes and
when is exactly as if it had been played as time passed, because its script sees nothing but its own time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta

from attrs import define, field

from flow_core.domain.allocation import Notice
from flow_core.domain.bid import Launch
from flow_core.domain.run import LogChunk, LogPiece, RunPhase, RunReport, Stream
from flow_core.domain.script import NodeTask
from flow_core.domain.task_parts import RunOn
from flow_core.domain.volume import Attachment
from flow_core.ports.clock import Clock
from flow_providers.mock.memory_tasks import (
    LONGEST_REST,
    REST,
    USERS_MISTAKES,
    Delivery,
    awaited,
    delivery_of,
    task_of,
    variables,
)
from flow_providers.mock.nodes import HostedNode
from flow_providers.mock.told import PretendRun, Script, Told, behaviour, command_line

#: Items that a script may yield without letting time pass, before it counts as stuck.
_MOST_AT_ONCE = 100_000
_TERM = 128 + 15
_REFUSED = 3


@define
class _Machine:
    """One node: what it is, how far its run has come, and all it wrote."""

    node: HostedNode
    task: NodeTask
    is_up: bool = False
    phase: RunPhase = RunPhase.WAITING
    attempt: int = -1
    used: int = 0
    retried: int = 0
    #: Why it waits for another try, and when that begins; without a time, once the notice has passed.
    waits_for: str = ""
    again_at: datetime | None = None
    delivery: Delivery | None = None
    wants_delivery: bool = False
    notice: Notice | None = None
    worked: timedelta = timedelta(0)
    script: Script | None = None
    wakes_at: datetime | None = None
    began_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    is_gone: bool = False
    log: list[LogPiece] = field(factory=list)
    size: int = 0

    def write(self, stream: Stream, at: datetime, data: bytes) -> None:
        if data:
            self.log.append(LogPiece(stream, at, data))
            self.size += len(data)

    def note(self, at: datetime, text: str) -> None:
        self.write(Stream.NOTE, at, f"flow: {text}\n".encode())


class MemoryNodes:
    """Implements `NodeHost`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: list[Told] = []
        self._machines: dict[str, _Machine] = {}
        self.volumes: set[str] = set()
        #: Grows with every change of a run's phase.
        self.changes = 0

    def tell(self, behaviour: Told) -> None:
        """Have commands behave so from their next start."""
        self._told.append(behaviour)

    def boot(self, node: HostedNode, launch: Launch, *, at: datetime) -> None:
        """See `NodeHost.boot`."""
        machine = self._machines.get(node.id)
        if machine is None:
            machine = self._machines[node.id] = _Machine(node=node, task=task_of(launch))
        if machine.is_up or machine.is_gone:
            return
        machine.is_up = True
        if machine.phase is RunPhase.EXITED:
            return
        self._begin(machine, at)

    def notify(self, node_id: str, notice: Notice | None) -> None:
        """See `NodeHost.notify`."""
        if machine := self._played(node_id):
            machine.notice = notice
            if notice is None and machine.waits_for and machine.again_at is None:
                self._begin(machine, self._clock.now())

    def stop(self, node_id: str, *, at: datetime) -> None:
        """See `NodeHost.stop`."""
        self._cut(node_id, at)

    def destroy(self, node_id: str, *, at: datetime) -> None:
        """See `NodeHost.destroy`."""
        self._cut(node_id, at)
        if machine := self._machines.get(node_id):
            machine.is_gone = True

    def lose(self, node_id: str, *, at: datetime) -> None:
        """See `NodeHost.lose`."""
        self._cut(node_id, at)

    def report(self, node_id: str) -> RunReport | None:
        """See `NodeHost.report`."""
        machine = self._played(node_id)
        if machine is None:
            return None
        return RunReport(
            rank=machine.node.rank,
            phase=machine.phase,
            attempt=max(machine.attempt, 0),
            exit_code=machine.exit_code,
            began_at=machine.began_at,
            ended_at=machine.ended_at,
            log_bytes=machine.size,
            waiting_for=awaited(machine.task) if machine.wants_delivery else machine.waits_for,
            wants_delivery=machine.wants_delivery,
            retried=machine.retried,
        )

    def read(self, node_id: str, *, offset: int, limit: int) -> LogChunk | None:
        """See `NodeHost.read`."""
        machine = self._played(node_id)
        if machine is None:
            return None
        pieces: list[LogPiece] = []
        begin, place = 0, offset
        for piece in machine.log:
            end = begin + len(piece.data)
            if end > place and place < offset + limit:
                data = piece.data[place - begin : offset + limit - begin]
                pieces.append(LogPiece(piece.stream, piece.at, data))
                place += len(data)
            begin = end
        is_over = machine.phase is RunPhase.EXITED or machine.is_gone
        return LogChunk(
            rank=machine.node.rank,
            offset=offset,
            next_offset=place,
            pieces=tuple(pieces),
            is_last=is_over and place >= machine.size,
        )

    def create_volume(self, volume_id: str) -> None:
        """See `NodeHost.create_volume`."""
        self.volumes.add(volume_id)

    def delete_volume(self, volume_id: str) -> None:
        """See `NodeHost.delete_volume`."""
        self.volumes.discard(volume_id)

    def mount_problem(self, attachments: tuple[Attachment, ...]) -> str | None:
        """Return None: told commands read no files."""
        return None

    def next_event_at(self) -> datetime | None:
        """See `NodeHost.next_event_at`: when a run next prints or ends, later than now."""
        times = []
        for machine in self._machines.values():
            if machine.is_gone:
                continue
            self._play(machine, self._clock.now())
            if machine.script is not None and machine.wakes_at is not None:
                times.append(machine.wakes_at)
            if machine.again_at is not None:
                times.append(machine.again_at)
        return min(times, default=None)

    def is_up(self, node_id: str) -> bool:
        """Whether a command could be run on the node."""
        machine = self._machines.get(node_id)
        return machine is not None and machine.is_up

    def deliver(self, node_id: str, message: bytes) -> int:
        """Take what the core brings to a node; return 0, or 3 when a newer delivery came before."""
        machine = self._played(node_id)
        if machine is None:
            return 1
        delivery = delivery_of(message)
        if machine.delivery is not None and delivery.number < machine.delivery.number:
            return _REFUSED
        machine.delivery = delivery
        machine.retried = max(machine.retried, delivery.retried)
        if not machine.is_up or delivery.number <= machine.used:
            return 0
        if machine.wants_delivery:
            self._start(machine, self._clock.now())
        elif machine.task.num_nodes > 1:
            self._count_work(machine, self._clock.now())
            self._close(machine)
            self._begin(machine, self._clock.now())
        return 0

    def end(self, node_id: str) -> int:
        """End a node's command for good, as `flow-node stop` does; return 0."""
        machine = self._played(node_id)
        if machine is not None and machine.phase is not RunPhase.EXITED:
            self._end(machine, self._clock.now(), _TERM)
        return 0

    def state(self, node_id: str) -> str:
        """Return what `flow-node report` prints."""
        report = self.report(node_id)
        if report is None:
            return "{}"
        raw = {
            "phase": report.phase.value,
            "attempt": report.attempt,
            "exit_code": report.exit_code,
            "began_at": report.began_at and report.began_at.timestamp(),
            "ended_at": report.ended_at and report.ended_at.timestamp(),
            "log_bytes": report.log_bytes,
            "waiting_for": report.waiting_for,
            "wants_delivery": report.wants_delivery,
            "retried": report.retried,
        }
        return json.dumps(raw)

    def log_answer(self, node_id: str, *, offset: int, limit: int) -> bytes:
        """Return what a node's reader of logs prints: a line that describes the stretch, then its bytes."""
        chunk = self.read(node_id, offset=offset, limit=limit)
        if chunk is None:
            return b""
        head = {
            "offset": offset,
            "next_offset": chunk.next_offset,
            "is_last": chunk.is_last,
            "pieces": [
                [piece.stream.value, len(piece.data), piece.at.timestamp()]
                for piece in chunk.pieces
            ],
        }
        return json.dumps(head).encode() + b"\n" + chunk.data

    def env(self, node_id: str) -> Mapping[str, str]:
        """Return the variables that the node's command sees."""
        machine = self._machines.get(node_id)
        return _variables(machine) if machine is not None else {}

    def _is_ready(self, machine: _Machine) -> bool:
        needed = machine.task.num_nodes > 1 or (machine.task.wants_delivery and not machine.used)
        return not needed or (
            machine.delivery is not None and machine.delivery.number > machine.used
        )

    def _begin(self, machine: _Machine, at: datetime) -> None:
        """Begin the next attempt, or wait for what it needs."""
        machine.attempt += 1
        machine.waits_for, machine.again_at = "", None
        if self._is_ready(machine):
            self._start(machine, at)
            return
        self.changes += 1
        machine.phase, machine.wants_delivery = RunPhase.WAITING, True
        machine.note(at, f"waiting for {awaited(machine.task)}")

    def _start(self, machine: _Machine, at: datetime) -> None:
        self.changes += 1
        machine.exit_code = None
        machine.used = machine.delivery.number if machine.delivery is not None else machine.used
        machine.phase, machine.wants_delivery = RunPhase.RUNNING, False
        machine.began_at, machine.ended_at = at, None
        if machine.attempt:
            machine.note(at, f"attempt {machine.attempt + 1} begins")
        rank = machine.node.rank
        if rank and machine.task.run_on is RunOn.FIRST_NODE:
            machine.note(at, f"node {rank} stays up while node 0 runs the command")
            return
        run = PretendRun(
            command=command_line(machine.task),
            rank=rank,
            attempt=machine.attempt,
            env=_variables(machine),
            worked=machine.worked,
            notice=lambda: machine.notice,
        )
        machine.script, machine.wakes_at = behaviour(self._told, machine.task)(run), at
        self._play(machine, self._clock.now())

    def _played(self, node_id: str) -> _Machine | None:
        machine = self._machines.get(node_id)
        if machine is not None:
            self._play(machine, self._clock.now())
        return machine

    def _play(self, machine: _Machine, until: datetime) -> None:
        while machine.script is not None or machine.again_at is not None:
            if machine.again_at is not None:
                if machine.again_at > until:
                    return
                self._begin(machine, machine.again_at)
            self._run(machine, until)
            if machine.script is not None:
                return

    def _run(self, machine: _Machine, until: datetime) -> None:
        steps = 0
        while (
            machine.script is not None
            and machine.wakes_at is not None
            and machine.wakes_at <= until
        ):
            at = machine.wakes_at
            try:
                item = next(machine.script)
            except StopIteration as end:
                self._finish(machine, at, end.value if isinstance(end.value, int) else 0)
                return
            if isinstance(item, timedelta):
                machine.wakes_at = at + max(item, timedelta(0))
            elif isinstance(item, bytes):
                machine.write(Stream.NOTE if item.startswith(b"flow: ") else Stream.OUT, at, item)
            else:
                machine.write(
                    Stream.OUT, at, (item if item.endswith("\n") else item + "\n").encode()
                )
            steps = 0 if isinstance(item, timedelta) and item else steps + 1
            if steps > _MOST_AT_ONCE:
                raise RuntimeError(
                    f"{command_line(machine.task)!r} wrote {steps:,} lines while no time passed"
                )

    def _finish(self, machine: _Machine, at: datetime, code: int) -> None:
        """The command has ended by itself: that is the end, unless it is to be run again."""
        code &= 0xFF
        retried = machine.retried
        if code and machine.notice is not None:
            words, rest = " under a notice", None
        elif retried < machine.task.retries and code and code not in USERS_MISTAKES:
            machine.retried += 1
            rest = min(REST * 2**retried, LONGEST_REST)
            tries = f"try {retried + 2} of {machine.task.retries + 1}"
            words = f"; {tries} follows in {rest.total_seconds():g} s"
        else:
            self._end(machine, at, code)
            return
        self._close(machine)
        machine.phase, machine.ended_at = RunPhase.WAITING, at
        machine.waits_for = f"ended with {code}{words}"
        machine.again_at = None if rest is None else at + rest
        machine.note(at, machine.waits_for)

    def _end(self, machine: _Machine, at: datetime, code: int) -> None:
        self._close(machine)
        machine.phase, machine.exit_code, machine.ended_at = RunPhase.EXITED, code & 0xFF, at
        machine.wants_delivery = False
        machine.waits_for, machine.again_at = "", None

    def _cut(self, node_id: str, at: datetime) -> None:
        machine = self._machines.get(node_id)
        if machine is None or not machine.is_up:
            return
        self._play(machine, at)
        machine.is_up, machine.notice = False, None
        if machine.phase is RunPhase.EXITED:
            return
        self._count_work(machine, at)
        self._close(machine)
        machine.waits_for, machine.again_at = "", None
        machine.phase, machine.ended_at, machine.wants_delivery = RunPhase.INTERRUPTED, at, False

    def _count_work(self, machine: _Machine, at: datetime) -> None:
        if machine.phase is RunPhase.RUNNING and machine.began_at is not None:
            machine.worked += at - machine.began_at

    def _close(self, machine: _Machine) -> None:
        self.changes += 1
        if machine.script is not None:
            machine.script.close()
        machine.script, machine.wakes_at = None, None


def _variables(machine: _Machine) -> dict[str, str]:
    delivery = machine.delivery or Delivery(number=0, rank=machine.node.rank)
    return variables(machine.task, delivery, machine.attempt)
