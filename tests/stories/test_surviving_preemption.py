"""A training on four nodes loses them all half-way, with nobody there, and ends as if nothing had been.

The guide's own program runs for real: torch.distributed over gloo, its code uploaded, its save on a volume, and on
Mithril its data on a bucket. The client and the watcher are both killed before the market takes the nodes. What an
undisturbed run came to is the measure.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from io import BytesIO
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT
from tests.s3_service import BUCKET, Service, s3fs_problem
from tests.s3_service import serving as serving_buckets
from tests.sim_nodes.kit import openssh, refuse
from tests.slurm.cluster import free_port
from tests.stories.simulated_mithril import (
    PATIENCE_S,
    Simulator,
    User,
    cents,
    end_processes_of,
    kill_watchers_of,
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

EPOCHS, HALF, NODES = 20, 6, 4
#: Simulated seconds in a real one: a notice lasts 10 real seconds at least, so 100 minutes.
RATE = 600
MOCK = {"FLOW_PROVIDER": "mock", "FLOW_MOCK_INSTANT": "yes", "FLOW_MOCK_RATE": str(RATE)}
NOTICE, AWAY = timedelta(seconds=10 * RATE), timedelta(minutes=30)
#: Runs a program, with its words, as each rank of a group.
FORKED = """
import os, runpy, sys, torch.distributed, torch._dynamo  # which optimizers load

sys.argv.pop(0)
ranks = []
for rank in range(int(os.environ["WORLD_SIZE"])):
    ranks.append(os.fork())
    if not ranks[-1]:
        os.environ["RANK"] = str(rank)
        runpy.run_path(sys.argv[0], run_name="__main__")
        sys.exit()
sys.exit(any([os.waitpid(each, 0)[1] for each in ranks]))
"""
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


@pytest.fixture
def bucket(user: User) -> Iterator[Service]:
    """A bucket with the samples that the program would make up, and in the user's files the keys to it."""
    torch = pytest.importorskip("torch")
    if (problem := s3fs_problem()) is not None:
        refuse(problem)
    torch.manual_seed(7)
    samples = BytesIO()
    torch.save(torch.randn(4096, 2), samples)
    with serving_buckets() as service:
        service.client.put_object(Bucket=BUCKET, Key="set/samples.pt", Body=samples.getvalue())
        (user.home / ".aws").mkdir()
        (user.home / ".aws" / "config").write_text(
            f"[default]\naws_access_key_id = {service.access_key}\n"
            f"aws_secret_access_key = {service.secret_key}\nendpoint_url = {service.url}\n"
        )
        yield service


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the training comes to when nothing happens to it; torch, which takes seconds to load, is loaded once."""
    pytest.importorskip("torch")
    alone = having_the_program(tmp_path_factory.mktemp("undisturbed"))
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(NODES)}
    words = ("train.py", "--epochs", str(EPOCHS), "--pause", "0")
    ran = alone.run("python", "-c", FORKED, *words, CHECKPOINTS=str(alone.folder), **group)

    assert 0 == ran.code, ran.err
    [result] = finals(ran.out)
    return result


def test_on_the_mock(user: User, undisturbed: str):
    """The same loss to the last digit; one bid, paid in two stretches with the market's half hour between them."""
    user.flow("volume", "create", "--name", "ckpt", "--size", "10", **MOCK)
    # Half of it must outlast the command that outbids it, which is a process of its own.
    run_half_way(user, training("python", "/ckpt", pause_s=0.7), **MOCK)
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


def test_on_mithril(user: User, bucket: Service, undisturbed: str):
    """The same through the adapter, on nodes that boot: while they are away hours pass, and the bill stands still."""
    place = libraries_of_nodes()
    openssh()
    with serving(user, rate=RATE) as simulator:
        if not simulator.said["nodes_boot"]:
            refuse("the simulator's nodes can't boot here")
        set_up(user, simulator)
        user.flow("volume", "create", "--name", "ckpt", "-s", "10", "-i", "file")
        mount = ("--mount", f"s3://{BUCKET}/set:/data", "--env", f"PYTHONPATH={place}")
        words = training("python3", "/mnt/ckpt", *mount, data="--data /data/samples.pt")
        run_half_way(user, words, then=lambda: outbid(simulator))
        user.until("train", "preempted")
        before = billed(simulator)
        simulator.control("advance", seconds=6 * 3600)
        assert "preempted" == user.task("train")["state"]
        assert before == billed(simulator)
        simulator.control("advance", seconds=6 * 3600)

        followed = user.flow("logs", "train", "-f")
        task = user.until("train", "completed")
        assert not user.is_watched()
        after, left = billed(simulator), simulator.live()

    assert [undisturbed] == finals(followed.out)
    assert list(range(1, EPOCHS + 1)) == epochs(followed.out)
    assert sorted([*range(NODES)] * 2) == readers(followed.out), followed.out
    assert (1, 0) == (task["preemptions"], task["exit_code"])
    assert [] == left
    assert after > before > 0
    assert after == cents(task["cost"])


def having_the_program(home: Path) -> User:
    """Someone with an empty home but for the guide's program."""
    user = User(home)
    user.folder.mkdir()
    shutil.copy(ROOT / "docs" / "examples" / "checkpoints" / "train.py", user.folder)
    return user


def training(
    python: str, place: str, *more: str, data: str = "", pause_s: float = 0.2
) -> tuple[str, ...]:
    """The words that submit the training, saved on a volume that is mounted at `place`; each epoch rests."""
    line = f"{python} train.py --epochs {EPOCHS} --pause {pause_s} {data}"
    return (
        "submit", line, "-i", "a100", "-N", str(NODES), "--name", "train",
        "--mount", f"volume://ckpt:{place}", "--env", f"CHECKPOINTS={place}", "--checkpoint", place, *more,
    )  # fmt: skip


def run_half_way(
    user: User, words: Sequence[str], *, then: Callable[[], None] = lambda: None, **added: str
) -> None:
    """Submit, follow half of the training, do what comes `then`, and kill the client and the watcher."""
    talk = user.home / "talk"
    with talk.open("w") as said:
        client = subprocess.Popen(
            ["flow", *words],
            cwd=user.folder,
            env={**user.environ, **added},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        )
    assert client.stdout is not None
    with client.stdout:
        assert any(HALF in epochs(line) for line in client.stdout), talk.read_text()
        then()
        client.kill()
    client.wait(PATIENCE_S)
    kill_watchers_of(user.home)


def outbid(simulator: Simulator) -> None:
    """Have a rival take the nodes of the only bid for twelve hours, without losing time to a process."""
    (bid_id,) = simulator.billed("Bid")
    simulator.control("outbid", bid=bid_id, lasts="12h")


def libraries_of_nodes() -> Path:
    """Where booting nodes, which have this machine's own Python, find torch."""
    torch = pytest.importorskip("torch")
    place = Path(torch.__file__).parents[1]
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


def readers(log: str) -> list[int]:
    """The ranks that say that they have read all of the bucket's samples, in order."""
    said = re.findall(r"rank (\d+) has 4096 samples of /data/samples.pt", log)
    return sorted(int(rank) for rank in said)


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
