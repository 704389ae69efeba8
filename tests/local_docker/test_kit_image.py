"""The kit runs a task's image in the node's own Docker, where the node is a machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flow_adapters.node_files import load_kit
from flow_core.domain.run import RunPhase
from tests.local_docker.engine import BARE_IMAGE
from tests.node.conftest import BareNode
from tests.node.kit import PATIENCE_S, wait_for_bytes

pytestmark = [pytest.mark.slow, pytest.mark.docker]


@pytest.fixture
def node(tmp_path: Path, docker_host: str):
    """A node whose Docker is the tests' engine."""
    node = BareNode(tmp_path)
    node.env["DOCKER_HOST"] = docker_host
    node.env["FLOW_GRACE_S"] = "10"
    node.workspace.mkdir()
    yield node
    node.close()


def begin(
    node: BareNode, image: str, command: str | tuple[str, ...], **env: str
) -> subprocess.Popen[bytes]:
    """Start a command in an image."""
    node.take(command, wants_delivery=True)
    started = node.start()
    wait_for_bytes(node.home / "log")
    kit = load_kit()
    setup = {"image": {"name": image, "mounts": []}}
    assert 0 == node.deliver(1, setup=setup, kit=kit, env=env)
    return started


def containers(docker_host: str) -> list[str]:
    """The names of all containers of the engine."""
    listed = subprocess.run(
        ["docker", "--host", docker_host, "ps", "-a", "--format", "{{.Names}}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return listed.stdout.split()


def test_a_command_runs_in_an_image_that_has_only_sh(node, docker_host):
    """Variables, folder, files and exit code are as without an image, and the container is gone afterwards."""
    started = begin(node, BARE_IMAGE, "echo $GREETING; pwd; echo hi >out; exit 3", GREETING="a  b")
    started.wait(3 * PATIENCE_S)

    assert 3 == node.report().exit_code
    assert f"a b\n{node.workspace}\n" in node.log().data.decode()
    assert "hi\n" == (node.workspace / "out").read_text()
    assert "flow-abcdefgh" not in containers(docker_host)


def test_arguments_reach_the_image_as_they_are(node):
    """A tuple's words are no shell's business."""
    begin(node, BARE_IMAGE, ("echo", "$HOME", "a  b")).wait(3 * PATIENCE_S)

    assert node.log().data.endswith(b"$HOME a  b\n")


def test_stopping_the_node_stops_the_container(node, docker_host):
    """TERM reaches what runs inside, and nothing of it stays."""
    started = begin(
        node, BARE_IMAGE, "trap 'echo saved; exit 1' TERM; touch ready; while :; do sleep 1; done"
    )
    wait_until(node.workspace / "ready")
    started.terminate()
    started.wait(3 * PATIENCE_S)

    assert RunPhase.INTERRUPTED is node.report().phase
    assert b"saved\n" in node.log().data
    assert "flow-abcdefgh" not in containers(docker_host)


def test_no_value_is_in_a_process_list(node):
    """Variables go to Docker by their names."""
    started = begin(
        node, BARE_IMAGE, "touch ready; while :; do sleep 1; done", TOKEN="hunter2-in-ps"
    )
    wait_until(node.workspace / "ready")
    listed = subprocess.run(
        ["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True
    )
    started.terminate()
    started.wait(3 * PATIENCE_S)

    assert "flow-abcdefgh" in listed.stdout
    assert "hunter2-in-ps" not in listed.stdout


def test_an_image_that_can_not_be_had_is_named(node):
    """The command is not run, and the reason has the image and Docker's own words."""
    begin(node, "localhost:9/no/such:image", "echo ran").wait(3 * PATIENCE_S)

    report = node.report()
    assert 125 == report.exit_code
    assert report.reason.startswith("image: localhost:9/no/such:image could not be fetched: ")
    assert b"ran\n" not in node.log().data


def wait_until(path: Path) -> None:
    """Return once a file exists; what it waits for is a process of the test's own."""
    program = 'until [ -e "$1" ]; do sleep 0.05; done'
    subprocess.run(["sh", "-c", program, "sh", path], timeout=2 * PATIENCE_S, check=True)
