"""A training on four nodes loses them all half-way, with nobody there, and ends as if nothing had been.

The guide's own program runs for real: torch.distributed over gloo, with its save on a volume. The client and the
watcher are both killed before the market takes the nodes. What an undisturbed run came to is the measure.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.sim_nodes.kit import openssh, refuse
from tests.stories.simulated_mithril import (
    PATIENCE_S,
    Simulator,
    User,
    cents,
    end_processes_of,
    serving,
    set_up,
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.torch,
    pytest.mark.skipif(
        not Path("/proc/self/environ").exists(), reason="processes are found by /proc"
    ),
]

EPOCHS, HALF = 20, 6
#: Simulated seconds in a real one: a notice lasts 10 real seconds at least, so 100 minutes.
RATE = 600
MOCK = {"FLOW_PROVIDER": "mock", "FLOW_MOCK_INSTANT": "yes", "FLOW_MOCK_RATE": str(RATE)}
NOTICE, AWAY = timedelta(seconds=10 * RATE), timedelta(minutes=30)
#: What a booting node has of this machine begins outside of these.
NODES_OWN = ("/home", "/root", "/opt", "/mnt", "/media", "/tmp", "/workspace")


@pytest.fixture
def user(tmp_path: Path) -> Iterator[User]:
    """Someone with the guide's program in their folder; in the end nothing of theirs runs."""
    someone = having_the_program(tmp_path)
    try:
        yield someone
    finally:
        left = end_processes_of(someone.home)
    assert [] == left


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the training comes to when nothing happens to it."""
    pytest.importorskip("torch")
    alone = having_the_program(tmp_path_factory.mktemp("undisturbed"))
    alone.flow("volume", "create", "--name", "ckpt", "--size", "10", **MOCK)
    ran = alone.flow(*training("python", "/ckpt"), **MOCK)

    [result] = finals(ran.out)
    return result


def test_on_the_mock(user: User, undisturbed: str):
    """The same loss to the last digit; one bid, paid in two stretches with the market's half hour between them."""
    user.flow("volume", "create", "--name", "ckpt", "--size", "10", **MOCK)
    run_half_way(user, training("python", "/ckpt"), **MOCK)
    user.flow("mock", "outbid", "train", "--for", f"{(NOTICE + AWAY).seconds // 60}m", **MOCK)

    followed = user.flow("logs", "train", "-f", **MOCK)
    task = user.asked("status", "train", **MOCK)["task"]
    [line] = user.asked("mock", "ledger", **MOCK)["bids"]
    assert not user.is_watched(**MOCK)

    assert [undisturbed] == finals(followed.out)
    assert list(range(1, EPOCHS + 1)) == epochs(followed.out)
    assert "attempt 2 begins" in followed.err
    assert (1, 0) == (task["preemptions"], task["exit_code"])
    assert [AWAY] == gaps(line["stretches"])
    assert float(line["spent"]) == task["cost"]


def test_on_mithril(user: User, undisturbed: str):
    """The same through the adapter, on nodes that boot: while they are away hours pass, and the bill stands still."""
    place = libraries_of_nodes()
    openssh()
    with serving(user, rate=RATE) as simulator:
        if not simulator.said["nodes_boot"]:
            refuse("the simulator's nodes can't boot here")
        set_up(user, simulator)
        user.flow("volume", "create", "--name", "ckpt", "-s", "10", "-i", "file")
        run_half_way(user, training("python3", "/mnt/ckpt", "--env", f"PYTHONPATH={place}"))
        simulator.control("outbid", bid=user.task("train")["bid_id"], lasts="12h")
        user.until("train", "preempted")
        before = billed(simulator)
        simulator.control("advance", seconds=6 * 3600)
        assert "preempted" == user.task("train")["state"]
        assert before == billed(simulator)
        simulator.control("advance", seconds=6 * 3600)

        followed = user.flow("logs", "train", "-f")
        task = user.until("train", "completed")
        assert not user.is_watched()
        after = billed(simulator)

    assert [undisturbed] == finals(followed.out)
    assert list(range(1, EPOCHS + 1)) == epochs(followed.out)
    assert (1, 0) == (task["preemptions"], task["exit_code"])
    assert after > before > 0
    assert after == cents(task["cost"])


def having_the_program(home: Path) -> User:
    """Someone with an empty home but for the guide's program."""
    user = User(home)
    user.folder.mkdir()
    shutil.copy(ROOT / "docs" / "examples" / "checkpoints" / "train.py", user.folder)
    return user


def training(python: str, place: str, *more: str) -> tuple[str, ...]:
    """The words that submit the training, saved on a volume that is mounted at `place`."""
    return (
        "submit", f"{python} train.py --epochs {EPOCHS} --pause 0.2", "-i", "a100", "-N", "4", "--name", "train",
        "--mount", f"volume://ckpt:{place}", "--env", f"CHECKPOINTS={place}", "--checkpoint", place, *more,
    )  # fmt: skip


def run_half_way(user: User, words: Sequence[str], **added: str) -> None:
    """Submit, follow half of the training, then kill the client and the watcher."""
    client = subprocess.Popen(
        ["flow", *words],
        cwd=user.folder,
        env={**user.environ, **added},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert client.stdout is not None
    with client.stdout:
        assert any(HALF in epochs(line) for line in client.stdout)
        client.kill()
    client.wait(PATIENCE_S)
    watchers = [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if is_watcher_of(process, user.home)
    ]
    assert watchers
    for each in watchers:
        os.kill(each, signal.SIGKILL)


def is_watcher_of(process: Path, home: Path) -> bool:
    """Whether a process is the watcher of the user who lives there."""
    try:
        words = (process / "cmdline").read_bytes()
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return b"flow_adapters.watch_process" in words and f"HOME={home}".encode() in variables


def libraries_of_nodes() -> Path:
    """Where booting nodes, which have this machine's own Python, find torch."""
    place = Path(sysconfig.get_path("purelib"))
    python = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
    look = [str(python), "-c", "import sys, torch; print(*sys.version_info[:2])"]
    environ = {"PYTHONPATH": str(place)}
    found = (
        python
        and subprocess.run(look, env=environ, capture_output=True, text=True, check=False).stdout
    )
    if found != "{} {}\n".format(*sys.version_info[:2]) or str(place).startswith(NODES_OWN):
        pytest.skip("the Python of booting nodes can't load this environment's torch")
    return place


def finals(log: str) -> list[str]:
    """What the log says that the training came to, to the last digit."""
    return re.findall(r"final loss (\S+)", log)


def epochs(log: str) -> list[int]:
    """The epochs whose end the log tells, in its order."""
    return [int(number) for number in re.findall(r"epoch (\d+) loss", log)]


def gaps(stretches: Sequence[dict[str, str]]) -> list[timedelta]:
    """The times for which nothing was paid between the first paid moment and the last."""
    times = sorted((each["since"], each["until"]) for each in stretches)
    between = [
        datetime.fromisoformat(since) - datetime.fromisoformat(until)
        for (_, until), (since, _) in pairwise(times)
    ]
    return [each for each in between if each]


def billed(simulator: Simulator) -> int:
    """What the only bid would have been billed until now, in cents."""
    [amount] = simulator.billed("Bid").values()
    return amount
