"""Interactive sessions, through OpenSSH's client and without it; and forwarded ports."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import socketserver
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from flow_core.errors import Conflict, NodeUnreachable
from tests.ssh.conftest import Answer, a_node

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 30
CHILD = """
import fcntl, os, sys, termios
from pathlib import Path
if os.isatty(0):
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from flow_adapters.ssh import SshShell
from tests.ssh.conftest import a_node
folder, key, port, ssh, line = sys.argv[1:]
shell = SshShell(state_dir=Path(folder) / "state", keys=[Path(key)], workspace=folder + "/workspace",
                 home=Path(folder), sudo=(), ssh=ssh or None)
code = shell.attach(a_node(int(port)), line or None)
print("code", code, flush=True)
"""


def child(sshd, folder: Path, line: str, *, ssh: str, **streams: object) -> subprocess.Popen[bytes]:
    """A program that attaches its own streams to a node."""
    words = [str(folder), str(sshd.user_key), str(sshd.port), ssh, line]
    environ = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *words], env=environ, start_new_session=True, **streams
    )


class Terminal:
    """The master's side of a terminal with a program in it."""

    def __init__(self, start: Callable[..., subprocess.Popen[bytes]]) -> None:
        self.seen = b""
        self.master, slave = os.openpty()
        self.resize(30, 100)
        self.process = start(stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)

    def resize(self, rows: int, columns: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def say(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.master, keys)

    def until(self, words: bytes) -> None:
        """Read until `words` have come since the last time."""
        while words not in self.seen:
            assert select.select([self.master], [], [], PATIENCE_S)[0], self.seen
            try:
                self.seen += os.read(self.master, 65536)
            except OSError as gone:
                raise AssertionError(self.seen) from gone
        self.seen = self.seen.partition(words)[2]

    def answer(self, word: bytes) -> bytes:
        """Type a word, and return what the line that answers it says."""
        self.say(word + b"\r")
        self.until(b"<" + word + b"> ")
        while b"\r" not in self.seen:
            self.seen += os.read(self.master, 65536)
        return self.seen.partition(b"\r")[0]

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is not None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        os.close(self.master)


@pytest.mark.slow
@pytest.mark.parametrize("ssh", ["ssh", ""])
def test_a_terminal_is_given_to_a_command(sshd, tmp_path, ssh):
    """Kind, size and resizing of the terminal reach the node, keys too, and Ctrl-C ends the command with 130."""
    line = (
        "echo $TERM $(pwd); stty size; "
        'while read x; do echo "<$x> $(stty size)"; test $x = on || exec sleep 86400; done'
    )
    with Terminal(partial(child, sshd, tmp_path, line, ssh=ssh)) as terminal:
        terminal.until(f"xterm-256color {tmp_path}/workspace".encode())
        terminal.until(b"30 100")
        terminal.resize(40, 120)
        # Each answer takes a round trip, and the size is on its way.
        assert any(terminal.answer(b"on") == b"40 120" for _ in range(50_000))
        assert b"40 120" == terminal.answer(b"off")
        terminal.say(b"\x03")
        terminal.until(b"code 130")


@pytest.mark.slow
@pytest.mark.parametrize("ssh", ["ssh", ""])
def test_a_login_shell(sshd, tmp_path, ssh):
    """Without a line there is a login shell in the workspace; its exit code is returned."""
    with Terminal(partial(child, sshd, tmp_path, "", ssh=ssh)) as terminal:
        terminal.say(b"echo at-$(pwd)-$?; exit 9\r")
        terminal.until(f"at-{tmp_path}/workspace-0".encode())
        terminal.until(b"code 9")


@pytest.mark.slow
@pytest.mark.parametrize("ssh", ["ssh", ""])
def test_without_a_terminal(sshd, tmp_path, ssh):
    """Piped streams are piped through: input to its end, output as bytes, no terminal on the node."""
    process = child(
        sshd, tmp_path, "cat; test -t 0; echo $?; exit 255", ssh=ssh,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    out, _ = process.communicate(b"\x00\xff\n", PATIENCE_S)

    assert b"\x00\xff\n1\ncode 255\n" == out


@pytest.mark.parametrize("ssh", ["ssh", None])
def test_attaching_to_a_node_that_is_gone(make_shell, ssh):
    """A node that gives no answer is unreachable, for the reason that calls have too."""
    with pytest.raises(NodeUnreachable, match=r"connection refused by 127\.0\.0\.1:1$"):
        make_shell(ssh=ssh).attach(a_node(1, rank=3), "true")


def test_attaching_after_the_key_changed(make_shell, own_sshd):
    """OpenSSH's client is told the pinned key, so a changed one is refused there too, in our words."""
    own_sshd.start()
    shell = make_shell(keys=[own_sshd.user_key])
    node = a_node(own_sshd.port)
    Answer(shell, node, "true")
    shell.close()
    own_sshd.change_host_key()

    with pytest.raises(NodeUnreachable, match="host key changed"):
        shell.attach(node, "true")


class Shout(socketserver.BaseRequestHandler):
    """Answers everything in capitals, then ends."""

    def handle(self) -> None:
        """Read to the end, and answer."""
        data = b""
        while piece := self.request.recv(65536):
            data += piece
        self.request.sendall(data.upper())


@pytest.fixture
def shouting():
    """The port of a server that shouts."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Shout) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def asked(port: int, data: bytes) -> bytes:
    """What a server answers to `data`."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    return answer


def test_a_forwarded_port(shell, node, shouting):
    """Connections to the local port reach the node's, after the connection to the node broke too."""
    with shell.forward(node, shouting) as port:
        first = asked(port, b"a" * (1 << 20))
        broken = Answer(shell, node, "kill -9 $PPID")
        second = asked(port, b"b")

    assert b"A" * (1 << 20) == first
    assert broken.lost
    assert b"B" == second
    with pytest.raises(ConnectionRefusedError):
        asked(port, b"c")


def test_a_forwarded_port_where_nobody_listens(shell, node):
    """A connection to a port of the node's that nobody listens on ends at once."""
    with shell.forward(node, 1) as port:
        assert b"" == asked(port, b"x")


def test_a_local_port_that_is_taken(shell, node, shouting):
    """A local port that is in use is a conflict, by number."""
    with pytest.raises(Conflict, match=str(shouting)), shell.forward(node, 80, local_port=shouting):
        pass


def test_forwarding_to_a_node_that_is_gone(shell):
    """A node that gives no answer can't be forwarded to."""
    with pytest.raises(NodeUnreachable, match="connection refused"), shell.forward(a_node(1), 80):
        pass
