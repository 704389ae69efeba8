"""The kit on a dev box: what a command runs in, who is there, and how all of it is forgotten; real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flow_adapters.clocks import SystemClock
from flow_adapters.node_files import load_kit
from flow_core.domain.box import BEGUN, NOT_READY, Entry, kit_line, run_line
from tests.node.kit import PATIENCE_S, pythons

pytestmark = pytest.mark.slow


class Box:
    """A node's folder with the kit in it, entered as the shell role does: by `sh`, in the workspace."""

    def __init__(self, place: Path, python: str) -> None:
        self.home, self.workspace = place / "flow", place / "workspace"
        for each in (self.home, self.workspace):
            each.mkdir()
        (self.home / "kit.zip").write_bytes(load_kit())
        (self.home / "env.json").write_text('{"SECRET": "s3cr3t", "FLOW_GPUS": "1"}')
        self.env = {
            "FLOW_HOME": str(self.home), "PATH": os.environ["PATH"], "HOME": str(place), "FLOW_PYTHON": python,
        }  # fmt: skip

    def __call__(self, line: str, given: str = "") -> subprocess.CompletedProcess[str]:
        """Run a line to its end."""
        return subprocess.run(
            ["sh", "-c", line], cwd=self.workspace, env=self.env, input=given, text=True,
            capture_output=True, check=False, timeout=6 * PATIENCE_S,
        )  # fmt: skip

    def begin(self, line: str) -> subprocess.Popen[str]:
        """Start a line that says when it has begun, and hold it."""
        pipe = subprocess.PIPE
        begun = subprocess.Popen(
            ["sh", "-c", line], cwd=self.workspace, env=self.env, stdin=pipe, stdout=pipe, text=True
        )
        assert begun.stdout is not None
        begun.stdout.readline()
        return begun

    def idle(self, *, ago_s: float) -> dict[str, Any]:
        """Ask whether nothing goes on, as if the look before had been then."""
        kept = self.home / "idle.json"
        if kept.exists():
            at = SystemClock().now().timestamp() - ago_s
            kept.write_text(json.dumps({**json.loads(kept.read_text()), "at": at}))
        found: dict[str, Any] = json.loads(
            self(f"exec {self.env['FLOW_PYTHON']} {self.home}/kit.zip idle").stdout
        )
        return found

    def look(self) -> dict[str, Any]:
        """Ask what there is."""
        found: dict[str, Any] = json.loads(self(kit_line("look")).stdout)
        return found


@pytest.fixture(params=pythons(), ids=lambda each: Path(each).name)
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    """A box with each Python that nodes may have."""
    return Box(tmp_path, request.param)


def test_a_command_runs_as_it_was_typed(box: Box):
    """With the task's variables and secrets, one's own over them, in its folder, and its code is told."""
    (box.workspace / "sub").mkdir()
    entry = Entry(folder="sub", variables={"FLOW_GPUS": "a  'b'"})
    said = box(run_line(entry, 'echo "$SECRET $FLOW_GPUS"; pwd; cat; exit 7'), given="typed\n")

    assert (f"s3cr3t a  'b'\n{box.workspace}/sub\ntyped\n", "", 7) == (
        said.stdout, said.stderr, said.returncode,
    )  # fmt: skip


def test_what_cant_be_run_says_why(box: Box):
    """A folder that isn't there is 125; a box without its kit yet has a code of its own."""
    lost = box(run_line(Entry(folder="none"), "true"))
    (box.home / "kit.zip").unlink()

    assert 125 == lost.returncode
    assert "none is no folder on the box" in lost.stderr
    assert NOT_READY == box(run_line(Entry(), "true")).returncode


def test_a_line_that_expects_other_code_is_not_run(box: Box):
    """The box notes what was brought until a reset; a line that expects that says so first, another runs nothing."""
    before = box(run_line(Entry(), "touch here", expects="one"))
    box(run_line(Entry(), "true", brought="one"))
    other = box(run_line(Entry(), "touch here", expects="two"))
    same = box(run_line(Entry(), "echo words >&2; exit 3", expects="one"))
    box(kit_line("reset", "{}"))
    anew = box(run_line(Entry(), "touch here", expects="one"))

    assert [(NOT_READY, "")] * 3 == [(e.returncode, e.stderr) for e in (before, other, anew)]
    assert (3, f"{BEGUN.decode()}words\n") == (same.returncode, same.stderr)
    assert [] == list(box.workspace.iterdir())


def test_whoever_runs_something_is_there(box: Box):
    """A command that only waits keeps the box; when it has ended, nothing goes on. The time is theirs."""
    box.idle(ago_s=0)
    waiting = box.begin(run_line(Entry(who="bob"), "echo; read line"))
    busy, there = box.idle(ago_s=100), box.look()["sessions"]
    waiting.communicate("\n", timeout=PATIENCE_S)
    alone = box.idle(ago_s=50)
    seconds = box.look()["seconds"]

    assert (False, "somebody runs something by flow dev") == (busy["idle"], busy["busy"])
    assert [("bob", "echo; read line")] == [(each["who"], each["line"]) for each in there]
    assert (True, "") == (alone["idle"], alone["busy"])
    assert [] == box.look()["sessions"]
    assert {"bob": 100, "": 50} == {who: round(each, -1) for who, each in seconds.items()}


def test_environments_are_made_once_and_know_nothing_of_each_other(tmp_path: Path):
    """What one has, the other lacks; a reset forgets the one that is named, then all and the workspace."""
    box = Box(tmp_path, sys.executable)
    prefix = "python -c 'import sys; print(sys.prefix)'"
    first = box(run_line(Entry(env="one"), f"{prefix}; touch $VIRTUAL_ENV/mark"))
    again = box(run_line(Entry(env="one"), "ls $VIRTUAL_ENV/mark"))
    other = box(run_line(Entry(env="two"), f"{prefix}; ls $VIRTUAL_ENV/mark"))
    before = box.look()["envs"]
    one = json.loads(box(kit_line("reset", '{"env": "one"}')).stdout)
    (box.workspace / "made").mkdir()
    (box.workspace / ".flow-upload").mkdir()
    (box.home / "uploads").mkdir()
    rest = json.loads(box(kit_line("reset", "{}")).stdout)

    assert first.stdout.endswith("dev/envs/one\n"), first.stderr
    assert "made the environment one in" in first.stderr
    assert (0, "") == (again.returncode, again.stderr)
    assert other.stdout.endswith("dev/envs/two\n"), other.stderr
    assert 0 != other.returncode
    assert ["one", "two"] == before
    assert {"envs": ["one"], "images": [], "files": 0} == one
    assert (["two"], 2) == (rest["envs"], rest["files"])
    assert [] == [*box.workspace.iterdir(), *(box.home / "dev" / "envs").iterdir()]
    assert not (box.home / "uploads").exists()


def test_only_root_lets_people_in(box: Box):
    """A node whose user isn't root says so; one that is root refuses whoever is a user already."""
    told = json.dumps({"name": "root", "key": "ssh-ed25519 AAAA root"})
    said = box(kit_line("share"), given=told)

    assert 125 == said.returncode
    reason = "a user 'root' already" if os.geteuid() == 0 else "has no root"
    assert reason in said.stderr
    assert 125 == box(kit_line("unshare", "bob")).returncode
