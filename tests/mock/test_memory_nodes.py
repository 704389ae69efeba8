"""Nodes in memory: commands do what they were told, when they were told to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from flow_core.domain.node_files import NODE_HELPER, log_line, parse_log_answer, parse_state
from flow_core.domain.run import RunPhase, Stream
from flow_core.errors import InvalidRequest
from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput
from flow_providers.mock.pretend import PretendCloud
from flow_providers.mock.told import PretendRun
from tests.mock.bidders import bid, cloud


def started(pretend: PretendCloud, command: str, **more: object) -> str:
    """Run a command on one node, and return its bid's id; the clock stands at its first instant."""
    placed = bid(pretend, "a", "5", command=command, **more)
    pretend.clock.advance(minutes=2, seconds=20)
    return placed.id


def log(pretend: PretendCloud, bid_id: str, rank: int = 0) -> list[str]:
    """Return the lines of a node's log."""
    return pretend.provider.logs.read(bid_id, rank).data.decode().splitlines()


def test_told_command_prints_and_ends_on_time():
    """Three lines over three hours come hourly, the last with the end and its exit code."""
    pretend = cloud()
    pretend.on("python train.py", takes="3h", prints=["1", "2", "3"], exits=4)
    bid_id = started(pretend, "python train.py")
    began = pretend.clock.now()
    pretend.clock.advance(hours=2)
    half = log(pretend, bid_id)
    pretend.clock.advance(days=1)
    [report] = pretend.provider.logs.reports([bid_id])[bid_id]

    assert ["1", "2"] == half
    assert ["1", "2", "3"] == log(pretend, bid_id)
    assert (RunPhase.EXITED, 4, began + timedelta(hours=3)) == (
        report.phase,
        report.exit_code,
        report.ended_at,
    )


def test_untold_command_ends_with_zero_and_says_so():
    """A command that nobody told about ends at once, and its log says how to tell it."""
    pretend = cloud()
    bid_id = started(pretend, "python train.py")
    [report] = pretend.provider.logs.reports([bid_id])[bid_id]
    chunk = pretend.provider.logs.read(bid_id, 0)

    assert (RunPhase.EXITED, 0) == (report.phase, report.exit_code)
    assert {Stream.NOTE} == {piece.stream for piece in chunk.pieces}
    assert b"pretend_cloud.on('python train.py'" in chunk.data
    assert chunk.is_last


@pytest.mark.parametrize(
    ("command", "after", "code"), [("true", 0, 0), ("false", 0, 1), ("sleep 90", 90, 0)]
)
def test_few_commands_are_known(command: str, after: int, code: int):
    """`true`, `false` and `sleep` do what they always do."""
    pretend = cloud()
    bid_id = started(pretend, command)
    pretend.clock.advance(seconds=after)
    [report] = pretend.provider.logs.reports([bid_id])[bid_id]

    assert (RunPhase.EXITED, code) == (report.phase, report.exit_code)


def test_sleeping_for_ever_does_not_end():
    """An instance's command runs on for as long as anyone looks."""
    pretend = cloud()
    bid_id = started(pretend, "sleep infinity")
    pretend.clock.advance(days=300)

    assert RunPhase.RUNNING is pretend.provider.logs.reports([bid_id])[bid_id][0].phase


def test_exact_behaviour_outranks_a_pattern_and_later_outranks_earlier():
    """The last exact one counts; a pattern serves the rest."""
    pretend = cloud()
    pretend.on("python *", exits=1)
    pretend.on("python a.py", exits=2)
    pretend.on("python a.py", exits=3)
    pretend.on("python *", exits=4)
    codes = []
    for name, command in (("x", "python a.py"), ("y", "python b.py")):
        placed = bid(pretend, name, "5", command=command)
        pretend.clock.advance(minutes=3)
        codes.append(pretend.provider.logs.reports([placed.id])[placed.id][0].exit_code)

    assert [3, 4] == codes


