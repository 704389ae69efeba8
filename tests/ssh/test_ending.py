"""How calls end before their time: a caller that leaves, a limit that passes, a caller that doesn't take what comes."""

from __future__ import annotations

from contextlib import closing
from itertools import islice

import pytest

from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput
from tests.ssh.conftest import Answer, a_node

PIDS = "echo $$; sleep 86400 & echo $!; wait"
#: A process that has ended may wait for its parent to look; it counts as gone.
ALIVE = (
    "for pid in {}; do grep -q 'State:.[^Z]' /proc/$pid/status 2>/dev/null && echo $pid; done; true"
)


def pids_of(events) -> list[str]:
    """The two process ids that PIDS prints."""
    words: list[str] = []
    for event in events:
        assert isinstance(event, NodeOutput), event
        words += event.data.decode().split()
        if len(words) == 2:
            return words
    raise AssertionError(words)


def living(shell, node, pids) -> list[str]:
    """Those of `pids` that still run."""
    return Answer(shell, node, ALIVE.format(" ".join(pids))).out.decode().split()


def test_closing_the_iterator_ends_the_commands(shell, node):
    """When the iterator has closed, the command and its own children have ended on the node."""
    with closing(shell.run_many([Call(node=node, line=PIDS)])) as events:
        pids = pids_of(events)
        before = living(shell, node, pids)

    assert pids == before
    assert [] == living(shell, node, pids)


@pytest.mark.slow
def test_a_command_that_ignores_term_is_killed(shell, node):
    """A command that doesn't end when told to is killed two seconds later."""
    line = f"trap '' TERM; {PIDS}"
    with closing(shell.run_many([Call(node=node, line=line)])) as events:
        pids = pids_of(events)

    assert [] == living(shell, node, pids)


def test_a_command_out_of_time_is_ended(shell, node):
    """A call that outlives its limit is lost, with the limit in its reason; the others are not touched."""
    quick = a_node(node.address.port, name="inst_quick", rank=1)
    calls = [Call(node=node, line=PIDS), Call(node=quick, line="true")]
    events = list(shell.run_many(calls, timeout_s=1.0))
    pids = pids_of([event for event in events if isinstance(event, NodeOutput)])

    assert NodeLost(node, "did not end within 1 s, and is being ended") == events[-1]
    assert NodeExit(quick, 0) in events
    shell.close()
    assert [] == living(shell, node, pids)


def test_an_exception_in_the_loop_ends_the_commands(shell, node):
    """Ctrl-C between two events ends the commands as closing does."""
    pids: list[str] = []

    def interrupted() -> None:
        with closing(shell.run_many([Call(node=node, line=PIDS)])) as events:
            pids.extend(pids_of(events))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert [] == living(shell, node, pids)


def test_a_slow_caller_stops_the_command(shell, node):
    """While its caller takes nothing, a command's own writes come to a stop; nothing is lost when it goes on."""
    total = 256 << 20
    line = f"echo $$; exec head -c {total} /dev/zero"
    with closing(shell.run_many([Call(node=node, line=line)])) as events:
        first = next(events)
        writer = first.data.split(b"\n")[0].decode()
        written = [-1]
        while len(set(written[-20:])) > 1 or len(written) < 20:
            written.append(int(Answer(shell, node, f"sed -n 's/wchar: //p' /proc/{writer}/io").out))
        rest = list(events)

    assert 0 < written[-1] < total / 4
    assert NodeExit(node, 0) == rest[-1]
    came = sum(len(e.data) for e in [first, *rest] if isinstance(e, NodeOutput))
    assert total + len(f"{writer}\n") == came


def test_a_slow_node_holds_nobody_up(shell, node):
    """Answers of quick nodes come while a slow one says nothing."""
    slow = a_node(node.address.port, name="inst_slow", rank=1)
    calls = [Call(node=slow, line="sleep 86400"), Call(node=node, line="echo quick")]
    with closing(shell.run_many(calls)) as events:
        first = list(islice(events, 2))

    assert [node, node] == [event.node for event in first]
    assert NodeExit(node, 0) == first[1]


def test_the_shell_opens_again_after_close(shell, node):
    """A call after `close` makes a new connection."""
    before = Answer(shell, node, "echo $SSH_CONNECTION").out
    shell.close()
    after = Answer(shell, node, "echo $SSH_CONNECTION").out

    assert after
    assert before != after


def test_a_restarted_server_is_connected_to_anew(make_shell, own_sshd):
    """A connection that died with its server is replaced at the next call."""
    own_sshd.start()
    shell = make_shell(keys=[own_sshd.user_key])
    node = a_node(own_sshd.port)
    before = Answer(shell, node, "echo $SSH_CONNECTION; kill -9 $PPID")
    after = Answer(shell, node, "echo $SSH_CONNECTION")

    assert "was lost before the command's end was heard" in before.lost
    assert 0 == after.code
    assert before.out != after.out
