"""What OpenSSH's client comes to an agreement on with a real server, and whose settings it is left to."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_adapters.ssh.algorithms import CIPHERS, KEX, has_aes, preferring
from tests.ssh.conftest import Answer, MakeShell, a_node
from tests.ssh.sshd import Sshd

KEX_SAID = ["-o", f"KexAlgorithms={KEX}"]
CIPHERS_SAID = ["-o", f"Ciphers={','.join(CIPHERS)}"]
SAID = [*CIPHERS_SAID, *KEX_SAID]
needs_aes = pytest.mark.skipif(not has_aes(), reason="this machine computes no AES")


class Telling:
    """A server that tells what each connection agrees on, and whoever calls it by OpenSSH's client."""

    def __init__(self, server: Sshd, make_shell: MakeShell, config: Path) -> None:
        self.server, self.make_shell, self.config = server, make_shell, config
        config.parent.mkdir()
        config.write_text("")

    def call(
        self, *, ssh: str = "ssh", kex: str = "kex: client->server cipher: "
    ) -> tuple[str, ...]:
        """Make a lone call of a node that is known; return what the connections that it took agreed on."""
        there = a_node(self.server.port)
        assert 0 == Answer(self.make_shell(keys=[self.server.user_key]), there, "true").code
        self.server.said.clear()
        shell = self.make_shell(keys=[self.server.user_key], ssh=ssh)
        assert 3 == Answer(shell, there, "exit 3", lone=True).code
        said = [line.partition(kex)[2].split() for line in list(self.server.said) if kex in line]
        return tuple(words[0] for words in said)


@pytest.fixture
def telling(tmp_path, make_shell, request) -> Iterator[Telling]:
    """One with the settings that a test is given, if any."""
    settings = ("LogLevel DEBUG1", *getattr(request, "param", ()))
    server = Sshd(tmp_path / "telling", settings=settings)
    server.start()
    yield Telling(server, make_shell, tmp_path / ".ssh" / "config")
    server.stop()


@needs_aes
def test_what_the_processor_computes_comes_first(telling):
    """A server that leaves it to the client is talked to by AES-GCM."""
    assert ("aes128-gcm@openssh.com",) == telling.call()


def test_a_login_takes_no_key_exchange_that_is_slow(telling):
    """Where the two have none with ML-KEM they agree on X25519, though both would know NTRU Prime."""
    (kex,) = telling.call(kex="kex: algorithm: ")

    assert kex.startswith(("curve25519-", "mlkem768x25519-"))


def test_a_persons_own_key_exchange(telling):
    """Settings that name key exchanges are followed."""
    telling.config.write_text("Host *\n  KexAlgorithms ecdh-sha2-nistp384\n")

    assert ("ecdh-sha2-nistp384",) == telling.call(kex="kex: algorithm: ")


@pytest.mark.parametrize("telling", [["Ciphers chacha20-poly1305@openssh.com"]], indirect=True)
def test_a_server_that_has_another_alone(telling):
    """What is preferred is not insisted on: the call is OpenSSH's all the same."""
    assert ("chacha20-poly1305@openssh.com",) == telling.call()


def test_a_persons_own_ciphers(telling):
    """Settings that name ciphers are followed."""
    telling.config.write_text("Host *\n  Ciphers aes256-ctr\n")

    assert ("aes256-ctr",) == telling.call()


def test_a_client_that_lacks_one(telling, tmp_path):
    """A client that refuses the list is done without: the call comes by a connection of ours."""
    old = tmp_path / "ssh"
    old.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *Algorithms=-*) echo Bad SSH2 KexAlgorithms >&2; touch {tmp_path}/had; exit 255;; esac\n'
        f'exec {shutil.which("ssh")} "$@"\n'
    )
    old.chmod(0o755)

    assert 1 == len(telling.call(ssh=str(old)))
    assert (tmp_path / "had").exists()


@needs_aes
@pytest.mark.parametrize(
    ("settings", "preferred"),
    [
        (None, SAID),
        ("", SAID),
        ("# Ciphers aes128-ctr\nHost *\n  User me\n", SAID),
        ("Host *\n  ciphers=aes128-ctr\n", KEX_SAID),
        ('\t"Ciphers" ^aes128-ctr\n', KEX_SAID),
        ("KexAlgorithms +diffie-hellman-group14-sha1\n", CIPHERS_SAID),
        ("kexalgorithms=ecdh-sha2-nistp256\nCiphers aes128-ctr\n", []),
        ("Include more/*.conf\n", []),
        ("Include=none\nInclude {0}/*/b.conf\n", KEX_SAID),
        ("Include more/a.conf none ~/none\n", SAID),
        ("Include none ~/.ssh/more/b.conf\n", KEX_SAID),
        ("Include more/c.conf\n", []),
        ("Include ~you/config\n", []),
        ("Include more\n", []),
        ("Include config.d/%u\n", []),
        ('Include "more/a.conf"\n', []),
    ],
)
@pytest.mark.parametrize("whose", ["config", "ssh_config"])
def test_settings_that_say_it_themselves(tmp_path, settings, preferred, whose):
    """They say so where a line of theirs, or of what they include, does; or where only ssh can tell what that is."""
    folder = tmp_path / ".ssh"
    more = folder / "more"
    more.mkdir(parents=True)
    (more / "a.conf").write_text("Host *\n  User me\n")
    (more / "b.conf").write_text("Match all\n  Ciphers aes128-ctr\n")
    (more / "c.conf").write_text(f"Include {more}/c.conf\n")
    if settings is not None:
        (folder / whose).write_text(settings.format(folder))

    assert preferred == preferring([], home=tmp_path, system=[folder])


@needs_aes
def test_settings_that_ssh_is_not_to_read(tmp_path):
    """Where it is told to read one file, no other counts."""
    (tmp_path / "ssh_config").write_text("Ciphers aes128-ctr\n")
    (tmp_path / "empty").write_text("")
    options = ["-F", str(tmp_path / "empty")]

    assert [*options, *SAID] == preferring(options, home=tmp_path, system=[tmp_path])


def test_settings_that_cant_be_read_may_say_anything(tmp_path):
    """As a folder in the file's place can't."""
    assert ["-F", str(tmp_path)] == preferring(["-F", str(tmp_path)])


def test_a_processor_that_computes_no_aes(tmp_path):
    """One whose features don't name it, or that has no such list, has none; every Mac's does."""
    features = tmp_path / "modalias"
    features.write_text("cpu:type:x86,ven0002fam0019mod0001:feature:,0000,0001,0098,009A\n")
    is_mac = sys.platform == "darwin"

    assert (is_mac, is_mac) == (has_aes(features), has_aes(tmp_path / "none"))
