"""OpenSSH's own client on a booting node: commands, terminals, files, ports, and who may in."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pty
import select
import socket
import struct
import subprocess
import termios
import threading

import pytest

from flow_adapters.ssh import SshShell
from flow_core.domain.allocation import Node, NodeState
from flow_core.domain.run import Stream
from flow_core.ports.shell import Call, NodeExit, NodeOutput
from tests.node.kit import PATIENCE_S
from tests.sim_nodes.kit import AT, ID, Cloud, free_port, openssh

BIG = 200 << 20


@pytest.fixture
def node(cloud) -> Cloud:
    """A cloud with one node up."""
    cloud.boot()
    return cloud


def test_a_command_s_output_and_code_come_back(node):
    """Both streams arrive apart, with the exit code."""
    said = node.ssh("echo out; echo err >&2; exit 7")

    assert ("out\n", "err\n", 7) == (said.stdout, said.stderr, said.returncode)


def test_a_command_reads_its_input_to_the_end(node):
    """Input arrives whole, and its end is seen."""
    assert "5\n" == node.ssh("wc -c", input="12345").stdout


def test_a_command_starts_at_home_as_ubuntu(node):
    """The user, the home folder, the name of the machine and the connection are as on a real one."""
    said = node.ssh("whoami; pwd; echo $HOME; hostname; echo ${SSH_CONNECTION##* }").stdout

    port = node.nodes.address(ID).port
    user = "ubuntu" if os.geteuid() == 0 else "root"
    assert [user, "/home/ubuntu", "/home/ubuntu", "train-0", str(port)] == said.split()


def test_sudo_asks_for_no_password(node):
    """`sudo` makes root of the user, keeps the command's code, and makes ubuntu of root."""
    said = node.ssh(
        "sudo -n id -u; sudo -u ubuntu sh -c 'echo $HOME'; A=1 sudo B=2 sh -c 'echo $A$B'; sudo sh -c 'exit 9'"
    )

    assert ("0\n/home/ubuntu\n2\n", 9) == (said.stdout, said.returncode)


def test_a_login_shell_takes_its_commands_from_stdin(node):
    """Without a command, a login shell reads commands until they end."""
    said = node.ssh(None, input="shopt -q login_shell && echo login\nexit 3\n")

    assert ("login\n", 3) == (said.stdout, said.returncode)


