"""A dev box on a real Docker engine: the box is a container, and on a machine an image is a container of its Docker."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flow_adapters.node_files import load_kit
from flow_core.domain.box import Entry, kit_line, run_line
from tests.local_docker.engine import BARE_IMAGE
from tests.local_docker.user import HANGS_S, User

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.flaky(reruns=1)]


def test_a_box_is_a_container_and_each_image_another(user: User):
    """Code that changes arrives, what was made stays, images keep apart; a stop ends the box, and says so."""
    code = user.home / "code"
    code.mkdir()
    (code / "word").write_text("one\n")
    first = user.run("dev", "-i", "cpu", "--yes", "--", "cat word; echo mine > made; exit 4")
    (code / "word").write_text("two\n")
    again = user.run("dev", "--", "cat word made")
    bare = ("dev", "--image", BARE_IMAGE, "-i", "cpu", "--yes", "--")
    other = user.run(*bare, "cat word; test -e made || echo nothing made")
    boxes = json.loads(user.run("dev", "status", "--json").stdout)["boxes"]
    shared = user.run("dev", "share", "ssh-ed25519 AAAA bob")
    stops = [user.run("dev", "stop", "--name", each["task"]["name"]) for each in boxes]

    assert (4, "one\n") == (first.returncode, first.stdout), first.stderr
    assert "It ends when nobody has used it for 30m" in first.stderr
    assert (0, "two\nmine\n") == (again.returncode, again.stdout), again.stderr
    assert (0, "two\nnothing made\n") == (other.returncode, other.stdout), other.stderr
    assert ["dev-code", "dev-code-flow-test-bare"] == [each["task"]["name"] for each in boxes]
    assert (12, True) == (shared.returncode, "have no SSH server" in shared.stderr)
    for stop in stops:
        assert "is ended, for local-docker can't pause" in stop.stderr
    assert [] == user.left("dev-code")


def test_a_line_that_follows_a_change_is_as_any_other(user: User):
    """It finds the same signals, variables and empty input, its code is the command's own, and Ctrl-C ends it."""
    code = user.home / "code"
    code.mkdir()
    (code / "word").write_text("one\n")
    user.run("dev", "-i", "cpu", "--yes", "--", "true")
    signals, variables = (
        "grep Sig[BIC] /proc/self/status",
        "env | grep -v -e ^_= -e FLOW_CALL | sort",
    )
    (code / "word").write_text("two\n")
    brought, usual = (
        user.run("dev", "--", f"cat word; umask; {signals}; {variables}; cat; exit 3")
        for _ in range(2)
    )
    (code / "word").write_text("three\n")
    ending = user.begin("dev", "--", "cat word; exec sleep 4321")
    assert ending.stdout is not None
    word = ending.stdout.readline()
    ending.send_signal(signal.SIGINT)
    ending.communicate(timeout=HANGS_S)
    left = user.run("dev", "--", "grep -c 432[1] /proc/*/cmdline | grep -c :1").stdout
    user.run("dev", "stop")

    assert (3, usual.stdout) == (brought.returncode, brought.stdout), brought.stderr
    assert "two\n" == brought.stdout[:4]
    assert (b"three\n", "0\n") == (word, left)


def test_an_image_is_a_container_that_stays(tmp_path: Path, docker_host: str):
    """On a machine: the workspace and the variables are the box's, what is installed stays, and a reset forgets it."""
    home, workspace = tmp_path / "flow", tmp_path / "workspace"
    for each in (home, workspace):
        each.mkdir()
    (home / "kit.zip").write_bytes(load_kit())
    (home / "env.json").write_text('{"GREETING": "a  b"}')
    (workspace / "sub").mkdir()
    env = {
        "FLOW_HOME": str(home), "FLOW_PYTHON": sys.executable, "PATH": os.environ["PATH"],
        "HOME": str(tmp_path), "DOCKER_HOST": docker_host,
    }  # fmt: skip

    def box(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", line], cwd=workspace, env=env, text=True, capture_output=True,
            stdin=subprocess.DEVNULL, check=False, timeout=HANGS_S,
        )  # fmt: skip

    entry = Entry(image=BARE_IMAGE, folder="sub")
    first = box(run_line(entry, 'echo "$GREETING"; pwd; touch /installed here; exit 5'))
    again = box(run_line(entry, "ls / | grep -c installed"))
    images = json.loads(box(kit_line("look")).stdout)["images"]
    gone = json.loads(box(kit_line("reset", json.dumps({"image": BARE_IMAGE}))).stdout)
    fresh = box(run_line(entry, "ls / | grep -c installed; ls"))
    box(kit_line("reset", "{}"))

    assert (5, f"a  b\n{workspace}/sub\n") == (first.returncode, first.stdout), first.stderr
    assert "1\n" == again.stdout, again.stderr
    assert [BARE_IMAGE] == images == gone["images"]
    assert "0\nhere\n" == fresh.stdout
    assert [] == json.loads(box(kit_line("look")).stdout)["images"]
    assert [] == [*workspace.iterdir()]
