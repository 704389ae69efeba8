"""`flow doctor` on this machine, and this machine as it looks at it."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading

import pytest

from flow_adapters.key_files import make_pair
from flow_adapters.machine import LocalMachine
from flow_core.errors import (
    Misconfigured,
    NodeUnreachable,
    NotAuthorized,
    Transient,
    WaitTimedOut,
)


@pytest.fixture
def environ(tmp_path):
    """The environment of a user with a home and nothing else."""
    return {
        "HOME": str(tmp_path),
        "FLOW_STATE_DIR": str(tmp_path / "state"),
        "FLOW_CONFIG_DIR": str(tmp_path / "config"),
    }


@pytest.fixture
def machine(environ):
    """This machine."""
    return LocalMachine(environ)


def test_the_mock_is_well(flow):
    """Every check of the mock passes without a network, and nothing is left behind in the state's folder."""
    answer = flow("doctor")

    assert 0 == answer.code
    assert "✓ ok" in answer.out
    assert "simulated" in answer.out


def test_findings_are_json_where_json_is_asked_for(flow, tmp_path):
    """One document holds every check with its state, and whether all is well."""
    document = flow("doctor", "--json").document

    assert (True, "ok", "~/state can be written") == (
        document["well"], document["checks"][1]["state"], document["checks"][1]["says"],
    )  # fmt: skip
    assert [] == list((tmp_path / "state").iterdir())


def test_a_bid_that_is_not_known_here_is_told(flow, pretend_cloud):
    """Another machine's instance shows with its hourly cost, and the exit code is still 0: a warning is no failure."""
    from flow_adapters.wiring import connect_in_memory

    flow("instance", "create", "-i", "8xh100", "--name", "box")
    other = connect_in_memory(pretend_cloud, seed=5)
    answer = flow("doctor", connect=lambda provider, environ: other)

    assert 0 == answer.code
    assert "! warn" in answer.out
    assert "box (allocated, $" in answer.out


def test_a_session_that_cannot_be_made_is_a_finding(flow):
    """Without a provider the doctor still answers, and the exit code says that something failed."""

    def refuse(provider, environ):
        raise Misconfigured("no provider is chosen", hint="run `flow setup`")

    answer = flow("doctor", connect=refuse)

    assert 1 == answer.code
    assert "no provider is chosen" in answer.out
    assert "→ run `flow setup`" in answer.out


def test_what_takes_too_long_is_left_to_itself(machine):
    """The deadline holds whatever the check does; an answer and an error come through."""
    held = threading.Event()
    with pytest.raises(WaitTimedOut):
        machine.within(0.05, held.wait)
    held.set()

    assert 7 == machine.within(5, lambda: 7)
    with pytest.raises(KeyError):
        machine.within(5, lambda: {}["x"])


def test_a_name_without_an_address_is_transient(machine):
    """A reserved name resolves nowhere; a loopback address is itself."""
    assert ["127.0.0.1"] == list(machine.addresses("127.0.0.1"))
    with pytest.raises(Transient, match="has no address"):
        machine.addresses("nowhere.invalid")


def test_a_certificate_that_nobody_vouches_for_is_not_trusted(machine, tmp_path):
    """A server with a certificate of its own making can't prove who it is."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection, pytest.raises((ssl.SSLError, OSError)):
                context.wrap_socket(connection, server_side=True).recv(1)

        server = threading.Thread(target=serve)
        server.start()
        with pytest.raises(NotAuthorized, match="can't prove who it is"):
            machine.certificate_ends("127.0.0.1", listener.getsockname()[1])
        server.join()


def test_a_port_where_nobody_listens_is_transient(machine):
    """No connection is no verdict on the certificate."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Transient, match="no TLS connection"):
        machine.certificate_ends("127.0.0.1", port)


def test_a_proxy_is_told_without_its_password(machine, monkeypatch):
    """The proxy of the environment counts, but for hosts that go around it."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert machine.proxy("https://api.far.test") is None
    monkeypatch.setenv("https_proxy", "http://ada:secret@proxy.test:3128")
    monkeypatch.setenv("no_proxy", "near.test")

    assert "proxy.test:3128" == machine.proxy("https://api.far.test")
    assert machine.proxy("https://near.test") is None


def test_key_pairs_are_found_with_their_private_halves(environ, tmp_path):
    """The configured key comes first, then the usual ones; a public half alone opens nothing."""
    folder = tmp_path / ".ssh"
    make_pair(folder / "work", comment="work")
    make_pair(folder / "id_ed25519", comment="usual")
    (folder / "gone.pub").write_text("ssh-ed25519 AAAAGone gone\n")
    (folder / "notes.pub").write_text("\n")
    (folder / "work").chmod(0o644)
    found = LocalMachine(environ, ssh_key="~/.ssh/work").local_keys()

    assert [("~/.ssh/work", True, True), ("~/.ssh/id_ed25519", True, False), ("~/.ssh/gone", False, False)] == [
        (key.place, key.is_here, key.is_open_to_others) for key in found
    ]  # fmt: skip


def test_without_an_agent_there_is_none(machine, environ, tmp_path):
    """No SSH_AUTH_SOCK is no agent; one that leads nowhere is a trouble."""
    assert machine.agent_keys() is None
    with pytest.raises(NodeUnreachable, match="no agent answers there"):
        LocalMachine({**environ, "SSH_AUTH_SOCK": str(tmp_path / "stale")}).agent_keys()


def test_state_that_cannot_be_written_is_told(environ, tmp_path):
    """A file where the folder should be is found out."""
    (tmp_path / "state").write_text("")
    with pytest.raises(Misconfigured):
        LocalMachine(environ).check_state()