def test_only_the_bid_s_keys_open_a_node(node):
    """Another key is refused, as is a user that isn't ubuntu."""
    other = node.folder / "other"
    line = [openssh("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(other)]
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
    words = node.ssh_words()
    words[words.index(str(node.key))] = str(other)
    for refused in (words, node.ssh_words(user="root")):
        done = subprocess.run([*refused, "true"], capture_output=True, text=True, check=False)

        assert 255 == done.returncode
        assert "Permission denied (publickey)" in done.stderr


def test_a_key_may_be_added_on_the_node(node):
    """What ubuntu writes into authorized_keys opens the node too."""
    other = node.folder / "other"
    line = [openssh("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(other)]
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
    node.ssh("cat >>.ssh/authorized_keys", input=(node.folder / "other.pub").read_text())
    words = node.ssh_words()
    words[words.index(str(node.key))] = str(other)

    assert 0 == subprocess.run([*words, "true"], check=False).returncode


def test_root_is_let_in_by_keys_of_its_own(node):
    """A line of root's own file opens the node to root, options before the key or not; ubuntu's lines don't."""
    line = f'restrict,pty,from="10.0.0.1,\\"x y\\"" {node.public_key}\n'
    node.ssh("sudo sh -c 'mkdir -p ~/.ssh && cat >~/.ssh/authorized_keys'", input=line)
    words = [*node.ssh_words(user="root"), "id -u; [ $PWD = ~root ] && pwd | cut -c 2-"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert "0\nroot\n" == done.stdout, done.stderr


def test_a_terminal_has_its_size_and_takes_ctrl_c(node):
    """With -tt there is a terminal of the client's size that follows it, and ^C interrupts what runs there."""
    ours, theirs = pty.openpty()
    _resize(theirs, 33, 101)
    line = (
        'stty size; trap "stty size" WINCH; trap "echo caught; exit 5" INT; echo ready;'
        " while :; do sleep 0.05; done"
    )
    client = subprocess.Popen(
        ["setsid", "--ctty", *node.ssh_words(ID, "-tt"), line],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = _until(ours, b"ready")
    _resize(ours, 44, 111)
    # The client sends sizes and keys by two ways, so the key waits until the size has arrived.
    said += _until(ours, b"44 111")
    os.write(ours, b"\x03")
    said += _until(ours, b"caught")

    assert 5 == client.wait(PATIENCE_S)
    assert b"33 101" in said
    assert b"caught" in said
    os.close(ours)


def test_a_killed_command_ends_by_its_signal(node):
    """A command that a signal ended gives OpenSSH's client 255 and asyncssh's the signal's name."""
    assert 255 == node.ssh("kill -KILL $$").returncode


def test_a_connection_s_end_hangs_up_its_terminal(node):
    """When the client goes, what ran on its terminal is hung up."""
    line = "trap 'echo gone >hung; exit' HUP; mkfifo bell; echo up; read x <bell"
    client = subprocess.Popen(
        [*node.ssh_words(ID, "-tt"), line], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert client.stdout is not None
    assert b"up" in client.stdout.readline()
    client.kill()
    client.wait()
    client.stdout.close()
    waited = "until [ -s hung ]; do sleep 0.02; done; cat hung"

    assert "gone\n" == node.ssh(waited).stdout


def test_files_go_both_ways_by_sftp(node, tmp_path):
    """scp copies a folder there and back, with its modes and links."""
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "tool").write_text("#!/bin/sh\n")
    (source / "deep" / "tool").chmod(0o755)
    (source / "bytes").write_bytes(bytes(range(256)) * 1000)
    address = node.nodes.address(ID)
    common = [openssh("scp"), *node.settings(), "-s", "-P", str(address.port), "-rpq"]
    subprocess.run([*common, str(source), f"ubuntu@{address.host}:there"], check=True)
    node.ssh("ln -s bytes there/link; ls /etc >there/etc")
    subprocess.run([*common, f"ubuntu@{address.host}:there", str(tmp_path / "back")], check=True)
    back = tmp_path / "back"

    assert (
        (source / "bytes").read_bytes()
        == (back / "bytes").read_bytes()
        == (back / "link").read_bytes()
    )
    assert os.access(back / "deep" / "tool", os.X_OK)
    assert "hostname" in (back / "etc").read_text().split()


def test_sftp_renames_lists_and_removes(node):
    """OpenSSH's sftp finds its usual verbs, and an error for what isn't there."""
    address = node.nodes.address(ID)
    verbs = "mkdir a,cd a,put /etc/hostname x,rename x y,ln -s y z,ls -l,chmod 600 y,rm y,rm z"
    batch = "\n".join([*verbs.split(","), "cd ..", "rmdir a", "-rm nothing", ""])
    words = [
        openssh("sftp"),
        *node.settings(),
        "-P",
        str(address.port),
        "-b",
        "-",
        f"ubuntu@{address.host}",
    ]
    done = subprocess.run(words, input=batch, capture_output=True, text=True, check=False)

    assert 0 == done.returncode, done.stderr
    assert " y\n" in done.stdout
    assert "No such file" in done.stderr


def test_a_port_is_forwarded(node):
    """`ssh -L` reaches a port that something on the node listens on."""
    there, here = free_port(), free_port()
    program = (
        f"import socket; s = socket.create_server(('127.0.0.1', {there})); print('up', flush=True);"
        "c, _ = s.accept(); c.sendall(c.recv(9) * 2)"
    )
    client = subprocess.Popen(
        [*node.ssh_words(ID, "-L", f"{here}:127.0.0.1:{there}"), f'python3 -c "{program}"'],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    assert b"up\n" == client.stdout.readline()
    with socket.create_connection(("127.0.0.1", here), PATIENCE_S) as link:
        link.sendall(b"ping")

        assert b"pingping" == link.recv(99)
    assert 0 == client.wait(PATIENCE_S)
    client.stdout.close()


def test_flow_s_own_shell_runs_there(node, tmp_path):
    """The adapter's shell runs a command as root in the workspace, with its output and code."""
    shell = SshShell(state_dir=tmp_path / "state", keys=[node.key], workspace="/workspace")
    one = Node(id=ID, rank=0, state=NodeState.RUNNING, address=node.nodes.address(ID))
    with contextlib.closing(shell):
        events = list(
            shell.run_many([Call(node=one, line="pwd; id -u; exit 6")], timeout_s=PATIENCE_S)
        )
    out = b"".join(
        each.data for each in events if isinstance(each, NodeOutput) and each.stream is Stream.OUT
    )

    assert b"/workspace\n0\n" == out
    assert events[-1] == NodeExit(one, 6)


def test_a_stopped_node_refuses_connections(node):
    """A stop ends the connections there are; later ones are refused."""
    client = subprocess.Popen([*node.ssh_words(), "sleep 1000"], stdin=subprocess.DEVNULL)
    node.ssh("until pgrep -x sleep >/dev/null; do :; done")
    node.nodes.stop(ID, at=AT)

    assert 255 == client.wait(PATIENCE_S)
    assert "Connection refused" in node.ssh("true").stderr


@pytest.mark.slow
@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes128-gcm@openssh.com"])
def test_200_mb_arrive_whole_in_each_direction(node, cipher):
    """200 MB through OpenSSH's client arrive with the same hash, and the command's exit code with them."""
    options = (ID, "-c", cipher)
    make = f"head -c {BIG} /dev/urandom >big; sha256sum <big"
    wanted = node.ssh(make, timeout_s=120).stdout.split()[0]
    taken = hashlib.sha256()
    client = subprocess.Popen(
        [*node.ssh_words(*options), "cat big; exit 21"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert client.stdout is not None
    size = 0
    while data := client.stdout.read(1 << 20):
        taken.update(data)
        size += len(data)
    client.stdout.close()

    assert (21, BIG, wanted) == (client.wait(PATIENCE_S), size, taken.hexdigest())
    block = os.urandom(1 << 20)
    given = hashlib.sha256(block * 200).hexdigest()
    client = subprocess.Popen(
        [*node.ssh_words(*options), "sha256sum; exit 22"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    answer = threading.Thread(target=_feed, args=(client, block))
    answer.start()
    assert client.stdout is not None
    said = client.stdout.read().decode()
    answer.join()
    client.stdout.close()

    assert (22, given) == (client.wait(PATIENCE_S), said.split()[0])


def _feed(client: subprocess.Popen[bytes], block: bytes) -> None:
    assert client.stdin is not None
    for _ in range(200):
        client.stdin.write(block)
    client.stdin.close()


def _until(terminal: int, wanted: bytes) -> bytes:
    said = b""
    while wanted not in said:
        assert select.select([terminal], [], [], PATIENCE_S)[0], said
        said += os.read(terminal, 4096)
    return said


def _resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
