"""Images by name, from a real registry on loopback that wants a login."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_adapters.clocks import SystemClock
from flow_providers.local_docker.engine import Engine
from tests.local_docker.engine import BARE_IMAGE, refuse
from tests.local_docker.user import User

pytestmark = [pytest.mark.docker, pytest.mark.slow]

_CONFIG = """version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "127.0.0.1:{port}"}}
auth: {{htpasswd: {{realm: tests, path: {folder}/users}}}}
"""


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """A registry's address; it lets in `me` with the password `secret`."""
    if shutil.which("docker-registry") is None or shutil.which("htpasswd") is None:
        refuse(
            "there is no docker-registry or no htpasswd here (Debian: docker-registry, apache2-utils)"
        )
    folder = tmp_path / "registry"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "config.yml").write_text(_CONFIG.format(folder=folder, port=port))
    subprocess.run(
        ["htpasswd", "-Bbc", folder / "users", "me", "secret"], check=True, capture_output=True
    )
    server = subprocess.Popen(
        ["docker-registry", "serve", folder / "config.yml"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    clock = SystemClock()
    try:
        for _ in range(600):
            with socket.socket() as plug:
                if plug.connect_ex(("127.0.0.1", port)) == 0:
                    break
            clock.sleep(0.1)
        yield f"localhost:{port}"
    finally:
        server.terminate()
        server.wait(30)


def test_an_image_is_pulled_with_the_persons_own_login(user: User, registry: str, engine: Engine):
    """With what `docker login` kept, an image that isn't here is pulled; without it, the registry's refusal is told."""
    image = f"{registry}/mine/box"
    push(engine, image)
    refused = user.flow("submit", "true", "-i", "cpu", "--image", f"{image}:1", "--yes", fails=True)
    login(user.home, registry)
    said = user.flow("submit", "echo pulled", "-i", "cpu", "--image", f"{image}:1", "--yes")
    engine.ask("DELETE", f"/images/{image}:1", query={"force": "true"}, fine=(404,))

    assert "could not be pulled" in refused
    assert "pulled\n" in said


def push(engine: Engine, image: str) -> None:
    """Put the bare image into a registry under another name, and forget that name here."""
    engine.ask("POST", f"/images/{BARE_IMAGE}/tag", query={"repo": image, "tag": "1"})
    told = {"username": "me", "password": "secret", "serveraddress": image.partition("/")[0]}
    coded = base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
    answers = engine.lines(
        "POST", f"/images/{image}/push", query={"tag": "1"}, headers={"X-Registry-Auth": coded}
    )
    assert [] == [each["error"] for each in answers if "error" in each]
    engine.ask("DELETE", f"/images/{image}:1")


def login(home: Path, registry: str) -> None:
    """Keep a login as `docker login` does where no helper keeps it."""
    folder = home / ".docker"
    folder.mkdir()
    coded = base64.b64encode(b"me:secret").decode()
    (folder / "config.json").write_text(json.dumps({"auths": {registry: {"auth": coded}}}))
