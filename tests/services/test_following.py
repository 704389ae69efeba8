"""Following a log over connections that break: no byte is lost, none comes twice."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import flow
from flow_adapters.wiring import connect_in_memory
from flow_core.domain.node_files import ASKS_LOG
from flow_core.errors import NodeUnreachable
from flow_core.ports.shell import Call, Events, NodeLost, NodeOutput
from flow_core.services.node_logs import NodeLogs
from flow_providers.mock import PretendCloud
from flow_providers.mock.rules import IN_MEMORY

#: A call over the shell: whole, never begun, or cut within its answer after so many bytes.
fates = st.lists(st.one_of(st.none(), st.integers(0, 400)), max_size=40)

lines = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=30)


class BreakingShell:
    """A shell whose calls for a log meet their fates, one after the other; then all goes well."""

    def __init__(self, shell: object, met: list[int | None]) -> None:
        self._shell = shell
        self._met = list(met)
        self.cut = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._shell, name)

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """Run the calls; the connection breaks where it is to."""
        fate = self._met.pop(0) if self._met and ASKS_LOG.search(calls[0].line) else None
        if fate is None:
            yield from self._shell.run_many(calls, timeout_s=timeout_s)  # type: ignore[attr-defined]
            return
        self.cut += 1
        for call in calls:
            for event in self._shell.run_many([call]):  # type: ignore[attr-defined]
                if isinstance(event, NodeOutput):
                    if fate:
                        yield NodeOutput(event.node, event.stream, event.data[:fate])
                    break
            yield NodeLost(call.node, "the connection broke")


@given(prints=st.lists(lines, min_size=1, max_size=20), met=fates)
def test_a_follower_gets_every_byte_once(prints: list[str], met: list[int | None]):
    """Whenever and wherever the connection is cut, what was followed is the log."""
    cloud = PretendCloud(rules=evolve(IN_MEMORY, instant=True))

    def talk(run: object) -> object:
        for line in prints:
            yield line
            yield timedelta(seconds=1)
        # A node whose connection breaks each time is not kept for ever; by the end all have broken that shall.
        yield timedelta(minutes=3)

    cloud.on("talk", talk)  # type: ignore[arg-type]
    shell = BreakingShell(cloud.shell, met)
    cloud.provider = evolve(cloud.provider, logs=None, shell=shell)
    session = connect_in_memory(cloud)
    task = flow.run("talk", session=session)
    followed = b"".join(chunk.data for chunk in session.tasks.logs(task.name, follow=True))
    record = session.tasks.record(task.name)
    assert record.bid_id is not None
    logs = NodeLogs(
        cloud.provider,
        session.ports.log_keep,
        files=session.ports.node_files,
        now=session.ports.clock.now,
    )
    size = session.ports.log_keep.size(record.bid_id, 0)
    whole = logs.read(record.bid_id, 0, limit=size + 1).data

    assert whole == followed
    assert b"".join(f"{line}\n".encode() for line in prints) in followed


def test_one_broken_connection_costs_no_logs_end():
    """What is read before the nodes are given back is asked for again where the answer was cut."""
    cloud = PretendCloud()
    cloud.on("talk", prints=["first", "last"])
    shell = BreakingShell(cloud.shell, [3])
    cloud.provider = evolve(cloud.provider, logs=None, shell=shell)
    session = connect_in_memory(cloud)
    task = flow.run("talk", session=session)
    task.wait()

    assert 1 == shell.cut
    assert ["first", "last"] == list(task.logs())[-2:]


class PatientShell:
    """A shell whose answers come in one piece each; it counts calls that were left before their end was heard."""

    def __init__(self, shell: object) -> None:
        self._shell = shell
        self.left = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._shell, name)

    def run_many(self, calls: Sequence[Call], *, timeout_s: float | None = None) -> Events:
        """Run the calls, and say what each said at its end."""
        said: list[NodeOutput] = []
        try:
            for event in self._shell.run_many(calls, timeout_s=timeout_s):  # type: ignore[attr-defined]
                if isinstance(event, NodeOutput):
                    said.append(event)
                    continue
                if said:
                    yield evolve(said[0], data=b"".join(each.data for each in said))
                yield event
        except GeneratorExit:
            self.left += 1
            raise


def test_a_follower_hears_the_call_end():
    """A call is not left with its answer's last bytes, for then it would be ended on the node, by a call of its own."""
    cloud = PretendCloud()
    cloud.on("talk", prints=["x" * (2 << 20)])
    shell = PatientShell(cloud.shell)
    cloud.provider = evolve(cloud.provider, logs=None, shell=shell)
    session = connect_in_memory(cloud)
    task = flow.run("talk", keep=True, session=session)
    task.wait()
    followed = [chunk.is_last for chunk in session.tasks.logs(task.name, follow=True)]

    assert followed[-1]
    assert 0 == shell.left


@pytest.mark.parametrize("way", ["read", "rest"])
def test_a_node_that_gives_no_log_is_told_with_its_reason(way: str):
    """Whoever reads once hears why there is nothing, and how to go on asking."""
    cloud = PretendCloud()
    cloud.on("talk", prints=["first"], takes="1h")
    cloud.provider = evolve(cloud.provider, logs=None, shell=BreakingShell(cloud.shell, [0, 0]))
    session = connect_in_memory(cloud)
    task = flow.run("talk", session=session)
    cloud.clock.advance(minutes=30)
    record = session.tasks.record(task.name)
    logs = NodeLogs(cloud.provider, session.ports.log_keep, files=session.ports.node_files)
    ways = {
        "read": lambda: logs.read(record.bid_id or "", 0),
        "rest": lambda: list(logs.rest(record.bid_id or "", 0, offset=0)),
    }

    with pytest.raises(NodeUnreachable) as told:
        ways[way]()

    assert "node 0 did not give its log: the connection broke" == told.value.message
    assert told.value.hint is not None
    assert "-f asks again" in told.value.hint
