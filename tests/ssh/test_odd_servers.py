"""Servers that misbehave, by asyncssh's own server or bare sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import asyncssh
import pytest

from flow_adapters.ssh.room import Room
from flow_core.domain.run import Stream
from flow_core.ports.shell import Call, NodeExit, NodeLost, NodeOutput
from tests.ssh.conftest import Answer, a_node


async def misbehave(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Do what the last word of the command says."""
    wish = (process.command or "").rstrip("'").split()[-1]
    if wish == "drop":
        process.stdout.write(b"x" * 1000)
        await process.stdin.read()  # its end says that the other side listens by now
        connection = process.channel.get_extra_info("connection")
        connection.disconnect(asyncssh.DISC_BY_APPLICATION, "tired")
    elif wish == "hush":
        process.stdout.write(b"bye")
        process.close()
    elif wish == "deaf":
        process.exit(5)
    elif wish == "late":
        process.exit_with_signal("KILL")
    elif wish == "scold":
        process.stderr.write(b"no leader here")
        process.exit(0)
    elif wish == "count":
        total = 0
        while data := await process.stdin.read(1000):
            total += len(data)
        process.stdout.write(b"%d" % total)
        process.exit(0)


@pytest.fixture
def odd(sshd) -> Iterator[int]:
    """The port of a server that misbehaves."""
    made: list[asyncssh.SSHServerConnection] = []

    class Remembering(asyncssh.SSHServer):
        def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
            made.append(conn)

    async def shut() -> None:
        server.close()
        for connection in made:
            connection.abort()
            await connection.wait_closed()

    async def listen() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[str(sshd.host_key)],
            authorized_client_keys=str(sshd.authorized_keys),
            server_factory=Remembering,
            process_factory=misbehave,
            encoding=None,
        )

    room = Room()
    server = room.run(listen())
    yield server.get_port()
    room.run(shut())
    room.close()


@contextmanager
def bare(behave: Callable[[socket.socket], object]) -> Iterator[int]:
    """The port of a server that does `behave` with each connection; they stay open to the end."""
    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection = listener.accept()[0]
                except OSError:
                    return
                kept.append(connection)
                behave(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in kept:
        connection.close()


def test_a_connection_that_drops_midway(shell, odd):
    """What came before a connection broke is kept, and the call is lost, not ended."""
    answer = Answer(shell, a_node(odd), "drop")

    assert b"x" * 1000 == answer.out
    assert f"the connection to 127.0.0.1:{odd} was lost before" in answer.lost


def test_a_command_whose_end_is_not_told(shell, odd):
    """A channel that closes without an exit code is a call whose end was not heard."""
    answer = Answer(shell, a_node(odd), "hush")

    assert b"bye" == answer.out
    assert "before the command's end was heard" in answer.lost


def test_a_signal_told_by_name(shell, odd):
    """A server that names the signal is understood: 137 for KILL."""
    assert 137 == Answer(shell, a_node(odd), "late").code


def test_a_server_that_reads_nothing(shell, odd):
    """A command that ends without reading 16 MB of input gives its code all the same."""
    assert 5 == Answer(shell, a_node(odd), "deaf", stdin=bytes(16 << 20)).code


def test_a_server_that_reads_slowly(shell, odd):
    """Input waits for a reader that takes it a thousand bytes at a time, and none is lost."""
    assert b"5000000" == Answer(shell, a_node(odd), "count", stdin=bytes(5_000_000)).out


def test_errors_of_a_command_that_never_began(shell, odd):
    """Standard error is whole where the command's own shell never spoke."""
    assert b"no leader here" == Answer(shell, a_node(odd), "scold").err


@pytest.mark.parametrize(
    "behave, reason",
    [
        (lambda _: None, "no answer from 127.0.0.1:{} within 0.5 s"),
        (lambda sock: sock.shutdown(socket.SHUT_RDWR), "the connection to 127.0.0.1:{} was lost"),
        (lambda sock: sock.sendall(b"HTTP/1.1 400 Bad\r\n" * 2_000), "127.0.0.1:{} ended the"),
    ],
    ids=["says nothing", "hangs up", "is no ssh server"],
)
def test_what_is_no_ssh_server(make_shell, node, behave, reason):
    """Whatever answers at a node's address, its call is lost with a reason while the others run."""
    with bare(behave) as port:
        strange = a_node(port, name="strange", rank=1)
        shell = make_shell(connect_timeout_s=0.5)
        list(shell.run_many([Call(node=node, line="true")]))
        calls = [Call(node=each, line="echo hi") for each in (strange, node)]
        events = list(shell.run_many(calls))

    assert NodeOutput(node, Stream.OUT, b"hi\n") in events
    assert NodeExit(node, 0) in events
    (lost,) = [event for event in events if isinstance(event, NodeLost)]
    assert lost.reason.startswith(reason.format(port))


@pytest.mark.slow
def test_an_old_connection_that_answers_no_more(make_shell, sshd):
    """A kept connection whose other end is frozen is replaced within seconds, and the call runs once."""
    shell, other = make_shell(), make_shell()
    node = a_node(sshd.port)
    frozen = Answer(shell, node, "echo $PPID").out.decode().strip()
    Answer(other, node, f"kill -STOP {frozen}")
    answer = Answer(shell, node, "echo once >> tally; cat tally")
    Answer(other, node, f"kill -KILL {frozen}")

    assert (b"once\n", 0) == (answer.out, answer.code)
