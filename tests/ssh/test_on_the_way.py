"""`flow` through a second server on the way, by a person's own SSH settings: every command goes there."""

from __future__ import annotations

import pytest

from tests.ssh.cloud import Cloud, told
from tests.ssh.conftest import a_node


@pytest.fixture
def behind(sshd, own_sshd, tmp_path) -> Cloud:
    """Two nodes that are reached through a bastion, which has a key and a user's trust of its own."""
    own_sshd.start()
    known = tmp_path / "known_hosts"
    known.write_text(f"[localhost]:{own_sshd.port} {(own_sshd.folder / 'host.pub').read_text()}")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        f"Host 127.0.0.1\n ProxyJump {a_node(1).address.user}@localhost:{own_sshd.port}\n"
        f"Host localhost\n ProxyJump none\n IdentityFile {own_sshd.user_key}\n"
        f" UserKnownHostsFile {known}\n"
    )
    return Cloud(folder=str(tmp_path), key=str(sshd.user_key), ports=[sshd.port] * 2)


def logins(server) -> int:
    """How many have come in so far."""
    return sum("Accepted publickey" in line for line in server.said)


@pytest.mark.slow
def test_every_command_goes_the_user_s_way(behind, own_sshd, tmp_path):
    """A command, a shell by OpenSSH's client and a copy go through the bastion; one login there serves both nodes."""
    fanned = told(behind, "ssh", "train", "--", "echo there")
    after_fanning = logins(own_sshd)
    shell = told(behind, "ssh", "train", typed=b"echo in-a-shell; exit 7\n")
    after_shell = logins(own_sshd)
    (tmp_path / "file").write_text("copied")
    copied = told(behind, "cp", str(tmp_path / "file"), "train:sub/", "--node", "1")

    assert (0, ["[0] there", "[1] there"]) == (fanned[0], sorted(fanned[1].splitlines())), fanned[2]
    assert 1 == after_fanning
    assert (7, "in-a-shell\n") == shell[:2], shell[2]
    assert after_shell > after_fanning
    assert 0 == copied[0], copied[2]
    assert "copied" == (tmp_path / "workspace" / "sub" / "file").read_text()


def test_a_bastion_that_nobody_vouches_for(behind, tmp_path):
    """A host on the way whose key the user doesn't know is no way: the reason says how to get to know it."""
    (tmp_path / "known_hosts").write_text("")
    code, _, err = told(behind, "ssh", "train", "--", "true")

    assert 125 == code
    assert "on the way, is not in your known_hosts" in err
