"""`flow ssh` as a person has it: a terminal, and questions about host keys, over a real server."""

from __future__ import annotations

from functools import partial

import pytest

from flow_adapters.ssh.trust import alias
from tests.ssh.cloud import Cloud, flow, told
from tests.ssh.conftest import Answer, a_node
from tests.ssh.sshd import new_key
from tests.ssh.test_terminal import Terminal


@pytest.fixture
def cloud(sshd, tmp_path) -> Cloud:
    """Two nodes that are one server."""
    return Cloud(folder=str(tmp_path), key=str(sshd.user_key), ports=[sshd.port] * 2)


@pytest.fixture
def changed(own_sshd, tmp_path, make_shell) -> Cloud:
    """A node whose host key is pinned, and another one since."""
    own_sshd.start()
    shell = make_shell(keys=[own_sshd.user_key], state_dir=tmp_path / "state" / "loopback")
    Answer(shell, a_node(own_sshd.port, name="inst_0"), "true")
    own_sshd.change_host_key()
    return Cloud(folder=str(tmp_path), key=str(own_sshd.user_key), ports=[own_sshd.port])


def at_terminal(cloud: Cloud, *words: str) -> Terminal:
    """`flow` with these words at a terminal of its own."""
    return Terminal(partial(flow, cloud, *words, start_new_session=True))


@pytest.mark.slow
@pytest.mark.parametrize("ssh", ["ssh", None])
def test_a_shell_at_the_terminal(cloud, tmp_path, monkeypatch, ssh):
    """`flow ssh TASK` is a shell in the workspace: kind, colours and size of the terminal arrive, so does Ctrl-C."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    with at_terminal(Cloud(**{**_fields(cloud), "ssh": ssh}), "ssh", "train") as terminal:
        terminal.say(b"echo in-$(pwd) $TERM-$COLORTERM $(stty size)\r")
        terminal.until(f"in-{tmp_path}/workspace xterm-256color-truecolor 30 100".encode())
        # Said by what ^C is for, once it has the terminal: one moment earlier the shell would have had it.
        terminal.say(b"sh -c 'echo begun-$((40+2)); exec sleep 86400'\r")
        terminal.until(b"begun-42")
        terminal.say(b"\x03")
        terminal.say(b"echo after-$?; exit 9\r")
        terminal.until(b"after-130")
    assert 9 == terminal.process.returncode


@pytest.mark.slow
def test_a_command_at_the_terminal(cloud):
    """-t gives a command the terminal; without it there is none."""
    with at_terminal(cloud, "ssh", "train", "-t", "--", "test -t 0 && stty size; exit 4") as it:
        it.until(b"30 100")
    assert 4 == it.process.returncode
    assert 1 == told(cloud, "ssh", "train", "--node", "0", "--", "test -t 0")[0]


def _fields(cloud: Cloud) -> dict[str, object]:
    return {name: getattr(cloud, name) for name in ("folder", "key", "ports")}


def test_an_unknown_kind_of_terminal(cloud, monkeypatch):
    """A terminal that the node has never heard of is called an xterm there."""
    monkeypatch.setenv("TERM", "xterm-from-next-year")
    with at_terminal(cloud, "ssh", "train", "-t", "--", "echo kind $TERM") as terminal:
        terminal.until(b"kind xterm-256color")


def test_a_changed_key_without_anybody_to_ask(changed, tmp_path):
    """A changed key is refused, with both fingerprints and what to do; nothing is pinned anew, nothing runs."""
    pins = (tmp_path / "state" / "loopback" / "known_nodes").read_text()
    for words in (["--", "touch ran"], []):
        code, out, err = told(changed, "ssh", "train", *words)

        assert (125, "") == (code, out)
        assert "host key changed: SHA256:" in err
        assert "flow ssh --trust" in err
    assert pins == (tmp_path / "state" / "loopback" / "known_nodes").read_text()
    assert not (tmp_path / "workspace" / "ran").exists()


def test_a_changed_key_that_is_agreed_to(changed, own_sshd, tmp_path):
    """With --trust the new key is shown and pinned, the command runs, and the next one is asked about nothing."""
    code, out, err = told(changed, "ssh", "train", "--trust", "--", "echo ran")
    again = told(changed, "ssh", "train", "--", "echo again")

    key = (own_sshd.folder / "host.pub").read_text().split()[:2]
    assert (0, "ran\n") == (code, out)
    assert "showed another host key than before" in err
    assert (
        f"{alias('inst_0')} {' '.join(key)}\n"
        == (tmp_path / "state" / "loopback" / "known_nodes").read_text()
    )
    assert (0, "again\n", "") == again


@pytest.mark.slow
@pytest.mark.parametrize("words", [["--", "echo r'a'n"], ["-t", "--", "echo r'a'n"]])
def test_a_changed_key_is_asked_about(changed, words):
    """At a terminal both keys are shown; no leaves everything as it was, yes pins the new one and goes on."""
    with at_terminal(changed, "ssh", "train", *words) as terminal:
        terminal.until(b"Trust the new key from now on? [y/N]")
        terminal.say(b"n\r")
    assert 125 == terminal.process.returncode
    with at_terminal(changed, "ssh", "train", *words) as terminal:
        terminal.until(b"Trust the new key from now on? [y/N]")
        terminal.say(b"y\r")
        terminal.until(b"ran")
    assert 0 == terminal.process.returncode
    assert "ran\n" == told(changed, "ssh", "train", *words[-2:])[1]


@pytest.fixture
def locked(sshd, tmp_path) -> Cloud:
    """Two nodes that take a key with a passphrase, which no agent holds."""
    key = new_key(tmp_path / "locked", passphrase="right one")
    with sshd.authorized_keys.open("a") as file:
        file.write((tmp_path / "locked.pub").read_text())
    return Cloud(folder=str(tmp_path), key=str(key), ports=[sshd.port] * 2)


@pytest.mark.slow
def test_a_passphrase_is_asked_for_at_the_terminal(locked):
    """A key's passphrase is asked for at the terminal, once for all nodes, not shown, and again when it was wrong."""
    with at_terminal(locked, "ssh", "train", "--", "echo r'a'n") as terminal:
        terminal.until(b"locked: ")
        terminal.say(b"wrong one\r")
        terminal.until(b"locked: ")
        terminal.say(b"right one\r")
        terminal.until(b" ran")
        terminal.until(b" ran")
        shown = terminal.seen
    assert 0 == terminal.process.returncode
    assert b"one" not in shown


def test_nobody_is_asked_without_a_terminal(locked):
    """Without a terminal a key with a passphrase is a reason, with what to do."""
    code, _, err = told(locked, "ssh", "train", "--", "true")

    assert 125 == code
    assert "needs its passphrase; `ssh-add`" in err


def test_a_new_id_at_an_old_address(changed, own_sshd):
    """After a preemption another instance may have the address: its key is its own, and first seen."""
    moved = Cloud(**{**_fields(changed), "ids": ["inst_after"]})

    assert (0, "ran\n", "") == told(moved, "ssh", "train", "--", "echo ran")
