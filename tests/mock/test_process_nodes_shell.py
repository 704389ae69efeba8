"""Shells on the mock's nodes: all at once, in the task's surroundings, and never longer than asked for."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_core.domain.run import Stream
from flow_core.errors import Conflict, NodeUnreachable
from flow_core.ports.shell import Call, NodeEvent, NodeExit, NodeLost, NodeOutput
from flow_providers.mock.shell import ProcessShell
from tests.mock.hosts import NOW, Host, node_of
from tests.node.kit import PATIENCE_S, Bell, is_alive

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with two nodes whose commands have begun; for tests that leave them as they are."""
    yield from started(tmp_path_factory.mktemp("lasting"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """Another such host, whose nodes may come to harm."""
    yield from started(tmp_path)


def started(folder: Path) -> Iterator[Host]:
    """Two nodes that are up while this is held."""
    host = Host(folder / "cloud")
    bell = Bell(folder / "ready")
    for rank in range(2):
        host.boot(f"n{rank}", f"{bell.ring}; sleep 60", rank=rank, env={"GREETING": "hi"})
    bell.wait(2)
    yield host
    bell.close()
    host.close()


@pytest.fixture
def shell(lasting: Host) -> ProcessShell:
    """The shell of the lasting nodes."""
    return ProcessShell(lasting.nodes)


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Bell]:
    """A bell that commands can ring."""
    bell = Bell(tmp_path / "bell")
    yield bell
    bell.close()


def on(rank: int, line: str, stdin: bytes = b"") -> Call:
    """A call on one of the two nodes."""
    return Call(node=node_of(f"n{rank}", rank), line=line, stdin=stdin)


def output(events: list[NodeEvent], rank: int = 0, stream: Stream = Stream.OUT) -> bytes:
    """What one node wrote to one stream."""
    return b"".join(
        event.data
        for event in events
        if isinstance(event, NodeOutput) and (event.node.rank, event.stream) == (rank, stream)
    )


def ends(events: list[NodeEvent]) -> dict[int, object]:
    """How each call ended: its code, or the reason it was lost."""
    found: dict[int, object] = {}
    for event in events:
        if not isinstance(event, NodeOutput):
            assert event.node.rank not in found
            found[event.node.rank] = event.code if isinstance(event, NodeExit) else event.reason
    return found


def test_calls_run_at_once_and_end_with_their_codes(shell, tmp_path):
    """Two calls that wait for each other both end, each with its own output and code."""
    there, back = tmp_path / "there", tmp_path / "back"
    os.mkfifo(there)
    os.mkfifo(back)
    events = list(
        shell.run_many(
            [
                on(0, f"echo a >{there}; read x <{back}; echo got $x; echo bad >&2; exit 3"),
                on(1, f"read x <{there}; echo b >{back}; echo got $x"),
            ],
            timeout_s=PATIENCE_S,
        )
    )

    assert {0: 3, 1: 0} == ends(events)
    assert (b"got b\n", b"bad\n", b"got a\n") == (
        output(events),
        output(events, stream=Stream.ERR),
        output(events, 1),
    )


def test_a_call_sees_what_the_command_sees(lasting, shell, monkeypatch):
    """It starts in the workspace with the task's variables, and without the caller's."""
    monkeypatch.setenv("MITHRIL_API_KEY", "not-for-nodes")
    events = list(
        shell.run_many([on(0, "pwd; echo $GREETING $FLOW_TASK $FLOW_NODE_RANK $RANK; env")])
    )
    lines = output(events).decode().splitlines()

    assert [str(lasting.disk("n0")), "hi train 0 0"] == lines[:2]
    assert not any("not-for-nodes" in line for line in lines)


def test_a_call_reads_its_whole_input(shell):
    """Input larger than any pipe arrives, and ends; so does the output."""
    big = bytes(range(256)) * 4_000
    events = list(shell.run_many([on(0, "cat", big), on(1, "wc -c")]))

    assert {0: 0, 1: 0} == ends(events)
    assert (big, b"0") == (output(events), output(events, 1).strip())


def test_a_call_that_wants_no_input_ends_all_the_same(shell):
    """Input that nobody reads holds up nothing."""
    assert {0: 4} == ends(list(shell.run_many([on(0, "exit 4", bytes(1 << 20))])))


def test_a_killed_call_ends_with_128_plus_the_signal(shell):
    """The code follows the shell's."""
    assert {0: 137} == ends(list(shell.run_many([on(0, "kill -9 $$")])))


def test_output_comes_as_it_is_written(shell, bell):
    """The first line is there while the command still runs."""
    events = shell.run_many([on(0, f"echo first; read x <{bell.path}.go; echo last")])
    os.mkfifo(f"{bell.path}.go")
    first = next(events)
    subprocess.run(["sh", "-c", f"echo >{bell.path}.go"], timeout=PATIENCE_S, check=True)

    assert isinstance(first, NodeOutput)
    assert b"first\n" == first.data
    assert b"last\n" == output(list(events))


def test_closing_ends_what_runs(shell, bell, tmp_path):
    """Once the iterator is closed, neither the command nor its children run."""
    events = shell.run_many(
        [on(0, f"sleep 60 & echo $! $$ >{tmp_path}/pids; echo up; {bell.ring}; wait")]
    )
    next(events)
    bell.wait()
    events.close()

    assert [] == [pid for pid in (tmp_path / "pids").read_text().split() if is_alive(int(pid))]


def test_a_call_that_takes_too_long_is_lost(shell, tmp_path):
    """A timeout ends the slow call and no other, and says so."""
    events = list(
        shell.run_many(
            [on(0, f"echo $$ >{tmp_path}/pid; exec sleep 60"), on(1, "echo quick")], timeout_s=0.3
        )
    )

    assert {0: "no end within 0.3 s", 1: 0} == ends(events)
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_background_process_does_not_hold_up_a_call(shell, tmp_path):
    """A call ends with its shell, though something it left has its output open; that ends with the node."""
    line = f"sleep 60 & echo $! >{tmp_path}/pid; echo done"
    events = list(shell.run_many([on(0, line)], timeout_s=PATIENCE_S))

    assert ({0: 0}, b"done\n") == (ends(events), output(events))


def test_what_a_shell_left_ends_with_the_node(host, tmp_path):
    """A background process of a shell is gone once its node is."""
    list(
        ProcessShell(host.nodes).run_many(
            [on(0, f"setsid sleep 60 >/dev/null 2>&1 & echo $! >{tmp_path}/pid")]
        )
    )
    pid = int((tmp_path / "pid").read_text())
    host.nodes.destroy("n0", at=NOW)
    host.down("n0")

    assert not is_alive(pid)


def test_a_node_that_is_gone_is_an_event(host):
    """Lost, stopped and unknown nodes are told with a reason; the others answer."""
    host.nodes.lose("n1", at=NOW)
    events = list(
        ProcessShell(host.nodes).run_many(
            [on(0, "echo here"), on(1, "echo here"), on(2, "echo here")]
        )
    )

    assert {
        0: 0,
        1: "node 1 gave no answer: it was lost",
        2: "node 2 gave no answer: it is stopped",
    } == ends(events)


def test_no_calls_is_no_events(shell):
    """Nothing asked, nothing told."""
    assert [] == list(shell.run_many([]))


def test_attach_passes_on_the_code(shell):
    """A line run on the caller's terminal gives its exit code."""
    assert 5 == shell.attach(node_of("n0"), "exit 5")


def test_attach_to_a_lost_node_is_an_error(host):
    """There is no terminal to give where no node answers."""
    host.nodes.lose("n0", at=NOW)

    with pytest.raises(NodeUnreachable, match="it was lost"):
        ProcessShell(host.nodes).attach(node_of("n0"))
    with pytest.raises(NodeUnreachable, match="it was lost"):
        ProcessShell(host.nodes).forward(node_of("n0"), 80)


def test_attach_gives_the_callers_terminal(lasting):
    """A login shell on a terminal answers there, with the task's variables and the caller's TERM."""
    program = (
        "import sys; from pathlib import Path; from tests.mock.hosts import Host, node_of\n"
        "from flow_providers.mock.shell import ProcessShell\n"
        "sys.exit(ProcessShell(Host(Path(sys.argv[1])).nodes).attach(node_of('n0')))\n"
    )
    ours, theirs = pty.openpty()
    started = subprocess.Popen(
        [sys.executable, "-c", program, lasting.root],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=ROOT,
        env={**os.environ, "TERM": "dumb"},
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, b"tty >/dev/null && echo on-$TERM-$GREETING; exit 6\n")
    code = started.wait(PATIENCE_S)
    said = os.read(ours, 1 << 16)
    os.close(ours)

    assert 6 == code
    assert b"on-dumb-hi" in said


def echo_server() -> socket.socket:
    """A listener that sends each connection's bytes back when they have ended."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            with near:
                near.sendall(drained(near))

    threading.Thread(target=serve, daemon=True).start()
    return listener


def echoed(port: int, data: bytes) -> bytes:
    """What comes back from a port."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as far:
        far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        return drained(far)


def drained(source: socket.socket) -> bytes:
    """All that comes, to the end."""
    return b"".join(iter(lambda: source.recv(65_536), b""))


def test_a_port_is_reached_through_another(shell):
    """Bytes go both ways through a free port, a half-closed connection included; afterwards the port is closed."""
    big = bytes(range(256)) * 4_000
    server = echo_server()
    with server, shell.forward(node_of("n0"), server.getsockname()[1]) as port:
        assert port != server.getsockname()[1]
        assert [big, b"x"] == [echoed(port, big), echoed(port, b"x")]
        server.shutdown(socket.SHUT_RDWR)

    with pytest.raises(ConnectionRefusedError):
        echoed(port, b"x")


def test_the_same_port_needs_no_forwarding(shell):
    """A node's ports are this machine's, so the same number is there already."""
    with shell.forward(node_of("n0"), 4_321, local_port=4_321) as port:
        assert 4_321 == port


def test_a_taken_port_is_a_conflict(shell):
    """A local port in use is named, and nothing is opened."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]

        with (
            pytest.raises(Conflict, match=str(number)),
            shell.forward(node_of("n0"), 80, local_port=number),
        ):
            pass


def test_lost_is_told_for_a_call_that_its_node_took_along(host, bell):
    """A call that a power cut ended is lost, not killed by a signal of its own."""
    events = ProcessShell(host.nodes).run_many(
        [on(0, f"trap '' TERM; echo up; {bell.ring}; sleep 60")]
    )
    next(events)
    bell.wait()
    host.nodes.lose("n0", at=NOW)
    last = list(events)[-1]

    assert isinstance(last, NodeLost)
    assert "it was lost" == last.reason
