"""Commands on nodes: `RemoteShell.run_many`."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import closing

from flow_core.domain.allocation import Node
from flow_core.domain.node_files import NODE_HELPER
from flow_core.domain.run import Stream
from flow_core.ports.shell import Call, Events, NodeEvent, NodeExit, NodeLost, NodeOutput
from flow_providers.conformance.bed import Bed
from flow_providers.conformance.contracts.base import Contract
from flow_providers.conformance.lines import (
    BOTH_STREAMS,
    FAILS,
    IS_GONE,
    NOTHING,
    RAW_BYTES,
    SPEAKS_AND_STAYS,
    STAYS,
    TRACED,
    Line,
)
from flow_providers.conformance.stating import states

_AT_ONCE = "Run all calls at once and yield what happens as it happens; each call ends with one NodeExit or NodeLost."
_WHOLE = "Output is whole and in order within a stream, and comes before the call's last event."
_HOLDS_UP = "A dead or slow node never holds up the others."
_STDIN = "`stdin` is its whole input; without it, input is empty."
_PIECES = (
    "An iterable is asked for a piece only once the node has taken those before, in a thread of its own; "
    "where it raises, the call is ended and lost."
)
_START = "A call starts in the node's workspace, in a clean environment."
_NUMBERS = 20_000


class CallsContract(Contract):
    """What happens when lines are run on nodes."""

    @states("shell.Call", "One command on one node: a line for `sh`.")
    def test_a_line_is_read_by_sh(self, bed: Bed) -> None:
        """Variables, pipes and lists of commands in a line mean what they mean to `sh`."""
        bed.need_commands()
        answer = bed.answer(_node(bed), "x='a b'; printf '%s' \"$x\" | tr a-b A-B && exit 4")

        assert (b"A B", b"", 4) == (answer.out, answer.err, answer.code)

    @states("shell.Call", _STDIN)
    def test_a_call_reads_what_it_was_given(self, bed: Bed) -> None:
        """The command reads every byte of `stdin`, a megabyte that is no text included, and then the end."""
        bed.need_commands()
        given = bytes(range(256)) * 4096
        answer = bed.answer(_node(bed), "cat", stdin=given)

        assert 0 == answer.code
        assert given == answer.out

    @states("shell.Call", _STDIN)
    def test_a_call_without_input_reads_the_end_at_once(self, bed: Bed) -> None:
        """A command that reads its input, and was given none, does not wait."""
        bed.need_commands()
        answer = bed.answer(_node(bed), "cat; echo over")

        assert (b"over\n", 0) == (answer.out, answer.code)

    @states("shell.Call", _PIECES)
    @states("shell.pieces", "Return the input piece by piece.")
    def test_input_may_come_while_the_command_answers(self, bed: Bed) -> None:
        """The second piece of an input is not asked for in vain: it comes only after the first was answered."""
        bed.need_commands()
        answered = threading.Event()

        def pieces() -> Iterator[bytes]:
            yield b"first\n"
            yield b"answered\n" if answered.wait(60) else b"waited in vain\n"

        seen = b""
        call = Call(node=_node(bed), line="cat; exit 3", stdin=pieces())
        with closing(bed.shell.run_many([call], timeout_s=120.0)) as events:
            for event in events:
                seen += event.data if isinstance(event, NodeOutput) else b""
                if b"first\n" in seen:
                    answered.set()

        assert b"first\nanswered\n" == seen
        assert NodeExit(call.node, 3) == event
        assert [b"whole"] == list(Call(node=call.node, line="cat", stdin=b"whole").pieces())

    @states("shell.Call", _PIECES)
    def test_input_waits_for_the_command(self, bed: Bed) -> None:
        """Of an endless input, a command that reads none has some megabytes taken at most, and the call still ends."""
        bed.need_commands()
        asked = []

        def pieces() -> Iterator[bytes]:
            while True:
                asked.append(1)
                yield bytes(1 << 20)

        call = Call(node=_node(bed), line="sleep 2; exit 4", stdin=pieces())
        ends = list(bed.shell.run_many([call], timeout_s=60.0))

        assert [NodeExit(call.node, 4)] == ends
        assert len(asked) < 64

    @states("shell.Call", _PIECES)
    def test_input_that_breaks_off_loses_the_call(self, bed: Bed) -> None:
        """Where the iterable raises, the call is NodeLost for its reason, and its process is ended."""
        bed.need_commands()
        node = _node(bed)

        def pieces() -> Iterator[bytes]:
            yield b"some"
            raise OSError("the disk went")

        line = "echo $$ > kit-pid; cat >/dev/null; exec sleep 86400"
        events = list(bed.shell.run_many([Call(node=node, line=line, stdin=pieces())]))

        assert [node] == [event.node for event in events]
        assert isinstance(events[0], NodeLost)
        assert "the disk went" in events[0].reason
        bed.until("the process ended", lambda: bed.answer(node, IS_GONE).code == 0)

    @states(
        "shell.Call",
        "`line` shows in the node's process list and `stdin` does not, so secrets go through `stdin`.",
    )
    def test_input_is_in_no_process_list(self, bed: Bed) -> None:
        """While a command runs whose input is a secret, no process on its node has it among its arguments."""
        bed.need_commands()
        look = "cat >/dev/null; ps -eo args 2>/dev/null || cat /proc/[0-9]*/cmdline"
        answer = bed.answer(_node(bed), look, stdin=b"kit-secret-5150")

        assert 0 == answer.code
        assert answer.out
        assert b"kit-secret-5150" not in answer.out

    @states("shell.NodeOutput", "Bytes that a call wrote, as they arrived; never empty.")
    def test_output_is_bytes(self, bed: Bed) -> None:
        """Bytes that are no text arrive as they were written, and no event without bytes comes."""
        node = _node(bed)
        outputs = [each for each in _events(bed, node, RAW_BYTES) if isinstance(each, NodeOutput)]

        assert RAW_BYTES.out == b"".join(each.data for each in outputs)
        assert all(each.data for each in outputs)

    @states(
        "shell.NodeExit",
        "The last event of a call that ran: its exit code, 128+n for signal n.",
    )
    def test_the_last_event_is_the_exit_code(self, bed: Bed) -> None:
        """A command that ends gives its exit code, last."""
        node = _node(bed)

        for line in (NOTHING, FAILS, BOTH_STREAMS):
            assert NodeExit(node, line.code) == list(_events(bed, node, line))[-1]

    @states(
        "shell.NodeExit",
        "The last event of a call that ran: its exit code, 128+n for signal n.",
    )
    def test_a_signal_is_128_and_its_number(self, bed: Bed) -> None:
        """A command that is killed gives 137 for KILL (9) and 143 for TERM (15); one that isn't there gives 127."""
        bed.need_commands()
        node = _node(bed)

        assert 128 + 9 == bed.answer(node, "kill -KILL $$").code
        assert 128 + 15 == bed.answer(node, "kill -TERM $$").code
        assert 127 == bed.answer(node, "kit-no-such-command").code

    @states(
        "shell.NodeLost",
        "The last event of a call that could not run or whose end was not heard; `reason` is for people.",
    )
    def test_a_node_that_is_gone_is_lost(self, bed: Bed) -> None:
        """A call on the node of a withdrawn bid comes to one event, NodeLost, that says why."""
        node = _gone(bed)
        events = list(_events(bed, node, NOTHING))

        assert 1 == len(events)
        assert isinstance(events[0], NodeLost)
        assert events[0].reason

    @states("shell.RemoteShell", "Runs things on nodes.")
    def test_different_nodes_are_different_places(self, bed: Bed) -> None:
        """What runs on one node of a bid doesn't see what was written on the other."""
        bed.need_commands()
        _, allocation = bed.granted(bed.request(quantity=2))
        first, second = allocation.nodes
        bed.answer(first, "echo mine > kit-file")

        assert b"mine\n" == bed.answer(first, "cat kit-file").out
        assert 0 != bed.answer(second, "cat kit-file").code

    @states("shell.RemoteShell", _START)
    def test_calls_start_where_the_command_does(self, bed: Bed) -> None:
        """The bid's own command and every call on its node start in one folder, the workspace."""
        bed.need_commands()
        _, allocation = bed.granted(bed.request(Line("pwd > kit-place; sleep 86400")))
        node = allocation.nodes[0]
        place = bed.until("the command's word", lambda: bed.answer(node, "cat kit-place").out)

        assert place == bed.answer(node, "pwd").out

    @states("shell.RemoteShell", _START)
    def test_calls_find_commands_and_a_home(self, bed: Bed) -> None:
        """A call has a PATH on which `ls` is found, and a HOME that is a folder on the node."""
        bed.need_commands()
        answer = bed.answer(
            _node(bed), 'command -v ls >/dev/null && test -d "$HOME" && test -w "$HOME"'
        )

        assert 0 == answer.code

    @states("shell.RemoteShell", "Nothing of the caller's own environment is in it.")
    def test_calls_do_not_see_the_caller_s_variables(self, bed: Bed) -> None:
        """No variable that pytest sets here, and no secret of this machine's user, is on the node."""
        bed.need_commands()
        names = {line.partition(b"=")[0] for line in bed.answer(_node(bed), "env").out.splitlines()}

        assert "PYTEST_CURRENT_TEST" in os.environ
        assert b"PYTEST_CURRENT_TEST" not in names

    @states(
        "shell.RemoteShell",
        "`FLOW_HOME` is set there when the node script keeps its files elsewhere than in /opt/flow.",
    )
    def test_calls_reach_the_node_helper(self, bed: Bed) -> None:
        """The node script has run: its helper answers a call, where FLOW_HOME or the default says."""
        bed.need_commands()
        node = _node(bed)

        bed.until("the helper", lambda: bed.answer(node, f"{NODE_HELPER} report").code == 0)

    @states("shell.run_many", _AT_ONCE)
    def test_calls_run_side_by_side(self, bed: Bed) -> None:
        """Of two calls, the one that ends at once is heard of while the other still runs; so is what that one says."""
        bed.need_commands()
        first, second = _two(bed)
        calls = [Call(node=first, line=SPEAKS_AND_STAYS.text), Call(node=second, line=FAILS.text)]
        seen: list[NodeEvent] = []
        with closing(bed.shell.run_many(calls, timeout_s=60.0)) as events:
            for event in events:
                seen.append(event)
                if len(seen) == 2:
                    break

        assert NodeExit(second, FAILS.code) in seen
        assert NodeOutput(first, Stream.OUT, SPEAKS_AND_STAYS.out) in seen

    @states("shell.run_many", _AT_ONCE)
    def test_each_call_ends_once(self, bed: Bed) -> None:
        """Each call has exactly one last event, whether its node is there or not; no calls, no events."""
        gone = _gone(bed)
        there = _node(bed)
        calls = [Call(node=node, line=NOTHING.text) for node in (gone, there)]
        events = list(bed.shell.run_many(calls, timeout_s=60.0))

        assert [] == list(bed.shell.run_many([]))
        assert {gone.id, there.id} == {event.node.id for event in events}
        assert [there.id] == [each.node.id for each in events if isinstance(each, NodeExit)]
        assert [gone.id] == [each.node.id for each in events if isinstance(each, NodeLost)]

    @states("shell.run_many", _WHOLE)
    def test_streams_arrive_whole_and_in_order(self, bed: Bed) -> None:
        """Twenty thousand lines on each stream arrive complete and in order, all before the last event."""
        bed.need_commands()
        node = _node(bed)
        line = f"i=0; while [ $i -lt {_NUMBERS} ]; do echo $i; echo $i >&2; i=$((i+1)); done"
        events = list(_events(bed, node, Line(line)))
        expected = b"".join(b"%d\n" % number for number in range(_NUMBERS))

        assert NodeExit(node, 0) == events[-1]
        assert expected == _bytes(events, Stream.OUT)
        assert expected == _bytes(events, Stream.ERR)

    @states("shell.run_many", _WHOLE)
    def test_output_comes_before_the_exit(self, bed: Bed) -> None:
        """What a command wrote to either stream is there before its exit code is."""
        bed.need_commands()
        events = list(_events(bed, _node(bed), BOTH_STREAMS))

        assert isinstance(events[-1], NodeExit)
        assert BOTH_STREAMS.out == _bytes(events, Stream.OUT)
        assert BOTH_STREAMS.err == _bytes(events, Stream.ERR)

    @states(
        "shell.run_many",
        "A call that outlives `timeout_s` (seconds, of real time) is ended and reported NodeLost.",
    )
    def test_a_call_past_its_time_is_ended(self, bed: Bed) -> None:
        """A command that goes on past the timeout is reported NodeLost, within seconds, and its process is gone."""
        bed.need_commands()
        node = _node(bed)
        answer = bed.within(30.0, lambda: bed.answer(node, TRACED, timeout_s=1.0))

        assert answer.code is None
        assert answer.lost
        bed.until("the process ended", lambda: bed.answer(node, IS_GONE).code == 0)

    @states("shell.run_many", "Closing the generator ends what still runs.")
    def test_who_stops_listening_ends_the_calls(self, bed: Bed) -> None:
        """When the generator is closed while a command runs, its process is ended on the node."""
        bed.need_commands()
        node = _node(bed)
        with closing(_events(bed, node, Line(TRACED))) as events:
            first = next(events)

        assert NodeOutput(node, Stream.OUT, b"begun\n") == first
        bed.until("the process ended", lambda: bed.answer(node, IS_GONE).code == 0)

    @states("shell.run_many", _HOLDS_UP)
    def test_a_slow_node_holds_up_nobody(self, bed: Bed) -> None:
        """A node whose command goes on until the timeout doesn't keep the others from ending."""
        bed.need_commands()
        slow, quick = _two(bed)
        calls = [Call(node=slow, line=STAYS.text), Call(node=quick, line=NOTHING.text)]
        ends = [
            event
            for event in bed.shell.run_many(calls, timeout_s=1.0)
            if not isinstance(event, NodeOutput)
        ]

        assert [NodeExit(quick, 0)] == ends[:1]
        assert isinstance(ends[1], NodeLost)

    @states("shell.run_many", _HOLDS_UP)
    def test_a_dead_node_holds_up_nobody(self, bed: Bed) -> None:
        """A node that was cut off is reported NodeLost, and the others end as if nothing were."""
        lose_node = bed.control("lose_node", bed.rig.controls.lose_node)
        bid, allocation = bed.granted()
        dead, alive = allocation.nodes[0], _node(bed)
        lose_node(bid, 0)
        calls = [Call(node=dead, line=NOTHING.text), Call(node=alive, line=FAILS.text)]
        ends = {event.node.id: event for event in bed.shell.run_many(calls, timeout_s=60.0)}

        assert isinstance(ends[dead.id], NodeLost)
        assert NodeExit(alive, FAILS.code) == ends[alive.id]

    @states("shell.run_many", "Never raises for a node.")
    def test_a_node_that_never_was_is_an_event(self, bed: Bed) -> None:
        """A node that the provider has never had is NodeLost, not an exception."""
        there = _node(bed)
        nowhere = Node(id=bed.rig.no_such_id, rank=0, state=there.state)
        events = list(_events(bed, nowhere, NOTHING))

        assert [bed.rig.no_such_id] == [event.node.id for event in events]
        assert isinstance(events[0], NodeLost)


def _node(bed: Bed) -> Node:
    return bed.granted()[1].nodes[0]


def _two(bed: Bed) -> tuple[Node, Node]:
    """Return the nodes of two bids; a provider need not have two instances of one market free."""
    return _node(bed), _node(bed)


def _gone(bed: Bed) -> Node:
    """Return a node whose bid was withdrawn."""
    bid, allocation = bed.granted()
    bed.market.withdraw(bid.id)
    bed.until("no node held", lambda: not bed.allocation(bid).nodes)
    return allocation.nodes[0]


def _events(bed: Bed, node: Node, line: Line) -> Events:
    return bed.shell.run_many([Call(node=node, line=line.text)], timeout_s=60.0)


def _bytes(events: list[NodeEvent], stream: Stream) -> bytes:
    return b"".join(
        event.data for event in events if isinstance(event, NodeOutput) and event.stream is stream
    )
