"""Which keys are offered: named files, the agent's, the usual ones; and the user's own SSH settings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.ssh.conftest import Answer, a_node
from tests.ssh.sshd import Sshd, new_key


@pytest.fixture(autouse=True)
def no_agent(monkeypatch):
    """The agent of whoever runs the tests stays out of them."""
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


@pytest.fixture
def agent(monkeypatch, tmp_path):
    """An agent of OpenSSH's without keys, as the tests' own."""
    if shutil.which("ssh-agent") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("needs ssh-agent")
    said = subprocess.run(
        ["ssh-agent", "-a", str(tmp_path / "agent")], capture_output=True, text=True, check=True
    ).stdout
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))
    yield
    os.kill(int(re.findall(r"SSH_AGENT_PID=(\d+)", said)[0]), 15)


def accept(server: Sshd, key: Path) -> Path:
    """Have the server accept one more key."""
    with server.authorized_keys.open("a") as file:
        file.write(key.with_name(key.name + ".pub").read_text())
    return key


def test_no_key_is_accepted(make_shell, node, tmp_path):
    """A node that takes none of our keys is lost; the reason counts them and names who asked."""
    shell = make_shell(keys=[new_key(tmp_path / "stranger")])

    assert f"no key accepted for {node.address.user} by 127.0.0.1:" in (
        lost := Answer(shell, node, "true").lost
    )
    assert "(1 key offered)" in lost


def test_a_missing_key_is_named(make_shell, node, tmp_path):
    """A key file that isn't there is in the reason."""
    lost = Answer(make_shell(keys=[tmp_path / "nowhere"]), node, "true").lost

    assert f"0 keys offered; {tmp_path}/nowhere can't be read: No such file or directory" in lost


def test_the_usual_files_of_a_home(make_shell, node, sshd, tmp_path):
    """Without named keys, those in `.ssh` under their usual names are offered."""
    (tmp_path / ".ssh").mkdir()
    shutil.copy(sshd.user_key, tmp_path / ".ssh" / "id_ed25519")

    assert 0 == Answer(make_shell(keys=[]), node, "true").code


def test_a_passphrase_is_asked_for_once(make_shell, sshd, tmp_path):
    """The passphrase of a named key is asked for in the caller's thread, until it is right, once for all nodes."""
    key = accept(sshd, new_key(tmp_path / "locked", kind="rsa", passphrase="right", form="PKCS8"))
    asked = []
    answers = iter(["wrong", "right"])

    def ask(path: Path) -> str:
        asked.append((path, threading.current_thread()))
        return next(answers)

    shell = make_shell(keys=[key], ask_passphrase=ask)
    codes = [Answer(shell, a_node(sshd.port, name=f"n{i}"), "true").code for i in range(3)]

    assert [0, 0, 0] == codes
    assert [(key, threading.current_thread())] * 2 == asked


def test_nobody_to_ask(make_shell, node, tmp_path):
    """A key that needs a passphrase nobody gives is a reason, with what to do."""
    key = new_key(tmp_path / "locked", kind="rsa", passphrase="secret", form="PKCS8")
    lost = Answer(make_shell(keys=[key]), node, "true").lost

    assert f"{key} needs its passphrase; `ssh-add`" in lost


def test_the_agent_s_keys(make_shell, node, sshd, agent):
    """A key that only the agent holds opens the door, and the agent is not forwarded."""
    subprocess.run(["ssh-add", "-q", str(sshd.user_key)], check=True, stderr=subprocess.DEVNULL)

    assert b"none\n" == Answer(make_shell(keys=[]), node, "echo ${SSH_AUTH_SOCK:-none}").out


def test_the_agent_spares_a_passphrase(make_shell, node, sshd, agent, tmp_path):
    """A named key whose public half the agent has is not opened, so nobody is asked."""
    key = accept(sshd, new_key(tmp_path / "k"))
    subprocess.run(["ssh-add", "-q", str(key)], check=True, stderr=subprocess.DEVNULL)
    subprocess.run(["ssh-keygen", "-q", "-p", "-N", "secret", "-P", "", "-f", str(key)], check=True)

    assert 0 == Answer(make_shell(keys=[key]), node, "true").code


def test_a_refused_key_is_looked_for_again(make_shell, node, sshd, agent):
    """A key that came into the agent after a refusal is offered at the next call."""
    shell = make_shell(keys=[])
    before = Answer(shell, node, "true")
    subprocess.run(["ssh-add", "-q", str(sshd.user_key)], check=True, stderr=subprocess.DEVNULL)

    assert "no key accepted" in before.lost
    assert 0 == Answer(shell, node, "true").code


def test_the_user_s_settings_name_keys(make_shell, node, sshd, tmp_path):
    """An IdentityFile of `.ssh/config` is offered; its commands, variables and forwarding are not followed."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        f"Host 127.*\n IdentityFile {sshd.user_key}\n RemoteCommand false\n SendEnv *\n ForwardAgent yes\n"
    )

    assert (b"ok\n", 0) == ((found := Answer(make_shell(keys=[]), node, "echo ok")).out, found.code)


def test_broken_settings_are_a_reason(make_shell, node, tmp_path):
    """Settings that can't be read lose the node, with their line."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\nPort x\n")

    assert "config line 2" in Answer(make_shell(), node, "true").lost


def test_a_proxy_command(make_shell, node, sshd, tmp_path):
    """A ProxyCommand of the user's carries the connection."""
    (tmp_path / ".ssh").mkdir()
    carry = tmp_path / "carry.py"
    carry.write_text(
        "import os,socket,sys,threading\n"
        "s=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n"
        "def up():\n"
        " while d:=os.read(0,65536): s.sendall(d)\n"
        " s.shutdown(1)\n"
        "threading.Thread(target=up,daemon=True).start()\n"
        "while d:=s.recv(65536): os.write(1,d)\n"
    )
    (tmp_path / ".ssh" / "config").write_text(
        f"Host 10.9.8.7\n ProxyCommand {sys.executable} {carry} 127.0.0.1 %p\n"
    )
    far = a_node(sshd.port, host="10.9.8.7", name="far")

    assert (b"there\n", 0) == ((found := Answer(make_shell(), far, "echo there")).out, found.code)


def test_a_proxy_jump(make_shell, sshd, own_sshd, tmp_path, monkeypatch):
    """A ProxyJump carries all nodes over one connection; its own host must be in the user's known_hosts."""
    own_sshd.start()
    home = tmp_path
    (home / ".ssh").mkdir()
    monkeypatch.setenv("HOME", str(home))
    user = a_node(1).address.user
    (home / ".ssh" / "config").write_text(
        f"Host 127.0.0.1\n ProxyJump {user}@localhost:{own_sshd.port}\n"
        f"Host localhost\n ProxyJump none\n IdentityFile {own_sshd.user_key}\n"
    )
    nodes = [a_node(sshd.port, name=f"n{i}") for i in range(5)]
    before = Answer(make_shell(), nodes[0], "true")
    key = (own_sshd.folder / "host.pub").read_text()
    (home / ".ssh" / "known_hosts").write_text(f"[localhost]:{own_sshd.port} {key}")
    shell = make_shell()

    assert "on the way, is not in your known_hosts" in before.lost
    assert [0] * 5 == [Answer(shell, each, "true").code for each in nodes]
    logins = [line for line in own_sshd.said if "Accepted publickey" in line]
    assert 1 == len(logins)
