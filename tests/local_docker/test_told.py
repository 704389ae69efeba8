"""What a node's first process tells while the node is young, and what it takes: over pipes, then in a container."""

from __future__ import annotations

import json
import marshal
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from flow_adapters.clocks import SystemClock
from flow_adapters.node_files import load_node_files
from flow_core.domain.bid import BidRequest, Launch
from flow_core.domain.money import Price
from flow_core.domain.names import new_token, wire_name
from flow_core.domain.node_files import ENTRY, NODE_HELPER
from flow_core.domain.script import NodeTask, render_script
from flow_core.domain.shape import parse_shape
from flow_core.ports.provider import Provider, ProviderContext
from flow_core.ports.shell import Call, NodeExit
from flow_providers.local_docker import connect
from flow_providers.local_docker.engine import FRAME
from flow_providers.local_docker.node_files import node_file
from flow_providers.local_docker.told import Told, last_told
from tests.local_docker.engine import BARE_IMAGE

#: Stands for the helper: writes what it is told line by line as its state, and ends with its input.
HELPER = """
import fcntl, os, sys
os.chdir(os.environ["FLOW_HOME"])
lock = open("lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print(os.getpid(), file=lock, flush=True)
for line in sys.stdin:
    open("new", "w").write(line)
    os.rename("new", "state.json")
"""
#: Stands for a helper that starts a kit, with no interpreter to be found, and tells what came of it.
STARTS_KIT = """
import json, os, subprocess, sys
sys.executable = "/nowhere/python3"
os.chdir(os.environ["FLOW_HOME"])
words, pipe = [sys.executable, "kit.zip", "enter", "/", "true"], subprocess.PIPE
how = dict(env=dict(os.environ, KEY="word"), stdin=subprocess.DEVNULL, start_new_session=True)
kit = subprocess.Popen(words, stdout=pipe, stderr=pipe, **how)
with open("door", "w"):
    pass
out, err = kit.communicate()
said = dict(phase="exited", out=out.decode(), err=err.decode(), exit_code=kit.returncode)
with open("new", "w") as new:
    json.dump(said, new)
os.rename("new", "state.json")
"""
WAITING = {"phase": "waiting", "wants_delivery": True}


class First:
    """A node's first process on this machine: `state` is what its helper is in, `told` what is told next."""

    def __init__(self, place: Path, helper: str, executable: str = sys.executable) -> None:
        self.home = place / "home"
        for name in ("first", "serve"):
            (place / f"flow_{name}.py").write_text(node_file(f"{name}.py"))
        theirs, self._into = os.pipe()
        env = {**os.environ, "PYTHONPATH": str(place), "FLOW_HOME": str(self.home)}
        begin = "import flow_first; exec = flow_first.executed; exec(flow_first.begun())"
        line = f'exec 3<&{theirs}; exec "$0" -c "$1" -c "$2"'
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", line, executable, begin, helper],
            env={**env, "FLOW_FIRST": "yes"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[theirs],
        )
        os.close(theirs)

    def be(self, **state: Any) -> None:
        """Have the helper be in this state."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(state).encode() + b"\n")
        self.process.stdin.flush()

    def heard(self) -> dict[str, Any]:
        """Return the next line."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def say(self, words: bytes) -> None:
        """Say something to it."""
        os.write(self._into, words)

    def leave(self) -> None:
        """Let go of its input."""
        if self._into >= 0:
            os.close(self._into)
        self._into = -1


@pytest.fixture
def first(tmp_path: Path) -> Iterator[First]:
    """A first process, whose half that tells is ended with the test."""
    yield from begun(tmp_path, HELPER)


def begun(place: Path, helper: str, executable: str = sys.executable) -> Iterator[First]:
    """Yield a first process with a helper; its other half ends afterwards."""
    first = First(place, helper, executable)
    yield first
    first.leave()
    assert first.process.stdin is not None
    assert first.process.stdout is not None
    pid = first.process.pid
    for half in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(half), signal.SIGKILL)
    first.process.stdin.close()
    first.process.wait(20)
    first.process.stdout.close()


