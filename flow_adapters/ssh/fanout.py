"""Many commands at once, each on its node: one task for each, one queue for what they say.

Every task ends by putting exactly one last event into the queue, whatever happens to it, since whoever reads the queue
counts those. A command that is too slow has its last event at once; that it really ends is seen to afterwards, and
holds nobody up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from flow_adapters.ssh.connections import Connections
from flow_adapters.ssh.feeding import fed
from flow_adapters.ssh.lines import GRACE_S
from flow_adapters.ssh.reasons import Lost, reason_for
from flow_adapters.ssh.session import WINDOW, Feed, pieces_of, run_session
from flow_adapters.ssh.sink import Sink
from flow_adapters.ssh.targets import Target
from flow_core.domain.allocation import Node
from flow_core.domain.run import Stream
from flow_core.ports.shell import Call, NodeEvent, NodeExit, NodeLost, NodeOutput

Done = TypeVar("Done")
#: What all channels together may hold of this machine's memory, and what each needs at least.
ALL_WINDOWS = 64 << 20
LEAST_WINDOW = 128 << 10


class Job(Protocol):
    """What is to be done on one node."""

    node: Node
    target: Target
    line: str
    #: What was put before it to become root.
    sudo: Sequence[str]

    def feed(self) -> Feed:
        """Return the command's input."""
        ...

    def take(self, sink: Sink, stream: Stream, data: bytes, resume: Callable[[], None]) -> bool:
        """Take bytes the command wrote; False stops it until `resume` is called."""
        ...

    def last(self, code: int) -> NodeEvent:
        """Return the last event, now that the command has ended with `code`."""
        ...


class CallJob:
    """A call whose bytes are the caller's."""

    def __init__(self, call: Call, target: Target, line: str, sudo: Sequence[str]) -> None:
        self.sudo = sudo
        self.node = call.node
        self.target = target
        self.line = line
        self._stdin = call.stdin

    def feed(self) -> Feed:
        """See `Job.feed`."""
        stdin = self._stdin
        return pieces_of(stdin) if isinstance(stdin, bytes) else fed(stdin)

    def take(self, sink: Sink, stream: Stream, data: bytes, resume: Callable[[], None]) -> bool:
        """See `Job.take`."""
        return sink.put(NodeOutput(self.node, stream, data), resume)

    def last(self, code: int) -> NodeEvent:
        """See `Job.last`."""
        return NodeExit(self.node, code)


class Fan:
    """Jobs that run at once."""

    def __init__(self, connections: Connections, *, timeout_s: float | None) -> None:
        self.loop = asyncio.get_running_loop()
        self.sink = Sink(self.loop)
        self._connections = connections
        self._timeout_s = timeout_s
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def begin(
        cls, connections: Connections, jobs: Sequence[Job], *, timeout_s: float | None
    ) -> Fan:
        """Return once all jobs are on their way."""
        fan = cls(connections, timeout_s=timeout_s)
        window = max(LEAST_WINDOW, min(WINDOW, ALL_WINDOWS // len(jobs)))
        fan._tasks = [fan._watch(asyncio.create_task(fan._one(job, window))) for job in jobs]
        return fan

    async def end(self) -> None:
        """End what still runs, here and on the nodes; return when it has ended, or won't."""
        running = [task for task in self._tasks if not task.done()]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=2 * GRACE_S + 1)

    async def _one(self, job: Job, window: int) -> None:
        is_over = False

        def take(stream: Stream, data: bytes, resume: Callable[[], None]) -> bool:
            return is_over or job.take(self.sink, stream, data, resume)

        work = asyncio.create_task(
            run_session(
                self._connections,
                job.target,
                job.line,
                take=take,
                feed=job.feed(),
                sudo=job.sudo,
                window=window,
            )
        )
        self._watch(work)
        last: NodeEvent = NodeLost(job.node, "it was ended by who had started it")
        try:
            await asyncio.wait({work}, timeout=self._timeout_s)
            last = self._last(job, work)
        finally:
            is_over = True
            self.sink.put(last)
            if not work.done():
                work.cancel()
                await asyncio.wait({work})

    def _watch(self, task: asyncio.Task[Done]) -> asyncio.Task[Done]:
        """Have the task ended when connections close."""
        users = self._connections.users
        users.add(task)
        task.add_done_callback(users.discard)
        return task

    def _last(self, job: Job, work: asyncio.Future[int]) -> NodeEvent:
        if not work.done():
            return NodeLost(
                job.node, f"did not end within {self._timeout_s:g} s, and is being ended"
            )
        error = work.exception()
        if error is None:
            return job.last(work.result())
        user = job.target.options.username
        where = job.target.where
        return NodeLost(job.node, reason_for(error, where=where, user=user, timeout_s=0))


async def met(connections: Connections, targets: Mapping[str, Target]) -> dict[str, str]:
    """Connect to each target, which pins its host key; return why some could not be reached, by their names here."""
    names = list(targets)
    found = await asyncio.gather(
        *(connections.reach(targets[name]) for name in names), return_exceptions=True
    )
    reasons: dict[str, str] = {}
    for name, outcome in zip(names, found, strict=True):
        if isinstance(outcome, Lost):
            reasons[name] = str(outcome)
        elif isinstance(outcome, BaseException):
            raise outcome
    return reasons
