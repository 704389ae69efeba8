"""`flow image` and `flow script`: Mithril's adapter on the simulator, and a cloud that lacks both."""

from __future__ import annotations

import pytest
from attrs import evolve

from flow_core.services.session import Session
from flow_providers.mock.http.service import in_memory
from flow_providers.mock.http.transport import DoorTransport
from flow_providers.mock.memory_nodes import MemoryNodes
from flow_providers.mock.memory_shell import MemoryShell
from tests.meeting import site


@pytest.fixture
def call(flow, session, clock):
    """Call `flow` with the simulated Mithril chosen."""
    service = in_memory(clock)
    provider = site.connect(
        service,
        clock=clock,
        shell=MemoryShell(MemoryNodes(clock)),
        transport=DoorTransport(service.handle),
    )
    ports = evolve(session.ports, provider=provider)
    return lambda *words, **given: flow(
        *words, connect=lambda name, environ: Session(ports), **given
    )


def test_images_are_listed_with_the_default_first(call):
    """The one that nodes boot unless told otherwise is marked, and each has the id that the setting takes."""
    images = call("image", "list", "--json").document["images"]

    assert [True, *[False] * (len(images) - 1)] == [each["default"] for each in images]
    assert all(each["id"].startswith("imgver_") for each in images)
    assert f"● {images[0]['name']}" in call("image", "list").out


def test_a_script_is_kept_shown_and_forgotten(call, tmp_path):
    """What is shown is what the file said, byte for byte of its lines; deleted, it is listed no more."""
    file = tmp_path / "drain.sh"
    file.write_text("#!/bin/sh\necho ünïcode\n", "utf-8")
    added = call("script", "add", str(file), "--description", "before the end")
    listed = call("script", "list")
    shown = call("script", "show", "drain.sh")
    by_id = call("script", "show", added.out.strip())
    deleted = call("script", "delete", "drain.sh", "--yes")

    assert 0 == added.code == deleted.code
    assert "drain.sh" in listed.out
    assert "#!/bin/sh\necho ünïcode\n" == shown.out == by_id.out
    assert [] == call("script", "list", "--json").document["scripts"]


def test_a_name_that_two_scripts_share_is_none(call, tmp_path):
    """Then the id says which, and the hint has both."""
    file = tmp_path / "x.sh"
    file.write_text("true\n")
    ids = [call("script", "add", str(file)).out.strip() for _ in range(2)]
    answer = call("script", "show", "x.sh")

    assert 4 == answer.code
    assert all(each in answer.err for each in ids)
    assert 0 == call("script", "delete", *ids, "--yes").code


def test_nothing_is_deleted_unasked(call, tmp_path):
    """Without a terminal and without --yes the script stays."""
    file = tmp_path / "x.sh"
    file.write_text("true\n")
    call("script", "add", str(file))

    assert 0 != call("script", "delete", "x.sh").code
    assert 1 == len(call("script", "list", "--json").document["scripts"])


def test_a_file_that_is_no_text_is_refused(call, tmp_path):
    """What can't be read is named before the provider is asked."""
    file = tmp_path / "x.bin"
    file.write_bytes(b"\xff\xfe\x00")

    assert "x.bin can't be read" in call("script", "add", str(file)).err
    assert 0 != call("script", "add", str(tmp_path / "nowhere")).code


@pytest.mark.parametrize("words", [["image", "list"], ["script", "list"], ["script", "show", "x"]])
def test_a_cloud_that_keeps_nothing_says_so(flow, words):
    """The pretend cloud's own door has neither, and says which command shows what there is."""
    answer = flow(*words)

    assert 0 != answer.code
    assert "flow provider list" in answer.err