def test_function_plays_a_node():
    """A generator yields lines and time, learns rank and attempt, and returns the exit code."""

    def train(run: PretendRun) -> Iterator[str | timedelta]:
        for epoch in range(3):
            yield timedelta(hours=1)
            yield f"rank {run.rank} of {run.env['WORLD_SIZE']} attempt {run.attempt} epoch {epoch}"
        return 7

    pretend = cloud()
    pretend.on("train", train)
    bid_id = started(pretend, "train", quantity=2)
    pretend.clock.advance(hours=3)
    reports = pretend.provider.logs.reports([bid_id])[bid_id]

    assert "rank 1 of 1 attempt 0 epoch 2" == log(pretend, bid_id, 1)[-1]
    assert [7, 7] == [each.exit_code for each in reports]


def test_function_may_answer_at_once():
    """A function that returns a number or lines, rather than yielding, ends there and then."""
    pretend = cloud()
    pretend.on("number", lambda _: 5)
    pretend.on("lines", lambda run: [f"hello from {run.rank}"])
    number, lines = (bid(pretend, name, "5", command=name) for name in ("number", "lines"))
    pretend.clock.advance(minutes=3)
    reports = pretend.provider.logs.reports([number.id, lines.id])

    assert [5, 0] == [reports[each.id][0].exit_code for each in (number, lines)]
    assert ["hello from 0"] == log(pretend, lines.id)


def test_function_sees_a_notice_while_it_stands():
    """Under notice the run may look at its deadline and save its work."""
    saved: list[object] = []

    def train(run: PretendRun) -> Iterator[timedelta]:
        while True:
            yield timedelta(minutes=1)
            saved.append(run.notice())

    pretend = cloud()
    pretend.on("train", train)
    started(pretend, "train")
    pretend.clock.advance(minutes=2)
    pretend.outbid("a")
    pretend.clock.advance(minutes=4)

    assert [None, None] == saved[:2]
    assert None not in saved[3:]


@pytest.mark.parametrize(
    ("checkpoints", "hours"), [(False, 3), (True, 1), (lambda worked: worked / 2, 2)]
)
def test_interrupted_run_starts_over_or_goes_on(checkpoints: object, hours: int):
    """Cut after two of three hours, a run needs three more, one more, or what its checkpoint left."""
    pretend = cloud()
    pretend.on("train", takes="3h", checkpoints=checkpoints)
    bid_id = started(pretend, "train")
    pretend.clock.advance(hours=2)
    pretend.provider.market.amend(bid_id, paused=True)
    [cut] = pretend.provider.logs.reports([bid_id])[bid_id]
    pretend.provider.market.amend(bid_id, paused=False)
    pretend.clock.advance(hours=5)
    [report] = pretend.provider.logs.reports([bid_id])[bid_id]

    assert RunPhase.INTERRUPTED is cut.phase
    assert (RunPhase.EXITED, 1) == (report.phase, report.attempt)
    assert timedelta(hours=hours) == report.ended_at - report.began_at


def test_command_that_ended_does_not_run_again_on_a_second_boot():
    """Exit codes are kept: a node that boots again after its command's end leaves it ended."""
    pretend = cloud()
    bid_id = started(pretend, "false")
    pretend.provider.market.amend(bid_id, paused=True)
    pretend.provider.market.amend(bid_id, paused=False)
    pretend.clock.advance(minutes=5)
    [report] = pretend.provider.logs.reports([bid_id])[bid_id]

    assert (RunPhase.EXITED, 0, 1) == (report.phase, report.attempt, report.exit_code)


