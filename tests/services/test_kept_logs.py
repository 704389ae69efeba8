"""What a provider without logs would lose with its nodes is kept on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

import flow
from flow_adapters.log_keep import FolderLogKeep
from flow_adapters.memory import MemoryLogKeep
from flow_adapters.node_files import load_node_files
from flow_adapters.wiring import connect_in_memory
from flow_core.domain.run import LogChunk, LogPiece, Stream
from flow_core.errors import NodeUnreachable, NotFound
from flow_core.ports.log_keep import LogKeep
from flow_core.ports.shell import NodeLost
from flow_core.services.node_logs import NodeLogs
from flow_providers.mock import PretendCloud

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
pieces = st.lists(st.tuples(st.sampled_from(Stream), st.binary(min_size=1, max_size=9)), max_size=9)


def chunk(offset: int, written: list[tuple[Stream, bytes]], *, is_last: bool = False) -> LogChunk:
    """Return what was `written` as a chunk of rank 0 from `offset`."""
    found = tuple(LogPiece(stream, NOON, data) for stream, data in written)
    size = sum(len(data) for _, data in written)
    return LogChunk(rank=0, offset=offset, next_offset=offset + size, pieces=found, is_last=is_last)


@contextmanager
def new_keep(kind: str) -> Iterator[LogKeep]:
    """Give an empty keep of either kind."""
    if kind == "memory":
        yield MemoryLogKeep()
        return
    with TemporaryDirectory() as folder:
        yield FolderLogKeep(Path(folder))


both = pytest.mark.parametrize("kind", ["folder", "memory"])


@both
@given(parts=st.lists(pieces, max_size=4), offset=st.integers(0, 200), limit=st.integers(1, 50))
def test_what_was_kept_is_read_from_any_offset(
    kind: str,
    parts: list[list[tuple[Stream, bytes]]],
    offset: int,
    limit: int,
):
    """Bytes, streams and the log's end come back as they were kept, from any offset, in any portion."""
    with new_keep(kind) as keep:
        whole = b""
        for written in parts:
            keep.keep("bid_1", chunk(len(whole), written))
            whole += b"".join(data for _, data in written)
        keep.keep("bid_1", chunk(len(whole), [], is_last=True))

        read, place, last = b"", offset, False
        for _ in range(len(whole) + 2):
            found = keep.read("bid_1", 0, offset=place, limit=limit)
            assert found is not None
            read, place, last = read + found.data, found.next_offset, found.is_last
            if last:
                break

        assert whole[offset:] == read
        assert last
        assert len(whole) == keep.size("bid_1", 0)


@both
def test_a_chunk_out_of_place_is_left_out(kind: str):
    """A chunk that repeats or skips bytes changes nothing."""
    with new_keep(kind) as keep:
        keep.keep("bid_1", chunk(0, [(Stream.OUT, b"abc")]))
        keep.keep("bid_1", chunk(0, [(Stream.OUT, b"xyz")]))
        keep.keep("bid_1", chunk(9, [(Stream.OUT, b"xyz")]))
        found = keep.read("bid_1", 0, offset=0, limit=99)

        assert found is not None
        assert b"abc" == found.data


@both
def test_only_named_bids_stay(kind: str):
    """Dropping all but some bids drops the others' logs whole."""
    with new_keep(kind) as keep:
        keep.keep("bid_1", chunk(0, [(Stream.OUT, b"a")]))
        keep.keep("bid_2", chunk(0, [(Stream.OUT, b"b")]))

        keep.keep_only({"bid_2"})

        assert (0, 1) == (keep.size("bid_1", 0), keep.size("bid_2", 0))


def keeping_nothing(takes: str) -> PretendCloud:
    """Return a cloud without a logs role, whose command prints two lines and takes so long."""
    cloud = PretendCloud()
    cloud.on("talk", takes=takes, prints=["first", "last"], checkpoints=True)
    cloud.provider = evolve(cloud.provider, logs=None)
    return cloud


def test_a_log_outlives_its_node_where_the_provider_keeps_none():
    """A task's whole log can be read after its end, though its provider has no logs role."""
    cloud = PretendCloud()
    cloud.on("talk", prints=["first", "last"])
    cloud.provider = evolve(cloud.provider, logs=None)
    task = flow.run("talk", num_instances=2, session=connect_in_memory(cloud))

    task.wait()

    said = [line for line in task.logs() if not line.startswith(("[0] flow:", "[1] flow:"))]
    assert ["[0] first", "[0] last", "[1] first", "[1] last"] == sorted(said)
    assert ["last"] == list(task.logs(tail=1, node=1))


def test_a_log_outlives_a_cancelled_task():
    """What a cancelled task wrote until then is read after its nodes are gone."""
    cloud = keeping_nothing("3h")
    task = flow.run("talk", session=connect_in_memory(cloud))
    cloud.clock.advance(hours=2)

    task.cancel()
    task.wait()

    assert ["first"] == [line for line in task.logs() if not line.startswith("flow:")]


def test_what_was_read_outlives_a_node_that_nobody_could_ask():
    """What a reader has seen of a log can be read again when its node is gone without a last word, and why no more."""
    cloud = keeping_nothing("3h")
    session = connect_in_memory(cloud)
    task = flow.run("talk", name="talk", session=session)
    cloud.clock.advance(hours=2)
    seen = list(task.logs())
    bid_id = session.tasks.record("talk").bid_id
    assert bid_id is not None
    cloud.provider.market.withdraw(bid_id)
    again: list[str] = []

    with pytest.raises(NotFound, match="no more of its log was kept than was read"):
        again.extend(task.logs())  # keeps what came before the refusal

    assert "first" in seen
    assert seen == again


