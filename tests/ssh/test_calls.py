"""Commands on nodes: what goes in, what comes back, and in which order."""

from __future__ import annotations

import hashlib
import random
from contextlib import closing

import pytest

from flow_core.domain.allocation import Address, Node, NodeState
from flow_core.domain.run import Stream
from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput
from tests.ssh.conftest import Answer, a_node
from tests.ssh.sshd import free_port

MEGA = 1 << 20


def test_a_line_is_read_by_sh(shell, node):
    """Quotes, variables, comments, here-documents and the exit code of a line are sh's."""
    line = "x='a  b'; printf '%s|' \"$x\" # not this\ncat <<'END'\n$x 'q' \\ !\nEND\nexit 7"
    answer = Answer(shell, node, line)

    assert (b"a  b|$x 'q' \\ !\n", b"", 7) == (answer.out, answer.err, answer.code)


def test_a_call_starts_in_the_workspace(shell, node, tmp_path):
    """The workspace is made at the first call, and is where every call starts."""
    answers = [Answer(shell, node, "pwd") for _ in range(2)]

    assert [f"{tmp_path}/workspace\n".encode()] * 2 == [each.out for each in answers]


def test_a_workspace_with_an_odd_name(make_shell, node, tmp_path):
    """A workspace may hold spaces, quotes and dollars."""
    place = tmp_path / 'it\'s a $HOME "x"'
    answer = Answer(make_shell(workspace=str(place)), node, "pwd")

    assert (f"{place}\n".encode(), 0) == (answer.out, answer.code)


def test_a_workspace_that_cannot_be_made(make_shell, node, tmp_path):
    """Without its workspace a call doesn't run; its exit code is 126 and the node's own words say why."""
    (tmp_path / "file").write_text("")
    answer = Answer(make_shell(workspace=str(tmp_path / "file" / "x")), node, "echo ran")

    assert (126, b"") == (answer.code, answer.out)
    assert b"file" in answer.err


def test_nothing_of_our_environment_goes_along(make_shell, node, monkeypatch):
    """Our variables are not sent, and FLOW_HOME is what the shell was told, or unset."""
    monkeypatch.setenv("LC_FLOW_TEST", "ours")
    monkeypatch.setenv("FLOW_HOME", "/ours")

    assert b"-" == Answer(make_shell(), node, 'printf "$LC_FLOW_TEST${FLOW_HOME:--}"').out
    assert b"/x" == Answer(make_shell(flow_home="/x"), node, 'printf "$FLOW_HOME"').out


def test_streams_are_told_apart(shell, node):
    """What goes to standard error comes as ERR, bytes that are no text included."""
    answer = Answer(shell, node, "printf 'a\\377'; printf 'b\\376' >&2")

    assert (b"a\xff", b"b\xfe", 0) == (answer.out, answer.err, answer.code)


def test_no_input_is_an_empty_one(shell, node):
    """A command that reads to the end of its input ends at once when it was given none."""
    assert 0 == Answer(shell, node, "cat").code


def test_a_signal_is_128_and_its_number(shell, node):
    """A killed command gives 137 for KILL (9) and 143 for TERM (15)."""
    assert 137 == Answer(shell, node, "kill -KILL $$").code
    assert 143 == Answer(shell, node, "kill -TERM $$").code


@pytest.mark.slow
def test_200_megabytes_each_way_arrive_whole(shell, node):
    """200 MB in and the same 200 MB out have one digest, and the exit code is the command's."""
    given = random.Random(4).randbytes(200 * MEGA)
    sent = hashlib.sha256(given).hexdigest()
    digest = hashlib.sha256()
    last = None
    line = "tee /dev/fd/3 3>&1 >/dev/null; exit 42"
    with closing(shell.run_many([Call(node=node, line=line, stdin=given)])) as events:
        for last in events:
            if isinstance(last, NodeOutput):
                digest.update(last.data)

    assert NodeExit(node, 42) == last
    assert sent == digest.hexdigest()


def test_the_tail_is_not_lost(shell, node):
    """The last bytes of a command that writes much and exits at once are there, every time."""
    for _ in range(5):
        answer = Answer(shell, node, "head -c 3000000 /dev/zero; echo the end; exit 3")

        assert (3_000_008, b"the end\n", 3) == (len(answer.out), answer.out[-8:], answer.code)


def test_a_command_that_does_not_read_its_input(shell, node):
    """A command may end without reading what it was given."""
    answer = Answer(shell, node, "echo done", stdin=bytes(8 * MEGA))

    assert (b"done\n", 0) == (answer.out, answer.code)


def test_calls_run_at_once(shell, node, tmp_path):
    """Calls of one run_many wait for each other without end: ten meet at one pipe for each pair."""
    pairs = 5
    made = Answer(shell, node, " ".join(f"mkfifo p{each};" for each in range(pairs)))
    calls = [Call(node=node, line=f"echo met > p{each}") for each in range(pairs)]
    calls += [Call(node=node, line=f"cat p{each}") for each in range(pairs)]
    events = list(shell.run_many(calls, timeout_s=60))

    assert 0 == made.code
    assert [0] * 10 == [event.code for event in events if isinstance(event, NodeExit)]
    said = b"".join(event.data for event in events if isinstance(event, NodeOutput))
    assert b"met\n" * pairs == said


def test_more_calls_to_one_node_than_a_connection_takes(shell, node):
    """Thirty calls to one node at once all run, though its sshd allows ten to a connection."""
    events = list(shell.run_many([Call(node=node, line="echo $$")] * 30, timeout_s=60))

    assert 30 == sum(isinstance(event, NodeExit) and event.code == 0 for event in events)


def test_a_connection_is_used_again(shell, node, sshd):
    """The second of two calls to a node finds the first one's connection."""
    first, second = (Answer(shell, node, "echo $SSH_CONNECTION") for _ in range(2))

    assert first.out
    assert first.out == second.out


def test_a_dead_node_holds_nobody_up(shell, node):
    """A node where nobody listens is lost, with a reason, and the others give their answers."""
    dead = a_node(free_port(), name="inst_dead", rank=1)
    nowhere = Node(id="inst_new", rank=2, state=NodeState.STARTING)
    calls = [Call(node=each, line="echo hi") for each in (dead, node, nowhere)]
    events = list(shell.run_many(calls, timeout_s=60))

    assert (
        NodeLost(dead, f"connection refused by {dead.address.host}:{dead.address.port}") in events
    )
    assert NodeLost(nowhere, "it has no address yet") in events
    assert NodeOutput(node, Stream.OUT, b"hi\n") in events
    assert NodeExit(node, 0) in events


def test_a_host_that_nobody_knows(shell):
    """A name that can't be looked up is a reason."""
    address = Address("no-such-host.invalid", 22, "ubuntu")
    nobody = Node(id="i", rank=0, state=NodeState.RUNNING, address=address)

    assert "no-such-host.invalid:22 is no host" in Answer(shell, nobody, "true").lost


def test_no_calls_are_no_events(shell):
    """Running nothing yields nothing."""
    assert [] == list(shell.run_many([]))