def test_node_waits_for_its_delivery():
    """A command that needs something brought waits, sees it in its variables, and refuses an older one."""
    pretend = cloud()
    pretend.on("train", lambda run: [run.env["SECRET"], run.env["MASTER_PORT"]])
    bid_id = started(pretend, "train", wants_delivery=True)
    [waiting] = pretend.provider.logs.reports([bid_id])[bid_id]
    [node] = pretend.provider.fleet.allocations([bid_id])[bid_id].nodes
    line = f"{NODE_HELPER} deliver"
    message = {
        "number": 2,
        "rank": 0,
        "nodes": [{"rank": 0, "host": "h"}],
        "port": 4242,
        "env": {"SECRET": "s"},
    }
    codes = [
        event.code
        for number in (2, 2, 1)
        for event in pretend.provider.shell.run_many(
            [Call(node=node, line=line, stdin=json.dumps({**message, "number": number}).encode())]
        )
        if isinstance(event, NodeExit)
    ]

    assert (RunPhase.WAITING, True) == (waiting.phase, waiting.wants_delivery)
    assert ["s", "4242"] == log(pretend, bid_id)[-2:]
    assert [0, 0, 3] == codes


def test_helpers_verbs_answer_in_the_forms_that_the_core_reads():
    """`report`, `stop` and the reader of logs over the shell say what a real node's would."""
    pretend = cloud()
    pretend.on("train", takes="2h", prints=["half", "done"])
    bid_id = started(pretend, "train")
    pretend.clock.advance(hours=1)
    [node] = pretend.provider.fleet.allocations([bid_id])[bid_id].nodes

    def said(line: str) -> bytes:
        events = pretend.provider.shell.run_many([Call(node=node, line=line)])
        return b"".join(event.data for event in events if isinstance(event, NodeOutput))

    report, text = (
        parse_state(said(f"{NODE_HELPER} report").decode(), rank=0),
        parse_log_answer(said(log_line("", offset=2, limit=100)), rank=0),
    )
    said(f"{NODE_HELPER} stop")

    assert (RunPhase.RUNNING, 5) == (report.phase, report.log_bytes)
    assert b"lf\n" == text.data
    assert 143 == pretend.provider.logs.reports([bid_id])[bid_id][0].exit_code


def test_log_can_be_read_in_pieces():
    """Reading on from `next_offset` misses no byte and repeats none; past the end is empty."""
    pretend = cloud()
    pretend.on("train", prints=["héllo", "wörld"])
    bid_id = started(pretend, "train")
    whole, offset = b"", 0
    while not (chunk := pretend.provider.logs.read(bid_id, 0, offset=offset, limit=3)).is_last:
        whole, offset = whole + chunk.data, chunk.next_offset
    beyond = pretend.provider.logs.read(bid_id, 0, offset=99)

    assert "héllo\nwörld\n".encode() == whole + chunk.data
    assert (99, 99, b"") == (beyond.offset, beyond.next_offset, beyond.data)


def test_log_outlives_the_bid():
    """After the bid has ended its reports and logs are still there."""
    pretend = cloud()
    pretend.on("train", prints=["done"])
    bid_id = started(pretend, "train")
    pretend.provider.market.withdraw(bid_id)

    assert ["done"] == log(pretend, bid_id)
    assert 1 == len(pretend.provider.logs.reports([bid_id])[bid_id])


def test_call_on_a_node_that_is_down_is_an_event():
    """A stopped node's call ends as lost, and holds up nobody."""
    pretend = cloud()
    bid_id = started(pretend, "sleep infinity")
    [node] = pretend.provider.fleet.allocations([bid_id])[bid_id].nodes
    pretend.on_shell("nvidia-smi", lambda _: (9, b"no gpu"))
    up = list(pretend.provider.shell.run_many([Call(node=node, line="nvidia-smi")]))
    pretend.provider.market.amend(bid_id, paused=True)
    down = list(pretend.provider.shell.run_many([Call(node=node, line="nvidia-smi")]))

    assert [NodeOutput(node, Stream.OUT, b"no gpu"), NodeExit(node, 9)] == up
    assert [NodeLost] == [type(event) for event in down]


def test_duration_that_is_none_is_refused_when_told():
    """A misspelt `takes` is refused where it was written."""
    with pytest.raises(InvalidRequest, match="takes"):
        cloud().on("train", takes="3 bananas")
