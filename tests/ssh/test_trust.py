"""Host keys: trusted once, pinned to the node, refused when they change."""

from __future__ import annotations

import stat
import subprocess

import pytest

from flow_adapters.ssh.trust import KnownNodes, alias, fingerprint
from flow_core.errors import Conflict
from tests.ssh.conftest import Answer, a_node
from tests.ssh.sshd import new_key

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDq0DPXurtzVzRCOk3Rzfpc/1xcbI0ZWBZ+NC3qejLRQ"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFfq0DPXurtzVzRCOk3Rzfpc/1xcbI0ZWBZ+NC3qejLR"


def test_a_first_key_is_pinned(shell, node, sshd, tmp_path):
    """After the first call the node's key is in a file that only its owner reads."""
    Answer(shell, node, "true")
    known = tmp_path / "state" / "known_nodes"

    assert 0o600 == stat.S_IMODE(known.stat().st_mode)
    key = (sshd.folder / "host.pub").read_text().split()[:2]
    assert f"{alias(node.id)} {' '.join(key)}\n" == known.read_text()


def test_a_changed_key_is_refused(make_shell, own_sshd, tmp_path):
    """A node that shows another key of any kind is lost; both fingerprints and the line to remove are in the reason."""
    own_sshd.start()
    node = a_node(own_sshd.port)
    shell = make_shell(keys=[own_sshd.user_key])
    before = Answer(shell, node, "true")
    pinned = shell.known_nodes.key_of(node.id)

    for kind in ("ed25519", "ecdsa"):
        own_sshd.change_host_key(kind=kind)
        after = Answer(shell, node, "echo ran")
        shown = " ".join((own_sshd.folder / "host.pub").read_text().split()[:2])

        assert (0, b"") == (before.code, after.out)
        assert "host key changed" in after.lost
        for word in (fingerprint(pinned), fingerprint(shown), alias(node.id), str(tmp_path)):
            assert word in after.lost
        assert pinned == shell.known_nodes.key_of(node.id)

    shell.known_nodes.forget(node.id)

    assert 0 == Answer(shell, node, "true").code


def test_a_reused_address_is_another_node(make_shell, own_sshd):
    """Another node at an address that was someone's before is trusted by its own id."""
    own_sshd.start()
    shell = make_shell(keys=[own_sshd.user_key])
    Answer(shell, a_node(own_sshd.port), "true")
    own_sshd.change_host_key()

    assert 0 == Answer(shell, a_node(own_sshd.port, name="inst_B2"), "true").code


def test_the_pinned_kind_is_asked_for(make_shell, own_sshd, tmp_path):
    """A host with several keys goes on showing the kind that was pinned, though we would rather have another."""
    rsa = new_key(own_sshd.folder / "rsa", kind="rsa")
    own_sshd.settings = (f"HostKey {rsa}",)
    own_sshd.start()
    shell = make_shell(keys=[own_sshd.user_key])
    node = a_node(own_sshd.port)
    shell.known_nodes.pin(node.id, " ".join((own_sshd.folder / "rsa.pub").read_text().split()[:2]))

    assert 0 == Answer(shell, node, "true").code


def test_another_process_pins_meanwhile(tmp_path):
    """What another process has written is seen at the next look, and not written twice."""
    ours, theirs = KnownNodes(tmp_path / "known"), KnownNodes(tmp_path / "known")

    assert ours.key_of("i") is None
    theirs.pin("i", KEY)
    ours.pin("i", KEY)
    assert KEY == ours.key_of("i")
    assert 1 == len((tmp_path / "known").read_text().splitlines())
    with pytest.raises(Conflict):
        ours.pin("i", OTHER)


def test_forgetting_one_keeps_the_others(tmp_path):
    """Only the forgotten node's line goes; forgetting twice does nothing."""
    known = KnownNodes(tmp_path / "known")
    known.pin("i", KEY)
    known.pin("j", OTHER)

    assert [True, False] == [known.forget("i"), known.forget("i")]
    assert [None, OTHER] == [known.key_of("i"), known.key_of("j")]


def test_aliases_differ_where_ids_do():
    """Ids that differ in case, or where an alias can't follow, have different aliases that are no patterns."""
    ids = ["inst_A", "inst_a", "inst a", "inst*", "inst?", "", "i" * 200]

    assert len(ids) == len({alias(each) for each in ids})
    assert all(set("*?!,[]| ").isdisjoint(alias(each)) for each in ids)
    assert all(alias(each) == alias(each).lower() for each in ids)


def test_fingerprints_are_openssh_s(sshd):
    """A fingerprint is what ssh-keygen -l shows."""
    shown = subprocess.run(
        ["ssh-keygen", "-lf", str(sshd.folder / "host.pub")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert fingerprint((sshd.folder / "host.pub").read_text()) == shown.split()[1]