def test_a_log_is_empty_before_there_are_nodes():
    """A task that waits for the market has written nothing yet, and that is no mistake."""
    cloud = keeping_nothing("3h")
    task = flow.run("talk", session=connect_in_memory(cloud))

    assert [] == list(task.logs())


def test_a_log_away_with_its_node_is_read_when_it_is_back():
    """While the market has the node its log can't be read, and says so; following waits for the node and the rest."""
    cloud = keeping_nothing("3h")
    session = connect_in_memory(cloud)
    task = flow.run("talk", name="talk", session=session)
    cloud.clock.advance(minutes=10)
    cloud.outbid("talk", lasts="30m")
    cloud.clock.advance(minutes=10)

    with pytest.raises(NodeUnreachable, match="node 0 is stopped"):
        list(task.logs())
    followed = [line for line in task.logs(follow=True) if not line.startswith("flow:")]

    assert "last" == followed[-1]
    assert 1 == session.tasks.record("talk").preemptions


def test_nodes_that_never_answer_are_asked_together():
    """The last look at the logs of ten nodes that don't answer is one fan-out, made twice, not ten in a row."""
    cloud = keeping_nothing("3h")
    asked: list[int] = []
    session = connect_in_memory(cloud)
    task = flow.run("talk", num_instances=10, session=session)
    cloud.clock.advance(minutes=10)
    provider = evolve(cloud.provider, shell=Counting(Silent(cloud.provider.shell), asked))
    bid_id = session.tasks.record(task.name).bid_id
    assert bid_id is not None

    places = dict.fromkeys(range(10), "")
    NodeLogs(provider, MemoryLogKeep(), files=load_node_files()).keep_rest(bid_id, places)

    assert [10, 10] == asked


def test_a_log_whose_end_was_lost_says_so_and_where_it_lies():
    """When the nodes go and one gives no last answer, what is kept of its log ends with a line that says so."""
    cloud = keeping_nothing("3h")
    session = connect_in_memory(cloud)
    task = flow.run("talk", name="talk", session=session)
    cloud.clock.advance(hours=2)
    before = list(task.logs())
    bid_id = session.tasks.record("talk").bid_id
    assert bid_id is not None
    keep = session.ports.log_keep
    silent = evolve(cloud.provider, shell=Silent(cloud.provider.shell))
    session.tasks.view("talk")  # which tells this machine that the command runs

    where = "volume 'ckpt' has it too, in .flow/talk"
    NodeLogs(silent, keep, files=load_node_files(), now=session.ports.clock.now).keep_rest(
        bid_id, {0: where}
    )

    *read, last = task.logs()
    assert before == read
    assert (
        f"flow: node 0 is gone, and what it wrote from here on is not kept on this machine; {where}"
        == last
    )


def test_a_reader_of_a_lost_log_hears_which_volume_has_it():
    """A task that mounts a volume for writing has its logs there too; the refusal to give more names the place."""
    cloud = keeping_nothing("3h")
    limits = evolve(cloud.provider.limits, volume_path="/mnt/{name}")
    cloud.provider = evolve(cloud.provider, limits=limits)
    session = connect_in_memory(cloud)
    mounts = {"/ckpt": "volume://ckpt?size=10gb"}
    task = flow.run("talk", name="talk", mounts=mounts, session=session)
    cloud.clock.advance(hours=2)
    list(task.logs())
    record = session.tasks.record("talk")
    cloud.provider.market.withdraw(record.bid_id)

    with pytest.raises(NotFound, match="no more of its log was kept") as refused:
        list(task.logs())

    assert (
        f"volume 'ckpt' has it too, in .flow/talk-{record.token}/log/node-0-*" == refused.value.hint
    )


@both
def test_what_nodes_said_last_is_told_for_a_while(kind: str):
    """What the nodes of a bid said is told to whoever wants it no newer, and each time takes the last one's place."""
    with new_keep(kind) as keep:
        keep.tell("bid_1", {0: "old", 1: "there"}, at=NOON)
        keep.tell("bid_1", {0: "{}"}, at=NOON + timedelta(seconds=5))

        assert {0: "{}"} == keep.told("bid_1", since=NOON + timedelta(seconds=5))
        assert keep.told("bid_1", since=NOON + timedelta(seconds=6)) is None
        assert keep.told("bid_2", since=NOON) is None


def test_a_list_asks_no_node_that_the_watcher_just_asked():
    """Listing a task soon after the watcher looked at it sends nothing to its nodes; looking at it alone does."""
    cloud = keeping_nothing("3h")
    asked: list[int] = []
    cloud.provider = evolve(cloud.provider, shell=Counting(cloud.provider.shell, asked))
    session = connect_in_memory(cloud)
    flow.run("talk", name="talk", session=session)
    cloud.clock.advance(minutes=10)
    session.watcher.tick()
    asked.clear()

    (listed,) = session.tasks.views()
    before = len(asked)
    view = session.tasks.view("talk")

    assert (0, 1) == (before, len(asked))
    assert view.reports == listed.reports


class Counting:
    """A shell that counts the nodes of each fan-out before it passes it on."""

    def __init__(self, shell: object, asked: list[int]) -> None:
        self._shell = shell
        self._asked = asked

    def __getattr__(self, name: str) -> object:
        return getattr(self._shell, name)

    def run_many(self, calls, *, timeout_s=None):
        self._asked.append(len(calls))
        return self._shell.run_many(calls, timeout_s=timeout_s)  # type: ignore[attr-defined]


class Silent:
    """A shell that reaches nobody."""

    def __init__(self, shell: object) -> None:
        self._shell = shell

    def __getattr__(self, name: str) -> object:
        return getattr(self._shell, name)

    def run_many(self, calls, *, timeout_s=None):
        yield from [NodeLost(node=call.node, reason="silence") for call in calls]
