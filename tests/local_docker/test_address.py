"""Where the engine is looked for, and what is said when it can't be reached."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from pathlib import Path

import pytest

from flow_core.errors import FlowError, Misconfigured, NotAuthorized, Transient
from flow_providers.local_docker.address import Address, find_address, parse_address
from flow_providers.local_docker.engine import Engine
from flow_providers.local_docker.errors import unreached


def test_the_setting_outranks_the_environment(tmp_path: Path):
    """`local-docker.host` counts before DOCKER_HOST, which counts before any context."""
    environ = home(tmp_path, context="far") | {"DOCKER_HOST": "unix:///two.sock"}

    assert "/one.sock" == find_address(environ, said="unix:///one.sock").path
    assert "/two.sock" == find_address(environ).path
    assert "/far.sock" == find_address(home(tmp_path, context="far")).path


def test_a_context_is_read_as_docker_keeps_it(tmp_path: Path):
    """DOCKER_CONTEXT outranks the context that was chosen for good; `default` is none at all."""
    environ = home(tmp_path, context="far")
    add_context(tmp_path, "near", "tcp://127.0.0.1:2375")
    near = find_address(environ | {"DOCKER_CONTEXT": "near"})
    plain = find_address(environ | {"DOCKER_CONTEXT": "default"})

    assert ("127.0.0.1", 2375) == (near.host, near.port)
    assert "DOCKER_CONTEXT near" in str(near)
    assert plain.path.endswith(".sock")
    assert "/far.sock" != plain.path


def test_an_unknown_context_is_said_so(tmp_path: Path):
    """A context that was chosen and is no longer there is named, with how to see those there are."""
    with pytest.raises(Misconfigured, match="no Docker context 'lost'") as raised:
        find_address({"HOME": str(tmp_path), "DOCKER_CONTEXT": "lost"})

    assert "docker context ls" in (raised.value.hint or "")


def test_without_a_word_the_usual_sockets_are_tried(tmp_path: Path):
    """A rootless engine's socket is found where Docker's own isn't."""
    run = tmp_path / "run"
    (run / "podman").mkdir(parents=True)
    (run / "podman" / "podman.sock").touch()
    found = find_address({"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(run)})
    usual = Path("/var/run/docker.sock")

    assert str(usual if usual.exists() else run / "podman" / "podman.sock") == found.path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unix:///run/docker.sock", Address(path="/run/docker.sock")),
        ("tcp://box:2375", Address(host="box", port=2375)),
        ("tcp://[::1]:2375", Address(host="::1", port=2375)),
        ("tcp://box", Address(host="box", port=2375)),
        ("ssh://me@box", Address(ssh="me@box")),
    ],
)
def test_addresses_are_read_as_docker_writes_them(text: str, expected: Address):
    """A socket, a host with or without a port, and a login by SSH are understood."""
    assert expected == parse_address(text)


@pytest.mark.parametrize(
    "text", ["/run/docker.sock", "npipe:////./pipe/x", "unix://rel", "tcp://a:b", ""]
)
def test_what_is_no_address_is_refused(text: str):
    """Anything else is refused with the text, where it came from, and how to write one."""
    with pytest.raises(Misconfigured, match="DOCKER_HOST") as raised:
        parse_address(text, why="DOCKER_HOST")

    assert "unix:///PATH" in (raised.value.hint or "")


def test_a_machine_without_docker_is_told_so(tmp_path: Path):
    """Where there is no socket, the sentence says which, and how to start an engine or to name another."""
    error = asked(Address(path=str(tmp_path / "none.sock")))

    assert isinstance(error, Transient)
    assert "there is no such socket" in error.message
    assert "DOCKER_HOST" in (error.hint or "")


def test_an_engine_that_does_not_run_is_told_so(tmp_path: Path):
    """A socket at which nobody listens is an engine that doesn't run."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left.sock"))

    assert "doesn't run" in asked(Address(path=str(tmp_path / "left.sock"))).message


def test_a_socket_that_is_not_yours_is_told_so():
    """Without the permission, the sentence names the group to join."""
    error = unreached(PermissionError(13, "Permission denied"), "/var/run/docker.sock")

    assert isinstance(error, NotAuthorized)
    assert "usermod -aG docker" in (error.hint or "")


def test_an_engine_that_breaks_off_gave_no_answer(tmp_path: Path):
    """A connection that ends before the answer is Transient: the request may have taken effect."""
    place = str(tmp_path / "rude.sock")
    with socket.socket(socket.AF_UNIX) as rude:
        rude.bind(place)
        rude.listen()
        thread = threading.Thread(target=lambda: rude.accept()[0].close())
        thread.start()
        error = asked(Address(path=place))
        thread.join()

    assert isinstance(error, Transient)


def asked(address: Address) -> FlowError:
    """What asking the engine there for anything raises."""
    with pytest.raises(FlowError) as raised:
        Engine(address).ask("GET", "/_ping")
    return raised.value


def home(folder: Path, *, context: str) -> dict[str, str]:
    """The variables of a user who has chosen a context."""
    add_context(folder, context, f"unix:///{context}.sock")
    (folder / ".docker" / "config.json").write_text(json.dumps({"currentContext": context}))
    return {"HOME": str(folder)}


def add_context(folder: Path, name: str, host: str) -> None:
    """Write a context as `docker context create` does."""
    known = hashlib.sha256(name.encode()).hexdigest()
    place = folder / ".docker" / "contexts" / "meta" / known
    place.mkdir(parents=True, exist_ok=True)
    meta = {"Name": name, "Endpoints": {"docker": {"Host": host}}}
    (place / "meta.json").write_text(json.dumps(meta))