def test_a_delivery_that_somebody_brings_is_not_asked_for(first: First):
    """Whoever made the container is expected to deliver; once he has, it isn't wanted, and nothing of it is told."""
    first.be(**WAITING)
    before = first.heard()
    given = json.dumps({"number": 1, "nodes": [], "env": {"KEY": "secret"}}).encode()
    first.say(b"deliver %d\n%s" % (len(given), given))
    answer = first.heard()
    first.be(phase="running", used=1)
    after = first.heard()

    assert not before["wants_delivery"]
    assert {"code": 0, "said": "", "bytes": 0} == answer
    assert "running" == after["phase"]
    assert "secret" not in json.dumps(after)
    assert {"KEY": "secret"} == json.loads((first.home / "delivery.json").read_text())["env"]


def test_a_delivery_that_nobody_brings_any_more_is_asked_for(first: First):
    """A client that was killed leaves the node to the watcher at once."""
    first.be(**WAITING)
    before = first.heard()
    first.leave()

    assert not before["wants_delivery"]
    assert first.heard()["wants_delivery"]


def test_the_last_word_brings_a_small_log(first: First):
    """With an exit code come the log and its index, as they are on the node; a helper that died is told of, too."""
    first.be(phase="running")
    running = first.heard()
    (first.home / "log").write_bytes(b"hi\0\n")
    (first.home / "log.index").write_bytes(ENTRY.pack(0, 4, 0, 1.0))
    first.be(phase="exited", exit_code=0)
    told = last_told(framed(json.dumps(first.heard()).encode() + b"\n"))

    assert "running" == running["phase"]
    assert (b"hi\0\n", ENTRY.pack(0, 4, 0, 1.0)) == (told.log, told.index)
    assert 0 == told.state["exit_code"]


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("os.execvp('sh', ['sh', '-c', 'echo $KEY; echo $$ >&2'])", ("word\n", "", 0)),
        ("sys.stderr.write('no'); sys.exit(125)", ("", "no", 125)),
        ("raise ValueError('lost')", ("", "ValueError: lost", 1)),
    ],
)
def test_the_kit_needs_no_interpreter_of_its_own(
    tmp_path: Path, ending: str, expected: tuple[str, str, int]
):
    """It is what a started one would be: it takes its time beside the helper, and becomes the command or ends."""
    (tmp_path / "home").mkdir()
    os.mkfifo(tmp_path / "home" / "door")
    waits = "open(os.environ['FLOW_HOME'] + '/door').read()"
    program = f"import os, sys\ndef main():\n    assert 'enter' == sys.argv[1]\n    {waits}\n    {ending}\n"
    with ZipFile(tmp_path / "home" / "kit.zip", "w") as kit:
        kit.writestr("flow_core/node/kit/enter.py", program)
        for each in ("flow_core", "flow_core/node", "flow_core/node/kit"):
            kit.writestr(f"{each}/__init__.py", "")
    with contextmanager(begun)(tmp_path, STARTS_KIT) as first:
        told = first.heard()

    assert (expected[0], expected[2]) == (told["out"], told["exit_code"])
    assert expected[1] in told["err"]


def test_what_came_with_the_interpreter_is_not_compiled_again(tmp_path: Path):
    """A helper and a kit that are the very ones that were carried are taken as they were compiled then."""
    (tmp_path / "home").mkdir()
    os.mkfifo(tmp_path / "home" / "door")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(Path(sys.executable).resolve())
    starts_kit = STARTS_KIT.replace('sys.executable = "/nowhere/python3"', "")
    (tmp_path / "helper").write_text("the helper")
    code = marshal.dumps(compile(starts_kit, "helper", "exec"))
    (tmp_path / "helper.code").write_bytes(code)
    for place in (tmp_path, tmp_path / "home"):
        (place / "kit.zip").write_text("the kit")
    modules = tmp_path / "kit" / "flow_core" / "node" / "kit"
    modules.mkdir(parents=True)
    waits = "import os; open(os.environ['FLOW_HOME'] + '/door').read()"
    (modules / "enter.py").write_text(f"def main(): {waits}; print('carried', flush=True)")
    executable = str(tmp_path / "bin" / "python3")
    with contextmanager(begun)(tmp_path, "exec(b'the helper')", executable) as first:
        told = first.heard()

    assert "carried\n" == told["out"], told


