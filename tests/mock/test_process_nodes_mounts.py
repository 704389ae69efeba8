"""Volumes appear where the task wants them, or the refusal names the path."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_core.ports.shell import Call, NodeOutput
from flow_providers.mock.shell import ProcessShell
from tests.mock.hosts import NOW, Host, node_of, volume_at, why_no_mounts
from tests.node.kit import Bell, wait_for_bytes

needs_namespaces = pytest.mark.skipif(bool(why_no_mounts()), reason=why_no_mounts() or "unused")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host whose nodes end with the test."""
    host = Host(tmp_path / "cloud")
    yield host
    host.close()


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Bell]:
    """A bell that commands can ring."""
    bell = Bell(tmp_path / "bell")
    yield bell
    bell.close()


@needs_namespaces
def test_a_volume_appears_at_its_path(host, bell):
    """Command and shells see the volume at its absolute path and by its link, and what they write stays in it."""
    host.nodes.create_volume("vol")
    host.boot(
        "n",
        f"echo w >/flow-test-models/a; {bell.ring}",
        attachments=(volume_at("/flow-test-models"),),
    )
    bell.wait()
    call = Call(node=node_of("n"), line="cat /flow-test-models/a $FLOW_MOUNTS/flow-test-models/a")
    events = list(ProcessShell(host.nodes).run_many([call]))
    host.nodes.destroy("n", at=NOW)
    host.down("n")

    assert b"w\nw\n" == b"".join(event.data for event in events if isinstance(event, NodeOutput))
    assert "w\n" == (host.nodes.volume("vol") / "a").read_text()
    assert not Path("/flow-test-models").exists()


@needs_namespaces
def test_a_read_only_volume_can_not_be_written(host, bell):
    """A read-only mount refuses the command's writes."""
    mount = volume_at("/flow-test-models", read_only=True)
    host.boot("n", f"echo w >/flow-test-models/a; echo $?; {bell.ring}", attachments=(mount,))
    bell.wait()
    host.ended("n")

    assert b"Read-only file system" in host.said("n")
    assert [] == list(host.nodes.volume("vol").iterdir())


def test_links_stand_in_where_nothing_can_be_mounted(tmp_path, bell):
    """Without namespaces the refusal names the path and the reason; who chose links gets the volume by its link."""
    attachments = (volume_at("/flow-test-models"),)
    strict = Host(tmp_path / "cloud", can_mount=lambda: "no namespaces here")
    host = Host(tmp_path / "cloud", can_mount=lambda: "no namespaces here", mount_links=True)

    assert (
        "/flow-test-models can't be mounted on this machine: no namespaces here"
        == strict.nodes.mount_problem(attachments)
    )
    assert host.nodes.mount_problem(attachments) is None
    host.boot("n", f"echo w >$FLOW_MOUNTS/flow-test-models/a; {bell.ring}", attachments=attachments)
    bell.wait()
    host.ended("n")
    assert "w\n" == (host.nodes.volume("vol") / "a").read_text()
    host.close()


def test_a_mount_over_flow_itself_is_refused(host):
    """A path that would hide the nodes' own folders can't be mounted."""
    problem = host.nodes.mount_problem((volume_at(str(host.root.parent)),))

    assert problem is not None
    assert str(host.root.parent) in problem


def test_no_mounts_is_no_problem(tmp_path):
    """Nothing is asked of the machine for a task without mounts."""
    host = Host(tmp_path / "cloud", can_mount=lambda: pytest.fail("asked"))

    assert host.nodes.mount_problem(()) is None


@needs_namespaces
def test_a_node_that_can_not_start_says_why(host):
    """A view that can't be made ends the node's command with 125 and the reason in its log."""
    host.boot("n", "echo ran", attachments=(volume_at("/etc/passwd"),))
    wait_for_bytes(host.nodes.folder("n") / "flow" / "state.json")

    assert 125 == host.report("n").exit_code
    assert b"flow: the node could not start: can't mount at /etc/passwd" in host.said("n")
