"""What a person sees of tasks on their own Docker engine, from `flow submit` to nothing being left."""

from __future__ import annotations

import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

from flow_adapters.clocks import SystemClock
from tests.local_docker.engine import BARE_IMAGE, PYTHON_IMAGE
from tests.local_docker.user import User

pytestmark = [pytest.mark.docker, pytest.mark.slow]

#: Every rank tells the first its number, and learns the sum of all.
RING = """
import os, select, socket
rank, count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
place = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
if rank == 0:
    with socket.create_server(("", place[1])) as server:
        peers = [server.accept()[0] for _ in range(count - 1)]
        total = sum(int(peer.recv(16)) for peer in peers)
        for peer in peers:
            peer.sendall(str(total).encode())
else:
    for _ in range(300):
        try:
            peer = socket.create_connection(place)
            break
        except OSError:
            select.select([], [], [], 0.1)
    peer.sendall(str(rank).encode())
    total = int(peer.recv(16))
print("rank %d of %d: %d, first is %s" % (rank, count, total, socket.gethostbyname("node-0") == place[0]))
"""


#: Says what a container may use, by either form of cgroups: microseconds of 100,000, bytes, KB, and limits.
LOOK = """
cd /sys/fs/cgroup; echo its cpu=$(cat cpu.max || cat cpu/cpu.cfs_quota_us)
echo its memory=$(cat memory.max || cat memory/memory.limit_in_bytes)
echo its shm=$(df -k /dev/shm | awk 'END { print $2 }')
echo its limits=$(ulimit -n; ulimit -l; ulimit -s)
"""


def test_a_task_runs_and_nothing_is_left(user: User):
    """Output and exit code come to the person; the log can be read when the container has gone."""
    (user.home / "code").mkdir()
    (user.home / "code" / "said.txt").write_text("from my folder\n")
    said = user.flow("submit", "cat said.txt", "-i", "cpu", "--name", "plain", "--yes")
    failed = user.run("submit", "exit 7", "-i", "cpu", "--name", "seven", "--yes")

    assert "from my folder" in said
    assert 7 == failed.returncode
    assert "from my folder" in user.flow("logs", "plain")
    assert [] == user.left("plain-") + user.left("seven-")


def test_four_nodes_find_each_other(user: User):
    """Four containers on a network of their own have ranks, names and a place to meet."""
    (user.home / "code").mkdir()
    (user.home / "code" / "ring.py").write_text(RING)
    said = user.flow("submit", "python3 ring.py", "-i", "cpu", "-N", "4", "--name", "ring", "--yes")

    for rank in range(4):
        assert f"rank {rank} of 4: 6, first is True" in said
    assert [] == user.left("ring-")


def test_a_running_task_is_entered_and_cancelled(user: User):
    """`flow ssh` runs a line in the container, in an image without Python too; cancelling removes all of it."""
    user.flow(
        "submit", "sleep 600", "-i", "cpu", "--image", BARE_IMAGE, "--name", "nap", "--yes", "-d"
    )
    said = user.run("ssh", "nap", "--", "pwd; test -e /usr/bin/python3 || echo no python; exit 3")
    user.flow("cancel", "nap", "--yes")

    assert 3 == said.returncode
    assert "/workspace\nno python\n" == said.stdout
    assert [] == user.left("nap-")


def test_memory_that_ran_out_is_named(user: User):
    """A command that takes more memory than its container may is told so, with the option that gives more."""
    hungry = "python3 -c \"bytearray(300 << 20); print('had it')\""
    options = ["--option", "local-docker.memory=64m"]
    said = user.run("submit", hungry, "-i", "cpu", "--name", "hungry", *options, "--yes")

    assert 137 == said.returncode
    assert "ran out of memory" in said.stdout + said.stderr + user.flow("status", "hungry")


def test_a_failed_command_is_tried_again_within_the_same_limits(user: User):
    """`--retries` runs it once more on the same disk; CPUs, memory, /dev/shm and limits are as they were asked for."""
    line = f"[ -e tried ] || {{ touch tried; exit 5; }}; {LOOK}"
    options = [f"--option=local-docker.{each}" for each in ("cpus=0.5", "memory=96m", "shm=24m")]
    said = user.flow("submit", line, "-i", "cpu", "--retries", "1", *options, "--yes")
    found = dict(line.split("=", 1) for line in said.splitlines() if line.startswith("its "))
    raised = ("--ulimit", "nofile=1048576:1048576", "--ulimit", "memlock=-1:-1")
    # An engine that may not raise limits, as in a container of its own, gives those that it has.
    may = _docker(user.host, *raised, "true").returncode == 0
    own = _docker(user.host, "sh", "-c", "ulimit -n; ulimit -l; ulimit -s").stdout.split()

    assert "attempt 2 begins" in said
    assert 0.5 == int(found["its cpu"].split()[0]) / 100_000
    assert 96 << 20 == int(found["its memory"])
    assert 24 << 10 == int(found["its shm"])
    limits = found["its limits"].split()
    assert (["1048576", "unlimited", "65536"] if may else own) == limits