def test_what_others_write_beside_is_passed_by():
    """The last whole line that was told counts; before there is one, nothing was told."""
    lines = b'{"told": 1, "phase": "running"}\n{"known": true}\n[]\nTraceback\n'

    assert Told(state={"phase": "running"}) == last_told(framed(lines[:20], lines[20:]))
    assert Told() == last_told(framed(b"sh: 1\n"))


@pytest.mark.docker
@pytest.mark.slow
def test_a_node_takes_its_delivery_before_it_is_heard_of(tmp_path: Path, docker_host: str):
    """Whoever placed the bid delivers at once; others hear how it ended, and what it said, without entering it."""
    one, other = connected(tmp_path / "one", docker_host), connected(tmp_path / "two", docker_host)
    bid = one.market.place(request("echo $KEY"))
    [node] = one.fleet.allocations([bid.id])[bid.id].nodes
    given = json.dumps({"number": 1, "nodes": [], "env": {"KEY": "word"}, "rank": 0}).encode()
    call = Call(node=node, line=f"{NODE_HELPER} deliver", stdin=given)
    taken = list(one.shell.run_many([call]))
    assert other.logs is not None
    report = ended(other, bid.id)
    said = other.logs.read(bid.id, 0)
    one.market.withdraw(bid.id)

    assert [NodeExit(node, 0)] == taken
    assert 0 == report.exit_code
    assert b"word\n" in said.data
    assert said.is_last


@pytest.mark.docker
@pytest.mark.slow
def test_a_node_whose_placer_is_gone_waits_for_the_watcher(tmp_path: Path, docker_host: str):
    """A client that was killed after the start costs nothing but the time until the next look."""
    placing = "import sys; from tests.local_docker.test_told import placed; placed(*sys.argv[1:])"
    told = [sys.executable, "-c", placing, str(tmp_path / "one"), docker_host]
    name = subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()
    other = connected(tmp_path / "two", docker_host)
    assert other.logs is not None
    wants = False
    for _ in range(200):
        wants = any(each.wants_delivery for each in other.logs.reports([name])[name])
        if wants:
            break
        other.clock.sleep(0.05)
    other.market.withdraw(name)

    assert wants


def placed(folder: str, host: str) -> None:
    """Place a bid, print its id, and be gone without a delivery."""
    bid = connected(Path(folder), host).market.place(request("true"))
    sys.stdout.write(bid.id)
    sys.stdout.flush()
    os._exit(0)


def framed(*pieces: bytes) -> bytes:
    """Return what the engine answers for these pieces of standard output."""
    return b"".join(FRAME.pack(1, len(each)) + each for each in pieces)


def connected(folder: Path, host: str) -> Provider:
    """The provider with a state folder of its own."""
    options = {"local-docker.host": host, "local-docker.image": BARE_IMAGE}
    context = ProviderContext(state_dir=str(folder), clock=SystemClock(), options=options)
    return connect(context)


def request(command: str) -> BidRequest:
    """A request for one instance, whose command waits for a delivery."""
    from random import Random

    token = new_token(Random())
    task = NodeTask(
        name="told", token=token, command=command, workspace="/workspace", wants_delivery=True
    )
    return BidRequest(
        name=wire_name("told", token),
        type_id="cpu",
        shape=parse_shape("cpu"),
        region="local",
        quantity=1,
        limit=Price.ZERO,
        launch=Launch(script=render_script(task, files=load_node_files())),
    )


def ended(provider: Provider, bid_id: str) -> Any:
    """Wait until a bid's command has ended, and return its report."""
    assert provider.logs is not None
    for _ in range(400):
        for report in provider.logs.reports([bid_id])[bid_id]:
            if report.phase == "exited":
                return report
        provider.clock.sleep(0.05)
    raise AssertionError("it never ended")
