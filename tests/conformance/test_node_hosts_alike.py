"""Both hosts of the mock's nodes, values in memory and processes, keep the promises of `NodeHost`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from flow_adapters.clocks import ManualClock, SystemClock
from flow_adapters.node_files import load_node_files
from flow_core.domain.allocation import Notice, NoticeKind
from flow_core.domain.bid import Launch
from flow_core.domain.run import RunPhase, RunReport
from flow_core.domain.script import NodeTask, render_script
from flow_core.domain.shape import parse_shape
from flow_core.ports.clock import Clock
from flow_providers.conformance.lines import RAW_BYTES, SPEAKS_AND_STAYS, Line
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.nodes import HostedNode, NodeHost
from flow_providers.mock.process_nodes import ProcessNodes
from flow_providers.mock.told import told
from tests.conformance.test_mock_in_memory import behaves

AT = datetime(2026, 1, 1, tzinfo=timezone.utc)
PATIENCE_S = 20.0
STEP_S = 0.02
#: A node's address may follow from its id, so each test worker has its own.
ID = f"inst_{os.getpid()}"


class Host:
    """A host, the clock that its waits go by, and a node script for each line."""

    def __init__(self, nodes: NodeHost, clock: Clock) -> None:
        self.nodes = nodes
        self.clock = clock

    def boot(self, line: Line, *, node_id: str = ID) -> None:
        """Boot a node whose command is `line`."""
        task = NodeTask(name="kit", token="00000000", command=line.text, workspace="~/workspace")
        script = render_script(task, files=load_node_files())
        node = HostedNode(id=node_id, bid_id="bid_one", rank=0, shape=parse_shape("cpu"))
        self.nodes.boot(node, Launch(script=script), at=self.now)

    @property
    def now(self) -> datetime:
        """What the engine would say the time is."""
        return self.clock.now()

    def until(self, wanted: Callable[[RunReport], bool]) -> RunReport:
        """Wait until the node's report is as wanted."""
        left = PATIENCE_S
        while left > 0:
            report = self.nodes.report(ID)
            if report is not None and wanted(report):
                return report
            self.clock.sleep(STEP_S)
            left -= STEP_S
        raise AssertionError(f"the node never said so; it said {self.nodes.report(ID)}")

    def begun(self, attempt: int = 0) -> RunReport:
        """Wait until the command runs for the so-many-th time and has spoken as often; other words don't count."""
        return self.until(
            lambda report: (
                report.phase is RunPhase.RUNNING
                and report.attempt == attempt
                and self.said().count(SPEAKS_AND_STAYS.out) > attempt
            )
        )

    def said(self) -> bytes:
        """The node's log."""
        chunk = self.nodes.read(ID, offset=0, limit=1 << 20)
        return chunk.data if chunk is not None else b""

    def interrupted(self) -> RunReport:
        """Wait until the node's run has been cut short."""
        return self.until(lambda report: report.phase is RunPhase.INTERRUPTED)


def in_memory(folder: Path) -> Host:
    """Values in memory, under a clock that only moves when someone waits."""
    clock = ManualClock(AT)
    nodes = MemoryNodes(clock)
    for line in (RAW_BYTES, SPEAKS_AND_STAYS):
        nodes.tell(told(line.text, behaves(line)))
    return Host(nodes, clock)


def as_processes(folder: Path) -> Host:
    """Processes of this machine."""
    return Host(ProcessNodes(folder, grace_s=0.3), SystemClock())


@pytest.fixture(params=[in_memory, as_processes])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    """One of the hosts, its node ended afterwards."""
    host = request.param(tmp_path)
    yield host
    host.nodes.lose(ID, at=host.now)
    host.nodes.destroy(ID, at=host.now)


def test_a_booted_node_runs_its_command(host):
    """The command's bytes are in the log, and its exit code in the report."""
    host.boot(RAW_BYTES)
    report = host.until(lambda report: report.phase is RunPhase.EXITED)

    assert RAW_BYTES.code == report.exit_code
    assert RAW_BYTES.out == host.said()


def test_a_node_that_runs_is_left_alone(host):
    """A second boot of a running node starts nothing."""
    host.boot(SPEAKS_AND_STAYS)
    host.begun()
    host.boot(SPEAKS_AND_STAYS)
    host.clock.sleep(0.3)

    assert 0 == host.begun().attempt
    assert SPEAKS_AND_STAYS.out == host.said()


def test_a_stopped_node_goes_on_where_it_was(host):
    """A node that was stopped and booted again runs its second attempt, behind the log of the first."""
    host.boot(SPEAKS_AND_STAYS)
    host.begun()
    first = host.said()
    host.nodes.stop(ID, at=host.now)
    host.nodes.stop(ID, at=host.now)
    host.interrupted()
    host.boot(SPEAKS_AND_STAYS)
    host.begun(attempt=1)

    assert host.said().startswith(first)
    assert 2 == host.said().count(SPEAKS_AND_STAYS.out)


def test_a_destroyed_node_leaves_its_word(host):
    """The report and the log of a destroyed node read as before; destroying it again changes nothing."""
    host.boot(RAW_BYTES)
    report = host.until(lambda report: report.phase is RunPhase.EXITED)
    host.nodes.destroy(ID, at=host.now)
    host.nodes.destroy(ID, at=host.now)

    assert report.exit_code == host.nodes.report(ID).exit_code
    assert RAW_BYTES.out == host.said()


def test_a_lost_node_may_come_back(host):
    """A node that was cut off is interrupted; booted again it runs its second attempt."""
    host.boot(SPEAKS_AND_STAYS)
    host.begun()
    host.nodes.lose(ID, at=host.now)
    host.nodes.lose(ID, at=host.now)
    host.interrupted()
    host.boot(SPEAKS_AND_STAYS)

    assert 1 == host.begun(attempt=1).attempt


def test_a_notice_can_be_given_and_taken_back(host):
    """A notice, and its end, reach a running node and leave its command running; each may be told twice."""
    host.boot(SPEAKS_AND_STAYS)
    host.begun()
    notice = Notice(NoticeKind.PREEMPTION, host.now + timedelta(minutes=5))
    for told_now in (notice, notice, None, None):
        host.nodes.notify(ID, told_now)

    assert RunPhase.RUNNING is host.begun().phase


def test_a_node_that_has_not_spoken_has_no_word(host):
    """Of a node that was never booted there is neither a report nor a log."""
    assert host.nodes.report(ID) is None
    assert host.nodes.read(ID, offset=0, limit=100) is None


def test_a_log_is_read_from_where_it_was_asked(host):
    """A read gives at most the bytes asked for, from the offset asked for."""
    host.boot(RAW_BYTES)
    host.until(lambda report: report.phase is RunPhase.EXITED)
    chunk = host.nodes.read(ID, offset=2, limit=3)

    assert RAW_BYTES.out[2:5] == chunk.data
    assert (2, 5) == (chunk.offset, chunk.next_offset)


def test_a_volume_is_made_and_dropped_as_often_as_asked(host):
    """Making and dropping a volume may each be repeated."""
    for act in (host.nodes.create_volume, host.nodes.delete_volume):
        act("vol_one")
        act("vol_one")


def test_a_host_without_nodes_expects_nothing(host):
    """With no node, nothing is going to happen by itself."""
    assert host.nodes.next_event_at() is None


def test_a_node_without_mounts_has_no_problem_with_them(host):
    """A node that mounts nothing can always be had."""
    assert host.nodes.mount_problem(()) is None