def _docker(host: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run something by `docker` itself in the test image; options come first."""
    program = next(place for place, word in enumerate(words) if word in ("true", "sh"))
    options, command = words[:program], words[program:]
    call = ("docker", "--host", host, "run", "--rm", *options, PYTHON_IMAGE, *command)
    return subprocess.run(call, capture_output=True, text=True, check=False, timeout=60)


def test_a_task_ends_at_its_time(user: User):
    """`--max-run-time` ends a task that would go on, and its container."""
    said = user.run(
        "submit", "sleep 600", "-i", "cpu", "--max-run-time", "3s", "--name", "long", "--yes"
    )

    assert 0 != said.returncode
    assert [] == user.left("long-")


def test_a_volume_outlives_its_tasks(user: User):
    """A volume made by `flow volume create` holds what one task wrote for the next."""
    user.flow("volume", "create", "--name", "kept", "--size", "1")
    try:
        mount = ["--mount", "volume://kept:/kept"]
        user.flow(
            "submit", "echo one > /kept/file", "-i", "cpu", "--name", "writes", *mount, "--yes"
        )
        said = user.flow(
            "submit", "cat /kept/file", "-i", "cpu", "--name", "reads", *mount, "--yes"
        )
    finally:
        user.flow("volume", "delete", "kept", "--yes")

    assert "one\n" in said


def test_a_dockerfile_is_built(user: User):
    """An image that is a path is built from the Dockerfile there, and a step that fails is told with its words."""
    folder = user.home / "box"
    folder.mkdir()
    (folder / "Dockerfile").write_text(
        f"FROM {BARE_IMAGE}\nCOPY said /said\nRUN echo built >> /said\n"
    )
    (folder / "said").write_text("copied\n")
    said = user.flow(
        "submit", "cat /said", "-i", "cpu", "--image", str(folder), "--name", "box", "--yes"
    )
    (folder / "Dockerfile").write_text(f"FROM {BARE_IMAGE}\nRUN echo why; exit 4\n")
    failed = user.flow("submit", "true", "-i", "cpu", "--image", str(folder), "--yes", fails=True)

    assert "copied\nbuilt\n" in said
    assert "could not be built" in failed
    assert "exit 4" in failed


def test_an_image_that_is_nowhere_is_refused(user: User):
    """An image that can't be pulled is refused with the engine's reason, and leaves no bid."""
    nowhere = ["--image", "localhost:1/nobody/nothing:1", "--name", "nowhere"]
    said = user.flow("submit", "true", "-i", "cpu", *nowhere, "--yes", fails=True)

    assert "could not be pulled" in said
    assert [] == user.left("nowhere-")


def test_gpus_that_are_not_here_are_refused_or_pretended(user: User):
    """A GPU task is refused with what this machine has; `--pretend-gpus` runs it as if it had them."""
    tell = ["submit", "echo has $FLOW_GPUS", "-i", "8xh100", "-N", "2", "--yes"]
    refused = user.flow(*tell, fails=True)
    said = user.flow(*tell, "--pretend-gpus")

    assert "CPUs" in refused
    assert "and no GPU (--pretend-gpus" in refused
    assert 2 == said.count("has 8\n")


def test_an_image_with_a_user_of_its_own_works(user: User):
    """A command runs as the image's user, in a workspace that it may write to, and code arrives there."""
    folder = user.home / "box"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {BARE_IMAGE}\nUSER 4321\n")
    (user.home / "code").mkdir()
    (user.home / "code" / "said.txt").write_text("mine\n")
    said = user.flow(
        "submit", "id -u; cat said.txt; touch new && echo written", "-i", "cpu",
        "--image", str(folder), "--name", "plain-user", "--yes",
    )  # fmt: skip

    assert "4321\nmine\nwritten\n" in said


def test_an_image_without_python_is_refused_where_it_must_have_one(user: User):
    """With `python = image`, an image that has a Python 3.8 runs tasks, and one that has none is refused by name."""
    settings = 'python = "image"\n'
    said = user.flow("submit", "echo ran", "-i", "cpu", "--yes", settings=settings)
    refused = user.flow(
        "submit", "true", "-i", "cpu", "--image", BARE_IMAGE, "--yes", fails=True, settings=settings
    )

    assert "ran\n" in said
    assert f"{BARE_IMAGE} has no Python 3.8" in refused


def test_files_and_ports_are_reached(user: User, tmp_path: Path):
    """`flow cp` brings files back, and a published port answers on this machine's loopback."""
    (tmp_path / "got").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve = "echo over > result.txt; python3 -m http.server 8000"
    options = ["--option", f"local-docker.publish={port}:8000"]
    user.flow("submit", serve, "-i", "cpu", "--name", "web", *options, "--yes", "-d")
    for _ in range(100):
        got = user.run("ssh", "web", "--", "cat result.txt")
        if got.stdout:
            break
    user.flow("cp", "web:result.txt", str(tmp_path / "got"))
    page = fetched(port)
    user.flow("cancel", "web", "--yes")

    assert "over\n" == (tmp_path / "got" / "result.txt").read_text()
    assert b"result.txt" in page


def fetched(port: int) -> bytes:
    """What a web server on this machine's loopback has at its root, once it answers."""
    clock = SystemClock()
    for _ in range(600):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                page: bytes = answer.read()
                return page
        except OSError:
            clock.sleep(0.1)
    raise AssertionError(f"nothing answers at {port}")
